//! Forward pass: online softmax over blocks of keys.

use super::AttentionShape;
use super::softmax::{exp_and_sum, scale_and_max, scale_row};
use crate::cpu::gemm::block::{Out, Packed, multiply};
use crate::cpu::gemm::engine::STRIP;
use crate::cpu::gemm::pack::{lanes_len, pack_lanes, pack_rows, rows_len};
use crate::cpu::gemm::{Engine, vector_level};
use crate::cpu::level::{Level, Precision, level};
use crate::cpu::matrix::MatRef;
use crate::cpu::parallel::{Shared, for_each};
use crate::cpu::scratch::Scratch;

/// Queries whose scores are in work at once.
const QUERIES: usize = 32;
/// Keys in a block of scores: most calls have one block, and the online softmax nothing to rescale.
const KEYS: usize = 512;
/// Queries of a task at least, when one head is shared by several tasks: each packs the keys for itself.
const TASK_QUERIES: usize = 128;

/// `out = softmax(q·kᵀ·scale + key_bias)·v`, and the log of each row's sum of exponentials.
///
/// A key bias of −∞ hides a key; a query that sees none gets zeros.
///
/// # Shapes
/// `q`, `out` `[batch, query_tokens, heads, head_dim]`, `k`, `v` `[batch, key_tokens, heads, head_dim]`,
/// `key_bias [batch, key_tokens]`, `logsumexp [batch, heads, query_tokens]`.
///
/// # Panics
/// When a slice does not have the length of its shape.
#[allow(clippy::too_many_arguments)]
pub fn attention_forward(
    shape: AttentionShape,
    q: &[f32],
    k: &[f32],
    v: &[f32],
    key_bias: Option<&[f32]>,
    scale: f32,
    out: &mut [f32],
    logsumexp: &mut [f32],
    precision: Precision,
) {
    attention_forward_at(
        level(),
        shape,
        q,
        k,
        v,
        key_bias,
        scale,
        out,
        logsumexp,
        precision,
    );
}

/// [`attention_forward`] with the instructions of `level`, which must be available.
///
/// # Panics
/// As [`attention_forward`], and when the machine lacks the level.
#[allow(clippy::too_many_arguments)]
pub fn attention_forward_at(
    level: Level,
    shape: AttentionShape,
    q: &[f32],
    k: &[f32],
    v: &[f32],
    key_bias: Option<&[f32]>,
    scale: f32,
    out: &mut [f32],
    logsumexp: &mut [f32],
    precision: Precision,
) {
    assert_eq!(
        [q.len(), out.len()],
        [shape.query_len(); 2],
        "queries and outputs are {shape:?}"
    );
    assert_eq!(
        [k.len(), v.len()],
        [shape.key_len(); 2],
        "keys and values are {shape:?}"
    );
    assert_eq!(
        logsumexp.len(),
        shape.logsumexp_len(),
        "the log-sum-exp is [batch, heads, query_tokens]"
    );
    shape.check_bias(key_bias);
    let AttentionShape {
        batch,
        heads,
        query_tokens,
        key_tokens,
        head_dim,
    } = shape;
    if key_tokens == 0 || head_dim == 0 {
        out.fill(0.0);
        logsumexp.fill(if key_tokens == 0 {
            f32::NEG_INFINITY
        } else {
            (key_tokens as f32).ln()
        });
        return;
    }
    if query_tokens == 0 || batch * heads == 0 {
        return;
    }
    let engine = Engine::new(level, precision);
    #[cfg(target_arch = "x86_64")]
    if engine == Engine::AmxBf16 {
        super::amx::forward(shape, q, k, v, key_bias, scale, out, logsumexp);
        return;
    }
    let pieces = (2 * rayon::current_num_threads())
        .div_ceil(batch * heads)
        .min(query_tokens.div_ceil(TASK_QUERIES))
        .max(1);
    let piece = query_tokens.div_ceil(pieces).next_multiple_of(QUERIES);
    let pieces = query_tokens.div_ceil(piece);
    let cost = (2 * batch * heads * query_tokens * head_dim).saturating_mul(key_tokens)
        >> engine.cost_shift();
    let (out, logsumexp) = (Shared::new(out), Shared::new(logsumexp));

    for_each(batch * heads * pieces, cost, |task| {
        let (index, part) = (task / pieces, task % pieces);
        let (b, h) = (index / heads, index % heads);
        let first = part * piece;
        let count = piece.min(query_tokens - first);
        let head = Head {
            engine,
            q: shape.head(q, query_tokens, b, h),
            k: shape.head(k, key_tokens, b, h),
            v: shape.head(v, key_tokens, b, h),
            bias: shape.bias(key_bias, b),
            scale,
            out: out.get().wrapping_add(shape.start(query_tokens, b, h)),
            out_stride: shape.token_stride(),
        };
        // SAFETY: these queries belong to this task alone.
        let logsumexp = unsafe { logsumexp.slice(index * query_tokens + first, count) };
        head.attend(first, logsumexp);
    });
}

/// One head of one sequence.
struct Head<'a> {
    engine: Engine,
    q: MatRef<'a>,
    k: MatRef<'a>,
    v: MatRef<'a>,
    bias: Option<&'a [f32]>,
    scale: f32,
    out: *mut f32,
    out_stride: usize,
}

