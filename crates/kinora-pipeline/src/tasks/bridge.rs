//! New frames before, after or between given ones: extend, fill a time, loop, blend.

use std::collections::BTreeMap;

use burn::tensor::Device;
use kinora_media::Frame;
use kinora_models::{Description, VideoModel};

use super::encode;
use crate::{Error, LatentFrame, Timeline};

/// A layout with given frames at one end or at both.
pub struct Bridge {
    /// Known, free, known.
    pub timeline: Timeline,
    /// Frames of the layout, the given ones among them.
    pub frames: usize,
    /// The given frames beside the made ones, by their place.
    pub seams: BTreeMap<usize, Frame>,
    /// The first frame that was asked for.
    pub made_from: usize,
}

/// Frames before the made ones that a model sees: whole latent frames, and the one that begins a clip.
pub fn frames_before(about: &Description) -> usize {
    1 + about.overlap.max(1) * about.temporal_stride
}

/// Frames after the made ones that a model sees; the made ones may end within a latent frame, so up to a stride more.
pub fn frames_after(about: &Description) -> usize {
    about.overlap.max(1) * about.temporal_stride + about.temporal_stride - 1
}

/// Lays out `made` frames between `before` and `after`, of which one may be empty. All have the model's size and rate; `before`
/// ends and `after` begins beside the made ones. Of `before` the last [`frames_before`] are used, of `after` the first
/// [`frames_after`]; a shorter `after` goes on with its last frame.
///
/// # Errors
///
/// [`Error::EmptyTimeline`] where nothing is to be made.
pub fn bridge<M: VideoModel>(
    model: &M,
    before: &[Frame],
    made: usize,
    after: &[Frame],
    device: &Device,
) -> Result<Bridge, Error> {
    if made == 0 {
        return Err(Error::EmptyTimeline);
    }
    let about = model.description();
    let stride = about.temporal_stride;
    let before = whole_latents(before, frames_before(about), stride);
    let mut latent_frames: Vec<LatentFrame> = Vec::new();
    if let Some((first, rest)) = before.split_first() {
        latent_frames.push(LatentFrame::Known(encode::first(model, first, device)?));
        for (i, frames) in rest.chunks_exact(stride).enumerate() {
            let latents = encode::middle(model, &before[i * stride], frames, device)?;
            latent_frames.push(LatentFrame::Known(latents));
        }
    }

    // A latent frame is made as a whole: frames that were not asked for are made where a given clip is shown instead, or
    // before the beginning.
    let asked = before.len() + made;
    let free = 1 + (asked - 1).div_ceil(stride) - latent_frames.len();
    latent_frames.extend((0..free).map(|_| LatentFrame::Free));
    let end = 1 + (latent_frames.len() - 1) * stride;
    let surplus = end - asked;

    let mut seams = BTreeMap::new();
    if let Some(last) = before.last() {
        seams.insert(before.len() - 1, last.clone());
    }
    let (mut made_from, mut frames) = (before.len(), asked);
    if let (Some(first), Some(last)) = (after.first(), after.last()) {
        let skipped = if before.is_empty() {
            made_from = surplus;
            0
        } else {
            surplus
        };
        seams.insert(end - skipped, first.clone());
        let at = |index: usize| after.get(index).unwrap_or(last);
        for latent in 0..about.overlap.max(1) {
            let from = skipped + latent * stride;
            let group: Vec<Frame> = (from..from + stride).map(|i| at(i).clone()).collect();
            let latents = encode::middle(model, at(from.saturating_sub(1)), &group, device)?;
            latent_frames.push(LatentFrame::Known(latents));
        }
        frames = 1 + (latent_frames.len() - 1) * stride;
    }
    Ok(Bridge {
        timeline: Timeline::new(latent_frames),
        frames,
        seams,
        made_from,
    })
}

/// The last frames of `frames` that fill whole latent frames, at most `most`.
fn whole_latents(frames: &[Frame], most: usize, stride: usize) -> &[Frame] {
    let Some(more) = frames.len().min(most).checked_sub(1) else {
        return &[];
    };
    &frames[frames.len() - 1 - more / stride * stride..]
}
