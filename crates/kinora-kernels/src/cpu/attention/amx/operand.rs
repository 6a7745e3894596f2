//! What the backward pass multiplies, and where its sums wait and go.

use std::arch::x86_64::{
    __m512, _mm512_load_ps, _mm512_mask_storeu_ps, _mm512_mul_ps, _mm512_set1_ps,
};

use super::{BLOCK, ENGINE, Lanes, STRIP, TILE};
use crate::cpu::gemm::Ahead;
use crate::cpu::gemm::amx::{Streamed, multiply};
use crate::cpu::gemm::pack::{lanes_len, pack_lanes, pack_rows, rows_len};
use crate::cpu::matrix::MatRef;
use crate::cpu::scratch::Scratch;

/// A packed operand in scratch.
pub(super) struct Operand {
    words: Scratch,
    stride: usize,
}

impl Operand {
    /// The rows of `source` as strips.
    pub(super) fn strips(source: MatRef<'_>) -> Self {
        let (lanes, k) = (source.rows(), source.cols());
        let mut words = Scratch::take(lanes_len(ENGINE, lanes, k));
        let stride = ENGINE.padded_words(k) * STRIP;
        // SAFETY: the scratch has the length that packing asks for.
        unsafe { pack_lanes(ENGINE, &source, 0, lanes, 0, k, words.as_mut_ptr(), stride) };
        Self { words, stride }
    }

    /// The rows of `source` as panels.
    pub(super) fn panels(source: MatRef<'_>) -> Self {
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
    pub(super) fn from(&self, k: usize) -> Lanes {
        Lanes {
            ptr: self.words.as_ptr().wrapping_add(k / TILE * STRIP * STRIP),
            stride: self.stride,
        }
    }
}

/// Sums that wait for more, in blocks of 32 × 32: `[rows / 32][cols / 32]`.
pub(super) struct Waiting {
    words: Scratch,
    across: usize,
}

impl Waiting {
    pub(super) fn new(rows: usize, cols: usize) -> Self {
        let across = cols.div_ceil(TILE);
        Self {
            words: Scratch::take(rows.div_ceil(TILE) * across * BLOCK),
            across,
        }
    }

    pub(super) fn block(&mut self, row: usize, col: usize) -> *mut f32 {
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
    pub(super) unsafe fn add(
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

/// Part of a gradient: at most 32 tokens by 32 channels.
pub(super) struct Target {
    to: *mut f32,
    stride: usize,
    lines: usize,
    dims: usize,
}

impl Target {
    pub(super) fn new(to: *mut f32, stride: usize, lines: usize, dims: usize) -> Self {
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
    pub(super) unsafe fn put(&self, line: usize, dim: usize, value: __m512) {
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
    pub(super) unsafe fn write(&self, block: *const f32, factor: f32) {
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
}
