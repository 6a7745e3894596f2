//! Rounding to bf16, as products do with what they are given.

use half::bf16;

use super::gemm::rounded;
use super::level::level;

/// The nearest numbers, ties to even; with vectors, those below the smallest normal one become zeros, as which they would be multiplied.
///
/// # Panics
/// When the lengths differ.
pub fn round_to_bf16(from: &[f32], to: &mut [bf16]) {
    assert_eq!(from.len(), to.len(), "a number for each");
    #[cfg(target_arch = "x86_64")]
    if level().has_bf16() {
        // SAFETY: the levels with bf16 have these features.
        unsafe { round_512(from, to) };
        return;
    }
    let _ = level;
    for (to, from) in to.iter_mut().zip(from) {
        *to = bf16::from_bits(rounded(*from) as u16);
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bf16")]
fn round_512(from: &[f32], to: &mut [bf16]) {
    use std::arch::x86_64::{__m256bh, __m256i, _mm256_storeu_si256};
    use std::arch::x86_64::{_mm512_cvtneps_pbh, _mm512_loadu_ps};

    let (from, last) = from.as_chunks::<16>();
    let (to, last_to) = to.as_chunks_mut::<16>();
    for (from, to) in from.iter().zip(to) {
        // SAFETY: both are sixteen numbers.
        unsafe {
            let rounded = _mm512_cvtneps_pbh(_mm512_loadu_ps(from.as_ptr()));
            let rounded = std::mem::transmute::<__m256bh, __m256i>(rounded);
            _mm256_storeu_si256(to.as_mut_ptr().cast(), rounded);
        }
    }
    for (to, from) in last_to.iter_mut().zip(last) {
        *to = bf16::from_bits(rounded(*from) as u16);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::reference::noise;

    #[test]
    fn numbers_become_the_nearest() {
        let mut from = noise(53, 1);
        from.extend([f32::NAN, f32::INFINITY, -0.0, 1.0 + 1.0 / 256.0]);
        let mut to = vec![bf16::ZERO; from.len()];
        round_to_bf16(&from, &mut to);
        for (from, to) in from.iter().zip(to) {
            let want = bf16::from_f32(*from);
            assert!(want == to || want.is_nan() && to.is_nan(), "{from} {to}");
        }
    }
}
