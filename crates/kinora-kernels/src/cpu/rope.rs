//! Per-head RMS norm, then rotary positions, and the gradient of both.

use super::level::{Level, level};
use super::math::{fold, madd, per_level};
use super::parallel::Shared;
use super::rows::{GroupedRows, for_each_run, sum_runs};

/// `[batch, tokens, heads, head_dim]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadsShape {
    /// Independent sequences.
    pub batch: usize,
    /// Tokens of a sequence.
    pub tokens: usize,
    /// Heads of a token.
    pub heads: usize,
    /// Elements of a head; even.
    pub head_dim: usize,
}

impl HeadsShape {
    /// Elements in all.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.batch * self.tokens * self.heads * self.head_dim
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One row for each token.
    const fn rows(&self) -> GroupedRows {
        GroupedRows {
            groups: 1,
            rows: self.batch * self.tokens,
            channels: self.heads * self.head_dim,
        }
    }

    fn check(
        &self,
        elements: &[usize],
        weight: usize,
        rotary: Option<(&[f32], &[f32])>,
        rstd: usize,
    ) {
        assert!(
            elements.iter().all(|len| *len == self.len()),
            "{self:?} does not fit slices of {elements:?}"
        );
        assert_eq!(
            weight, self.head_dim,
            "a weight has an element for each of a head"
        );
        assert_eq!(
            rstd,
            self.batch * self.tokens * self.heads,
            "rstd is [batch, tokens, heads]"
        );
        if let Some((cos, sin)) = rotary {
            let pairs = cos.len() / self.tokens.max(1);
            assert_eq!(
                [cos.len(), sin.len()],
                [self.tokens * pairs; 2],
                "rotary tables are [tokens, pairs]"
            );
            assert!(
                self.is_empty() || (pairs > 0 && self.head_dim.is_multiple_of(2 * pairs)),
                "{pairs} pairs do not repeat across a head of {}",
                self.head_dim
            );
        }
    }
}

/// Cosines and sines of one token.
type Angles<'a> = Option<(&'a [f32], &'a [f32])>;

fn angles<'a>(
    rotary: Option<(&'a [f32], &'a [f32])>,
    shape: &HeadsShape,
    row: usize,
) -> Angles<'a> {
    rotary.map(|(cos, sin)| {
        let pairs = cos.len() / shape.tokens;
        let start = row % shape.tokens * pairs;
        (&cos[start..][..pairs], &sin[start..][..pairs])
    })
}

/// `out = rotate(x / √(mean(x²) + epsilon) · weight)`; the pair `(2i, 2i + 1)` of a head turns by the token's angle
/// `i mod pairs`. Also gives the reciprocal RMS of each head.
///
/// # Shapes
/// `x`, `out` `[batch, tokens, heads, head_dim]`, `weight [head_dim]`, rotary (cosines, sines) `[tokens, pairs]` where
/// `2 · pairs` divides `head_dim`, `rstd [batch, tokens, heads]`.
///
/// # Panics
/// When a slice does not have the length of its shape.
pub fn rms_norm_rope_forward(
    shape: HeadsShape,
    x: &[f32],
    weight: &[f32],
    rotary: Option<(&[f32], &[f32])>,
    epsilon: f32,
    out: &mut [f32],
    rstd: &mut [f32],
) {
    rms_norm_rope_forward_at(level(), shape, x, weight, rotary, epsilon, out, rstd);
}

#[allow(clippy::too_many_arguments)]
pub(crate) fn rms_norm_rope_forward_at(
    level: Level,
    shape: HeadsShape,
    x: &[f32],
    weight: &[f32],
    rotary: Option<(&[f32], &[f32])>,
    epsilon: f32,
    out: &mut [f32],
    rstd: &mut [f32],
) {
    shape.check(&[x.len(), out.len()], weight.len(), rotary, rstd.len());
    if shape.is_empty() {
        return;
    }
    let (channels, heads) = (shape.heads * shape.head_dim, shape.heads);
    let (out, rstd) = (Shared::new(out), Shared::new(rstd));
    for_each_run(shape.rows(), |run| {
        for row in run.first..run.first + run.rows {
            // SAFETY: runs do not overlap.
            let (out, rstd) = unsafe {
                (
                    out.slice(row * channels, channels),
                    rstd.slice(row * heads, heads),
                )
            };
            let x = &x[row * channels..][..channels];
            forward_token(
                level,
                x,
                weight,
                angles(rotary, &shape, row),
                epsilon,
                out,
                rstd,
            );
        }
    });
}

per_level! {
    fn forward_token / forward_token_body(
        x: &[f32], weight: &[f32], angles: Angles<'_>, epsilon: f32, out: &mut [f32], rstd: &mut [f32],
    )
}

