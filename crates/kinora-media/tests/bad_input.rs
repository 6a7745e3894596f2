//! Bad places and broken files: an error each, never a panic, and nothing left behind.

mod common;
#[path = "common/fixtures.rs"]
mod fixtures;

use std::path::Path;
use std::time::{Duration, Instant};

use common::{clip, entries, options, write};
use kinora_media::{Error, Reader, SinkOptions, open_sink, open_source, probe};
use serde_json::json;

#[test]
fn a_sink_that_is_dropped_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let frames = clip(64, 48, 30);
    for name in ["a.mp4", "a.gif", "a.webp", "a.png", "a.jpg", "new/"] {
        let path = format!("{}/{name}", folder.path().display());
        let mut sink = open_sink(&path, &options(&frames)).unwrap();
        frames.iter().for_each(|frame| sink.push(frame).unwrap());
        assert!(!Path::new(&path).exists(), "{name}");
        drop(sink);
        assert!(entries(folder.path()).is_empty(), "{name}");
        let empty = open_sink(&path, &options(&frames)).unwrap().finish();
        assert!(matches!(empty, Err(Error::NoFrames { .. })), "{name}");
        assert!(entries(folder.path()).is_empty(), "{name}");
    }
}

#[test]
fn what_exists_is_kept_unless_told() {
    let folder = tempfile::tempdir().unwrap();
    let frames = clip(64, 48, 1);
    for name in ["a.mp4", "a.gif", "a.webp", "a.png", "a.jpg"] {
        let path = folder.path().join(name);
        std::fs::write(&path, "mine").unwrap();
        let refused = open_sink(&path, &options(&frames)).err();
        assert!(matches!(refused, Some(Error::Exists { .. })), "{name}");
        assert_eq!(std::fs::read(&path).unwrap(), b"mine");
        write(
            &path,
            &frames,
            &SinkOptions {
                overwrite: true,
                ..options(&frames)
            },
        );
        assert!(probe(&path).is_ok(), "{name}");
    }
}

#[test]
fn bad_places_and_sizes_are_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |name: &str, width, height| {
        let options = SinkOptions {
            width,
            height,
            ..options(&clip(16, 16, 1))
        };
        open_sink(folder.path().join(name), &options)
            .err()
            .expect(name)
    };
    assert!(matches!(
        refused("no/a.mp4", 64, 48),
        Error::FolderMissing { .. }
    ));
    assert!(matches!(
        refused("no/a.png", 64, 48),
        Error::FolderMissing { .. }
    ));
    assert!(matches!(
        refused("no/such/", 64, 48),
        Error::FolderMissing { .. }
    ));
    assert!(matches!(
        refused("a.avi", 64, 48),
        Error::OutputFormat { .. }
    ));
    assert!(matches!(refused("a", 64, 48), Error::OutputFormat { .. }));
    assert!(matches!(refused("a.mp4", 65, 48), Error::OddSize { .. }));
    assert!(matches!(
        refused("a.mp4", 4096, 4096),
        Error::SizeLimit { .. }
    ));
    assert!(matches!(refused("a.gif", 0, 48), Error::FrameSize { .. }));
    assert!(entries(folder.path()).is_empty());
}

#[test]
fn files_of_other_kinds_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in");
    let told = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        open_source(&path).err().unwrap().to_string()
    };
    assert!(!told(b"\x1a\x45\xdf\xa3webm and so on").is_empty());
    assert!(told(b"\0\0\0\x20ftypavif\0\0\0\0").contains("AVIF"));
    assert!(told(b"just some words, no video").contains("no known format"));
    assert!(told(b"").contains("empty"));
    assert!(told(b"\0\0\0\x14ftypisom\0\0\0\0isom").contains("no index"));
    let missing = open_source(folder.path().join("none.mp4")).err().unwrap();
    assert!(matches!(missing, Error::Missing { .. }));
    let folder = open_source(folder.path()).err().unwrap();
    assert!(matches!(folder, Error::Unsupported { .. }));
}

/// Reads all that can be read.
fn exhaust(path: &Path) -> Result<usize, Error> {
    probe(path)?;
    // A broken length must not keep us here.
    open_source(path)?
        .take(500)
        .try_fold(0, |count, frame| frame.map(|_| count + 1))
}

#[test]
fn a_file_that_was_cut_short_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let frames = clip(48, 32, 8);
    for name in ["a.mp4", "a.gif", "a.webp"] {
        let path = folder.path().join(name);
        write(&path, &frames, &options(&frames));
        let whole = std::fs::read(&path).unwrap();
        assert_eq!(exhaust(&path).unwrap(), 8, "{name}");
        for keep in (0..whole.len())
            .step_by(whole.len() / 60)
            .chain([whole.len() - 1])
        {
            std::fs::write(&path, &whole[..keep]).unwrap();
            assert!(
                exhaust(&path).is_err(),
                "{name} cut to {keep} of {}",
                whole.len()
            );
        }
    }
}

