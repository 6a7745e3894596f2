//! The optimiser's passes over parameters, each one read and one write.

use super::level::{Level, level};
use super::math::{madd, per_level};
use super::parallel::{Shared, for_each};

/// Elements of a task.
const CHUNK: usize = 1 << 15;

/// One AdamW step (Loshchilov and Hutter, 2019).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWStep {
    /// Learning rate of this step.
    pub learning_rate: f32,
    /// Decay of the first moment.
    pub beta_1: f32,
    /// Decay of the second moment.
    pub beta_2: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// Share of the parameters taken off, times the learning rate.
    pub weight_decay: f32,
    /// `1 − beta_1ᵗ`
    pub bias_correction_1: f32,
    /// `1 − beta_2ᵗ`
    pub bias_correction_2: f32,
    /// Factor of the gradient: clipping, or one over a loss scale.
    pub grad_scale: f32,
}

/// Updates parameters and both moments in place.
///
/// # Panics
/// When the lengths differ.
pub fn adamw_step(
    params: &mut [f32],
    moment_1: &mut [f32],
    moment_2: &mut [f32],
    grad: &[f32],
    step: AdamWStep,
) {
    adamw_step_at(level(), params, moment_1, moment_2, grad, step);
}

pub(crate) fn adamw_step_at(
    level: Level,
    params: &mut [f32],
    moment_1: &mut [f32],
    moment_2: &mut [f32],
    grad: &[f32],
    step: AdamWStep,
) {
    let total = grad.len();
    assert_eq!([params.len(), moment_1.len(), moment_2.len()], [total; 3]);
    let [params, moment_1, moment_2] = [
        Shared::new(params),
        Shared::new(moment_1),
        Shared::new(moment_2),
    ];
    for_each(total.div_ceil(CHUNK), total * 4, |chunk| {
        let start = chunk * CHUNK;
        let len = CHUNK.min(total - start);
        // SAFETY: chunks do not overlap.
        let (p, m, v) = unsafe {
            (
                params.slice(start, len),
                moment_1.slice(start, len),
                moment_2.slice(start, len),
            )
        };
        adamw_chunk(level, p, m, v, &grad[start..][..len], step);
    });
}

per_level! {
    fn adamw_chunk / adamw_chunk_body(p: &mut [f32], m: &mut [f32], v: &mut [f32], g: &[f32], step: AdamWStep)
}

#[inline(always)]
fn adamw_chunk_body<const FMA: bool>(
    p: &mut [f32],
    m: &mut [f32],
    v: &mut [f32],
    g: &[f32],
    s: AdamWStep,
) {
    let len = p.len();
    let (m, v, g) = (&mut m[..len], &mut v[..len], &g[..len]);
    let keep = 1.0 - s.learning_rate * s.weight_decay;
    let rate = s.learning_rate / s.bias_correction_1;
    let root = 1.0 / s.bias_correction_2.sqrt();
    for i in 0..len {
        let g = g[i] * s.grad_scale;
        m[i] = madd::<FMA>(s.beta_1, m[i], (1.0 - s.beta_1) * g);
        v[i] = madd::<FMA>(s.beta_2, v[i], (1.0 - s.beta_2) * g * g);
        let denominator = madd::<FMA>(v[i].sqrt(), root, s.epsilon);
        p[i] = p[i] * keep - rate * m[i] / denominator;
    }
}

/// `Σ x²`, in f64 and in a fixed order.
#[must_use]
pub fn squared_norm(x: &[f32]) -> f64 {
    squared_norm_at(level(), x)
}

pub(crate) fn squared_norm_at(level: Level, x: &[f32]) -> f64 {
    let mut parts = vec![0.0; x.len().div_ceil(CHUNK)];
    let shared = Shared::new(&mut parts);
    for_each(x.len().div_ceil(CHUNK), x.len(), |chunk| {
        let x = &x[chunk * CHUNK..];
        // SAFETY: each task has one part.
        let part = unsafe { shared.slice(chunk, 1) };
        part[0] = square_chunk(level, &x[..x.len().min(CHUNK)]);
    });
    parts.iter().sum()
}

per_level! {
    fn square_chunk / square_chunk_body(x: &[f32]) -> f64
}

