//! The networks of the family together, their weight file, and the seam to the pipeline.

use std::collections::HashMap;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use tokenizers::Tokenizer;

use super::autoencoder::{Autoencoder, DecodeState};
use super::config::MiniConfig;
use super::lexicon::{Entry, Lexicon, REFERENCE_TOKENS};
use super::text::{TextEncoder, tokenize};
use super::transformer::{Context, PreparedContext, Transformer};
use crate::weights::{self, Storage, TensorMap, Values};
use crate::{Description, Error, VideoModel, Window};

const LEXICON_TENSOR: &str = "lexicon.latents";

/// All that gradient descent trains.
#[derive(Module, Debug)]
pub struct MiniNetworks {
    /// Pixels ⇄ latents.
    pub autoencoder: Autoencoder,
    /// Words → context.
    pub text: TextEncoder,
    /// The denoiser.
    pub transformer: Transformer,
}

impl MiniNetworks {
    /// Fresh networks.
    pub fn new(config: &MiniConfig, device: &Device) -> Self {
        let channels = config.autoencoder.latent_channels;
        Self {
            autoencoder: Autoencoder::new(&config.autoencoder, device),
            text: TextEncoder::new(&config.text, channels, REFERENCE_TOKENS, device),
            transformer: Transformer::new(config, device),
        }
    }
}

/// A trained model: networks, tokenizer and lexicon.
#[derive(Debug, Clone)]
pub struct Mini {
    config: MiniConfig,
    networks: MiniNetworks,
    tokenizer: Tokenizer,
    lexicon: Lexicon,
    description: Description,
    device: Device,
}

impl Mini {
    /// Puts the parts together; `name` is shown to people, `hash` identifies the weights.
    pub fn new(
        name: &str,
        hash: String,
        config: MiniConfig,
        networks: MiniNetworks,
        tokenizer: Tokenizer,
        lexicon: Lexicon,
        device: &Device,
    ) -> Self {
        let description = Description {
            name: name.to_owned(),
            hash,
            latent_channels: config.autoencoder.latent_channels,
            spatial_stride: config.autoencoder.patch,
            temporal_stride: config.autoencoder.patch_frames,
            window: config.window,
            overlap: 1,
            frames_per_second: config.frames_per_second,
            sizes: config.sizes.clone(),
        };
        Self {
            config,
            networks,
            tokenizer,
            lexicon,
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
        let (mut tensors, metadata) = weights::from_bytes(bytes)?;
        let entry = |key: &str| {
            metadata
                .get(key)
                .ok_or_else(|| Error::Format(format!("it has no '{key}' entry")))
        };
        let bad = |key: &str, error: String| Error::Format(format!("entry '{key}': {error}"));
        let name = entry("name")?;
        let config: MiniConfig = serde_json::from_str(entry("config")?)
            .map_err(|error| bad("config", error.to_string()))?;
        let tokenizer = Tokenizer::from_bytes(entry("tokenizer")?)
            .map_err(|error| bad("tokenizer", error.to_string()))?;
        let entries: Vec<Entry> = serde_json::from_str(entry("lexicon")?)
            .map_err(|error| bad("lexicon", error.to_string()))?;
        let latents = tensors
            .remove(LEXICON_TENSOR)
            .ok_or_else(|| Error::MissingTensor(LEXICON_TENSOR.into()))?;
        let required = vec![
            entries.len(),
            REFERENCE_TOKENS,
            config.autoencoder.latent_channels,
        ];
        if latents.shape != required {
            return Err(Error::TensorShape {
                name: LEXICON_TENSOR.into(),
                got: latents.shape,
                required,
            });
        }
        let networks = weights::assign(MiniNetworks::new(&config, device), "model", &tensors)?;
        Ok(Self::new(
            name,
            weights::sha256(bytes),
            config,
            networks,
            tokenizer,
            Lexicon::new(entries, latents.data),
            device,
        ))
    }

    /// The weight file, in bfloat16.
    ///
    /// # Errors
    ///
    /// [`Error::Format`] where the parts cannot be serialised.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        let mut tensors: TensorMap = weights::collect(&self.networks, "model");
        let entries = self.lexicon.entries();
        tensors.insert(
            LEXICON_TENSOR.into(),
            Values {
                shape: vec![
                    entries.len(),
                    REFERENCE_TOKENS,
                    self.config.autoencoder.latent_channels,
                ],
                data: self.lexicon.latents().to_vec(),
            },
        );
        let json = |error: serde_json::Error| Error::Format(error.to_string());
        let tokenizer = self
            .tokenizer
            .to_string(false)
            .map_err(|error| Error::Tokenizer(error.to_string()))?;
        let metadata = HashMap::from([
            ("name".to_owned(), self.description.name.clone()),
            (
                "config".to_owned(),
                serde_json::to_string(&self.config).map_err(json)?,
            ),
            (
                "lexicon".to_owned(),
                serde_json::to_string(entries).map_err(json)?,
            ),
            ("tokenizer".to_owned(), tokenizer),
        ]);
        weights::to_bytes(&tensors, metadata, Storage::Bf16)
    }

    /// The networks.
    pub fn networks(&self) -> &MiniNetworks {
        &self.networks
    }

    /// What named things look like.
    pub fn lexicon(&self) -> &Lexicon {
        &self.lexicon
    }

    /// Sizes.
    pub fn config(&self) -> &MiniConfig {
        &self.config
    }

    fn context(&self, prompt: &str) -> Result<Context, Error> {
        let tokens = tokenize(&self.tokenizer, &self.config.text, &[prompt])?;
        let subjects = vec![self.lexicon.find(prompt)];
        let (references, counts) = self.lexicon.references(&subjects, &self.device);
        Ok(self.networks.text.forward(&tokens, references, &counts))
    }
}

impl VideoModel for Mini {
    type Text = PreparedContext;
    type DecodeState = DecodeState;

    fn description(&self) -> &Description {
        &self.description
    }

    fn encode_text(&self, prompt: &str) -> Result<PreparedContext, Error> {
        Ok(self.networks.transformer.prepare(&self.context(prompt)?))
    }

    fn velocity(&self, window: Window<'_>, text: &PreparedContext) -> Tensor<5> {
        let frames_per_latent = self.config.autoencoder.patch_frames as f32;
        let clock_secs: Vec<f32> = (0..window.timesteps.len())
            .map(|frame| {
                (window.first_latent_frame + frame) as f32 * frames_per_latent
                    / self.config.frames_per_second as f32
            })
            .collect();
        self.networks
            .transformer
            .forward(window.latents, window.timesteps, &clock_secs, text)
    }

    fn encode_frames(&self, video: Tensor<5>) -> Tensor<5> {
        self.networks.autoencoder.encode(video)
    }

    fn decode_step(&self, latents: Tensor<5>, state: &mut DecodeState) -> Tensor<5> {
        self.networks.autoencoder.decode_step(latents, state)
    }
}
