//! Scores of the backward pass, held transposed.

use std::arch::x86_64::{
    _mm512_fmadd_ps, _mm512_load_ps, _mm512_mul_ps, _mm512_set1_ps, _mm512_setzero_ps,
    _mm512_sub_ps,
};
use std::f32::consts::LOG2_E;

use super::vector::{exp2, store_pairs, store_row};
use super::{Lanes, STRIP, TILE};
use crate::cpu::gemm::amx::Sums;
use crate::cpu::scratch::Scratch;

/// What makes probabilities of a block of scores.
pub(super) struct Softening<'a> {
    /// To base 2.
    pub(super) scale: f32,
    /// From the block's first key on.
    pub(super) bias: Option<&'a [f32]>,
    /// To base 2.
    pub(super) logsumexp: &'a [f32],
    pub(super) delta: &'a [f32],
}

/// Probabilities and gradients of scores of a block, keys × queries, as operands.
pub(super) struct TurnedScores {
    words: Scratch,
    keys: usize,
    queries: usize,
}

impl TurnedScores {
    pub(super) fn new(keys: usize, queries: usize) -> Self {
        Self {
            words: Scratch::take(3 * keys * queries / 2),
            keys,
            queries,
        }
    }

    /// The place of a row of a tile of the left operands, which are panels of 16 keys.
    pub(super) fn row_at(&self, key: usize, query: usize) -> usize {
        key / STRIP * (self.queries / 2 * STRIP)
            + query / TILE * STRIP * STRIP
            + key % STRIP * STRIP
    }

    pub(super) fn panels(&self, start: usize, key: usize, keys: usize) -> [*const u32; 2] {
        let panels = Lanes {
            ptr: self.words.as_ptr().wrapping_add(start),
            stride: self.queries / 2 * STRIP,
        };
        panels.pair(key, keys)
    }

    /// Probabilities as a left operand.
    pub(super) fn p(&self, key: usize, keys: usize) -> [*const u32; 2] {
        self.panels(0, key, keys)
    }

    /// Gradients of scores as a left operand.
    pub(super) fn ds(&self, key: usize, keys: usize) -> [*const u32; 2] {
        self.panels(self.keys * self.queries / 2, key, keys)
    }

    /// Gradients of scores as a right operand, whose lanes are queries.
    pub(super) fn pairs(&self, query: usize, queries: usize) -> [*const u32; 2] {
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
    pub(super) unsafe fn soften(
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
