//! Clips of other programs, from `tests/data`; `make.py` there made them.
#![allow(dead_code, unreachable_pub)] // Each test file uses its own part.

use std::path::PathBuf;

use kinora_media::{Frame, TimedFrame, open_source};

/// All of them that are decoded without FFmpeg.
pub const OWN: [&str; 9] = [
    "b_frames.mov",
    "rotated.mov",
    "mirrored.mp4",
    "anamorphic.mp4",
    "variable.mp4",
    "old.mov",
    "keys.mp4",
    "full_601.mp4",
    "sound.mov",
];

/// Those that take FFmpeg.
pub const FOREIGN: [&str; 4] = ["fragmented.mp4", "hlg.mp4", "interlaced.mp4", "odd.webm"];

pub fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

pub fn read_all(name: &str) -> Vec<TimedFrame> {
    open_source(fixture(name))
        .unwrap()
        .map(|timed| timed.unwrap())
        .collect()
}

/// What column `x` of frame `t` was drawn as.
pub fn drawn(t: u32, x: u32) -> [u8; 3] {
    [20 + 10 * t + x / 4, 60 + x, 200 - 8 * t].map(|value| value as u8)
}

/// Whether a pixel is the drawn colour, but for the loss of the codec.
pub fn assert_near(got: Option<[u8; 3]>, expected: [u8; 3], what: &str) {
    let got = got.unwrap();
    let near = got.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 6);
    assert!(near, "{what}: {got:?} for {expected:?}");
}

/// Whether a frame is frame `t` as it was drawn.
pub fn assert_drawn(frame: &Frame, t: u32) {
    for x in [3, 30, 60] {
        assert_near(
            frame.pixel(x, 24),
            drawn(t, x),
            &format!("frame {t}, column {x}"),
        );
    }
}

/// Whether FFmpeg is there; what cannot be tested without it says so.
pub fn has_ffmpeg(test: &str) -> bool {
    let runs = |program: &str| {
        let output = std::process::Command::new(program).arg("-version").output();
        output.is_ok_and(|output| output.status.success())
    };
    let has = runs("ffmpeg") && runs("ffprobe");
    if !has {
        eprintln!("skipped: {test} needs ffmpeg and ffprobe");
    }
    has
}
