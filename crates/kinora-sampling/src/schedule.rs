//! Noise levels to visit, from 1 down to 0.

/// Moves a noise level towards noise: `αt / (1 + (α − 1)t)` (Esser et al., 2024, equation 23). Larger
/// pictures need more noise to be equally destroyed, so `alpha` grows with the number of tokens.
pub fn shift(sigma: f32, alpha: f32) -> f32 {
    alpha * sigma / (1.0 + (alpha - 1.0) * sigma)
}

/// `steps + 1` noise levels from 1 to 0, evenly spaced and then [`shift`]ed.
pub fn shifted_sigmas(steps: usize, alpha: f32) -> Vec<f32> {
    (0..=steps)
        .map(|i| shift(1.0 - i as f32 / steps as f32, alpha))
        .collect()
}

/// Noise levels with the timesteps that a network is told at them.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// From noise down to 0, one more than there are steps.
    pub sigmas: Vec<f32>,
    /// One for each step, 1000 = noise.
    pub timesteps: Vec<f32>,
}

/// Timesteps of training.
const TIMESTEPS: f64 = 1000.0;

/// Levels of Euler's rule for flow matching: diffusers 0.42, `FlowMatchEulerDiscreteScheduler.set_timesteps`. The lowest
/// level is shifted twice, as there.
pub fn euler_schedule(steps: usize, shift: f64) -> Schedule {
    let lowest = f64::from(shifted(1.0 / TIMESTEPS, shift) as f32);
    let sigmas = linspace(1.0, lowest, steps, steps.saturating_sub(1)).map(|s| shifted(s, shift));
    let sigmas: Vec<f32> = sigmas.map(|sigma| sigma as f32).collect();
    Schedule {
        timesteps: sigmas
            .iter()
            .map(|sigma| sigma * TIMESTEPS as f32)
            .collect(),
        sigmas: sigmas.into_iter().chain([0.0]).collect(),
    }
}

/// Levels of [`UniPc`](crate::UniPc): diffusers 0.42, `UniPCMultistepScheduler.set_timesteps` with flow sigmas. The first
/// level is a little below 1, whose logarithm of signal to noise is infinite; timesteps are whole.
pub fn unipc_schedule(steps: usize, shift: f64) -> Schedule {
    const BELOW_ONE: f64 = 1e-6;
    let mut sigmas: Vec<f64> = linspace(1.0, 1.0 / TIMESTEPS, steps, steps)
        .map(|sigma| shifted(sigma, shift))
        .collect();
    if let Some(first) = sigmas.first_mut()
        && (*first - 1.0).abs() < BELOW_ONE
    {
        *first -= BELOW_ONE;
    }
    at_whole_timesteps(&sigmas)
}

/// Levels of [`DpmPlusPlus`](crate::DpmPlusPlus): diffusers 0.42, `DPMSolverMultistepScheduler.set_timesteps` with flow
/// sigmas. The first level is below 1 by a training step; timesteps are whole.
pub fn dpm_schedule(steps: usize, shift: f64) -> Schedule {
    let kept = linspace(1.0, 1.0 / TIMESTEPS, steps + 1, steps).skip(1);
    let mut sigmas: Vec<f64> = kept.map(|kept| shifted(1.0 - kept, shift)).collect();
    sigmas.reverse();
    at_whole_timesteps(&sigmas)
}

/// `sigmas` and then 0, told by their timesteps without fractions.
fn at_whole_timesteps(sigmas: &[f64]) -> Schedule {
    let whole = |sigma: &f64| (sigma * TIMESTEPS).trunc() as f32;
    let levels = sigmas.iter().map(|sigma| *sigma as f32);
    Schedule {
        timesteps: sigmas.iter().map(whole).collect(),
        sigmas: levels.chain([0.0]).collect(),
    }
}

/// The first `count` of evenly spaced numbers of which the last, after `intervals`, is `end`.
fn linspace(start: f64, end: f64, count: usize, intervals: usize) -> impl Iterator<Item = f64> {
    let width = (end - start) / intervals.max(1) as f64;
    (0..count).map(move |i| start + i as f64 * width)
}

/// [`shift`] in `f64`, in which upstream computes its schedules.
fn shifted(sigma: f64, alpha: f64) -> f64 {
    alpha * sigma / (1.0 + (alpha - 1.0) * sigma)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedule_falls_from_one_to_zero() {
        for alpha in [0.5, 1.0, 3.0] {
            let sigmas = shifted_sigmas(20, alpha);
            assert_eq!(sigmas.len(), 21);
            assert_eq!((sigmas[0], sigmas[20]), (1.0, 0.0));
            assert!(sigmas.windows(2).all(|pair| pair[1] < pair[0]));
        }
        assert!(shift(0.5, 3.0) > 0.5);
    }
}
