//! A region of a given clip, made anew by a model that is shown the clip beside the latents.

use std::path::Path;

use kinora_media::{FrameRate, open_source, resize};
use kinora_models::Description;

use crate::generate::latent_frames;
use crate::limits::check_length;
use crate::reel::fit_given;
use crate::region::Mask;
use crate::{Beside, Error, Shown};

/// A given clip with its region.
pub struct Repaint<'a> {
    /// The clip.
    pub path: &'a Path,
    /// Where it is made anew, at the model's rate.
    pub mask: Mask,
    /// Its frames at the model's rate.
    pub frames: usize,
    /// Frames per second that the model makes.
    pub fps: FrameRate,
    /// Size of the file in pixels, which the clip is fitted to.
    pub size: [u32; 2],
    /// Size in pixels that the model makes, which frames are stretched to.
    pub native_size: [usize; 2],
}

/// Reads all frames of a clip, which is no longer than the model's clips are.
///
/// # Errors
///
/// [`Error::TooLong`]; a clip or a mask that cannot be read.
pub fn repaint(about: &Description, mut clip: Repaint<'_>) -> Result<Beside, Error> {
    check_length(about, clip.frames)?;
    let whole = 1 + (latent_frames(clip.frames, about.temporal_stride) - 1) * about.temporal_stride;
    let [width, height] = clip.native_size.map(|side| side as u32);
    let mut frames = open_source(clip.path)?.frames_at(clip.fps);
    let mut beside = Beside::default();
    let mut last: Option<Shown> = None;
    for place in 0..whole {
        // The last frame stays until the latent frame's end.
        if let Some(frame) = frames.next().filter(|_| place < clip.frames) {
            let picture = resize(&fit_given(&frame?, clip.size)?, width, height)?;
            let made = Some(clip.mask.next()?.pixels(clip.native_size));
            last = Some(Shown { picture, made });
        }
        let shown = last.clone().ok_or_else(|| Error::ClipChanged {
            path: clip.path.to_owned(),
        })?;
        beside.frames.insert(place, shown);
    }
    Ok(beside)
}
