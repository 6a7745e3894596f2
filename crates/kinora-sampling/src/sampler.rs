//! Solvers of `dx/dσ = velocity(x, σ)`.

use burn::tensor::Tensor;

/// One interval of a schedule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Noise level at its start.
    pub sigma: f32,
    /// Noise level at its end.
    pub next_sigma: f32,
}

/// The intervals of a schedule.
pub fn steps(sigmas: &[f32]) -> Vec<Step> {
    sigmas
        .windows(2)
        .map(|pair| Step {
            sigma: pair[0],
            next_sigma: pair[1],
        })
        .collect()
}

/// Euler's rule over one interval.
pub fn euler<const D: usize>(x: Tensor<D>, velocity: Tensor<D>, step: Step) -> Tensor<D> {
    x + velocity * (step.next_sigma - step.sigma)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Distribution, Tolerance};

    use super::*;
    use crate::schedule::shifted_sigmas;

    /// The flow between two points is a straight line, on which Euler's rule is exact.
    #[test]
    fn euler_is_exact_on_a_straight_flow() {
        let device = Device::flex();
        let clean = Tensor::<2>::random([3, 5], Distribution::Default, &device);
        let noise = Tensor::<2>::random([3, 5], Distribution::Default, &device);
        let mut x = noise.clone();
        for step in steps(&shifted_sigmas(7, 2.0)) {
            x = euler(x, noise.clone() - clean.clone(), step);
        }
        let tolerance = Tolerance::<f32>::absolute(1e-5);
        x.to_data().assert_approx_eq(&clean.to_data(), tolerance);
    }
}
