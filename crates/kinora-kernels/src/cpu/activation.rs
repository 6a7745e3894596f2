//! Activations on their own, forward and backward.

use super::gemm::Activation;
use super::level::{Level, level};
use super::math::{gelu_tanh, gelu_tanh_derivative, per_level, silu, silu_derivative};
use super::parallel::{Shared, for_each};

/// Elements of a task.
const CHUNK: usize = 1 << 14;

/// `out = activation(x)`.
///
/// # Panics
/// When the lengths differ.
pub fn activation_forward(activation: Activation, x: &[f32], out: &mut [f32]) {
    activation_forward_at(level(), activation, x, out);
}

pub(crate) fn activation_forward_at(
    level: Level,
    activation: Activation,
    x: &[f32],
    out: &mut [f32],
) {
    assert_eq!(x.len(), out.len());
    let out = Shared::new(out);
    for_each(x.len().div_ceil(CHUNK), x.len() * 8, |chunk| {
        let x = &x[chunk * CHUNK..];
        let x = &x[..x.len().min(CHUNK)];
        // SAFETY: chunks do not overlap.
        forward(level, activation, x, unsafe {
            out.slice(chunk * CHUNK, x.len())
        });
    });
}

per_level! {
    fn forward / forward_body(activation: Activation, x: &[f32], out: &mut [f32])
}

#[inline(always)]
fn forward_body<const FMA: bool>(activation: Activation, x: &[f32], out: &mut [f32]) {
    match activation {
        Activation::None => out.copy_from_slice(x),
        Activation::GeluTanh => out
            .iter_mut()
            .zip(x)
            .for_each(|(out, x)| *out = gelu_tanh::<FMA>(*x)),
        Activation::Silu => out
            .iter_mut()
            .zip(x)
            .for_each(|(out, x)| *out = silu::<FMA>(*x)),
    }
}

/// `d_x = d_out · activation′(x)`, where `x` is what the activation was applied to.
///
/// # Panics
/// When the lengths differ.
pub fn activation_backward(activation: Activation, x: &[f32], d_out: &[f32], d_x: &mut [f32]) {
    activation_backward_at(level(), activation, x, d_out, d_x);
}

pub(crate) fn activation_backward_at(
    level: Level,
    activation: Activation,
    x: &[f32],
    d_out: &[f32],
    d_x: &mut [f32],
) {
    assert_eq!([x.len(), d_out.len()], [d_x.len(); 2]);
    let d_x = Shared::new(d_x);
    for_each(x.len().div_ceil(CHUNK), x.len() * 8, |chunk| {
        let start = chunk * CHUNK;
        let len = CHUNK.min(x.len() - start);
        // SAFETY: chunks do not overlap.
        let d_x = unsafe { d_x.slice(start, len) };
        backward(
            level,
            activation,
            &x[start..][..len],
            &d_out[start..][..len],
            d_x,
        );
    });
}

per_level! {
    fn backward / backward_body(activation: Activation, x: &[f32], d_out: &[f32], d_x: &mut [f32])
}

#[inline(always)]
fn backward_body<const FMA: bool>(
    activation: Activation,
    x: &[f32],
    d_out: &[f32],
    d_x: &mut [f32],
) {
    let each = d_x.iter_mut().zip(x).zip(d_out);
    match activation {
        Activation::None => d_x.copy_from_slice(d_out),
        Activation::GeluTanh => {
            each.for_each(|((d_x, x), g)| *d_x = g * gelu_tanh_derivative::<FMA>(*x))
        }
        Activation::Silu => each.for_each(|((d_x, x), g)| *d_x = g * silu_derivative::<FMA>(*x)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::level::tests::testable_levels;
    use crate::cpu::reference::{self, close, noise};

    #[test]
    fn values_and_slopes_match_on_every_level() {
        for len in [0, 1, 33, CHUNK + 7, 200_000] {
            let x: Vec<f32> = noise(len, 1).iter().map(|v| v * 8.0).collect();
            let g = noise(len, 2);
            for kind in [Activation::None, Activation::GeluTanh, Activation::Silu] {
                let value = |x: f64| reference::activation(kind, x);
                let want: Vec<f64> = x.iter().map(|x| value(f64::from(*x))).collect();
                let slope = |x: f64| (value(x + 1e-5) - value(x - 1e-5)) / 2e-5;
                let want_dx: Vec<f64> = x
                    .iter()
                    .zip(&g)
                    .map(|(x, g)| f64::from(*g) * slope(f64::from(*x)))
                    .collect();
                for level in testable_levels("activation") {
                    let (mut out, mut d_x) = (vec![9.0; len], vec![9.0; len]);
                    activation_forward_at(level, kind, &x, &mut out);
                    activation_backward_at(level, kind, &x, &g, &mut d_x);
                    close("out", &out, &want, 1e-6);
                    close("d_x", &d_x, &want_dx, 1e-5);
                }
            }
        }
    }
}
