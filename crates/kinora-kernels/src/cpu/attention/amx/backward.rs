//! Backward pass.
//!
//! Blocks of scores are held transposed, keys × queries, so that `dV = Pᵀ·dO` and `dK = dSᵀ·Q` take them as rows as they come.
//! `dQᵀ = Kᵀ·dSᵀ` takes them as pairs of rows, which are at hand in registers; only the finished `dQᵀ` is turned.

use std::f32::consts::LOG2_E;

use super::super::AttentionShape;
use super::operand::{Operand, Target, Waiting};
use super::turned_scores::{Softening, TurnedScores};
use super::vector::dots;
use super::{ENGINE, STRIP, TILE, even};
use crate::cpu::gemm::Ahead;
use crate::cpu::gemm::amx::{self, Streamed, Sums, TileConfig, multiply};
use crate::cpu::matrix::MatRef;
use crate::cpu::parallel::{Shared, for_each};
use crate::cpu::scratch::Scratch;

/// Keys and queries of a block of scores.
const KEYS: usize = 256;
const QUERIES: usize = 256;

/// What the forward pass took and gave, and the gradient of what it gave.
#[derive(Clone, Copy)]
pub(in super::super) struct Saved<'a> {
    pub(in super::super) q: &'a [f32],
    pub(in super::super) k: &'a [f32],
    pub(in super::super) v: &'a [f32],
    pub(in super::super) out: &'a [f32],
    pub(in super::super) logsumexp: &'a [f32],
    pub(in super::super) d_out: &'a [f32],
    pub(in super::super) key_bias: Option<&'a [f32]>,
    pub(in super::super) scale: f32,
}

/// [`super::super::attention_backward`] where no axis is empty. The machine has tile registers.
pub(in super::super) fn backward(
    shape: AttentionShape,
    saved: Saved<'_>,
    dq: &mut [f32],
    dk: &mut [f32],
    dv: &mut [f32],
) {
    let AttentionShape {
        batch,
        heads,
        query_tokens,
        key_tokens,
        head_dim,
    } = shape;
    let cost = (5 * batch * heads * query_tokens * head_dim).saturating_mul(key_tokens)
        >> ENGINE.cost_shift();
    let (dq, dk, dv) = (Shared::new(dq), Shared::new(dk), Shared::new(dv));
    for_each(batch * heads, cost, |task| {
        let (b, h) = (task / heads, task % heads);
        let (queries, keys) = (
            shape.start(query_tokens, b, h),
            shape.start(key_tokens, b, h),
        );
        Head {
            q: shape.head(saved.q, query_tokens, b, h),
            k: shape.head(saved.k, key_tokens, b, h),
            v: shape.head(saved.v, key_tokens, b, h),
            out: shape.head(saved.out, query_tokens, b, h),
            d_out: shape.head(saved.d_out, query_tokens, b, h),
            logsumexp: &saved.logsumexp[task * query_tokens..][..query_tokens],
            bias: shape.bias(saved.key_bias, b),
            scale: saved.scale,
            dq: dq.get().wrapping_add(queries),
            dk: dk.get().wrapping_add(keys),
            dv: dv.get().wrapping_add(keys),
            stride: shape.token_stride(),
        }
        .differentiate();
    });
}

/// One head of one sequence.
struct Head<'a> {
    q: MatRef<'a>,
    k: MatRef<'a>,
    v: MatRef<'a>,
    out: MatRef<'a>,
    d_out: MatRef<'a>,
    logsumexp: &'a [f32],
    bias: Option<&'a [f32]>,
    scale: f32,
    dq: *mut f32,
    dk: *mut f32,
    dv: *mut f32,
    /// Elements from one token to the next.
    stride: usize,
}

