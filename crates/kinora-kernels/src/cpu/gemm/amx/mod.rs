//! Tile registers: whether they may be used, and micro-kernels of 32 rows × 32 columns, four tiles of sums.
//!
//! The intrinsics are not stable, so the instructions stand in inline assembly. Every row of a tile that is loaded is one
//! aligned cache line: unaligned rows would halve the rate.

mod finish;
mod multiply;
mod probe;
mod turned;

pub(crate) use finish::{Finishing, finish};
pub(crate) use multiply::{Streamed, multiply, multiply_int8, multiply_rows};
pub(crate) use probe::{Probe, has_int8, probe};
pub(crate) use turned::Turned;

use std::arch::asm;
use std::mem::MaybeUninit;

use super::engine::STRIP;

/// The tile shapes of the current thread: eight tiles of 16 rows × 64 bytes. Released when dropped.
pub(crate) struct TileConfig(());

impl TileConfig {
    /// # Safety
    /// The machine has AMX and the process may use it.
    pub(crate) unsafe fn load() -> Self {
        #[repr(align(64))]
        struct Config([u8; 64]);
        let mut config = Config([0; 64]);
        config.0[0] = 1; // palette
        for tile in 0..8 {
            config.0[16 + 2 * tile] = 64; // bytes in a row
            config.0[48 + tile] = 16; // rows
        }
        // SAFETY: the configuration is 64 bytes and valid for palette 1.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) config.0.as_ptr(), options(nostack, preserves_flags, readonly))
        };
        Self(())
    }
}

impl Drop for TileConfig {
    fn drop(&mut self) {
        // SAFETY: tiles were configured by `load`; nothing is kept in them between kernels.
        unsafe { asm!("tilerelease", options(nostack, preserves_flags, nomem)) };
    }
}

/// Sums of a tile of `C`, 32 × 32.
#[repr(C, align(64))]
pub(crate) struct Sums([MaybeUninit<f32>; 32 * 32]);

impl Sums {
    pub(crate) const fn new() -> Self {
        Self([const { MaybeUninit::uninit() }; 32 * 32])
    }

    pub(crate) const fn as_ptr(&self) -> *const f32 {
        self.0.as_ptr().cast()
    }

    pub(crate) const fn as_mut_ptr(&mut self) -> *mut f32 {
        self.0.as_mut_ptr().cast()
    }
}

/// Panels or strips: runs of 16 lanes, `stride` words apart.
#[derive(Clone, Copy)]
pub(crate) struct Lanes {
    pub(crate) ptr: *const u32,
    pub(crate) stride: usize,
}

impl Lanes {
    /// The run that lane `lane` of `lanes` begins, and the one after it if there is one.
    #[inline(always)]
    pub(crate) fn pair(self, lane: usize, lanes: usize) -> [*const u32; 2] {
        let first = self.ptr.wrapping_add(lane / STRIP * self.stride);
        // A missing second run is replaced by the first; its sums are not used.
        let second = if lane + STRIP < lanes { self.stride } else { 0 };
        [first, first.wrapping_add(second)]
    }
}
