//! What the system's FFmpeg reads for us.

#[path = "common/fixtures.rs"]
mod fixtures;

use std::path::Path;
use std::process::Command;

use fixtures::{FOREIGN, assert_drawn, assert_near, drawn, fixture, has_ffmpeg, read_all};
use kinora_media::{Container, DynamicRange, Error, FrameRate, Reader, open_source, probe};

#[test]
fn without_ffmpeg_it_is_named() {
    if has_ffmpeg("nothing") {
        eprintln!("skipped: without_ffmpeg_it_is_named needs a machine without FFmpeg");
        return;
    }
    for name in FOREIGN {
        let refused = open_source(fixture(name)).err().unwrap();
        assert!(
            matches!(refused, Error::NeedsFfmpeg { .. }),
            "{name}: {refused}"
        );
        assert!(refused.to_string().contains("install FFmpeg"), "{refused}");
    }
    // The index still says what it is.
    assert_eq!(
        probe(fixture("hlg.mp4")).unwrap().dynamic_range,
        DynamicRange::Hlg
    );
}

#[test]
fn foreign_clips_come_as_they_are() {
    if !has_ffmpeg("foreign_clips_come_as_they_are") {
        return;
    }
    for name in FOREIGN {
        let info = probe(fixture(name)).unwrap();
        assert_eq!(info.reader, Reader::Ffmpeg, "{name}");
        assert_eq!(open_source(fixture(name)).unwrap().info(), &info, "{name}");
        let frames = read_all(name);
        assert_eq!(frames.len() as u64, info.frames, "{name}");
        for (t, timed) in frames.iter().enumerate() {
            assert_eq!(timed.frame.size(), (info.width, info.height));
            let expected = t as f64 / 24.0;
            // Matroska counts milliseconds.
            assert!(
                (timed.time_secs - expected).abs() < 2e-3,
                "{name}, frame {t}: {}",
                timed.time_secs
            );
            assert!(
                (timed.duration_secs - 1.0 / 24.0).abs() < 2e-3,
                "{name}, frame {t}"
            );
        }
    }
    for (t, timed) in read_all("fragmented.mp4").iter().enumerate() {
        assert_drawn(&timed.frame, t as u32);
    }
    for (t, timed) in read_all("odd.webm").iter().enumerate() {
        assert_eq!(timed.frame.size(), (63, 47));
        assert_near(timed.frame.pixel(30, 24), drawn(t as u32, 30), "odd");
    }
    assert_eq!(
        probe(fixture("odd.webm")).unwrap().container,
        Container::Matroska
    );
    assert!(probe(fixture("interlaced.mp4")).unwrap().interlaced);
}

/// The matrix of the track is that of a phone held upright: fields are woven before the frame is turned.
#[test]
fn a_foreign_clip_stands_upright_too() {
    if !has_ffmpeg("a_foreign_clip_stands_upright_too") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("turned.mp4");
    let mut bytes = std::fs::read(fixture("interlaced.mp4")).unwrap();
    let at = bytes.windows(4).position(|kind| kind == b"tkhd").unwrap() + 44;
    for (place, entry) in [(0, 0), (4, 1i32), (12, -1), (16, 0)] {
        bytes[at + place..at + place + 4].copy_from_slice(&(entry << 16).to_be_bytes());
    }
    std::fs::write(&path, &bytes).unwrap();
    let source = open_source(&path).unwrap();
    assert_eq!(source.info().orientation.clockwise_degrees, 90);
    for (t, timed) in source.enumerate() {
        let frame = timed.unwrap().frame;
        assert_eq!(frame.size(), (48, 64));
        for x in [10, 30, 50] {
            assert_near(
                frame.pixel(24, x),
                drawn(t as u32, x),
                &format!("frame {t}, row {x}"),
            );
        }
    }
}

