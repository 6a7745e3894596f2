//! Sizes of the image encoder.

use std::path::Path;

use serde::Deserialize;

use super::{CHANNELS, LAYERS, epsilon, read, within};
use crate::Error;

/// Sizes of the CLIP image encoder: `image_encoder/config.json`. Entries that a file lacks are as in upstream's
/// `configuration_clip.py`, except for the activation, of which Wan's is the only one.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct ImageConfig {
    /// Channels.
    pub hidden_size: usize,
    /// Hidden channels of the perceptrons.
    pub intermediate_size: usize,
    /// Blocks.
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Colours.
    pub num_channels: usize,
    /// Pixels of a picture in each direction.
    pub image_size: usize,
    /// Pixels of a token in each direction.
    pub patch_size: usize,
    /// Activation of the perceptrons.
    pub hidden_act: String,
    /// Added to the variance of every norm.
    pub layer_norm_eps: f64,
}

impl Default for ImageConfig {
    fn default() -> Self {
        Self {
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            patch_size: 32,
            ..Self::vit_h()
        }
    }
}

impl ImageConfig {
    /// `Wan-AI/Wan2.1-I2V-14B-480P-Diffusers/image_encoder`: the ViT-H of OpenCLIP.
    pub fn vit_h() -> Self {
        Self {
            hidden_size: 1280,
            intermediate_size: 5120,
            num_hidden_layers: 32,
            num_attention_heads: 16,
            num_channels: 3,
            image_size: 224,
            patch_size: 14,
            hidden_act: "gelu".into(),
            layer_norm_eps: 1e-5,
        }
    }

    /// Reads `config.json` of `folder`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] where the file is of another network or has a number that no encoder can have.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let classes = ["CLIPVisionModel", "CLIPVisionModelWithProjection"];
        read(folder, &classes, Self::validate)
    }

    /// Tokens along one side of a picture.
    pub fn side(&self) -> usize {
        self.image_size / self.patch_size
    }

    /// # Errors
    ///
    /// Names a number that no network of this kind can have.
    pub fn validate(&self) -> Result<(), String> {
        within("hidden_size", self.hidden_size, CHANNELS)?;
        within("intermediate_size", self.intermediate_size, 1..=1 << 20)?;
        within("num_hidden_layers", self.num_hidden_layers, LAYERS)?;
        within("num_attention_heads", self.num_attention_heads, 1..=1024)?;
        within("num_channels", self.num_channels, 1..=64)?;
        within("image_size", self.image_size, 1..=4096)?;
        within("patch_size", self.patch_size, 1..=self.image_size)?;
        epsilon("layer_norm_eps", self.layer_norm_eps)?;
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return Err(format!(
                "{} heads do not share {} channels",
                self.num_attention_heads, self.hidden_size
            ));
        }
        match self.hidden_act.as_str() {
            "gelu" => Ok(()),
            other => Err(format!("hidden_act is '{other}', expected 'gelu'")),
        }
    }
}
