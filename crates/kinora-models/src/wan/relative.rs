//! Attention whose scores have a bias by the distance from query to key, as in T5 (Raffel et al., 2020): not scaled, and a
//! table for each head.

use burn::tensor::{Int, Tensor, TensorData, activation};
use kinora_kernels::cpu::{self, Epilogue, MatRef};
use kinora_kernels::{Precision, takes_stored};
use rayon::prelude::*;

use crate::weights::floats;

/// What is added to scores, and which keys count.
#[derive(Debug)]
pub(super) struct Bias {
    /// Of each prompt and token: 0, or the lowest number where the token does not count. Not infinity, as upstream: a prompt
    /// of padding alone stays finite.
    mask: Vec<f32>,
    /// Of each distance `key − query + tokens − 1` its entry of the table.
    buckets: Vec<usize>,
}

impl Bias {
    /// `mask`: of each prompt which of its tokens count; `bucket`: the entry of the table for a query and a key.
    pub(super) fn new(mask: &[Vec<bool>], bucket: impl Fn(usize, usize) -> usize) -> Self {
        let tokens = mask.first().map_or(0, Vec::len);
        let counts = mask.iter().flatten();
        Self {
            mask: counts
                .map(|&counts| if counts { 0.0 } else { f32::MIN })
                .collect(),
            // Keys before a query, from the farthest on, itself, and those after it.
            buckets: (1..tokens)
                .rev()
                .map(|query| bucket(query, 0))
                .chain((0..tokens).map(|key| bucket(0, key)))
                .collect(),
        }
    }
}

/// `softmax(q · kᵀ + table[bucket(query, key)] + mask) · v`, for each head.
///
/// # Shapes
///
/// - `q`, `k`, `v`: `[batch, tokens, heads, head_dim]`
/// - `table`: `[buckets, heads]`
/// - output: as `q`
pub(super) fn attention(
    [q, k, v]: [Tensor<4>; 3],
    table: Tensor<2>,
    bias: &Bias,
    precision: Precision,
) -> Tensor<4> {
    if takes_stored(&q.device()) {
        by_head([q, k, v], &floats(table), bias, precision)
    } else {
        composed([q, k, v], table, bias)
    }
}

/// The same, of Burn's own operations.
fn composed([q, k, v]: [Tensor<4>; 3], table: Tensor<2>, bias: &Bias) -> Tensor<4> {
    let [batch, tokens, heads, _] = q.dims();
    let device = q.device();
    let pairs = (0..tokens).flat_map(|query| bias.buckets[tokens - 1 - query..][..tokens].iter());
    let pairs: Vec<i64> = pairs.map(|&bucket| bucket as i64).collect();
    let pairs = Tensor::<1, Int>::from_data(TensorData::new(pairs, [tokens * tokens]), &device);
    let by_pair = table
        .select(0, pairs)
        .reshape([1, tokens, tokens, heads])
        .permute([0, 3, 1, 2]);
    let mask = TensorData::new(bias.mask.clone(), [batch, 1, 1, tokens]);
    let [q, k, v] = [q, k, v].map(|x| x.swap_dims(1, 2));
    let scores = q.matmul(k.swap_dims(2, 3)) + by_pair + Tensor::from_data(mask, &device);
    activation::softmax(scores, 3).matmul(v).swap_dims(1, 2)
}

/// The same on the processor, one head after the other on each thread: its scores stay in the cache.
fn by_head(
    [q, k, v]: [Tensor<4>; 3],
    table: &[f32],
    bias: &Bias,
    precision: Precision,
) -> Tensor<4> {
    let shape = q.dims();
    let [_, tokens, heads, dim] = shape;
    let device = q.device();
    let [q, k, v] = [q, k, v].map(floats);
    let mut mixed = vec![0.0; q.len()];
    let size = tokens * dim;
    let scratch = || vec![0.0; tokens * tokens];
    mixed
        .par_chunks_mut(size)
        .enumerate()
        .for_each_init(scratch, |scores, (index, mixed)| {
            let (clip, head) = (index / heads, index % heads);
            let start = clip * tokens * heads * dim + head * dim;
            let [q, k, v] =
                [&q, &k, &v].map(|x| MatRef::strided(&x[start..], tokens, dim, heads * dim, 1));
            let by_distance: Vec<f32> = bias
                .buckets
                .iter()
                .map(|bucket| table[bucket * heads + head])
                .collect();
            let mask = &bias.mask[clip * tokens..][..tokens];
            cpu::gemm(q, k.t(), scores, Epilogue::default(), precision);
            for (query, scores) in scores.chunks_exact_mut(tokens).enumerate() {
                let by_distance = &by_distance[tokens - 1 - query..][..tokens];
                softmax(scores, by_distance, mask);
            }
            let scores = MatRef::new(scores, tokens, tokens);
            cpu::gemm(scores, v, mixed, Epilogue::default(), precision);
        });
    let [batch, ..] = shape;
    let data = TensorData::new(mixed, [batch, heads, tokens, dim]);
    Tensor::from_data(data, &device).swap_dims(1, 2)
}

