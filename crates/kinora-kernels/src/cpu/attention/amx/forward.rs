//! Forward pass.

use std::arch::x86_64::{
    __m512, _mm512_add_ps, _mm512_fmadd_ps, _mm512_load_ps, _mm512_loadu_ps, _mm512_mask_storeu_ps,
    _mm512_max_ps, _mm512_mul_ps, _mm512_reduce_add_ps, _mm512_reduce_max_ps, _mm512_set1_ps,
    _mm512_setzero_ps, _mm512_store_ps,
};
use std::f32::consts::{LN_2, LOG2_E};

use super::super::AttentionShape;
use super::vector::{exp2, store_row};
use super::{ENGINE, Lanes, STRIP, TILE, even};
use crate::cpu::gemm::amx::{Ahead, Stepwise, TileConfig, multiply};
use crate::cpu::gemm::pack::{lanes_len, pack_lanes, pack_rows, rows_len};
use crate::cpu::matrix::MatRef;
use crate::cpu::parallel::{Shared, for_each};
use crate::cpu::scratch::Scratch;

/// Queries of a task: they share the packed keys and values that come from beyond the second-level cache.
const QUERIES: usize = 128;
/// Keys in a block of scores: a row of it fits sixteen registers.
const KEYS: usize = 256;
/// Elements of a block of sums.
const BLOCK: usize = TILE * TILE;

/// [`super::super::attention_forward`] where no axis is empty and `scale` is above 0. The machine has tile registers.
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
            bias: shape.bias(key_bias, b),
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

/// Keys and values of all heads as strips.
struct PackedHeads {
    words: Scratch,
    keys_len: usize,
    values_len: usize,
    key_stride: usize,
    value_stride: usize,
}

impl PackedHeads {
    fn new(shape: AttentionShape, k: &[f32], v: &[f32]) -> Self {
        let (keys, head_dim) = (shape.key_tokens, shape.head_dim);
        let heads = shape.batch * shape.heads;
        let (keys_len, values_len) = (
            lanes_len(ENGINE, keys, head_dim),
            lanes_len(ENGINE, head_dim, keys),
        );
        let (key_stride, value_stride) = (
            ENGINE.padded_words(head_dim) * STRIP,
            ENGINE.padded_words(keys) * STRIP,
        );
        let mut words = Scratch::take(heads * (keys_len + values_len));
        let all = Shared::from_ptr(words.as_mut_ptr());
        let pieces = keys.div_ceil(KEYS);
        for_each(heads * pieces, 2 * heads * keys * head_dim, |task| {
            let (index, first) = (task / pieces, task % pieces * KEYS);
            let (b, h) = (index / shape.heads, index % shape.heads);
            let count = KEYS.min(keys - first);
            let target = all.get().wrapping_add(index * (keys_len + values_len));
            let (k, v) = (shape.head(k, keys, b, h), shape.head(v, keys, b, h));
            let strips = target.wrapping_add(first / STRIP * key_stride);
            // SAFETY: each task writes its own words of the lengths that packing asks for.
            unsafe { pack_lanes(ENGINE, &k, first, count, 0, head_dim, strips, key_stride) };
            let strips = target.wrapping_add(keys_len + first / 2 * STRIP);
            // SAFETY: as above.
            unsafe {
                pack_lanes(
                    ENGINE,
                    &v.t(),
                    0,
                    head_dim,
                    first,
                    count,
                    strips,
                    value_stride,
                )
            };
        });
        Self {
            words,
            keys_len,
            values_len,
            key_stride,
            value_stride,
        }
    }

    fn keys(&self, index: usize) -> Lanes {
        let start = index * (self.keys_len + self.values_len);
        Lanes {
            ptr: self.words.as_ptr().wrapping_add(start),
            stride: self.key_stride,
        }
    }

    fn values(&self, index: usize) -> Lanes {
        let start = index * (self.keys_len + self.values_len) + self.keys_len;
        Lanes {
            ptr: self.words.as_ptr().wrapping_add(start),
            stride: self.value_stride,
        }
    }
}

