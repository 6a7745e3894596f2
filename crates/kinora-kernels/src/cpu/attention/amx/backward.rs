//! Backward pass.
//!
//! Blocks of scores are held transposed, keys × queries, so that `dV = Pᵀ·dO` and `dK = dSᵀ·Q` take them as rows as they come.
//! `dQᵀ = Kᵀ·dSᵀ` takes them as pairs of rows, which are at hand in registers; only the finished `dQᵀ` is turned.

use std::arch::x86_64::{
    __m512, __m512i, _mm512_fmadd_ps, _mm512_load_ps, _mm512_mask_storeu_ps, _mm512_mul_ps,
    _mm512_set1_ps, _mm512_setzero_ps, _mm512_sub_ps,
};
use std::f32::consts::LOG2_E;

use super::super::AttentionShape;
use super::vector::{dots, exp2, store_pairs, store_row};
use super::{BLOCK, ENGINE, Lanes, STRIP, TILE, even};
use crate::cpu::gemm::amx::{Ahead, Streamed, Sums, TileConfig, multiply};
use crate::cpu::gemm::pack::{lanes_len, pack_lanes, pack_rows, rows_len};
use crate::cpu::gemm::pack_avx512::transpose;
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

/// A packed operand in scratch.
struct Operand {
    words: Scratch,
    stride: usize,
}

impl Operand {
    /// The rows of `source` as strips.
    fn strips(source: MatRef<'_>) -> Self {
        let (lanes, k) = (source.rows(), source.cols());
        let mut words = Scratch::take(lanes_len(ENGINE, lanes, k));
        let stride = ENGINE.padded_words(k) * STRIP;
        // SAFETY: the scratch has the length that packing asks for.
        unsafe { pack_lanes(ENGINE, &source, 0, lanes, 0, k, words.as_mut_ptr(), stride) };
        Self { words, stride }
    }

    /// The rows of `source` as panels.
    fn panels(source: MatRef<'_>) -> Self {
        let (lanes, k) = (source.rows(), source.cols());
        let mut words = Scratch::take(rows_len(ENGINE, lanes, k));
        // SAFETY: as above.
        unsafe { pack_rows(ENGINE, &source, 0, lanes, 0, k, words.as_mut_ptr()) };
        Self {
            words,
            stride: ENGINE.padded_words(k) * STRIP,
        }
    }

    /// From element `k` of the summed axis on, a multiple of 32.
    fn from(&self, k: usize) -> Lanes {
        Lanes {
            ptr: self.words.as_ptr().wrapping_add(k / TILE * STRIP * STRIP),
            stride: self.stride,
        }
    }
}

/// Sums that wait for more, in blocks of 32 × 32: `[rows / 32][cols / 32]`.
struct Waiting {
    words: Scratch,
    across: usize,
}

impl Waiting {
    fn new(rows: usize, cols: usize) -> Self {
        let across = cols.div_ceil(TILE);
        Self {
            words: Scratch::take(rows.div_ceil(TILE) * across * BLOCK),
            across,
        }
    }

    fn block(&mut self, row: usize, col: usize) -> *mut f32 {
        let index = row / TILE * self.across + col / TILE;
        self.words
            .as_mut_ptr()
            .wrapping_add(index * BLOCK)
            .cast::<f32>()
    }

    /// Adds `a·b` over `steps` tiles to the block at `(row, col)`, or begins it.
    ///
    /// # Safety
    /// The operands are packed for whole tiles, and tiles are configured.
    unsafe fn add(
        &mut self,
        (row, col): (usize, usize),
        steps: usize,
        a: [*const u32; 2],
        b: [*const u32; 2],
        begins: bool,
    ) {
        let to = self.block(row, col);
        let start = (!begins).then_some(to.cast_const());
        // SAFETY: the block is there, the rest is promised by the caller.
        unsafe {
            multiply(
                Streamed::Neither,
                steps,
                a,
                b,
                start,
                to,
                &mut Ahead::default(),
            )
        };
    }
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
        let mut turned = Turned::new(key_block, query_block);
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
            let to = Target::new(self.dq.wrapping_add(at), self.stride, lines, dims);
            // SAFETY: as above.
            unsafe { to.write_turned(d_q.block(dim, query), self.scale) };
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

/// What makes probabilities of a block of scores.
struct Softening<'a> {
    /// To base 2.
    scale: f32,
    /// From the block's first key on.
    bias: Option<&'a [f32]>,
    /// To base 2.
    logsumexp: &'a [f32],
    delta: &'a [f32],
}

/// Probabilities and gradients of scores of a block, keys × queries, as operands.
struct Turned {
    words: Scratch,
    keys: usize,
    queries: usize,
}

impl Turned {
    fn new(keys: usize, queries: usize) -> Self {
        Self {
            words: Scratch::take(3 * keys * queries / 2),
            keys,
            queries,
        }
    }

    /// The place of a row of a tile of the left operands, which are panels of 16 keys.
    fn row_at(&self, key: usize, query: usize) -> usize {
        key / STRIP * (self.queries / 2 * STRIP)
            + query / TILE * STRIP * STRIP
            + key % STRIP * STRIP
    }

    fn panels(&self, start: usize, key: usize, keys: usize) -> [*const u32; 2] {
        let panels = Lanes {
            ptr: self.words.as_ptr().wrapping_add(start),
            stride: self.queries / 2 * STRIP,
        };
        panels.pair(key, keys)
    }

    /// Probabilities as a left operand.
    fn p(&self, key: usize, keys: usize) -> [*const u32; 2] {
        self.panels(0, key, keys)
    }

