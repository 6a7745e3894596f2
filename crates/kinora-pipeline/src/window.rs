//! One window: from noise and known latents to clean latents.

use burn::tensor::{Device, Tensor, TensorData};
use kinora_models::{Anchor, VideoModel, Window};
use kinora_sampling::{
    Apg, Drift, GuidanceBelow, GuidanceKind, History, Levels, Sampler, Solver, ZERO_INIT_STEPS,
    apg, cfg_zero, guide, serves_again, shift,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::{Error, LatentFrame};

/// How latents are sampled.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// How the flow is solved.
    pub sampler: Sampler,
    /// Same seed, same clip.
    pub seed: u64,
    /// Steps of each window.
    pub steps: usize,
    /// Strength of guidance; 1 is none.
    pub guidance: f32,
    /// Its strength where little noise is left, if it is another there.
    pub guidance_below: Option<GuidanceBelow>,
    /// How it guides.
    pub guidance_kind: GuidanceKind,
    /// Noise level below which nothing guides any more and the prompt alone is asked for (Kynkäänniemi et al., 2024): what words
    /// decide is settled above.
    pub guidance_above: f32,
    /// How far a step may be from the last that the network was asked for, to be left out: see
    /// [`kinora_sampling::serves_again`]. `None` leaves out none.
    pub step_cache: Option<f32>,
    /// Shift of the noise levels, see [`kinora_sampling::shift`].
    pub shift: f32,
}

impl Sampling {
    /// Whether anything guides at any noise level.
    pub(crate) fn is_guided(&self) -> bool {
        self.guidance != 1.0
            || self
                .guidance_below
                .is_some_and(|below| below.guidance != 1.0)
    }

    /// The strength of guidance for a window of which the noisiest frame has this level; `None` where nothing guides.
    fn guidance_at(&self, noisiest: f32) -> Option<f32> {
        let guidance = match self.guidance_below {
            Some(below) if noisiest < below.level => below.guidance,
            _ => self.guidance,
        };
        (noisiest > self.guidance_above && guidance != 1.0).then_some(guidance)
    }

    /// Noise levels from `strength` down to 0. Euler spends that part of its steps which it would take from there (as in
    /// SDEdit, Meng et al., 2022), at least one; the others visit those of their own levels that are below it.
    pub(crate) fn levels(&self, strength: f32) -> Levels {
        if strength >= 1.0 {
            return self.sampler.levels(self.steps, self.shift);
        }
        if self.sampler == Sampler::Euler {
            // Where on the schedule the strength lies: `shift` is undone by its inverse.
            let start = shift(strength, 1.0 / self.shift);
            let steps = ((self.steps as f32 * start - ROUNDING).ceil() as usize).max(1);
            let sigma = |i: usize| shift(start * (1.0 - i as f32 / steps as f32), self.shift);
            let sigmas: Vec<f32> = (0..=steps).map(sigma).collect();
            return Levels {
                timesteps: sigmas[..steps].to_vec(),
                sigmas,
            };
        }
        let mut levels = self.sampler.levels(self.steps, self.shift);
        let (first, sigmas) = levels
            .from_strength(strength)
            .unwrap_or((levels.steps(), vec![0.0]));
        levels.timesteps.drain(..first);
        if let Some(told) = levels.timesteps.first_mut() {
            *told = told.min(strength);
        }
        Levels { sigmas, ..levels }
    }

    /// Steps that are spent from `strength` on.
    pub(crate) fn steps_from(&self, strength: f32) -> usize {
        self.levels(strength).steps()
    }
}

