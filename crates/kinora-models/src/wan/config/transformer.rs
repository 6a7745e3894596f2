//! Sizes of the transformer, text to video and image to video.

use std::path::Path;

use serde::Deserialize;

use super::{CHANNELS, LAYERS, epsilon, even, read, within};
use crate::Error;

/// Sizes of the transformer: `transformer/config.json`. Entries that a file lacks are as in upstream's constructor.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct TransformerConfig {
    /// Latent frames, rows and columns of a token.
    pub patch_size: [usize; 3],
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Channels of a head.
    pub attention_head_dim: usize,
    /// Channels that go in: latents, and for image-conditioned models a mask and known latents.
    pub in_channels: usize,
    /// Channels that come out; as many as go in where the file says `null`.
    pub out_channels: Option<usize>,
    /// Channels of the encoded text.
    pub text_dim: usize,
    /// Sinusoids of the timestep.
    pub freq_dim: usize,
    /// Hidden channels of the perceptrons.
    pub ffn_dim: usize,
    /// Blocks.
    pub num_layers: usize,
    /// Whether a layer norm stands before cross-attention.
    pub cross_attn_norm: bool,
    /// Added to the variance of every norm.
    pub eps: f64,
    /// Channels of an encoded image, of models that see one.
    pub image_dim: Option<usize>,
    /// Channels of the keys and values of an image.
    pub added_kv_proj_dim: Option<usize>,
    /// Positions along each axis.
    pub rope_max_seq_len: usize,
    /// Tokens of the first and the last frame's images together, of models that see both.
    pub pos_embed_seq_len: Option<usize>,
}

impl Default for TransformerConfig {
    fn default() -> Self {
        Self::t2v_14b()
    }
}

impl TransformerConfig {
    /// `Wan-AI/Wan2.1-T2V-14B-Diffusers/transformer`; both experts of `Wan-AI/Wan2.2-T2V-A14B-Diffusers` too.
    pub fn t2v_14b() -> Self {
        Self {
            patch_size: [1, 2, 2],
            num_attention_heads: 40,
            attention_head_dim: 128,
            in_channels: 16,
            out_channels: Some(16),
            text_dim: 4096,
            freq_dim: 256,
            ffn_dim: 13824,
            num_layers: 40,
            cross_attn_norm: true,
            eps: 1e-6,
            image_dim: None,
            added_kv_proj_dim: None,
            rope_max_seq_len: 1024,
            pos_embed_seq_len: None,
        }
    }

    /// `Wan-AI/Wan2.1-T2V-1.3B-Diffusers/transformer`.
    pub fn t2v_1_3b() -> Self {
        Self {
            num_attention_heads: 12,
            ffn_dim: 8960,
            num_layers: 30,
            ..Self::t2v_14b()
        }
    }

    /// `Wan-AI/Wan2.1-I2V-14B-480P-Diffusers/transformer`, and 720P.
    pub fn i2v_14b() -> Self {
        Self {
            in_channels: 36,
            image_dim: Some(1280),
            added_kv_proj_dim: Some(5120),
            ..Self::t2v_14b()
        }
    }

    /// `Wan-AI/Wan2.1-FLF2V-14B-720P-diffusers/transformer`: first and last frame.
    pub fn flf2v_14b() -> Self {
        Self {
            pos_embed_seq_len: Some(514),
            ..Self::i2v_14b()
        }
    }

    /// Both experts of `Wan-AI/Wan2.2-I2V-A14B-Diffusers`: the image comes with the latents alone.
    pub fn i2v_a14b() -> Self {
        Self {
            in_channels: 36,
            ..Self::t2v_14b()
        }
    }

    /// `Wan-AI/Wan2.2-TI2V-5B-Diffusers/transformer`.
    pub fn ti2v_5b() -> Self {
        Self {
            num_attention_heads: 24,
            in_channels: 48,
            out_channels: Some(48),
            ffn_dim: 14336,
            num_layers: 30,
            ..Self::t2v_14b()
        }
    }

