//! DPM-Solver++(2M): the clean latents, extrapolated from the two last steps (Lu et al., 2022).
//!
//! Follows `DPMSolverMultistepScheduler` of diffusers 0.42, `schedulers/scheduling_dpmsolver_multistep.py`, with flow sigmas
//! and flow prediction: `dpmsolver++`, order 2, `midpoint`, the last step of order 1.

use burn::tensor::Tensor;

use crate::History;

/// What the solver carries from step to step.
#[derive(Debug, Clone)]
pub struct DpmPlusPlus<const D: usize> {
    sigmas: Vec<f32>,
    /// Of the next step.
    step: usize,
    /// Clean latents of the step before.
    before: Option<Tensor<D>>,
}

impl<const D: usize> DpmPlusPlus<D> {
    /// A solver that is at the first of `sigmas`, such as those of [`dpm_schedule`](crate::dpm_schedule); the last is 0.
    pub fn new(sigmas: &[f32]) -> Self {
        Self {
            sigmas: sigmas.to_vec(),
            step: 0,
            before: None,
        }
    }

    /// Clean latents of the step before.
    pub(crate) fn history(&self) -> History<D> {
        History {
            steps: self.step,
            tensors: self.before.iter().cloned().collect(),
        }
    }

    /// `None` where the history is none of such a solver.
    pub(crate) fn resume(sigmas: &[f32], mut history: History<D>) -> Option<Self> {
        let is_whole = history.tensors.len() == history.steps.min(1);
        is_whole.then(|| Self {
            step: history.steps,
            before: history.tensors.pop(),
            ..Self::new(sigmas)
        })
    }

    /// Latents at the next noise level, from latents and velocity at this one.
    ///
    /// With `λ = ln((1 − σ) / σ)`, `h` the way to the next level in it and `r` the last way as a part of `h`:
    /// `x' = σ'/σ · x − (1 − σ')(e^−h − 1)(m + (m − m_before) / 2r)`.
    ///
    /// # Panics
    ///
    /// When the levels are used up.
    pub fn step(&mut self, x: Tensor<D>, velocity: Tensor<D>) -> Tensor<D> {
        let steps = self.sigmas.len() - 1;
        assert!(self.step < steps, "the schedule has {steps} steps");
        let (sigma, next) = (self.sigmas[self.step], self.sigmas[self.step + 1]);
        let clean = x.clone() - velocity * sigma;
        // All in f32, as upstream, whose rounding shows at the noisy end.
        let lambda = |sigma: f32| (1.0 - sigma).ln() - sigma.ln();
        let h = lambda(next) - lambda(sigma);
        let growth = (1.0 - next) * ((-h).exp() - 1.0);
        let straight = x * (next / sigma) - clean.clone() * growth;
        let before = self.before.replace(clean.clone());
        let is_last = self.step + 1 == steps;
        let moved = match before {
            Some(before) if !is_last => {
                let ratio = (lambda(sigma) - lambda(self.sigmas[self.step - 1])) / h;
                straight - (clean - before) * (0.5 * growth / ratio)
            }
            _ => straight,
        };
        self.step += 1;
        moved
    }
}
