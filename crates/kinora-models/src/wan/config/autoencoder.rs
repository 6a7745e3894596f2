//! Sizes of the autoencoders.

use std::path::Path;

use serde::Deserialize;

use super::{CHANNELS, read, within};
use crate::Error;

/// Sizes of the autoencoder: `vae/config.json`. Entries that a file lacks are as in upstream's constructor.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct AutoencoderConfig {
    /// Channels of the encoder at full size.
    pub base_dim: usize,
    /// Channels of the decoder at full size, where they differ.
    pub decoder_base_dim: Option<usize>,
    /// Channels of a latent.
    pub z_dim: usize,
    /// Channels at each size, as multiples.
    pub dim_mult: Vec<usize>,
    /// Residual blocks at each size.
    pub num_res_blocks: usize,
    /// Sizes with attention; upstream cannot run any.
    pub attn_scales: Vec<f64>,
    /// At which step down the frames are halved too.
    pub temperal_downsample: Vec<bool>,
    /// Mean of each latent channel.
    pub latents_mean: Vec<f32>,
    /// Deviation of each latent channel.
    pub latents_std: Vec<f32>,
    /// Whether steps down and up have shortcuts (2.2).
    pub is_residual: bool,
    /// Channels that go in.
    pub in_channels: usize,
    /// Channels that come out.
    pub out_channels: usize,
    /// Pixels in each direction that are gathered into channels first.
    pub patch_size: Option<usize>,
}

impl Default for AutoencoderConfig {
    fn default() -> Self {
        Self::wan_2_1()
    }
}

impl AutoencoderConfig {
    /// `vae` of every Wan 2.1 folder and of `Wan-AI/Wan2.2-*-A14B-Diffusers`: 4 frames × 8 × 8 pixels a latent.
    pub fn wan_2_1() -> Self {
        Self {
            base_dim: 96,
            decoder_base_dim: None,
            z_dim: 16,
            dim_mult: vec![1, 2, 4, 4],
            num_res_blocks: 2,
            attn_scales: Vec::new(),
            temperal_downsample: vec![false, true, true],
            latents_mean: vec![
                -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508, 0.4134,
                -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921,
            ],
            latents_std: vec![
                2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743, 3.2687, 2.1526,
                2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160,
            ],
            is_residual: false,
            in_channels: 3,
            out_channels: 3,
            patch_size: None,
        }
    }

    /// `Wan-AI/Wan2.2-TI2V-5B-Diffusers/vae`: 4 frames × 16 × 16 pixels a latent.
    pub fn wan_2_2() -> Self {
        Self {
            base_dim: 160,
            decoder_base_dim: Some(256),
            z_dim: 48,
            latents_mean: vec![
                -0.2289, -0.0052, -0.1323, -0.2339, -0.2799, 0.0174, 0.1838, 0.1557, -0.1382,
                0.0542, 0.2813, 0.0891, 0.1570, -0.0098, 0.0375, -0.1825, -0.2246, -0.1207,
                -0.0698, 0.5109, 0.2665, -0.2108, -0.2158, 0.2502, -0.2055, -0.0322, 0.1109,
                0.1567, -0.0729, 0.0899, -0.2799, -0.1230, -0.0313, -0.1649, 0.0117, 0.0723,
                -0.2839, -0.2083, -0.0520, 0.3748, 0.0152, 0.1957, 0.1433, -0.2944, 0.3573,
                -0.0548, -0.1681, -0.0667,
            ],
            latents_std: vec![
                0.4765, 1.0364, 0.4514, 1.1677, 0.5313, 0.4990, 0.4818, 0.5013, 0.8158, 1.0344,
                0.5894, 1.0901, 0.6885, 0.6165, 0.8454, 0.4978, 0.5759, 0.3523, 0.7135, 0.6804,
                0.5833, 1.4146, 0.8986, 0.5659, 0.7069, 0.5338, 0.4889, 0.4917, 0.4069, 0.4999,
                0.6866, 0.4093, 0.5709, 0.6065, 0.6415, 0.4944, 0.5726, 1.2042, 0.5458, 1.6887,
                0.3971, 1.0600, 0.3943, 0.5537, 0.5444, 0.4089, 0.7468, 0.7744,
            ],
            is_residual: true,
            in_channels: 12,
            out_channels: 12,
            patch_size: Some(2),
            ..Self::wan_2_1()
        }
    }

