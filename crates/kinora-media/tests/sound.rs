//! Sound that is taken over into another film.

#[path = "common/fixtures.rs"]
mod fixtures;

use std::path::Path;

use fixtures::{fixture, has_ffmpeg};
use kinora_media::{
    Error, Frame, FrameRate, SinkOptions, VideoSink, open_sink, open_source, probe,
};

/// A film of `frames` frames at 12 a second.
fn film(path: &Path, frames: usize, prepare: impl FnOnce(&mut VideoSink)) {
    let options = SinkOptions::new(64, 48, FrameRate::whole(12).unwrap());
    let mut sink = open_sink(path, &options).unwrap();
    prepare(&mut sink);
    for index in 0..frames {
        sink.push(&Frame::filled(64, 48, [index as u8 * 5, 90, 200]).unwrap())
            .unwrap();
    }
    let written = sink.finish().unwrap();
    assert_eq!(written.bytes, std::fs::metadata(path).unwrap().len());
}

#[test]
fn the_sound_of_a_clip_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kept.mp4");
    film(&path, 30, |sink| {
        sink.copy_audio(fixture("sound.mov"), 0.25..10.0).unwrap()
    });
    let sound = probe(&path).unwrap().audio.unwrap();
    assert_eq!(
        (sound.codec.as_str(), sound.sample_rate, sound.channels),
        ("AAC", 48_000, 1)
    );
    assert!(
        (sound.duration_secs - 1.27).abs() < 0.05,
        "{}",
        sound.duration_secs
    );
    // The pictures are where they were.
    let frames: Vec<_> = open_source(&path)
        .unwrap()
        .map(|timed| timed.unwrap())
        .collect();
    assert_eq!(frames.len(), 30);
    assert!(frames[29].frame.pixel(9, 9).unwrap()[0].abs_diff(145) < 4);

    // And again from the copy: what is heard between 0.5 and 1 s of it.
    let again = folder.path().join("again.mp4");
    film(&again, 30, |sink| sink.copy_audio(&path, 0.5..1.0).unwrap());
    let sound = probe(&again).unwrap().audio.unwrap();
    assert!(
        (sound.duration_secs - 0.54).abs() < 0.05,
        "{}",
        sound.duration_secs
    );
}

#[test]
fn sound_ends_with_the_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("short.mp4");
    film(&path, 6, |sink| {
        sink.copy_audio(fixture("sound.mov"), 0.0..f64::INFINITY)
            .unwrap()
    });
    let sound = probe(&path).unwrap().audio.unwrap();
    assert!(
        (sound.duration_secs - 0.53).abs() < 0.05,
        "{}",
        sound.duration_secs
    );
}

#[test]
fn sound_may_begin_after_the_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("later.mp4");
    film(&path, 30, |sink| {
        sink.copy_audio(fixture("sound.mov"), -0.5..1.0).unwrap()
    });
    let heard = |secs: std::ops::Range<f64>| {
        let options = SinkOptions::new(64, 48, FrameRate::whole(12).unwrap());
        let mut sink = open_sink(folder.path().join("part.mp4"), &options).unwrap();
        sink.copy_audio(&path, secs).is_ok()
    };
    assert!(!heard(0.0..0.45) && heard(0.55..0.6) && heard(1.4..1.45) && !heard(1.6..2.5));
}

#[test]
fn what_has_no_sound_to_copy_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let options = SinkOptions::new(64, 48, FrameRate::whole(12).unwrap());
    let mut sink = open_sink(folder.path().join("a.mp4"), &options).unwrap();
    for (name, what) in [("keys.mp4", "none"), ("odd.webm", "no MP4")] {
        let refused = sink.copy_audio(fixture(name), 0.0..1.0).unwrap_err();
        assert!(matches!(refused, Error::Sound { .. }), "{name}");
        assert!(refused.to_string().contains(what), "{refused}");
    }
    let beyond = sink.copy_audio(fixture("sound.mov"), 5.0..6.0).unwrap_err();
    assert!(matches!(beyond, Error::Sound { .. }));
    let missing = sink
        .copy_audio(folder.path().join("none.mp4"), 0.0..1.0)
        .unwrap_err();
    assert!(matches!(missing, Error::Missing { .. }));
    let mut silent = open_sink(folder.path().join("a.gif"), &options).unwrap();
    let refused = silent
        .copy_audio(fixture("sound.mov"), 0.0..1.0)
        .unwrap_err();
    assert!(matches!(refused, Error::SilentFormat { .. }));
}

/// FFmpeg hears 440 Hz up to second 1 of the clip and 880 Hz from there: in the copy from 0.25 s on that is at 0.75 s.
#[test]
fn the_copy_sounds_at_the_right_time() {
    if !has_ffmpeg("the_copy_sounds_at_the_right_time") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kept.mp4");
    film(&path, 15, |sink| {
        sink.copy_audio(fixture("sound.mov"), 0.25..10.0).unwrap()
    });
    let output = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(&path)
        .args([
            "-map", "0:a", "-f", "f32le", "-ac", "1", "-ar", "48000", "-",
        ])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let wave: Vec<f32> = output
        .stdout
        .chunks_exact(4)
        .map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        .collect();
    assert!(
        (wave.len() as f64 / 48_000.0 - 1.25).abs() < 0.05,
        "{}",
        wave.len()
    );
    let crossings = |from: f64, to: f64| {
        let part = &wave[(from * 48_000.0) as usize..(to * 48_000.0) as usize];
        let ups = part
            .windows(2)
            .filter(|pair| pair[0] <= 0.0 && pair[1] > 0.0)
            .count();
        ups as f64 / (to - from)
    };
    for (from, to, hertz) in [(0.05, 0.7, 440.0), (0.80, 1.15, 880.0)] {
        let heard = crossings(from, to);
        assert!(
            (heard - hertz).abs() < 15.0,
            "{heard} Hz from {from} to {to}"
        );
    }
}
