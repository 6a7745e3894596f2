//! What was made, frame by frame.

use std::fs;
use std::path::{Path, PathBuf};

use kinora_media::{Frame, open_source};
use tempfile::TempDir;

pub(crate) fn frames(path: impl AsRef<Path>) -> Vec<Frame> {
    let frames = open_source(path).unwrap();
    frames.map(|frame| frame.unwrap().frame).collect()
}

/// Of a folder of pictures, in the order of their names.
pub(crate) fn pictures(folder: &TempDir, name: &str) -> Vec<Frame> {
    let entries = fs::read_dir(folder.path().join(name)).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().flat_map(frames).collect()
}

/// Mean difference in levels of 255.
pub(crate) fn difference(a: &Frame, b: &Frame) -> f64 {
    let pixels = a.pixels().iter().zip(b.pixels());
    let sum: u64 = pixels.map(|(&a, &b)| u64::from(a.abs_diff(b))).sum();
    sum as f64 / a.pixels().len() as f64
}
