//! Blocks of 32 × 32 sums, on whichever instructions.

use super::{PER_WORD, STRIP};
use crate::cpu::gemm::Ahead;
#[cfg(target_arch = "x86_64")]
use crate::cpu::gemm::amx::Sums;
use crate::cpu::level::Level;
use crate::cpu::scratch::Scratch;

/// Rows and columns of a block.
pub(super) const TILE: usize = 2 * STRIP;

/// What multiplies.
#[allow(dead_code, reason = "each architecture chooses among its own")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Engine {
    /// Whatever the compiler makes of it.
    Portable,
    /// `sdot`: signed numbers, four columns to a register.
    Dot,
    /// Numbers widened to 16 bits, `vpmaddwd`.
    Avx2,
    /// `vpdpbusd`: the left operand without sign, 128 above what it is.
    Vnni,
    /// `tdpbssd`.
    Amx,
}

/// What an engine needs while it works.
pub(super) enum Ready {
    Nothing,
    #[cfg(target_arch = "x86_64")]
    Tiles(#[allow(dead_code)] crate::cpu::gemm::amx::TileConfig),
}

impl Engine {
    /// The engine of a level.
    ///
    /// # Panics
    /// When the machine lacks the level.
    pub(super) fn new(level: Level) -> Self {
        assert!(level.is_available(), "this machine lacks {}", level.name());
        #[cfg(target_arch = "x86_64")]
        {
            if level >= Level::Amx && crate::cpu::gemm::amx::has_int8() {
                return Self::Amx;
            }
            if level >= Level::Avx512 && is_x86_feature_detected!("avx512vnni") {
                return Self::Vnni;
            }
            if level >= Level::Avx2 {
                return Self::Avx2;
            }
        }
        #[cfg(target_arch = "aarch64")]
        if level >= Level::Neon && std::arch::is_aarch64_feature_detected!("dotprod") {
            return Self::Dot;
        }
        Self::Portable
    }

    /// What is added to each number of the left operand.
    pub(super) const fn offset(self) -> i32 {
        match self {
            Self::Vnni => 128,
            _ => 0,
        }
    }

    /// As [`crate::cpu::gemm::Engine::cost_shift`].
    pub(super) const fn cost_shift(self) -> u32 {
        match self {
            Self::Portable => 2,
            Self::Avx2 => 4,
            Self::Dot => 5,
            Self::Vnni => 6,
            Self::Amx => 7,
        }
    }

    pub(super) fn prepare(self) -> Ready {
        #[cfg(target_arch = "x86_64")]
        if self == Self::Amx {
            // SAFETY: the engine is chosen only where the machine has tiles.
            return Ready::Tiles(unsafe { crate::cpu::gemm::amx::TileConfig::load() });
        }
        Ready::Nothing
    }

    /// Makes the sums of two panels and two strips over `steps` tiles, or adds them to those of the block.
    ///
    /// # Safety
    /// The operands are packed for whole tiles, 64-byte aligned; the machine has the engine, and what [`Engine::prepare`] gave is held.
    pub(super) unsafe fn multiply(
        self,
        steps: usize,
        a: [*const u32; 2],
        b: [*const u32; 2],
        adds: bool,
        block: &mut Block,
        ahead: &mut Ahead,
    ) {
        let _ = &ahead;
        if !adds && self != Self::Amx {
            block.0.fill([0; TILE]);
        }
        // SAFETY: promised by the caller.
        unsafe {
            match self {
                Self::Portable => portable(steps, a, b, block),
                #[cfg(target_arch = "aarch64")]
                Self::Dot => aarch64::dot(steps, a, b, block),
                #[cfg(target_arch = "x86_64")]
                Self::Avx2 => x86::avx2(steps, a, b, block),
                #[cfg(target_arch = "x86_64")]
                Self::Vnni => x86::vnni(steps, a, b, block),
                #[cfg(target_arch = "x86_64")]
                Self::Amx => {
                    use crate::cpu::gemm::amx::multiply_int8;
                    let to = block.0.as_mut_ptr().cast::<i32>();
                    let start = adds.then_some(to.cast_const());
                    multiply_int8(steps, a, b, start, to, ahead);
                }
                _ => unreachable!("engines of another architecture are never chosen"),
            }
        }
    }
}

/// Sums of a block.
#[repr(C, align(64))]
pub(super) struct Block([[i32; TILE]; TILE]);

impl Block {
    /// The first `count` blocks of scratch.
    pub(super) fn all(scratch: &mut Scratch, count: usize) -> &mut [Self] {
        assert!(count * TILE * TILE <= scratch.len());
        // SAFETY: scratch is 64-byte aligned words, of which each pattern of bits is an `i32`, and long enough.
        unsafe { std::slice::from_raw_parts_mut(scratch.as_mut_ptr().cast(), count) }
    }

    pub(super) fn rows(&mut self) -> &mut [[i32; TILE]] {
        &mut self.0
    }

    /// What became of the sums of a row.
    pub(super) fn line(&self, row: usize) -> [f32; TILE] {
        self.0[row].map(|bits| f32::from_bits(bits.cast_unsigned()))
    }

