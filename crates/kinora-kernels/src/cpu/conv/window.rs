//! Pixels of a window, copied and multiplied with 512-bit vectors.

use std::arch::x86_64::{
    __m512bh, __m512i, _mm512_add_ps, _mm512_castsi512_ps, _mm512_cvtne2ps_pbh, _mm512_dpbf16_ps,
    _mm512_fmadd_ps, _mm512_load_si512, _mm512_mask_storeu_epi32, _mm512_mask_storeu_ps,
    _mm512_maskz_loadu_ps, _mm512_set1_epi32, _mm512_setzero_ps,
};

use super::clip::Frames;
use crate::cpu::gemm::Engine;
use crate::cpu::gemm::engine::STRIP;

/// Pixels of a task: where they are read and where they are written.
pub(super) struct Pixels {
    pub(super) window: *const u32,
    /// Words from a row to the next, and from a pixel to the next.
    pub(super) line: usize,
    pub(super) step: usize,
    /// The first channel of the first pixel.
    pub(super) out: *mut f32,
    /// Numbers from a row to the next, and from a pixel to the next.
    pub(super) out_line: usize,
    pub(super) out_step: usize,
    /// Rows and columns.
    pub(super) size: [usize; 2],
}

/// Up to eight pixels.
pub(super) struct Rows {
    /// Of those that there are not, the first.
    from: [*const u32; Self::COUNT],
    to: [*mut f32; Self::COUNT],
    count: usize,
}

impl Rows {
    pub(super) const COUNT: usize = Engine::Avx512.tile_rows();

    /// Where the sums of each go.
    pub(super) fn out(&self) -> &[*mut f32] {
        &self.to[..self.count]
    }
}

impl Pixels {
    /// Those from the `first` on, in the order of rows; of what comes out, from `channel` on.
    pub(super) fn rows(&self, first: usize, channel: usize) -> Rows {
        let [rows, columns] = self.size;
        let count = Rows::COUNT.min(rows * columns - first);
        let places: [usize; Rows::COUNT] =
            std::array::from_fn(|index| if index < count { first + index } else { first });
        let places = places.map(|place| (place / columns, place % columns));
        Rows {
            from: places.map(|(y, x)| self.window.wrapping_add(y * self.line + x * self.step)),
            to: places.map(|(y, x)| {
                self.out
                    .wrapping_add(y * self.out_line + x * self.out_step + channel)
            }),
            count,
        }
    }
}

/// A part of the sum, for some channels that come out.
pub(super) struct Kernel<'a> {
    pub(super) engine: Engine,
    /// Words from a pixel to each run.
    pub(super) runs: &'a [usize],
    /// Words of a run.
    pub(super) run: usize,
    /// The strips from the first run on, `stride` words apart.
    pub(super) weight: *const u32,
    pub(super) stride: usize,
    pub(super) strips: usize,
    /// Channels, at most 16 for each strip.
    pub(super) cols: usize,
    /// Adds to what was written before.
    pub(super) accumulate: bool,
}

impl Kernel<'_> {
    /// # Safety
    /// The machine has the engine; the window holds all runs of all rows and the strips all words, 64-byte aligned; nobody else
    /// touches what is written.
    pub(super) unsafe fn multiply(&self, rows: &Rows) {
        // SAFETY: passed on.
        unsafe {
            match (self.engine, self.strips) {
                (Engine::Avx512, 1) => f32_sums::<1>(self, rows),
                (Engine::Avx512, 2) => f32_sums::<2>(self, rows),
                (Engine::Avx512, _) => f32_sums::<3>(self, rows),
                (_, 1) => bf16_sums::<1>(self, rows),
                (_, 2) => bf16_sums::<2>(self, rows),
                _ => bf16_sums::<3>(self, rows),
            }
        }
    }
}

