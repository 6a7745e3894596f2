//! MP4 there and back.

mod common;

use common::{clip, entries, options, psnr, read, write};
use kinora_media::{
    Colour, Container, Error, FrameRate, Quality, SinkOptions, open_sink, open_source, probe,
};
use serde_json::json;

#[test]
fn a_clip_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    let frames = clip(256, 144, 48);
    let recipe = json!({"prompt": "a koala 考拉 waves", "seed": 7, "version": "0.1.0"});
    let options = SinkOptions {
        recipe: Some(recipe.clone()),
        ..options(&frames)
    };
    let written = write(&path, &frames, &options);
    assert_eq!(written.frames, 48);
    assert_eq!(written.bytes, std::fs::metadata(&path).unwrap().len());
    assert_eq!(entries(folder.path()), ["clip.mp4"]);

    let info = probe(&path).unwrap();
    assert_eq!(info.container, Container::Mp4);
    assert_eq!(info.codec, "H.264 High");
    assert_eq!((info.width, info.height, info.frames), (256, 144, 48));
    assert_eq!(info.fps, Some(FrameRate::whole(12).unwrap()));
    assert_eq!(info.duration_secs, 4.0);
    assert_eq!(info.colour, Some(Colour::BT709));
    assert_eq!(info.recipe, Some(recipe));
    assert!(info.index_first);

    let decoded = psnr(&frames, &read(&path));
    assert!(decoded >= 38.0, "{decoded:.1} dB");
}

#[test]
fn frames_have_their_times() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    let frames = clip(64, 48, 30);
    let fps: FrameRate = "29.97".parse().unwrap();
    write(
        &path,
        &frames,
        &SinkOptions {
            fps,
            ..options(&frames)
        },
    );
    assert_eq!(probe(&path).unwrap().fps, Some(fps));
    for (index, timed) in open_source(&path).unwrap().enumerate() {
        let timed = timed.unwrap();
        assert!((timed.time_secs - fps.duration_secs(index as u64)).abs() < 1e-9);
        assert!((timed.duration_secs - fps.duration_secs(1)).abs() < 1e-9);
    }
}

#[test]
fn another_frame_rate_repeats_and_leaves_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    let frames = clip(64, 48, 24);
    write(&path, &frames, &options(&frames));
    let at = |fps: &str| -> Vec<_> {
        let source = open_source(&path).unwrap();
        source
            .frames_at(fps.parse().unwrap())
            .collect::<Result<_, _>>()
            .unwrap()
    };
    let same = read(&path);
    assert_eq!(at("12"), same);
    let doubled = at("24");
    assert_eq!(doubled.len(), 48);
    assert!(
        doubled
            .chunks(2)
            .zip(&same)
            .all(|(pair, frame)| pair[0] == *frame && pair[1] == *frame)
    );
    let halved = at("6");
    assert_eq!(halved.len(), 12);
    assert!(
        halved
            .iter()
            .zip(same.iter().step_by(2))
            .all(|(a, b)| a == b)
    );
}

#[test]
fn the_same_frames_make_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let frames = clip(128, 96, 30);
    let bytes = ["a.mp4", "b.mp4"].map(|name| {
        let path = folder.path().join(name);
        write(&path, &frames, &options(&frames));
        std::fs::read(path).unwrap()
    });
    assert!(bytes[0] == bytes[1]);
}

#[test]
fn a_higher_quality_is_larger_and_closer() {
    let folder = tempfile::tempdir().unwrap();
    let frames = clip(128, 96, 12);
    let results = [30, 60, 95].map(|quality| {
        let path = folder.path().join(format!("{quality}.mp4"));
        let options = SinkOptions {
            quality: Quality::new(quality).unwrap(),
            ..options(&frames)
        };
        (
            write(&path, &frames, &options).bytes,
            psnr(&frames, &read(&path)),
        )
    });
    assert!(
        results.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1),
        "{results:?}"
    );
}

#[test]
fn a_frame_of_another_size_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    let frames = clip(64, 48, 1);
    let mut sink = open_sink(&path, &options(&frames)).unwrap();
    let refused = sink.push(&clip(48, 64, 1)[0]);
    assert!(matches!(
        refused,
        Err(Error::FrameMismatch {
            expected: (64, 48),
            got: (48, 64)
        })
    ));
}

/// A film of x264 with B-frames in a pyramid, three references and two slices. Frame `t` is
/// `[20 + 10t + x/4, 60 + x, 200 - 8t]` at column `x`.
#[test]
fn frames_of_other_encoders_come_in_the_order_shown() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/b_frames.mov");
    let frames: Vec<_> = open_source(path).unwrap().map(Result::unwrap).collect();
    assert_eq!(frames.len(), 20);
    for (t, timed) in frames.iter().enumerate() {
        assert!((timed.time_secs - t as f64 / 24.0).abs() < 1e-4);
        for x in [3, 30, 60] {
            let expected = [20 + 10 * t as u32 + x / 4, 60 + x, 200 - 8 * t as u32];
            let got = timed.frame.pixel(x, 24).unwrap().map(u32::from);
            let near = expected.iter().zip(got).all(|(&a, b)| a.abs_diff(b) <= 6);
            assert!(near, "frame {t}, column {x}: {got:?} for {expected:?}");
        }
    }
}

/// Noise does not fit into the encoder's buffer at a fine quantiser: it starts anew, and the file must not show it.
#[test]
fn noise_in_between_is_written_and_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("noise.mp4");
    let mut frames = clip(256, 144, 40);
    let mut random = 1u32;
    for pixel in frames[3].pixels_mut() {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *pixel = (random >> 24) as u8;
    }
    write(&path, &frames, &options(&frames));
    let decoded = read(&path);
    assert_eq!(decoded.len(), 40);
    let after = psnr(&frames[30..], &decoded[30..]);
    assert!(after >= 38.0, "{after:.1} dB");
}

/// What stays in memory is four bytes for a frame: a thousand frames more may cost no more than their table.
#[cfg(target_os = "linux")]
#[test]
fn memory_does_not_grow_with_the_length() {
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .unwrap()
            .to_owned();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let frames = clip(320, 240, 12);
    let mut sink = open_sink(folder.path().join("long.mp4"), &options(&frames)).unwrap();
    let mut push = |count: usize| {
        (0..count).for_each(|index| sink.push(&frames[index % frames.len()]).unwrap());
        resident()
    };
    let (early, late) = (push(100), push(1000));
    // The file alone is several times as large as what is allowed here; other tests run beside this one.
    assert!(late < early + 12_000, "{early} kB, then {late} kB");
}
