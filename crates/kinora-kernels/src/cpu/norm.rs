//! Layer norm without learned affine, fused with a scale and shift per group, and its gradient.

use super::level::{Level, level};
use super::math::{fold, madd, per_level};
use super::parallel::Shared;
use super::rows::{GroupedRows, for_each_run, sum_runs};

/// `out = (x − mean) / √(var + epsilon) · (1 + scale) + shift`; also gives each row's mean and reciprocal deviation.
///
/// # Shapes
/// `x`, `out` `[groups, rows, channels]`, `shift`, `scale` `[groups, channels]`, `mean`, `rstd` `[groups · rows]`.
///
/// # Panics
/// When a slice does not have the length of its shape.
#[allow(clippy::too_many_arguments)]
pub fn norm_modulate_forward(
    shape: GroupedRows,
    x: &[f32],
    shift: &[f32],
    scale: &[f32],
    epsilon: f32,
    out: &mut [f32],
    mean: &mut [f32],
    rstd: &mut [f32],
) {
    norm_modulate_forward_at(level(), shape, x, shift, scale, epsilon, out, mean, rstd);
}

#[allow(clippy::too_many_arguments)]
pub(crate) fn norm_modulate_forward_at(
    level: Level,
    shape: GroupedRows,
    x: &[f32],
    shift: &[f32],
    scale: &[f32],
    epsilon: f32,
    out: &mut [f32],
    mean: &mut [f32],
    rstd: &mut [f32],
) {
    shape.check(
        &[x.len(), out.len()],
        &[shift.len(), scale.len()],
        &[mean.len(), rstd.len()],
    );
    let channels = shape.channels;
    if shape.is_empty() {
        return;
    }
    let (out, mean, rstd) = (Shared::new(out), Shared::new(mean), Shared::new(rstd));
    for_each_run(shape, |run| {
        let group = run.group * channels;
        // SAFETY: runs do not overlap.
        let (out, mean, rstd) = unsafe {
            (
                out.slice(run.first * channels, run.rows * channels),
                mean.slice(run.first, run.rows),
                rstd.slice(run.first, run.rows),
            )
        };
        forward_rows(
            level,
            &x[run.first * channels..][..run.rows * channels],
            &shift[group..][..channels],
            &scale[group..][..channels],
            epsilon,
            out,
            mean,
            rstd,
        );
    });
}

per_level! {
    fn forward_rows / forward_rows_body(
        x: &[f32], shift: &[f32], scale: &[f32], epsilon: f32, out: &mut [f32], mean: &mut [f32], rstd: &mut [f32],
    )
}

#[allow(clippy::too_many_arguments)]
#[inline(always)]
fn forward_rows_body<const FMA: bool>(
    x: &[f32],
    shift: &[f32],
    scale: &[f32],
    epsilon: f32,
    out: &mut [f32],
    mean: &mut [f32],
    rstd: &mut [f32],
) {
    let channels = shift.len();
    for (index, (x, out)) in x
        .chunks_exact(channels)
        .zip(out.chunks_exact_mut(channels))
        .enumerate()
    {
        let centre = super::math::sum(x) / channels as f32;
        let factor = 1.0 / (square_deviation::<FMA>(x, centre) / channels as f32 + epsilon).sqrt();
        (mean[index], rstd[index]) = (centre, factor);
        for i in 0..channels {
            out[i] = madd::<FMA>((x[i] - centre) * factor, 1.0 + scale[i], shift[i]);
        }
    }
}

#[inline(always)]
fn square_deviation<const FMA: bool>(x: &[f32], centre: f32) -> f32 {
    let mut lanes = [0.0f32; 16];
    let (chunks, rest) = x.as_chunks::<16>();
    for chunk in chunks {
        for i in 0..16 {
            let d = chunk[i] - centre;
            lanes[i] = madd::<FMA>(d, d, lanes[i]);
        }
    }
    for (lane, value) in lanes.iter_mut().zip(rest) {
        let d = value - centre;
        *lane = madd::<FMA>(d, d, *lane);
    }
    fold(lanes)
}

/// Gradients of [`norm_modulate_forward`]; all are overwritten.
///
/// # Shapes
/// As there; `d_out`, `d_x` like `x`, `d_shift`, `d_scale` like `scale`.
///
/// # Panics
/// When a slice does not have the length of its shape.
#[allow(clippy::too_many_arguments)]
pub fn norm_modulate_backward(
    shape: GroupedRows,
    x: &[f32],
    scale: &[f32],
    mean: &[f32],
    rstd: &[f32],
    d_out: &[f32],
    d_x: &mut [f32],
    d_shift: &mut [f32],
    d_scale: &mut [f32],
) {
    norm_modulate_backward_at(
        level(),
        shape,
        x,
        scale,
        mean,
        rstd,
        d_out,
        d_x,
        d_shift,
        d_scale,
    );
}

