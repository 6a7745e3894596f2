//! Makes clips, shows them to the judges and lays them out on sheets.

use std::path::Path;
use std::time::Duration;

use burn::tensor::{Device, Tensor};
use kinora_data::Aspect;
use kinora_media::{Frame, SheetOptions};
use kinora_models::VideoModel;
use kinora_pipeline::{Generation, Progress, Sampling, generate, tensor_from_frames};

use super::EvaluateOptions;
use crate::Error;
use crate::classifier::Predictions;

/// A clip and how long it took.
pub(super) struct MadeClip {
    pub(super) frames: Vec<Frame>,
    pub(super) time: Duration,
}

/// Makes the clip of a prompt.
pub(super) fn make(
    options: &EvaluateOptions<'_>,
    index: usize,
    prompt: &str,
    device: &Device,
    mut report: impl FnMut() -> Result<(), Error>,
) -> Result<MadeClip, Error> {
    let request = Generation {
        prompt,
        negative: "",
        size: wide(),
        frames: clip_frames(options),
        sampling: Sampling {
            seed: clip_seed(options, index),
            ..options.sampling.clone()
        },
    };
    let mut frames = Vec::new();
    let mut going = Ok(());
    let go_on = |_: Progress| {
        going = report();
        going.is_ok()
    };
    let made = generate(options.model, &request, None, device, go_on, |frame| {
        frames.push(frame);
        Ok(())
    });
    going?;
    let times = made?.times;
    Ok(MadeClip {
        frames,
        time: times.text + times.sampling + times.decode,
    })
}

/// Judges a clip as it will be seen: from its pixels, not from the latents that it was decoded from.
pub(super) fn judge(
    options: &EvaluateOptions<'_>,
    frames: &[Frame],
    device: &Device,
) -> Predictions {
    let padding = options.model.config().autoencoder.patch_frames - 1;
    let video = tensor_from_frames(frames, device);
    let first = video.clone().narrow(2, 0, 1).repeat_dim(2, padding);
    let video = Tensor::cat(vec![first, video], 2);
    options
        .judges
        .predict(options.model.networks().autoencoder.patchify(video))
}

/// Seed of a clip and of its scene.
pub(super) fn clip_seed(options: &EvaluateOptions<'_>, index: usize) -> u64 {
    options.sampling.seed.wrapping_add(index as u64)
}

/// Width and height of the clips in pixels.
pub(super) fn wide() -> [usize; 2] {
    let (width, height) = Aspect::Wide.native_size();
    [width, height]
}

/// Frames of as many latent frames as the judges know.
pub(super) fn clip_frames(options: &EvaluateOptions<'_>) -> usize {
    let stride = options.model.description().temporal_stride;
    1 + options.judges.latent_frames().saturating_sub(1) * stride
}

/// The middle frame of each of `count` equal parts.
pub(super) fn evenly(frames: Vec<Frame>, count: usize) -> Vec<Frame> {
    (0..count)
        .filter_map(|part| {
            frames
                .get((2 * part + 1) * frames.len() / (2 * count))
                .cloned()
        })
        .collect()
}

/// Writes a contact sheet; without frames there is none.
pub(super) fn write_sheet(frames: &[Frame], columns: u32, path: &Path) -> Result<(), Error> {
    if frames.is_empty() {
        return Ok(());
    }
    let sheet = kinora_media::contact_sheet(frames, &SheetOptions::new(columns))?;
    kinora_media::write_picture(path, &sheet, true)?;
    Ok(())
}
