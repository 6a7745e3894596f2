//! The causal video autoencoders of Wan 2.1 (4 frames × 8 × 8 pixels a latent) and Wan 2.2 (4 × 16 × 16).
//!
//! Follows `AutoencoderKLWan` of diffusers 0.42, `models/autoencoders/autoencoder_kl_wan.py`. Each convolution over
//! frames remembers the last frames that it saw, so that a clip goes through in pieces of any length: the networks
//! run one latent frame at a time, and memory does not grow with the clip. Latents are as upstream's, not normalised.

mod decoder;
mod encoder;
mod fused;
mod kernel;
mod layers;
mod resample;
mod stream;

use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kinora_kernels::{Activation, Precision};

use decoder::Decoder;
use encoder::Encoder;
use stream::Memory;

use super::config::AutoencoderConfig;
use super::weights::{Checkpoint, Network, Reader};
use crate::Error;
use crate::layers::Linear;

/// Frames that upstream encodes together, after the first alone.
const CHUNK: usize = 4;

/// What encoding one piece of a clip leaves for the next.
#[derive(Debug, Clone, Default)]
pub struct EncodeState(Memory);

/// What decoding one piece of a clip leaves for the next.
#[derive(Debug, Clone, Default)]
pub struct DecodeState(Memory);

/// The autoencoder: see the [module](self).
#[derive(Module, Debug)]
pub struct Autoencoder {
    encoder: Encoder,
    /// To mean and logarithm of the variance.
    encoder_out: Linear,
    decoder_in: Linear,
    decoder: Decoder,
    #[module(skip)]
    config: AutoencoderConfig,
    #[module(skip)]
    precision: Precision,
}

impl Autoencoder {
    /// Loads a diffusers folder or a single file: see [`weights`](super::weights).
    ///
    /// # Errors
    ///
    /// As [`Checkpoint::open_as`], [`Checkpoint::autoencoder_config`] and [`Checkpoint::load`].
    pub fn load(path: &Path, device: &Device, precision: Precision) -> Result<Self, Error> {
        let checkpoint = Checkpoint::open_as(path, Network::Autoencoder)?;
        let config = checkpoint.autoencoder_config()?;
        Self::from_checkpoint(&checkpoint, &config, device, precision)
    }

    /// Loads the weights of an open checkpoint.
    ///
    /// # Errors
    ///
    /// As [`Checkpoint::load`].
    pub fn from_checkpoint(
        checkpoint: &Checkpoint,
        config: &AutoencoderConfig,
        device: &Device,
        precision: Precision,
    ) -> Result<Self, Error> {
        checkpoint.load(device, &[], |reader| Self::read(config, precision, reader))
    }

    fn read(config: &AutoencoderConfig, precision: Precision, reader: &mut Reader<'_>) -> Self {
        let (z, both) = (config.z_dim, 2 * config.z_dim);
        reader.multiply_in(precision);
        Self {
            encoder: Encoder::read(config, reader),
            encoder_out: reader.linear_of("quant_conv", &[both, both, 1, 1, 1]),
            decoder_in: reader.linear_of("post_quant_conv", &[z, z, 1, 1, 1]),
            decoder: Decoder::read(config, reader),
            config: config.clone(),
            precision,
        }
    }

    /// Sizes of the network.
    pub fn config(&self) -> &AutoencoderConfig {
        &self.config
    }

    /// The mean of the latents of a whole clip. Frames at the end that do not fill a latent frame are left out, as
    /// upstream does.
    ///
    /// # Shapes
    ///
    /// - `video`: `[batch, 3, frames, height, width]`, −1 to 1
    /// - output: `[batch, z_dim, 1 + (frames − 1) / 4, height / spatial_stride, width / spatial_stride]`
    ///
    /// # Errors
    ///
    /// As [`encode_step`](Self::encode_step).
    pub fn encode(&self, video: Tensor<5>) -> Result<Tensor<5>, Error> {
        let [_, _, frames, _, _] = video.dims();
        let video = match frames.saturating_sub(1) % CHUNK {
            0 => video,
            rest => video.narrow(2, 0, frames - rest),
        };
        self.encode_step(video, &mut EncodeState::default())
    }

    /// The mean of the latents of the next frames of a clip.
    ///
    /// # Shapes
    ///
    /// - `video`: `[batch, 3, frames, height, width]`, −1 to 1; the first piece of a clip has `1 + 4n` frames, later
    ///   ones `4n`
    /// - output: `[batch, z_dim, latent_frames, height / spatial_stride, width / spatial_stride]`
    ///
    /// # Errors
    ///
    /// [`Error::Input`] for other shapes, or another size than that of the pieces before.
    pub fn encode_step(
        &self,
        video: Tensor<5>,
        state: &mut EncodeState,
    ) -> Result<Tensor<5>, Error> {
        let shape = video.dims();
        let starts = !state.0.has_started();
        self.check_video(shape, starts)?;
        let [batch, _, frames, height, width] = shape;
        state.0.expect_size("sample", [batch, height, width])?;

        let video = self.patchify(video);
        let mut start = 0;
        let mut latents = Vec::new();
        while start < frames {
            let first = starts && start == 0;
            let count = if first { 1 } else { CHUNK };
            let piece = video.clone().narrow(1, start, count);
            let mut pass = state.0.pass(first, self.precision);
            latents.push(self.encoder.forward(piece, &mut pass));
            start += count;
        }
        let both = self.encoder_out.forward_with(
            Tensor::cat(latents, 1),
            Activation::None,
            self.precision,
        );
        Ok(both
            .narrow(4, 0, self.config.z_dim)
            .permute([0, 4, 1, 2, 3]))
    }