macro_rules! sums {
    ($name:ident, $features:literal, |$sum:ident, $left:ident, $right:ident| $step:expr) => {
        /// # Safety
        /// As for [`Kernel::multiply`], with `N` strips.
        #[target_feature(enable = $features)]
        unsafe fn $name<const N: usize>(kernel: &Kernel<'_>, rows: &Rows) {
            let from = rows.from;
            let (stride, run) = (kernel.stride, kernel.run);
            let mut b = kernel.weight;
            let mut sums = [[_mm512_setzero_ps(); N]; Rows::COUNT];
            for &start in kernel.runs {
                for at in start..start + run {
                    let mut right: [__m512i; N] = [_mm512_set1_epi32(0); N];
                    for strip in 0..N {
                        // SAFETY: each strip has an aligned line of 16 words for each word of the runs.
                        right[strip] = unsafe { _mm512_load_si512(b.add(strip * stride).cast()) };
                    }
                    for row in 0..Rows::COUNT {
                        // SAFETY: the window holds the runs of each pixel.
                        let $left = _mm512_set1_epi32(unsafe { *from[row].add(at) } as i32);
                        for strip in 0..N {
                            let ($sum, $right) = (sums[row][strip], right[strip]);
                            sums[row][strip] = $step;
                        }
                    }
                    b = b.wrapping_add(STRIP);
                }
            }
            // Written out here and not in a function: a call would force the sums into memory at every step.
            let last = kernel.cols - (N - 1) * STRIP;
            let mask = if last == STRIP {
                u16::MAX
            } else {
                (1 << last) - 1
            };
            for row in 0..Rows::COUNT {
                if row >= rows.count {
                    break;
                }
                for strip in 0..N {
                    let target = rows.to[row].wrapping_add(strip * STRIP);
                    let mask = if strip == N - 1 { mask } else { u16::MAX };
                    let mut sum = sums[row][strip];
                    // SAFETY: the mask covers only channels that there are.
                    unsafe {
                        if kernel.accumulate {
                            sum = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, target), sum);
                        }
                        _mm512_mask_storeu_ps(target, mask, sum);
                    }
                }
            }
        }
    };
}

sums!(f32_sums, "avx512f", |sum, left, right| _mm512_fmadd_ps(
    _mm512_castsi512_ps(left),
    _mm512_castsi512_ps(right),
    sum
));

sums!(bf16_sums, "avx512f,avx512bf16", |sum, left, right| {
    _mm512_dpbf16_ps(sum, as_bf16(left), as_bf16(right))
});

#[inline(always)]
fn as_bf16(words: __m512i) -> __m512bh {
    // SAFETY: both are 64 bytes of plain bits.
    unsafe { std::mem::transmute(words) }
}

/// Writes pixels of `channels` numbers as words of the engine: as they are, or in pairs of bf16, the last with a zero where there is no
/// partner.
pub(super) fn fill_line(engine: Engine, from: Frames<'_>, channels: usize, to: &mut [u32]) {
    let pixel = engine.words(channels);
    debug_assert_eq!(from.len() / channels.max(1) * pixel, to.len());
    // Where every number has a partner in its own pixel, a line is one long pixel.
    let (channels, pixel) = match channels.is_multiple_of(engine.per_word()) {
        true => (from.len().max(1), to.len().max(1)),
        false => (channels, pixel),
    };
    for (index, to) in to.chunks_exact_mut(pixel).enumerate() {
        match from.part(index * channels, channels.min(from.len())) {
            Frames::F32(from) if !engine.is_bf16() => {
                let bits = from.iter().map(|value| value.to_bits());
                to.iter_mut().zip(bits).for_each(|(to, bits)| *to = bits);
            }
            Frames::Bf16(from) if !engine.is_bf16() => {
                let bits = from.iter().map(|bits| u32::from(*bits) << 16);
                to.iter_mut().zip(bits).for_each(|(to, bits)| *to = bits);
            }
            // SAFETY: the machine has the engine, and the pixel has the words for its numbers.
            Frames::F32(from) => unsafe { round(from, to) },
            Frames::Bf16(from) => pair(from, to),
        }
    }
}

/// Writes numbers in bf16 as pairs, and zeros behind the last.
pub(super) fn pair(from: &[u16], to: &mut [u32]) {
    let (pairs, rest) = from.as_chunks::<2>();
    for (to, [low, high]) in to.iter_mut().zip(pairs) {
        *to = u32::from(*low) | u32::from(*high) << 16;
    }
    let behind = &mut to[pairs.len()..];
    behind.fill(0);
    if let ([last], [to, ..]) = (rest, behind) {
        *to = u32::from(*last);
    }
}

/// Rounds numbers to pairs of bf16.
///
/// # Safety
/// The machine has AVX-512 with BF16, and `to` half as many words as there are numbers, rounded up.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn round(from: &[f32], to: &mut [u32]) {
    for (from, to) in from.chunks(2 * STRIP).zip(to.chunks_mut(STRIP)) {
        let mask = u32::MAX >> (2 * STRIP - from.len());
        let words = u16::MAX >> (STRIP - to.len());
        // SAFETY: the masks cover numbers and words that there are.
        unsafe {
            let low = _mm512_maskz_loadu_ps(mask as u16, from.as_ptr());
            let high =
                _mm512_maskz_loadu_ps((mask >> STRIP) as u16, from.as_ptr().wrapping_add(STRIP));
            let pairs = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low));
            _mm512_mask_storeu_epi32(to.as_mut_ptr().cast(), words, pairs);
        }
    }
}
