//! The whole way: encode the text, fill the timeline window by window, decode, hand over frames.

use std::time::{Duration, Instant};

use burn::tensor::{Device, Tensor};
use kinora_media::Frame;
use kinora_models::{ClipShape, VideoModel};

use crate::frames::frames_from_tensor;
use crate::window::{WindowRequest, sample};
use crate::{Error, LatentFrame, Timeline};

/// How latents are sampled.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// Same seed, same clip.
    pub seed: u64,
    /// Steps of each window.
    pub steps: usize,
    /// Strength of classifier-free guidance; 1 is none.
    pub guidance: f32,
    /// Shift of the noise levels, see [`kinora_sampling::shift`].
    pub shift: f32,
}

/// What to make.
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

/// How far the work has come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Progress {
    /// The prompt is being encoded.
    EncodingText,
    /// Denoising; steps are counted over all windows.
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

/// Time that each stage took.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct StageTimes {
    /// Text encoder.
    pub text: Duration,
    /// Transformer.
    pub sampling: Duration,
    /// Autoencoder.
    pub decode: Duration,
    /// Whatever the caller did with the frames.
    pub output: Duration,
}

/// What was made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Report {
    /// Frames handed over.
    pub frames: usize,
    /// Time of each stage.
    pub times: StageTimes,
}

/// Latent frames that hold `frames` frames: the first latent frame holds one.
pub(crate) fn latent_frames(frames: usize, temporal_stride: usize) -> usize {
    1 + frames.saturating_sub(1).div_ceil(temporal_stride)
}

/// Makes a clip. `timeline` may be longer than the clip needs; `None` is a clip of which nothing is
/// known. `on_progress` is called often and returns whether to go on; `on_frame` receives each frame
/// in order.
///
/// # Errors
///
/// A prompt that the model refuses, values that are not numbers, flat frames, whatever `on_frame`
/// returns, and [`Error::Stopped`].
pub fn generate<M: VideoModel>(
    model: &M,
    request: &Generation<'_>,
    timeline: Option<Timeline>,
    device: &Device,
    mut on_progress: impl FnMut(Progress) -> bool,
    mut on_frame: impl FnMut(Frame) -> Result<(), Error>,
) -> Result<Report, Error> {
    let mut report = |progress| {
        if on_progress(progress) {
            Ok(())
        } else {
            Err(Error::Stopped)
        }
    };
    let description = model.description();
    let total = latent_frames(request.frames, description.temporal_stride);
    let mut timeline = timeline
        .unwrap_or_else(|| Timeline::free(total))
        .latent_frames()
        .to_vec();
    if timeline.is_empty() || request.frames == 0 {
        return Err(Error::EmptyTimeline);
    }
    let windows = Timeline::new(timeline.clone()).windows(description.window, description.overlap);
    let [width, height] = request
        .size
        .map(|pixels| pixels / description.spatial_stride);
    let frame_shape = [1, description.latent_channels, 1, height, width];
    let mut times = StageTimes::default();

    report(Progress::EncodingText)?;
    let clock = Instant::now();
    let positive = model.encode_text(request.prompt)?;
    let clip = ClipShape {
        size: request.size,
        latent_frames: timeline.len(),
        seed: request.sampling.seed,
    };
    let positive = model.plan(request.prompt, positive, clip)?;
    let negative = model.encode_text(request.negative)?;
    times.text = clock.elapsed();

    let all_steps = request.sampling.steps * windows.len();
    let mut steps_done = 0;
    let mut frames_done = 0;
    let mut decode_state = M::DecodeState::default();
    for window in windows {
        let clock = Instant::now();
        let new_from = if window.start == 0 {
            0
        } else {
            description.overlap
        };
        let window_request = WindowRequest {
            frames: &timeline[window.clone()],
            first_latent_frame: window.start,
            frame_shape,
            positive: &positive,
            negative: &negative,
            sampling: &request.sampling,
        };
        let latents = sample(model, &window_request, device, || {
            steps_done += 1;
            report(Progress::Sampling {
                done: steps_done,
                total: all_steps,
            })
        })?;
        times.sampling += clock.elapsed();

        // What the next window does not see is dropped here.
        for index in window.clone() {
            timeline[index] = LatentFrame::Free;
        }
        for (i, index) in window.clone().enumerate().rev().take(description.overlap) {
            timeline[index] = LatentFrame::Known(latents.clone().narrow(2, i, 1));
        }

        for i in new_from..window.len() {
            let clock = Instant::now();
            let video = model.decode_step(latents.clone().narrow(2, i, 1), &mut decode_state);
            let frames = checked_frames(video, frames_done)?;
            times.decode += clock.elapsed();
            let clock = Instant::now();
            for frame in frames.into_iter().take(request.frames - frames_done) {
                on_frame(frame)?;
                frames_done += 1;
            }
            times.output += clock.elapsed();
            report(Progress::Decoding {
                done: frames_done,
                total: request.frames,
            })?;
        }
    }
    Ok(Report {
        frames: frames_done,
        times,
    })
}

/// Frames of a decoded piece; a flat one is an error, never a video.
fn checked_frames(video: Tensor<5>, first_frame: usize) -> Result<Vec<Frame>, Error> {
    let frames = frames_from_tensor(video)?;
    for (i, frame) in frames.iter().enumerate() {
        let mut pixels = frame.pixels().chunks_exact(3);
        let first = pixels.next();
        if pixels.all(|pixel| Some(pixel) == first) {
            return Err(Error::FlatFrame {
                frame: first_frame + i,
            });
        }
    }
    Ok(frames)
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