    /// Reads `config.json` of `folder`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] where the file is of another network or has a number that no autoencoder can have.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        read(folder, &["AutoencoderKLWan"], Self::validate)
    }

    /// Channels of the decoder at full size.
    pub fn decoder_dim(&self) -> usize {
        self.decoder_base_dim.unwrap_or(self.base_dim)
    }

    /// Pixels in each direction that are gathered into channels first; 1 for none.
    pub fn patch(&self) -> usize {
        self.patch_size.unwrap_or(1)
    }

    /// Frames of a latent frame after the first.
    pub fn temporal_stride(&self) -> usize {
        1 << self.temporal_steps()
    }

    /// Pixels of a latent in each direction.
    pub fn spatial_stride(&self) -> usize {
        self.patch() << (self.dim_mult.len() - 1)
    }

    fn temporal_steps(&self) -> usize {
        self.temperal_downsample
            .iter()
            .filter(|&&halves| halves)
            .count()
    }

    /// # Errors
    ///
    /// Names a number that no network of this kind can have.
    pub fn validate(&self) -> Result<(), String> {
        within("base_dim", self.base_dim, 1..=4096)?;
        within("decoder_base_dim", self.decoder_dim(), 1..=4096)?;
        within("z_dim", self.z_dim, 1..=4096)?;
        within("entries of dim_mult", self.dim_mult.len(), 1..=8)?;
        for &multiple in &self.dim_mult {
            within("dim_mult", multiple, 1..=64)?;
        }
        within("num_res_blocks", self.num_res_blocks, 1..=16)?;
        within("in_channels", self.in_channels, CHANNELS)?;
        within("out_channels", self.out_channels, CHANNELS)?;
        within("patch_size", self.patch(), 1..=16)?;
        let squared = self.patch() * self.patch();
        for (name, channels) in [
            ("in_channels", self.in_channels),
            ("out_channels", self.out_channels),
        ] {
            if channels % squared != 0 {
                return Err(format!(
                    "{name} is {channels}, no multiple of {squared} pixels"
                ));
            }
        }
        if !self.attn_scales.is_empty() {
            return Err("attn_scales is not empty, which upstream cannot run either".into());
        }
        let steps = self.dim_mult.len() - 1;
        if self.temperal_downsample.len() != steps {
            let entries = self.temperal_downsample.len();
            return Err(format!(
                "temperal_downsample has {entries} entries for {steps} steps down"
            ));
        }
        if self.temporal_steps() > 2 {
            return Err("temperal_downsample halves the frames more than twice".into());
        }
        for (name, values) in [
            ("latents_mean", &self.latents_mean),
            ("latents_std", &self.latents_std),
        ] {
            if values.len() != self.z_dim || !values.iter().all(|value| value.is_finite()) {
                return Err(format!("{name} is not {} numbers", self.z_dim));
            }
        }
        self.validate_steps()
    }

    /// The decoder of 2.1 halves its channels at each step up; the shortcuts of 2.2 share them out evenly.
    fn validate_steps(&self) -> Result<(), String> {
        let steps = self.dim_mult.len() - 1;
        // Values that the shortcut of a step gathers into one place, or spreads from one.
        let factor = |step: usize| match step {
            step if step == steps => 1,
            step => 4 << usize::from(self.temperal_downsample[step]),
        };
        let mut narrow = 1;
        for (step, &wide) in self.dim_mult.iter().enumerate() {
            if self.is_residual && narrow * factor(step) % wide != 0 {
                return Err(format!(
                    "dim_mult goes from {narrow} to {wide} at step {step}, which a shortcut cannot share out"
                ));
            }
            narrow = wide;
        }
        let wide_to_narrow: Vec<usize> = self.dim_mult.iter().rev().copied().collect();
        let mut wide = wide_to_narrow[0];
        for (up, &narrow) in wide_to_narrow.iter().enumerate().take(steps) {
            if self.is_residual && narrow * factor(steps - 1 - up) % wide != 0 {
                return Err(format!(
                    "dim_mult goes from {wide} to {narrow} on the way up, which a shortcut cannot share out"
                ));
            }
            if !self.is_residual && self.decoder_dim() * narrow < 2 {
                return Err("the decoder has one channel, which a step up cannot halve".into());
            }
            wide = narrow;
        }
        Ok(())
    }
}
