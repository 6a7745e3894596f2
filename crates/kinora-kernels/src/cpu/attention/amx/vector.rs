//! The softmax in 512-bit vectors.

use std::arch::x86_64::{
    __m512, __m512bh, __m512i, _CMP_NLT_UQ, _MM_FROUND_NO_EXC, _MM_FROUND_TO_NEG_INF,
    _mm512_cmp_ps_mask, _mm512_cvtne2ps_pbh, _mm512_fmadd_ps, _mm512_maskz_loadu_ps,
    _mm512_maskz_scalef_ps, _mm512_reduce_add_ps, _mm512_reduce_ps, _mm512_scalef_ps,
    _mm512_set1_ps, _mm512_setzero_ps, _mm512_store_si512,
};

use crate::cpu::gemm::pack_avx512::paired;

/// `2ˣ` to 9e-5, a twentieth of what bf16 rounds. Below −126 it is 0 if `LIMITED`, and otherwise undefined; NaN stays NaN.
///
/// The exponent comes from `scalef`, and a cubic on what is left in [0, 1).
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
pub(super) fn exp2<const LIMITED: bool>(x: __m512) -> __m512 {
    const DOWN: i32 = _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC;
    let rest = _mm512_reduce_ps::<DOWN>(x);
    let power = _mm512_fmadd_ps(
        _mm512_set1_ps(0.077_067_04),
        rest,
        _mm512_set1_ps(0.227_645),
    );
    let power = _mm512_fmadd_ps(power, rest, _mm512_set1_ps(0.695_116_76));
    let power = _mm512_fmadd_ps(power, rest, _mm512_set1_ps(1.0));
    if LIMITED {
        let normal = _mm512_cmp_ps_mask::<_CMP_NLT_UQ>(x, _mm512_set1_ps(-126.0));
        _mm512_maskz_scalef_ps(normal, power, x)
    } else {
        _mm512_scalef_ps(power, x)
    }
}

/// Writes 32 neighbours as bf16: a row of a tile.
///
/// # Safety
/// `to` is 64-byte aligned and has room for 64 bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
pub(super) unsafe fn store_row(to: *mut u32, low: __m512, high: __m512) {
    // SAFETY: promised by the caller; a vector of bf16 is plain bits.
    unsafe {
        let words = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low));
        _mm512_store_si512(to.cast(), words);
    }
}

/// Writes two rows of 16 neighbours as pairs of bf16: a row of a tile of the right operand.
///
/// # Safety
/// `to` is 64-byte aligned and has room for 64 bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn store_pairs(to: *mut u32, first: __m512, second: __m512) {
    // SAFETY: promised by the caller; a vector of bf16 is plain bits.
    unsafe {
        let halves = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(second, first));
        _mm512_store_si512(to.cast(), paired(halves));
    }
}

/// Writes the sums of products of rows `stride` elements apart.
///
/// # Safety
/// Both have `to.len()` rows of `len` elements.
#[target_feature(enable = "avx512f,avx512dq")]
pub(super) unsafe fn dots(a: *const f32, b: *const f32, stride: usize, len: usize, to: &mut [f32]) {
    for (row, to) in to.iter_mut().enumerate() {
        let mut sums = _mm512_setzero_ps();
        for at in (0..len).step_by(16) {
            let mask = u16::MAX >> (16 - 16.min(len - at));
            let at = row * stride + at;
            // SAFETY: promised by the caller; the mask covers elements of the row.
            let (a, b) = unsafe {
                (
                    _mm512_maskz_loadu_ps(mask, a.wrapping_add(at)),
                    _mm512_maskz_loadu_ps(mask, b.wrapping_add(at)),
                )
            };
            sums = _mm512_fmadd_ps(a, b, sums);
        }
        *to = _mm512_reduce_add_ps(sums);
    }
}

/// The largest sum of squares of some rows; NaN if one is NaN.
///
/// # Safety
/// There are `rows` rows of `len` elements, `stride` elements apart.
#[target_feature(enable = "avx512f,avx512dq")]
pub(super) unsafe fn longest_square(
    start: *const f32,
    rows: usize,
    stride: usize,
    len: usize,
) -> f32 {
    let mut longest = 0.0;
    for row in 0..rows {
        let mut squares = _mm512_setzero_ps();
        for at in (0..len).step_by(16) {
            let mask = u16::MAX >> (16 - 16.min(len - at));
            // SAFETY: promised by the caller; the mask covers elements of the row.
            let value =
                unsafe { _mm512_maskz_loadu_ps(mask, start.wrapping_add(row * stride + at)) };
            squares = _mm512_fmadd_ps(value, value, squares);
        }
        let square = _mm512_reduce_add_ps(squares);
        longest = if square > longest || square.is_nan() {
            square
        } else {
            longest
        };
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::level::Level;

    fn of(x: f32) -> f32 {
        // SAFETY: the test asks for the level; both types are 64 bytes of plain bits.
        unsafe {
            let lanes: [f32; 16] = std::mem::transmute(exp2::<true>(std::mem::transmute::<
                [f32; 16],
                __m512,
            >([x; 16])));
            lanes[0]
        }
    }

    #[test]
    fn powers_of_two_are_closer_than_bf16_and_have_their_limits() {
        if !Level::Avx512Bf16.is_available() {
            eprintln!("exp2: SKIPPED on this machine: avx512bf16");
            return;
        }
        for step in -125_990..=100_000 {
            let x = step as f32 * 1e-3;
            let want = f64::from(x).exp2();
            assert!((f64::from(of(x)) - want).abs() < 1e-4 * want, "{x}");
        }
        assert_eq!(of(-127.0), 0.0);
        assert_eq!(of(f32::NEG_INFINITY), 0.0);
        assert_eq!(of(f32::INFINITY), f32::INFINITY);
        assert!(of(f32::NAN).is_nan());
    }
}
