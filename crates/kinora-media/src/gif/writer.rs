//! Frames to a GIF that plays forever.

use std::io;
use std::path::Path;

use gif::{AnyExtension, EncodingError, Extension, Repeat};

use super::palette::{MAX_COLOURS, Palette};
use crate::atomic::OutputFile;
use crate::sink::{Backend, SinkOptions, Written};
use crate::{Error, Frame, FrameRate, Result};

/// Players show faster frames at 10 frames/s.
const MAX_FPS: u32 = 50;

/// The last frame's palette serves this one too while its error is no more than this times that of a new one: colours then do not
/// flicker.
const KEEP_PALETTE: f64 = 1.25;

pub(crate) struct GifSink {
    encoder: gif::Encoder<OutputFile>,
    path: std::path::PathBuf,
    fps: FrameRate,
    frames: u64,
    palette: Option<Palette>,
    /// The colours on the screen after the last frame.
    shown: Vec<[u8; 3]>,
}

impl GifSink {
    pub(crate) fn open(path: &Path, options: &SinkOptions) -> Result<Self> {
        let (width, height, fps) = (options.width, options.height, options.fps);
        if fps.as_f64() > f64::from(MAX_FPS) {
            return Err(Error::FrameRateLimit {
                format: "GIF",
                fps,
                max: MAX_FPS,
            });
        }
        // Frames are at most 16,384 pixels wide and high, and GIF takes 65,535.
        let file = OutputFile::create(path, options.overwrite)?;
        let failed = |error| failed(path, error);
        let mut encoder =
            gif::Encoder::new(file, width as u16, height as u16, &[]).map_err(failed)?;
        encoder.set_repeat(Repeat::Infinite).map_err(failed)?;
        if let Some(recipe) = &options.recipe {
            let comment = AnyExtension::from(Extension::Comment);
            encoder
                .write_raw_extension(comment, &[recipe.to_string().as_bytes()])
                .map_err(failed)?;
        }
        Ok(Self {
            encoder,
            path: path.into(),
            fps,
            frames: 0,
            palette: None,
            shown: Vec::new(),
        })
    }

    /// The palette for `frame`: the last one while it serves, so that colours stand still.
    fn palette_for(&mut self, frame: &Frame) -> Palette {
        let mut fresh = Palette::of(frame);
        let bound = KEEP_PALETTE * fresh.error(frame);
        let mut last = self.palette.take();
        let serves = last.as_mut().is_some_and(|last| last.error(frame) <= bound);
        last.filter(|_| serves).unwrap_or(fresh)
    }
}

impl Backend for GifSink {
    fn push(&mut self, frame: &Frame) -> Result<()> {
        let mut palette = self.palette_for(frame);
        let mut indices = palette.map(frame);
        let unchanged = palette.colours().len() as u8;
        if self.shown.is_empty() {
            self.shown = indices
                .iter()
                .map(|&index| palette.colours()[index as usize])
                .collect();
        } else {
            for (index, shown) in indices.iter_mut().zip(&mut self.shown) {
                let colour = palette.colours()[*index as usize];
                if *shown == colour {
                    *index = unchanged;
                }
                *shown = colour;
            }
        }
        let mut colours = palette.colours().concat();
        colours.extend([0; 3]);
        debug_assert!(colours.len() <= 3 * (MAX_COLOURS + 1));
        let ticks = |index| self.fps.ticks_at(index, 100);
        let encoded = self.encoder.write_frame(&gif::Frame {
            delay: u16::try_from(ticks(self.frames + 1) - ticks(self.frames)).unwrap_or(u16::MAX),
            transparent: Some(unchanged),
            width: frame.width() as u16,
            height: frame.height() as u16,
            palette: Some(colours),
            buffer: indices.into(),
            ..gif::Frame::default()
        });
        encoded.map_err(|error| failed(&self.path, error))?;
        self.frames += 1;
        self.palette = Some(palette);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Written> {
        let file = self
            .encoder
            .into_inner()
            .map_err(|error| failed(&self.path, error))?;
        let bytes = file.commit()?;
        Ok(Written {
            path: self.path,
            frames: self.frames,
            bytes,
        })
    }
}

fn failed(path: &Path, error: EncodingError) -> Error {
    match error {
        EncodingError::Io(error) => Error::writing(path, error),
        other => Error::writing(path, io::Error::other(other)),
    }
}