#[inline(always)]
fn forward_token_body<const FMA: bool>(
    x: &[f32],
    weight: &[f32],
    angles: Angles<'_>,
    epsilon: f32,
    out: &mut [f32],
    rstd: &mut [f32],
) {
    let head_dim = weight.len();
    let heads = x
        .chunks_exact(head_dim)
        .zip(out.chunks_exact_mut(head_dim))
        .zip(rstd);
    for ((x, out), rstd) in heads {
        let factor = 1.0 / (dot::<FMA>(x, x) / head_dim as f32 + epsilon).sqrt();
        *rstd = factor;
        for i in 0..head_dim {
            out[i] = x[i] * factor * weight[i];
        }
        if let Some((cos, sin)) = angles {
            rotate::<FMA, false>(out, cos, sin);
        }
    }
}

/// Turns the pairs of a head by their angles, or back; fewer angles than pairs repeat.
#[inline(always)]
fn rotate<const FMA: bool, const BACK: bool>(head: &mut [f32], cos: &[f32], sin: &[f32]) {
    let sign = if BACK { -1.0 } else { 1.0 };
    for part in head.chunks_exact_mut(2 * cos.len()) {
        for ((pair, cos), sin) in part.as_chunks_mut::<2>().0.iter_mut().zip(cos).zip(sin) {
            let ([even, odd], sin) = (*pair, sign * sin);
            *pair = [
                madd::<FMA>(even, *cos, -(odd * sin)),
                madd::<FMA>(odd, *cos, even * sin),
            ];
        }
    }
}

#[inline(always)]
fn dot<const FMA: bool>(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 16];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    for (a, b) in a.iter().zip(b) {
        for i in 0..16 {
            lanes[i] = madd::<FMA>(a[i], b[i], lanes[i]);
        }
    }
    for ((lane, a), b) in lanes.iter_mut().zip(a_rest).zip(b_rest) {
        *lane = madd::<FMA>(*a, *b, *lane);
    }
    fold(lanes)
}

/// Gradients of [`rms_norm_rope_forward`]; both are overwritten.
///
/// # Shapes
/// As there; `d_out`, `d_x` like `x`, `d_weight` like `weight`.
///
/// # Panics
/// When a slice does not have the length of its shape.
#[allow(clippy::too_many_arguments)]
pub fn rms_norm_rope_backward(
    shape: HeadsShape,
    x: &[f32],
    weight: &[f32],
    rotary: Option<(&[f32], &[f32])>,
    rstd: &[f32],
    d_out: &[f32],
    d_x: &mut [f32],
    d_weight: &mut [f32],
) {
    rms_norm_rope_backward_at(
        level(),
        shape,
        x,
        weight,
        rotary,
        rstd,
        d_out,
        d_x,
        d_weight,
    );
}

#[allow(clippy::too_many_arguments)]
pub(crate) fn rms_norm_rope_backward_at(
    level: Level,
    shape: HeadsShape,
    x: &[f32],
    weight: &[f32],
    rotary: Option<(&[f32], &[f32])>,
    rstd: &[f32],
    d_out: &[f32],
    d_x: &mut [f32],
    d_weight: &mut [f32],
) {
    shape.check(
        &[x.len(), d_out.len(), d_x.len()],
        weight.len(),
        rotary,
        rstd.len(),
    );
    assert_eq!(d_weight.len(), weight.len());
    if shape.is_empty() {
        d_weight.fill(0.0);
        return;
    }
    let (channels, heads) = (shape.heads * shape.head_dim, shape.heads);
    let d_x = Shared::new(d_x);
    sum_runs(shape.rows(), shape.head_dim, d_weight, |run, d_weight| {
        for row in run.first..run.first + run.rows {
            let start = row * channels;
            backward_token(
                level,
                &x[start..][..channels],
                weight,
                angles(rotary, &shape, row),
                &rstd[row * heads..][..heads],
                &d_out[start..][..channels],
                // SAFETY: runs do not overlap.
                unsafe { d_x.slice(start, channels) },
                d_weight,
            );
        }
    });
}

per_level! {
    fn backward_token / backward_token_body(
        x: &[f32], weight: &[f32], angles: Angles<'_>, rstd: &[f32], d_out: &[f32],
        d_x: &mut [f32], d_weight: &mut [f32],
    )
}

