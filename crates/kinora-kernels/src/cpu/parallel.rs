//! Work on rayon's pool.

use rayon::prelude::*;

/// Below this many elementary operations the calling thread works alone: waking another costs about 10 µs.
pub(crate) const PARALLEL_COST: usize = 1 << 18;

/// Runs `task` for `0..count`, on the pool when `cost` (operations in all) is worth it.
pub(crate) fn for_each(count: usize, cost: usize, task: impl Fn(usize) + Sync) {
    if count < 2 || cost < PARALLEL_COST || rayon::current_num_threads() == 1 {
        (0..count).for_each(task);
    } else {
        (0..count).into_par_iter().with_max_len(1).for_each(&task);
    }
}

/// A pointer that tasks writing to disjoint places share.
#[derive(Clone, Copy)]
pub(crate) struct Shared<T>(*mut T);

// SAFETY: whoever dereferences the pointer promises disjoint places (see `Shared::get`).
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    pub(crate) fn new(data: &mut [T]) -> Self {
        Self(data.as_mut_ptr())
    }

    pub(crate) const fn from_ptr(ptr: *mut T) -> Self {
        Self(ptr)
    }

    /// The pointer. Two tasks must not write the same place, nor one read what another writes.
    pub(crate) const fn get(self) -> *mut T {
        self.0
    }

    /// The elements `start..start + len`.
    ///
    /// # Safety
    /// They lie inside the slice this was made from, which is still borrowed, and no other task touches them.
    pub(crate) unsafe fn slice<'a>(self, start: usize, len: usize) -> &'a mut [T] {
        // SAFETY: promised by the caller.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(start), len) }
    }
}