    /// Gradients of scores as a left operand.
    fn ds(&self, key: usize, keys: usize) -> [*const u32; 2] {
        self.panels(self.keys * self.queries / 2, key, keys)
    }

    /// Gradients of scores as a right operand, whose lanes are queries.
    fn pairs(&self, query: usize, queries: usize) -> [*const u32; 2] {
        let strips = Lanes {
            ptr: self.words.as_ptr().wrapping_add(self.keys * self.queries),
            stride: self.keys / 2 * STRIP,
        };
        strips.pair(query, queries)
    }

    /// Makes the block at `(row, col)` of scores and of gradients of probabilities: `p = 2^(scores·scale + bias − logsumexp)` and
    /// `ds = p·(dp − delta)`.
    ///
    /// # Safety
    /// The block lies inside, and the machine has the features.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
    unsafe fn soften(
        &mut self,
        scores: &Sums,
        dp: &Sums,
        with: Softening<'_>,
        (row, col): (usize, usize),
        lines: usize,
    ) {
        let half = self.keys * self.queries / 2;
        let words = self.words.as_mut_ptr();
        let scale = _mm512_set1_ps(with.scale);
        // SAFETY: these are 32 numbers each.
        let (logsumexp, delta) = unsafe {
            (
                [0, STRIP].map(|at| _mm512_load_ps(with.logsumexp.as_ptr().add(at))),
                [0, STRIP].map(|at| _mm512_load_ps(with.delta.as_ptr().add(at))),
            )
        };
        for key in (0..TILE).step_by(2) {
            let mut ds = [[_mm512_setzero_ps(); 2]; 2];
            for (odd, ds) in ds.iter_mut().enumerate() {
                let key = key + odd;
                if key >= lines {
                    continue;
                }
                let mut p = [_mm512_setzero_ps(); 2];
                let bias = with.bias.map_or(0.0, |bias| bias[key] * LOG2_E);
                for side in 0..2 {
                    let at = key * TILE + side * STRIP;
                    let base = _mm512_sub_ps(_mm512_set1_ps(bias), logsumexp[side]);
                    // SAFETY: a block has 32 rows of 32.
                    let (score, dp) = unsafe {
                        (
                            _mm512_load_ps(scores.as_ptr().add(at)),
                            _mm512_load_ps(dp.as_ptr().add(at)),
                        )
                    };
                    p[side] = exp2::<true>(_mm512_fmadd_ps(score, scale, base));
                    ds[side] = _mm512_mul_ps(p[side], _mm512_sub_ps(dp, delta[side]));
                }
                let at = self.row_at(row + key, col);
                // SAFETY: the row lies inside both operands.
                unsafe {
                    store_row(words.wrapping_add(at), p[0], p[1]);
                    store_row(words.wrapping_add(half + at), ds[0], ds[1]);
                }
            }
            let [first, second] = ds;
            for (side, (first, second)) in first.into_iter().zip(second).enumerate() {
                let strip = (col / STRIP + side) * (self.keys / 2 * STRIP);
                let at = 2 * half + strip + (row + key) / 2 * STRIP;
                // SAFETY: the pair of rows lies inside the strip.
                unsafe { store_pairs(words.wrapping_add(at), first, second) };
            }
        }
    }
}

/// Part of a gradient: at most 32 tokens by 32 channels.
struct Target {
    to: *mut f32,
    stride: usize,
    lines: usize,
    dims: usize,
}

impl Target {
    fn new(to: *mut f32, stride: usize, lines: usize, dims: usize) -> Self {
        Self {
            to,
            stride,
            lines,
            dims,
        }
    }

    /// Writes 16 channels of a token.
    ///
    /// # Safety
    /// The place is writable.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn put(&self, line: usize, dim: usize, value: __m512) {
        if line < self.lines && dim < self.dims {
            let mask = u16::MAX >> (STRIP - STRIP.min(self.dims - dim));
            let to = self.to.wrapping_add(line * self.stride + dim);
            // SAFETY: promised by the caller; the mask covers channels that there are.
            unsafe { _mm512_mask_storeu_ps(to, mask, value) };
        }
    }

    /// `block · factor`, tokens × channels.
    ///
    /// # Safety
    /// The target is writable and the block complete.
    #[target_feature(enable = "avx512f")]
    unsafe fn write(&self, block: *const f32, factor: f32) {
        let factor = _mm512_set1_ps(factor);
        for line in 0..self.lines {
            for dim in [0, STRIP] {
                // SAFETY: promised by the caller.
                unsafe {
                    let value = _mm512_load_ps(block.add(line * TILE + dim));
                    self.put(line, dim, _mm512_mul_ps(value, factor));
                }
            }
        }
    }

    /// `blockᵀ · factor`; the block is channels × tokens.
    ///
    /// # Safety
    /// As for [`Target::write`].
    #[target_feature(enable = "avx512f")]
    unsafe fn write_turned(&self, block: *const f32, factor: f32) {
        let factor = _mm512_set1_ps(factor);
        for (dim, line) in [(0, 0), (0, STRIP), (STRIP, 0), (STRIP, STRIP)] {
            // SAFETY: promised by the caller; vectors of floats and of words are plain bits.
            unsafe {
                let mut tile: [__m512i; STRIP] = std::array::from_fn(|row| {
                    let value = _mm512_load_ps(block.add((dim + row) * TILE + line));
                    std::mem::transmute::<__m512, __m512i>(_mm512_mul_ps(value, factor))
                });
                transpose(&mut tile);
                for (index, row) in tile.into_iter().enumerate() {
                    let value = std::mem::transmute::<__m512i, __m512>(row);
                    self.put(line + index, dim, value);
                }
            }
        }
    }
}
