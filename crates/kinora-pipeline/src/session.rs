//! Sessions: finished windows on disk, so that work that was cut off goes on where it was.
//!
//! A session is a folder, named by a hash of all that decides the latents of a clip. It holds what the caller needs to find the
//! work again (`session.json`) and a file for each finished window. Each appears whole or not at all. A lock keeps two processes from
//! working on one session; it ends with the process, however that ends.

use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use kinora_models::weights::{self, Storage, TensorMap, Values};

use crate::Error;

const ABOUT: &str = "session.json";
const LOCK: &str = "lock";
const LATENTS: &str = "latents";

/// Finished windows of one clip.
#[derive(Debug)]
pub struct Session {
    folder: PathBuf,
    about: String,
    /// Held as long as the session is open.
    lock: File,
    finished: Vec<bool>,
}

/// A session that stands on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The name of its folder.
    pub id: String,
    /// What the caller wrote about it.
    pub about: String,
    /// Finished windows.
    pub windows: usize,
    /// Whether a process works on it.
    pub is_open: bool,
}

impl Session {
    /// Opens session `id` in the folder `sessions`; it is made where it is missing, when the first window is saved. `about` is what
    /// [`Found`] will say; one that is there stays as it is.
    ///
    /// # Errors
    ///
    /// [`Error::SessionOpen`] where another process works on it, [`Error::Session`] where it cannot be written.
    pub fn open(sessions: &Path, id: &str, about: &str) -> Result<Self, Error> {
        let folder = sessions.join(id);
        fs::create_dir_all(&folder).map_err(failed(&folder))?;
        let lock_file = folder.join(LOCK);
        let options = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_file);
        let lock = options.map_err(failed(&lock_file))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::SessionOpen { id: id.into() }),
            Err(TryLockError::Error(error)) => return Err(failed(&lock_file)(error)),
        }
        if !lock_file.is_file() {
            // Whoever held it removed the session meanwhile.
            return Self::open(sessions, id, about);
        }
        Ok(Self {
            folder,
            about: about.into(),
            lock,
            finished: Vec::new(),
        })
    }

    /// Finished windows.
    pub fn windows(&self) -> usize {
        finished_windows(&self.folder)
    }

    /// Looks which of `windows` windows are finished.
    pub(crate) fn begin(&mut self, windows: usize) {
        self.finished = (0..windows)
            .map(|number| self.window_file(number).is_file())
            .collect();
    }

    /// Whether window `number` was finished at the beginning.
    pub(crate) fn has(&self, number: usize) -> bool {
        self.finished.get(number).copied().unwrap_or(false)
    }

    /// Latents of a finished window.
    ///
    /// # Errors
    ///
    /// [`Error::SessionDamaged`] where they are of another shape or cannot be read.
    pub(crate) fn load(
        &self,
        number: usize,
        shape: [usize; 5],
        device: &Device,
    ) -> Result<Tensor<5>, Error> {
        let damaged = || Error::SessionDamaged {
            folder: self.folder.clone(),
        };
        let bytes = fs::read(self.window_file(number)).map_err(failed(&self.folder))?;
        let (mut tensors, _) = weights::from_bytes(&bytes).map_err(|_| damaged())?;
        let values = tensors.remove(LATENTS).ok_or_else(damaged)?;
        if values.shape != shape {
            return Err(damaged());
        }
        Ok(Tensor::from_data(
            TensorData::new(values.data, shape),
            device,
        ))
    }

    /// Saves the latents of a window.
    ///
    /// # Errors
    ///
    /// [`Error::Session`] where they cannot be written.
    pub(crate) fn save(&mut self, number: usize, latents: &Tensor<5>) -> Result<(), Error> {
        let about = self.folder.join(ABOUT);
        if !about.is_file() {
            write_durably(&about, self.about.as_bytes())?;
        }
        let values = Values {
            shape: latents.dims().to_vec(),
            data: latents.to_data().try_into_vec().expect("latents are f32"),
        };
        let tensors = TensorMap::from([(LATENTS.to_owned(), values)]);
        let bytes = weights::to_bytes(&tensors, HashMap::new(), |_| Storage::F32)?;
        write_durably(&self.window_file(number), &bytes)
    }

    /// Removes it: the clip is finished, or nothing of it is worth keeping.
    ///
    /// # Errors
    ///
    /// [`Error::Session`] where it cannot be removed.
    pub fn remove(self) -> Result<(), Error> {
        // Nobody else may find a session without its lock.
        let removed = fs::remove_dir_all(&self.folder).map_err(failed(&self.folder));
        drop(self.lock);
        removed
    }

    fn window_file(&self, number: usize) -> PathBuf {
        self.folder.join(format!("window-{number:05}.safetensors"))
    }
}

/// All sessions in the folder `sessions` that hold a finished window, by id.
///
/// # Errors
///
/// [`Error::Session`] where the folder cannot be read; one that is missing holds none.
pub fn sessions(sessions: &Path) -> Result<Vec<Found>, Error> {
    let entries = match fs::read_dir(sessions) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed(sessions))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let folder = entry.map_err(failed(sessions))?.path();
        let id = folder.file_name().and_then(|name| name.to_str());
        if let (Some(id), Ok(about)) = (id, fs::read_to_string(folder.join(ABOUT))) {
            let lock = File::options().write(true).open(folder.join(LOCK));
            let is_open =
                lock.is_ok_and(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock)));
            found.push(Found {
                id: id.to_owned(),
                about,
                windows: finished_windows(&folder),
                is_open,
            });
        }
    }
    found.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(found)
}

/// Writes a file that is whole or not there, even after the power failed.
fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let temporary = path.with_extension("part");
    let write = || {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().map_err(|error| {
        let _ = fs::remove_file(&temporary);
        failed(path)(error)
    })
}

fn finished_windows(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_window = |name: &std::ffi::OsStr| {
        name.to_str()
            .is_some_and(|name| name.starts_with("window-") && name.ends_with(".safetensors"))
    };
    entries
        .filter(|entry| is_window(&entry.file_name()))
        .count()
}

fn failed(path: &Path) -> impl Fn(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Session {
        path: path.clone(),
        source,
    }
}
