//! A GIF to frames, one at a time.

use std::fs::File;
use std::io::BufReader;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use gif::{ColorOutput, DecodeOptions, DecodingError, DisposalMethod, MemoryLimit};

use super::scan::shown_ms;
use crate::source::{BACKGROUND, TimedFrame};
use crate::{Error, Frame, MAX_PIXELS, Result};

pub(crate) struct GifFrames {
    path: PathBuf,
    decoder: gif::Decoder<BufReader<File>>,
    canvas: Canvas,
    shown_ms: u64,
}

impl GifFrames {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|error| Error::reading(path, error))?;
        let mut options = DecodeOptions::new();
        options.set_color_output(ColorOutput::RGBA);
        let limit = NonZeroU64::new(4 * MAX_PIXELS).unwrap_or(NonZeroU64::MIN);
        options.set_memory_limit(MemoryLimit::Bytes(limit));
        let decoder = options
            .read_info(BufReader::new(file))
            .map_err(|error| failed(path, error))?;
        let (width, height) = (u32::from(decoder.width()), u32::from(decoder.height()));
        let bytes = Frame::byte_len(width, height)? / 3 * 4;
        let canvas = Canvas {
            width: width as usize,
            height: height as usize,
            rgba: vec![0; bytes],
        };
        Ok(Self {
            path: path.into(),
            decoder,
            canvas,
            shown_ms: 0,
        })
    }

    /// The next frame; `None` at the end.
    pub(crate) fn next_frame(&mut self) -> Result<Option<TimedFrame>> {
        let next = self
            .decoder
            .read_next_frame()
            .map_err(|error| failed(&self.path, error))?;
        let Some(part) = next else { return Ok(None) };
        let before = (part.dispose == DisposalMethod::Previous).then(|| self.canvas.rgba.clone());
        self.canvas.draw(part);
        let (width, height) = (self.canvas.width as u32, self.canvas.height as u32);
        let frame = Frame::from_rgba(width, height, &self.canvas.rgba, BACKGROUND)?;
        match (part.dispose, before) {
            (_, Some(before)) => self.canvas.rgba = before,
            (DisposalMethod::Background, _) => self.canvas.clear(part),
            _ => {}
        }
        let duration_ms = shown_ms(part.delay);
        let time_secs = self.shown_ms as f64 / 1000.0;
        self.shown_ms += duration_ms;
        Ok(Some(TimedFrame {
            frame,
            time_secs,
            duration_secs: duration_ms as f64 / 1000.0,
        }))
    }
}

/// The screen that the parts of an animation are drawn on.
struct Canvas {
    width: usize,
    height: usize,
    rgba: Vec<u8>,
}

impl Canvas {
    fn draw(&mut self, part: &gif::Frame) {
        let rows = part.buffer.chunks_exact(4 * usize::from(part.width).max(1));
        for (row, y) in rows.zip(usize::from(part.top)..self.height) {
            let pixels = row.chunks_exact(4).zip(usize::from(part.left)..self.width);
            for (pixel, x) in pixels.filter(|(pixel, _)| pixel[3] != 0) {
                let at = 4 * (y * self.width + x);
                self.rgba[at..at + 4].copy_from_slice(pixel);
            }
        }
    }

    /// Makes the place of `part` transparent.
    fn clear(&mut self, part: &gif::Frame) {
        let (left, top) = (usize::from(part.left), usize::from(part.top));
        let right = (left + usize::from(part.width)).min(self.width);
        for y in top..(top + usize::from(part.height)).min(self.height) {
            if left < right {
                self.rgba[4 * (y * self.width + left)..4 * (y * self.width + right)].fill(0);
            }
        }
    }
}

fn failed(path: &Path, error: DecodingError) -> Error {
    match error {
        DecodingError::Io(error) => Error::reading(path, error),
        other => Error::corrupt(path, other),
    }
}
