//! Measures a model: its autoencoder against held-out scenes, its clips in the eyes of the
//! [judges](crate::classifier), what it makes of given frames, and a sheet of everyday prompts for a person's eyes.

mod changes;
mod clips;
mod continuity;
mod distance;
mod long;
mod page;
mod report;
mod tasks;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use burn::tensor::Device;
use kinora_data::{
    Aspect, Background, Camera, Fact, Labels, Motion, Pack, SceneSpec, Split, Style, TimeOfDay,
    Weather, captions,
};
use kinora_models::VideoModel;
use kinora_models::mini::Mini;
use kinora_models::weights::floats;
use kinora_pipeline::Sampling;

pub use continuity::{Drift, Unplanned, psnr_db, seam_jump};
pub use distance::feature_distance;
pub use long::LongClips;
pub use report::{
    Accuracies, Accuracy, AutoencoderQuality, EvaluateReport, Facts, JudgedClip, Seen, Settings,
    SheetRow,
};

pub use tasks::{GivenTask, TaskQuality};

use clips::{clip_frames, clip_seed, evenly, judge, make, wide, write_sheet};

use crate::classifier::{Judges, Predictions};
use crate::corpus::Corpus;
use crate::given::Shares;
use crate::{Error, autoencoder, path_judge};

/// Prompts as people write them.
pub const EVERYDAY_PROMPTS: [&str; 16] = [
    "a koala waves on a beach at sunset",
    "a red car drives through a city at night",
    "a soccer ball bounces on a meadow",
    "an owl flies across the night sky",
    "a robot stands in the snow",
    "a tropical fish swims under water",
    "a rocket flies in space",
    "a cat walks to the left in a forest",
    "a snowman in the snow at night",
    "a dolphin jumps out of the sea",
    "a unicorn on a meadow in the rain",
    "a bus drives to the right in the desert",
    "a laughing face bounces indoors",
    "a penguin walks in the snow",
    "a butterfly flies over a meadow",
    "一只熊猫在森林里",
];

/// Frames of each prompt on the sheet.
const SHEET_FRAMES: usize = 5;
/// All facts that there are judges for.
const JUDGED_FACTS: [Fact; 7] = [
    Fact::Subject,
    Fact::Background,
    Fact::Motion,
    Fact::Camera,
    Fact::Time,
    Fact::Weather,
    Fact::Style,
];

/// What to evaluate and how.
#[derive(Debug, Clone)]
pub struct EvaluateOptions<'a> {
    /// The model.
    pub model: &'a Mini,
    /// Who judges, see [`classifier::load`](crate::classifier::load()).
    pub judges: &'a Judges,
    /// The subjects that the judges know.
    pub pack: &'a Arc<Pack>,
    /// Clips to be judged. They show held-out combinations.
    pub clips: usize,
    /// Prompts whose paths are judged.
    pub paths: usize,
    /// Scenes of which each [task with given frames](GivenTask) is measured.
    pub task_clips: usize,
    /// Seconds of the clip whose [`Drift`] is measured; less than two are none.
    pub drift_secs: f64,
    /// Clips of that length whose subjects are judged at both ends.
    pub long_clips: usize,
    /// Prompts of the sheet, such as [`EVERYDAY_PROMPTS`].
    pub prompts: &'a [&'a str],
    /// How clips are sampled; each clip after the first has the next seed.
    pub sampling: Sampling,
    /// Folder of the report and its pictures; it is made where it is missing.
    pub out: &'a Path,
}

/// How far an evaluation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EvaluateProgress {
    /// The autoencoder is being measured.
    Autoencoder,
    /// Rendered scenes are being judged.
    Ceiling {
        /// Scenes that are done.
        done: usize,
        /// Scenes in all.
        total: usize,
    },
    /// Paths are being judged.
    Paths,
    /// Clips are being made and judged.
    Clips {
        /// Clips that are done.
        done: usize,
        /// Clips in all.
        total: usize,
    },
    /// Tasks with given frames are being measured, and long clips.
    Tasks {
        /// Clips that are done.
        done: usize,
        /// Clips in all.
        total: usize,
    },
    /// The sheet of everyday prompts is being made.
    Sheet {
        /// Prompts that are done.
        done: usize,
        /// Prompts in all.
        total: usize,
    },
}

