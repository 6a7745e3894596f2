//! Forward pass.

use std::f32::consts::LOG2_E;

use super::super::AttentionShape;
use super::packed::{PackedHeads, longest_row};
use super::softmax::{Rows, Scores};
use super::{BLOCK, ENGINE, Lanes, STRIP, TILE, even};
use crate::cpu::gemm::Ahead;
use crate::cpu::gemm::amx::{Streamed, TileConfig, multiply};
use crate::cpu::gemm::pack::{pack_rows, rows_len};
use crate::cpu::matrix::MatRef;
use crate::cpu::parallel::{Shared, for_each};
use crate::cpu::scratch::Scratch;

/// Queries of a task: they share a segment of keys and values that comes from beyond the second-level cache.
const QUERIES: usize = 128;
/// Keys of a segment: it lies in the second-level cache, and so do the probabilities of 32 queries.
const KEYS: usize = 1536;
/// Steps of 32 keys between two visits of a block of outputs.
const PIECE: usize = 8;
/// Scores to base 2 whose powers and their sums are far from the limits of f32: the softmax needs no largest score.
const BOUND: f32 = 60.0;

/// [`super::super::attention_forward`] where no axis is empty. The machine has tile registers.
#[allow(clippy::too_many_arguments)]
pub(in super::super) fn forward(
    shape: AttentionShape,
    q: &[f32],
    k: &[f32],
    v: &[f32],
    key_bias: Option<&[f32]>,
    scale: f32,
    out: &mut [f32],
    logsumexp: &mut [f32],
) {
    let AttentionShape {
        batch,
        heads,
        query_tokens,
        key_tokens,
        head_dim,
    } = shape;
    let packed = PackedHeads::new(shape, k, v);
    let padded = key_tokens.next_multiple_of(TILE);
    let mut biases = Scratch::take(batch * padded);
    let biases = biases.floats(batch * padded);
    let biased: Vec<Bias> = biases
        .chunks_mut(padded)
        .enumerate()
        .map(|(b, target)| Bias::fill(shape.bias(key_bias, b), key_tokens, target))
        .collect();
    let biases = &*biases;
    let pieces = query_tokens.div_ceil(QUERIES);
    let piece = even(query_tokens, QUERIES);
    let cost = (2 * batch * heads * query_tokens * head_dim).saturating_mul(key_tokens)
        >> ENGINE.cost_shift();
    let (out, logsumexp) = (Shared::new(out), Shared::new(logsumexp));
    for_each(batch * heads * pieces, cost, |task| {
        let (index, first) = (task / pieces, task % pieces * piece);
        if first >= query_tokens {
            return;
        }
        let (b, h) = (index / heads, index % heads);
        let count = piece.min(query_tokens - first);
        let queries = Queries {
            keys: key_tokens,
            head_dim,
            packed_k: packed.keys(index),
            packed_v: packed.values(index),
            longest_key: packed.longest[index],
            bias: &biases[b * padded..][..padded],
            biased: biased[b],
            scale: scale * LOG2_E,
            out: out
                .get()
                .wrapping_add(shape.start(query_tokens, b, h) + first * shape.token_stride()),
            out_stride: shape.token_stride(),
            // SAFETY: these queries belong to this task alone.
            logsumexp: unsafe { logsumexp.slice(index * query_tokens + first, count) },
        };
        queries.attend(shape.head(q, query_tokens, b, h), first);
    });
}

/// What is added to the scores of a sequence.
#[derive(Clone, Copy)]
enum Bias {
    None,
    /// The largest, to base 2: −∞ where all keys are hidden, NaN where one is NaN.
    UpTo(f32),
}

impl Bias {
    /// Writes the bias to base 2 and −∞ behind the last key.
    fn fill(bias: Option<&[f32]>, keys: usize, target: &mut [f32]) -> Self {
        target[keys..].fill(f32::NEG_INFINITY);
        let Some(bias) = bias else {
            target[..keys].fill(0.0);
            return if keys.is_multiple_of(TILE) {
                Self::None
            } else {
                Self::UpTo(0.0)
            };
        };
        let mut most = f32::NEG_INFINITY;
        for (target, bias) in target.iter_mut().zip(bias) {
            *target = bias * LOG2_E;
            if *target > most || target.is_nan() {
                most = *target;
            }
        }
        Self::UpTo(most)
    }
}

/// Some queries of one head.
struct Queries<'a> {
    keys: usize,
    head_dim: usize,
    packed_k: Lanes,
    packed_v: Lanes,
    longest_key: f32,
    /// To base 2, for whole blocks of keys.
    bias: &'a [f32],
    biased: Bias,
    /// To base 2.
    scale: f32,
    out: *mut f32,
    out_stride: usize,
    logsumexp: &'a mut [f32],
}

