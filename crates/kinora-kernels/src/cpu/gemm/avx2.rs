//! Micro-kernel with 256-bit FMA: 6 rows × 16 columns, 12 sums in registers.

use std::arch::x86_64::{
    __m256, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_setzero_ps, _mm256_storeu_ps,
};

use super::block::Out;
use super::engine::{Engine, STRIP};

const ROWS: usize = Engine::Avx2.tile_rows();

/// One tile.
///
/// # Safety
/// As for [`super::block::multiply`].
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn kernel(words: usize, a: *const u32, b: *const u32, out: Out) {
    let (mut a, mut b) = (a.cast::<f32>(), b.cast::<f32>());
    let mut sums: [[__m256; 2]; ROWS] = [[_mm256_setzero_ps(); 2]; ROWS];
    let mut left = words;
    while left > 0 {
        let steps = left.min(STRIP);
        for step in 0..steps {
            // SAFETY: the strip holds `words` rows of 16 columns.
            let right = unsafe { [_mm256_loadu_ps(b), _mm256_loadu_ps(b.add(8))] };
            b = b.wrapping_add(STRIP);
            for (row, sums) in sums.iter_mut().enumerate() {
                // SAFETY: the tile holds 16 words of each row.
                let value = _mm256_set1_ps(unsafe { *a.add(row * STRIP + step) });
                sums[0] = _mm256_fmadd_ps(value, right[0], sums[0]);
                sums[1] = _mm256_fmadd_ps(value, right[1], sums[1]);
            }
        }
        a = a.wrapping_add(STRIP * ROWS);
        left -= steps;
    }
    let mut plain = [[0.0f32; STRIP]; ROWS];
    for row in 0..ROWS {
        // SAFETY: a row of `plain` has 16 elements.
        unsafe {
            _mm256_storeu_ps(plain[row].as_mut_ptr(), sums[row][0]);
            _mm256_storeu_ps(plain[row].as_mut_ptr().add(8), sums[row][1]);
        }
    }
    // SAFETY: the tile is writable.
    unsafe { super::portable::store(&plain, out) };
}