/// Grey of 5 % to 50 % of HLG. What scenes hold of it, ITU-R BT.2100 and the tone map's own tests say: here it must come in order,
/// without a tint, and below the middle.
#[test]
fn hdr_is_mapped_to_what_screens_show() {
    if !has_ffmpeg("hdr_is_mapped_to_what_screens_show") {
        return;
    }
    let info = probe(fixture("hlg.mp4")).unwrap();
    assert_eq!(
        (info.dynamic_range, info.bit_depth),
        (DynamicRange::Hlg, 10)
    );
    let greys: Vec<u8> = read_all("hlg.mp4")
        .iter()
        .map(|timed| {
            let [r, g, b] = timed.frame.pixel(30, 24).unwrap();
            assert!(r.abs_diff(g) <= 2 && g.abs_diff(b) <= 2, "{r} {g} {b}");
            g
        })
        .collect();
    assert!(greys.is_sorted_by(|a, b| a < b), "{greys:?}");
    assert!(greys[0] < 25 && (110..190).contains(&greys[9]), "{greys:?}");
}

#[test]
fn a_part_of_a_foreign_clip_is_that_part() {
    if !has_ffmpeg("a_part_of_a_foreign_clip_is_that_part") {
        return;
    }
    let whole = read_all("odd.webm");
    for (from, to) in [(0.3, 0.6), (0.5, f64::INFINITY)] {
        let part = open_source(fixture("odd.webm"))
            .unwrap()
            .between(from, to)
            .unwrap();
        let part: Vec<_> = part.map(|timed| timed.unwrap()).collect();
        let expected: Vec<_> = whole
            .iter()
            .filter(|timed| {
                timed.time_secs + timed.duration_secs > from + 1e-5 && timed.time_secs < to
            })
            .collect();
        assert_eq!(part.len(), expected.len());
        assert!(
            part.iter()
                .zip(expected)
                .all(|(got, expected)| got.frame == expected.frame)
        );
    }
    let last = open_source(fixture("odd.webm"))
        .unwrap()
        .last(0.25)
        .unwrap();
    assert_eq!(last.frames_at(FrameRate::whole(24).unwrap()).count(), 6);
}

/// A long clip that FFmpeg itself makes: the seek is more than its lead.
#[test]
fn far_into_a_clip_the_right_frame_comes() {
    if !has_ffmpeg("far_into_a_clip_the_right_frame_comes") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.mkv");
    let made = Command::new("ffmpeg")
        .args([
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            "nullsrc=s=64x48:r=10:d=20,geq=lum='16+N':cb=128:cr=128",
        ])
        .args(["-c:v", "mpeg4", "-q:v", "2", "-g", "25"])
        .arg(&path)
        .status()
        .unwrap();
    assert!(made.success());
    let part = open_source(&path).unwrap().between(15.0, 16.0).unwrap();
    let part: Vec<_> = part.map(|timed| timed.unwrap()).collect();
    assert_eq!(part.len(), 10);
    for (index, timed) in part.iter().enumerate() {
        assert!((timed.time_secs - (15.0 + index as f64 / 10.0)).abs() < 2e-3);
        let expected = (150 + index) as f64 * 255.0 / 219.0;
        let got = f64::from(timed.frame.pixel(30, 24).unwrap()[1]);
        assert!((got - expected).abs() < 4.0, "{got} for {expected}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_dropped_source_leaves_no_process() {
    if !has_ffmpeg("a_dropped_source_leaves_no_process") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kept-for-this-test.webm");
    std::fs::copy(fixture("odd.webm"), &path).unwrap();
    let running = || {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        processes
            .filter_map(|process| std::fs::read(process.path().join("cmdline")).ok())
            .filter(|line| String::from_utf8_lossy(line).contains("kept-for-this-test.webm"))
            .count()
    };
    let mut source = open_source(&path).unwrap();
    source.next().unwrap().unwrap();
    drop(source);
    assert_eq!(running(), 0);
}

#[test]
fn broken_foreign_clips_are_errors() {
    if !has_ffmpeg("broken_foreign_clips_are_errors") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let attempt = |name: &str, bytes: &[u8]| -> Result<usize, Error> {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        open_source(&path)?.try_fold(0, |count, timed| timed.map(|_| count + 1))
    };
    let whole = std::fs::read(fixture("odd.webm")).unwrap();
    for keep in [4, 60, 300] {
        assert!(attempt("cut.webm", &whole[..keep]).is_err(), "{keep}");
    }
    // A list of other files must not be followed, whatever it is called.
    let list = format!(
        "ffconcat version 1.0\nfile {}\n",
        fixture("keys.mp4").display()
    );
    assert!(matches!(
        attempt("list.webm", list.as_bytes()),
        Err(Error::Unsupported { .. })
    ));
    assert!(open_source(Path::new("-i.webm")).is_err());
}
