//! Step caching: while what a denoiser is told hardly changes, its last answer serves again.
//!
//! After TeaCache (Liu et al., 2024), without the polynomial that is fitted to each checkpoint: the measure is the relative
//! change of the modulated timestep itself, and what serves again is the velocity, not what the blocks add.

/// What a denoiser was told last, and how far that is from when it was last called.
#[derive(Debug, Clone, PartialEq)]
pub struct Drift {
    /// Which network was told; another one knows nothing of its answer.
    pub network: usize,
    /// The modulated timestep.
    pub told: Vec<f32>,
    /// Sum of the relative changes since the last call.
    pub drift: f32,
}

/// Whether the last answer serves for what is `told` now: as long as the changes since the last call add up to less than
/// `threshold`, each `‖told − before‖₁ / ‖before‖₁`. `state` is what is carried from step to step; `must_call` forgets it.
pub fn serves_again(
    state: &mut Option<Drift>,
    network: usize,
    told: Vec<f32>,
    threshold: f32,
    must_call: bool,
) -> bool {
    let before = state.take().filter(|before| before.network == network);
    let drift = match &before {
        Some(before) if !must_call => before.drift + relative_change(&before.told, &told),
        _ => f32::INFINITY,
    };
    let serves = drift < threshold;
    *state = Some(Drift {
        network,
        told,
        drift: if serves { drift } else { 0.0 },
    });
    serves
}

fn relative_change(before: &[f32], now: &[f32]) -> f32 {
    let pairs = before.iter().zip(now);
    let change: f64 = pairs.map(|(a, b)| f64::from((b - a).abs())).sum();
    let size: f64 = before.iter().map(|a| f64::from(a.abs())).sum();
    match before.len() == now.len() {
        true => (change / size.max(f64::MIN_POSITIVE)) as f32,
        false => f32::INFINITY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_add_up_until_the_network_is_called() {
        let mut state = None;
        let mut serves = |network, value: f32, must_call| {
            serves_again(&mut state, network, vec![value, -value], 0.25, must_call)
        };
        assert!(!serves(0, 1.0, false), "there is no answer yet");
        // 10 % each, of what was told last.
        assert!(serves(0, 1.1, false));
        assert!(serves(0, 1.21, false));
        assert!(!serves(0, 1.331, false), "30 % in all");
        assert!(serves(0, 1.331, false), "nothing changed since the call");
        assert!(!serves(0, 1.331, true));
        assert!(!serves(1, 1.331, false), "another network");
        assert!(!serves(0, 1.331, false));
    }

    #[test]
    fn without_a_threshold_the_network_is_always_called() {
        let mut state = None;
        for _ in 0..3 {
            assert!(!serves_again(&mut state, 0, vec![1.0], 0.0, false));
        }
    }
}