#[allow(clippy::too_many_arguments)]
#[inline(always)]
fn backward_token_body<const FMA: bool>(
    x: &[f32],
    weight: &[f32],
    angles: Angles<'_>,
    rstd: &[f32],
    d_out: &[f32],
    d_x: &mut [f32],
    d_weight: &mut [f32],
) {
    let head_dim = weight.len();
    let heads = x
        .chunks_exact(head_dim)
        .zip(d_out.chunks_exact(head_dim))
        .zip(d_x.chunks_exact_mut(head_dim));
    let d_weight = &mut d_weight[..head_dim];
    for (((x, g), d_x), factor) in heads.zip(rstd) {
        // Lengths that the compiler can see are equal, so that no index is checked.
        let (x, d_x) = (&x[..head_dim], &mut d_x[..head_dim]);
        // The gradient before the rotation: turned back.
        d_x.copy_from_slice(g);
        if let Some((cos, sin)) = angles {
            rotate::<FMA, true>(d_x, cos, sin);
        }
        for i in 0..head_dim {
            d_weight[i] = madd::<FMA>(d_x[i] * *factor, x[i], d_weight[i]);
            d_x[i] *= weight[i];
        }
        let along = dot::<FMA>(d_x, x) * factor * factor / head_dim as f32;
        for i in 0..head_dim {
            d_x[i] = factor * (d_x[i] - x[i] * along);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::level::tests::testable_levels;
    use crate::cpu::reference::{close, noise};

    fn forward(
        shape: HeadsShape,
        x: &[f64],
        weight: &[f64],
        rotary: Option<(&[f32], &[f32])>,
    ) -> Vec<f64> {
        let d = shape.head_dim;
        let mut out = vec![0.0; x.len()];
        for (head, (x, out)) in x.chunks(d).zip(out.chunks_mut(d)).enumerate() {
            let token = head / shape.heads % shape.tokens;
            let rms = (x.iter().map(|v| v * v).sum::<f64>() / d as f64 + 1e-6).sqrt();
            let y: Vec<f64> = (0..d).map(|i| x[i] / rms * weight[i]).collect();
            for i in 0..d {
                out[i] = match rotary {
                    None => y[i],
                    Some((cos, sin)) => {
                        let pairs = cos.len() / shape.tokens;
                        let at = token * pairs + i / 2 % pairs;
                        let (cos, sin) = (f64::from(cos[at]), f64::from(sin[at]));
                        if i % 2 == 0 {
                            y[i] * cos - y[i + 1] * sin
                        } else {
                            y[i - 1] * sin + y[i] * cos
                        }
                    }
                };
            }
        }
        out
    }

    #[test]
    fn matches_the_reference_and_its_differences_on_every_level() {
        for (batch, tokens, heads, head_dim, pairs) in [
            (0, 1, 1, 2, 1),
            (1, 1, 1, 2, 1),
            (2, 3, 2, 8, 4),
            (2, 3, 2, 12, 2),
            (1, 2, 1, 5, 0),
            (1, 40, 2, 64, 32),
        ] {
            let shape = HeadsShape {
                batch,
                tokens,
                heads,
                head_dim,
            };
            let (x, weight, g) = (
                noise(shape.len(), 1),
                noise(head_dim, 2),
                noise(shape.len(), 3),
            );
            let angle = noise(tokens * pairs, 4);
            let (cos, sin): (Vec<f32>, Vec<f32>) = angle.iter().map(|a| (a.cos(), a.sin())).unzip();
            let rotary = (pairs > 0).then_some((&cos[..], &sin[..]));
            let wide = |v: &[f32]| v.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
            let (xw, ww) = (wide(&x), wide(&weight));
            let want = forward(shape, &xw, &ww, rotary);
            let loss = |x: &[f64], w: &[f64]| -> f64 {
                forward(shape, x, w, rotary)
                    .iter()
                    .zip(&g)
                    .map(|(y, g)| y * f64::from(*g))
                    .sum()
            };
            let difference = |values: &[f64], i: usize, f: &dyn Fn(&[f64]) -> f64| {
                let (mut up, mut down) = (values.to_vec(), values.to_vec());
                up[i] += 1e-4;
                down[i] -= 1e-4;
                (f(&up) - f(&down)) / 2e-4
            };
            let checked = x.len().min(40);
            let want_dx: Vec<f64> = (0..checked)
                .map(|i| difference(&xw, i, &|x| loss(x, &ww)))
                .collect();
            let want_dw: Vec<f64> = (0..head_dim)
                .map(|i| difference(&ww, i, &|w| loss(&xw, w)))
                .collect();
            for level in testable_levels("rms_norm_rope") {
                let (mut out, mut rstd) = (vec![9.0; x.len()], vec![9.0; batch * tokens * heads]);
                rms_norm_rope_forward_at(
                    level, shape, &x, &weight, rotary, 1e-6, &mut out, &mut rstd,
                );
                close("out", &out, &want, 1e-5);
                let (mut d_x, mut d_weight) = (vec![9.0; x.len()], vec![9.0; head_dim]);
                rms_norm_rope_backward_at(
                    level,
                    shape,
                    &x,
                    &weight,
                    rotary,
                    &rstd,
                    &g,
                    &mut d_x,
                    &mut d_weight,
                );
                close("d_x", &d_x[..checked], &want_dx, 1e-4);
                close("d_weight", &d_weight, &want_dw, 1e-4);
            }
        }
    }
}