impl Head<'_> {
    fn differentiate(&self) {
        let (queries, keys, head_dim) = (self.q.rows(), self.k.rows(), self.q.cols());
        let q_by_query = Operand::strips(self.q);
        let q_by_channel = Operand::strips(self.q.t());
        let do_by_query = Operand::strips(self.d_out);
        let do_by_channel = Operand::strips(self.d_out.t());
        let k_by_key = Operand::panels(self.k);
        let k_by_channel = Operand::panels(self.k.t());
        let v_by_key = Operand::panels(self.v);
        let (key_block, query_block) = (even(keys, KEYS), even(queries, QUERIES));
        let mut turned = TurnedScores::new(key_block, query_block);
        let mut d_k = Waiting::new(key_block, head_dim);
        let mut d_v = Waiting::new(key_block, head_dim);
        let mut d_q = Waiting::new(head_dim, queries);
        let padded = queries.next_multiple_of(TILE);
        let mut work = Scratch::take(2 * padded);
        let (logsumexp, delta) = work.floats(2 * padded).split_at_mut(padded);
        self.fill(logsumexp, delta);
        let steps = ENGINE.padded_words(head_dim) / STRIP;
        // SAFETY: the machine has tiles.
        let _tiles = unsafe { TileConfig::load() };
        let mut blocks = [const { Sums::new() }; 2];
        for key in (0..keys).step_by(key_block) {
            let rows = key_block.min(keys - key);
            for query in (0..queries).step_by(query_block) {
                let cols = query_block.min(queries - query);
                for (row, col) in tiles(rows, cols) {
                    let keys_a = k_by_key.from(0).pair(key + row, keys);
                    let values_a = v_by_key.from(0).pair(key + row, keys);
                    let queries_b = q_by_query.from(0).pair(query + col, queries);
                    let outputs_b = do_by_query.from(0).pair(query + col, queries);
                    let ahead = &mut Ahead::default();
                    let [scores, dp] = &mut blocks;
                    // SAFETY: the operands are packed, the blocks of `turned` have room, the machine has the features.
                    unsafe {
                        multiply(
                            Streamed::Neither,
                            steps,
                            keys_a,
                            queries_b,
                            None,
                            scores.as_mut_ptr(),
                            ahead,
                        );
                        multiply(
                            Streamed::Neither,
                            steps,
                            values_a,
                            outputs_b,
                            None,
                            dp.as_mut_ptr(),
                            ahead,
                        );
                        let with = Softening {
                            scale: self.scale * LOG2_E,
                            bias: self.bias.map(|bias| &bias[key + row..key + rows]),
                            logsumexp: &logsumexp[query + col..][..TILE],
                            delta: &delta[query + col..][..TILE],
                        };
                        turned.soften(scores, dp, with, (row, col), TILE.min(rows - row));
                    }
                }
                let along = cols.div_ceil(TILE);
                for (row, dim) in tiles(rows, head_dim) {
                    let begins = query == 0;
                    // SAFETY: the probabilities are complete for these blocks.
                    unsafe {
                        let b = do_by_channel.from(query).pair(dim, head_dim);
                        d_v.add((row, dim), along, turned.p(row, rows), b, begins);
                        let b = q_by_channel.from(query).pair(dim, head_dim);
                        d_k.add((row, dim), along, turned.ds(row, rows), b, begins);
                    }
                }
                for (dim, col) in tiles(head_dim, cols) {
                    let a = k_by_channel.from(key).pair(dim, head_dim);
                    let at = (dim, query + col);
                    // SAFETY: as above.
                    unsafe {
                        d_q.add(
                            at,
                            rows.div_ceil(TILE),
                            a,
                            turned.pairs(col, cols),
                            key == 0,
                        )
                    };
                }
            }
            for (row, dim) in tiles(rows, head_dim) {
                let (lines, dims) = (TILE.min(rows - row), TILE.min(head_dim - dim));
                let at = (key + row) * self.stride + dim;
                // SAFETY: these gradients are this task's, and the sums are complete.
                unsafe {
                    let to = Target::new(self.dk.wrapping_add(at), self.stride, lines, dims);
                    to.write(d_k.block(row, dim), self.scale);
                    let to = Target::new(self.dv.wrapping_add(at), self.stride, lines, dims);
                    to.write(d_v.block(row, dim), 1.0);
                }
            }
        }
        for (dim, query) in tiles(head_dim, queries) {
            let (lines, dims) = (TILE.min(queries - query), TILE.min(head_dim - dim));
            let at = query * self.stride + dim;
            let to = amx::Turned {
                to: self.dq.wrapping_add(at),
                stride: self.stride,
                lines,
                columns: dims,
            };
            // SAFETY: as above.
            unsafe { to.write(d_q.block(dim, query), self.scale) };
        }
    }

    /// The log-sum-exp to base 2, and the product of each output with its gradient; behind the last query what gives it no
    /// probability.
    fn fill(&self, logsumexp: &mut [f32], delta: &mut [f32]) {
        let queries = self.q.rows();
        logsumexp[queries..].fill(f32::INFINITY);
        delta[queries..].fill(0.0);
        for (target, value) in logsumexp.iter_mut().zip(self.logsumexp) {
            // A query that saw no key: 2^(… − ∞) makes all its probabilities 0.
            *target = if *value == f32::NEG_INFINITY {
                f32::INFINITY
            } else {
                value * LOG2_E
            };
        }
        let (out, d_out) = (self.out.as_ptr(), self.d_out.as_ptr());
        let head_dim = self.q.cols();
        // SAFETY: both have a row of `head_dim` elements for each query.
        unsafe { dots(out, d_out, self.stride, head_dim, &mut delta[..queries]) };
    }
}

/// The places of blocks of 32 × 32.
fn tiles(rows: usize, cols: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..rows)
        .step_by(TILE)
        .flat_map(move |row| (0..cols).step_by(TILE).map(move |col| (row, col)))
}
