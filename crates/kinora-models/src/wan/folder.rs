//! A model as people have it: which networks it is made of, where they lie, and how they are meant to be used.
//!
//! Folders of diffusers say so themselves; of other files it is told by their tensors. Follows `model_index.json` and
//! `scheduler/scheduler_config.json` of `Wan-AI/Wan2.1-T2V-1.3B-Diffusers`, `Wan-AI/Wan2.2-T2V-A14B-Diffusers` and
//! `Wan-AI/Wan2.2-TI2V-5B-Diffusers`.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use kinora_sampling::Sampler;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::adapters::AdapterFile;
use super::config::{AutoencoderConfig, TextConfig, TransformerConfig};
use super::files::{Files, NamedParts};
use super::parts::Part;
use super::weights::{Checkpoint, Network};
use crate::{Defaults, Error, KnownFrames, Sizes};

/// What a folder of diffusers is known by.
const INDEX: &str = "model_index.json";
/// Larger than any of the files that are read here.
const LARGEST_FILE: u64 = 1 << 20;

/// The negative prompt of Wan's own scripts: what the models were tuned with (`wan/configs/shared_config.py`, Apache-2.0).
const NEGATIVE: &str = "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，最差质量，低质量，\
    JPEG压缩残留，丑陋的，残缺的，多余的手指，画得不好的手部，画得不好的脸部，畸形的，毁容的，形态畸形的肢体，手指融合，\
    静止不动的画面，杂乱的背景，三条腿，背景人很多，倒着走";

/// Networks narrower than this are those that were trained at 480p.
const WIDE: usize = 2048;
/// What upstream does at 480p and at 720p.
const AREA_480P: usize = 832 * 480;
const AREA_720P: usize = 1280 * 720;

/// `model_index.json`, as far as it matters.
#[derive(Deserialize)]
struct Index {
    #[serde(rename = "_class_name")]
    class: String,
    #[serde(default)]
    boundary_ratio: Option<f32>,
    #[serde(default)]
    expand_timesteps: bool,
    #[serde(default)]
    transformer_2: Value,
}

/// `scheduler/scheduler_config.json`, as far as it matters.
#[derive(Deserialize)]
struct Scheduler {
    #[serde(rename = "_class_name")]
    class: String,
    #[serde(default)]
    flow_shift: Option<f32>,
    #[serde(default)]
    shift: Option<f32>,
}

/// A model whose parts fit together.
#[derive(Debug, Clone)]
pub struct Folder {
    files: Files,
    /// What changes the transformers.
    pub(super) adapters: Vec<AdapterFile>,
    /// Sizes of the denoiser; both experts have the same.
    pub transformer: TransformerConfig,
    /// Sizes of the autoencoder.
    pub autoencoder: AutoencoderConfig,
    /// Sizes of the text encoder.
    pub text: TextConfig,
    /// Noise level (1 = noise) below which a second transformer takes over, where there is one.
    pub boundary: Option<f32>,
    /// Whether each latent frame has its own timestep (TI2V).
    pub timestep_per_frame: bool,
    /// Its networks: text encoder, transformers, autoencoder.
    pub parts: Vec<Part>,
    /// Changes when a weight changes: a hash of all names and shapes and of samples of the values, because hashing 28 GB
    /// takes minutes.
    pub mark: String,
    sampler: Sampler,
    shift: f32,
}

impl Folder {
    /// Opens a folder in the layout of diffusers: reads all configurations and the headers of all weights, and no weight.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] where the folder is of a pipeline that this program does not run, or its parts do not fit
    /// together; [`Error::Read`], [`Error::Format`] and [`Error::NoWeights`] where a part is missing or damaged.
    pub fn open(root: &Path) -> Result<Self, Error> {
        let index_path = root.join(INDEX);
        let index: Index = read(&index_path)?;
        let config = |reason: String| Error::Config {
            path: index_path.clone(),
            reason,
        };
        check_class(&index.class).map_err(config)?;
        let has_second = index
            .transformer_2
            .get(0)
            .is_some_and(|part| !part.is_null());
        let boundary = match (has_second, index.boundary_ratio) {
            (false, _) => None,
            (true, Some(ratio)) if (0.0..=1.0).contains(&ratio) => Some(ratio),
            (true, other) => {
                return Err(config(format!(
                    "has two transformers, but boundary_ratio is {other:?} and no number from 0 to 1"
                )));
            }
        };
        let files = Files::of_diffusers(root, has_second);
        let sizes = Networks {
            transformer: TransformerConfig::read(&files.transformer)?,
            autoencoder: AutoencoderConfig::read(&files.vae)?,
            text: TextConfig::read(&files.text_encoder)?,
        };
        if let Some(second) = &files.low_noise
            && TransformerConfig::read(second)? != sizes.transformer
        {
            return Err(config("its two transformers have different sizes".into()));
        }
        check_fit(&sizes).map_err(config)?;
        let (sampler, shift) = scheduler(&root.join("scheduler/scheduler_config.json"))?;
        let usage = Usage {
            boundary,
            timestep_per_frame: index.expand_timesteps,
            sampler,
            shift,
        };
        Self::with(files, sizes, usage)
    }

