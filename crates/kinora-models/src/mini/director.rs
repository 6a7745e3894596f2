//! Samples the layout of a whole clip from the director, window by window.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use kinora_sampling::{Step, euler, guide, shifted_sigmas, steps};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::config::MiniConfig;
use super::layout::{DIRECTOR_CONDITIONS, FRAME_VALUES, FrameLayout, director_condition};
use super::text::TextEncoder;
use super::transformer::{Channels, Moments, PreparedContext, Transformer};
use crate::weights::floats;
use crate::{ClipShape, Error};

/// Latent frames that the director sees at once.
pub const DIRECTOR_FRAMES: usize = 16;
/// The latest latent frame of a scene at which a window begins in training. Later ones are told this time: by then
/// a scene only goes on.
pub const DIRECTOR_LATEST: usize = 24;
/// Values of a layout stay below this; a long clip must not run away from window to window.
const LARGEST_VALUE: f32 = 12.0;
/// Latent frames of the window before that it goes on from.
pub const DIRECTOR_OVERLAP: usize = 5;
/// Shift of the noise levels. The frames of a path tell nearly the same, so much noise hides little: it is chosen while there is most.
const SHIFT: f32 = 4.0;
const STEPS: usize = 24;
/// Strength of classifier-free guidance (Ho and Salimans, 2022). Most clips stand still, so without it paths do less than is said.
const GUIDANCE: f32 = 2.0;
/// Keeps the director's noise apart from that of the latents.
const NOISE_STREAM: u64 = 1 << 40;

/// Reads a prompt and settles paths. It has a text encoder of its own: what concerns motion is of no use to pictures beside a plate, and
/// one that served both forgot it.
#[derive(Module, Debug)]
pub struct Director {
    /// Words → context.
    pub text: TextEncoder,
    /// The denoiser of layouts.
    pub paths: Transformer,
}

impl Director {
    /// A fresh one, all of whose paths are the mean.
    pub fn new(config: &MiniConfig, device: &Device) -> Self {
        let channels = Channels {
            latents: config.autoencoder.patch_frames * FRAME_VALUES,
            condition: DIRECTOR_CONDITIONS,
            context: config.director.text.width,
        };
        Self {
            text: TextEncoder::new(&config.director.text, device),
            paths: Transformer::new(&config.director.paths, channels, device),
        }
    }
}

/// What is to be directed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Direction<'a> {
    /// Slots that are filled.
    pub(super) subjects: usize,
    pub(super) clip: ClipShape,
    pub(super) frames_per_latent: usize,
    pub(super) frames_per_second: usize,
    /// Where the path has come from: whole latent frames, the last of which is directly before the clip. Nothing where the
    /// clip begins anew.
    pub(super) before: &'a [FrameLayout],
    /// Latent frames of the scene before `before`.
    pub(super) since: usize,
}

