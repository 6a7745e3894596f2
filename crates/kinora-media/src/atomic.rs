//! Outputs that appear whole or not at all.
//!
//! What is written goes to a hidden temporary file beside its final place and takes its name at the end. Dropped before that, it is
//! deleted.

use std::fs;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::{NamedTempFile, TempDir};

use crate::{Error, Result};

const PREFIX: &str = ".kinora-";
const SUFFIX: &str = ".part";
/// Between making a file and locking it there is a moment.
const UNLOCKED_SINCE: Duration = Duration::from_secs(60);

/// A file that takes the name `path` when it is committed.
pub(crate) struct OutputFile {
    path: PathBuf,
    overwrite: bool,
    writer: BufWriter<NamedTempFile>,
}

impl OutputFile {
    /// Opens a temporary file beside `path`, which proves that the place can be written to.
    pub(crate) fn create(path: &Path, overwrite: bool) -> Result<Self> {
        refuse_existing(path, overwrite)?;
        let writer = BufWriter::with_capacity(1 << 18, temporary_file(path)?);
        Ok(Self {
            path: path.into(),
            overwrite,
            writer,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.writer
            .write_all(bytes)
            .map_err(|error| Error::writing(&self.path, error))
    }

    /// Writes `bytes` at `offset`, over what stands there, and goes back to the end.
    pub(crate) fn patch(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let write = |writer: &mut BufWriter<NamedTempFile>| {
            writer.seek(SeekFrom::Start(offset))?;
            writer.write_all(bytes)?;
            writer.seek(SeekFrom::End(0)).map(|_| ())
        };
        write(&mut self.writer).map_err(|error| Error::writing(&self.path, error))
    }

    /// Goes back to the beginning, to be read from there.
    pub(crate) fn rewind(&mut self) -> Result<()> {
        let rewind = |writer: &mut BufWriter<NamedTempFile>| {
            writer.flush()?;
            writer.seek(SeekFrom::Start(0)).map(|_| ())
        };
        rewind(&mut self.writer).map_err(|error| Error::writing(&self.path, error))
    }

    /// Appends the next `bytes` bytes of `other`, which was rewound.
    pub(crate) fn append_next(&mut self, other: &mut OutputFile, bytes: u64) -> Result<()> {
        let copy = |from: &mut BufWriter<NamedTempFile>, to: &mut BufWriter<NamedTempFile>| {
            let mut part = from.get_mut().as_file_mut().take(bytes);
            match io::copy(&mut part, to)? {
                copied if copied == bytes => Ok(()),
                _ => Err(io::ErrorKind::UnexpectedEof.into()),
            }
        };
        copy(&mut other.writer, &mut self.writer).map_err(|error| Error::writing(&self.path, error))
    }

    /// Gives the file its name. Answers how many bytes it has.
    pub(crate) fn commit(mut self) -> Result<u64> {
        let failed = |error| Error::writing(&self.path, error);
        self.writer.flush().map_err(failed)?;
        let file = self
            .writer
            .into_inner()
            .map_err(|error| failed(error.into_error()))?;
        file.as_file().sync_all().map_err(failed)?;
        let bytes = file.as_file().metadata().map_err(failed)?.len();
        persist(file, &self.path, self.overwrite)?;
        Ok(bytes)
    }
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// A hidden folder beside `path`, deleted on drop.
pub(crate) fn temporary_folder(path: &Path) -> Result<TempDir> {
    let folder = parent(path)?;
    let mut builder = builder();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
    builder
        .tempdir_in(&folder)
        .map_err(|source| Error::NotWritable { folder, source })
}

fn temporary_file(path: &Path) -> Result<NamedTempFile> {
    let folder = parent(path)?;
    sweep(&folder);
    let mut builder = builder();
    // A temporary file is private unless told otherwise; the video should be as readable as any other new file.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let file = builder
        .tempfile_in(&folder)
        .map_err(|source| match source.kind() {
            io::ErrorKind::StorageFull => Error::DiskFull { path: path.into() },
            _ => Error::NotWritable { folder, source },
        })?;
    // Says that somebody writes it. Where a file system has no locks nothing is swept either.
    let _ = file.as_file().try_lock();
    Ok(file)
}

/// Removes temporary files of processes that were killed: those that nobody has locked, and that were not made just now.
fn sweep(folder: &Path) {
    let is_old = |path: &Path| {
        let changed = fs::symlink_metadata(path).and_then(|file| file.modified());
        changed.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > UNLOCKED_SINCE))
    };
    let is_left = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX))
            && is_old(path)
            && fs::File::open(path).is_ok_and(|file| file.try_lock().is_ok())
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for path in entries
        .map(|entry| entry.path())
        .filter(|path| is_left(path))
    {
        // Whoever may not remove it leaves it.
        let _ = fs::remove_file(path);
    }
}