    /// Opens a folder in any layout, or a file of a transformer whose other parts are named or lie around it. Reads headers,
    /// and no weight.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open) and [`Files::find`].
    pub fn find(model: &Path, named: &NamedParts) -> Result<Self, Error> {
        match model.join(INDEX).is_file() {
            true if *named == NamedParts::default() => Self::open(model),
            true => Err(Error::Config {
                path: model.join(INDEX),
                reason: "the folder holds a whole model: no parts need be named, or give a file of its transformer".into(),
            }),
            false => Self::from_files(Files::find(model, named)?),
        }
    }

    /// Opens parts that need not say how they are meant to be used: it is told by their sizes.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] where they are of a kind that this program does not run, or do not fit together, and what opening
    /// their files gives.
    pub fn from_files(files: Files) -> Result<Self, Error> {
        let config = |reason: String| Error::Config {
            path: files.transformer.clone(),
            reason,
        };
        let open = Checkpoint::open_as;
        let sizes = Networks {
            transformer: open(&files.transformer, Network::Transformer)?.transformer_config()?,
            autoencoder: open(&files.vae, Network::Autoencoder)?.autoencoder_config()?,
            text: open(&files.text_encoder, Network::TextEncoder)?.text_config()?,
        };
        if let Some(second) = &files.low_noise {
            let second = open(second, Network::Transformer)?.transformer_config()?;
            if second != sizes.transformer {
                return Err(config("the two transformers have different sizes".into()));
            }
        }
        check_fit(&sizes).map_err(config)?;
        let usage = Usage::of(&sizes, files.low_noise.is_some());
        Self::with(files, sizes, usage)
    }

    fn with(files: Files, sizes: Networks, usage: Usage) -> Result<Self, Error> {
        let mut mark = Sha256::new();
        let mut parts = Vec::new();
        let mut add = |path: &Path, name, network| -> Result<(), Error> {
            parts.push(Part::read(path, name, network, &mut mark)?);
            Ok(())
        };
        add(&files.text_encoder, "text_encoder", Network::TextEncoder)?;
        add(&files.transformer, "transformer", Network::Transformer)?;
        if let Some(second) = &files.low_noise {
            add(second, "transformer_2", Network::Transformer)?;
        }
        add(&files.vae, "vae", Network::Autoencoder)?;
        Ok(Self {
            files,
            adapters: Vec::new(),
            transformer: sizes.transformer,
            autoencoder: sizes.autoencoder,
            text: sizes.text,
            boundary: usage.boundary,
            timestep_per_frame: usage.timestep_per_frame,
            parts,
            mark: mark.finalize().iter().map(|b| format!("{b:02x}")).collect(),
            sampler: usage.sampler,
            shift: usage.shift,
        })
    }

    /// The weights of the only transformer or the one for high noise levels, or of the other one, as they lie in the files.
    pub(super) fn plain_weights(&self, is_second: bool) -> Result<Checkpoint, Error> {
        let path = match &self.files.low_noise {
            Some(second) if is_second => second,
            _ => &self.files.transformer,
        };
        Checkpoint::open_as(path, Network::Transformer)
    }

    /// Where the parts lie.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// Frames per second.
    pub fn frames_per_second(&self) -> usize {
        if self.timestep_per_frame { 24 } else { 16 }
    }

    /// Frames of the clips that the model was trained on, which is also the most that it makes.
    pub fn max_frames(&self) -> usize {
        if self.timestep_per_frame { 121 } else { 81 }
    }

    /// Pixels in each direction that a token stands for.
    pub fn side_multiple(&self) -> usize {
        let [_, rows, columns] = self.transformer.patch_size;
        // Sides are multiples of both; they are alike in every model that there is.
        self.autoencoder.spatial_stride()
            * if rows == columns {
                rows
            } else {
                rows * columns
            }
    }

    /// Sizes that the model makes.
    pub fn sizes(&self) -> Sizes {
        Sizes::Multiples {
            of: self.side_multiple(),
            area: match self.transformer.width() {
                width if width < WIDE => AREA_480P,
                _ => AREA_720P,
            },
        }
    }

    /// What may be given of a clip.
    pub fn known_frames(&self) -> KnownFrames {
        match self.timestep_per_frame {
            true => KnownFrames::First,
            false => KnownFrames::None,
        }
    }

    /// The settings of upstream's pipeline and of the folder's scheduler.
    pub fn defaults(&self) -> Defaults {
        Defaults {
            sampler: self.sampler,
            steps: 50,
            guidance: 5.0,
            shift: self.shift,
            negative: NEGATIVE.into(),
            size: match self.timestep_per_frame {
                true => [1280, 704],
                false => [832, 480],
            },
            frames: self.max_frames(),
            frames_per_second: self.frames_per_second(),
        }
    }
}