/// Noise of one latent frame. It depends on the seed and on the frame's place in the clip alone, so
/// a clip does not change with the way it is cut into windows.
///
/// # Shapes
///
/// `shape`: `[1, channels, 1, height, width]`
pub fn noise(shape: [usize; 5], seed: u64, latent_frame: usize, device: &Device) -> Tensor<5> {
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
    /// What holds it to how the clip began.
    pub(crate) anchor: Option<Anchor<'a>>,
    /// The prompt.
    pub(crate) positive: &'a T,
    /// What to keep away from, or the empty prompt; nothing where there is no guidance.
    pub(crate) negative: Option<&'a T>,
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
                ..
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

/// The way of one latent frame from its strength down to 0. Each has a solver of its own, because each may begin at
/// another step.
struct Track {
    strength: f32,
    /// The first step that changes the frame, and what follows it.
    solver: Option<(usize, Solver<5>)>,
    /// Of the solver.
    sigmas: Vec<f32>,
    kept: Option<Kept>,
}

impl Track {
    fn new(start: Start, levels: &Levels, sampler: Sampler) -> Self {
        let (first, sigmas) = levels.from_strength(start.strength).unzip();
        let sigmas = sigmas.unwrap_or_default();
        Self {
            strength: start.strength,
            solver: first.map(|step| (step, Solver::new(sampler, &sigmas))),
            sigmas,
            kept: start.kept,
        }
    }

    /// What the network is told of the frame at a step.
    fn timestep(&self, levels: &Levels, step: usize) -> f32 {
        match levels.sigmas[step] <= self.strength {
            true => levels.timesteps[step],
            false => self.strength,
        }
    }

    /// The frame after a step.
    fn step(
        &mut self,
        levels: &Levels,
        step: usize,
        x: Tensor<5>,
        velocity: Tensor<5>,
    ) -> Tensor<5> {
        let Some((_, solver)) = self.solver.as_mut().filter(|(first, _)| step >= *first) else {
            return x;
        };
        let frame = solver.step(x, velocity);
        match &self.kept {
            Some(kept) => kept.put_back(frame, levels.sigmas[step + 1]),
            None => frame,
        }
    }
}

/// How far a window is denoised: all that its other steps depend on.
#[derive(Debug, Clone)]
pub(crate) struct Partway {
    /// Steps that are done.
    pub(crate) steps: usize,
    /// `[1, channels, frames, height, width]`
    pub(crate) latents: Tensor<5>,
    /// Of each frame what its solver remembers; `None` for known ones.
    pub(crate) histories: Vec<Option<History<5>>>,
    /// What guidance carries from step to step.
    pub(crate) average: Option<Tensor<5>>,
    /// The step that the network was asked for last.
    pub(crate) answered: Option<Answered>,
}

/// A step that the network was asked for, where steps may be left out.
#[derive(Debug, Clone)]
pub(crate) struct Answered {
    pub(crate) drift: Drift,
    /// Velocities of the prompt and, where there is guidance, of what to keep away from.
    pub(crate) velocities: Vec<Tensor<5>>,
}

/// Denoises a window, from its beginning or from where it was cut off. `on_step` is told after each step how far it is, and
/// may stop the work. `None` where `partway` is of another window.
///
/// # Errors
///
/// What `on_step` returns, [`Error::NotANumber`], and what the model refuses.
pub(crate) fn sample<M: VideoModel>(
    model: &M,
    request: &WindowRequest<'_, M::Text>,
    device: &Device,
    partway: Option<Partway>,
    mut on_step: impl FnMut(&Partway) -> Result<(), Error>,
) -> Result<Option<Tensor<5>>, Error> {
    let Some(mut denoising) = Denoising::new(request, device, partway) else {
        return Ok(None);
    };
    while denoising.step < denoising.levels.steps() {
        denoising.advance(model, request)?;
        on_step(&denoising.partway())?;
    }
    let x = denoising.x;
    let finite = x.clone().abs().max().into_scalar::<f32>().is_finite()
        && !x.clone().sum().into_scalar::<f32>().is_nan();
    if finite {
        Ok(Some(x))
    } else {
        Err(Error::NotANumber {
            latent_frame: request.first_latent_frame,
        })
    }
}

/// A window that is being denoised.
struct Denoising {
    x: Tensor<5>,
    levels: Levels,
    tracks: Vec<Track>,
    /// The next one.
    step: usize,
    average: Option<Tensor<5>>,
    answered: Option<Answered>,
}

impl Denoising {
    fn new<T>(
        request: &WindowRequest<'_, T>,
        device: &Device,
        partway: Option<Partway>,
    ) -> Option<Self> {
        let sampling = request.sampling;
        let start = |(i, frame): (usize, &LatentFrame)| {
            let index = request.first_latent_frame + i;
            Start::of(frame, || {
                noise(request.frame_shape, sampling.seed, index, device)
            })
        };
        let starts: Vec<Start> = request.frames.iter().enumerate().map(start).collect();
        let x = Tensor::cat(
            starts.iter().map(|start| start.latents.clone()).collect(),
            2,
        );
        let strongest = starts.iter().map(|s| s.strength).fold(0.0, f32::max);
        let levels = sampling.levels(strongest);
        let tracks = starts
            .into_iter()
            .map(|start| Track::new(start, &levels, sampling.sampler));
        let mut denoising = Self {
            x,
            tracks: tracks.collect(),
            levels,
            step: 0,
            average: None,
            answered: None,
        };
        if let Some(partway) = partway {
            denoising.resume(sampling.sampler, partway)?;
        }
        Some(denoising)
    }

    /// Goes on where it was cut off.
    fn resume(&mut self, sampler: Sampler, partway: Partway) -> Option<()> {
        let is_whole = partway.steps <= self.levels.steps()
            && partway.latents.dims() == self.x.dims()
            && partway.histories.len() == self.tracks.len();
        if !is_whole {
            return None;
        }
        for (track, history) in self.tracks.iter_mut().zip(partway.histories) {
            match (&mut track.solver, history) {
                (None, None) => {}
                (Some((_, solver)), Some(history)) => {
                    *solver = Solver::resume(sampler, &track.sigmas, history)?;
                }
                _ => return None,
            }
        }
        self.x = partway.latents;
        self.step = partway.steps;
        self.average = partway.average;
        self.answered = partway.answered;
        Some(())
    }

    fn partway(&self) -> Partway {
        let history = |track: &Track| track.solver.as_ref().map(|(_, solver)| solver.history());
        Partway {
            steps: self.step,
            latents: self.x.clone(),
            histories: self.tracks.iter().map(history).collect(),
            average: self.average.clone(),
            answered: self.answered.clone(),
        }
    }

    /// The next step.
    fn advance<M: VideoModel>(
        &mut self,
        model: &M,
        request: &WindowRequest<'_, M::Text>,
    ) -> Result<(), Error> {
        let (levels, step) = (&self.levels, self.step);
        let timesteps: Vec<f32> = self
            .tracks
            .iter()
            .map(|track| track.timestep(levels, step))
            .collect();
        let velocity = match self.begins_with_nothing(request) {
            true => self.x.zeros_like(),
            false => {
                let velocities = self.velocities(model, request, &timesteps)?;
                self.guided(velocities, &timesteps, request.sampling)
            }
        };
        let (levels, step) = (&self.levels, self.step);
        let moved = self.tracks.iter_mut().enumerate().map(|(i, track)| {
            let part = |x: &Tensor<5>| x.clone().narrow(2, i, 1);
            track.step(levels, step, part(&self.x), part(&velocity))
        });
        self.x = Tensor::cat(moved.collect(), 2);
        self.step += 1;
        Ok(())
    }

    /// Whether this step is one that CFG-Zero* leaves out, which it does with pure noise.
    fn begins_with_nothing<T>(&self, request: &WindowRequest<'_, T>) -> bool {
        let is_zero = request.sampling.guidance_kind == GuidanceKind::CfgZero;
        let is_noise = self.tracks.iter().any(|track| track.strength >= 1.0);
        is_zero && request.negative.is_some() && is_noise && self.step < ZERO_INIT_STEPS
    }

    /// Velocities of the prompt and, where there is guidance, of what to keep away from: asked for, or those of a step before.
    fn velocities<M: VideoModel>(
        &mut self,
        model: &M,
        request: &WindowRequest<'_, M::Text>,
        timesteps: &[f32],
    ) -> Result<Vec<Tensor<5>>, Error> {
        let ask_all = || {
            let with = |text| {
                let window = Window {
                    latents: self.x.clone(),
                    timesteps,
                    first_latent_frame: request.first_latent_frame,
                    anchor: request.anchor,
                };
                (window, text)
            };
            let mut asked = vec![with(request.positive)];
            let guidance = request.sampling.guidance_at(noisiest(timesteps));
            let negative = (request.negative).filter(|_| guidance.is_some());
            asked.extend(negative.map(with));
            Ok(model.velocities(asked)?)
        };
        let Some(threshold) = request.sampling.step_cache else {
            return ask_all();
        };
        let Some((network, told)) = model.told(timesteps)? else {
            return ask_all();
        };
        // The last step settles the details.
        let is_last = self.step + 1 == self.levels.steps();
        let (mut drift, before) = match self.answered.take() {
            Some(answered) => (Some(answered.drift), answered.velocities),
            None => (None, Vec::new()),
        };
        let serves = serves_again(&mut drift, network, told, threshold, is_last);
        let velocities = match serves {
            true => before,
            false => ask_all()?,
        };
        self.answered = drift.map(|drift| Answered {
            drift,
            velocities: velocities.clone(),
        });
        Ok(velocities)
    }

    /// One velocity of the prompt's and, where there is one, that of what to keep away from.
    fn guided(
        &mut self,
        velocities: Vec<Tensor<5>>,
        timesteps: &[f32],
        sampling: &Sampling,
    ) -> Tensor<5> {
        let mut velocities = velocities.into_iter();
        let (positive, negative) = match (velocities.next(), velocities.next()) {
            (Some(positive), Some(negative)) => (positive, negative),
            (Some(positive), None) => return positive,
            (None, _) => unreachable!("the network is asked for the prompt's velocity"),
        };
        let Some(scale) = sampling.guidance_at(noisiest(timesteps)) else {
            return positive;
        };
        match sampling.guidance_kind {
            GuidanceKind::Cfg => guide(positive, negative, scale),
            GuidanceKind::CfgZero => cfg_zero(positive, negative, scale),
            GuidanceKind::Apg => {
                // Known frames have no velocity that counts.
                let shape = [1, 1, timesteps.len(), 1, 1];
                let data = TensorData::new(timesteps.to_vec(), shape);
                let sigmas = Tensor::<5>::from_data(data, &self.x.device());
                let clean = |velocity: Tensor<5>| self.x.clone() - velocity * sigmas.clone();
                let (positive, negative) = (clean(positive), clean(negative));
                let average = &mut self.average;
                let guided = apg(positive, negative, scale, Apg::default(), average);
                (self.x.clone() - guided) / sigmas.clamp_min(LEAST_SIGMA)
            }
        }
    }
}

fn noisiest(timesteps: &[f32]) -> f32 {
    timesteps.iter().copied().fold(0.0, f32::max)
}

/// Of a part of the steps.
const ROUNDING: f32 = 1e-4;
/// Below it a frame is clean, and its velocity moves nothing.
const LEAST_SIGMA: f32 = 1e-4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weak_change_begins_late_and_spends_fewer_steps() {
        let with = |sampler| Sampling {
            sampler,
            seed: 0,
            steps: 10,
            guidance: 1.0,
            guidance_below: None,
            guidance_kind: GuidanceKind::Cfg,
            guidance_above: 0.0,
            step_cache: None,
            shift: 4.0,
        };
        for sampler in Sampler::ALL {
            for strength in [0.05, 0.3, 0.6, 0.999] {
                let Levels { sigmas, timesteps } = with(sampler).levels(strength);
                assert!((sigmas[0] - strength).abs() < 1e-6, "{sampler}: {sigmas:?}");
                assert!(timesteps[0] < strength + 1e-6, "{sampler}: {timesteps:?}");
                assert_eq!(sigmas.last(), Some(&0.0));
                assert_eq!(sigmas.len(), with(sampler).steps_from(strength) + 1);
                assert!(sigmas.windows(2).all(|pair| pair[1] < pair[0]));
            }
            assert_eq!(with(sampler).steps_from(1.0), 10);
        }
        assert_eq!(with(Sampler::Euler).steps_from(shift(0.3, 4.0)), 3);
        assert_eq!(with(Sampler::Euler).steps_from(0.01), 1);
    }
}
