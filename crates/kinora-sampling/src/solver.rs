//! Samplers by name: which noise levels they visit, and the step between two of them.

use std::fmt;
use std::str::FromStr;

use burn::tensor::Tensor;

use crate::{
    DpmPlusPlus, Schedule, Step, UniPc, dpm_schedule, euler, shifted_sigmas, unipc_schedule,
};

/// Order at which Wan runs [`UniPc`].
const UNIPC_ORDER: usize = 2;
/// Timesteps of training; what [`Levels::timesteps`] are parts of.
const TIMESTEPS: f32 = 1000.0;

/// A way to solve `dx/dσ = velocity(x, σ)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sampler {
    /// Euler's rule over evenly spaced levels, shifted.
    Euler,
    /// [`UniPc`] of order 2 over its own levels.
    UniPc,
    /// [`DpmPlusPlus`] over its own levels.
    DpmPlusPlus,
}

impl Sampler {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Euler, Self::UniPc, Self::DpmPlusPlus];

    /// As it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Euler => "euler",
            Self::UniPc => "unipc",
            Self::DpmPlusPlus => "dpm++",
        }
    }

    /// The noise levels of `steps` steps, see [`shift`](crate::shift()).
    pub fn levels(self, steps: usize, shift: f32) -> Levels {
        match self {
            Self::Euler => {
                let sigmas = shifted_sigmas(steps, shift);
                Levels {
                    timesteps: sigmas[..steps].to_vec(),
                    sigmas,
                }
            }
            Self::UniPc => unipc_schedule(steps, shift.into()).into(),
            Self::DpmPlusPlus => dpm_schedule(steps, shift.into()).into(),
        }
    }
}

impl fmt::Display for Sampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Sampler {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|sampler| sampler.name() == text);
        found.ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.iter().map(|sampler| sampler.name()).collect();
            format!("unknown sampler '{text}': known are {}", known.join(", "))
        })
    }
}

/// Noise levels from noise down to 0, and what a network is told at them.
#[derive(Debug, Clone, PartialEq)]
pub struct Levels {
    /// One more than there are steps.
    pub sigmas: Vec<f32>,
    /// One for each step, 1 = noise. Some samplers tell rounded ones.
    pub timesteps: Vec<f32>,
}

impl From<Schedule> for Levels {
    fn from(schedule: Schedule) -> Self {
        Self {
            timesteps: schedule.timesteps.iter().map(|t| t / TIMESTEPS).collect(),
            sigmas: schedule.sigmas,
        }
    }
}

impl Levels {
    /// Steps.
    pub fn steps(&self) -> usize {
        self.timesteps.len()
    }

    /// The first step that changes what is noised by `strength` alone, and the levels from there on: `strength` itself,
    /// then all levels below it. `None` where nothing is to be changed.
    pub fn from_strength(&self, strength: f32) -> Option<(usize, Vec<f32>)> {
        let first = (0..self.steps()).find(|&i| self.sigmas[i + 1] < strength)?;
        let mut sigmas = self.sigmas[first..].to_vec();
        sigmas[0] = sigmas[0].min(strength);
        Some((first, sigmas))
    }
}

/// What a sampler carries from step to step, over some levels.
#[derive(Debug, Clone)]
pub enum Solver<const D: usize> {
    /// Only where it is.
    Euler {
        /// All of the levels.
        sigmas: Vec<f32>,
        /// Of the next step.
        step: usize,
    },
    /// Latents of the steps before.
    UniPc(UniPc<D>),
    /// Latents of the step before.
    DpmPlusPlus(DpmPlusPlus<D>),
}

impl<const D: usize> Solver<D> {
    /// At the first of `sigmas`, of which the last is 0.
    pub fn new(sampler: Sampler, sigmas: &[f32]) -> Self {
        match sampler {
            Sampler::Euler => Self::Euler {
                sigmas: sigmas.to_vec(),
                step: 0,
            },
            Sampler::UniPc => Self::UniPc(UniPc::new(sigmas, UNIPC_ORDER)),
            Sampler::DpmPlusPlus => Self::DpmPlusPlus(DpmPlusPlus::new(sigmas)),
        }
    }

    /// Latents at the next level, from latents and velocity at this one.
    ///
    /// # Panics
    ///
    /// When the levels are used up.
    pub fn step(&mut self, x: Tensor<D>, velocity: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Euler { sigmas, step } => {
                let interval = Step {
                    sigma: sigmas[*step],
                    next_sigma: sigmas[*step + 1],
                };
                *step += 1;
                euler(x, velocity, interval)
            }
            Self::UniPc(solver) => solver.step(x, velocity),
            Self::DpmPlusPlus(solver) => solver.step(x, velocity),
        }
    }
}

