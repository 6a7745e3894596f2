//! The allocator of the process, and how long it keeps memory that was freed.

use std::ffi::c_long;
use std::time::Duration;

use libmimalloc_sys::{mi_option_set, mi_option_t};

/// What programs name as their global allocator. A network allocates a tensor per operation; the system's allocator hands such large
/// blocks back at once, and each costs its page faults again.
pub use mimalloc::MiMalloc as Allocator;

/// `mi_option_purge_delay` of `mimalloc.h`, which the bindings do not name.
const PURGE_DELAY: mi_option_t = 15;

/// For how long a process that samples and decodes should keep freed memory: the next window or frame asks for it again.
pub const MEMORY_KEPT: Duration = Duration::from_secs(10);

/// Lets the process keep freed memory for so long before the system has it back; `None` for good. A mapping that was handed back in part
/// also loses its huge pages. Does nothing where [`Allocator`] is not the global one.
pub fn keep_freed_memory(duration: Option<Duration>) {
    let milliseconds = duration.map(|duration| duration.as_millis().try_into());
    let delay: c_long = match milliseconds {
        Some(Ok(delay)) => delay,
        // Never, or after longer than can be said.
        Some(Err(_)) | None => -1,
    };
    // SAFETY: options may be set at any time, from any thread (`mimalloc.h`).
    unsafe { mi_option_set(PURGE_DELAY, delay) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use libmimalloc_sys::mi_option_get;

    #[test]
    fn the_delay_is_set() {
        let read = || {
            // SAFETY: as above.
            unsafe { mi_option_get(PURGE_DELAY) }
        };
        // That of `options.c`: the number names the option that is meant.
        if std::env::var_os("MIMALLOC_PURGE_DELAY").is_none() {
            assert_eq!(read(), 1000);
        }
        keep_freed_memory(Some(Duration::from_secs(7)));
        assert_eq!(read(), 7000);
        keep_freed_memory(None);
        assert_eq!(read(), -1);
    }
}
