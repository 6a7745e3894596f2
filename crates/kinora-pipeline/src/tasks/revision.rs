//! A given clip that is to be changed: as a whole by a strength, or in a region. It is read as the windows need it.

use std::path::PathBuf;

use burn::tensor::{Device, Tensor};
use kinora_media::{Frame, FrameRate, FramesAt, open_source, resize};
use kinora_models::{GivenFrame, VideoModel};

use super::encode;
use crate::beside::pixels;
use crate::frames::tensor_from_frames;
use crate::generate::latent_frames;
use crate::reel::fit_given;
use crate::region::Mask;
use crate::timeline::Kind;
use crate::{Error, LatentFrame, Layout};

/// Latent frames of a clip, each noised by a strength.
pub struct Revision<'a, M> {
    model: &'a M,
    device: Device,
    /// Width and height that the model makes.
    native_size: [usize; 2],
    /// Width and height of the file.
    size: [u32; 2],
    len: usize,
    strength: f32,
    mask: Option<Mask>,
    path: PathBuf,
    clip: FramesAt,
    /// Frames read so far.
    read: usize,
    last: Option<Frame>,
}

/// What is to be changed.
pub struct Change {
    /// The clip.
    pub path: PathBuf,
    /// Its frames at the model's rate.
    pub frames: usize,
    /// Frames per second that the model makes.
    pub fps: FrameRate,
    /// Size of the file in pixels, which the clip is fitted to.
    pub size: [u32; 2],
    /// 0 keeps it, 1 replaces it.
    pub strength: f32,
    /// Where; `None` is everywhere. At the model's rate.
    pub mask: Option<Mask>,
}

impl<'a, M: VideoModel> Revision<'a, M> {
    /// Opens the clip. Its frames are stretched to `native_size`, which the model makes.
    ///
    /// # Errors
    ///
    /// A clip that cannot be read.
    pub fn open(
        model: &'a M,
        change: Change,
        native_size: [usize; 2],
        device: &Device,
    ) -> Result<Self, Error> {
        Ok(Self {
            model,
            device: device.clone(),
            native_size,
            size: change.size,
            len: latent_frames(change.frames, model.description().temporal_stride),
            strength: change.strength,
            mask: change.mask,
            clip: open_source(&change.path)?.frames_at(change.fps),
            path: change.path,
            read: 0,
            last: None,
        })
    }

    /// The next frame of the clip; the last one stays. With it, where it changes: in latents and in pixels.
    fn next(&mut self) -> Result<(Frame, Option<(Tensor<5>, Tensor<5>)>), Error> {
        if let Some(frame) = self.clip.next() {
            let [width, height] = self.native_size.map(|side| side as u32);
            self.last = Some(resize(&fit_given(&frame?, self.size)?, width, height)?);
        }
        self.read += 1;
        let frame = self.last.clone().ok_or_else(|| Error::ClipChanged {
            path: self.path.clone(),
        })?;
        let stride = self.model.description().spatial_stride;
        let [width, height] = self.native_size.map(|side| side / stride);
        let region = match &mut self.mask {
            Some(mask) => {
                let painted = mask.next()?;
                let made = painted.pixels(self.native_size);
                Some((
                    painted.latents([height, width], &self.device),
                    pixels(&made, self.native_size, &self.device),
                ))
            }
            None => None,
        };
        Ok((frame, region))
    }
}

impl<M: VideoModel> Layout for Revision<'_, M> {
    fn len(&self) -> usize {
        self.len
    }

    fn kind(&self, _index: usize) -> Kind {
        match self.mask {
            Some(_) => Kind::InRegion(self.strength),
            None => Kind::Noised(self.strength),
        }
    }

    fn latent_frame(&mut self, index: usize) -> Result<LatentFrame, Error> {
        let stride = self.model.description().temporal_stride;
        let from = match index {
            0 => 0,
            _ => 1 + (index - 1) * stride,
        };
        // What was finished before is passed by.
        while self.read < from {
            self.next()?;
        }
        let before = self.last.clone();
        let mut frames = Vec::new();
        let mut region: Option<Tensor<5>> = None;
        let mut given = Vec::new();
        while self.read <= index * stride {
            let (frame, changes) = self.next()?;
            let (changes, made) = changes.unzip();
            given.push(GivenFrame {
                picture: tensor_from_frames(std::slice::from_ref(&frame), &self.device),
                made,
            });
            frames.push(frame);
            region = match (region, changes) {
                (Some(region), Some(changes)) => Some(region.max_pair(changes)),
                (region, changes) => changes.or(region),
            };
        }
        let latents = match (&frames[..], before) {
            ([only], None) => encode::first(self.model, only, &self.device)?,
            (frames, before) => {
                let before = before.unwrap_or_else(|| frames[0].clone());
                encode::middle(self.model, &before, frames, &self.device)?
            }
        };
        Ok(LatentFrame::Noised {
            latents,
            strength: self.strength,
            region: region.map(Box::new),
            frames: given,
        })
    }
}