/// Camera and subjects in every frame of every latent frame of the clip. `contexts` are those of the prompt and of nothing, as a
/// batch.
///
/// # Errors
///
/// [`Error::NotANumber`]
pub(super) fn direct(
    director: &Transformer,
    contexts: &PreparedContext,
    direction: &Direction<'_>,
    device: &Device,
) -> Result<Vec<FrameLayout>, Error> {
    let before = last_of(direction.before, direction.frames_per_latent);
    let came_from = before.len() / direction.frames_per_latent;
    let total = came_from + direction.clip.latent_frames;
    let since = direction.since + direction.before.len() / direction.frames_per_latent - came_from;
    let channels = direction.frames_per_latent * FRAME_VALUES;
    let condition = director_condition(direction.subjects, direction.clip.size);
    let secs_per_latent = direction.frames_per_latent as f32 / direction.frames_per_second as f32;

    let mut path = Vec::with_capacity(total * direction.frames_per_latent);
    path.extend_from_slice(before);
    let mut known = (came_from > 0).then(|| values_of(before, came_from, device));
    let mut done = came_from;
    while done < total {
        let overlap = known.as_ref().map_or(0, |known| known.dims()[2]);
        let start = done - overlap;
        // Always a whole window, as in training; what lies behind the clip's end is dropped.
        let frames = DIRECTOR_FRAMES;
        let noise: Vec<Tensor<5>> = (done..start + frames)
            .map(|frame| noise(channels, direction.clip.seed, frame, device))
            .collect();
        let mut x = Tensor::cat(known.take().into_iter().chain(noise).collect(), 2);
        let told = (since + start).min(DIRECTOR_LATEST);
        let clock: Vec<f32> = (told..told + frames)
            .map(|frame| frame as f32 * secs_per_latent)
            .collect();
        let clocks = clock.repeat(2);
        let beside = Tensor::<1>::from_floats(condition, device)
            .reshape([1, DIRECTOR_CONDITIONS, 1, 1, 1])
            .repeat_dim(2, frames)
            .repeat_dim(0, 2);
        for Step { sigma, next_sigma } in steps(&shifted_sigmas(STEPS, SHIFT)) {
            let mut sigmas = vec![sigma; frames];
            sigmas[..overlap].fill(0.0);
            let both = director.forward(
                x.clone().repeat_dim(0, 2),
                beside.clone(),
                Moments {
                    timesteps: &sigmas.repeat(2),
                    clock_secs: &clocks,
                    anchored: false,
                },
                contexts,
            );
            let [prompted, free] = [0, 1].map(|i| both.clone().narrow(0, i, 1));
            let velocity = guide(prompted, free, GUIDANCE);
            let new = frames - overlap;
            let moved = euler(
                x.clone().narrow(2, overlap, new),
                velocity.narrow(2, overlap, new),
                Step { sigma, next_sigma },
            );
            x = if overlap == 0 {
                moved
            } else {
                Tensor::cat(vec![x.narrow(2, 0, overlap), moved], 2)
            };
        }
        let new = x.clone().narrow(2, overlap, frames - overlap);
        let values = floats(new.permute([0, 2, 3, 4, 1]));
        if values.iter().any(|value| !value.is_finite()) {
            return Err(Error::NotANumber("director"));
        }
        path.extend(
            values
                .chunks_exact(FRAME_VALUES)
                .map(|v| FrameLayout::from_values(v, direction.subjects)),
        );
        done = start + frames;
        let last = x.narrow(2, frames - DIRECTOR_OVERLAP, DIRECTOR_OVERLAP);
        known = Some(last.clamp(-LARGEST_VALUE, LARGEST_VALUE));
    }
    path.truncate(total * direction.frames_per_latent);
    Ok(path.split_off(before.len()))
}

/// The part of a path that the next window sees: whole latent frames, at most [`DIRECTOR_OVERLAP`].
fn last_of(path: &[FrameLayout], frames_per_latent: usize) -> &[FrameLayout] {
    let latents = (path.len() / frames_per_latent).min(DIRECTOR_OVERLAP);
    &path[path.len() - latents * frames_per_latent..]
}

/// The latent frames of a path, as the director sees them.
fn values_of(path: &[FrameLayout], latent_frames: usize, device: &Device) -> Tensor<5> {
    let mut values = Vec::with_capacity(path.len() * FRAME_VALUES);
    for frame in path {
        frame.push_values(&mut values);
    }
    let channels = values.len() / latent_frames;
    let values = TensorData::new(values, [1, latent_frames, 1, 1, channels]);
    Tensor::<5>::from_data(values, device).permute([0, 4, 1, 2, 3])
}