#[inline(always)]
fn square_chunk_body<const FMA: bool>(x: &[f32]) -> f64 {
    let mut lanes = [0.0f64; 16];
    let (chunks, rest) = x.as_chunks::<16>();
    for chunk in chunks {
        for i in 0..16 {
            let value = f64::from(chunk[i]);
            lanes[i] += value * value;
        }
    }
    for (lane, value) in lanes.iter_mut().zip(rest) {
        *lane += f64::from(*value) * f64::from(*value);
    }
    lanes.iter().sum()
}

/// `average = decay·average + (1 − decay)·params`.
///
/// # Panics
/// When the lengths differ.
pub fn ema_update(average: &mut [f32], params: &[f32], decay: f32) {
    ema_update_at(level(), average, params, decay);
}

pub(crate) fn ema_update_at(level: Level, average: &mut [f32], params: &[f32], decay: f32) {
    assert_eq!(average.len(), params.len());
    let average = Shared::new(average);
    for_each(params.len().div_ceil(CHUNK), params.len(), |chunk| {
        let params = &params[chunk * CHUNK..];
        let params = &params[..params.len().min(CHUNK)];
        // SAFETY: chunks do not overlap.
        ema_chunk(
            level,
            unsafe { average.slice(chunk * CHUNK, params.len()) },
            params,
            decay,
        );
    });
}

per_level! {
    fn ema_chunk / ema_chunk_body(average: &mut [f32], params: &[f32], decay: f32)
}

#[inline(always)]
fn ema_chunk_body<const FMA: bool>(average: &mut [f32], params: &[f32], decay: f32) {
    for (average, param) in average.iter_mut().zip(params) {
        // This form keeps an average that equals its parameters exactly.
        *average = madd::<FMA>(1.0 - decay, *param - *average, *average);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::level::tests::testable_levels;
    use crate::cpu::reference::{close, noise};

    const STEP: AdamWStep = AdamWStep {
        learning_rate: 0.01,
        beta_1: 0.9,
        beta_2: 0.95,
        epsilon: 1e-8,
        weight_decay: 0.1,
        bias_correction_1: 0.271,
        bias_correction_2: 0.142_625,
        grad_scale: 0.5,
    };

    #[test]
    fn adamw_matches_the_formula_on_every_level() {
        for len in [0, 1, 33, CHUNK + 5, 300_001] {
            let (p, m, g) = (noise(len, 1), noise(len, 2), noise(len, 4));
            let v: Vec<f32> = noise(len, 3).iter().map(|x| x.abs()).collect();
            let wide = |x: f32| f64::from(x);
            let want_m: Vec<f64> = (0..len)
                .map(|i| 0.9 * wide(m[i]) + 0.1 * 0.5 * wide(g[i]))
                .collect();
            let want_v: Vec<f64> = (0..len)
                .map(|i| 0.95 * wide(v[i]) + 0.05 * (0.5 * wide(g[i])).powi(2))
                .collect();
            let want_p: Vec<f64> = (0..len)
                .map(|i| {
                    let update = want_m[i] / 0.271 / ((want_v[i] / 0.142_625).sqrt() + 1e-8);
                    wide(p[i]) * (1.0 - 0.001) - 0.01 * update
                })
                .collect();
            for level in testable_levels("adamw") {
                let (mut p, mut m, mut v) = (p.clone(), m.clone(), v.clone());
                adamw_step_at(level, &mut p, &mut m, &mut v, &g, STEP);
                close("m", &m, &want_m, 1e-6);
                close("v", &v, &want_v, 1e-6);
                close("p", &p, &want_p, 1e-5);
            }
        }
    }

    #[test]
    fn norms_and_averages_match_on_every_level() {
        for len in [0, 1, 33, 2 * CHUNK + 5] {
            let (x, start) = (noise(len, 1), noise(len, 2));
            let want: f64 = x.iter().map(|x| f64::from(*x).powi(2)).sum();
            for level in testable_levels("optimizer") {
                assert!((squared_norm_at(level, &x) - want).abs() <= 1e-9 * want);
                let mut average = start.clone();
                ema_update_at(level, &mut average, &x, 0.9);
                let want: Vec<f64> = (0..len)
                    .map(|i| 0.9 * f64::from(start[i]) + 0.1 * f64::from(x[i]))
                    .collect();
                close("average", &average, &want, 1e-6);
            }
        }
    }
}
