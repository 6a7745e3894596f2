//! What becomes of a tile of sums.

use std::arch::x86_64::{
    __m512, _mm512_add_ps, _mm512_load_ps, _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps,
    _mm512_set1_ps, _mm512_stream_ps,
};

use super::{STRIP, Sums};
use crate::cpu::gemm::block::Out;
use crate::cpu::gemm::epilogue::Activation;
use crate::cpu::math::{gelu_tanh, silu};

/// Where a finished tile goes, and what is done with it on the way.
pub(crate) struct Finishing<'a> {
    pub(crate) out: Out,
    /// Of these columns.
    pub(crate) bias: Option<&'a [f32]>,
    /// Receives what the activation is applied to; rows as far apart as those of `out`.
    pub(crate) before: Option<*mut f32>,
    pub(crate) activation: Activation,
    /// Written past the caches: rows are whole and begin at cache lines.
    pub(crate) streamed: bool,
}

/// Writes sums, from row `first` on, as a tile of `C`.
///
/// # Safety
/// The sums are written, and the places of the tile are this thread's. The machine has AVX-512.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,fma")]
pub(crate) unsafe fn finish(sums: &Sums, first: usize, to: Finishing<'_>) {
    let Out {
        c,
        ldc,
        rows,
        cols,
        accumulate,
    } = to.out;
    let masks = [mask16(cols), mask16(cols.saturating_sub(STRIP))];
    let bias = match to.bias {
        // SAFETY: the masks cover the columns of the tile, which the bias has.
        Some(bias) => unsafe {
            [
                _mm512_maskz_loadu_ps(masks[0], bias.as_ptr()),
                _mm512_maskz_loadu_ps(masks[1], bias.as_ptr().wrapping_add(STRIP)),
            ]
        },
        // Adding −0 changes nothing, not even the sign of a zero.
        None => [_mm512_set1_ps(-0.0); 2],
    };
    for row in 0..rows {
        for half in 0..2 {
            let mask = masks[half];
            let at = row * ldc + half * STRIP;
            // SAFETY: the sums have 32 columns; the masks cover columns of the tile alone.
            unsafe {
                let mut value = _mm512_load_ps(
                    sums.0
                        .as_ptr()
                        .add((first + row) * 2 * STRIP + half * STRIP)
                        .cast(),
                );
                if accumulate {
                    value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(mask, c.wrapping_add(at)));
                }
                value = _mm512_add_ps(value, bias[half]);
                if let Some(before) = to.before {
                    _mm512_mask_storeu_ps(before.wrapping_add(at), mask, value);
                }
                value = activate(value, to.activation);
                if to.streamed {
                    _mm512_stream_ps(c.wrapping_add(at), value);
                } else {
                    _mm512_mask_storeu_ps(c.wrapping_add(at), mask, value);
                }
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,fma")]
fn activate(value: __m512, activation: Activation) -> __m512 {
    // SAFETY: both are 64 bytes of plain bits.
    let mut lanes = unsafe { std::mem::transmute::<__m512, [f32; STRIP]>(value) };
    match activation {
        Activation::None => return value,
        Activation::GeluTanh => lanes.iter_mut().for_each(|x| *x = gelu_tanh::<true>(*x)),
        Activation::Silu => lanes.iter_mut().for_each(|x| *x = silu::<true>(*x)),
    }
    // SAFETY: as above.
    unsafe { std::mem::transmute::<[f32; STRIP], __m512>(lanes) }
}

const fn mask16(count: usize) -> u16 {
    if count >= 16 {
        u16::MAX
    } else {
        (1 << count) - 1
    }
}
