//! A gated residual, and its gradient.

use super::level::{Level, level};
use super::math::{madd, per_level};
use super::parallel::Shared;
use super::rows::{GroupedRows, for_each_run, sum_runs};

/// `out = x + gate·h`.
///
/// # Shapes
/// `x`, `h`, `out` `[groups, rows, channels]`, `gate [groups, channels]`.
///
/// # Panics
/// When a slice does not have the length of its shape.
pub fn gate_residual_forward(
    shape: GroupedRows,
    x: &[f32],
    gate: &[f32],
    h: &[f32],
    out: &mut [f32],
) {
    gate_residual_forward_at(level(), shape, x, gate, h, out);
}

pub(crate) fn gate_residual_forward_at(
    level: Level,
    shape: GroupedRows,
    x: &[f32],
    gate: &[f32],
    h: &[f32],
    out: &mut [f32],
) {
    shape.check(&[x.len(), h.len(), out.len()], &[gate.len()], &[]);
    if shape.is_empty() {
        return;
    }
    let (channels, out) = (shape.channels, Shared::new(out));
    for_each_run(shape, |run| {
        let (start, len) = (run.first * channels, run.rows * channels);
        // SAFETY: runs do not overlap.
        let out = unsafe { out.slice(start, len) };
        forward_rows(
            level,
            &x[start..][..len],
            &gate[run.group * channels..][..channels],
            &h[start..][..len],
            out,
        );
    });
}

per_level! {
    fn forward_rows / forward_rows_body(x: &[f32], gate: &[f32], h: &[f32], out: &mut [f32])
}

#[inline(always)]
fn forward_rows_body<const FMA: bool>(x: &[f32], gate: &[f32], h: &[f32], out: &mut [f32]) {
    let channels = gate.len();
    let rows = x
        .chunks_exact(channels)
        .zip(h.chunks_exact(channels))
        .zip(out.chunks_exact_mut(channels));
    for ((x, h), out) in rows {
        for i in 0..channels {
            out[i] = madd::<FMA>(gate[i], h[i], x[i]);
        }
    }
}

/// Gradients of [`gate_residual_forward`] for `gate` and `h`, overwritten; that of `x` is `d_out` itself.
///
/// # Shapes
/// `h`, `d_out`, `d_h` `[groups, rows, channels]`, `gate`, `d_gate` `[groups, channels]`.
///
/// # Panics
/// When a slice does not have the length of its shape.
pub fn gate_residual_backward(
    shape: GroupedRows,
    gate: &[f32],
    h: &[f32],
    d_out: &[f32],
    d_gate: &mut [f32],
    d_h: &mut [f32],
) {
    gate_residual_backward_at(level(), shape, gate, h, d_out, d_gate, d_h);
}

pub(crate) fn gate_residual_backward_at(
    level: Level,
    shape: GroupedRows,
    gate: &[f32],
    h: &[f32],
    d_out: &[f32],
    d_gate: &mut [f32],
    d_h: &mut [f32],
) {
    shape.check(
        &[h.len(), d_out.len(), d_h.len()],
        &[gate.len(), d_gate.len()],
        &[],
    );
    if shape.is_empty() {
        d_gate.fill(0.0);
        return;
    }
    let (channels, d_h) = (shape.channels, Shared::new(d_h));
    sum_runs(shape, channels, d_gate, |run, d_gate| {
        let (start, len) = (run.first * channels, run.rows * channels);
        let gate = &gate[run.group * channels..][..channels];
        // SAFETY: runs do not overlap.
        let d_h = unsafe { d_h.slice(start, len) };
        backward_rows(
            level,
            gate,
            &h[start..][..len],
            &d_out[start..][..len],
            d_gate,
            d_h,
        );
    });
}

per_level! {
    fn backward_rows / backward_rows_body(
        gate: &[f32], h: &[f32], d_out: &[f32], d_gate: &mut [f32], d_h: &mut [f32],
    )
}

#[inline(always)]
fn backward_rows_body<const FMA: bool>(
    gate: &[f32],
    h: &[f32],
    d_out: &[f32],
    d_gate: &mut [f32],
    d_h: &mut [f32],
) {
    let channels = gate.len();
    let rows = h
        .chunks_exact(channels)
        .zip(d_out.chunks_exact(channels))
        .zip(d_h.chunks_exact_mut(channels));
    for ((h, g), d_h) in rows {
        for i in 0..channels {
            d_gate[i] = madd::<FMA>(g[i], h[i], d_gate[i]);
            d_h[i] = g[i] * gate[i];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::level::tests::testable_levels;
    use crate::cpu::reference::{close, noise};

    #[test]
    fn matches_the_formula_on_every_level() {
        for (groups, rows, channels) in [(0, 1, 1), (2, 0, 3), (1, 1, 1), (3, 33, 17), (2, 100, 64)]
        {
            let shape = GroupedRows {
                groups,
                rows,
                channels,
            };
            let [x, h, g] = [1, 2, 3].map(|seed| noise(shape.len(), seed));
            let gate = noise(shape.group_len(), 4);
            let gate_of =
                |i: usize| f64::from(gate[i / (rows * channels) * channels + i % channels]);
            let want: Vec<f64> = (0..x.len())
                .map(|i| f64::from(x[i]) + gate_of(i) * f64::from(h[i]))
                .collect();
            let want_dh: Vec<f64> = (0..x.len()).map(|i| gate_of(i) * f64::from(g[i])).collect();
            let mut want_dgate = vec![0.0; gate.len()];
            for i in 0..x.len() {
                want_dgate[i / (rows * channels) * channels + i % channels] +=
                    f64::from(g[i]) * f64::from(h[i]);
            }
            for level in testable_levels("gate_residual") {
                let (mut out, mut d_h, mut d_gate) = (
                    vec![9.0; x.len()],
                    vec![9.0; x.len()],
                    vec![9.0; gate.len()],
                );
                gate_residual_forward_at(level, shape, &x, &gate, &h, &mut out);
                gate_residual_backward_at(level, shape, &gate, &h, &g, &mut d_gate, &mut d_h);
                close("out", &out, &want, 1e-6);
                close("d_h", &d_h, &want_dh, 1e-6);
                close("d_gate", &d_gate, &want_dgate, 1e-5);
            }
        }
    }
}
