//! New frames before, after or between given ones: extend, fill a time, loop, blend.

use std::collections::BTreeMap;

use burn::tensor::Device;
use kinora_media::Frame;
use kinora_models::{Description, KnownFrames, Shown, VideoModel};

use super::encode;
use crate::generate::latent_frames;
use crate::limits::{check_beside, check_kinds, check_length};
use crate::timeline::Kind;
use crate::{Beside, Error, LatentFrame, Timeline};

/// A layout with given frames at one end or at both.
pub struct Bridge {
    /// Known, free, known.
    pub timeline: Timeline,
    /// Frames of the layout, the given ones among them.
    pub frames: usize,
    /// The given frames beside the made ones, by their place.
    pub seams: BTreeMap<usize, Frame>,
    /// The given frames, where the model is shown them beside the latents.
    pub beside: Beside,
    /// The first frame that was asked for.
    pub made_from: usize,
}

/// Frames before the made ones that a model sees: whole latent frames, and the one that begins a clip. Models that take a
/// clip's first picture see the last of them alone.
pub fn frames_before(about: &Description) -> usize {
    match about.known_frames {
        KnownFrames::First
        | KnownFrames::Shown(Shown::First | Shown::FirstAndMaybeLast | Shown::FirstAndLast) => 1,
        KnownFrames::None | KnownFrames::Any | KnownFrames::Shown(Shown::Any) => {
            1 + about.overlap.max(1) * about.temporal_stride
        }
    }
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
/// [`Error::EmptyTimeline`] where nothing is to be made, and what the model does not take.
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
    check_length(about, made)?;
    match about.known_frames {
        KnownFrames::Shown(shown) => beside(about, shown, before, made, after),
        _ => known(model, before, made, after, device),
    }
}

/// Given frames beside the latents.
fn beside(
    about: &Description,
    shown: Shown,
    before: &[Frame],
    made: usize,
    after: &[Frame],
) -> Result<Bridge, Error> {
    let stride = about.temporal_stride;
    let before = &before[before.len() - before.len().min(frames_before(about))..];
    let asked = before.len() + made;
    let wanted = match shown {
        Shown::Any => after.len().min(about.overlap.max(1) * stride),
        _ => after.len().min(1),
    };
    let total = latent_frames(asked + wanted, stride);
    let whole = 1 + (total - 1) * stride;
    let mut beside = Beside::default();
    let mut seams = BTreeMap::new();
    let given = before.iter().enumerate();
    beside
        .frames
        .extend(given.map(|(place, frame)| (place, frame.clone().into())));
    if let Some(last) = before.last() {
        seams.insert(before.len() - 1, last.clone());
    }
    let mut frames = asked;
    if let (Some(first), Some(last)) = (after.first(), after.last()) {
        // Latent frames are made as a whole: what is given goes on until their end.
        let given = (asked..whole).map(|place| (place, after.get(place - asked).unwrap_or(last)));
        beside
            .frames
            .extend(given.map(|(place, frame)| (place, frame.clone().into())));
        seams.insert(asked, first.clone());
        frames = whole;
    }
    check_length(about, frames)?;
    check_beside(about, &beside, total)?;
    Ok(Bridge {
        timeline: Timeline::free(total),
        frames,
        seams,
        beside,
        made_from: before.len(),
    })
}

/// Given frames as known latent frames.
fn known<M: VideoModel>(
    model: &M,
    before: &[Frame],
    made: usize,
    after: &[Frame],
    device: &Device,
) -> Result<Bridge, Error> {
    let about = model.description();
    let stride = about.temporal_stride;
    let before = whole_latents(before, frames_before(about), stride);
    let known_before = before.len().min(1) + before.len().saturating_sub(1) / stride;
    let mut kinds = vec![Kind::Known; known_before];
    kinds.push(Kind::Free);
    if !after.is_empty() {
        kinds.push(Kind::Known);
    }
    check_kinds(about, &kinds)?;
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
        beside: Beside::default(),
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