    /// What became of all.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn sums(&self) -> &Sums {
        // SAFETY: both are 4 KiB of aligned words, of which each pattern of bits is an `f32`.
        unsafe { &*std::ptr::from_ref(self).cast::<Sums>() }
    }
}

/// # Safety
/// As for [`Engine::multiply`].
unsafe fn portable(steps: usize, a: [*const u32; 2], b: [*const u32; 2], block: &mut Block) {
    for (row, sums) in block.0.iter_mut().enumerate() {
        for (side, sums) in sums.chunks_exact_mut(STRIP).enumerate() {
            for word in 0..steps * STRIP {
                let at = word / STRIP * STRIP * STRIP + row % STRIP * STRIP + word % STRIP;
                // SAFETY: promised by the caller: a tile has 16 rows of 16 words, a strip 16 words in each of its rows.
                let (left, right) = unsafe {
                    (
                        *a[row / STRIP].add(at),
                        std::slice::from_raw_parts(b[side].add(word * STRIP), STRIP),
                    )
                };
                let left = left.to_le_bytes().map(|byte| i32::from(byte as i8));
                for (sum, right) in sums.iter_mut().zip(right) {
                    let right = right.to_le_bytes().map(|byte| i32::from(byte as i8));
                    *sum += (0..PER_WORD).map(|i| left[i] * right[i]).sum::<i32>();
                }
            }
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod aarch64 {
    use std::arch::aarch64::{int32x4_t, vld1q_s32, vst1q_s32};
    use std::arch::asm;

    use super::{Block, STRIP, TILE};

    /// Rows whose sums are held in registers: with eight columns 16 of 32. Four words of each row come at once, so there are four products
    /// for each register that is loaded.
    const ROWS: usize = 8;
    /// Words in a register.
    const LANES: usize = 4;
    /// Registers of columns.
    const PARTS: usize = 2;

    /// Lane `$lane` of all rows times the row of `$right` that belongs to it.
    macro_rules! step {
        ($sums:ident, $rows:ident, $right:ident, $lane:literal) => {
            for part in 0..PARTS {
                // SAFETY: a strip has 16 columns for each word.
                let columns = unsafe { vld1q_s32($right.add($lane * STRIP + part * LANES)) };
                for row in 0..ROWS {
                    $sums[row][part] = sdot::<$lane>($sums[row][part], columns, $rows[row]);
                }
            }
        };
    }

    /// Eight rows × eight columns at a time.
    ///
    /// # Safety
    /// As for [`super::Engine::multiply`].
    #[target_feature(enable = "neon,dotprod")]
    pub(super) unsafe fn dot(
        steps: usize,
        a: [*const u32; 2],
        b: [*const u32; 2],
        block: &mut Block,
    ) {
        const COLS: usize = LANES * PARTS;
        for first in (0..TILE).step_by(ROWS) {
            for col in (0..TILE).step_by(COLS) {
                let left = a[first / STRIP].wrapping_add(first % STRIP * STRIP);
                let (mut left, mut right) = (
                    left.cast::<i32>(),
                    b[col / STRIP].wrapping_add(col % STRIP).cast::<i32>(),
                );
                let mut sums: [[_; PARTS]; ROWS] = std::array::from_fn(|row| {
                    std::array::from_fn(|part| {
                        let from = &block.0[first + row][col + part * LANES..][..LANES];
                        // SAFETY: four sums of the block.
                        unsafe { vld1q_s32(from.as_ptr()) }
                    })
                });
                for _ in 0..steps {
                    for word in (0..STRIP).step_by(LANES) {
                        let rows: [_; ROWS] = std::array::from_fn(|row| {
                            // SAFETY: promised by the caller: a tile has 16 words of each row.
                            unsafe { vld1q_s32(left.add(row * STRIP + word)) }
                        });
                        step!(sums, rows, right, 0);
                        step!(sums, rows, right, 1);
                        step!(sums, rows, right, 2);
                        step!(sums, rows, right, 3);
                        right = right.wrapping_add(LANES * STRIP);
                    }
                    left = left.wrapping_add(STRIP * STRIP);
                }
                for (row, sums) in sums.into_iter().enumerate() {
                    for (part, sum) in sums.into_iter().enumerate() {
                        let to = &mut block.0[first + row][col + part * LANES..][..LANES];
                        // SAFETY: four sums of the block.
                        unsafe { vst1q_s32(to.as_mut_ptr(), sum) };
                    }
                }
            }
        }
    }

    /// `sum + right·left[LANE]`, where each word is four signed numbers. The intrinsic is not stable.
    #[inline]
    #[target_feature(enable = "neon,dotprod")]
    fn sdot<const LANE: i32>(mut sum: int32x4_t, right: int32x4_t, left: int32x4_t) -> int32x4_t {
        // SAFETY: the instruction reads and writes these registers alone; the caller has dot products.
        unsafe {
            asm!("sdot {sum:v}.4s, {right:v}.16b, {left:v}.4b[{lane}]", sum = inout(vreg) sum, right = in(vreg) right,
                left = in(vreg) left, lane = const LANE, options(pure, nomem, nostack, preserves_flags));
        }
        sum
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m128i, __m256i, _mm_cvtepi8_epi16, _mm_cvtsi32_si128, _mm_loadu_si128, _mm256_add_epi32,
        _mm256_broadcastq_epi64, _mm256_cvtepi8_epi16, _mm256_hadd_epi32, _mm256_loadu_si256,
        _mm256_madd_epi16, _mm256_permute4x64_epi64, _mm256_setzero_si256, _mm256_storeu_si256,
        _mm512_dpbusd_epi32, _mm512_load_si512, _mm512_set1_epi32, _mm512_store_si512,
    };

    use super::{Block, STRIP, TILE};

    /// Rows whose sums are held in registers, 16 of 32: eight rows, two strips.
    const VNNI_ROWS: usize = 8;
    /// Two rows of 16 columns: eight sums of pairs, four operands of the strip.
    const AVX2_ROWS: usize = 2;

    /// # Safety
    /// As for [`super::Engine::multiply`].
    #[target_feature(enable = "avx512f,avx512vnni")]
    pub(super) unsafe fn vnni(
        steps: usize,
        a: [*const u32; 2],
        b: [*const u32; 2],
        block: &mut Block,
    ) {
        for first in (0..TILE).step_by(VNNI_ROWS) {
            let mut left = a[first / STRIP].wrapping_add(first % STRIP * STRIP);
            let mut right = b;
            // SAFETY: promised by the caller; rows of a block and of a strip are aligned.
            unsafe {
                let at = |row: usize, side: usize| block.0[first + row].as_ptr().add(side * STRIP);
                let mut sums: [[_; 2]; VNNI_ROWS] = std::array::from_fn(|row| {
                    [0, 1].map(|side| _mm512_load_si512(at(row, side).cast()))
                });
                for _ in 0..steps {
                    for _ in 0..STRIP {
                        let numbers = right.map(|strip| _mm512_load_si512(strip.cast()));
                        for (row, sums) in sums.iter_mut().enumerate() {
                            let word = _mm512_set1_epi32(*left.add(row * STRIP) as i32);
                            sums[0] = _mm512_dpbusd_epi32(sums[0], word, numbers[0]);
                            sums[1] = _mm512_dpbusd_epi32(sums[1], word, numbers[1]);
                        }
                        left = left.wrapping_add(1);
                        right = right.map(|strip| strip.wrapping_add(STRIP));
                    }
                    left = left.wrapping_add(STRIP * STRIP - STRIP);
                }
                for (row, sums) in sums.into_iter().enumerate() {
                    let to = block.0[first + row].as_mut_ptr();
                    _mm512_store_si512(to.cast(), sums[0]);
                    _mm512_store_si512(to.add(STRIP).cast(), sums[1]);
                }
            }
        }
    }

    /// # Safety
    /// As for [`super::Engine::multiply`].
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn avx2(
        steps: usize,
        a: [*const u32; 2],
        b: [*const u32; 2],
        block: &mut Block,
    ) {
        for first in (0..TILE).step_by(AVX2_ROWS) {
            for (side, strip) in b.into_iter().enumerate() {
                let mut left = a[first / STRIP].wrapping_add(first % STRIP * STRIP);
                let mut right = strip;
                // Of four columns each: two sums of two products a column.
                let mut sums = [[_mm256_setzero_si256(); 4]; AVX2_ROWS];
                for _ in 0..steps {
                    for _ in 0..STRIP {
                        // SAFETY: promised by the caller.
                        unsafe {
                            let numbers: [__m256i; 4] = std::array::from_fn(|part| {
                                let four: *const __m128i = right.wrapping_add(4 * part).cast();
                                _mm256_cvtepi8_epi16(_mm_loadu_si128(four))
                            });
                            for (row, sums) in sums.iter_mut().enumerate() {
                                let word = _mm_cvtsi32_si128(*left.add(row * STRIP) as i32);
                                let word = _mm256_broadcastq_epi64(_mm_cvtepi8_epi16(word));
                                for (sum, numbers) in sums.iter_mut().zip(numbers) {
                                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(numbers, word));
                                }
                            }
                        }
                        left = left.wrapping_add(1);
                        right = right.wrapping_add(STRIP);
                    }
                    left = left.wrapping_add(STRIP * STRIP - STRIP);
                }
                for (row, sums) in sums.into_iter().enumerate() {
                    for half in 0..2 {
                        // Sums of a column lie beside each other; adding them leaves columns 0, 1, 4, 5, 2, 3, 6, 7.
                        let eight = _mm256_hadd_epi32(sums[2 * half], sums[2 * half + 1]);
                        let eight = _mm256_permute4x64_epi64::<0b11_01_10_00>(eight);
                        let to = &mut block.0[first + row][side * STRIP + half * 8..][..8];
                        let to: *mut __m256i = to.as_mut_ptr().cast();
                        // SAFETY: eight sums of the block.
                        unsafe {
                            let before = _mm256_loadu_si256(to);
                            _mm256_storeu_si256(to, _mm256_add_epi32(before, eight));
                        }
                    }
                }
            }
        }
    }
}
