//! `kinora train` and `kinora evaluate`.

use std::path::PathBuf;

use clap::Args;

use crate::device::DeviceChoice;
use crate::generate::values;
use crate::weights::ModelSource;

pub(super) const LONG_ABOUT: &str = "\
Train a model on a pack of subjects, or go on with a training.

A run lives in a folder: settings, checkpoint, metrics.jsonl, sample sheets. The same command goes on \
from the last checkpoint, to the bit. Ctrl-C writes a checkpoint first.";

const TRAIN_EXAMPLES: &str = "\
EXAMPLES:
  kinora train autoencoder --config configs/autoencoder.toml --run runs/autoencoder
  kinora train transformer --config configs/transformer.toml --run runs/transformer
  kinora train director --config configs/director.toml --run runs/director
  kinora train upscaler --config configs/upscaler.toml --run runs/upscaler
  kinora train interpolator --config configs/interpolator.toml --run runs/interpolator
  kinora train classifier --config configs/classifier.toml --run runs/classifier";

/// What `kinora train` trains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum TrainTarget {
    /// Pixels to latents and back; first.
    Autoencoder,
    /// Text encoder and denoisers, on the autoencoder's latents.
    Transformer,
    /// The denoiser of a finished model that says where subjects go, further and by itself.
    Director,
    /// What makes frames larger.
    Upscaler,
    /// What makes frames between frames.
    Interpolator,
    /// The judges that `kinora evaluate` asks.
    Classifier,
}

/// What `kinora train` takes.
#[derive(Debug, Args)]
#[command(after_help = TRAIN_EXAMPLES)]
pub(crate) struct TrainArgs {
    /// What to train.
    pub(crate) target: TrainTarget,
    /// Settings, TOML.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Folder of the run; it is made where it is missing.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) run: PathBuf,
    /// Where to compute: cpu, cuda, cuda:N, vulkan or metal.
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub(crate) device: DeviceChoice,
}

const EVALUATE_EXAMPLES: &str = "\
EXAMPLES:
  kinora evaluate --judges models/kinora-judges/model.safetensors --pack data/emoji.pack --out evaluation
  kinora evaluate --model runs/transformer/model.safetensors --judges runs/classifier \\
      --pack data/emoji.pack --clips 200 --out evaluation --json";

/// What `kinora evaluate` takes.
#[derive(Debug, Args)]
#[command(after_help = EVALUATE_EXAMPLES)]
pub(crate) struct EvaluateArgs {
    /// The judges: their file, or the folder of their run (`kinora train classifier`).
    #[arg(long, value_name = "FILE|FOLDER")]
    pub(crate) judges: PathBuf,
    /// The pack that model and judges were trained on.
    #[arg(long, value_name = "FILE")]
    pub(crate) pack: PathBuf,
    /// Folder of report.json, report.md and the pictures; it is made where it is missing.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) out: PathBuf,
    /// Clips to be judged, 1 to 10000.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) clips: u32,
    /// Prompts whose paths are judged, which cost no pixels, 0 to 100000.
    #[arg(long, value_name = "N", default_value_t = 384, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub(crate) paths: u32,
    /// Scenes of which frames are given: to a picture that goes on, and to be extended, filled and looped, 0 to 1000.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub(crate) task_clips: u32,
    /// Length in seconds of the clip whose colours are watched, 0 to 600; less than 2 is none.
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0, value_parser = values::drift)]
    pub(crate) drift_seconds: f64,
    /// Clips of that length whose subjects are judged at their beginning and their end, 0 to 1000; a minute takes half a minute or so.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub(crate) long_clips: u32,
    /// Seed of the first clip; the next ones follow.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Steps of the sampler, 1 to 200 [default: the model's, as for all that follows]
    #[arg(long, value_name = "N", value_parser = values::steps)]
    pub(crate) steps: Option<usize>,
    /// How closely to follow the prompt, 0 to 30.
    #[arg(long, value_name = "X", value_parser = values::guidance)]
    pub(crate) guidance: Option<f32>,
    /// Guide only above this noise level, 0 to 1.
    #[arg(long, value_name = "LEVEL", value_parser = values::guidance_above)]
    pub(crate) guidance_above: Option<f32>,
    /// Where the steps go, 0.1 to 100: above 1 more of them settle what is seen, below 1 its details.
    #[arg(long, value_name = "X", value_parser = values::shift)]
    pub(crate) shift: Option<f32>,
    /// The model: a name that `kinora models` lists, or a weight file.
    #[arg(long, value_name = "NAME|FILE", default_value = crate::weights::MINI)]
    pub(crate) model: ModelSource,
    /// Where to compute: cpu, cuda, cuda:N, vulkan or metal.
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub(crate) device: DeviceChoice,
    /// Print the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
