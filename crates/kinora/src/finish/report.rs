//! What was made, for people, for programs, and for the file itself.

use std::time::Duration;

use anyhow::Result;
use kinora_media::Written;
use serde_json::{Value, json};

use super::Job;
use crate::args::Global;
use crate::generate::{Sound, rate, sha256};
use crate::{memory, output};

/// The network that did it.
pub(super) struct Network {
    name: String,
    hash: String,
}

impl Network {
    pub(super) fn new(name: &str, hash: &str) -> Self {
        Self {
            name: name.to_owned(),
            hash: hash.to_owned(),
        }
    }
}

impl Job {
    /// What travels inside the file: of a clip that Kinora made also its prompt.
    ///
    /// # Errors
    ///
    /// A clip that cannot be read.
    pub(super) fn recipe(&self) -> Result<Value> {
        let clip = &self.clip;
        let name = clip.path.file_name().unwrap_or_default().to_string_lossy();
        let mut recipe = json!({
            "program": "kinora",
            "version": env!("CARGO_PKG_VERSION"),
            "size": self.size,
            "fps": rate(self.fps),
            "model": self.network.name,
            "model_hash": self.network.hash,
            "task": {
                "verb": self.verb,
                "inputs": [{"name": name, "sha256": sha256(&clip.path)?}],
            },
        });
        if let Some(prompt) = clip.prompt() {
            recipe["prompt"] = json!(prompt);
        }
        Ok(recipe)
    }
}

/// A clip that was made.
pub(super) struct Outcome<'a> {
    pub(super) job: &'a Job,
    pub(super) written: &'a Written,
    pub(super) sound: Option<&'a Sound>,
    pub(super) load_time: Duration,
    pub(super) total_time: Duration,
}

impl Outcome<'_> {
    /// Prints what was made, as it was asked for.
    ///
    /// # Errors
    ///
    /// A stdout that cannot be written.
    pub(super) fn tell(&self, global: &Global) -> Result<()> {
        match (self.job.settings.json, global.quiet) {
            (true, _) => output::print(&self.to_json().to_string()),
            (false, false) => output::print(&self.to_text()),
            (false, true) => Ok(()),
        }
    }

    fn duration_secs(&self) -> f64 {
        self.job.fps.duration_secs(self.written.frames)
    }

    fn to_json(&self) -> Value {
        let Self { job, written, .. } = self;
        let secs = |time: Duration| (time.as_secs_f64() * 1e3).round() / 1e3;
        json!({
            "file": written.path.display().to_string(),
            "bytes": written.bytes,
            "task": job.verb,
            "clip": job.clip.path.display().to_string(),
            "clip_size": job.clip.size(),
            "clip_fps": job.clip.info.fps.map(rate),
            "size": job.size,
            "fps": rate(job.fps),
            "frames": written.frames,
            "seconds": self.duration_secs(),
            "sound": self.sound.map(|sound| sound.clip.display().to_string()),
            "model": job.network.name,
            "model_hash": job.network.hash,
            "times_secs": {"load": secs(self.load_time), "total": secs(self.total_time)},
            "peak_memory_bytes": memory::peak_bytes(),
        })
    }

    fn to_text(&self) -> String {
        let Self { job, written, .. } = self;
        let ([width, height], [own_width, own_height]) = (job.size, job.clip.size());
        let from = match job.clip.info.fps {
            Some(fps) if !job.clip.is_picture() => {
                format!("{own_width}x{own_height} at {:.4}", fps.as_f64())
            }
            _ => format!("{own_width}x{own_height}"),
        };
        let made = match job.clip.is_picture() {
            true => format!("picture  {width}x{height} (from {from})"),
            false => format!(
                "clip     {:.2} s, {} frames at {} frames/s, {width}x{height} (from {from})",
                self.duration_secs(),
                written.frames,
                job.fps,
            ),
        };
        let sound = self.sound.map_or_else(String::new, |sound| {
            format!("\n  sound    of {}", sound.clip.display())
        });
        let peak = memory::peak_bytes().map_or_else(String::new, |peak| {
            format!("; peak memory {}", output::bytes(peak))
        });
        format!(
            "{}\n  {made}, {}{sound}\n  times    load {:.1} s, total {:.1} s{peak}",
            written.path.display(),
            output::bytes(written.bytes),
            self.load_time.as_secs_f64(),
            self.total_time.as_secs_f64(),
        )
    }
}
