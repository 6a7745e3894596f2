//! Sizes of a network: from `config.json` where a folder has one, else from the shapes of its tensors.
//!
//! What shapes do not tell is the same in every model of the family: heads of 128 channels in the transformer and of 80
//! in the image encoder, epsilons, the text encoder's longest distance, the statistics of the latents.

use std::fs::File;
use std::io::Read;

use serde::Deserialize;

use super::{Checkpoint, Network};
use crate::Error;
use crate::wan::config::{
    AutoencoderConfig, ImageConfig, TextConfig, TransformerConfig, VaceConfig,
};

/// Channels of a head of every CLIP ViT-H.
const IMAGE_HEAD: usize = 80;
/// Larger than any configuration file.
const LARGEST_FILE: u64 = 1 << 20;

/// The `config.json` of Wan's own folders, as far as shapes do not tell it.
#[derive(Deserialize)]
struct OriginalConfig {
    #[serde(rename = "_class_name")]
    class: String,
    num_heads: usize,
    #[serde(default)]
    eps: Option<f64>,
}

impl Checkpoint {
    /// Sizes of a transformer.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] where they cannot be told, or are such as no transformer can have.
    pub fn transformer_config(&self) -> Result<TransformerConfig, Error> {
        if self.has_config() && self.original_config().is_none() {
            return TransformerConfig::read(&self.path);
        }
        let config = self.infer_transformer()?;
        self.checked(config, TransformerConfig::validate)
    }

    /// Sizes of a VACE transformer.
    ///
    /// # Errors
    ///
    /// As [`transformer_config`](Self::transformer_config).
    pub fn vace_config(&self) -> Result<VaceConfig, Error> {
        if self.has_config() && self.original_config().is_none() {
            return VaceConfig::read(&self.path);
        }
        let transformer = self.infer_transformer()?;
        let [_, vace_in_channels, _, _, _] = self.shape("vace_patch_embedding.weight")?;
        let hints = self.count("vace_blocks.");
        // The hints are for evenly spaced blocks from the first on: 15 of 30, 8 of 40.
        let step = transformer
            .num_layers
            .checked_div(hints)
            .unwrap_or(0)
            .max(1);
        let config = VaceConfig {
            vace_layers: (0..transformer.num_layers.min(1 << 10))
                .step_by(step)
                .take(hints)
                .collect(),
            transformer,
            vace_in_channels,
        };
        self.checked(config, VaceConfig::validate)
    }

    /// Sizes of a text encoder.
    ///
    /// # Errors
    ///
    /// As [`transformer_config`](Self::transformer_config).
    pub fn text_config(&self) -> Result<TextConfig, Error> {
        if self.has_config() {
            return TextConfig::read(&self.path);
        }
        let embedding = match self.tensors.contains_key("shared.weight") {
            true => "shared.weight",
            false => "encoder.embed_tokens.weight",
        };
        let [vocab_size, d_model] = self.shape(embedding)?;
        let first = |name: &str| format!("encoder.block.0.layer.{name}.weight");
        let [buckets, num_heads] = self.shape(&first("0.SelfAttention.relative_attention_bias"))?;
        let [inner, _] = self.shape(&first("0.SelfAttention.q"))?;
        let [d_ff, _] = self.shape(&first("1.DenseReluDense.wi_0"))?;
        let config = TextConfig {
            vocab_size,
            d_model,
            d_kv: inner.checked_div(num_heads).unwrap_or(0),
            d_ff,
            num_layers: self.count("encoder.block."),
            num_heads,
            relative_attention_num_buckets: buckets,
            ..TextConfig::xxl()
        };
        self.checked(config, TextConfig::validate)
    }

    /// Sizes of an autoencoder: 2.1 or 2.2, which may be narrower than Wan's own.
    ///
    /// # Errors
    ///
    /// As [`transformer_config`](Self::transformer_config).
    pub fn autoencoder_config(&self) -> Result<AutoencoderConfig, Error> {
        if self.has_config() {
            return AutoencoderConfig::read(&self.path);
        }
        let is_residual = self
            .tensors
            .keys()
            .any(|name| name.starts_with("encoder.down_blocks.0.resnets."));
        let preset = match is_residual {
            true => AutoencoderConfig::wan_2_2(),
            false => AutoencoderConfig::wan_2_1(),
        };
        let [z_dim, _, _, _, _] = self.shape("post_quant_conv.weight")?;
        if z_dim != preset.z_dim {
            return Err(self.unknown(format!(
                "latents have {z_dim} channels, but those of Wan {} have {}",
                if is_residual { "2.2" } else { "2.1" },
                preset.z_dim
            )));
        }
        let [base_dim, _, _, _, _] = self.shape("encoder.conv_in.weight")?;
        let [decoder, _, _, _] = self.shape("decoder.norm_out.gamma")?;
        let config = AutoencoderConfig {
            base_dim,
            decoder_base_dim: (decoder != base_dim).then_some(decoder),
            ..preset
        };
        self.checked(config, AutoencoderConfig::validate)
    }