#[allow(clippy::too_many_arguments)]
pub(crate) fn norm_modulate_backward_at(
    level: Level,
    shape: GroupedRows,
    x: &[f32],
    scale: &[f32],
    mean: &[f32],
    rstd: &[f32],
    d_out: &[f32],
    d_x: &mut [f32],
    d_shift: &mut [f32],
    d_scale: &mut [f32],
) {
    let channels = shape.channels;
    shape.check(
        &[x.len(), d_out.len(), d_x.len()],
        &[scale.len(), d_shift.len(), d_scale.len()],
        &[mean.len(), rstd.len()],
    );
    if shape.is_empty() {
        d_shift.fill(0.0);
        d_scale.fill(0.0);
        return;
    }
    let d_x = Shared::new(d_x);
    // Shift and scale side by side: one pass over the rows makes both.
    let mut sums = super::scratch::Scratch::take(2 * shape.group_len());
    let sums = sums.floats(2 * shape.group_len());
    sum_runs(shape, 2 * channels, sums, |run, sums| {
        let (d_shift, d_scale) = sums.split_at_mut(channels);
        let (start, len) = (run.first * channels, run.rows * channels);
        backward_rows(
            level,
            &x[start..][..len],
            &scale[run.group * channels..][..channels],
            &mean[run.first..][..run.rows],
            &rstd[run.first..][..run.rows],
            &d_out[start..][..len],
            // SAFETY: runs do not overlap.
            unsafe { d_x.slice(start, len) },
            d_shift,
            d_scale,
        );
    });
    for (group, sums) in sums.chunks_exact(2 * channels).enumerate() {
        d_shift[group * channels..][..channels].copy_from_slice(&sums[..channels]);
        d_scale[group * channels..][..channels].copy_from_slice(&sums[channels..]);
    }
}

per_level! {
    fn backward_rows / backward_rows_body(
        x: &[f32], scale: &[f32], mean: &[f32], rstd: &[f32], d_out: &[f32],
        d_x: &mut [f32], d_shift: &mut [f32], d_scale: &mut [f32],
    )
}