    /// Reads `config.json` of `folder`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] where the file is of another network or has a number that no transformer can have.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        read(folder, &["WanTransformer3DModel"], Self::validate)
    }

    /// Channels inside.
    pub fn width(&self) -> usize {
        self.num_attention_heads * self.attention_head_dim
    }

    /// Channels that come out.
    pub fn channels_out(&self) -> usize {
        self.out_channels.unwrap_or(self.in_channels)
    }

    /// # Errors
    ///
    /// Names a number that no network of this kind can have.
    pub fn validate(&self) -> Result<(), String> {
        for patch in self.patch_size {
            within("patch_size", patch, 1..=16)?;
        }
        within("num_attention_heads", self.num_attention_heads, 1..=1024)?;
        within("attention_head_dim", self.attention_head_dim, 2..=1024)?;
        within("in_channels", self.in_channels, CHANNELS)?;
        within("out_channels", self.channels_out(), CHANNELS)?;
        within("text_dim", self.text_dim, CHANNELS)?;
        within("freq_dim", self.freq_dim, 2..=1 << 16)?;
        within("ffn_dim", self.ffn_dim, 1..=1 << 20)?;
        within("num_layers", self.num_layers, LAYERS)?;
        within("rope_max_seq_len", self.rope_max_seq_len, 1..=1 << 20)?;
        even("attention_head_dim", self.attention_head_dim)?;
        even("freq_dim", self.freq_dim)?;
        epsilon("eps", self.eps)?;
        match (self.image_dim, self.added_kv_proj_dim) {
            (None, None) | (Some(_), None) => {}
            (Some(_), Some(added)) if added == self.width() => {}
            (Some(_), Some(added)) => {
                return Err(format!(
                    "added_kv_proj_dim is {added}, but the network has {} channels",
                    self.width()
                ));
            }
            (None, Some(_)) => return Err("added_kv_proj_dim without image_dim".into()),
        }
        if let Some(channels) = self.image_dim {
            within("image_dim", channels, CHANNELS)?;
        }
        match (self.image_dim, self.pos_embed_seq_len) {
            (None, Some(_)) => Err("pos_embed_seq_len without image_dim".into()),
            (_, Some(tokens)) => {
                within("pos_embed_seq_len", tokens, 2..=1 << 16)?;
                even("pos_embed_seq_len", tokens)
            }
            (_, None) => Ok(()),
        }
    }
}

/// Sizes of the VACE transformer: those of the transformer, and of its second branch.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct VaceConfig {
    /// The first branch.
    #[serde(flatten)]
    pub transformer: TransformerConfig,
    /// Blocks of the first branch that receive a hint of the second.
    pub vace_layers: Vec<usize>,
    /// Channels of what is given.
    pub vace_in_channels: usize,
}

impl Default for VaceConfig {
    fn default() -> Self {
        Self::vace_14b()
    }
}

impl VaceConfig {
    /// `Wan-AI/Wan2.1-VACE-14B-diffusers/transformer`.
    pub fn vace_14b() -> Self {
        Self {
            transformer: TransformerConfig::t2v_14b(),
            vace_layers: (0..40).step_by(5).collect(),
            vace_in_channels: 96,
        }
    }

    /// `Wan-AI/Wan2.1-VACE-1.3B-diffusers/transformer`.
    pub fn vace_1_3b() -> Self {
        Self {
            transformer: TransformerConfig::t2v_1_3b(),
            vace_layers: (0..30).step_by(2).collect(),
            ..Self::vace_14b()
        }
    }

    /// Reads `config.json` of `folder`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] where the file is of another network or has a number that no transformer can have.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        read(folder, &["WanVACETransformer3DModel"], Self::validate)
    }

    /// # Errors
    ///
    /// Names a number that no network of this kind can have.
    pub fn validate(&self) -> Result<(), String> {
        self.transformer.validate()?;
        within("vace_in_channels", self.vace_in_channels, CHANNELS)?;
        let rises = self.vace_layers.is_sorted_by(|a, b| a < b);
        let fits = self.vace_layers.last() < Some(&self.transformer.num_layers);
        if self.vace_layers.first() != Some(&0) || !rises || !fits {
            return Err(format!(
                "vace_layers is {:?}, expected rising numbers from 0 to below {}",
                self.vace_layers, self.transformer.num_layers
            ));
        }
        Ok(())
    }
}