/// Some queries of one head.
struct Queries<'a> {
    keys: usize,
    head_dim: usize,
    packed_k: Lanes,
    packed_v: Lanes,
    bias: Option<&'a [f32]>,
    /// To base 2.
    scale: f32,
    out: *mut f32,
    out_stride: usize,
    logsumexp: &'a mut [f32],
}

/// The softmax of a row so far.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Row {
    /// Sums of exponentials in 16 lanes.
    sums: [f32; STRIP],
    /// The largest score, to base 2.
    largest: f32,
}

/// What [`soften`] takes beside scores.
#[derive(Clone, Copy)]
struct Softening {
    scale: f32,
    /// To base 2, one for each key of the block.
    bias: *const f32,
}

impl Queries<'_> {
    /// Makes the outputs of queries from `first` on.
    fn attend(self, q: MatRef<'_>, first: usize) {
        let (count, keys, head_dim) = (self.logsumexp.len(), self.keys, self.head_dim);
        let width = even(keys, KEYS);
        let dims = head_dim.div_ceil(TILE);
        let units = count.div_ceil(TILE);
        let steps = ENGINE.padded_words(head_dim) / STRIP;
        let panel = ENGINE.padded_words(head_dim) * STRIP;
        let mut packed_q = Scratch::take(rows_len(ENGINE, count, head_dim));
        let mut packed_p = Scratch::take(TILE * width / 2);
        let mut scores = Scratch::take(2 * TILE * width);
        let mut sums = Scratch::take(units * dims * BLOCK);
        let mut biases = Scratch::take(width);
        let rows = Row {
            sums: [0.0; STRIP],
            largest: f32::NEG_INFINITY,
        };
        let mut rows = [rows; QUERIES];
        // SAFETY: the scratch has the length that packing asks for; the machine has tiles.
        let _tiles = unsafe {
            pack_rows(ENGINE, &q, first, count, 0, head_dim, packed_q.as_mut_ptr());
            TileConfig::load()
        };
        let scores = scores.as_mut_ptr().cast::<f32>();
        let sums = sums.as_mut_ptr().cast::<f32>();
        // Scores of a unit of 32 queries are made while those of the one before are softened.
        let scores_of = |unit: usize, key: usize, half: usize| {
            let lanes = width.min(keys - key);
            let panels = Lanes {
                ptr: packed_q.as_ptr(),
                stride: panel,
            };
            let strips = Lanes {
                ptr: self
                    .packed_k
                    .ptr
                    .wrapping_add(key / STRIP * self.packed_k.stride),
                stride: self.packed_k.stride,
            };
            let to = scores.wrapping_add(half * TILE * width);
            Stepwise::new(panels.pair(unit * TILE, count), strips, lanes, steps, to)
        };
        let mut next = scores_of(0, 0, 0);
        for _ in 0..next.len() {
            // SAFETY: panels and strips are packed, the scores have room.
            unsafe { next.step() };
        }
        let mut half = 0;
        for key in (0..keys).step_by(width) {
            let cols = width.min(keys - key);
            let biased = self.block_bias(key, cols, biases.floats(width));
            let softening = Softening {
                scale: self.scale,
                bias: biases.as_ptr().cast(),
            };
            for unit in 0..units {
                let lines = &mut rows[unit * TILE..][..TILE.min(count - unit * TILE)];
                let following = if unit + 1 < units {
                    Some((unit + 1, key))
                } else {
                    (key + width < keys).then_some((0, key + width))
                };
                let mut next = following.map(|(unit, key)| scores_of(unit, key, 1 - half));
                let o = sums.wrapping_add(unit * dims * BLOCK);
                let block = Block {
                    scores: scores.wrapping_add(half * TILE * width),
                    pairs: cols.div_ceil(TILE),
                    p: packed_p.as_mut_ptr(),
                    sums: (key > 0).then_some((o, dims)),
                };
                // SAFETY: scores, probabilities and sums are as large as the block says.
                unsafe {
                    if biased {
                        block.soften::<true>(softening, lines, next.as_mut());
                    } else {
                        block.soften::<false>(softening, lines, next.as_mut());
                    }
                }
                let steps = cols.div_ceil(TILE);
                let p = Lanes {
                    ptr: packed_p.as_ptr(),
                    stride: steps * STRIP * STRIP,
                };
                let values = Lanes {
                    ptr: self.packed_v.ptr.wrapping_add(key / 2 * STRIP),
                    stride: self.packed_v.stride,
                };
                for dim in 0..dims {
                    let to = o.wrapping_add(dim * BLOCK);
                    let start = (key > 0).then_some(to.cast_const());
                    let strips = values.pair(dim * TILE, head_dim);
                    let panels = p.pair(0, lines.len());
                    // SAFETY: as above.
                    unsafe { multiply(steps, panels, strips, start, to, &mut Ahead::default()) };
                }
                half = 1 - half;
            }
        }
        for (index, logsumexp) in self.logsumexp.iter_mut().enumerate() {
            let block = sums.wrapping_add(index / TILE * dims * BLOCK + index % TILE * TILE);
            let out = self.out.wrapping_add(index * self.out_stride);
            // SAFETY: the sums hold this row, and its outputs are this task's.
            *logsumexp = unsafe { finish_row(&rows[index], block, head_dim, out) };
        }
    }

    /// The bias of a block's keys, with −∞ behind the last key; whether there is any.
    fn block_bias(&self, key: usize, cols: usize, target: &mut [f32]) -> bool {
        if let Some(bias) = self.bias {
            for (target, bias) in target.iter_mut().zip(&bias[key..key + cols]) {
                *target = bias * LOG2_E;
            }
        } else if cols.is_multiple_of(TILE) {
            return false;
        } else {
            target[..cols].fill(0.0);
        }
        target[cols..].fill(f32::NEG_INFINITY);
        true
    }
}