/// Evaluates a model and writes `report.json`, `report.md`, `sheet.png` and `judged.png`.
/// `on_progress` is called often and returns whether to go on.
///
/// # Errors
///
/// Judges of another autoencoder's patches, clips that cannot be made, a folder that cannot be
/// written, and [`Error::Stopped`].
pub fn evaluate(
    options: &EvaluateOptions<'_>,
    device: &Device,
    mut on_progress: impl FnMut(EvaluateProgress) -> bool,
) -> Result<EvaluateReport, Error> {
    let mut report = |progress| {
        if on_progress(progress) {
            Ok(())
        } else {
            Err(Error::Stopped)
        }
    };
    let Sampling {
        seed,
        steps,
        guidance,
        guidance_above,
        shift,
        ..
    } = options.sampling;
    let config = &options.model.config().autoencoder;
    options.judges.accept(config, options.pack.len())?;
    std::fs::create_dir_all(options.out).map_err(|source| Error::Io {
        path: options.out.to_owned(),
        source,
    })?;
    let corpus = Corpus::new(options.pack.clone(), Split::Train, seed, config);

    report(EvaluateProgress::Autoencoder)?;
    let networks = options.model.networks();
    let scenes = if networks.autoencoder.sees_plates() {
        autoencoder::staged(corpus.clone(), Shares::default())
    } else {
        corpus.clone()
    };
    let quality = autoencoder::evaluate(&networks.autoencoder, &scenes, device);

    let real = judge_rendered(options, &corpus, device, |done, total| {
        report(EvaluateProgress::Ceiling { done, total })
    })?;
    let (prompted, others) = real.features.split_at(options.clips);

    let mut paths = None;
    if options.paths > 0 {
        report(EvaluateProgress::Paths)?;
        let measured = path_judge::measure(options.model, options.pack, options.paths, seed)?;
        paths = Some(measured);
    }

    let made = judge_generated(options, device, |done, total| {
        report(EvaluateProgress::Clips { done, total })
    })?;

    // The long clips come last of them.
    let task_clips = options.task_clips * GivenTask::ALL.len();
    let total = task_clips + 1 + options.long_clips;
    let tasks = tasks::measure(options, device, |done| {
        report(EvaluateProgress::Tasks { done, total })
    })?;
    let drift = long::drift(options, device, || {
        report(EvaluateProgress::Tasks {
            done: task_clips,
            total,
        })
    })?;
    let long_clips = long::subjects(options, device, |done| {
        report(EvaluateProgress::Tasks {
            done: task_clips + 1 + done,
            total,
        })
    })?;

    let sheet = everyday_sheet(options, device, |done, total| {
        report(EvaluateProgress::Sheet { done, total })
    })?;

    let description = options.model.description();
    let report = EvaluateReport {
        model: description.name.clone(),
        model_hash: description.hash.clone(),
        machine: machine(device),
        settings: Settings {
            clips: options.clips,
            frames: clip_frames(options),
            size: wide(),
            steps,
            guidance,
            guidance_above,
            shift,
            seed,
        },
        autoencoder: quality,
        ceiling: real.accuracies,
        generated: made.judged.accuracies,
        paths,
        feature_distance: feature_distance(&made.judged.features, prompted),
        feature_distance_floor: feature_distance(others, prompted),
        seconds_per_clip: made.time.as_secs_f64() / options.clips.max(1) as f64,
        tasks,
        drift,
        long_clips,
        clips: made.clips,
        sheet,
    };
    report.write(options.out)?;
    Ok(report)
}

/// What the judges said of some clips.
#[derive(Default)]
struct Judged {
    accuracies: Accuracies,
    features: Vec<Vec<f32>>,
}

impl Judged {
    /// Adds the only clip of `predictions`; returns what was seen.
    fn add(
        &mut self,
        predictions: Predictions,
        wanted: &Facts,
        told: &[Fact],
        pack: &Pack,
    ) -> Seen {
        let seen = seen(&predictions, pack);
        self.accuracies.count(wanted, &seen, told);
        self.features.push(floats(predictions.features));
        seen
    }
}

/// The scene of a clip: wide, as all clips of an evaluation, of a combination that training never
/// sees.
fn scene(options: &EvaluateOptions<'_>, index: usize) -> SceneSpec {
    let seed = clip_seed(options, index);
    // In a style that the judges know.
    let known = |spec: &SceneSpec| spec.style.index() < options.judges.styles();
    let mut others = kinora_data::Rng::new(seed);
    let mut spec = SceneSpec::sample(seed, options.pack, Split::HeldOut);
    while !known(&spec) {
        spec = SceneSpec::sample(others.next_u64(), options.pack, Split::HeldOut);
    }
    spec.aspect = Aspect::Wide;
    spec
}

