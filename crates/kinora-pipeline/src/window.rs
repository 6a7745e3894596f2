//! One window: from noise and known latents to clean latents.

use burn::tensor::{Device, Tensor, TensorData};
use kinora_models::{VideoModel, Window};
use kinora_sampling::{Step, euler, guide, shift, shifted_sigmas, steps};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::{Error, LatentFrame};

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

impl Sampling {
    /// Noise levels from `strength` down to 0. As many of the steps are spent as the strength is a part of all noise (as in
    /// SDEdit, Meng et al., 2022), at least one.
    pub(crate) fn sigmas(&self, strength: f32) -> Vec<f32> {
        if strength >= 1.0 {
            return shifted_sigmas(self.steps, self.shift);
        }
        // Where on the schedule the strength lies: `shift` is undone by its inverse.
        let start = shift(strength, 1.0 / self.shift);
        let steps = self.steps_from(strength);
        (0..=steps)
            .map(|i| shift(start * (1.0 - i as f32 / steps as f32), self.shift))
            .collect()
    }

    /// Steps that are spent from `strength` on.
    pub(crate) fn steps_from(&self, strength: f32) -> usize {
        ((self.steps as f32 * strength.min(1.0)).ceil() as usize).max(1)
    }
}

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

/// What a frame keeps outside its region, at every noise level.
struct Kept {
    latents: Tensor<5>,
    noise: Tensor<5>,
    region: Tensor<5>,
}

impl Kept {
    /// `frame` with what is known put back, at noise level `sigma` (RePaint, Lugmayr et al., 2022). The noise is that which the
    /// frame began with, so what is known follows the straight line of the flow.
    fn put_back(&self, frame: Tensor<5>, sigma: f32) -> Tensor<5> {
        let known = self.latents.clone() * (1.0 - sigma) + self.noise.clone() * sigma;
        let made = self.region.clone();
        frame * made.clone() + known * (made * -1.0 + 1.0)
    }
}

/// Where a frame begins: latents, noise level, and what is put back.
struct Start {
    latents: Tensor<5>,
    strength: f32,
    kept: Option<Kept>,
}

impl Start {
    fn of(frame: &LatentFrame, noise: impl FnOnce() -> Tensor<5>) -> Self {
        match frame {
            LatentFrame::Known(latents) => Self {
                latents: latents.clone(),
                strength: 0.0,
                kept: None,
            },
            LatentFrame::Noised {
                latents,
                strength,
                region,
            } => {
                let noise = noise();
                Self {
                    latents: latents.clone() * (1.0 - strength) + noise.clone() * *strength,
                    strength: *strength,
                    kept: region.as_deref().map(|region| Kept {
                        latents: latents.clone(),
                        noise,
                        region: region.clone(),
                    }),
                }
            }
            LatentFrame::Free => Self {
                latents: noise(),
                strength: 1.0,
                kept: None,
            },
        }
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
        Start::of(frame, || {
            noise(request.frame_shape, sampling.seed, index, device)
        })
    };
    let starts: Vec<Start> = request.frames.iter().enumerate().map(start).collect();
    let mut x = Tensor::cat(
        starts.iter().map(|start| start.latents.clone()).collect(),
        2,
    );
    let strongest = starts.iter().map(|s| s.strength).fold(0.0, f32::max);

    for step in steps(&sampling.sigmas(strongest)) {
        let at =
            |sigma: f32| -> Vec<f32> { starts.iter().map(|s| sigma.min(s.strength)).collect() };
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
        let moved = starts.iter().enumerate().map(|(i, start)| {
            let frame = x.clone().narrow(2, i, 1);
            if timesteps[i] == next[i] {
                return frame;
            }
            let step = Step {
                sigma: timesteps[i],
                next_sigma: next[i],
            };
            let frame = euler(frame, velocity.clone().narrow(2, i, 1), step);
            match &start.kept {
                Some(kept) => kept.put_back(frame, next[i]),
                None => frame,
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weak_change_begins_late_and_spends_fewer_steps() {
        let sampling = Sampling {
            seed: 0,
            steps: 10,
            guidance: 1.0,
            shift: 4.0,
        };
        for strength in [0.05, 0.3, 0.6, 1.0] {
            let sigmas = sampling.sigmas(strength);
            assert!((sigmas[0] - strength).abs() < 1e-6, "{sigmas:?}");
            assert_eq!(sigmas.last(), Some(&0.0));
            assert_eq!(sigmas.len(), sampling.steps_from(strength) + 1);
            assert!(sigmas.windows(2).all(|pair| pair[1] < pair[0]));
        }
        assert_eq!(sampling.steps_from(0.3), 3);
        assert_eq!(sampling.steps_from(0.01), 1);
    }
}
