//! A model as people have it: which networks it is made of, where they lie, and how they are meant to be used.
//!
//! Folders of diffusers say so themselves; of other files it is told by their tensors. Follows `model_index.json` and
//! `scheduler/scheduler_config.json` of `Wan-AI/Wan2.1-T2V-1.3B-Diffusers`, `Wan-AI/Wan2.2-T2V-A14B-Diffusers` and
//! `Wan-AI/Wan2.2-TI2V-5B-Diffusers`, and of those that animate pictures and fill clips.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use kinora_sampling::GuidanceBelow;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::adapters::AdapterFile;
use super::conditioning::{Conditioning, DenoiserConfig, Networks};
use super::config::{AutoencoderConfig, ImageConfig, TextConfig, TransformerConfig, VaceConfig};
use super::files::{Files, NamedParts};
use super::parts::Part;
use super::usage::{self, Usage};
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
    #[serde(default)]
    image_encoder: Value,
}

/// Whether a folder has a part: its entry names a library and a class.
fn has(part: &Value) -> bool {
    part.get(0).is_some_and(|library| !library.is_null())
}

/// A model whose parts fit together.
#[derive(Debug, Clone)]
pub struct Folder {
    files: Files,
    /// What changes the transformers.
    pub(super) adapters: Vec<AdapterFile>,
    /// Whether the transformers' products are taken in 8 bits.
    pub(super) in_8_bits: bool,
    /// Sizes of the denoiser; both experts have the same.
    pub transformer: TransformerConfig,
    /// What is given of a clip beside words.
    pub conditioning: Conditioning,
    /// Sizes of the autoencoder.
    pub autoencoder: AutoencoderConfig,
    /// Sizes of the text encoder.
    pub text: TextConfig,
    /// Sizes of the image encoder, of models that see pictures through one.
    pub image: Option<ImageConfig>,
    /// Noise level (1 = noise) below which a second transformer takes over, where there is one.
    pub boundary: Option<f32>,
    /// Its networks: text encoder, image encoder, transformers, autoencoder.
    pub parts: Vec<Part>,
    /// Changes when a weight changes: a hash of all names and shapes and of samples of the values, because hashing 28 GB
    /// takes minutes.
    pub mark: String,
    usage: Usage,
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
        let has_second = has(&index.transformer_2);
        let boundary = match (has_second, index.boundary_ratio) {
            (false, _) => None,
            (true, Some(ratio)) if (0.0..=1.0).contains(&ratio) => Some(ratio),
            (true, other) => {
                return Err(config(format!(
                    "has two transformers, but boundary_ratio is {other:?} and no number from 0 to 1"
                )));
            }
        };
        let files = Files::of_diffusers(root, has_second, has(&index.image_encoder));
        let denoiser = |folder: &Path| match index.class.as_str() {
            VACE => VaceConfig::read(folder).map(DenoiserConfig::Vace),
            _ => TransformerConfig::read(folder).map(DenoiserConfig::Plain),
        };
        let networks = Networks {
            denoiser: denoiser(&files.transformer)?,
            autoencoder: AutoencoderConfig::read(&files.vae)?,
            text: TextConfig::read(&files.text_encoder)?,
            image: files
                .image_encoder
                .as_deref()
                .map(ImageConfig::read)
                .transpose()?,
        };
        if let Some(second) = &files.low_noise
            && denoiser(second)? != networks.denoiser
        {
            return Err(config("its two transformers have different sizes".into()));
        }
        let conditioning = Conditioning::of(&networks, index.expand_timesteps).map_err(config)?;
        check_meant(&index.class, &conditioning).map_err(config)?;
        let (sampler, shift) = usage::scheduler(&root.join("scheduler/scheduler_config.json"))?;
        let usage = Usage {
            boundary,
            sampler,
            shift,
        };
        Self::with(files, networks, conditioning, usage)
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
        let networks = Networks {
            denoiser: denoiser_in(&files.transformer)?,
            autoencoder: open(&files.vae, Network::Autoencoder)?.autoencoder_config()?,
            text: open(&files.text_encoder, Network::TextEncoder)?.text_config()?,
            image: match &files.image_encoder {
                Some(path) => Some(open(path, Network::ImageEncoder)?.image_config()?),
                None => None,
            },
        };
        if let Some(second) = &files.low_noise
            && denoiser_in(second)? != networks.denoiser
        {
            return Err(config("the two transformers have different sizes".into()));
        }
        // The autoencoder of 2.2 is that of TI2V alone.
        let timestep_per_frame = networks.autoencoder.is_residual;
        let conditioning = Conditioning::of(&networks, timestep_per_frame).map_err(config)?;
        let usage = Usage::of(&networks, &conditioning, files.low_noise.is_some());
        Self::with(files, networks, conditioning, usage)
    }

    fn with(
        files: Files,
        networks: Networks,
        conditioning: Conditioning,
        usage: Usage,
    ) -> Result<Self, Error> {
        let mut mark = Sha256::new();
        let mut parts = Vec::new();
        let mut add = |path: &Path, name, network| -> Result<(), Error> {
            parts.push(Part::read(path, name, network, &mut mark)?);
            Ok(())
        };
        let denoiser = networks.denoiser.network();
        add(&files.text_encoder, "text_encoder", Network::TextEncoder)?;
        if let Some(image_encoder) = &files.image_encoder {
            add(image_encoder, "image_encoder", Network::ImageEncoder)?;
        }
        add(&files.transformer, "transformer", denoiser)?;
        if let Some(second) = &files.low_noise {
            add(second, "transformer_2", denoiser)?;
        }
        add(&files.vae, "vae", Network::Autoencoder)?;
        Ok(Self {
            files,
            adapters: Vec::new(),
            in_8_bits: false,
            transformer: networks.denoiser.transformer().clone(),
            conditioning,
            autoencoder: networks.autoencoder,
            text: networks.text,
            image: networks.image,
            boundary: usage.boundary,
            parts,
            mark: mark.finalize().iter().map(|b| format!("{b:02x}")).collect(),
            usage,
        })
    }

    /// The weights of the only transformer or the one for high noise levels, or of the other one, as they lie in the files.
    pub(super) fn plain_weights(&self, is_second: bool) -> Result<Checkpoint, Error> {
        let path = match &self.files.low_noise {
            Some(second) if is_second => second,
            _ => &self.files.transformer,
        };
        let network = match self.conditioning {
            Conditioning::Control(_) => Network::Vace,
            _ => Network::Transformer,
        };
        Checkpoint::open_as(path, network)
    }

    /// The same model, whose transformers take the products of their blocks in 8 bits
    /// ([`Storage::Int8Products`](super::Storage::Int8Products)): it makes slightly other clips.
    pub fn in_8_bits(mut self) -> Self {
        self.in_8_bits = true;
        self.mark.push_str("-int8");
        self
    }

    /// Where the parts lie.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// Frames per second.
    pub fn frames_per_second(&self) -> usize {
        if self.is_ti2v() { 24 } else { 16 }
    }

    /// Frames of the clips that the model was trained on, which is also the most that it makes.
    pub fn max_frames(&self) -> usize {
        if self.is_ti2v() { 121 } else { 81 }
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
                width if width < usage::WIDE => AREA_480P,
                _ => AREA_720P,
            },
        }
    }

    fn is_ti2v(&self) -> bool {
        self.conditioning == Conditioning::Timesteps
    }

    /// What may be given of a clip.
    pub fn known_frames(&self) -> KnownFrames {
        self.conditioning.known_frames()
    }

    /// The settings of upstream's pipeline and of the folder's scheduler.
    pub fn defaults(&self) -> Defaults {
        let has_second = self.boundary.is_some();
        let low = usage::guidance_low(&self.conditioning);
        Defaults {
            sampler: self.usage.sampler,
            steps: usage::steps(&self.conditioning, has_second),
            guidance: usage::guidance(&self.conditioning, has_second),
            guidance_below: self.boundary.map(|level| GuidanceBelow {
                level,
                guidance: low,
            }),
            guidance_above: 0.0,
            shift: self.usage.shift,
            negative: NEGATIVE.into(),
            size: match self.is_ti2v() {
                true => [1280, 704],
                false => [832, 480],
            },
            frames: self.max_frames(),
            frames_per_second: self.frames_per_second(),
        }
    }
}

