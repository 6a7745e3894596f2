//! Sessions: finished windows on disk, and how far the next one is, so that work that was cut off goes on where it was.
//!
//! A session is a folder, named by a hash of all that decides the latents of a clip. It holds what the caller needs to find the
//! work again (`session.json`), a file for each finished window, and, of expensive ones, the sampler's state within the window that is
//! being made (`denoising.safetensors`). Each appears whole or not at all. A lock keeps two processes from working on one session; it
//! ends with the process, however that ends.

use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use burn::tensor::{Device, Tensor, TensorData};
use kinora_models::weights::{self, Storage, TensorMap, Values};
use kinora_sampling::{Drift, History};

use crate::Error;
use crate::window::{Answered, Partway};

const ABOUT: &str = "session.json";
const LOCK: &str = "lock";
const LATENTS: &str = "latents";
/// The window that is being made.
const DENOISING: &str = "denoising.safetensors";
/// What its metadata say.
const WINDOW: &str = "window";
const STEPS: &str = "steps";
/// Of each latent frame's solver its steps and how many tensors it remembers, such as `3/2`.
const SOLVERS: &str = "solvers";
/// Of a known frame.
const NO_SOLVER: &str = "-";
/// What guidance carries.
const AVERAGE: &str = "average";
/// The step that the network was asked for last: the network, its velocities, and the bits of how far it is away.
const ANSWERED: &str = "answered";
/// What it was told.
const TOLD: &str = "told";
/// How long a window is denoised before its state is kept where nothing is said.
const KEPT_EVERY: Duration = Duration::from_secs(30);

