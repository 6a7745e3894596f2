//! One window: from noise and known latents to clean latents.

use burn::tensor::{Device, Tensor, TensorData};
use kinora_models::{VideoModel, Window};
use kinora_sampling::{Step, euler, guide, shifted_sigmas, steps};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::generate::Sampling;
use crate::{Error, LatentFrame};

/// Noise of one latent frame. It depends on the seed and on the frame's place in the clip alone, so
/// a clip does not change with the way it is cut into windows.
fn noise(shape: [usize; 5], seed: u64, latent_frame: usize, device: &Device) -> Tensor<5> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(latent_frame as u64 + 1);
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|_| StandardNormal.sample(&mut rng))
        .collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// What one window is made from.
pub(crate) struct WindowRequest<'a, T> {
    /// Its latent frames; those that are already made are known.
    pub(crate) frames: &'a [LatentFrame],
    /// Index in the clip of its first latent frame.
    pub(crate) first_latent_frame: usize,
    /// `[1, channels, 1, height, width]`
    pub(crate) frame_shape: [usize; 5],
    /// The prompt.
    pub(crate) positive: &'a T,
    /// What to keep away from, or the empty prompt.
    pub(crate) negative: &'a T,
    /// How to sample.
    pub(crate) sampling: &'a Sampling,
}

/// The highest noise level that a frame takes part in.
fn strength(frame: &LatentFrame) -> f32 {
    match frame {
        LatentFrame::Known(_) => 0.0,
        LatentFrame::Noised { strength, .. } => *strength,
        LatentFrame::Free => 1.0,
    }
}

/// Denoises a window. `on_step` is told after each step and may stop the work.
///
/// # Errors
///
/// [`Error::Stopped`] where `on_step` asks for it, [`Error::NotANumber`].
pub(crate) fn sample<M: VideoModel>(
    model: &M,
    request: &WindowRequest<'_, M::Text>,
    device: &Device,
    mut on_step: impl FnMut() -> Result<(), Error>,
) -> Result<Tensor<5>, Error> {
    let sampling = request.sampling;
    let start = |(i, frame): (usize, &LatentFrame)| {
        let index = request.first_latent_frame + i;
        let noise = || noise(request.frame_shape, sampling.seed, index, device);
        match frame {
            LatentFrame::Known(latents) => latents.clone(),
            LatentFrame::Noised { latents, strength } => {
                latents.clone() * (1.0 - strength) + noise() * *strength
            }
            LatentFrame::Free => noise(),
        }
    };
    let frames = request.frames.iter().enumerate().map(start).collect();
    let mut x = Tensor::cat(frames, 2);
    let strengths: Vec<f32> = request.frames.iter().map(strength).collect();

    for step in steps(&shifted_sigmas(sampling.steps, sampling.shift)) {
        let at = |sigma: f32| -> Vec<f32> { strengths.iter().map(|s| sigma.min(*s)).collect() };
        let (timesteps, next) = (at(step.sigma), at(step.next_sigma));
        let window = |latents: Tensor<5>| Window {
            latents,
            timesteps: &timesteps,
            first_latent_frame: request.first_latent_frame,
        };
        let mut velocity = model.velocity(window(x.clone()), request.positive);
        if sampling.guidance != 1.0 {
            let negative = model.velocity(window(x.clone()), request.negative);
            velocity = guide(velocity, negative, sampling.guidance);
        }
        let moved = (0..timesteps.len()).map(|i| {
            let frame = x.clone().narrow(2, i, 1);
            if timesteps[i] == next[i] {
                return frame;
            }
            let step = Step {
                sigma: timesteps[i],
                next_sigma: next[i],
            };
            euler(frame, velocity.clone().narrow(2, i, 1), step)
        });
        x = Tensor::cat(moved.collect(), 2);
        on_step()?;
    }
    let finite = x.clone().abs().max().into_scalar::<f32>().is_finite()
        && !x.clone().sum().into_scalar::<f32>().is_nan();
    if finite {
        Ok(x)
    } else {
        Err(Error::NotANumber {
            latent_frame: request.first_latent_frame,
        })
    }
}
