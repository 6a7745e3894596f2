//! The whole way: encode the text, fill the timeline window by window, decode, hand over frames.

use std::collections::BTreeMap;
use std::time::Duration;

use burn::tensor::Device;
use kinora_media::Frame;
use kinora_models::VideoModel;

use crate::behind::finish_behind;
use crate::finish::FinishTimes;
use crate::reel::Reel;
use crate::session::Session;
use crate::take::{Take, Work};
use crate::{Beside, Error, Sampling, Timeline};

/// What to make from a prompt.
#[derive(Debug, Clone)]
pub struct Generation<'a> {
    /// What is to be seen.
    pub prompt: &'a str,
    /// What is not to be seen; may be empty.
    pub negative: &'a str,
    /// Size in pixels, multiples of the model's stride: `[width, height]`.
    pub size: [usize; 2],
    /// Frames of the clip.
    pub frames: usize,
    /// How to sample.
    pub sampling: Sampling,
}

/// A clip to be made: one take after another, and how the file shows them.
pub struct Film<'a> {
    /// Size in pixels, multiples of the model's stride: `[width, height]`.
    pub size: [usize; 2],
    /// Their frames follow one another and are counted through.
    pub takes: Vec<Take<'a>>,
    /// Which of them are shown, and what else.
    pub reel: Reel,
}

/// How far the work has come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Progress {
    /// The prompt is being encoded.
    EncodingText,
    /// Denoising; steps are counted over all windows that are not yet finished at the beginning.
    Sampling {
        /// Steps that are done.
        done: usize,
        /// Steps in all.
        total: usize,
    },
    /// Frames are being decoded and handed over.
    Decoding {
        /// Frames that are done.
        done: usize,
        /// Frames in all.
        total: usize,
    },
}

/// Time that each stage took. Frames between, frames at the size of the file and output go beside the other stages in [`make`].
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct StageTimes {
    /// Text encoder.
    pub text: Duration,
    /// Transformer.
    pub sampling: Duration,
    /// Autoencoder.
    pub decode: Duration,
    /// Frames between those of the model.
    pub between: Duration,
    /// Frames at the size of the file.
    pub enlarge: Duration,
    /// Whatever the caller did with the frames.
    pub output: Duration,
}

/// What was made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Report {
    /// Frames that the model made.
    pub frames: usize,
    /// Time of each stage.
    pub times: StageTimes,
}

/// Latent frames that hold `frames` frames: the first latent frame holds one.
pub fn latent_frames(frames: usize, temporal_stride: usize) -> usize {
    1 + frames.saturating_sub(1).div_ceil(temporal_stride)
}

/// Makes a clip of a prompt. `timeline` says what is known of it; `None` is nothing. `on_progress` is
/// called often and returns whether to go on; `on_frame` receives each frame in order.
///
/// # Errors
///
/// A clip or a prompt that the model refuses, values that are not numbers, flat frames, whatever `on_frame`
/// returns, and [`Error::Stopped`].
pub fn generate<M: VideoModel>(
    model: &M,
    request: &Generation<'_>,
    timeline: Option<Timeline>,
    device: &Device,
    on_progress: impl FnMut(Progress) -> bool,
    mut on_frame: impl FnMut(Frame) -> Result<(), Error>,
) -> Result<Report, Error> {
    let stride = model.description().temporal_stride;
    let free = || Timeline::free(latent_frames(request.frames, stride));
    let take = Take {
        prompt: request.prompt,
        negative: request.negative,
        sampling: request.sampling.clone(),
        layout: Box::new(timeline.unwrap_or_else(free)),
        frames: request.frames,
        seams: BTreeMap::new(),
        beside: Beside::default(),
        joined: false,
        origin: None,
    };
    let work = Work {
        model,
        size: request.size,
        device,
        session: None,
        on_progress,
    };
    work.run(vec![take], &mut |_, frame| on_frame(frame))
}

/// Makes a film. Windows that `session` holds are not made again, and those that are made are saved there. `on_frame` receives
/// each frame of the file in order, on another thread: frames are finished while the next window is sampled.
///
/// # Errors
///
/// As [`generate`]; given clips that cannot be read any more; a session that cannot be written.
pub fn make<M: VideoModel>(
    model: &M,
    film: Film<'_>,
    device: &Device,
    session: Option<&mut Session>,
    on_progress: impl FnMut(Progress) -> bool,
    on_frame: impl FnMut(&Frame) -> Result<(), Error> + Send,
) -> Result<Report, Error> {
    let Film {
        size,
        takes,
        mut reel,
    } = film;
    let work = Work {
        model,
        size,
        device,
        session,
        on_progress,
    };
    let (mut report, output) = finish_behind(&mut reel, size, on_frame, |hand_on| {
        work.run(takes, &mut |place, frame| hand_on(place, frame))
    })?;
    let FinishTimes { between, enlarge } = reel.times();
    report.times = StageTimes {
        between,
        enlarge,
        output,
        ..report.times
    };
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_latent_frame_holds_one_frame() {
        assert_eq!(latent_frames(1, 4), 1);
        assert_eq!(latent_frames(2, 4), 2);
        assert_eq!(latent_frames(5, 4), 2);
        assert_eq!(latent_frames(48, 4), 13);
        assert_eq!(latent_frames(49, 4), 13);
    }
}
