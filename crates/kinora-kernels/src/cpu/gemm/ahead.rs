//! Asking for memory before it is needed.

/// Memory that is asked for while tiles are multiplied, so many cache lines a step.
#[cfg_attr(
    not(target_arch = "x86_64"),
    allow(dead_code, reason = "only kernels of tile registers ask")
)]
#[derive(Clone, Copy)]
pub(crate) struct Ahead {
    next: *const u8,
    end: *const u8,
    lines: usize,
}

impl Default for Ahead {
    fn default() -> Self {
        Self {
            next: std::ptr::null(),
            end: std::ptr::null(),
            lines: 0,
        }
    }
}

impl Ahead {
    /// `bytes` from `start` on, spread over `steps`.
    pub(crate) fn new(start: *const u8, bytes: usize, steps: usize) -> Self {
        Self {
            next: start,
            end: start.wrapping_add(bytes),
            lines: bytes.div_ceil(64).div_ceil(steps.max(1)),
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(crate) fn step(&mut self) {
        for _ in 0..self.lines {
            if self.next >= self.end {
                self.lines = 0;
                return;
            }
            // SAFETY: a prefetch reads nothing, whatever the address.
            unsafe {
                use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
                _mm_prefetch::<_MM_HINT_T1>(self.next.cast());
            }
            self.next = self.next.wrapping_add(64);
        }
    }
}