    /// Sizes of an image encoder.
    ///
    /// # Errors
    ///
    /// As [`transformer_config`](Self::transformer_config).
    pub fn image_config(&self) -> Result<ImageConfig, Error> {
        if self.has_config() {
            return ImageConfig::read(&self.path);
        }
        let [hidden_size, num_channels, patch_size, _] =
            self.shape("embeddings.patch_embedding.weight")?;
        let [intermediate_size, _] = self.shape("encoder.layers.0.mlp.fc1.weight")?;
        let positions = "embeddings.position_embedding.weight";
        let places = match self.tensors.get(positions) {
            Some(table) => table.len().checked_div(hidden_size).unwrap_or(0),
            None => return Err(self.lacks(positions)),
        };
        let side = places.saturating_sub(1).isqrt();
        let config = ImageConfig {
            hidden_size,
            intermediate_size,
            num_hidden_layers: self.count("encoder.layers."),
            num_attention_heads: hidden_size / IMAGE_HEAD,
            num_channels,
            image_size: side.saturating_mul(patch_size),
            patch_size,
            ..ImageConfig::vit_h()
        };
        self.checked(config, ImageConfig::validate)
    }

    fn infer_transformer(&self) -> Result<TransformerConfig, Error> {
        let preset = TransformerConfig::t2v_14b();
        let original = self.original_config();
        let [width, in_channels, frames, rows, columns] = self.shape("patch_embedding.weight")?;
        let patch_size = [frames, rows, columns];
        let [outputs, _] = self.shape("proj_out.weight")?;
        let embedder = |name: &str| format!("condition_embedder.{name}.weight");
        let [_, freq_dim] = self.shape(&embedder("time_embedder.linear_1"))?;
        let [_, text_dim] = self.shape(&embedder("text_embedder.linear_1"))?;
        let [ffn_dim, _] = self.shape("blocks.0.ffn.net.0.proj.weight")?;
        let heads = match &original {
            Some(original) => original.num_heads,
            None => width / preset.attention_head_dim,
        };
        let head_dim = width.checked_div(heads).unwrap_or(0);
        if head_dim * heads != width || heads == 0 {
            return Err(self.unknown(format!(
                "{width} channels are no whole heads of {}; a config.json beside the weights would say how many",
                preset.attention_head_dim
            )));
        }
        let optional = |name: &str| self.tensors.get(name).map(|stored| &*stored.shape);
        let image = |name: &str| format!("condition_embedder.image_embedder.{name}");
        let image_dim = optional(&image("norm1.weight")).and_then(<[usize]>::first);
        let positions = match optional(&image("pos_embed")) {
            Some([_, tokens, _]) => Some(*tokens),
            _ => None,
        };
        Ok(TransformerConfig {
            patch_size,
            num_attention_heads: heads,
            attention_head_dim: head_dim,
            in_channels,
            // Sizes of a tensor can be multiplied.
            out_channels: outputs.checked_div(frames * rows * columns),
            text_dim,
            freq_dim,
            ffn_dim,
            num_layers: self.count("blocks."),
            cross_attn_norm: optional("blocks.0.norm2.weight").is_some(),
            eps: original
                .and_then(|original| original.eps)
                .unwrap_or(preset.eps),
            image_dim: image_dim.copied(),
            added_kv_proj_dim: optional("blocks.0.attn2.add_k_proj.weight").map(|_| width),
            pos_embed_seq_len: positions,
            ..preset
        })
    }

    fn has_config(&self) -> bool {
        self.path.join("config.json").is_file()
    }

    /// The configuration of Wan's own folders, if there is one.
    fn original_config(&self) -> Option<OriginalConfig> {
        let transformers = [Some(Network::Transformer), Some(Network::Vace)];
        if !transformers.contains(&self.network) {
            return None;
        }
        let mut text = String::new();
        File::open(self.path.join("config.json"))
            .and_then(|file| file.take(LARGEST_FILE).read_to_string(&mut text))
            .ok()?;
        let config: OriginalConfig = serde_json::from_str(&text).ok()?;
        ["WanModel", "VaceWanModel"]
            .contains(&config.class.as_str())
            .then_some(config)
    }

    /// Layers in a list: one more than the last one's number.
    fn count(&self, list: &str) -> usize {
        let numbers = self.tensors.keys().filter_map(|name| {
            let (number, _) = name.strip_prefix(list)?.split_once('.')?;
            number.parse::<usize>().ok()
        });
        numbers.max().map_or(0, |last| last.saturating_add(1))
    }

    /// Sizes of a tensor along so many axes.
    fn shape<const D: usize>(&self, name: &str) -> Result<[usize; D], Error> {
        let stored = self.tensors.get(name).ok_or_else(|| self.lacks(name))?;
        <[usize; D]>::try_from(&*stored.shape).map_err(|_| {
            self.unknown(format!(
                "'{name}' has shape {:?}, expected {D} axes",
                stored.shape
            ))
        })
    }

    fn lacks(&self, name: &str) -> Error {
        self.unknown(format!("there is no tensor '{name}'"))
    }

    fn unknown(&self, reason: String) -> Error {
        Error::Config {
            path: self.path.clone(),
            reason: format!("the sizes of the network cannot be told: {reason}"),
        }
    }

    fn checked<C>(&self, config: C, check: fn(&C) -> Result<(), String>) -> Result<C, Error> {
        match check(&config) {
            Ok(()) => Ok(config),
            Err(reason) => Err(self.unknown(reason)),
        }
    }
}
