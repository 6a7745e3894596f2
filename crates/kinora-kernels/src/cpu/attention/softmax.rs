//! Row operations on blocks of scores.

use crate::cpu::math::{exp, fold, madd, per_level};

per_level! {
    /// `row = row·scale + bias`; returns the largest of the result and `floor`, NaN aside.
    pub(super) fn scale_and_max / scale_and_max_body(
        row: &mut [f32], scale: f32, bias: Option<&[f32]>, floor: f32,
    ) -> f32
}

#[inline(always)]
fn scale_and_max_body<const FMA: bool>(
    row: &mut [f32],
    scale: f32,
    bias: Option<&[f32]>,
    floor: f32,
) -> f32 {
    match bias {
        Some(bias) => {
            for (score, bias) in row.iter_mut().zip(bias) {
                *score = madd::<FMA>(*score, scale, *bias);
            }
        }
        None => row.iter_mut().for_each(|score| *score *= scale),
    }
    let mut lanes = [floor; 16];
    let (chunks, rest) = row.as_chunks::<16>();
    for chunk in chunks {
        for i in 0..16 {
            lanes[i] = if chunk[i] > lanes[i] {
                chunk[i]
            } else {
                lanes[i]
            };
        }
    }
    let largest = lanes
        .into_iter()
        .fold(floor, |a, b| if b > a { b } else { a });
    rest.iter()
        .fold(largest, |a, b| if *b > a { *b } else { a })
}

per_level! {
    /// `row = exp(row − max)`; returns the sum.
    pub(super) fn exp_and_sum / exp_and_sum_body(row: &mut [f32], max: f32) -> f32
}

#[inline(always)]
fn exp_and_sum_body<const FMA: bool>(row: &mut [f32], max: f32) -> f32 {
    let mut lanes = [0.0f32; 16];
    let (chunks, rest) = row.as_chunks_mut::<16>();
    for chunk in chunks {
        for i in 0..16 {
            chunk[i] = exp::<FMA>(chunk[i] - max);
            lanes[i] += chunk[i];
        }
    }
    for (lane, score) in lanes.iter_mut().zip(rest) {
        *score = exp::<FMA>(*score - max);
        *lane += *score;
    }
    fold(lanes)
}

per_level! {
    /// `row *= factor`.
    pub(super) fn scale_row / scale_row_body(row: &mut [f32], factor: f32)
}

#[inline(always)]
fn scale_row_body<const FMA: bool>(row: &mut [f32], factor: f32) {
    row.iter_mut().for_each(|value| *value *= factor);
}

per_level! {
    /// Sum of products.
    pub(super) fn dot / dot_body(a: &[f32], b: &[f32]) -> f32
}

#[inline(always)]
fn dot_body<const FMA: bool>(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 16];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    for (a, b) in a.iter().zip(b) {
        for i in 0..16 {
            lanes[i] = madd::<FMA>(a[i], b[i], lanes[i]);
        }
    }
    for i in 0..a_rest.len() {
        lanes[i] = madd::<FMA>(a_rest[i], b_rest[i], lanes[i]);
    }
    fold(lanes)
}

per_level! {
    /// One key against a run of queries: `p = exp(scores·scale + bias − logsumexp)` and
    /// `ds = p·(dp − delta)·scale`, in place.
    pub(super) fn probabilities_backward / probabilities_backward_body(
        scores: &mut [f32], dp: &mut [f32], scale: f32, bias: f32, logsumexp: &[f32], delta: &[f32],
    )
}

#[inline(always)]
fn probabilities_backward_body<const FMA: bool>(
    scores: &mut [f32],
    dp: &mut [f32],
    scale: f32,
    bias: f32,
    logsumexp: &[f32],
    delta: &[f32],
) {
    let len = scores.len();
    let (dp, logsumexp, delta) = (&mut dp[..len], &logsumexp[..len], &delta[..len]);
    for i in 0..len {
        let p = exp::<FMA>(madd::<FMA>(scores[i], scale, bias - logsumexp[i]));
        scores[i] = p;
        dp[i] = p * scale * (dp[i] - delta[i]);
    }
}
