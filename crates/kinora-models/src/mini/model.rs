//! The networks of the family together, their weight file, and the seam to the pipeline.

use std::borrow::Cow;
use std::collections::HashMap;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use kinora_sampling::Sampler;
use serde::{Deserialize, Serialize};
use tokenizers::Tokenizer;

use super::autoencoder::{Autoencoder, DecodeState};
use super::backdrops::{Backdrops, NamedPlace};
use super::config::{DirectorConfig, MiniConfig};
use super::director::Director;
use super::enhance::enhance;
use super::layout::SLOTS;
use super::lexicon::{Entry, Lexicon, PICTURE_SIZE};
use super::older;
use super::plate::{COVERAGE, Plate, PlateSize};
use super::stage::Stage;
use super::text::{TextEncoder, tokenize};
use super::transformer::{Channels, Context, Moments, PreparedContext, Transformer};
use crate::upscaler::Source;
use crate::weights::{self, Storage, TensorMap, Values, WeightFile};
use crate::{
    ClipShape, Defaults, Description, Error, Known, KnownFrames, Sizes, VideoModel, Window,
};

const LEXICON_TENSOR: &str = "lexicon.pictures";
/// One for each size that the model makes, numbered.
const BACKDROP_TENSORS: &str = "backdrops.";
/// Shift of the noise levels at which the family is sampled best.
const SHIFT: f32 = 4.0;
/// Noise level below which nothing guides where nothing is said: there guidance makes patches under subjects lighter by night.
const GUIDANCE_ABOVE: f32 = 0.7;
/// Steps where nothing is said. The subjects and the place are shown to the network: eight of a second-order solver look like twenty-four
/// of Euler's.
const STEPS: usize = 10;
/// Rate of a file where nothing is said.
const FILE_FRAMES_PER_SECOND: usize = 24;
/// Length of a clip where nothing is said.
const SECONDS: usize = 4;

/// The one entry of the file's metadata: one, because their order in a file is not settled.
const METADATA: &str = "kinora-mini";

/// The latest latent frame of a scene at which a window begins in training. Later ones are told this time: by then
/// a scene only goes on.
pub const LATEST_WINDOW: usize = 12;

/// What the weight file holds beside tensors.
#[derive(Serialize, Deserialize)]
struct Metadata<'a> {
    name: Cow<'a, str>,
    config: Cow<'a, MiniConfig>,
    lexicon: Cow<'a, [Entry]>,
    places: Cow<'a, [NamedPlace]>,
    /// As the `tokenizers` library writes it.
    tokenizer: String,
}

/// What is taken where nothing is said.
fn defaults(frames_per_second: usize) -> Defaults {
    Defaults {
        sampler: Sampler::DpmPlusPlus,
        steps: STEPS,
        guidance: 2.5,
        guidance_above: GUIDANCE_ABOVE,
        shift: SHIFT,
        negative: String::new(),
        size: [1280, 720],
        frames: SECONDS * frames_per_second,
        frames_per_second: FILE_FRAMES_PER_SECOND,
    }
}

/// All that gradient descent trains.
#[derive(Module, Debug)]
pub struct MiniNetworks {
    /// Pixels ⇄ latents.
    pub autoencoder: Autoencoder,
    /// Words → context.
    pub text: TextEncoder,
    /// The denoiser of latents.
    pub transformer: Transformer,
    /// Words → paths.
    pub director: Director,
}

impl MiniNetworks {
    /// Fresh networks.
    pub fn new(config: &MiniConfig, device: &Device) -> Self {
        Self {
            autoencoder: Autoencoder::new(&config.autoencoder, device),
            text: TextEncoder::new(&config.text, device),
            transformer: Self::transformer(config, device),
            director: Director::new(config, device),
        }
    }

    /// A fresh denoiser of latents; beside each it is given the [plate](plate_condition).
    pub fn transformer(config: &MiniConfig, device: &Device) -> Transformer {
        let channels = Channels {
            latents: config.autoencoder.latent_channels,
            condition: config.autoencoder.latent_channels + COVERAGE,
            context: config.text.width,
        };
        Transformer::new(&config.transformer, channels, device)
    }
}