    /// The frames of a whole clip of latents.
    ///
    /// # Shapes
    ///
    /// As [`decode_step`](Self::decode_step).
    ///
    /// # Errors
    ///
    /// As [`decode_step`](Self::decode_step).
    pub fn decode(&self, latents: Tensor<5>) -> Result<Tensor<5>, Error> {
        self.decode_step(latents, &mut DecodeState::default())
    }

    /// The frames of the next latent frames of a clip.
    ///
    /// # Shapes
    ///
    /// - `latents`: `[batch, z_dim, latent_frames, height, width]`
    /// - output: `[batch, 3, frames, height · spatial_stride, width · spatial_stride]`, −1 to 1; the first piece of a
    ///   clip gives one frame for its first latent frame, all others give `temporal_stride` frames each
    ///
    /// # Errors
    ///
    /// [`Error::Input`] for other shapes, or another size than that of the pieces before.
    pub fn decode_step(
        &self,
        latents: Tensor<5>,
        state: &mut DecodeState,
    ) -> Result<Tensor<5>, Error> {
        let shape = latents.dims();
        let [batch, channels, frames, height, width] = shape;
        if channels != self.config.z_dim || shape.contains(&0) {
            return Err(Error::Input {
                name: "latents",
                got: shape.to_vec(),
                required: format!("[batch, {}, frames, height, width]", self.config.z_dim),
            });
        }
        let starts = !state.0.has_started();
        state.0.expect_size("latents", [batch, height, width])?;

        let latents = latents.permute([0, 2, 3, 4, 1]);
        let latents = self
            .decoder_in
            .forward_with(latents, Activation::None, self.precision);
        let pieces = (0..frames).map(|frame| {
            let mut pass = state.0.pass(starts && frame == 0, self.precision);
            let piece = latents.clone().narrow(1, frame, 1);
            let video = self.decoder.forward(piece, &mut pass);
            self.unpatchify(video).clamp(-1.0, 1.0)
        });
        Ok(Tensor::cat(pieces.collect(), 2))
    }

    fn check_video(&self, shape: [usize; 5], starts: bool) -> Result<(), Error> {
        let [_, channels, frames, height, width] = shape;
        let patch = self.config.patch();
        let colours = self.config.in_channels / (patch * patch);
        let stride = self.config.spatial_stride();
        // The shortcuts of 2.2 need whole groups of pixels; 2.1 drops what is left over at each step.
        let fits = |side: usize| match self.config.is_residual {
            true => side.is_multiple_of(stride),
            false => side.is_multiple_of(patch) && side >= stride,
        };
        let (least, rest) = if starts { (1, 1) } else { (CHUNK, 0) };
        let is_whole = frames >= least && frames % CHUNK == rest;
        if channels == colours && is_whole && fits(height) && fits(width) && !shape.contains(&0) {
            return Ok(());
        }
        Err(Error::Input {
            name: "sample",
            got: shape.to_vec(),
            required: format!(
                "[batch, {colours}, {} frames, height, width] of at least {stride} pixels and a multiple of {}",
                if starts { "1 + 4n" } else { "4n" },
                if self.config.is_residual {
                    stride
                } else {
                    patch
                },
            ),
        })
    }

    /// `[batch, channels, frames, height, width]` → `[batch, frames, height / patch, width / patch, channels · patch²]`,
    /// columns of a patch before its rows.
    fn patchify(&self, video: Tensor<5>) -> Tensor<5> {
        let p = self.config.patch();
        let [batch, channels, frames, height, width] = video.dims();
        let (h, w) = (height / p, width / p);
        video
            .reshape([batch, channels, frames, h, p, w, p])
            .permute([0, 2, 3, 5, 1, 6, 4])
            .reshape([batch, frames, h, w, channels * p * p])
    }

    /// The opposite of [`patchify`](Self::patchify).
    fn unpatchify(&self, video: Tensor<5>) -> Tensor<5> {
        let p = self.config.patch();
        let [batch, frames, h, w, values] = video.dims();
        let channels = values / (p * p);
        video
            .reshape([batch, frames, h, w, channels, p, p])
            .permute([0, 4, 1, 2, 6, 3, 5])
            .reshape([batch, channels, frames, h * p, w * p])
    }
}
