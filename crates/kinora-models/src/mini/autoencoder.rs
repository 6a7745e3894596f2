//! A causal video autoencoder whose cost is matrix products.
//!
//! **Encoder**: one linear map from a patch of `4 × 16 × 16` pixels to a latent token. Its weights are
//! the leading eigenvectors of the patch covariance (the Karhunen–Loève transform), the best linear
//! code there is, found in closed form. A linear code keeps latents smooth and nearly Gaussian,
//! which is what a small denoiser learns fastest.
//!
//! **Decoder**: the transposed map, plus a residual network that sees the neighbouring tokens and
//! the latent frame before, and restores what the linear code lost; where a [plate](super::plate) is at hand, also by what the code
//! loses of that.
//!
//! Frame 0 of a clip stands alone in latent frame 0 (it is repeated to fill the patch, as causal
//! padding); latent frame `k` then holds frames `4k − 3 ..= 4k`.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use kinora_kernels::Activation;

use super::config::AutoencoderConfig;
use super::reference::Reference;
use crate::layers::{Conv, LayerNorm, Linear, pixel_shuffle, pixel_unshuffle};

/// `x + conv(silu(conv(norm(x))))`
#[derive(Module, Debug)]
struct Residual {
    norm: LayerNorm,
    first: Conv,
    second: Conv,
}

impl Residual {
    fn new(channels: usize, device: &Device) -> Self {
        Self {
            norm: LayerNorm::new(channels, device),
            first: Conv::new(1, [channels, channels], 1.4, device),
            second: Conv::new(1, [channels, channels], 0.2, device),
        }
    }

    fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let h = self.norm.forward(x.clone());
        let h = self.first.forward(h, Activation::Silu);
        x + self.second.forward(h, Activation::None)
    }
}

/// Residual blocks at one resolution, and the step to the next.
#[derive(Module, Debug)]
struct Stage {
    blocks: Vec<Residual>,
    expand: Linear,
    upsample: usize,
}

impl Stage {
    fn new(blocks: usize, channels: [usize; 2], upsample: usize, device: &Device) -> Self {
        let [channels_in, channels_out] = channels;
        let outputs = channels_out * upsample * upsample;
        Self {
            blocks: (0..blocks)
                .map(|_| Residual::new(channels_in, device))
                .collect(),
            expand: Linear::new(channels_in, outputs, 1.0, device),
            upsample,
        }
    }

    fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        pixel_shuffle(self.expand.forward(self.refined(x)), self.upsample)
    }

    /// Before the step to the next resolution.
    fn refined(&self, x: Tensor<5>) -> Tensor<5> {
        self.blocks.iter().fold(x, |x, block| block.forward(x))
    }
}

/// What decoding one latent frame leaves for the next.
#[derive(Debug, Clone, Default)]
pub struct DecodeState {
    /// Last latent frame, `[batch, 1, height, width, channels]`.
    previous: Option<Tensor<5>>,
}

/// The autoencoder: see the [module](self).
#[derive(Module, Debug)]
pub struct Autoencoder {
    encode: Linear,
    decode: Linear,
    conv_in: Conv,
    stages: Vec<Stage>,
    reference: Option<Reference>,
    patch: usize,
    patch_frames: usize,
}

impl Autoencoder {
    /// A fresh network; the linear maps are to be fitted, see [`set_basis`](Self::set_basis).
    pub fn new(config: &AutoencoderConfig, device: &Device) -> Self {
        let latent = config.latent_channels;
        let [wide, middle, narrow] = config.decoder_channels;
        let [blocks_wide, blocks_middle, blocks_narrow] = config.decoder_blocks;
        let last = config.patch / 4;
        let values = config.patch_frames * 3 * last * last;
        let gates = |hidden: usize| Reference::new(narrow, hidden, values, device);
        let mut out = Stage::new(
            blocks_narrow,
            [narrow, config.patch_frames * 3],
            last,
            device,
        );
        out.expand = Linear::zeros(narrow, values, device);
        Self {
            encode: Linear::new(config.patch_values(), latent, 1.0, device),
            decode: Linear::new(latent, config.patch_values(), 1.0, device),
            conv_in: Conv::new(2, [latent, wide], 1.0, device),
            stages: vec![
                Stage::new(blocks_wide, [wide, middle], 2, device),
                Stage::new(blocks_middle, [middle, narrow], 2, device),
                out,
            ],
            reference: config.gate_channels.map(gates),
            patch: config.patch,
            patch_frames: config.patch_frames,
        }
    }

