//! Micro-kernels with 512-bit vectors: 8 rows × up to 48 columns, 24 sums in registers.
//!
//! The f32 and the bf16 kernel differ in one instruction, because a word of the packed layout is either one f32 or a
//! pair of bf16 along the summed axis.

use std::arch::x86_64::{
    __m512bh, __m512i, _mm512_add_ps, _mm512_castsi512_ps, _mm512_dpbf16_ps, _mm512_fmadd_ps,
    _mm512_load_si512, _mm512_loadu_ps, _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps,
    _mm512_set1_epi32, _mm512_setzero_ps, _mm512_storeu_ps,
};

use super::block::Out;
use super::engine::{Engine, STRIP};

const ROWS: usize = Engine::Avx512.tile_rows();

macro_rules! kernel {
    ($(#[$doc:meta])* $name:ident, $inner:ident, $features:literal, |$sum:ident, $left:ident, $right:ident| $step:expr) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// As for [`super::block::multiply`], with `strips` strips `stride` words apart.
        #[target_feature(enable = $features)]
        pub(super) unsafe fn $name(
            strips: usize, words: usize, a: *const u32, b: *const u32, stride: usize, out: Out,
        ) {
            // SAFETY: passed on.
            unsafe {
                match strips {
                    1 => $inner::<1>(words, a, b, stride, out),
                    2 => $inner::<2>(words, a, b, stride, out),
                    _ => $inner::<3>(words, a, b, stride, out),
                }
            }
        }

        #[target_feature(enable = $features)]
        unsafe fn $inner<const N: usize>(
            words: usize, mut a: *const u32, mut b: *const u32, stride: usize, out: Out,
        ) {
            let mut sums = [[_mm512_setzero_ps(); N]; ROWS];
            let mut left = words;
            while left > 0 {
                let steps = left.min(STRIP);
                for _ in 0..steps {
                    let mut right: [__m512i; N] = [_mm512_set1_epi32(0); N];
                    for strip in 0..N {
                        // SAFETY: each strip holds `words` aligned rows of 16 words.
                        right[strip] = unsafe { _mm512_load_si512(b.add(strip * stride).cast()) };
                    }
                    for row in 0..ROWS {
                        // SAFETY: the tile holds 16 words of each row.
                        let $left = _mm512_set1_epi32(unsafe { *a.add(row * STRIP) } as i32);
                        for strip in 0..N {
                            let ($sum, $right) = (sums[row][strip], right[strip]);
                            sums[row][strip] = $step;
                        }
                    }
                    a = a.wrapping_add(1);
                    b = b.wrapping_add(STRIP);
                }
                // Sixteen steps went along the first row of the tile; the next tile starts after the last row.
                a = a.wrapping_add(STRIP * ROWS - steps);
                left -= steps;
            }
            // Written out here and not in a function: a call would force the sums into memory at every step.
            let last = out.cols - (N - 1) * STRIP;
            let whole = last == STRIP && out.rows == ROWS;
            let mask = if last == STRIP { u16::MAX } else { (1 << last) - 1 };
            for row in 0..ROWS {
                if row >= out.rows {
                    break;
                }
                for strip in 0..N {
                    let target = out.c.wrapping_add(row * out.ldc + strip * STRIP);
                    let mask = if strip == N - 1 { mask } else { u16::MAX };
                    let sum = sums[row][strip];
                    // SAFETY: the mask covers only columns of the tile.
                    unsafe {
                        if whole {
                            let sum = if out.accumulate { _mm512_add_ps(_mm512_loadu_ps(target), sum) } else { sum };
                            _mm512_storeu_ps(target, sum);
                        } else if out.accumulate {
                            let sum = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, target), sum);
                            _mm512_mask_storeu_ps(target, mask, sum);
                        } else {
                            _mm512_mask_storeu_ps(target, mask, sum);
                        }
                    }
                }
            }
        }
    };
}

kernel!(
    /// A tile of f32 products.
    kernel_f32,
    inner_f32,
    "avx512f",
    |sum, left, right| _mm512_fmadd_ps(_mm512_castsi512_ps(left), _mm512_castsi512_ps(right), sum)
);

kernel!(
    /// A tile of bf16 products with f32 sums.
    kernel_bf16,
    inner_bf16,
    "avx512f,avx512bf16",
    |sum, left, right| _mm512_dpbf16_ps(sum, as_bf16(left), as_bf16(right))
);

#[inline(always)]
fn as_bf16(words: __m512i) -> __m512bh {
    // SAFETY: both are 64 bytes of plain bits.
    unsafe { std::mem::transmute(words) }
}
