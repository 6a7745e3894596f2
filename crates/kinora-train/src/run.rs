//! The folder of a run: settings, checkpoint, metrics, sample sheets; and its progress on screen.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use kinora_models::weights::{self, Storage, TensorMap};
use serde::Serialize;
use serde_json::json;

use crate::{Error, RunConfig};

const CHECKPOINT: &str = "checkpoint.safetensors";
const SETTINGS: &str = "config.toml";
const BAR_LENGTH: u64 = 1000;
/// Time between lines of progress where there is no terminal.
const BETWEEN_LINES: Duration = Duration::from_secs(60);

/// An open run.
pub struct Run {
    folder: PathBuf,
    config: RunConfig,
    metrics: File,
    bar: ProgressBar,
    started: Instant,
    /// Time spent before this process.
    spent_before: Duration,
    progress_at_start: f32,
    last_step: Instant,
    last_line: Instant,
    peak_gflops: Option<f64>,
    smoothed_loss: Option<f32>,
}

/// Figures of one step.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct StepMetrics {
    /// Step, from 1.
    pub step: u32,
    /// Loss.
    pub loss: f32,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f32,
    /// Step size.
    pub learning_rate: f32,
    /// Latent tokens of the step.
    pub tokens: usize,
    /// Floating-point operations of the step's products, forward and backward.
    pub flops: f64,
}

