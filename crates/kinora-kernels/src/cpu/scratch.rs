//! Aligned working memory that a thread keeps between calls.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::cell::RefCell;
use std::ptr::NonNull;

const ALIGN: usize = 64;

/// The size of a huge page. Products read scratch at the rate of the second-level cache, a tenth faster from huge pages.
const HUGE: usize = 2 << 20;

/// A 64-byte aligned block of 32-bit words.
pub(crate) struct AlignedWords {
    ptr: NonNull<u32>,
    len: usize,
}

// SAFETY: the block is owned memory of plain words, like a `Vec<u32>`.
unsafe impl Send for AlignedWords {}
// SAFETY: shared access only reads.
unsafe impl Sync for AlignedWords {}

impl AlignedWords {
    /// Room for `len` words of unspecified (but initialised) value.
    pub(crate) fn new(len: usize) -> Self {
        let len = len.max(16);
        let layout = Self::layout(len);
        // Zeroed memory that is new from the system is not touched before threads write it, each its part.
        // SAFETY: the layout has a size above zero.
        let raw = unsafe { alloc_zeroed(layout) };
        if layout.align() == HUGE && !raw.is_null() {
            advise_huge(raw, layout.size());
        }
        let Some(ptr) = NonNull::new(raw.cast::<u32>()) else {
            handle_alloc_error(layout)
        };
        Self { ptr, len }
    }

    fn layout(len: usize) -> Layout {
        let bytes = len * size_of::<u32>();
        let whole = bytes.next_multiple_of(HUGE);
        // Where a huge page would be mostly empty, small ones serve.
        let layout = if whole - bytes <= bytes {
            Layout::from_size_align(whole, HUGE)
        } else {
            Layout::from_size_align(bytes, ALIGN)
        };
        layout.expect("a scratch block fits the address space")
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn as_ptr(&self) -> *const u32 {
        self.ptr.as_ptr()
    }

    pub(crate) fn as_mut_ptr(&mut self) -> *mut u32 {
        self.ptr.as_ptr()
    }
}

/// Asks for huge pages. Where the system has none to give, small ones serve.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn advise_huge(start: *mut u8, bytes: usize) {
    const MADVISE: usize = 28;
    const MADV_HUGEPAGE: usize = 14;
    // SAFETY: this system call changes how the block is mapped, not what it holds.
    unsafe {
        std::arch::asm!("syscall", inlateout("rax") MADVISE => _, in("rdi") start, in("rsi") bytes, in("rdx") MADV_HUGEPAGE,
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn advise_huge(_start: *mut u8, _bytes: usize) {}

impl Drop for AlignedWords {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with the same layout.
        unsafe { dealloc(self.ptr.as_ptr().cast(), Self::layout(self.len)) }
    }
}

thread_local! {
    static POOL: RefCell<Vec<AlignedWords>> = const { RefCell::new(Vec::new()) };
}

/// Words from which a block gets huge pages.
const HUGE_FROM: usize = 1 << 16;

/// Blocks that one thread keeps; more are freed.
const KEPT: usize = 32;

/// A block borrowed from the thread's pool; it returns there when dropped.
///
/// Blocks are taken out of the pool while in use, so a job that rayon runs inside another one gets its own.
pub(crate) struct Scratch(Option<AlignedWords>);

impl Scratch {
    /// At least `len` words with unspecified content.
    pub(crate) fn take(len: usize) -> Self {
        let found = POOL.with_borrow_mut(|pool| {
            let fitting = (0..pool.len())
                .filter(|i| pool[*i].len() >= len)
                .min_by_key(|i| pool[*i].len());
            match fitting {
                Some(index) => Some(pool.swap_remove(index)),
                // Grow the smallest rather than keep one of every size.
                None if pool.len() >= KEPT => {
                    let smallest = (0..pool.len()).min_by_key(|i| pool[*i].len()).unwrap_or(0);
                    drop(pool.swap_remove(smallest));
                    None
                }
                None => None,
            }
        });
        Self(Some(found.unwrap_or_else(|| {
            // Whole huge pages soon: the block is kept, and most are grown into.
            let step = if len < HUGE_FROM { 1024 } else { HUGE / 4 };
            AlignedWords::new(len.next_multiple_of(step))
        })))
    }

    /// Words of the block: as many as were asked for, or more.
    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, AlignedWords::len)
    }

    pub(crate) fn as_ptr(&self) -> *const u32 {
        self.0
            .as_ref()
            .map_or(std::ptr::null(), AlignedWords::as_ptr)
    }

    pub(crate) fn as_mut_ptr(&mut self) -> *mut u32 {
        self.0
            .as_mut()
            .map_or(std::ptr::null_mut(), AlignedWords::as_mut_ptr)
    }

    /// The first `len` words as floats.
    pub(crate) fn floats(&mut self, len: usize) -> &mut [f32] {
        let block = self
            .0
            .as_mut()
            .expect("a scratch block is there until it is dropped");
        assert!(len <= block.len());
        // SAFETY: the block is initialised, aligned, long enough, and borrowed mutably through `self`.
        unsafe { std::slice::from_raw_parts_mut(block.as_mut_ptr().cast::<f32>(), len) }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let Some(block) = self.0.take() else { return };
        // While the thread ends the pool may be gone; then the block is simply freed.
        let _ = POOL.try_with(|pool| {
            if let Ok(mut pool) = pool.try_borrow_mut()
                && pool.len() < KEPT
            {
                pool.push(block);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_aligned_and_reused() {
        let first = {
            let mut block = Scratch::take(100);
            assert_eq!(block.as_ptr() as usize % ALIGN, 0);
            block.floats(100).fill(1.0);
            block.as_ptr() as usize
        };
        let mut again = Scratch::take(90);
        assert_eq!(again.as_ptr() as usize, first);
        let mut nested = Scratch::take(90);
        assert_ne!(nested.as_mut_ptr(), again.as_mut_ptr());
    }
}
