//! What makes frames larger and more: learned, or plain where no network is given.

use std::time::Duration;

use burn::tensor::Device;
use kinora_media::{Frame, resize, resize_to_cover};
use kinora_models::interpolator::Interpolator;
use kinora_models::upscaler::{SCALE, Source, Upscaler};

use crate::Error;
use crate::cut::is_cut;
use crate::frames::{frames_from_tensor, tensor_from_frames};
use crate::reel::Fit;

/// The networks that frames go through after the decoder.
#[derive(Debug, Clone)]
pub struct Finish {
    /// Makes frames larger; without it a filter does.
    pub upscaler: Option<Upscaler>,
    /// What frames are to it.
    pub source: Source,
    /// Makes frames between frames; without it those that are there are repeated or left out.
    pub interpolator: Option<Interpolator>,
    /// Where they compute.
    pub device: Device,
}

impl Finish {
    /// No networks.
    pub fn plain(device: &Device) -> Self {
        Self {
            upscaler: None,
            source: Source::Clean,
            interpolator: None,
            device: device.clone(),
        }
    }

    /// A frame at the size of the file.
    ///
    /// # Errors
    ///
    /// A size that no frame can have.
    pub fn fitted(&self, frame: &Frame, size: [u32; 2], fit: Fit) -> Result<Frame, Error> {
        let [width, height] = size;
        let large = match &self.upscaler {
            Some(upscaler) if grows(frame, size, fit) => {
                let small = tensor_from_frames(std::slice::from_ref(frame), &self.device);
                let [first, span] = part(frame, size, fit);
                let to = [height as usize, width as usize];
                if let Some(bytes) = upscaler.upscale_to_size(&small, self.source, first, span, to)
                {
                    return Ok(Frame::new(width, height, bytes)?);
                }
                let (bytes, scale) = (upscaler.upscale_to_bytes(small, self.source), SCALE as u32);
                Some(Frame::new(
                    frame.width() * scale,
                    frame.height() * scale,
                    bytes,
                )?)
            }
            _ => None,
        };
        let frame = large.as_ref().unwrap_or(frame);
        Ok(match fit {
            Fit::Cover => resize_to_cover(frame, width, height)?,
            Fit::Stretch => resize(frame, width, height)?,
        })
    }

    /// The frames at `times` on the way from one frame to the next.
    ///
    /// # Errors
    ///
    /// A size that no frame can have.
    pub(crate) fn between(
        &self,
        first: &Frame,
        second: &Frame,
        times: &[f32],
    ) -> Result<Vec<Frame>, Error> {
        match &self.interpolator {
            Some(interpolator) => between(interpolator, first, second, times, &self.device),
            None => Ok(vec![first.clone(); times.len()]),
        }
    }
}

/// Time that frames took on their way into the file.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FinishTimes {
    /// Frames between frames.
    pub(crate) between: Duration,
    /// Frames at the size of the file.
    pub(crate) enlarge: Duration,
}

/// The part of a frame that is seen at `size`: its first row and column, and its rows and columns, in pixels.
fn part(frame: &Frame, [width, height]: [u32; 2], fit: Fit) -> [[f32; 2]; 2] {
    let from = [frame.height(), frame.width()].map(|side| side as f32);
    let to = [height, width].map(|side| side as f32);
    let span = match fit {
        Fit::Stretch => from,
        Fit::Cover => {
            let scale = (to[0] / from[0]).max(to[1] / from[1]);
            [0, 1].map(|axis| (to[axis] / scale).min(from[axis]))
        }
    };
    [[0, 1].map(|axis| (from[axis] - span[axis]) / 2.0), span]
}

/// Whether a frame becomes larger on its way to `size`.
fn grows(frame: &Frame, [width, height]: [u32; 2], fit: Fit) -> bool {
    let across = f64::from(width) / f64::from(frame.width());
    let down = f64::from(height) / f64::from(frame.height());
    match fit {
        Fit::Cover => across.max(down) > 1.0,
        Fit::Stretch => across * down > 1.0,
    }
}

/// The frames at `times` on the way from one frame to the next. Across a cut, and where nothing changes, the first one stays.
///
/// # Errors
///
/// A size that no frame can have.
pub(crate) fn between(
    interpolator: &Interpolator,
    first: &Frame,
    second: &Frame,
    times: &[f32],
    device: &Device,
) -> Result<Vec<Frame>, Error> {
    if first == second || is_cut(first, second)? {
        return Ok(vec![first.clone(); times.len()]);
    }
    let [from, to] =
        [first, second].map(|frame| tensor_from_frames(std::slice::from_ref(frame), device));
    let made = interpolator.between(from, to, times);
    let mut frames = Vec::with_capacity(times.len());
    for frame in made {
        frames.extend(frames_from_tensor(frame)?);
    }
    Ok(frames)
}
