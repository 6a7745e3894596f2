//! Frames to pictures: one under the name that was given, more as `name-0001.png`, `name-0002.png`…, or as a folder of
//! `frame-0001.png`….

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use super::{jpeg, png};
use crate::atomic::{parent, refuse_existing, temporary_folder};
use crate::sink::{Backend, Quality, SinkOptions, Written};
use crate::{Error, Frame, Result};

/// How a picture is stored.
#[derive(Clone, Copy)]
pub(crate) enum PictureFormat {
    Png,
    Jpeg,
}

/// Pictures wait in a hidden folder and take their names together at the end.
pub(crate) struct PicturesSink {
    names: Names,
    format: PictureFormat,
    quality: Quality,
    overwrite: bool,
    recipe: Option<Value>,
    waiting: TempDir,
    frames: u64,
    bytes: u64,
}

/// Where the pictures go.
struct Names {
    folder: PathBuf,
    /// `name` in `name-0001.png`.
    stem: String,
    /// With its dot.
    extension: String,
    /// The name of an only picture, if it has one of its own.
    single: Option<PathBuf>,
}

impl PicturesSink {
    /// For one picture at `path`, or more that are numbered after it.
    pub(crate) fn open_file(
        path: &Path,
        format: PictureFormat,
        options: &SinkOptions,
    ) -> Result<Self> {
        refuse_existing(path, options.overwrite)?;
        let text = |part: Option<&OsStr>| part.map(|part| part.to_string_lossy().into_owned());
        let names = Names {
            folder: parent(path)?,
            stem: text(path.file_stem()).ok_or_else(|| Error::NoFileName { path: path.into() })?,
            extension: text(path.extension())
                .map_or_else(String::new, |extension| format!(".{extension}")),
            single: Some(path.into()),
        };
        let waiting = temporary_folder(path)?;
        Self::open(names, format, options, waiting)
    }

    /// For PNG pictures in the folder `path`, which may exist.
    pub(crate) fn open_folder(path: &Path, options: &SinkOptions) -> Result<Self> {
        let names = Names {
            folder: path.into(),
            stem: "frame".into(),
            extension: ".png".into(),
            single: None,
        };
        let beside = if path.is_dir() {
            path.join("frame")
        } else {
            path.into()
        };
        refuse_existing(&beside, true)?;
        let waiting = temporary_folder(&beside)?;
        Self::open(names, PictureFormat::Png, options, waiting)
    }

    fn open(
        names: Names,
        format: PictureFormat,
        options: &SinkOptions,
        waiting: TempDir,
    ) -> Result<Self> {
        if let PictureFormat::Jpeg = format {
            jpeg::check_recipe(options.recipe.as_ref())?;
        }
        if let Some(path) = names
            .existing()?
            .into_iter()
            .next()
            .filter(|_| !options.overwrite)
        {
            return Err(Error::Exists { path });
        }
        Ok(Self {
            names,
            format,
            quality: options.quality,
            overwrite: options.overwrite,
            recipe: options.recipe.clone(),
            waiting,
            frames: 0,
            bytes: 0,
        })
    }

    fn place(&self) -> Result<PathBuf> {
        let names = &self.names;
        if !names.folder.exists() {
            fs::create_dir(&names.folder).map_err(|error| Error::writing(&names.folder, error))?;
        }
        if self.overwrite {
            // What is left of a longer run would look like part of this one.
            for old in names.existing()? {
                fs::remove_file(&old).map_err(|error| Error::writing(&old, error))?;
            }
        }
        let single = names.single.as_ref().filter(|_| self.frames == 1);
        let target = |number| single.cloned().unwrap_or_else(|| names.numbered(number));
        for number in 1..=self.frames {
            let target = target(number);
            refuse_existing(&target, self.overwrite)?;
            fs::rename(self.waiting.path().join(number.to_string()), &target)
                .map_err(|error| Error::writing(&target, error))?;
        }
        Ok(target(1))
    }
}

impl Backend for PicturesSink {
    fn push(&mut self, frame: &Frame) -> Result<()> {
        let number = self.frames + 1;
        let path = self.waiting.path().join(number.to_string());
        let recipe = self.recipe.as_ref();
        let write = || {
            let mut file = BufWriter::new(File::create(&path)?);
            match self.format {
                PictureFormat::Png => png::write(&mut file, frame, recipe)?,
                PictureFormat::Jpeg => jpeg::write(&mut file, frame, self.quality, recipe)?,
            }
            file.flush()?;
            file.get_ref().metadata().map(|data| data.len())
        };
        let bytes = write().map_err(|error| Error::writing(&self.names.numbered(number), error))?;
        self.bytes += bytes;
        self.frames = number;
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Written> {
        let path = self.place()?;
        Ok(Written {
            path,
            frames: self.frames,
            bytes: self.bytes,
        })
    }
}

impl Names {
    fn numbered(&self, number: u64) -> PathBuf {
        self.folder
            .join(format!("{}-{number:04}{}", self.stem, self.extension))
    }

    /// The numbered pictures that already stand there, in order.
    fn existing(&self) -> Result<Vec<PathBuf>> {
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return Ok(Vec::new());
        };
        let numbered = |name: &str| {
            name.strip_prefix(&self.stem)
                .and_then(|rest| rest.strip_prefix('-'))
                .and_then(|rest| rest.strip_suffix(&self.extension))
                .is_some_and(|digits| {
                    digits.len() >= 4 && digits.bytes().all(|b| b.is_ascii_digit())
                })
        };
        let mut found: Vec<PathBuf> = entries
            .filter_map(|entry| entry.ok())
            .filter(|entry| entry.file_name().to_str().is_some_and(numbered))
            .map(|entry| entry.path())
            .collect();
        found.sort();
        Ok(found)
    }
}