    /// Sets the linear maps: `latents = (patch − mean) · basis / scale` and back.
    ///
    /// # Shapes
    ///
    /// - `mean`: `[patch_values]`, over pixels in −1 to 1
    /// - `basis`: `[patch_values, latent_channels]`, orthonormal columns
    /// - `scale`: `[latent_channels]`
    pub fn set_basis(mut self, mean: Tensor<1>, basis: Tensor<2>, scale: Tensor<1>) -> Self {
        let scaled = basis.clone() / scale.clone().unsqueeze();
        let offset = mean.clone().unsqueeze::<2>().matmul(scaled.clone()).neg();
        let channels = scale.dims()[0];
        self.encode.weight = scaled.into();
        self.encode.bias = Param::from_tensor(offset.reshape([channels]));
        self.decode.weight = (basis * scale.unsqueeze()).transpose().into();
        self.decode.bias = Param::from_tensor(mean);
        self
    }

    /// Latents of a clip. The number of frames must be `1 + patch_frames · n`, height and width
    /// multiples of the patch.
    ///
    /// # Shapes
    ///
    /// - `video`: `[batch, 3, frames, height, width]`, −1 to 1
    /// - output: `[batch, latent_channels, 1 + (frames − 1) / patch_frames, height / patch, width / patch]`
    pub fn encode(&self, video: Tensor<5>) -> Tensor<5> {
        let first = video.clone().narrow(2, 0, 1);
        let padding = first.repeat_dim(2, self.patch_frames - 1);
        self.encode_patches(Tensor::cat(vec![padding, video], 2))
    }

    /// As [`encode`](Self::encode), for whole patches of frames: a clip in the middle of a video.
    pub fn encode_patches(&self, video: Tensor<5>) -> Tensor<5> {
        self.encode_tokens(self.patchify(video))
            .permute([0, 4, 1, 2, 3])
    }

    /// Latents, channels last, of pixels that are [grouped by patch](Self::patchify).
    pub fn encode_tokens(&self, patches: Tensor<5>) -> Tensor<5> {
        self.encode.forward(patches)
    }

    /// All frames of latents, channels last, that begin a clip: `patch_frames` of each; beside what the code [loses](Self::lost) of
    /// their plate, where there is one.
    pub fn decode_tokens(&self, latents: Tensor<5>, lost: Option<Tensor<5>>) -> Tensor<5> {
        let first = latents.clone().narrow(1, 0, 1);
        self.decode_patches(latents, first, lost)
    }

    /// What the code loses of pixels that are [grouped by patch](Self::patchify), such as those of a plate.
    pub fn lost(&self, patches: Tensor<5>) -> Tensor<5> {
        patches.clone() - self.decode.forward(self.encode_tokens(patches))
    }

    /// The linear part of the decoded pixels, grouped by patch as [`patchify`](Self::patchify) does, of latents that are channels last.
    pub(super) fn linear(&self, latents: Tensor<5>) -> Tensor<5> {
        self.decode.forward(latents)
    }

    /// The latent of a patch that is all of one colour: `[1, latent_channels, 1, 1, 1]`.
    pub(super) fn flat(&self, colour: [f32; 3], device: &Device) -> Tensor<5> {
        let [values, channels] = self.encode.weight.dims();
        let pixels: Vec<f32> = colour.into_iter().cycle().take(values).collect();
        let patch = TensorData::new(pixels, [1, 1, 1, 1, values]);
        let latents = self.encode_tokens(Tensor::from_data(patch, device));
        latents.reshape([1, channels, 1, 1, 1])
    }

    /// Whether the decoder looks at what is [lost](Self::lost) of a plate.
    pub fn sees_plates(&self) -> bool {
        self.reference.is_some()
    }

    /// Multiply-adds of the decoder's trained part for one latent token.
    pub fn decoder_products_per_token(&self) -> usize {
        let mut products = self.conv_in.products();
        let mut places = 1;
        for stage in &self.stages {
            for block in &stage.blocks {
                products += places * (block.first.products() + block.second.products());
            }
            let [channels_in, channels_out] = stage.expand.weight.dims();
            products += places * channels_in * channels_out;
            places *= stage.upsample * stage.upsample;
        }
        let finest = places / self.last_stage().upsample.pow(2);
        let gates = self.reference.as_ref().map_or(0, Reference::products);
        products + finest * gates
    }

    /// Pixels grouped by patch: the values behind each latent token.
    ///
    /// # Shapes
    ///
    /// `[batch, 3, frames, height, width]` →
    /// `[batch, frames / patch_frames, height / patch, width / patch, patch_values]`
    pub fn patchify(&self, video: Tensor<5>) -> Tensor<5> {
        let [batch, colours, frames, height, width] = video.dims();
        let (p, t) = (self.patch, self.patch_frames);
        let (f, h, w) = (frames / t, height / p, width / p);
        video
            .reshape([batch * colours, f, t, h, p, w, p])
            .reshape([batch, colours, f, t, h, p, w * p])
            .permute([0, 2, 4, 3, 5, 6, 1])
            // [batch, f, h, t, p, w · p, colours]
            .reshape([batch * f * h, t * p, w, p * colours])
            .swap_dims(1, 2)
            .reshape([batch, f, h, w, t * p * p * colours])
    }

