//! Work on rayon's pool.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Below this many elementary operations the calling thread works alone: waking another costs about 10 µs.
pub(crate) const PARALLEL_COST: usize = 1 << 18;

/// Runs `task` for `0..count`, on the pool when `cost` (operations in all) is worth it.
///
/// The calling thread takes part from the first task on; a thread of the pool that wakes after the last task was taken is
/// not waited for.
pub(crate) fn for_each(count: usize, cost: usize, task: impl Fn(usize) + Sync) {
    let threads = rayon::current_num_threads().min(count);
    if threads < 2 || cost < PARALLEL_COST {
        (0..count).for_each(task);
        return;
    }
    let task: &(dyn Fn(usize) + Sync) = &task;
    // SAFETY: only the lifetime is changed; `close` returns after the last thread has left the task for good.
    let task = unsafe {
        std::mem::transmute::<&(dyn Fn(usize) + Sync), &'static (dyn Fn(usize) + Sync)>(task)
    };
    let job = Arc::new(Job {
        task,
        count,
        next: AtomicUsize::new(0),
        helpers: AtomicUsize::new(0),
        panic: Mutex::new(None),
    });
    for _ in 1..threads {
        let job = job.clone();
        rayon::spawn(move || job.help());
    }
    job.work();
    job.close();
    let panic = job
        .panic
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    if let Some(panic) = panic {
        resume_unwind(panic);
    }
}

/// Tasks that the calling thread and those of the pool take one after another.
struct Job {
    task: &'static (dyn Fn(usize) + Sync),
    count: usize,
    next: AtomicUsize,
    /// Threads of the pool that are at it; with [`CLOSED`] no more may begin.
    helpers: AtomicUsize,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

const CLOSED: usize = 1 << (usize::BITS - 1);

impl Job {
    /// Takes tasks until there are none. A panic ends all; the first is kept.
    fn work(&self) {
        let run = || {
            loop {
                let index = self.next.fetch_add(1, Ordering::Relaxed);
                if index >= self.count {
                    return;
                }
                (self.task)(index);
            }
        };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(run)) {
            self.next.store(self.count, Ordering::Relaxed);
            self.panic
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get_or_insert(panic);
        }
    }

    fn help(&self) {
        if self.helpers.fetch_add(1, Ordering::Acquire) & CLOSED == 0 {
            self.work();
        }
        self.helpers.fetch_sub(1, Ordering::Release);
    }

    /// Lets nobody begin any more, and waits for those that did.
    fn close(&self) {
        self.helpers.fetch_or(CLOSED, Ordering::AcqRel);
        let mut rounds = 0u32;
        while self.helpers.load(Ordering::Acquire) & !CLOSED != 0 {
            rounds += 1;
            match rounds {
                // About 40 µs, as long as a task of a small product.
                ..1024 => std::hint::spin_loop(),
                1024..1280 => std::thread::yield_now(),
                // Whoever has the last task is held up: others need the processor more.
                _ => std::thread::sleep(Duration::from_micros(50)),
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once_also_within_another() {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(3)
            .build()
            .unwrap();
        let run = || {
            let hits: Vec<AtomicUsize> = (0..100).map(|_| AtomicUsize::new(0)).collect();
            for_each(10, PARALLEL_COST, |outer| {
                for_each(10, PARALLEL_COST, |inner| {
                    hits[outer * 10 + inner].fetch_add(1, Ordering::Relaxed);
                });
            });
            assert!(hits.iter().all(|hits| hits.load(Ordering::Relaxed) == 1));
        };
        run();
        pool.install(run);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(3)
            .build()
            .unwrap();
        for _ in 0..20 {
            let caught = catch_unwind(AssertUnwindSafe(|| {
                pool.install(|| for_each(50, PARALLEL_COST, |task| assert_ne!(task, 17)));
            }));
            assert!(caught.is_err());
        }
        pool.install(|| for_each(50, PARALLEL_COST, |_| {}));
    }
}