fn builder() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX).suffix(SUFFIX);
    builder
}

fn persist(file: NamedTempFile, path: &Path, overwrite: bool) -> Result<()> {
    let persisted = if overwrite {
        file.persist(path)
    } else {
        file.persist_noclobber(path)
    };
    match persisted {
        Ok(_) => Ok(()),
        Err(failed) if failed.error.kind() == io::ErrorKind::AlreadyExists => {
            Err(Error::Exists { path: path.into() })
        }
        Err(failed) => Err(Error::writing(path, failed.error)),
    }
}

/// Fails if something stands at `path` that may not be replaced. A folder is never replaced by a file.
pub(crate) fn refuse_existing(path: &Path, overwrite: bool) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() || !overwrite => Err(Error::Exists { path: path.into() }),
        _ => Ok(()),
    }
}

/// The folder that `path` lies in, which must exist.
pub(crate) fn parent(path: &Path) -> Result<PathBuf> {
    let folder = match path.parent() {
        None => return Err(Error::NoFileName { path: path.into() }),
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
    };
    if !folder.is_dir() {
        return Err(Error::FolderMissing {
            folder: folder.into(),
        });
    }
    Ok(folder.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_appears_when_committed_and_never_when_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        let mut file = OutputFile::create(&path, false).unwrap();
        file.write(b"half").unwrap();
        assert!(!path.exists());
        drop(file);
        assert!(entries(folder.path()).is_empty());

        let mut file = OutputFile::create(&path, false).unwrap();
        file.write(b"0123456789").unwrap();
        file.patch(2, b"xy").unwrap();
        file.write(b"!").unwrap();
        assert_eq!(file.commit().unwrap(), 11);
        assert_eq!(fs::read(&path).unwrap(), b"01xy456789!");
        assert_eq!(entries(folder.path()), ["a.bin"]);
    }

    #[test]
    fn what_stands_there_is_kept_unless_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        // A file that appears while we work is not overwritten either.
        let late = OutputFile::create(&path, false).unwrap();
        fs::write(&path, b"mine").unwrap();
        assert!(matches!(late.commit(), Err(Error::Exists { .. })));
        assert!(matches!(
            OutputFile::create(&path, false),
            Err(Error::Exists { .. })
        ));
        assert_eq!(fs::read(&path).unwrap(), b"mine");
        OutputFile::create(&path, true).unwrap().commit().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"");
        assert!(matches!(
            OutputFile::create(folder.path(), true),
            Err(Error::Exists { .. })
        ));
    }

    #[test]
    fn what_a_killed_process_left_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        let old = |name: &str| {
            let path = folder.path().join(name);
            let file = fs::File::create(&path).unwrap();
            let then = std::time::SystemTime::now() - Duration::from_secs(3600);
            file.set_modified(then).unwrap();
            file
        };
        drop(old(".kinora-left.part"));
        let written = old(".kinora-written.part");
        written.lock().unwrap();
        drop(old("mine.part"));
        let new = fs::File::create(folder.path().join(".kinora-new.part")).unwrap();
        drop(new);
        let path = folder.path().join("a.bin");
        OutputFile::create(&path, false).unwrap().commit().unwrap();
        assert_eq!(
            entries(folder.path()),
            [
                ".kinora-new.part",
                ".kinora-written.part",
                "a.bin",
                "mine.part"
            ]
        );
    }

    #[test]
    fn a_bad_place_is_told_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("no/such/a.bin");
        assert!(matches!(
            OutputFile::create(&missing, false),
            Err(Error::FolderMissing { .. })
        ));
    }
}
