//! Files as bytes in memory, without reading them first.
//!
//! It stands here and not beside the weight files because mapping needs `unsafe`.

use std::fs::File;
use std::ops::{Deref, Range};
use std::path::Path;

use memmap2::Mmap;

/// A file seen as a slice. Pages are read when they are touched, and the system may drop them again, so a large
/// file costs no memory of the process.
///
/// Whoever truncates the file in place while it is mapped ends the process (`SIGBUS`); replacing it by rename,
/// as downloads do, is harmless.
#[derive(Debug)]
pub struct MappedFile {
    /// `None` for an empty file, which cannot be mapped everywhere.
    map: Option<Mmap>,
}

impl MappedFile {
    /// Maps a whole file for reading.
    ///
    /// # Errors
    ///
    /// What the system says where the file cannot be opened or mapped.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let file = File::open(path)?;
        if file.metadata()?.len() == 0 {
            return Ok(Self { map: None });
        }
        // SAFETY: the mapping is private and read only, and is given out as `&[u8]`, of which every pattern of bits
        // is valid. Another process that writes to the file could change bytes behind a reference; weight files are
        // replaced by rename, never written in place, and readers check what they read.
        let map = unsafe { Mmap::map(&file) }?;
        Ok(Self { map: Some(map) })
    }

    /// Lets go of the pages that lie in a range: they are read again when they are touched.
    ///
    /// # Panics
    ///
    /// When the file does not have the range.
    pub fn forget(&self, range: Range<usize>) {
        assert!(range.end <= self.len(), "{range:?} of {} bytes", self.len());
        #[cfg(unix)]
        if let Some(map) = &self.map {
            // Whole pages, of any size that there is.
            const PAGE: usize = 64 << 10;
            let start = range.start.next_multiple_of(PAGE);
            let len = (range.end / PAGE * PAGE).saturating_sub(start);
            // SAFETY: nobody writes to the mapping, so what is read again is what was there. Where the system refuses, the pages stay.
            let _ = unsafe {
                map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, len)
            };
        }
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.map.as_deref().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_the_bytes_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bytes");
        for bytes in [&b"some bytes"[..], b""] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(&*MappedFile::open(&path).unwrap(), bytes);
        }
        let bytes: Vec<u8> = (0..300_000_u32).map(|index| (index % 251) as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let file = MappedFile::open(&path).unwrap();
        for range in [0..300_000, 7..200_000, 5..9, 0..0] {
            assert_eq!(*file, bytes);
            file.forget(range);
        }
        assert_eq!(*file, bytes);
        assert!(MappedFile::open(&folder.path().join("absent")).is_err());
    }
}