/// What the next step of a solver depends on beside its levels and the latents, so that work can go on elsewhere and give the
/// same to the bit.
#[derive(Debug, Clone)]
pub struct History<const D: usize> {
    /// Steps that are done.
    pub steps: usize,
    /// Tensors of the steps before, the oldest first.
    pub tensors: Vec<Tensor<D>>,
}

impl<const D: usize> Solver<D> {
    /// What the next step depends on.
    pub fn history(&self) -> History<D> {
        match self {
            Self::Euler { step, .. } => History {
                steps: *step,
                tensors: Vec::new(),
            },
            Self::UniPc(solver) => solver.history(),
            Self::DpmPlusPlus(solver) => solver.history(),
        }
    }

    /// A solver as [`new`](Self::new) that goes on after `history`; `None` where no solver of this kind has such a history.
    pub fn resume(sampler: Sampler, sigmas: &[f32], history: History<D>) -> Option<Self> {
        if history.steps >= sigmas.len() {
            return None;
        }
        match sampler {
            Sampler::Euler => history.tensors.is_empty().then(|| Self::Euler {
                sigmas: sigmas.to_vec(),
                step: history.steps,
            }),
            Sampler::UniPc => UniPc::resume(sigmas, UNIPC_ORDER, history).map(Self::UniPc),
            Sampler::DpmPlusPlus => DpmPlusPlus::resume(sigmas, history).map(Self::DpmPlusPlus),
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Distribution, Tolerance};

    use super::*;

    #[test]
    fn names_are_read_back() {
        for sampler in Sampler::ALL {
            assert_eq!(sampler.name().parse(), Ok(sampler));
        }
        let error = "ddim".parse::<Sampler>().unwrap_err();
        assert!(error.contains("euler, unipc, dpm++"), "{error}");
    }

    #[test]
    fn a_strength_begins_below_the_levels_that_it_does_not_reach() {
        let levels = Sampler::Euler.levels(4, 1.0);
        assert_eq!(levels.timesteps, [1.0, 0.75, 0.5, 0.25]);
        assert_eq!(levels.from_strength(1.0), Some((0, levels.sigmas.clone())));
        assert_eq!(
            levels.from_strength(0.6),
            Some((1, vec![0.6, 0.5, 0.25, 0.0]))
        );
        assert_eq!(levels.from_strength(0.5), Some((2, vec![0.5, 0.25, 0.0])));
        assert_eq!(levels.from_strength(0.1), Some((3, vec![0.1, 0.0])));
        assert_eq!(levels.from_strength(0.0), None);
    }

    #[test]
    fn a_solver_that_goes_on_gives_the_same_to_the_bit() {
        let device = Device::flex();
        let start = Tensor::<2>::random([3, 5], Distribution::Default, &device);
        let velocity = |x: &Tensor<2>| x.clone().sin() * 2.0 - 0.3;
        let bits = |x: Tensor<2>| -> Vec<u32> {
            let values: Vec<f32> = x.into_data().try_into_vec().unwrap();
            values.into_iter().map(f32::to_bits).collect()
        };
        for sampler in Sampler::ALL {
            let sigmas = sampler.levels(8, 3.0).sigmas;
            let mut whole = Solver::new(sampler, &sigmas);
            let mut x = start.clone();
            for done in 0..8 {
                let resumed = Solver::resume(sampler, &sigmas, whole.history());
                let mut resumed = resumed.expect("its own history");
                let next = whole.step(x.clone(), velocity(&x));
                let other = resumed.step(x.clone(), velocity(&x));
                assert_eq!(
                    bits(next.clone()),
                    bits(other),
                    "{sampler} after {done} steps"
                );
                x = next;
            }
            for (steps, tensors) in [(9, 0), (0, 1), (4, 7)] {
                let history = History {
                    steps,
                    tensors: vec![start.clone(); tensors],
                };
                assert!(
                    Solver::resume(sampler, &sigmas, history).is_none(),
                    "{sampler}"
                );
            }
        }
    }

    /// Every sampler is exact where the clean latents do not depend on the noise level.
    #[test]
    fn samplers_are_exact_on_a_straight_flow() {
        let device = Device::flex();
        let clean = Tensor::<2>::random([3, 5], Distribution::Default, &device);
        let noise = Tensor::<2>::random([3, 5], Distribution::Default, &device);
        for sampler in Sampler::ALL {
            for strength in [1.0, 0.35] {
                let levels = sampler.levels(9, 3.0);
                let (first, sigmas) = levels.from_strength(strength).unwrap();
                let mut solver = Solver::new(sampler, &sigmas);
                let mut x = clean.clone() * (1.0 - sigmas[0]) + noise.clone() * sigmas[0];
                for _ in first..levels.steps() {
                    x = solver.step(x, noise.clone() - clean.clone());
                }
                let tolerance = Tolerance::<f32>::absolute(1e-4);
                x.to_data().assert_approx_eq(&clean.to_data(), tolerance);
            }
        }
    }
}
