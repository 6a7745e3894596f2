//! Pictures that a clip passes through: its first, its last, and those at given times.

use std::collections::BTreeMap;

use burn::tensor::Device;
use kinora_media::Frame;
use kinora_models::{Description, KnownFrames, VideoModel};

use super::encode;
use crate::generate::latent_frames;
use crate::limits::{check_beside, check_kinds, check_length};
use crate::timeline::Kind;
use crate::{Beside, Error, LatentFrame, Timeline};

/// A layout with known pictures.
pub struct Stills {
    /// Known where there is a picture, free elsewhere.
    pub timeline: Timeline,
    /// The given picture of each frame that shows one.
    pub seams: BTreeMap<usize, Frame>,
    /// The pictures, where the model is shown them beside the latents.
    pub beside: Beside,
}

/// Index of the latent frame that holds frame `frame`.
pub fn latent_frame_of(frame: usize, temporal_stride: usize) -> usize {
    frame.div_ceil(temporal_stride)
}

/// Frames before the first of a clip of `frames` frames that begins with a picture, of which nothing is shown. A clip's first latent frame
/// holds a single frame, and a network that goes on from it alone is unsure of a picture unlike those that it knows: after a third of a second
/// it falls apart, where from a whole latent frame of it it stays. So it has stood there before, where the model takes that: the
/// picture is given at frame 0 and again behind these.
pub fn lead(about: &Description, frames: usize) -> usize {
    match about.known_frames {
        KnownFrames::Any if frames > 1 => about.temporal_stride,
        _ => 0,
    }
}

/// Lays out a clip of `frames` frames that shows `pictures`, of the model's size, at their frames. A picture is known for the
/// whole latent frame that it falls into, or shown beside the latents, whatever the model takes.
///
/// # Errors
///
/// What the model does not take, [`Error::OutsideClip`] for a frame that the clip does not have, [`Error::PicturesTooNear`] for
/// two pictures in one place, [`Error::EmptyTimeline`] where they leave nothing to be made.
pub fn stills<M: VideoModel>(
    model: &M,
    frames: usize,
    pictures: &[(usize, Frame)],
    device: &Device,
) -> Result<Stills, Error> {
    let about = model.description();
    check_length(about, frames)?;
    let outside = pictures.iter().find(|(frame, _)| *frame >= frames);
    if let Some((frame, _)) = outside {
        return Err(Error::OutsideClip {
            frame: *frame,
            frames,
        });
    }
    match about.known_frames {
        KnownFrames::Shown(_) => shown(model, frames, pictures),
        _ => known(model, frames, pictures, device),
    }
}

/// Pictures as known latent frames.
fn known<M: VideoModel>(
    model: &M,
    frames: usize,
    pictures: &[(usize, Frame)],
    device: &Device,
) -> Result<Stills, Error> {
    let stride = model.description().temporal_stride;
    let mut kinds = vec![Kind::Free; latent_frames(frames, stride)];
    for (frame, _) in pictures {
        let index = latent_frame_of(*frame, stride);
        if kinds[index] == Kind::Known {
            return Err(Error::PicturesTooNear { stride });
        }
        kinds[index] = Kind::Known;
    }
    check_kinds(model.description(), &kinds)?;
    if !kinds.contains(&Kind::Free) {
        return Err(Error::EmptyTimeline);
    }

    let mut layout = vec![LatentFrame::Free; kinds.len()];
    let mut seams = BTreeMap::new();
    for (frame, picture) in pictures {
        let index = latent_frame_of(*frame, stride);
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
    Ok(Stills {
        timeline: Timeline::new(layout),
        seams,
        beside: Beside::default(),
    })
}

/// Pictures beside the latents, each for its frame alone.
fn shown<M: VideoModel>(
    model: &M,
    frames: usize,
    pictures: &[(usize, Frame)],
) -> Result<Stills, Error> {
    let about = model.description();
    let total = latent_frames(frames, about.temporal_stride);
    let whole = 1 + (total - 1) * about.temporal_stride;
    let seams: BTreeMap<usize, Frame> = pictures.iter().cloned().collect();
    if seams.len() < pictures.len() {
        return Err(Error::PicturesTooNear { stride: 1 });
    }
    let mut beside = Beside::default();
    for (frame, picture) in &seams {
        // Latent frames are made as a whole: the last picture stays until their end.
        let held = match frame + 1 == frames {
            true => *frame..whole,
            false => *frame..frame + 1,
        };
        let shown = held.map(|place| (place, picture.clone().into()));
        beside.frames.extend(shown);
    }
    check_beside(about, &beside, total)?;
    if beside.frames.len() == whole {
        return Err(Error::EmptyTimeline);
    }
    Ok(Stills {
        timeline: Timeline::free(total),
        seams,
        beside,
    })
}
