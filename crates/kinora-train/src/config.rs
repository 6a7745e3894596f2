//! Settings of a run, as TOML.

use std::path::{Path, PathBuf};

use kinora_models::interpolator::InterpolatorConfig;
use kinora_models::mini::config::{
    AutoencoderConfig, DirectorConfig, TextConfig, TransformerConfig,
};
use kinora_models::upscaler::UpscalerConfig;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::Error;
use crate::classifier::JudgesConfig;
use crate::optimizer::OptimizerConfig;

/// What every run has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// Packed subjects, see `kinora data pack`.
    pub pack: PathBuf,
    /// Same seed, same run.
    pub seed: u64,
    /// Steps in all.
    pub steps: u32,
    /// The run also ends, decayed, after this time. It makes a run depend on the machine's speed.
    #[serde(default)]
    pub minutes: Option<f32>,
    /// Steps between checkpoints.
    pub checkpoint_every: u32,
    /// Steps between sample sheets.
    pub samples_every: u32,
}

/// Settings of an autoencoder run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AutoencoderRun {
    /// What every run has.
    pub run: RunConfig,
    /// Sizes of the network.
    pub model: AutoencoderConfig,
    /// A model file whose autoencoder the run starts from, linear code included. Latents stay what they
    /// were, so whatever else was trained on them stays valid; where the run has more latent channels, further ones are fitted to what
    /// those leave. Without it the code is fitted afresh.
    #[serde(default)]
    pub from: Option<PathBuf>,
    /// The optimiser.
    #[serde(default)]
    pub optimizer: OptimizerConfig,
    /// Clips of a step.
    pub batch: usize,
    /// Latent frames of a clip.
    pub latent_frames: usize,
    /// Patches from which the linear code is fitted.
    pub basis_patches: usize,
    /// Share of clips in which all that subjects and cameras do, all times, weathers and styles are equally likely.
    pub even_share: f32,
    /// Latents are divided by their deviation to this power: 0 keeps the eigenvalues, 1 whitens.
    pub whitening: f32,
    /// Largest deviation of the noise on the latents that the decoder learns from; each clip draws its own from 0 on.
    pub latent_noise: f32,
    /// Share of steps in which the decoder learns from latents as the denoiser of `from` leaves them after one step from less noise than
    /// 0.7, in place of noised ones.
    #[serde(default)]
    pub denoised_share: f32,
    /// Share of clips that the decoder sees without their plate, where it looks at plates.
    #[serde(default)]
    pub no_plate_share: f32,
    /// Share of windows whose plate shows frames that were given.
    #[serde(default)]
    pub given_share: f32,
    /// Share of clips whose plate shows them in other light, weather and style.
    #[serde(default)]
    pub remix_share: f32,
    /// Share of clips of which the plate shows all but a region.
    #[serde(default)]
    pub region_share: f32,
}

/// Settings of a transformer run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransformerRun {
    /// What every run has.
    pub run: RunConfig,
    /// The trained autoencoder's run folder, or a model file that holds it.
    pub autoencoder: PathBuf,
    /// Name of the finished model.
    pub name: String,
    /// A model file that the run starts from, tokenizer included; its autoencoder is the same, or has the first of the latent channels.
    /// Parameters that have other sizes there start afresh, and so does the optimiser.
    #[serde(default)]
    pub from: Option<PathBuf>,
    /// Pack of the subjects that the finished model knows by name; the one it is trained on by default.
    /// The denoiser has not seen them all, but it is shown their pictures.
    #[serde(default)]
    pub lexicon: Option<PathBuf>,
    /// Sizes of the text encoder.
    pub text: TextConfig,
    /// Sizes of the denoiser of latents.
    pub transformer: TransformerConfig,
    /// Sizes of the director, which a run of its own trains.
    pub director: DirectorConfig,
    /// The optimiser.
    #[serde(default)]
    pub optimizer: OptimizerConfig,
    /// Latent frames that are denoised together.
    pub window: usize,
    /// Clips of a step.
    pub batch: usize,
    /// Share of the steps that train on single latent frames instead of windows.
    pub picture_share: f32,
    /// Pictures of such a step.
    pub picture_batch: usize,
    /// Share of clips without caption and plate.
    pub unconditional_share: f32,
    /// Share of captioned clips without a plate.
    pub no_plate_share: f32,
    /// Share of windows beside an anchor, a latent frame from elsewhere in the scene; without any the model knows no anchors.
    #[serde(default)]
    pub anchor_share: f32,
    /// Share of windows beside given frames, which are shown in place of what is named.
    pub given_share: f32,
    /// Share of clips that are shown as they are in other light, weather and style.
    pub remix_share: f32,
    /// Share of clips that are shown as they are but for a region.
    #[serde(default)]
    pub region_share: f32,
    /// Share of clips in which all that subjects and cameras do, all times, weathers and styles are equally likely, and told.
    pub even_share: f32,
    /// Shift of the noise levels towards noise.
    pub shift: f32,
    /// Share of single latent frames whose noise levels are shifted much farther, to where words alone tell what will be seen; windows are
    /// shifted so less often.
    pub near_noise_share: f32,
}