/// Finished windows of one clip.
#[derive(Debug)]
pub struct Session {
    folder: PathBuf,
    about: String,
    /// Held as long as the session is open.
    lock: File,
    finished: Vec<bool>,
    /// Window and steps of the state within a window.
    begun: Option<(usize, usize)>,
    /// How long a window is denoised before its state is kept.
    kept_every: Duration,
    last_kept: Instant,
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
    /// Finished steps of the next window.
    pub steps: usize,
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
            begun: None,
            kept_every: KEPT_EVERY,
            last_kept: Instant::now(),
        })
    }

    /// The same session, which keeps the state within a window after so much work on it.
    pub fn keeping_every(self, kept_every: Duration) -> Self {
        Self { kept_every, ..self }
    }

    /// Finished steps of the window that is being made.
    pub fn steps(&self) -> usize {
        begun_in(&self.folder).map_or(0, |(_, steps)| steps)
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
        self.begun = begun_in(&self.folder);
        self.last_kept = Instant::now();
    }

    /// Steps of window `number` that were done at the beginning.
    pub(crate) fn steps_of(&self, number: usize) -> usize {
        match self.begun {
            Some((window, steps)) if window == number => steps,
            _ => 0,
        }
    }

    /// How far window `number` was denoised, if it was begun.
    ///
    /// # Errors
    ///
    /// [`Error::SessionDamaged`] where that cannot be read.
    pub(crate) fn partway(&self, number: usize, device: &Device) -> Result<Option<Partway>, Error> {
        if self.steps_of(number) == 0 {
            return Ok(None);
        }
        let bytes = fs::read(self.folder.join(DENOISING)).map_err(failed(&self.folder))?;
        let (mut tensors, metadata) = weights::from_bytes(&bytes).map_err(|_| self.damaged())?;
        let mut tensor = |name: &str| {
            let values = tensors.remove(name)?;
            let shape = <[usize; 5]>::try_from(values.shape).ok()?;
            Some(Tensor::from_data(
                TensorData::new(values.data, shape),
                device,
            ))
        };
        let mut read = || {
            let mut histories = Vec::new();
            for (frame, solver) in metadata.get(SOLVERS)?.split(' ').enumerate() {
                if solver == NO_SOLVER {
                    histories.push(None);
                    continue;
                }
                let (steps, count) = solver.split_once('/')?;
                let tensors = (0..count.parse().ok()?)
                    .map(|index| tensor(&history_name(&frame.to_string(), index)));
                histories.push(Some(History {
                    steps: steps.parse().ok()?,
                    tensors: tensors.collect::<Option<_>>()?,
                }));
            }
            let answered = match metadata.get(ANSWERED) {
                None => None,
                Some(text) => {
                    let mut numbers = text.split(' ').map(|number| number.parse::<u32>().ok());
                    let mut number = || numbers.next().flatten();
                    let (network, count, bits) = (number()?, number()?, number()?);
                    let velocities =
                        (0..count as usize).map(|index| tensor(&history_name(ANSWERED, index)));
                    Some(Answered {
                        velocities: velocities.collect::<Option<_>>()?,
                        drift: Drift {
                            network: network as usize,
                            told: weights::floats(tensor(TOLD)?),
                            drift: f32::from_bits(bits),
                        },
                    })
                }
            };
            Some(Partway {
                steps: self.steps_of(number),
                latents: tensor(LATENTS)?,
                histories,
                average: tensor(AVERAGE),
                answered,
            })
        };
        match read() {
            Some(partway) => Ok(Some(partway)),
            None => Err(self.damaged()),
        }
    }

    /// Keeps how far window `number` is, if enough was done since it was kept last, or `at_once`.
    ///
    /// # Errors
    ///
    /// [`Error::Session`] where it cannot be written.
    pub(crate) fn keep(
        &mut self,
        number: usize,
        partway: &Partway,
        at_once: bool,
    ) -> Result<(), Error> {
        if !at_once && self.last_kept.elapsed() < self.kept_every {
            return Ok(());
        }
        let mut tensors = TensorMap::from([(LATENTS.to_owned(), values_of(&partway.latents))]);
        let mut solvers = Vec::new();
        for (frame, history) in partway.histories.iter().enumerate() {
            solvers.push(match history {
                Some(history) => format!("{}/{}", history.steps, history.tensors.len()),
                None => NO_SOLVER.to_owned(),
            });
            for (index, tensor) in history.iter().flat_map(|h| &h.tensors).enumerate() {
                tensors.insert(history_name(&frame.to_string(), index), values_of(tensor));
            }
        }
        if let Some(average) = &partway.average {
            tensors.insert(AVERAGE.to_owned(), values_of(average));
        }
        let mut metadata = HashMap::from([
            (WINDOW.to_owned(), number.to_string()),
            (STEPS.to_owned(), partway.steps.to_string()),
            (SOLVERS.to_owned(), solvers.join(" ")),
        ]);
        if let Some(Answered { drift, velocities }) = &partway.answered {
            let numbers = format!(
                "{} {} {}",
                drift.network,
                velocities.len(),
                drift.drift.to_bits()
            );
            metadata.insert(ANSWERED.to_owned(), numbers);
            let told = Values {
                shape: vec![1, 1, 1, 1, drift.told.len()],
                data: drift.told.clone(),
            };
            tensors.insert(TOLD.to_owned(), told);
            for (index, velocity) in velocities.iter().enumerate() {
                tensors.insert(history_name(ANSWERED, index), values_of(velocity));
            }
        }
        self.write_about()?;
        let bytes = weights::to_bytes(&tensors, metadata, |_| Storage::F32)?;
        write_durably(&self.folder.join(DENOISING), &bytes)?;
        self.last_kept = Instant::now();
        Ok(())
    }

    /// # Errors
    ///
    /// Made of what a session holds and should not.
    pub(crate) fn damaged(&self) -> Error {
        Error::SessionDamaged {
            folder: self.folder.clone(),
        }
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
        let bytes = fs::read(self.window_file(number)).map_err(failed(&self.folder))?;
        let (mut tensors, _) = weights::from_bytes(&bytes).map_err(|_| self.damaged())?;
        let values = tensors.remove(LATENTS).ok_or_else(|| self.damaged())?;
        if values.shape != shape {
            return Err(self.damaged());
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
        self.write_about()?;
        let tensors = TensorMap::from([(LATENTS.to_owned(), values_of(latents))]);
        let bytes = weights::to_bytes(&tensors, HashMap::new(), |_| Storage::F32)?;
        write_durably(&self.window_file(number), &bytes)?;
        // A state that outlives its window is passed by.
        let _ = fs::remove_file(self.folder.join(DENOISING));
        self.last_kept = Instant::now();
        Ok(())
    }

    fn write_about(&self) -> Result<(), Error> {
        let about = self.folder.join(ABOUT);
        match about.is_file() {
            true => Ok(()),
            false => write_durably(&about, self.about.as_bytes()),
        }
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
        self.folder.join(window_name(number))
    }
}

/// All sessions in the folder `sessions` that hold something to go on from, by id.
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
                steps: begun_in(&folder).map_or(0, |(_, steps)| steps),
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

fn values_of(tensor: &Tensor<5>) -> Values {
    Values {
        shape: tensor.dims().to_vec(),
        data: tensor.to_data().try_into_vec().expect("latents are f32"),
    }
}

fn history_name(frame: &str, index: usize) -> String {
    format!("{frame}.{index}")
}

/// Number and finished steps of the window that was being made; a damaged file is told of when it is used.
fn begun_in(folder: &Path) -> Option<(usize, usize)> {
    let metadata = weights::metadata(&folder.join(DENOISING)).ok()?;
    let number = |name: &str| metadata.get(name)?.parse::<usize>().ok();
    let window = number(WINDOW)?;
    let is_made = folder.join(window_name(window)).is_file();
    (!is_made).then_some((window, number(STEPS)?))
}

fn window_name(number: usize) -> String {
    format!("window-{number:05}.safetensors")
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