/// Noise of one latent frame, a function of seed and place alone.
fn noise(channels: usize, seed: u64, latent_frame: usize, device: &Device) -> Tensor<5> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(NOISE_STREAM + latent_frame as u64);
    let values: Vec<f32> = (0..channels)
        .map(|_| StandardNormal.sample(&mut rng))
        .collect();
    Tensor::from_data(TensorData::new(values, [1, channels, 1, 1, 1]), device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mini::config::TransformerConfig;
    use crate::mini::layout::View;
    use crate::mini::transformer::Context;
    use crate::weights;

    const FRAMES_PER_LATENT: usize = 2;

    /// A director of which every frame depends on its noise and its neighbours.
    fn director(device: &Device) -> Transformer {
        let sizes = TransformerConfig::new()
            .with_width(16)
            .with_depth(1)
            .with_heads(2);
        let channels = Channels {
            latents: FRAMES_PER_LATENT * FRAME_VALUES,
            condition: DIRECTOR_CONDITIONS,
            context: 8,
        };
        let fresh = Transformer::new(&sizes, channels, device);
        let mut tensors = weights::collect(&fresh, "d");
        let out = tensors.get_mut("d.out.weight").unwrap();
        for (i, value) in out.data.iter_mut().enumerate() {
            *value = (i % 7) as f32 * 0.1 - 0.3;
        }
        weights::assign(fresh, "d", &tensors).unwrap()
    }

    /// Of some prompt and of none.
    fn contexts(director: &Transformer) -> PreparedContext {
        let device = Device::flex();
        let tokens = Tensor::cat(
            vec![
                Tensor::ones([1, 3, 8], &device),
                Tensor::zeros([1, 3, 8], &device),
            ],
            0,
        );
        director.prepare(&Context {
            pooled: tokens.clone().narrow(1, 0, 1).reshape([2, 8]),
            tokens,
            bias: Tensor::zeros([2, 3], &device),
        })
    }

    fn path(
        director: &Transformer,
        latent_frames: usize,
        subjects: usize,
        seed: u64,
    ) -> Vec<FrameLayout> {
        let device = Device::flex();
        let direction = Direction {
            subjects,
            clip: ClipShape {
                size: [176, 96],
                latent_frames,
                seed,
            },
            frames_per_latent: FRAMES_PER_LATENT,
            frames_per_second: 12,
            before: &[],
            since: 0,
        };
        direct(director, &contexts(director), &direction, &device).unwrap()
    }

    #[test]
    fn a_path_has_every_frame_and_the_subjects_that_there_are() {
        let director = director(&Device::flex());
        for latent_frames in [1, DIRECTOR_FRAMES, DIRECTOR_FRAMES + 1, 50] {
            let path = path(&director, latent_frames, 1, 3);
            assert_eq!(path.len(), latent_frames * FRAMES_PER_LATENT);
            assert!(path.iter().all(|frame| frame.places[0].is_some()));
            assert!(path.iter().all(|frame| frame.places[1].is_none()));
        }
        let nobody = path(&director, 3, 0, 3);
        assert!(nobody.iter().all(|frame| frame.places == [None, None]));
        assert!(nobody.iter().any(|frame| frame.view != View::REST));
    }

    #[test]
    fn a_path_that_goes_on_depends_on_where_it_came_from() {
        let device = Device::flex();
        let director = director(&device);
        let contexts = contexts(&director);
        let from = |seed: u64| {
            let before = path(&director, 8, 1, seed);
            let direction = Direction {
                subjects: 1,
                clip: ClipShape {
                    size: [176, 96],
                    latent_frames: 20,
                    seed: 5,
                },
                frames_per_latent: FRAMES_PER_LATENT,
                frames_per_second: 12,
                before: &before,
                since: 0,
            };
            direct(&director, &contexts, &direction, &device).unwrap()
        };
        let on = from(3);
        assert_eq!(on.len(), 20 * FRAMES_PER_LATENT);
        assert!(on != from(4));
    }

    #[test]
    fn a_longer_clip_begins_as_a_shorter_one_and_another_seed_goes_elsewhere() {
        let director = director(&Device::flex());
        let long = path(&director, 40, 2, 3);
        let short = path(&director, 20, 2, 3);
        // Told by index: a difference would fill pages.
        let differs = |a: &[FrameLayout]| a.iter().zip(&short).position(|(a, b)| a != b);
        assert_eq!(differs(&long), None);
        assert_eq!(differs(&path(&director, 20, 2, 4)), Some(0));
    }
}
