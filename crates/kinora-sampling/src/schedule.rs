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
