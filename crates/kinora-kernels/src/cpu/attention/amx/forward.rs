//! Forward pass.

use std::arch::x86_64::{
    __m512, _mm512_add_ps, _mm512_fmadd_ps, _mm512_load_ps, _mm512_mask_storeu_ps, _mm512_max_ps,
    _mm512_mul_ps, _mm512_reduce_add_ps, _mm512_reduce_max_ps, _mm512_set1_ps, _mm512_store_ps,
    _mm512_sub_ps,
};
use std::f32::consts::{LN_2, LOG2_E};

use super::super::AttentionShape;
use super::vector::{exp2, longest_square, store_row};
use super::{BLOCK, ENGINE, Lanes, STRIP, TILE, even};
use crate::cpu::gemm::amx::{Ahead, Streamed, Sums, TileConfig, multiply};
use crate::cpu::gemm::pack::{lanes_len, pack_lanes, pack_rows, rows_len};
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

/// Keys and values of all heads as strips.
struct PackedHeads {
    words: Scratch,
    keys_len: usize,
    values_len: usize,
    key_stride: usize,
    value_stride: usize,
    /// The norm of the longest key of each head.
    longest: Vec<f32>,
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
        let pieces = keys.div_ceil(TILE);
        let mut longest = vec![0.0; heads * pieces];
        let norms = Shared::new(&mut longest);
        // All heads of a few keys together: their rows are neighbours.
        for_each(shape.batch * pieces, 2 * heads * keys * head_dim, |task| {
            let (b, piece) = (task / pieces, task % pieces);
            let first = piece * TILE;
            let count = TILE.min(keys - first);
            for h in 0..shape.heads {
                let index = b * shape.heads + h;
                let target = all.get().wrapping_add(index * (keys_len + values_len));
                let k = shape.head(k, keys, b, h);
                let strips = target.wrapping_add(first / STRIP * key_stride);
                // SAFETY: each task writes its own words of the lengths that packing asks for, and its own norms.
                unsafe {
                    pack_lanes(ENGINE, &k, first, count, 0, head_dim, strips, key_stride);
                    norms.slice(index * pieces + piece, 1)[0] = longest_row(&k, first, count);
                }
                let v = shape.head(v, keys, b, h).t();
                let strips = target.wrapping_add(keys_len + first / 2 * STRIP);
                // SAFETY: as above.
                unsafe { pack_lanes(ENGINE, &v, 0, head_dim, first, count, strips, value_stride) };
            }
        });
        let longest = longest.chunks(pieces).map(largest).collect();
        Self {
            words,
            keys_len,
            values_len,
            key_stride,
            value_stride,
            longest,
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

/// The largest value; NaN if there is one.
fn largest(values: &[f32]) -> f32 {
    values
        .iter()
        .fold(0.0, |a, b| if *b > a || b.is_nan() { *b } else { a })
}

/// The norm of the longest of some rows; NaN if one has none.
fn longest_row(matrix: &MatRef<'_>, first: usize, count: usize) -> f32 {
    assert!(first + count <= matrix.rows() && matrix.col_stride() == 1);
    let start = matrix.as_ptr().wrapping_add(first * matrix.row_stride());
    // SAFETY: these rows are inside the matrix, and the machine has tiles, so it has AVX-512.
    unsafe { longest_square(start, count, matrix.row_stride(), matrix.cols()).sqrt() }
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

/// The softmax of 32 rows so far.
#[repr(align(64))]
struct Rows {
    /// Sums of exponentials, in 16 lanes each.
    sums: [[f32; STRIP]; TILE],
    /// What is subtracted from the scores of each, to base 2.
    base: [f32; TILE],
}

impl Rows {
    const fn new() -> Self {
        Self {
            sums: [[0.0; STRIP]; TILE],
            base: [0.0; TILE],
        }
    }

    fn sum(&self, row: usize) -> f32 {
        // SAFETY: the machine has tiles, so it has AVX-512.
        unsafe { sum(&self.sums[row]) }
    }

    /// A sum of 0 means that every key was hidden.
    fn logsumexp(&self, row: usize) -> f32 {
        match self.sum(row) {
            0.0 => f32::NEG_INFINITY,
            sum => self.base[row] * LN_2 + sum.ln(),
        }
    }

    /// Writes weighed values over their sums.
    ///
    /// # Safety
    /// `blocks` hold `lines` rows in blocks of 32 columns, and rows of `out` have room for `head_dim` elements.
    #[target_feature(enable = "avx512f")]
    unsafe fn finish(
        &self,
        blocks: *const f32,
        head_dim: usize,
        lines: usize,
        out: *mut f32,
        stride: usize,
    ) {
        for row in 0..lines {
            let factor = match self.sum(row) {
                0.0 => 0.0,
                sum => 1.0 / sum,
            };
            let factor = _mm512_set1_ps(factor);
            for at in (0..head_dim).step_by(STRIP) {
                let mask = u16::MAX >> (STRIP - STRIP.min(head_dim - at));
                let from = at / TILE * BLOCK + row * TILE + at % TILE;
                // SAFETY: promised by the caller; the mask covers elements of the row.
                unsafe {
                    let value = _mm512_load_ps(blocks.add(from));
                    let to = out.add(row * stride + at);
                    _mm512_mask_storeu_ps(to, mask, _mm512_mul_ps(value, factor));
                }
            }
        }
    }
}

#[target_feature(enable = "avx512f")]
fn sum(lanes: &[f32; STRIP]) -> f32 {
    // SAFETY: the lanes are 64 bytes, aligned in their rows.
    _mm512_reduce_add_ps(unsafe { _mm512_load_ps(lanes.as_ptr()) })
}

/// Scores of 32 queries against all keys, made block by block.
struct Scores {
    a: [*const u32; 2],
    k: Lanes,
    keys: usize,
    steps: usize,
    scale: f32,
    bias: *const f32,
    /// Queries that there are.
    lines: usize,
}

impl Scores {
    /// The scores of 32 keys from `key` on, before scale and bias.
    ///
    /// # Safety
    /// The operands are packed and tiles configured.
    #[inline(always)]
    unsafe fn block(&self, key: usize, to: &mut Sums) {
        let strips = self.k.pair(key, self.keys);
        // SAFETY: promised by the caller.
        unsafe {
            multiply(
                Streamed::Neither,
                self.steps,
                self.a,
                strips,
                None,
                to.as_mut_ptr(),
                &mut Ahead::default(),
            )
        };
    }

    /// The scores of a row with 32 keys from `key` on.
    ///
    /// # Safety
    /// There is a bias for these keys.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn row<const BIAS: bool>(&self, block: &Sums, row: usize, key: usize) -> [__m512; 2] {
        let scale = _mm512_set1_ps(self.scale);
        // SAFETY: a block has 32 columns; the bias is promised by the caller.
        let half = |half: usize| unsafe {
            let score = _mm512_load_ps(block.as_ptr().add(row * TILE + half));
            if BIAS {
                let bias = _mm512_load_ps(self.bias.wrapping_add(key + half));
                _mm512_fmadd_ps(score, scale, bias)
            } else {
                _mm512_mul_ps(score, scale)
            }
        };
        [half(0), half(STRIP)]
    }

    /// [`Scores::soften`] of scores that may be large, for which each row's largest is found first.
    ///
    /// # Safety
    /// As there.
    unsafe fn soften_exact<const BIAS: bool>(
        &self,
        key: usize,
        cols: usize,
        rows: &mut Rows,
        p: *mut u32,
    ) {
        // SAFETY: passed on.
        unsafe {
            if key == 0 {
                self.find_largest::<BIAS>(rows);
            }
            self.soften::<BIAS, true>(key, cols, rows, p);
        }
    }

    /// Makes the largest score of each row its base.
    ///
    /// # Safety
    /// As for [`Scores::soften`].
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    unsafe fn find_largest<const BIAS: bool>(&self, rows: &mut Rows) {
        let mut most = [_mm512_set1_ps(f32::NEG_INFINITY); TILE];
        let mut block = Sums::new();
        for key in (0..self.keys).step_by(TILE) {
            // SAFETY: promised by the caller.
            unsafe { self.block(key, &mut block) };
            for (row, most) in most[..self.lines].iter_mut().enumerate() {
                // SAFETY: as above.
                let [low, high] = unsafe { self.row::<BIAS>(&block, row, key) };
                // The second operand wins over NaN, which the exponential brings back.
                *most = _mm512_max_ps(low, _mm512_max_ps(high, *most));
            }
        }
        for (base, most) in rows.base.iter_mut().zip(most) {
            let most = _mm512_reduce_max_ps(most);
            // All hidden: any finite base gives 2^−∞ = 0.
            *base = if most == f32::NEG_INFINITY { 0.0 } else { most };
        }
    }

    /// Scores of `cols` keys from `key` on become unnormalised probabilities in panels of 16 rows, and add to the sums.
    ///
    /// # Safety
    /// Operands are packed, tiles configured, the bias is there for whole blocks, and `p` has room for 32 rows of `cols`. Without
    /// `LIMITED` all scores are between −126 and 126.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
    unsafe fn soften<const BIAS: bool, const LIMITED: bool>(
        &self,
        key: usize,
        cols: usize,
        rows: &mut Rows,
        p: *mut u32,
    ) {
        let pairs = cols.div_ceil(TILE);
        let mut blocks = [const { Sums::new() }; 2];
        // SAFETY: promised by the caller.
        unsafe { self.block(key, &mut blocks[0]) };
        for pair in 0..pairs {
            // The processor multiplies the next block while it softens this one.
            if pair + 1 < pairs {
                // SAFETY: as above.
                unsafe { self.block(key + (pair + 1) * TILE, &mut blocks[(pair + 1) % 2]) };
            }
            let block = &blocks[pair % 2];
            for row in 0..self.lines {
                let base = _mm512_set1_ps(rows.base[row]);
                // SAFETY: as above; a row's sums are 64 aligned bytes.
                unsafe {
                    let [low, high] = self.row::<BIAS>(block, row, key + pair * TILE);
                    // Scores that need no limit have no base either.
                    let power = |score: __m512| match LIMITED {
                        true => exp2::<true>(_mm512_sub_ps(score, base)),
                        false => exp2::<false>(score),
                    };
                    let (low, high) = (power(low), power(high));
                    let sums = rows.sums[row].as_mut_ptr();
                    _mm512_store_ps(
                        sums,
                        _mm512_add_ps(_mm512_load_ps(sums), _mm512_add_ps(low, high)),
                    );
                    let panel = row / STRIP * pairs + pair;
                    let at = panel * STRIP * STRIP + row % STRIP * STRIP;
                    store_row(p.wrapping_add(at), low, high);
                }
            }
        }
    }
}