/// Sizes of the transformer in a file or a folder.
pub(super) fn denoiser_in(path: &Path) -> Result<DenoiserConfig, Error> {
    match Checkpoint::networks_in(path)?.contains(&Network::Vace) {
        true => {
            let checkpoint = Checkpoint::open_as(path, Network::Vace)?;
            checkpoint.vace_config().map(DenoiserConfig::Vace)
        }
        false => {
            let checkpoint = Checkpoint::open_as(path, Network::Transformer)?;
            checkpoint.transformer_config().map(DenoiserConfig::Plain)
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

/// Pipelines that are run.
const WORDS: &str = "WanPipeline";
const PICTURES: &str = "WanImageToVideoPipeline";
const VACE: &str = "WanVACEPipeline";

fn check_class(class: &str) -> Result<(), String> {
    match class {
        WORDS | PICTURES | VACE => Ok(()),
        _ => Err(format!(
            "a {class} is no pipeline of Wan that Kinora runs: use one such as Wan-AI/Wan2.1-T2V-1.3B-Diffusers, \
             Wan-AI/Wan2.1-I2V-14B-480P-Diffusers or Wan-AI/Wan2.1-VACE-1.3B-diffusers"
        )),
    }
}

/// Whether the transformers are of the kind that the folder's pipeline runs.
fn check_meant(class: &str, conditioning: &Conditioning) -> Result<(), String> {
    let takes = match conditioning {
        Conditioning::Words => "words alone",
        Conditioning::Timesteps => return Ok(()),
        Conditioning::Pictures(_) => "pictures",
        Conditioning::Control(_) => "clips with masks",
    };
    let fits = match conditioning {
        Conditioning::Pictures(_) => class == PICTURES,
        Conditioning::Control(_) => class == VACE,
        _ => class == WORDS,
    };
    match fits {
        true => Ok(()),
        false => Err(format!(
            "is of a {class}, but its transformer takes {takes}: they belong to different models"
        )),
    }
}

pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
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