/// What the denoiser is given of plates that all have the same size: their latents and their coverage.
///
/// # Shapes
///
/// - `grid`: latent frames, rows and columns of a plate
/// - output: `[plates, latent_channels + COVERAGE, latent_frames, rows, columns]`
pub fn plate_condition(
    autoencoder: &Autoencoder,
    plates: &[Plate],
    grid: [usize; 3],
    device: &Device,
) -> Tensor<5> {
    let [frames, rows, columns] = grid;
    let gather = |part: fn(&Plate) -> &Vec<f32>| -> Tensor<5> {
        let values: Vec<f32> = plates.iter().flat_map(part).copied().collect();
        let channels = values.len() / (plates.len() * frames * rows * columns);
        let shape = [plates.len(), frames, rows, columns, channels];
        Tensor::from_data(TensorData::new(values, shape), device)
    };
    let latents = autoencoder.encode_tokens(gather(|plate| &plate.patches));
    let coverage = gather(|plate| &plate.coverage);
    Tensor::cat(vec![latents, coverage], 4).permute([0, 4, 1, 2, 3])
}

/// An encoded prompt, and where its camera and subjects are once that is settled.
#[derive(Debug)]
pub struct Script {
    context: PreparedContext,
    stage: Option<Stage>,
}

/// What a trained model consists of.
#[derive(Debug, Clone)]
pub struct MiniParts {
    /// Sizes.
    pub config: MiniConfig,
    /// Weights.
    pub networks: MiniNetworks,
    /// From words to tokens.
    pub tokenizer: Tokenizer,
    /// What named subjects look like.
    pub lexicon: Lexicon,
    /// What named places look like.
    pub backdrops: Backdrops,
}

/// A trained model.
#[derive(Debug, Clone)]
pub struct Mini {
    parts: MiniParts,
    description: Description,
    device: Device,
}

impl Mini {
    /// `name` is shown to people, `hash` identifies the weights.
    pub fn new(name: &str, hash: String, parts: MiniParts, device: &Device) -> Self {
        let config = &parts.config;
        let description = Description {
            name: name.to_owned(),
            hash,
            latent_channels: config.autoencoder.latent_channels,
            spatial_stride: config.autoencoder.patch,
            temporal_stride: config.autoencoder.patch_frames,
            window: config.window,
            overlap: 1,
            frames_per_second: config.frames_per_second,
            sizes: Sizes::Listed(config.sizes.clone()),
            max_frames: None,
            known_frames: KnownFrames::Any,
            tells_steps: false,
            anchored: config.anchored,
            decodes_with_text: parts.networks.autoencoder.sees_plates(),
            frames: Source::Decoded,
            defaults: defaults(config.frames_per_second),
        };
        Self {
            parts,
            description,
            device: device.clone(),
        }
    }

    /// Reads a weight file from memory.
    ///
    /// # Errors
    ///
    /// A damaged file, or one of another family or version.
    pub fn from_bytes(bytes: &[u8], device: &Device) -> Result<Self, Error> {
        let file = WeightFile::new(bytes)?;
        let mut tensors = file.floats();
        let metadata = file
            .metadata()
            .get(METADATA)
            .ok_or_else(|| Error::Format(format!("it has no '{METADATA}' entry")))?;
        let Metadata {
            name,
            config,
            lexicon,
            places,
            tokenizer,
        } = serde_json::from_str(metadata)
            .and_then(|mut metadata| {
                older::update(&mut metadata, &mut tensors);
                serde_json::from_value(metadata)
            })
            .map_err(|error| Error::Format(format!("entry '{METADATA}': {error}")))?;
        let config = config.into_owned();
        config.validate().map_err(Error::Format)?;
        let tokenizer = Tokenizer::from_bytes(tokenizer)
            .map_err(|error| Error::Format(format!("its tokenizer: {error}")))?;
        let largest = tokenizer.get_vocab(true).into_values().max();
        if largest.is_some_and(|id| id as usize >= config.text.vocabulary) {
            let vocabulary = config.text.vocabulary;
            return Err(Error::Format(format!(
                "its tokenizer gives more than the {vocabulary} entries of its text encoder"
            )));
        }
        let lexicon = read_lexicon(&file, lexicon.into_owned())?;
        let backdrops = read_backdrops(&file, places.into_owned(), &config.sizes)?;
        let networks = weights::assign_from(MiniNetworks::new(&config, device), "model", |name| {
            tensors.remove(name)
        })?;
        let parts = MiniParts {
            config,
            networks,
            tokenizer,
            lexicon,
            backdrops,
        };
        Ok(Self::new(&name, weights::sha256(bytes), parts, device))
    }