    /// The opposite of [`patchify`](Self::patchify).
    pub fn unpatchify(&self, patches: Tensor<5>) -> Tensor<5> {
        let [batch, f, h, w, values] = patches.dims();
        let (p, t) = (self.patch, self.patch_frames);
        let colours = values / (t * p * p);
        patches
            .reshape([batch * f * h, w, t * p, p * colours])
            .swap_dims(1, 2)
            .reshape([batch, f, h, t, p, w * p, colours])
            .permute([0, 6, 1, 3, 2, 4, 5])
            .reshape([batch, colours, f * t, h * p, w * p])
    }

    /// Decodes latent frames; `state` carries what the next call needs, so that decoding a clip in
    /// pieces gives the same frames as decoding it whole.
    ///
    /// # Shapes
    ///
    /// - `latents`: `[batch, latent_channels, latent_frames, height, width]`
    /// - `lost`: what the code [loses](Self::lost) of their plate, if there is one
    /// - output: `[batch, 3, frames, height · patch, width · patch]`, about −1 to 1; the first call
    ///   of a clip gives `1 + patch_frames · (latent_frames − 1)` frames, later ones
    ///   `patch_frames · latent_frames`
    pub fn decode_step(
        &self,
        latents: Tensor<5>,
        lost: Option<Tensor<5>>,
        state: &mut DecodeState,
    ) -> Tensor<5> {
        let starts = state.previous.is_none();
        let latents = latents.permute([0, 2, 3, 4, 1]);
        let [_, frames, _, _, _] = latents.dims();
        let previous = state
            .previous
            .take()
            .unwrap_or_else(|| latents.clone().narrow(1, 0, 1));
        state.previous = Some(latents.clone().narrow(1, frames - 1, 1));
        let video = self.decode_patches(latents, previous, lost);
        if starts {
            let padding = self.patch_frames - 1;
            let frames = video.dims()[2];
            video.narrow(2, padding, frames - padding)
        } else {
            video
        }
    }

    fn last_stage(&self) -> &Stage {
        self.stages.last().expect("there are three")
    }

    /// Decodes whole patches of frames, channels last, given the latent frame before them and what is lost of their plate.
    fn decode_patches(
        &self,
        latents: Tensor<5>,
        previous: Tensor<5>,
        lost: Option<Tensor<5>>,
    ) -> Tensor<5> {
        let base = self.unpatchify(self.decode.forward(latents.clone()));
        let mut x = self
            .conv_in
            .forward(Tensor::cat(vec![previous, latents], 1), Activation::None);
        for stage in &self.stages[..self.stages.len() - 1] {
            x = stage.forward(x);
        }
        let last = self.last_stage();
        let detail = match &self.reference {
            None => last.expand.forward(last.refined(x)),
            Some(reference) => {
                let lost = match lost {
                    Some(lost) => self.places(self.unpatchify(lost)),
                    None => {
                        let mut shape = x.dims();
                        [_, shape[4]] = last.expand.weight.dims();
                        Tensor::zeros(shape, &x.device())
                    }
                };
                let x = last.refined(reference.seen(x, lost.clone()));
                last.expand.forward(x.clone()) + reference.shown(x, lost)
            }
        };
        let x = pixel_shuffle(detail, last.upsample);
        // [batch, f, height, width, t · colours]
        let [batch, f, height, width, channels] = x.dims();
        let t = self.patch_frames;
        let detail = x
            .reshape([batch, f, height, width, t, channels / t])
            .permute([0, 5, 1, 4, 2, 3])
            .reshape([batch, channels / t, f * t, height, width]);
        base + detail
    }

    /// Frames as the last stage makes them, before their pixels are spread.
    fn places(&self, video: Tensor<5>) -> Tensor<5> {
        let [batch, colours, frames, height, width] = video.dims();
        let t = self.patch_frames;
        let x = video
            .reshape([batch, colours, frames / t, t, height, width])
            .permute([0, 2, 4, 5, 3, 1])
            .reshape([batch, frames / t, height, width, t * colours]);
        pixel_unshuffle(x, self.last_stage().upsample)
    }

    /// The part that gradient descent trains; the linear maps stay as fitted.
    pub fn freeze_basis(mut self) -> Self {
        self.encode = self.encode.no_grad();
        self.decode = self.decode.no_grad();
        self
    }
}