/// Numbers that are worked on together: the compiler makes vectors of them.
const LANES: usize = 16;

/// `softmax(scores + bias + mask)` of one row.
fn softmax(scores: &mut [f32], bias: &[f32], mask: &[f32]) {
    let larger = |a: f32, b: f32| if a > b { a } else { b };
    for ((score, bias), mask) in scores.iter_mut().zip(bias).zip(mask) {
        *score = *score + bias + mask;
    }
    let highest = lanes(scores, f32::MIN, larger);
    for score in &mut *scores {
        *score = exp(*score - highest);
    }
    let part = 1.0 / lanes(scores, 0.0, |a, b| a + b);
    for score in scores {
        *score *= part;
    }
}

fn lanes(values: &[f32], start: f32, join: impl Fn(f32, f32) -> f32) -> f32 {
    let (whole, rest) = values.as_chunks::<LANES>();
    let mut joined = [start; LANES];
    for values in whole {
        for (joined, value) in joined.iter_mut().zip(values) {
            *joined = join(*joined, *value);
        }
    }
    joined
        .into_iter()
        .chain(rest.iter().copied())
        .fold(start, join)
}

/// `eˣ` of `x ≤ 0`, to 2e-7 of itself, and no less than e⁻⁸⁷: as `2ⁿ · eʳ` with a polynomial in `r`, |r| ≤ ln 2 / 2.
#[inline(always)]
fn exp(x: f32) -> f32 {
    /// Added to a number it leaves the nearest whole one in the last bits.
    const ROUND: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = if x > -87.0 { x } else { -87.0 };
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = x - n * LN2_HIGH - n * LN2_LOW;
    let mut sum = 1.0 / 720.0;
    for term in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = sum * r + term;
    }
    let power = (rounded.to_bits() << 23).wrapping_add(1.0_f32.to_bits());
    sum * f32::from_bits(power)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, Distribution};

    #[test]
    fn powers_are_those_of_the_library() {
        for i in 0..=87_000 {
            let x = -(i as f32) / 1000.0;
            let exact = f64::from(x).exp();
            let error = (f64::from(exp(x)) - exact).abs() / exact;
            assert!(error < 3e-7, "{x}: {error}");
        }
        assert!(exp(f32::MIN) < 1e-37 && exp(f32::NEG_INFINITY) < 1e-37);
    }

    #[test]
    fn a_head_at_a_time_gives_what_the_whole_gives() {
        let device = Device::flex();
        let random =
            |shape: [usize; 4]| Tensor::<4>::random(shape, Distribution::Normal(0.0, 1.0), &device);
        // A second prompt with padding, and a third of padding alone.
        for (tokens, counted) in [(1, vec![1]), (5, vec![5, 2, 0]), (37, vec![37, 20])] {
            let shape = [counted.len(), tokens, 3, 8];
            let inputs = [0; 3].map(|_| random(shape));
            let table = random([1, 1, 7, 3]).reshape([7, 3]);
            let mask: Vec<Vec<bool>> = counted
                .iter()
                .map(|&counted| (0..tokens).map(|token| token < counted).collect())
                .collect();
            let bias = Bias::new(&mask, |query, key| match key > query {
                true => 4 + (key - query).min(2),
                false => (query - key).min(4),
            });
            let plain = composed(inputs.clone(), table.clone(), &bias);
            let ours = by_head(inputs, &floats(table), &bias, Precision::F32);
            let worst = floats((ours - plain).abs().max())[0];
            assert!(worst < 1e-5, "{worst}");
        }
    }
}