/// Sizes of the networks of a model.
struct Networks {
    transformer: TransformerConfig,
    autoencoder: AutoencoderConfig,
    text: TextConfig,
}

/// How a model is meant to be used.
struct Usage {
    boundary: Option<f32>,
    timestep_per_frame: bool,
    sampler: Sampler,
    shift: f32,
}

impl Usage {
    /// What Wan's own scripts do with networks of these sizes (`generate.py` of Wan 2.1, `wan/configs` of Wan 2.2), but at
    /// 480p the shift of diffusers' folders, so that a model makes the same clip whatever its files.
    fn of(sizes: &Networks, has_second: bool) -> Self {
        let is_narrow = sizes.transformer.width() < WIDE;
        Self {
            boundary: has_second.then_some(0.875),
            // The autoencoder of 2.2 is that of TI2V alone.
            timestep_per_frame: sizes.autoencoder.is_residual,
            sampler: Sampler::UniPc,
            shift: match (has_second, is_narrow) {
                (true, _) => 12.0,
                (false, true) if !sizes.autoencoder.is_residual => 3.0,
                (false, _) => 5.0,
            },
        }
    }
}

/// Checks a `model_index.json` before anything else of its folder is there.
///
/// # Errors
///
/// [`Error::Config`] where it is of a pipeline that this program does not run, [`Error::Read`].
pub fn check_index(path: &Path) -> Result<(), Error> {
    let index: Index = read(path)?;
    check_class(&index.class).map_err(|reason| Error::Config {
        path: path.to_owned(),
        reason,
    })
}

/// What transformers other than those from text to video need is not made yet.
pub(super) fn check_kind(network: Network, config: &TransformerConfig) -> Result<(), &'static str> {
    match network {
        Network::Vace => Err(FILLS),
        _ if config.image_dim.is_some() || config.in_channels > config.channels_out() => {
            Err(ANIMATES)
        }
        _ => Ok(()),
    }
}

/// Why models that animate pictures are refused.
const ANIMATES: &str = "animates pictures with a model that Kinora does not run yet: Wan-AI/Wan2.2-TI2V-5B-Diffusers takes a \
    first picture, and words alone";
/// Why VACE is refused.
const FILLS: &str = "fills clips with a model that Kinora does not run yet: kinora-mini takes any known frames, \
    Wan-AI/Wan2.1-T2V-1.3B-Diffusers words";

/// Which pipelines are run, and what to use instead of the others.
fn check_class(class: &str) -> Result<(), String> {
    match class {
        "WanPipeline" => Ok(()),
        "WanImageToVideoPipeline" => Err(format!("a {class} {ANIMATES}")),
        "WanVACEPipeline" => Err(format!("a {class} {FILLS}")),
        _ => Err(format!(
            "a {class} is no text-to-video pipeline of Wan: use one such as Wan-AI/Wan2.1-T2V-1.3B-Diffusers"
        )),
    }
}

fn check_fit(sizes: &Networks) -> Result<(), String> {
    let Networks {
        transformer,
        autoencoder,
        text,
    } = sizes;
    let channels = autoencoder.z_dim;
    if transformer.in_channels != channels || transformer.channels_out() != channels {
        return Err(format!(
            "the transformer takes {} channels and gives {}, but the autoencoder has {channels}: they belong \
             to different models",
            transformer.in_channels,
            transformer.channels_out()
        ));
    }
    if transformer.image_dim.is_some() {
        return Err("the transformer needs a picture, but the pipeline has none".into());
    }
    if transformer.text_dim != text.d_model {
        return Err(format!(
            "the transformer takes text of {} channels, but the text encoder gives {}: they belong to different \
             models",
            transformer.text_dim, text.d_model
        ));
    }
    if transformer.patch_size[0] != 1 {
        return Err("the transformer joins latent frames, which no pipeline of Wan does".into());
    }
    Ok(())
}

/// The sampler that the folder was saved with, and its shift.
fn scheduler(path: &Path) -> Result<(Sampler, f32), Error> {
    let scheduler: Scheduler = read(path)?;
    let (sampler, shift) = match scheduler.class.as_str() {
        "UniPCMultistepScheduler" => (Sampler::UniPc, scheduler.flow_shift),
        "FlowMatchEulerDiscreteScheduler" => (Sampler::Euler, scheduler.shift),
        other => {
            return Err(Error::Config {
                path: path.to_owned(),
                reason: format!(
                    "is of a {other}; known are UniPCMultistepScheduler and FlowMatchEulerDiscreteScheduler"
                ),
            });
        }
    };
    match shift.unwrap_or(1.0) {
        shift if (0.1..=100.0).contains(&shift) => Ok((sampler, shift)),
        other => Err(Error::Config {
            path: path.to_owned(),
            reason: format!("its shift is {other}, expected 0.1 to 100"),
        }),
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(LARGEST_FILE).read_to_string(&mut text))
        .map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })?;
    serde_json::from_str(&text).map_err(|error| Error::Config {
        path: path.to_owned(),
        reason: error.to_string(),
    })
}
