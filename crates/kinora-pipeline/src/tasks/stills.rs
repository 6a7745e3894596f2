//! Pictures that a clip passes through: its first, its last, and those at given times.

use std::collections::BTreeMap;

use burn::tensor::Device;
use kinora_media::Frame;
use kinora_models::VideoModel;

use super::encode;
use crate::generate::latent_frames;
use crate::{Error, LatentFrame, Timeline};

/// A layout with known pictures.
pub struct Stills {
    /// Known where there is a picture, free elsewhere.
    pub timeline: Timeline,
    /// The given picture of each frame that shows one.
    pub seams: BTreeMap<usize, Frame>,
}

/// Index of the latent frame that holds frame `frame`.
pub fn latent_frame_of(frame: usize, temporal_stride: usize) -> usize {
    frame.div_ceil(temporal_stride)
}

/// Lays out a clip of `frames` frames that shows `pictures`, of the model's size, at their frames. A picture is known for the
/// whole latent frame that it falls into.
///
/// # Errors
///
/// [`Error::OutsideClip`] for a frame that the clip does not have, [`Error::PicturesTooNear`] for two pictures in one latent frame,
/// [`Error::EmptyTimeline`] where they leave nothing to be made.
pub fn stills<M: VideoModel>(
    model: &M,
    frames: usize,
    pictures: &[(usize, Frame)],
    device: &Device,
) -> Result<Stills, Error> {
    let stride = model.description().temporal_stride;
    let total = latent_frames(frames, stride);
    let mut layout = vec![LatentFrame::Free; total];
    let mut seams = BTreeMap::new();
    for (frame, picture) in pictures {
        if *frame >= frames {
            return Err(Error::OutsideClip {
                frame: *frame,
                frames,
            });
        }
        let index = latent_frame_of(*frame, stride);
        if matches!(layout[index], LatentFrame::Known(_)) {
            return Err(Error::PicturesTooNear { stride });
        }
        let (latents, held) = match index {
            0 => (encode::first(model, picture, device)?, 0..1),
            _ => {
                let group = vec![picture.clone(); stride];
                let held = (index - 1) * stride + 1..(index * stride + 1).min(frames);
                (encode::middle(model, picture, &group, device)?, held)
            }
        };
        layout[index] = LatentFrame::Known(latents);
        seams.extend(held.map(|frame| (frame, picture.clone())));
    }
    let is_free = |frame: &LatentFrame| matches!(frame, LatentFrame::Free);
    if !layout.iter().any(is_free) {
        return Err(Error::EmptyTimeline);
    }
    Ok(Stills {
        timeline: Timeline::new(layout),
        seams,
    })
}