/// Judges twice as many rendered scenes as there are clips: those of the prompts, then others.
fn judge_rendered(
    options: &EvaluateOptions<'_>,
    corpus: &Corpus,
    device: &Device,
    mut report: impl FnMut(usize, usize) -> Result<(), Error>,
) -> Result<Judged, Error> {
    let total = options.clips * 2;
    let mut judged = Judged::default();
    for index in 0..total {
        report(index, total)?;
        let spec = scene(options, index);
        let batch = corpus.scene(&spec, options.judges.latent_frames());
        let predictions = options.judges.predict(batch.patches(device));
        let wanted = facts(&spec.labels(), options.pack);
        judged.add(predictions, &wanted, &JUDGED_FACTS, options.pack);
    }
    Ok(judged)
}

struct Made {
    judged: Judged,
    clips: Vec<JudgedClip>,
    time: Duration,
}

/// Makes and judges the clips, and writes the sheet of their middle frames.
fn judge_generated(
    options: &EvaluateOptions<'_>,
    device: &Device,
    mut report: impl FnMut(usize, usize) -> Result<(), Error>,
) -> Result<Made, Error> {
    let mut made = Made {
        judged: Judged::default(),
        clips: Vec::new(),
        time: Duration::ZERO,
    };
    let mut middles = Vec::new();
    for index in 0..options.clips {
        let spec = scene(options, index);
        let caption = captions(&spec, options.pack, clip_seed(options, index)).short_en;
        let clip = make(options, index, &caption.text, device, || {
            report(index, options.clips)
        })?;
        made.time += clip.time;
        let wanted = facts(&spec.labels(), options.pack);
        let predictions = judge(options, &clip.frames, device);
        let seen = made
            .judged
            .add(predictions, &wanted, &caption.facts, options.pack);
        made.clips.push(JudgedClip {
            prompt: caption.text,
            told: caption.facts,
            wanted,
            seen,
        });
        middles.extend(evenly(clip.frames, 1));
    }
    write_sheet(
        &middles,
        page::JUDGED_COLUMNS,
        &options.out.join(page::JUDGED_SHEET),
    )?;
    Ok(made)
}

/// Makes the clips of the sheet and writes it.
fn everyday_sheet(
    options: &EvaluateOptions<'_>,
    device: &Device,
    mut report: impl FnMut(usize, usize) -> Result<(), Error>,
) -> Result<Vec<SheetRow>, Error> {
    let mut rows = Vec::new();
    let mut frames = Vec::new();
    for (index, &prompt) in options.prompts.iter().enumerate() {
        let clip = make(options, index, prompt, device, || {
            report(index, options.prompts.len())
        })?;
        rows.push(SheetRow {
            prompt: prompt.to_owned(),
            seen: seen(&judge(options, &clip.frames, device), options.pack),
        });
        frames.extend(evenly(clip.frames, SHEET_FRAMES));
    }
    write_sheet(&frames, SHEET_FRAMES as u32, &options.out.join(page::SHEET))?;
    Ok(rows)
}

/// What was seen in the only clip of `predictions`.
fn seen(predictions: &Predictions, pack: &Pack) -> Seen {
    let name = |&subject: &usize| pack.entries()[subject].name_en.clone();
    Seen {
        facts: Facts {
            subject: name(&predictions.subject[0]),
            background: Background::ALL[predictions.background[0]],
            motion: Motion::ALL[predictions.motion[0]],
            camera: Camera::ALL[predictions.camera[0]],
            time: TimeOfDay::ALL[predictions.time[0]],
            weather: Weather::ALL[predictions.weather[0]],
            style: Style::ALL[predictions.style[0]],
        },
        subject_top_5: predictions.subject_top_5[0].iter().map(name).collect(),
    }
}

fn facts(labels: &Labels, pack: &Pack) -> Facts {
    Facts {
        subject: pack.entries()[labels.subject].name_en.clone(),
        background: Background::ALL[labels.background],
        motion: Motion::ALL[labels.motion],
        camera: Camera::ALL[labels.camera],
        time: TimeOfDay::ALL[labels.time],
        weather: Weather::ALL[labels.weather],
        style: Style::ALL[labels.style],
    }
}

/// System, processor and device in words.
fn machine(device: &Device) -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let processor = std::fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("model name"))?;
            Some(format!(", {}", line.split_once(':')?.1.trim()))
        })
        .unwrap_or_default();
    format!(
        "{} {}{processor}, {cores} cores, device {device:?}, kernels {}",
        std::env::consts::OS,
        std::env::consts::ARCH,
        kinora_kernels::cpu::level_report(),
    )
}

#[cfg(test)]
mod tests;
