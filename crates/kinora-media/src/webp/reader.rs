//! An animated WebP to frames, one at a time.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use image_webp::{DecodingError, WebPDecoder};

use super::chunks::shown_ms;
use crate::source::{BACKGROUND, TimedFrame};
use crate::{Error, Frame, MAX_PIXELS, Result};

pub(crate) struct WebpFrames {
    path: PathBuf,
    decoder: WebPDecoder<BufReader<File>>,
    left: u32,
    buffer: Vec<u8>,
    shown_ms: u64,
}

impl WebpFrames {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|error| Error::reading(path, error))?;
        let mut decoder =
            WebPDecoder::new(BufReader::new(file)).map_err(|error| failed(path, error))?;
        let (width, height) = decoder.dimensions();
        Frame::byte_len(width, height)?;
        if !decoder.is_animated() {
            return Err(Error::corrupt(path, "its header denies its frames"));
        }
        decoder.set_memory_limit(4 * MAX_PIXELS as usize);
        let bytes = decoder.output_buffer_size().unwrap_or(0);
        let left = decoder.num_frames();
        Ok(Self {
            path: path.into(),
            decoder,
            left,
            buffer: vec![0; bytes],
            shown_ms: 0,
        })
    }

    /// The next frame; `None` at the end.
    pub(crate) fn next_frame(&mut self) -> Result<Option<TimedFrame>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let duration = self
            .decoder
            .read_frame(&mut self.buffer)
            .map_err(|error| failed(&self.path, error))?;
        let (width, height) = self.decoder.dimensions();
        let frame = if self.decoder.has_alpha() {
            Frame::from_rgba(width, height, &self.buffer, BACKGROUND)?
        } else {
            Frame::new(width, height, self.buffer.clone())?
        };
        let duration_ms = shown_ms(duration);
        let time_secs = self.shown_ms as f64 / 1000.0;
        self.shown_ms += duration_ms;
        Ok(Some(TimedFrame {
            frame,
            time_secs,
            duration_secs: duration_ms as f64 / 1000.0,
        }))
    }
}

fn failed(path: &Path, error: DecodingError) -> Error {
    match error {
        DecodingError::IoError(error) => Error::reading(path, error),
        other => Error::corrupt(path, other),
    }
}