/// Scores of 32 queries against a block of keys, in blocks of 32 × 32, and what they become.
struct Block {
    scores: *const f32,
    /// Blocks along the keys: 8 at most.
    pairs: usize,
    /// Probabilities as panels of 16 rows.
    p: *mut u32,
    /// Outputs summed so far, and their number of blocks.
    sums: Option<(*mut f32, usize)>,
}

impl Block {
    /// Scores become unnormalised probabilities, row by row; sums go to the new largest score where it rose. Between rows `next`
    /// takes its steps.
    ///
    /// # Safety
    /// All pointers are as [`Block`] says; the machine has the features and [`Stepwise`] what it needs.
    unsafe fn soften<const BIAS: bool>(
        &self,
        with: Softening,
        rows: &mut [Row],
        next: Option<&mut Stepwise>,
    ) {
        // SAFETY: passed on.
        unsafe {
            match self.pairs {
                1 => self.soften_pairs::<1, BIAS>(with, rows, next),
                2 => self.soften_pairs::<2, BIAS>(with, rows, next),
                3 => self.soften_pairs::<3, BIAS>(with, rows, next),
                4 => self.soften_pairs::<4, BIAS>(with, rows, next),
                5 => self.soften_pairs::<5, BIAS>(with, rows, next),
                6 => self.soften_pairs::<6, BIAS>(with, rows, next),
                7 => self.soften_pairs::<7, BIAS>(with, rows, next),
                _ => self.soften_pairs::<8, BIAS>(with, rows, next),
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512bf16")]
    unsafe fn soften_pairs<const N: usize, const BIAS: bool>(
        &self,
        with: Softening,
        rows: &mut [Row],
        mut next: Option<&mut Stepwise>,
    ) {
        let total = next.as_ref().map_or(0, |next| next.len());
        let count = rows.len();
        let scale = _mm512_set1_ps(with.scale);
        let mut done = 0;
        for (index, row) in rows.iter_mut().enumerate() {
            let mut values = [[_mm512_setzero_ps(); 2]; N];
            let mut most = [_mm512_set1_ps(f32::NEG_INFINITY); 2];
            for (pair, values) in values.iter_mut().enumerate() {
                for (half, value) in values.iter_mut().enumerate() {
                    // SAFETY: the block has this row of 32 scores, the bias all keys.
                    *value = unsafe {
                        let at = pair * BLOCK + index * TILE + half * STRIP;
                        let score = _mm512_load_ps(self.scores.add(at));
                        if BIAS {
                            let bias = _mm512_load_ps(with.bias.add(pair * TILE + half * STRIP));
                            _mm512_fmadd_ps(score, scale, bias)
                        } else {
                            score
                        }
                    };
                    // The second operand wins over NaN, which the exponential brings back.
                    most[half] = _mm512_max_ps(*value, most[half]);
                }
            }
            let most = _mm512_reduce_max_ps(_mm512_max_ps(most[0], most[1]));
            let most = if BIAS { most } else { most * with.scale };
            let before = row.largest;
            let largest = if most > before { most } else { before };
            row.largest = largest;
            // All hidden so far: any finite base gives 2^−∞ = 0.
            let base = if largest == f32::NEG_INFINITY {
                0.0
            } else {
                largest
            };
            let minus = _mm512_set1_ps(-base);
            let mut added = [_mm512_setzero_ps(); 2];
            for (pair, values) in values.iter().enumerate() {
                let power = |value: __m512| {
                    exp2(if BIAS {
                        _mm512_add_ps(value, minus)
                    } else {
                        _mm512_fmadd_ps(value, scale, minus)
                    })
                };
                let (low, high) = (power(values[0]), power(values[1]));
                added = [_mm512_add_ps(added[0], low), _mm512_add_ps(added[1], high)];
                let panel = index / STRIP * N * STRIP * STRIP + index % STRIP * STRIP;
                // SAFETY: the panels have room for N tiles of 16 rows each.
                unsafe { store_row(self.p.add(panel + pair * STRIP * STRIP), low, high) };
            }
            // SAFETY: the row's sums are 64-byte aligned, its outputs lie in blocks of 32 columns.
            unsafe {
                let mut sums = _mm512_load_ps(row.sums.as_ptr());
                if before != largest {
                    let factor = exp2(_mm512_set1_ps(before - base));
                    sums = _mm512_mul_ps(sums, factor);
                    if let Some((o, dims)) = self.sums {
                        for at in (0..2 * dims).map(|at| at / 2 * BLOCK + at % 2 * STRIP) {
                            let at = o.add(index * TILE + at);
                            _mm512_store_ps(at, _mm512_mul_ps(_mm512_load_ps(at), factor));
                        }
                    }
                }
                let sums = _mm512_add_ps(sums, _mm512_add_ps(added[0], added[1]));
                _mm512_store_ps(row.sums.as_mut_ptr(), sums);
            }
            if let Some(next) = next.as_deref_mut() {
                while done * count < total * (index + 1) {
                    // SAFETY: promised by the caller.
                    unsafe { next.step() };
                    done += 1;
                }
            }
        }
    }
}

/// Divides a row of outputs by its sum. Returns the log-sum-exp.
///
/// # Safety
/// `block` is the row in blocks of 32 columns, `out` has room for `head_dim` elements.
#[target_feature(enable = "avx512f")]
unsafe fn finish_row(row: &Row, block: *const f32, head_dim: usize, out: *mut f32) -> f32 {
    // SAFETY: promised by the caller; the mask covers elements of the row.
    unsafe {
        let sum = _mm512_reduce_add_ps(_mm512_load_ps(row.sums.as_ptr()));
        // A sum of 0 means that every key was hidden.
        let factor = _mm512_set1_ps(if sum == 0.0 { 0.0 } else { 1.0 / sum });
        for at in (0..head_dim).step_by(STRIP) {
            let left = (head_dim - at).min(STRIP);
            let mask = (u32::MAX >> (32 - left)) as u16;
            let value = _mm512_loadu_ps(block.add(at / TILE * BLOCK + at % TILE));
            _mm512_mask_storeu_ps(out.add(at), mask, _mm512_mul_ps(value, factor));
        }
        if sum == 0.0 {
            f32::NEG_INFINITY
        } else {
            row.largest * LN_2 + sum.ln()
        }
    }
}
