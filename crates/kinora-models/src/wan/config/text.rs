//! Sizes of the text encoder.

use std::path::Path;

use serde::Deserialize;

use super::{CHANNELS, LAYERS, epsilon, read, within};
use crate::Error;

/// Sizes of the umT5 encoder: `text_encoder/config.json`. Entries that a file lacks are as in upstream's
/// `configuration_umt5.py`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct TextConfig {
    /// Entries of the tokenizer.
    pub vocab_size: usize,
    /// Channels.
    pub d_model: usize,
    /// Channels of a head.
    pub d_kv: usize,
    /// Hidden channels of the perceptrons.
    pub d_ff: usize,
    /// Blocks.
    pub num_layers: usize,
    /// Attention heads.
    pub num_heads: usize,
    /// Entries of each table of relative positions.
    pub relative_attention_num_buckets: usize,
    /// Tokens from which on all distances are one.
    pub relative_attention_max_distance: usize,
    /// Added to the mean square of every norm.
    pub layer_norm_epsilon: f64,
    /// Kind of perceptron.
    pub feed_forward_proj: String,
}

impl Default for TextConfig {
    fn default() -> Self {
        Self {
            vocab_size: 250_112,
            d_model: 512,
            d_ff: 1024,
            num_layers: 8,
            num_heads: 6,
            ..Self::xxl()
        }
    }
}

impl TextConfig {
    /// `text_encoder` of every Wan folder: the encoder of `google/umt5-xxl`.
    pub fn xxl() -> Self {
        Self {
            vocab_size: 256_384,
            d_model: 4096,
            d_kv: 64,
            d_ff: 10240,
            num_layers: 24,
            num_heads: 64,
            relative_attention_num_buckets: 32,
            relative_attention_max_distance: 128,
            layer_norm_epsilon: 1e-6,
            feed_forward_proj: "gated-gelu".into(),
        }
    }

    /// Reads `config.json` of `folder`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] where the file is of another network or has a number that no encoder can have.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        read(folder, &["UMT5EncoderModel"], Self::validate)
    }

    /// # Errors
    ///
    /// Names a number that no network of this kind can have.
    pub fn validate(&self) -> Result<(), String> {
        within("vocab_size", self.vocab_size, 1..=1 << 24)?;
        within("d_model", self.d_model, CHANNELS)?;
        within("d_kv", self.d_kv, 1..=1024)?;
        within("d_ff", self.d_ff, 1..=1 << 20)?;
        within("num_layers", self.num_layers, LAYERS)?;
        within("num_heads", self.num_heads, 1..=1024)?;
        let (buckets, distance) = (
            self.relative_attention_num_buckets,
            self.relative_attention_max_distance,
        );
        within("relative_attention_num_buckets", buckets, 4..=1 << 16)?;
        within("relative_attention_max_distance", distance, 2..=1 << 20)?;
        if distance <= buckets / 4 {
            return Err(format!(
                "relative_attention_max_distance is {distance}, which {buckets} buckets exceed"
            ));
        }
        epsilon("layer_norm_epsilon", self.layer_norm_epsilon)?;
        match self.feed_forward_proj.as_str() {
            "gated-gelu" => Ok(()),
            other => Err(format!(
                "feed_forward_proj is '{other}', expected 'gated-gelu'"
            )),
        }
    }
}