impl Head<'_> {
    /// Makes the outputs of `logsumexp.len()` queries from `first` on.
    fn attend(&self, first: usize, logsumexp: &mut [f32]) {
        let engine = self.engine;
        let (keys, head_dim) = (self.k.rows(), self.k.cols());
        let mut packed_k = Scratch::take(lanes_len(engine, keys, head_dim));
        let mut packed_v = Scratch::take(lanes_len(engine, head_dim, keys));
        let key_stride = engine.padded_words(head_dim) * STRIP;
        let value_stride = engine.padded_words(keys) * STRIP;
        // SAFETY: the scratch has the length that packing asks for.
        unsafe {
            pack_lanes(
                engine,
                &self.k,
                0,
                keys,
                0,
                head_dim,
                packed_k.as_mut_ptr(),
                key_stride,
            );
            pack_lanes(
                engine,
                &self.v.t(),
                0,
                head_dim,
                0,
                keys,
                packed_v.as_mut_ptr(),
                value_stride,
            );
        }
        let block = KEYS.min(keys);
        let width = block.next_multiple_of(STRIP);
        let mut packed_q = Scratch::take(rows_len(engine, QUERIES, head_dim));
        let mut packed_p = Scratch::take(rows_len(engine, QUERIES, block));
        let mut scores = Scratch::take(QUERIES * width);
        for (index, logsumexp) in logsumexp.chunks_mut(QUERIES).enumerate() {
            let query = first + index * QUERIES;
            let rows = logsumexp.len();
            // SAFETY: as above.
            unsafe {
                pack_rows(
                    engine,
                    &self.q,
                    query,
                    rows,
                    0,
                    head_dim,
                    packed_q.as_mut_ptr(),
                )
            };
            let left = Packed {
                ptr: packed_q.as_ptr(),
                stride: engine.padded_words(head_dim) * engine.tile_rows(),
            };
            let (mut largest, mut sums) = ([f32::NEG_INFINITY; QUERIES], [0.0f32; QUERIES]);
            for key in (0..keys).step_by(KEYS) {
                let cols = KEYS.min(keys - key);
                let scores = scores.floats(QUERIES * width);
                let out = Out {
                    c: scores.as_mut_ptr(),
                    ldc: width,
                    rows,
                    cols,
                    accumulate: false,
                };
                let right = Packed {
                    ptr: packed_k.as_ptr().wrapping_add(key / STRIP * key_stride),
                    stride: key_stride,
                };
                // SAFETY: both operands are packed for the engine; the scores are this task's.
                unsafe {
                    multiply(
                        engine,
                        engine.words(head_dim),
                        left,
                        right,
                        out,
                        |_, _, _| {},
                    )
                };
                for row in 0..rows {
                    let bias = self.bias.map(|bias| &bias[key..key + cols]);
                    let line = &mut scores[row * width..][..cols];
                    self.soften(
                        line,
                        bias,
                        &mut largest[row],
                        &mut sums[row],
                        (key > 0).then_some(query + row),
                    );
                }
                let probabilities = MatRef::strided(scores, rows, cols, width, 1);
                // SAFETY: as above.
                unsafe {
                    pack_rows(
                        engine,
                        &probabilities,
                        0,
                        rows,
                        0,
                        cols,
                        packed_p.as_mut_ptr(),
                    )
                };
                let left = Packed {
                    ptr: packed_p.as_ptr(),
                    stride: engine.padded_words(cols) * engine.tile_rows(),
                };
                let right = Packed {
                    ptr: packed_v
                        .as_ptr()
                        .wrapping_add(key / engine.per_word() * STRIP),
                    stride: value_stride,
                };
                let out = Out {
                    c: self.out.wrapping_add(query * self.out_stride),
                    ldc: self.out_stride,
                    rows,
                    cols: head_dim,
                    accumulate: key > 0,
                };
                // SAFETY: as above; these outputs are this task's.
                unsafe { multiply(engine, engine.words(cols), left, right, out, |_, _, _| {}) };
            }
            for (row, logsumexp) in logsumexp.iter_mut().enumerate() {
                // A sum of 0 means that every key was hidden.
                let (factor, value) = if sums[row] == 0.0 {
                    (0.0, f32::NEG_INFINITY)
                } else {
                    (1.0 / sums[row], largest[row] + sums[row].ln())
                };
                scale_row(vector_level(engine), self.output(query + row), factor);
                *logsumexp = value;
            }
        }
    }

    /// One block of one row: scores become unnormalised probabilities, and what is already summed (of query
    /// `summed`, if any) is brought to the new maximum.
    fn soften(
        &self,
        line: &mut [f32],
        bias: Option<&[f32]>,
        largest: &mut f32,
        sum: &mut f32,
        summed: Option<usize>,
    ) {
        let level = vector_level(self.engine);
        let before = *largest;
        *largest = scale_and_max(level, line, self.scale, bias, before);
        // All hidden so far: any finite base gives exp(−∞) = 0.
        let base = if *largest == f32::NEG_INFINITY {
            0.0
        } else {
            *largest
        };
        let added = exp_and_sum(level, line, base);
        if let Some(query) = summed
            && before != *largest
        {
            let factor = (before - base).exp();
            *sum *= factor;
            scale_row(level, self.output(query), factor);
        }
        *sum += added;
    }

    #[allow(clippy::mut_from_ref)]
    fn output(&self, query: usize) -> &mut [f32] {
        // SAFETY: outputs of the queries of this task, which nobody else touches; one at a time.
        unsafe {
            std::slice::from_raw_parts_mut(self.out.add(query * self.out_stride), self.v.cols())
        }
    }
}