    /// The weight file: networks in bfloat16, pictures in bytes. The same model gives the same bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Format`] where the parts cannot be serialised.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        let MiniParts {
            config,
            networks,
            tokenizer,
            lexicon,
            backdrops,
        } = &self.parts;
        let mut tensors: TensorMap = weights::collect(networks, "model");
        let bytes = |shape: &[usize], bytes: &[u8]| Values {
            shape: shape.to_vec(),
            data: bytes.iter().copied().map(f32::from).collect(),
        };
        let entries = lexicon.entries();
        let shape = [entries.len(), PICTURE_SIZE, PICTURE_SIZE, 4];
        tensors.insert(LEXICON_TENSOR.into(), bytes(&shape, lexicon.pictures()));
        let (places, looks) = (backdrops.places(), backdrops.looks());
        let sizes = config.sizes.iter().zip(backdrops.pictures());
        for (number, (&size, pictures)) in sizes.enumerate() {
            let shape = Backdrops::shape(places.len(), looks, size);
            let name = format!("{BACKDROP_TENSORS}{number}");
            tensors.insert(name, bytes(&shape, pictures));
        }
        let metadata = Metadata {
            name: Cow::Borrowed(&self.description.name),
            config: Cow::Borrowed(config),
            lexicon: Cow::Borrowed(entries),
            places: Cow::Borrowed(places),
            tokenizer: tokenizer
                .to_string(false)
                .map_err(|error| Error::Tokenizer(error.to_string()))?,
        };
        let metadata =
            serde_json::to_string(&metadata).map_err(|error| Error::Format(error.to_string()))?;
        let storage = |name: &str| {
            if name == LEXICON_TENSOR || name.starts_with(BACKDROP_TENSORS) {
                Storage::U8
            } else {
                Storage::Bf16
            }
        };
        weights::to_bytes(
            &tensors,
            HashMap::from([(METADATA.to_owned(), metadata)]),
            storage,
        )
    }

    /// The networks.
    pub fn networks(&self) -> &MiniNetworks {
        &self.parts.networks
    }

    /// The same model with other networks of the same sizes.
    pub fn with_networks(self, networks: MiniNetworks) -> Self {
        let description = Description {
            hash: String::new(),
            ..self.description
        };
        let parts = MiniParts {
            networks,
            ..self.parts
        };
        Self {
            parts,
            description,
            ..self
        }
    }

    /// The same model under another name, with another director of its own sizes.
    pub fn with_director(self, name: &str, config: DirectorConfig, director: Director) -> Self {
        let parts = MiniParts {
            config: MiniConfig {
                director: config,
                ..self.parts.config
            },
            networks: MiniNetworks {
                director,
                ..self.parts.networks
            },
            ..self.parts
        };
        Self::new(name, String::new(), parts, &self.device)
    }

    pub(super) fn device(&self) -> &Device {
        &self.device
    }

    /// From words to tokens.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.parts.tokenizer
    }

    /// What named things look like.
    pub fn lexicon(&self) -> &Lexicon {
        &self.parts.lexicon
    }

    /// What named places look like.
    pub fn backdrops(&self) -> &Backdrops {
        &self.parts.backdrops
    }

    /// Sizes.
    pub fn config(&self) -> &MiniConfig {
        &self.parts.config
    }

    fn context(&self, prompt: &str) -> Result<Context, Error> {
        let tokens = tokenize(self.tokenizer(), &self.config().text, &[prompt])?;
        Ok(self.networks().text.forward(&tokens, &self.device))
    }

    /// Entries of the lexicon that get a place in a clip of this prompt, in the order of their slots.
    pub(super) fn cast(&self, prompt: &str) -> Vec<usize> {
        let mut named = self.lexicon().find(prompt);
        if named.is_empty() {
            named.extend(self.lexicon().guess(prompt));
        }
        named.truncate(SLOTS);
        named
    }

    /// Sizes of the plates of a clip of `frame` pixels.
    pub(super) fn plate_size(&self, frame: [usize; 2]) -> PlateSize {
        let config = &self.config().autoencoder;
        PlateSize {
            frame,
            patch: config.patch,
            patch_frames: config.patch_frames,
        }
    }

    /// What the denoiser is given beside the latents of a window, `[1, channels, frames, rows, columns]` with its anchor before them.
    fn condition(
        &self,
        stage: Option<&Stage>,
        window: &Window<'_>,
        latents: &Tensor<5>,
    ) -> Tensor<5> {
        let anchor = window.anchor.map(|anchor| anchor.latent_frame);
        let first = window.first_latent_frame;
        let seen = first..first + window.timesteps.len();
        let [_, _, _, rows, columns] = latents.dims();
        let autoencoder = &self.networks().autoencoder;
        let shown = stage.and_then(|stage| {
            stage.condition(autoencoder, (anchor, seen), [rows, columns], &self.device)
        });
        shown.unwrap_or_else(|| self.uncovered(latents.zeros_like()))
    }

    /// Velocities of windows of the same sizes, as a batch.
    fn batch_velocity(&self, asked: &[(Window<'_>, &Script)]) -> Tensor<5> {
        let frame_secs =
            self.config().autoencoder.patch_frames as f32 / self.config().frames_per_second as f32;
        let (mut timesteps, mut clock_secs) = (Vec::new(), Vec::new());
        let (mut latents, mut conditions) = (Vec::new(), Vec::new());
        for (window, script) in asked {
            let told = window.first_latent_frame.min(LATEST_WINDOW);
            let mut frames: Vec<usize> = (told..told + window.timesteps.len()).collect();
            let mut seen = window.latents.clone();
            if let Some(anchor) = window.anchor {
                frames.insert(0, anchor.latent_frame.min(LATEST_WINDOW));
                timesteps.push(0.0);
                seen = Tensor::cat(vec![anchor.latents.clone(), seen], 2);
            }
            timesteps.extend_from_slice(window.timesteps);
            clock_secs.extend(frames.iter().map(|&frame| frame as f32 * frame_secs));
            conditions.push(match (&script.stage, window.source, window.anchor) {
                // Shown in place of what is named, as given frames are.
                (None, Some(source), None) => self.uncovered(source.clone()),
                (stage, ..) => self.condition(stage.as_ref(), window, &seen),
            });
            latents.push(seen);
        }
        let contexts: Vec<&PreparedContext> =
            asked.iter().map(|(_, script)| &script.context).collect();
        let anchored = asked.iter().any(|(window, _)| window.anchor.is_some());
        let moments = Moments {
            timesteps: &timesteps,
            clock_secs: &clock_secs,
            anchored,
        };
        let velocity = self.networks().transformer.forward(
            Tensor::cat(latents, 0),
            Tensor::cat(conditions, 0),
            moments,
            &PreparedContext::stack(&contexts),
        );
        let anchors = usize::from(anchored);
        let frames = velocity.dims()[2] - anchors;
        velocity.narrow(2, anchors, frames)
    }

    /// The condition of a plate with these latents before which no subject stands.
    fn uncovered(&self, latents: Tensor<5>) -> Tensor<5> {
        let mut shape = latents.dims();
        shape[1] = COVERAGE;
        Tensor::cat(vec![latents, Tensor::zeros(shape, &self.device)], 1)
    }
}

fn read_lexicon(file: &WeightFile<'_>, entries: Vec<Entry>) -> Result<Lexicon, Error> {
    let required = vec![entries.len(), PICTURE_SIZE, PICTURE_SIZE, 4];
    let pictures = read_bytes(file, LEXICON_TENSOR, required)?;
    Ok(Lexicon::new(entries, pictures))
}

fn read_backdrops(
    file: &WeightFile<'_>,
    places: Vec<NamedPlace>,
    sizes: &[[usize; 2]],
) -> Result<Backdrops, Error> {
    if places.is_empty() {
        return Ok(Backdrops::default());
    }
    let mut pictures = Vec::with_capacity(sizes.len());
    let mut looks = None;
    for (number, &size) in sizes.iter().enumerate() {
        let name = format!("{BACKDROP_TENSORS}{number}");
        let got = file
            .bytes(&name)
            .and_then(|(shape, _)| shape.get(1).copied());
        let looks = *looks.get_or_insert(got.unwrap_or(0));
        let required = Backdrops::shape(places.len(), looks, size).to_vec();
        pictures.push(read_bytes(file, &name, required)?);
    }
    let looks = looks.unwrap_or(0);
    Ok(Backdrops::new(places, looks, sizes.to_vec(), pictures))
}

fn read_bytes(file: &WeightFile<'_>, name: &str, required: Vec<usize>) -> Result<Vec<u8>, Error> {
    let missing = || Error::MissingTensor(name.into());
    let (got, values) = file.bytes(name).ok_or_else(missing)?;
    if got != required {
        return Err(Error::TensorShape {
            name: name.into(),
            got,
            required,
        });
    }
    Ok(values.to_vec())
}

impl VideoModel for Mini {
    type Text = Script;
    type DecodeState = DecodeState;

    fn description(&self) -> &Description {
        &self.description
    }

    fn enhance(&self, prompt: &str, seed: u64) -> Option<String> {
        let fits = |text: &str| tokenize(self.tokenizer(), &self.config().text, &[text]).is_ok();
        enhance(prompt, seed, (self.lexicon(), self.backdrops()), fits)
    }

    fn encode_text(&self, prompt: &str) -> Result<Script, Error> {
        Ok(Script {
            context: self.networks().transformer.prepare(&self.context(prompt)?),
            stage: None,
        })
    }

    fn plan(
        &self,
        prompt: &str,
        text: Script,
        clip: ClipShape,
        known: Known<'_>,
    ) -> Result<Script, Error> {
        let stage = self.settle(prompt, clip, known)?;
        Ok(Script {
            stage: Some(stage),
            ..text
        })
    }

    fn velocity(&self, window: Window<'_>, text: &Script) -> Result<Tensor<5>, Error> {
        Ok(self.batch_velocity(&[(window, text)]))
    }

    fn velocities(&self, asked: Vec<(Window<'_>, &Script)>) -> Result<Vec<Tensor<5>>, Error> {
        Ok(self.batch_velocity(&asked).chunk(asked.len(), 0))
    }

    fn encode_frames(&self, video: Tensor<5>) -> Result<Tensor<5>, Error> {
        Ok(self.networks().autoencoder.encode(video))
    }

    fn decode_step(&self, latents: Tensor<5>, state: &mut DecodeState) -> Result<Tensor<5>, Error> {
        Ok(self
            .networks()
            .autoencoder
            .decode_step(latents, None, state))
    }

    fn decode_step_of(
        &self,
        latents: Tensor<5>,
        (first, script): (usize, &Script),
        state: &mut DecodeState,
    ) -> Result<Tensor<5>, Error> {
        let autoencoder = &self.networks().autoencoder;
        let stage = script.stage.as_ref().filter(|_| autoencoder.sees_plates());
        let [_, _, frames, rows, columns] = latents.dims();
        let grid = [frames, rows, columns];
        let lost = stage.and_then(|stage| stage.lost(autoencoder, first, grid, &self.device));
        Ok(autoencoder.decode_step(latents, lost, state))
    }
}