#[allow(clippy::too_many_arguments)]
#[inline(always)]
fn backward_rows_body<const FMA: bool>(
    x: &[f32],
    scale: &[f32],
    mean: &[f32],
    rstd: &[f32],
    d_out: &[f32],
    d_x: &mut [f32],
    d_shift: &mut [f32],
    d_scale: &mut [f32],
) {
    let channels = scale.len();
    let (d_shift, d_scale) = (&mut d_shift[..channels], &mut d_scale[..channels]);
    let rows = x
        .chunks_exact(channels)
        .zip(d_out.chunks_exact(channels))
        .zip(d_x.chunks_exact_mut(channels));
    for (index, ((x, g), d_x)) in rows.enumerate() {
        let (centre, factor) = (mean[index], rstd[index]);
        // Sums of the normalised gradient, plain and against the normalised row.
        let (mut plain, mut along) = ([0.0f32; 16], [0.0f32; 16]);
        let ((xs, x_rest), (gs, g_rest), (scales, scale_rest)) = (
            x.as_chunks::<16>(),
            g.as_chunks::<16>(),
            scale.as_chunks::<16>(),
        );
        for ((x, g), scale) in xs.iter().zip(gs).zip(scales) {
            for i in 0..16 {
                let d_normed = g[i] * (1.0 + scale[i]);
                plain[i] += d_normed;
                along[i] = madd::<FMA>(d_normed, (x[i] - centre) * factor, along[i]);
            }
        }
        for (i, ((x, g), scale)) in x_rest.iter().zip(g_rest).zip(scale_rest).enumerate() {
            let d_normed = g * (1.0 + scale);
            plain[i] += d_normed;
            along[i] = madd::<FMA>(d_normed, (x - centre) * factor, along[i]);
        }
        let (plain, along) = (fold(plain) / channels as f32, fold(along) / channels as f32);
        for i in 0..channels {
            let normed = (x[i] - centre) * factor;
            d_shift[i] += g[i];
            d_scale[i] = madd::<FMA>(g[i], normed, d_scale[i]);
            d_x[i] = factor * (g[i] * (1.0 + scale[i]) - plain - normed * along);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::level::tests::testable_levels;
    use crate::cpu::reference::{close, noise};

    /// `[out, d_x, d_shift, d_scale]` in f64.
    fn reference(
        shape: GroupedRows,
        x: &[f32],
        shift: &[f32],
        scale: &[f32],
        eps: f64,
        g: &[f32],
    ) -> [Vec<f64>; 4] {
        let c = shape.channels;
        let (mut out, mut d_x) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        let (mut d_shift, mut d_scale) = (vec![0.0; scale.len()], vec![0.0; scale.len()]);
        for row in 0..shape.groups * shape.rows {
            let at = |i: usize| row * c + i;
            let of = |i: usize| row / shape.rows * c + i;
            let mean = (0..c).map(|i| f64::from(x[at(i)])).sum::<f64>() / c as f64;
            let var = (0..c)
                .map(|i| (f64::from(x[at(i)]) - mean).powi(2))
                .sum::<f64>()
                / c as f64;
            let rstd = 1.0 / (var + eps).sqrt();
            let normed: Vec<f64> = (0..c)
                .map(|i| (f64::from(x[at(i)]) - mean) * rstd)
                .collect();
            let dn: Vec<f64> = (0..c)
                .map(|i| f64::from(g[at(i)]) * (1.0 + f64::from(scale[of(i)])))
                .collect();
            let plain = dn.iter().sum::<f64>() / c as f64;
            let along = dn.iter().zip(&normed).map(|(a, b)| a * b).sum::<f64>() / c as f64;
            for i in 0..c {
                out[at(i)] = normed[i] * (1.0 + f64::from(scale[of(i)])) + f64::from(shift[of(i)]);
                d_x[at(i)] = rstd * (dn[i] - plain - normed[i] * along);
                d_shift[of(i)] += f64::from(g[at(i)]);
                d_scale[of(i)] += f64::from(g[at(i)]) * normed[i];
            }
        }
        [out, d_x, d_shift, d_scale]
    }

    #[test]
    fn matches_the_reference_on_every_level() {
        for (groups, rows, channels) in [
            (0, 3, 4),
            (2, 0, 4),
            (1, 1, 1),
            (3, 5, 17),
            (2, 70, 256),
            (1, 200, 100),
        ] {
            let shape = GroupedRows {
                groups,
                rows,
                channels,
            };
            let (x, g) = (noise(shape.len(), 1), noise(shape.len(), 2));
            let (shift, scale) = (noise(shape.group_len(), 3), noise(shape.group_len(), 4));
            let want = reference(shape, &x, &shift, &scale, 1e-6, &g);
            for level in testable_levels("norm_modulate") {
                let mut out = vec![9.0; shape.len()];
                let (mut mean, mut rstd) = (vec![9.0; groups * rows], vec![9.0; groups * rows]);
                norm_modulate_forward_at(
                    level, shape, &x, &shift, &scale, 1e-6, &mut out, &mut mean, &mut rstd,
                );
                let mut d_x = vec![9.0; shape.len()];
                let (mut d_shift, mut d_scale) =
                    (vec![9.0; shape.group_len()], vec![9.0; shape.group_len()]);
                norm_modulate_backward_at(
                    level,
                    shape,
                    &x,
                    &scale,
                    &mean,
                    &rstd,
                    &g,
                    &mut d_x,
                    &mut d_shift,
                    &mut d_scale,
                );
                // A row of one has no variance: everything is scaled by 1/√ε.
                let tolerance = if channels == 1 { 1e-3 } else { 3e-5 };
                for ((name, got), want) in ["out", "d_x", "d_shift", "d_scale"]
                    .iter()
                    .zip([&out, &d_x, &d_shift, &d_scale])
                    .zip(&want)
                {
                    close(&format!("{name} {shape:?} {level:?}"), got, want, tolerance);
                }
            }
        }
    }

    #[test]
    fn nan_stays_in_its_row() {
        let shape = GroupedRows {
            groups: 1,
            rows: 3,
            channels: 40,
        };
        let mut x = noise(120, 1);
        x[50] = f32::NAN;
        for level in testable_levels("norm_modulate nan") {
            let (mut out, mut mean, mut rstd) = (vec![0.0; 120], vec![0.0; 3], vec![0.0; 3]);
            let zeros = [0.0; 40];
            norm_modulate_forward_at(
                level, shape, &x, &zeros, &zeros, 1e-6, &mut out, &mut mean, &mut rstd,
            );
            assert!(out[40..80].iter().all(|v| v.is_nan()));
            assert!(out[..40].iter().chain(&out[80..]).all(|v| v.is_finite()));
        }
    }
}
