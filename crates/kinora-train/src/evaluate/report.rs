//! What an evaluation found, as data.

use std::fmt;
use std::path::Path;

use kinora_data::{Background, Camera, Fact, Motion, Style, TimeOfDay, Weather};
use kinora_models::weights;
use serde::{Deserialize, Serialize};

use super::{Drift, LongClips, TaskQuality};
use crate::{Error, PathAccuracies};

/// All that an evaluation found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvaluateReport {
    /// Name and version of the model.
    pub model: String,
    /// SHA-256 of its weight file; empty for a model that was never in a file.
    pub model_hash: String,
    /// Where it ran.
    pub machine: String,
    /// How the clips were made.
    pub settings: Settings,
    /// Pixels through the autoencoder and back.
    pub autoencoder: AutoencoderQuality,
    /// The judges on held-out rendered scenes: the most that generated clips can reach.
    pub ceiling: Accuracies,
    /// The judges on generated clips, over the facts that each prompt names.
    pub generated: Accuracies,
    /// Whether the paths that clips follow do what prompts say.
    #[serde(default)]
    pub paths: Option<PathAccuracies>,
    /// From the generated clips to the rendered scenes of their prompts, see
    /// [`feature_distance`](super::feature_distance()).
    pub feature_distance: Option<f64>,
    /// From those rendered scenes to as many others: what chance alone gives.
    pub feature_distance_floor: Option<f64>,
    /// Mean time that text, sampling and decoding of a clip took.
    pub seconds_per_clip: f64,
    /// What the model makes of given frames, task by task.
    #[serde(default)]
    pub tasks: Vec<TaskQuality>,
    /// How colours drift in a long clip.
    #[serde(default)]
    pub drift: Option<Drift>,
    /// Whether subjects stay what they are in long clips.
    #[serde(default)]
    pub long_clips: Option<LongClips>,
    /// Every judged clip.
    pub clips: Vec<JudgedClip>,
    /// Rows of the sheet of everyday prompts, from the top.
    pub sheet: Vec<SheetRow>,
}

/// How the clips were made.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Judged clips.
    pub clips: usize,
    /// Frames of each.
    pub frames: usize,
    /// Width and height in pixels.
    pub size: [usize; 2],
    /// Sampling steps.
    pub steps: usize,
    /// Strength of classifier-free guidance.
    pub guidance: f32,
    /// Noise level below which nothing guided.
    #[serde(default)]
    pub guidance_above: f32,
    /// Shift of the noise levels.
    pub shift: f32,
    /// Seed of the scenes and of the first clip; each further clip has the next one.
    pub seed: u64,
}

/// Quality of the autoencoder on held-out scenes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AutoencoderQuality {
    /// Peak signal-to-noise ratio in dB, the mean of the scenes'.
    pub psnr_db: f32,
    /// The same of the mean squared error of all scenes, to which the hardest count most.
    #[serde(default)]
    pub pooled_psnr_db: f32,
    /// Structural similarity of luma.
    pub ssim: f32,
}

impl fmt::Display for AutoencoderQuality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            psnr_db,
            pooled_psnr_db,
            ssim,
        } = self;
        write!(
            f,
            "{psnr_db:.2} dB ({pooled_psnr_db:.2} of all errors), SSIM {ssim:.3}"
        )
    }
}

/// Right ones out of all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accuracy {
    /// Judged right.
    pub right: usize,
    /// Judged at all.
    pub of: usize,
}

impl Accuracy {
    /// Counts one more.
    pub fn count(&mut self, right: bool) {
        self.right += usize::from(right);
        self.of += 1;
    }

    /// The part that is right, 0 to 1; `None` where nothing was judged.
    pub fn share(&self) -> Option<f64> {
        (self.of > 0).then(|| self.right as f64 / self.of as f64)
    }
}

/// Accuracy of each fact.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accuracies {
    /// The likeliest subject is the right one.
    pub subject_top_1: Accuracy,
    /// The right subject is among the five likeliest.
    pub subject_top_5: Accuracy,
    /// Where.
    pub background: Accuracy,
    /// What the subject does.
    pub motion: Accuracy,
    /// What the camera does.
    pub camera: Accuracy,
    /// When.
    #[serde(default)]
    pub time: Accuracy,
    /// In which weather.
    #[serde(default)]
    pub weather: Accuracy,
    /// In which style.
    #[serde(default)]
    pub style: Accuracy,
}

impl Accuracies {
    /// Counts the facts of one clip, of those in `told`.
    pub fn count(&mut self, wanted: &Facts, seen: &Seen, told: &[Fact]) {
        if told.contains(&Fact::Subject) {
            self.subject_top_1
                .count(seen.facts.subject == wanted.subject);
            self.subject_top_5
                .count(seen.subject_top_5.contains(&wanted.subject));
        }
        if told.contains(&Fact::Background) {
            self.background
                .count(seen.facts.background == wanted.background);
        }
        if told.contains(&Fact::Motion) {
            self.motion.count(seen.facts.motion == wanted.motion);
        }
        if told.contains(&Fact::Camera) {
            self.camera.count(seen.facts.camera == wanted.camera);
        }
        if told.contains(&Fact::Time) {
            self.time.count(seen.facts.time == wanted.time);
        }
        if told.contains(&Fact::Weather) {
            self.weather.count(seen.facts.weather == wanted.weather);
        }
        if told.contains(&Fact::Style) {
            self.style.count(seen.facts.style == wanted.style);
        }
    }
}

/// What is to be seen in a clip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Name of the subject.
    pub subject: String,
    /// Where.
    pub background: Background,
    /// What the subject does.
    pub motion: Motion,
    /// What the camera does.
    pub camera: Camera,
    /// When.
    pub time: TimeOfDay,
    /// In which weather.
    pub weather: Weather,
    /// In which style.
    pub style: Style,
}

/// What the judges see in a clip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The likeliest of each fact.
    pub facts: Facts,
    /// The five likeliest subjects, best first.
    pub subject_top_5: Vec<String>,
}

/// A generated clip and what the judges say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JudgedClip {
    /// Its prompt.
    pub prompt: String,
    /// The facts that the prompt names; only these are judged.
    pub told: Vec<Fact>,
    /// The facts of the scene behind the prompt.
    pub wanted: Facts,
    /// What the judges see.
    pub seen: Seen,
}

/// An everyday prompt; there is no scene behind it, so a person judges it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SheetRow {
    /// The prompt.
    pub prompt: String,
    /// What the judges see.
    pub seen: Seen,
}

impl EvaluateReport {
    /// Writes `report.json` and `report.md` into `folder`; readers see the old file or the new one,
    /// never a part.
    ///
    /// # Errors
    ///
    /// A folder that cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), Error> {
        let json = serde_json::to_string_pretty(self)
            .map_err(|error| kinora_models::Error::Format(error.to_string()))?;
        weights::write_atomically(&folder.join("report.json"), json.as_bytes())?;
        weights::write_atomically(&folder.join("report.md"), self.to_markdown().as_bytes())?;
        Ok(())
    }
}