/// Settings of a run that trains a model's director further.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectorRun {
    /// What every run has.
    pub run: RunConfig,
    /// The model file; all but its director stays as it is.
    pub model: PathBuf,
    /// Name of the finished model, where it is to have another one.
    #[serde(default)]
    pub name: Option<String>,
    /// Sizes of a director to take the place of the model's. It begins afresh, but for the parameters that have the same name and
    /// size there. Without them the model's is trained further.
    #[serde(default)]
    pub director: Option<DirectorConfig>,
    /// The optimiser.
    #[serde(default)]
    pub optimizer: OptimizerConfig,
    /// Layouts of a step.
    pub batch: usize,
    /// Share of layouts without caption.
    pub unconditional_share: f32,
    /// Share of layouts of scenes in which all that subjects and cameras do is equally likely, and told.
    pub even_share: f32,
}

/// Settings of an upscaler run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpscalerRun {
    /// What every run has.
    pub run: RunConfig,
    /// Name of the finished model.
    pub name: String,
    /// A model file through whose autoencoder frames go, so that the upscaler learns what that does to them.
    pub degraded_by: PathBuf,
    /// Sizes of the network.
    pub model: UpscalerConfig,
    /// A model file of the same sizes that the run starts from; the optimiser starts afresh.
    #[serde(default)]
    pub from: Option<PathBuf>,
    /// The optimiser.
    #[serde(default)]
    pub optimizer: OptimizerConfig,
    /// Crops of a step.
    pub batch: usize,
    /// Sides of a crop before it is enlarged, in pixels.
    pub crop: usize,
    /// Scenes that crops are drawn from; each step replaces one.
    pub scenes: usize,
    /// Share of steps whose crops went through the autoencoder; those of the others are only made smaller.
    pub degraded_share: f64,
    /// Largest deviation of the noise on their latents, as a denoiser leaves it: tokens that do not quite fit each other.
    pub latent_noise: f32,
}

/// Settings of an interpolator run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InterpolatorRun {
    /// What every run has.
    pub run: RunConfig,
    /// Name of the finished model.
    pub name: String,
    /// Sizes of the network.
    pub model: InterpolatorConfig,
    /// A model file of the same sizes that the run starts from; the optimiser starts afresh.
    #[serde(default)]
    pub from: Option<PathBuf>,
    /// The optimiser.
    #[serde(default)]
    pub optimizer: OptimizerConfig,
    /// Crops of a step.
    pub batch: usize,
    /// Sides of a crop, in pixels.
    pub crop: usize,
    /// Scenes that crops are drawn from; each step replaces one.
    pub scenes: usize,
    /// Weight of the loss at each resolution, finest first.
    pub level_weights: [f32; 4],
}

/// Settings of the judges' run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassifierRun {
    /// What every run has.
    pub run: RunConfig,
    /// The trained autoencoder's run folder, or a model file that holds it.
    pub autoencoder: PathBuf,
    /// The optimiser.
    #[serde(default)]
    pub optimizer: OptimizerConfig,
    /// Sizes of the network.
    pub network: JudgesConfig,
    /// Judges that the run starts from where they have the same sizes; the optimiser starts afresh.
    #[serde(default)]
    pub from: Option<PathBuf>,
    /// Clips of a step.
    pub batch: usize,
    /// Share of clips in which all that subjects and cameras do, all times, weathers and styles are equally likely.
    pub even_share: f32,
}

/// Reads settings.
///
/// # Errors
///
/// [`Error::Config`] says what is wrong and where.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let config = |reason: String| Error::Config {
        path: path.to_owned(),
        reason,
    };
    let text = std::fs::read_to_string(path).map_err(|error| config(error.to_string()))?;
    toml::from_str(&text).map_err(|error| config(error.to_string()))
}