impl Run {
    /// Opens the folder, or makes it. Settings must be those that the run was started with.
    ///
    /// # Errors
    ///
    /// A folder that cannot be used, or that belongs to other settings.
    pub fn open(
        folder: &Path,
        config: &RunConfig,
        settings: &impl Serialize,
    ) -> Result<Self, Error> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::Io { path, source }
        };
        std::fs::create_dir_all(folder.join("samples")).map_err(io(folder))?;
        let settings = toml::to_string_pretty(settings).map_err(|error| Error::Config {
            path: folder.join(SETTINGS),
            reason: error.to_string(),
        })?;
        let settings_path = folder.join(SETTINGS);
        match std::fs::read_to_string(&settings_path) {
            Ok(old) if old != settings => {
                return Err(Error::OtherSettings {
                    path: folder.to_owned(),
                });
            }
            Ok(_) => {}
            Err(_) => std::fs::write(&settings_path, settings).map_err(io(&settings_path))?,
        }
        let metrics_path = folder.join("metrics.jsonl");
        let metrics = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&metrics_path)
            .map_err(io(&metrics_path))?;
        let bar = ProgressBar::new(BAR_LENGTH);
        let style = "{elapsed_precise} {bar:24} {msg}";
        bar.set_style(ProgressStyle::with_template(style).expect("the template is valid"));
        let now = Instant::now();
        Ok(Self {
            folder: folder.to_owned(),
            config: config.clone(),
            metrics,
            bar,
            started: now,
            spent_before: Duration::ZERO,
            progress_at_start: 0.0,
            last_step: now,
            last_line: now,
            peak_gflops: None,
            smoothed_loss: None,
        })
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The part of the run that is done, 0 to 1, by steps or by time, whichever is further.
    pub fn progress(&self, step: u32) -> f32 {
        let by_steps = step as f32 / self.config.steps.max(1) as f32;
        let spent = (self.spent_before + self.started.elapsed()).as_secs_f32();
        let by_time = self
            .config
            .minutes
            .map_or(0.0, |minutes| spent / (minutes * 60.0));
        by_steps.max(by_time).min(1.0)
    }

    /// How much of the run this process has done so far; never nothing.
    fn advance(&self, progress: f32) -> f32 {
        (progress - self.progress_at_start).max(1e-6)
    }

    /// The last checkpoint: its step and tensors.
    ///
    /// # Errors
    ///
    /// A checkpoint that is there but cannot be read.
    pub fn resume(&mut self) -> Result<Option<(u32, TensorMap)>, Error> {
        let path = self.folder.join(CHECKPOINT);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::Io { path, source }),
        };
        let (tensors, metadata) = weights::from_bytes(&bytes)?;
        let number = |key: &str| {
            metadata
                .get(key)
                .and_then(|value| value.parse::<f64>().ok())
        };
        let missing = || kinora_models::Error::Format("the checkpoint has no step".into());
        let step = number("step").ok_or_else(missing)? as u32;
        let seconds = number("seconds").unwrap_or(0.0);
        self.spent_before = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        self.progress_at_start = self.progress(step);
        Ok(Some((step, tensors)))
    }

    /// Steps are measured against this peak of the processor from now on.
    pub fn measure_against(&mut self, peak_gflops: f64) {
        self.peak_gflops = Some(peak_gflops);
    }

    /// Writes a checkpoint; an older one stays whole until the new one is.
    ///
    /// # Errors
    ///
    /// A disk that is full or cannot be written.
    pub fn checkpoint(&self, step: u32, tensors: &TensorMap) -> Result<(), Error> {
        let seconds = (self.spent_before + self.started.elapsed()).as_secs_f64();
        let metadata = HashMap::from([
            ("step".to_owned(), step.to_string()),
            ("seconds".to_owned(), seconds.to_string()),
        ]);
        let bytes = weights::to_bytes(tensors, metadata, |_| Storage::F32)?;
        Ok(weights::write_atomically(
            &self.folder.join(CHECKPOINT),
            &bytes,
        )?)
    }

    /// Records a step and shows it.
    ///
    /// # Errors
    ///
    /// [`Error::Diverged`] where the loss is not a number.
    pub fn record(&mut self, metrics: StepMetrics) -> Result<(), Error> {
        if !metrics.loss.is_finite() {
            return Err(Error::Diverged {
                step: metrics.step,
                loss: metrics.loss,
            });
        }
        let seconds = self.last_step.elapsed().as_secs_f64();
        self.last_step = Instant::now();
        let loss = self
            .smoothed_loss
            .map_or(metrics.loss, |old| old * 0.98 + metrics.loss * 0.02);
        self.smoothed_loss = Some(loss);
        let gflops = metrics.flops / seconds / 1e9;
        let progress = self.progress(metrics.step);
        let left = self
            .started
            .elapsed()
            .mul_f32((1.0 - progress) / self.advance(progress));
        let peak_share = self.peak_gflops.map(|peak| gflops / peak);
        let of_peak = peak_share.map_or(String::new(), |share| {
            format!(", {:.0} % of the peak", share * 100.0)
        });
        let message = format!(
            "step {} · loss {loss:.4} · {:.0} ms/step · {:.0} tokens/s · {gflops:.0} GFLOP/s{of_peak} · {} left",
            metrics.step,
            seconds * 1e3,
            metrics.tokens as f64 / seconds,
            HumanDuration(left),
        );
        if !self.bar.is_hidden() {
            self.bar.set_position((progress * BAR_LENGTH as f32) as u64);
            self.bar.set_message(message);
        } else if self.last_line.elapsed() >= BETWEEN_LINES {
            self.last_line = Instant::now();
            eprintln!("{:3.0} % · {message}", progress * 100.0);
        }
        let line = json!({
            "step": metrics.step,
            "loss": metrics.loss,
            "gradient_norm": metrics.gradient_norm,
            "learning_rate": metrics.learning_rate,
            "seconds": seconds,
            "tokens_per_second": metrics.tokens as f64 / seconds,
            "gflops": gflops,
            "peak_share": peak_share,
        });
        self.log(&line)
    }

    /// Adds a line to the metrics.
    ///
    /// # Errors
    ///
    /// A disk that is full or cannot be written.
    pub fn log(&mut self, line: &serde_json::Value) -> Result<(), Error> {
        writeln!(self.metrics, "{line}").map_err(|source| Error::Io {
            path: self.folder.join("metrics.jsonl"),
            source,
        })
    }

    /// Says something above the progress bar, or as a plain line where there is no terminal.
    pub fn say(&self, text: &str) {
        if self.bar.is_hidden() {
            eprintln!("{text}");
        } else {
            self.bar.println(text);
        }
    }

    /// Where sample sheet of `step` belongs.
    pub fn sample_path(&self, step: u32) -> PathBuf {
        self.folder.join("samples").join(format!("{step:06}.png"))
    }

    /// Steps at which checkpoints and samples are due.
    pub fn due(&self, step: u32) -> (bool, bool) {
        let every = |n: u32| n > 0 && step.is_multiple_of(n);
        (
            every(self.config.checkpoint_every),
            every(self.config.samples_every),
        )
    }

    /// Ends the progress display.
    pub fn finish(&self) {
        self.bar.finish();
    }
}
