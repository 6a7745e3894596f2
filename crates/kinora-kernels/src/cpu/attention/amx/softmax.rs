//! The softmax of 32 queries, and the scores that it is made of.

use std::arch::x86_64::{
    __m512, _mm512_add_ps, _mm512_fmadd_ps, _mm512_load_ps, _mm512_mask_storeu_ps, _mm512_max_ps,
    _mm512_mul_ps, _mm512_reduce_add_ps, _mm512_reduce_max_ps, _mm512_set1_ps, _mm512_store_ps,
    _mm512_sub_ps,
};
use std::f32::consts::LN_2;

use super::vector::{exp2, store_row};
use super::{BLOCK, Lanes, STRIP, TILE};
use crate::cpu::gemm::Ahead;
use crate::cpu::gemm::amx::{Streamed, Sums, multiply};

/// The softmax of 32 rows so far.
#[repr(align(64))]
pub(super) struct Rows {
    /// Sums of exponentials, in 16 lanes each.
    sums: [[f32; STRIP]; TILE],
    /// What is subtracted from the scores of each, to base 2.
    base: [f32; TILE],
}

impl Rows {
    pub(super) const fn new() -> Self {
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
    pub(super) fn logsumexp(&self, row: usize) -> f32 {
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
    pub(super) unsafe fn finish(
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
pub(super) struct Scores {
    /// The queries.
    pub(super) a: [*const u32; 2],
    pub(super) k: Lanes,
    pub(super) keys: usize,
    /// Steps of 16 words along a head.
    pub(super) steps: usize,
    /// To base 2.
    pub(super) scale: f32,
    /// To base 2, for whole blocks of keys.
    pub(super) bias: *const f32,
    /// Queries that there are.
    pub(super) lines: usize,
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
    pub(super) unsafe fn soften_exact<const BIAS: bool>(
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
    pub(super) unsafe fn soften<const BIAS: bool, const LIMITED: bool>(
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
