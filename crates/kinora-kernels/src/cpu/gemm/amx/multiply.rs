//! Products of tiles.

use std::arch::asm;

use super::STRIP;
use crate::cpu::gemm::Ahead;

/// How operands lie in the first-level cache.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Streamed {
    /// As they come.
    Neither,
    /// The right one stays, while the left one comes from the second level and is not wanted again soon. It is loaded with a hint that
    /// keeps it from driving out the other, which makes products of long sums a quarter faster.
    Left,
    /// The other way round.
    Right,
}

/// Adds the products of two tiles of `A` and two of `B`, aligned and packed, at each step; `t1` marks an operand that is streamed.
macro_rules! multiply_add {
    ($dot:literal, $left:literal, $right:literal, $steps:ident, $a:ident, $b:ident, $ahead:ident) => {
        for step in 0..$steps {
            let at = step * STRIP * STRIP;
            asm!(
                concat!("tileloadd", $left, " tmm4, [{a0} + {line}*1]"),
                concat!("tileloadd", $right, " tmm6, [{b0} + {line}*1]"),
                concat!($dot, " tmm0, tmm4, tmm6"),
                concat!("tileloadd", $right, " tmm7, [{b1} + {line}*1]"),
                concat!($dot, " tmm1, tmm4, tmm7"),
                concat!("tileloadd", $left, " tmm5, [{a1} + {line}*1]"),
                concat!($dot, " tmm2, tmm5, tmm6"),
                concat!($dot, " tmm3, tmm5, tmm7"),
                a0 = in(reg) $a[0].wrapping_add(at), a1 = in(reg) $a[1].wrapping_add(at),
                b0 = in(reg) $b[0].wrapping_add(at), b1 = in(reg) $b[1].wrapping_add(at), line = in(reg) 64usize,
                options(nostack, preserves_flags, readonly),
            );
            $ahead.step();
        }
    };
}

/// 32 × 32 sums over `steps` tiles of 16 words, from zero or from `start`, into `to`; both are blocks with 32 columns.
///
/// # Safety
/// Panels and strips are packed and 64-byte aligned, the blocks are there, and a [`TileConfig`] is loaded on this thread.
#[inline]
pub(crate) unsafe fn multiply(
    streamed: Streamed,
    steps: usize,
    a: [*const u32; 2],
    b: [*const u32; 2],
    start: Option<*const f32>,
    to: *mut f32,
    ahead: &mut Ahead,
) {
    // SAFETY: promised by the caller; tile registers are ours from one end of this function to the other.
    unsafe {
        match start {
            Some(start) => load(start),
            None => zero(),
        }
        match streamed {
            Streamed::Neither => multiply_add!("tdpbf16ps", "", "", steps, a, b, ahead),
            Streamed::Left => multiply_add!("tdpbf16ps", "t1", "", steps, a, b, ahead),
            Streamed::Right => multiply_add!("tdpbf16ps", "", "t1", steps, a, b, ahead),
        }
        store(to);
    }
}

/// [`multiply`] of signed 8-bit numbers, four to a word, with the left operand streamed; sums are `i32`.
///
/// # Safety
/// As for [`multiply`], and the machine multiplies 8-bit tiles.
#[inline]
pub(crate) unsafe fn multiply_int8(
    steps: usize,
    a: [*const u32; 2],
    b: [*const u32; 2],
    start: Option<*const i32>,
    to: *mut i32,
    ahead: &mut Ahead,
) {
    // SAFETY: promised by the caller; sums are words either way.
    unsafe {
        match start {
            Some(start) => load(start.cast()),
            None => zero(),
        }
        multiply_add!("tdpbssd", "t1", "", steps, a, b, ahead);
        store(to.cast());
    }
}

/// [`multiply`] where the rows of `A` are not packed: its tile of step `i` begins `offsets[i]` bytes behind `a`, its rows are `stride`
/// bytes apart, 64-byte aligned. They are streamed as [`Streamed::Left`] says.
///
/// # Safety
/// As for [`multiply`]; 32 rows can be read at each offset.
#[inline]
pub(crate) unsafe fn multiply_rows(
    offsets: &[usize],
    a: *const u8,
    stride: usize,
    b: [*const u32; 2],
    start: Option<*const f32>,
    to: *mut f32,
    ahead: &mut Ahead,
) {
    // SAFETY: promised by the caller.
    unsafe {
        match start {
            Some(start) => load(start),
            None => zero(),
        }
        for (step, offset) in offsets.iter().enumerate() {
            let a0 = a.wrapping_add(*offset);
            let at = step * STRIP * STRIP;
            asm!(
                "tileloaddt1 tmm4, [{a0} + {stride}*1]",
                "tileloadd tmm6, [{b0} + {line}*1]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b1} + {line}*1]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloaddt1 tmm5, [{a1} + {stride}*1]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                a0 = in(reg) a0, a1 = in(reg) a0.wrapping_add(STRIP * stride), stride = in(reg) stride,
                b0 = in(reg) b[0].wrapping_add(at), b1 = in(reg) b[1].wrapping_add(at), line = in(reg) 64usize,
                options(nostack, preserves_flags, readonly),
            );
            ahead.step();
        }
        store(to);
    }
}

/// Clears the tiles of sums.
///
/// # Safety
/// Tiles are configured.
#[inline(always)]
unsafe fn zero() {
    // SAFETY: promised by the caller.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            options(nostack, preserves_flags, nomem)
        );
    }
}

/// Reads the tiles of sums from a block of 32 × 32.
///
/// # Safety
/// Tiles are configured, and the block is there.
#[inline(always)]
unsafe fn load(from: *const f32) {
    // SAFETY: promised by the caller.
    unsafe {
        asm!(
            "tileloadd tmm0, [{c} + {line}*1]",
            "tileloadd tmm1, [{c} + {line}*1 + 64]",
            "tileloadd tmm2, [{c} + {line}*1 + 2048]",
            "tileloadd tmm3, [{c} + {line}*1 + 2112]",
            c = in(reg) from, line = in(reg) 128usize,
            options(nostack, preserves_flags, readonly),
        );
    }
}

/// Writes the tiles of sums as a block of 32 × 32.
///
/// # Safety
/// Tiles are configured, and the block is writable.
#[inline(always)]
unsafe fn store(to: *mut f32) {
    // SAFETY: promised by the caller.
    unsafe {
        asm!(
            "tilestored [{c} + {line}*1], tmm0",
            "tilestored [{c} + {line}*1 + 64], tmm1",
            "tilestored [{c} + {line}*1 + 2048], tmm2",
            "tilestored [{c} + {line}*1 + 2112], tmm3",
            c = in(reg) to, line = in(reg) 128usize,
            options(nostack, preserves_flags),
        );
    }
}