impl Queries<'_> {
    /// Makes the outputs of queries from `first` on.
    fn attend(self, q: MatRef<'_>, first: usize) {
        let (count, keys, head_dim) = (self.logsumexp.len(), self.keys, self.head_dim);
        let width = even(keys, KEYS);
        let dims = head_dim.div_ceil(TILE);
        let panel = ENGINE.padded_words(head_dim) * STRIP;
        let mut packed_q = Scratch::take(rows_len(ENGINE, count, head_dim));
        let mut packed_p = Scratch::take(TILE * width / 2);
        let mut waiting = Scratch::take(count.div_ceil(TILE) * dims * BLOCK);
        // SAFETY: the scratch has the length that packing asks for; the machine has tiles.
        let _tiles = unsafe {
            pack_rows(ENGINE, &q, first, count, 0, head_dim, packed_q.as_mut_ptr());
            TileConfig::load()
        };
        let panels = Lanes {
            ptr: packed_q.as_ptr(),
            stride: panel,
        };
        let mut rows = [const { Rows::new() }; QUERIES / TILE];
        for key in (0..keys).step_by(width) {
            let cols = width.min(keys - key);
            for (unit, rows) in rows[..count.div_ceil(TILE)].iter_mut().enumerate() {
                let row = unit * TILE;
                let lines = TILE.min(count - row);
                let scores = Scores {
                    a: panels.pair(row, count),
                    k: self.packed_k,
                    keys,
                    steps: panel / (STRIP * STRIP),
                    scale: self.scale,
                    bias: self.bias.as_ptr(),
                    lines,
                };
                let reach =
                    longest_row(&q, first + row, lines) * self.longest_key * self.scale.abs();
                let p = packed_p.as_mut_ptr();
                // SAFETY: operands are packed, probabilities have room for a segment, and the machine has the features.
                unsafe {
                    match self.biased {
                        Bias::None if reach <= BOUND => {
                            scores.soften::<false, false>(key, cols, rows, p);
                        }
                        Bias::None => {
                            scores.soften_exact::<false>(key, cols, rows, p);
                        }
                        Bias::UpTo(most) if reach + most.abs() <= BOUND => {
                            scores.soften::<true, true>(key, cols, rows, p);
                        }
                        Bias::UpTo(_) => scores.soften_exact::<true>(key, cols, rows, p),
                    }
                }
                let waiting = waiting.as_mut_ptr().cast::<f32>();
                let waiting = waiting.wrapping_add(unit * dims * BLOCK);
                self.weigh(key, cols, packed_p.as_ptr(), lines, waiting);
                if key + cols == keys {
                    let out = self.out.wrapping_add(row * self.out_stride);
                    // SAFETY: these outputs are this task's, and the sums are complete.
                    unsafe { rows.finish(waiting, head_dim, lines, out, self.out_stride) };
                }
            }
        }
        for (index, logsumexp) in self.logsumexp.iter_mut().enumerate() {
            *logsumexp = rows[index / TILE].logsumexp(index % TILE);
        }
    }

    /// Adds the values of keys from `key` on, weighed by their probabilities, to the sums that wait in blocks.
    fn weigh(&self, key: usize, cols: usize, p: *const u32, lines: usize, waiting: *mut f32) {
        let steps = cols.div_ceil(TILE);
        let panels = Lanes {
            ptr: p,
            stride: steps * STRIP * STRIP,
        };
        let values = Lanes {
            ptr: self.packed_v.ptr.wrapping_add(key / 2 * STRIP),
            stride: self.packed_v.stride,
        };
        // A piece of the probabilities stays in the first-level cache while the values of all channels pass by.
        for first in (0..steps).step_by(PIECE) {
            let at = first * STRIP * STRIP;
            let count = PIECE.min(steps - first);
            for dim in (0..self.head_dim).step_by(TILE) {
                let to = waiting.wrapping_add(dim / TILE * BLOCK);
                let start = (key + first > 0).then_some(to.cast_const());
                let a = panels.pair(0, lines).map(|panel| panel.wrapping_add(at));
                let b = values
                    .pair(dim, self.head_dim)
                    .map(|strip| strip.wrapping_add(at));
                let ahead = &mut Ahead::default();
                // SAFETY: operands are packed for whole tiles, and the sums have room.
                unsafe { multiply(Streamed::Neither, count, a, b, start, to, ahead) };
            }
        }
    }
}
