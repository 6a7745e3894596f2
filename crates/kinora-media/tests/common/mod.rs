//! Clips to write and ways to compare them.
#![allow(dead_code, unreachable_pub)] // Each test file uses its own part.

use std::path::Path;

use kinora_media::{Frame, FrameRate, SinkOptions, Written, open_sink, open_source};

/// Soft waves that drift and a soft disc that crosses them.
pub fn clip(width: u32, height: u32, count: u32) -> Vec<Frame> {
    (0..count).map(|t| picture(width, height, t)).collect()
}

fn picture(width: u32, height: u32, t: u32) -> Frame {
    let (w, h, time) = (f64::from(width), f64::from(height), f64::from(t) / 12.0);
    let centre = (w * (0.1 + 0.2 * time).fract(), h * 0.5);
    Frame::from_fn(width, height, |x, y| {
        let (x, y) = (f64::from(x), f64::from(y));
        let wave = (x / w * 5.0 + time).sin() * (y / h * 4.0 - 0.5 * time).cos();
        let disc = (1.0 - (x - centre.0).hypot(y - centre.1) / (h * 0.35)).clamp(0.0, 1.0);
        [
            110.0 + 60.0 * wave + 60.0 * disc,
            120.0 - 40.0 * wave,
            150.0 + 50.0 * wave - 80.0 * disc,
        ]
        .map(|channel: f64| channel.clamp(0.0, 255.0) as u8)
    })
    .unwrap()
}

pub fn options(frames: &[Frame]) -> SinkOptions {
    SinkOptions::new(
        frames[0].width(),
        frames[0].height(),
        FrameRate::whole(12).unwrap(),
    )
}

pub fn write(path: &Path, frames: &[Frame], options: &SinkOptions) -> Written {
    let mut sink = open_sink(path, options).unwrap();
    frames.iter().for_each(|frame| sink.push(frame).unwrap());
    sink.finish().unwrap()
}

pub fn read(path: &Path) -> Vec<Frame> {
    open_source(path)
        .unwrap()
        .map(|timed| timed.unwrap().frame)
        .collect()
}

/// Peak signal-to-noise ratio over all frames, in dB.
pub fn psnr(a: &[Frame], b: &[Frame]) -> f64 {
    assert_eq!(a.len(), b.len());
    let bytes =
        |frames: &[Frame]| -> Vec<u8> { frames.iter().flat_map(|f| f.pixels().to_vec()).collect() };
    let (a, b) = (bytes(a), bytes(b));
    assert_eq!(a.len(), b.len());
    let squared: f64 = a
        .iter()
        .zip(&b)
        .map(|(&a, &b)| f64::from(a.abs_diff(b)).powi(2))
        .sum();
    10.0 * (255.0f64.powi(2) / (squared / a.len() as f64)).log10()
}

/// What lies in a folder, hidden files too.
pub fn entries(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