#[test]
fn a_garbled_file_never_panics() {
    let folder = tempfile::tempdir().unwrap();
    let frames = clip(48, 32, 4);
    let mut random = 0x2545_f491_4f6c_dd1du64;
    let mut next = move |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % below as u64) as usize
    };
    for name in ["a.mp4", "a.gif", "a.webp", "b.webp", "a.png", "a.jpg"] {
        let path = folder.path().join(name);
        let count = if matches!(name, "a.mp4" | "a.gif" | "a.webp") {
            4
        } else {
            1
        };
        let recipe = Some(json!({"prompt": "x"}));
        write(
            &path,
            &frames[..count],
            &SinkOptions {
                recipe,
                ..options(&frames)
            },
        );
        let whole = std::fs::read(&path).unwrap();
        for round in 0..400 {
            let mut bytes = whole.clone();
            // Headers stand at the beginning: half of the blows fall there.
            let reach = if round % 2 == 0 {
                whole.len().min(900)
            } else {
                whole.len()
            };
            for _ in 0..=next(4) {
                let at = next(reach);
                bytes[at] = [0, 255, 127, bytes[at] ^ (1 << next(8)), next(256) as u8][next(5)];
            }
            if next(8) == 0 {
                bytes.truncate(next(whole.len()));
            }
            std::fs::write(&path, &bytes).unwrap();
            let _ = exhaust(&path);
        }
    }
}

/// A generator of its own: the same blows on every machine.
fn random(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    }
}

/// Each fixture with blows on its index and its pictures: an answer or an error, in time, and never more frames than bytes.
#[test]
fn clips_of_other_programs_may_be_broken_anyhow() {
    let folder = tempfile::tempdir().unwrap();
    let mut next = random(0x9e37_79b9_7f4a_7c15);
    for name in fixtures::OWN {
        let whole = std::fs::read(fixtures::fixture(name)).unwrap();
        let path = folder.path().join(name);
        let moov = whole.windows(4).position(|kind| kind == b"moov").unwrap();
        let mut slowest = Duration::ZERO;
        for round in 0..120 {
            let mut bytes = whole.clone();
            let reach = match round % 3 {
                // The index is where lies are told.
                0 | 1 => moov..(moov + 900).min(whole.len()),
                _ => 0..whole.len(),
            };
            for _ in 0..=next(3) {
                let at = reach.start + next(reach.len());
                bytes[at] = [
                    0,
                    255,
                    127,
                    128,
                    bytes[at] ^ (1 << next(8)),
                    next(256) as u8,
                ][next(6)];
            }
            if next(8) == 0 {
                bytes.truncate(next(whole.len()));
            }
            std::fs::write(&path, &bytes).unwrap();
            let start = Instant::now();
            // What a blow made foreign goes to FFmpeg, whose errors are its own.
            if probe(&path).is_ok_and(|info| info.reader == Reader::Kinora) {
                let _ = exhaust(&path);
            }
            let _ = open_sink(folder.path().join("out.mp4"), &options(&clip(16, 16, 1)))
                .unwrap()
                .copy_audio(&path, 0.0..1.0);
            slowest = slowest.max(start.elapsed());
        }
        assert!(slowest < Duration::from_secs(30), "{name}: {slowest:?}");
    }
}

/// Counts in the index that promise more than the file holds.
#[test]
fn lying_counts_are_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lie.mp4");
    let whole = std::fs::read(fixtures::fixture("keys.mp4")).unwrap();
    for (kind, field) in [
        (b"stsz", 12),
        (b"stsz", 8),
        (b"stts", 8),
        (b"stsc", 12),
        (b"stco", 8),
        (b"elst", 8),
    ] {
        let at = whole.windows(4).position(|found| found == kind).unwrap();
        for count in [u32::MAX, u32::MAX / 4, 1 << 24] {
            let mut bytes = whole.clone();
            bytes[at + field..at + field + 4].copy_from_slice(&count.to_be_bytes());
            std::fs::write(&path, &bytes).unwrap();
            let start = Instant::now();
            let _ = exhaust(&path);
            assert!(
                start.elapsed() < Duration::from_secs(10),
                "{kind:?} {count}"
            );
        }
    }
}

/// The size stands in the parameter set, which the decoder believes: 8K is refused before it does.
#[test]
fn a_clip_of_8k_is_refused_and_the_limit_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("8k.mov");
    // HEVC says its size in the codec table alone.
    let mut bytes = std::fs::read(fixtures::fixture("hlg.mp4")).unwrap();
    let at = bytes
        .windows(4)
        .position(|kind| kind == b"hvc1" || kind == b"hev1")
        .unwrap();
    bytes[at + 28..at + 32].copy_from_slice(&[0x1e, 0x00, 0x10, 0xe0]);
    std::fs::write(&path, &bytes).unwrap();
    let refused = open_source(&path).err().unwrap();
    assert!(
        matches!(
            refused,
            Error::VideoSize {
                width: 7680,
                height: 4320
            }
        ),
        "{refused}"
    );
    assert!(refused.to_string().contains("4096x4096"));
}
