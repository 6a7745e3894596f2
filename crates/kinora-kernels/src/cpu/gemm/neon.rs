//! Micro-kernels with 128-bit vectors: 6 rows × 16 columns, 24 sums in registers.
//!
//! Four words of each row come in one register and are multiplied lane by lane: 22 loads for 96 multiply-adds, 4.4 for each register that is
//! loaded. Columns are taken four at a time, so that sums, six rows and two registers of columns fill the 32 there are.
//!
//! The f32 and the bf16 kernel differ in one instruction, because a word of the packed layout is either one f32 or a pair of bf16 along
//! the summed axis.

use std::arch::aarch64::{float32x4_t, vdupq_n_f32, vfmaq_laneq_f32, vld1q_f32, vst1q_f32};
use std::arch::asm;

use super::block::Out;
use super::engine::{Engine, STRIP};

const ROWS: usize = Engine::Neon.tile_rows();
/// Words in a register.
const LANES: usize = 4;
/// Registers that a row of columns takes.
const PARTS: usize = STRIP / LANES;

/// Lane `$lane` of all rows times the row of `$b` that belongs to it.
macro_rules! step {
    ($sums:ident, $rows:ident, $b:ident, $multiply:ident, $lane:literal) => {
        for part in 0..PARTS {
            // SAFETY: the strip holds 16 columns for each word, padding included.
            let columns = unsafe { vld1q_f32($b.add($lane * STRIP + part * LANES)) };
            for row in 0..ROWS {
                $sums[row][part] = $multiply::<$lane>($sums[row][part], columns, $rows[row]);
            }
        }
    };
}

macro_rules! kernel {
    ($(#[$doc:meta])* $name:ident, $features:literal, $multiply:ident) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// As for [`super::block::multiply`].
        #[target_feature(enable = $features)]
        pub(super) unsafe fn $name(words: usize, a: *const u32, b: *const u32, out: Out) {
            let (mut a, mut b) = (a.cast::<f32>(), b.cast::<f32>());
            let mut sums = [[vdupq_n_f32(0.0); PARTS]; ROWS];
            // Behind the last word both operands are padded with zeros.
            let mut left = words.next_multiple_of(LANES);
            while left > 0 {
                let steps = left.min(STRIP);
                for first in (0..steps).step_by(LANES) {
                    let mut rows = [vdupq_n_f32(0.0); ROWS];
                    for row in 0..ROWS {
                        // SAFETY: the tile holds 16 words of each row.
                        rows[row] = unsafe { vld1q_f32(a.add(row * STRIP + first)) };
                    }
                    step!(sums, rows, b, $multiply, 0);
                    step!(sums, rows, b, $multiply, 1);
                    step!(sums, rows, b, $multiply, 2);
                    step!(sums, rows, b, $multiply, 3);
                    b = b.wrapping_add(LANES * STRIP);
                }
                a = a.wrapping_add(STRIP * ROWS);
                left -= steps;
            }
            let mut plain = [[0.0f32; STRIP]; ROWS];
            for row in 0..ROWS {
                for part in 0..PARTS {
                    // SAFETY: a row of `plain` has 16 elements.
                    unsafe { vst1q_f32(plain[row].as_mut_ptr().add(part * LANES), sums[row][part]) };
                }
            }
            // SAFETY: the tile is writable.
            unsafe { super::portable::store(&plain, out) };
        }
    };
}

kernel!(
    /// A tile of f32 products.
    kernel_f32,
    "neon",
    vfmaq_laneq_f32
);

kernel!(
    /// A tile of bf16 products with f32 sums.
    kernel_bf16,
    "neon,bf16",
    bfdot
);

/// `sum + right·left[LANE]`, where each word is a pair of bf16. The intrinsic is not stable.
#[inline]
#[target_feature(enable = "neon,bf16")]
fn bfdot<const LANE: i32>(
    mut sum: float32x4_t,
    right: float32x4_t,
    left: float32x4_t,
) -> float32x4_t {
    // SAFETY: the instruction reads and writes these registers alone; the caller has bf16 products.
    unsafe {
        asm!("bfdot {sum:v}.4s, {right:v}.8h, {left:v}.2h[{lane}]", sum = inout(vreg) sum, right = in(vreg) right,
            left = in(vreg) left, lane = const LANE, options(pure, nomem, nostack));
    }
    sum
}
