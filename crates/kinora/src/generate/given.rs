//! Clips and pictures that are given.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use kinora_media::{FrameRate, MediaInfo, probe};
use kinora_models::Description;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Longest side of a clip that is changed, in pixels.
const MAX_SIDE: u32 = 4096;
/// Longest side of a video that begins with a picture, in pixels.
const MAX_PICTURE_SIDE: u32 = 1280;
/// Rates of clips that a file keeps. A GIF whose frames stand for seconds has no rate to speak of.
const RATES: std::ops::RangeInclusive<f64> = 5.0..=120.0;

/// A clip or a picture, looked into but not decoded.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub(crate) path: PathBuf,
    pub(crate) info: MediaInfo,
}

/// What a clip of the model's own was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Own {
    pub(crate) prompt: String,
    pub(crate) seed: u64,
}

impl Given {
    /// Looks into `path`.
    ///
    /// # Errors
    ///
    /// What cannot be read, and what is too large.
    pub(crate) fn open(path: PathBuf) -> Result<Self> {
        let info = probe(&path)?;
        if info.width.max(info.height) > MAX_SIDE {
            bail!(
                "{} is {}x{}, and sides go up to {MAX_SIDE} pixels: scale it down first",
                path.display(),
                info.width,
                info.height
            );
        }
        Ok(Self { path, info })
    }

    /// As [`open`](Self::open), for what must move.
    pub(crate) fn open_clip(path: PathBuf) -> Result<Self> {
        let given = Self::open(path)?;
        if given.is_picture() {
            bail!(
                "{0} is a single picture, and a clip is needed: `kinora generate --image {0}` makes one of it",
                given.path.display()
            );
        }
        Ok(given)
    }

    pub(crate) fn is_picture(&self) -> bool {
        self.info.fps.is_none()
    }

    /// Its size, without the last row or column where that is odd.
    pub(crate) fn size(&self) -> [u32; 2] {
        [self.info.width, self.info.height].map(even)
    }

    /// The size of a video that begins with it: its own, unless that is large.
    pub(crate) fn video_size(&self) -> [u32; 2] {
        let sides = [self.info.width, self.info.height];
        let scale = f64::from(MAX_PICTURE_SIDE) / f64::from(sides[0].max(sides[1]));
        sides.map(|side| even((f64::from(side) * scale.min(1.0)).round() as u32))
    }

    /// Its rate, where it has a steady one.
    pub(crate) fn fps(&self) -> Option<FrameRate> {
        self.info.fps.filter(|fps| RATES.contains(&fps.as_f64()))
    }

    /// The prompt that it was made from, if Kinora made it.
    pub(crate) fn prompt(&self) -> Option<&str> {
        let prompt = self
            .info
            .recipe
            .as_ref()?
            .get("prompt")
            .and_then(Value::as_str);
        prompt.filter(|prompt| !prompt.is_empty())
    }

    /// Prompt and seed that settled what is where in it, if this model made it in frames of this size.
    pub(crate) fn own(&self, about: &Description, native_size: [usize; 2]) -> Option<Own> {
        let recipe = self.info.recipe.as_ref()?;
        let is_own = !about.hash.is_empty()
            && recipe.get("model_hash")? == about.hash.as_str()
            && recipe.get("native_size")? == &json!(native_size);
        let source = match recipe.get("task") {
            None => recipe,
            // What was made of an own clip along its paths says so.
            Some(_) => recipe.get("origin")?,
        };
        is_own.then_some(Own {
            prompt: source.get("prompt")?.as_str()?.to_owned(),
            seed: source.get("seed")?.as_u64()?,
        })
    }

    /// Its name without folder and ending.
    pub(crate) fn stem(&self) -> String {
        let stem = self.path.file_stem().unwrap_or_default();
        stem.to_string_lossy().into_owned()
    }
}

fn even(side: u32) -> u32 {
    (side & !1).max(2)
}

/// SHA-256 of a file in hexadecimal.
///
/// # Errors
///
/// What cannot be read.
pub(crate) fn sha256(path: &Path) -> Result<String> {
    let failed = || format!("cannot read {}", path.display());
    let mut file = File::open(path).with_context(failed)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).with_context(failed)? {
            0 => break,
            count => hash.update(&buffer[..count]),
        }
    }
    Ok(hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}
