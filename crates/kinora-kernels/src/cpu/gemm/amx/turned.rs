//! Blocks of sums that are written turned.

use std::arch::x86_64::{
    __m512, __m512i, _mm512_load_ps, _mm512_mask_storeu_ps, _mm512_mul_ps, _mm512_set1_ps,
};

use super::STRIP;
use crate::cpu::gemm::pack_avx512::transpose;

/// Where a block of 32 × 32 goes: its columns become lines.
pub(crate) struct Turned {
    pub(crate) to: *mut f32,
    /// Elements from one line to the next.
    pub(crate) stride: usize,
    /// Lines and columns that are wanted, at most 32.
    pub(crate) lines: usize,
    pub(crate) columns: usize,
}

impl Turned {
    /// Writes `blockᵀ · factor`.
    ///
    /// # Safety
    /// The target is writable, the block complete and 64-byte aligned, and the machine has AVX-512.
    #[target_feature(enable = "avx512f")]
    pub(crate) unsafe fn write(&self, block: *const f32, factor: f32) {
        let factor = _mm512_set1_ps(factor);
        for (column, line) in [(0, 0), (0, STRIP), (STRIP, 0), (STRIP, STRIP)] {
            if column >= self.columns {
                continue;
            }
            let mask = u16::MAX >> (STRIP - STRIP.min(self.columns - column));
            // SAFETY: promised by the caller; vectors of floats and of words are plain bits, and the mask covers columns that there are.
            unsafe {
                let mut tile: [__m512i; STRIP] = std::array::from_fn(|row| {
                    let value = _mm512_load_ps(block.add((column + row) * 2 * STRIP + line));
                    std::mem::transmute::<__m512, __m512i>(_mm512_mul_ps(value, factor))
                });
                transpose(&mut tile);
                let lines = self.lines.saturating_sub(line).min(STRIP);
                for (index, row) in tile.into_iter().take(lines).enumerate() {
                    let to = self.to.wrapping_add((line + index) * self.stride + column);
                    let value = std::mem::transmute::<__m512i, __m512>(row);
                    _mm512_mask_storeu_ps(to, mask, value);
                }
            }
        }
    }
}
