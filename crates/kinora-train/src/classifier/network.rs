//! The judges' network: a plain transformer over the tokens of a clip, one head for each fact.

use burn::module::Module;
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor, TensorData};
use kinora_data::{Background, Camera, Motion, TimeOfDay, Weather};
use kinora_kernels::Rotary;
use kinora_models::layers::{LayerNorm, Linear, Mlp, SelfAttention, fourier_features, rotary_3d};
use serde::{Deserialize, Serialize};

use super::movement;
use super::sight::Seen;

const ROTARY_THETA: f32 = 100.0;
const POSITION_OCTAVES: usize = 4;
/// Latent frames that the position features span before they repeat.
const CLOCK_SPAN: f32 = 16.0;
const MLP_RATIO: usize = 4;
/// Initial gain of what a block adds.
const RESIDUAL_GAIN: f64 = 0.5;

/// Sizes of the judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgesConfig {
    /// Channels.
    pub width: usize,
    /// Blocks.
    pub depth: usize,
    /// Attention heads, and places that the heads for subject and motion look at; a divisor of the width.
    pub heads: usize,
    /// Latent frames of the clips that they see.
    pub latent_frames: usize,
}

/// Scores of each class, before softmax, and what they were read from.
#[derive(Debug, Clone)]
pub(super) struct Verdict {
    /// `[batch, subjects]`
    pub(super) subject: Tensor<2>,
    /// `[batch, backgrounds]`
    pub(super) background: Tensor<2>,
    /// `[batch, motions]`
    pub(super) motion: Tensor<2>,
    /// `[batch, cameras]`
    pub(super) camera: Tensor<2>,
    /// `[batch, times]`
    pub(super) time: Tensor<2>,
    /// `[batch, weathers]`
    pub(super) weather: Tensor<2>,
    /// `[batch, styles]`
    pub(super) style: Tensor<2>,
    /// `[batch, width]`
    pub(super) features: Tensor<2>,
}

#[derive(Module, Debug)]
struct Block {
    attention_norm: LayerNorm,
    attention: SelfAttention,
    mlp_norm: LayerNorm,
    mlp: Mlp,
}

impl Block {
    fn new(sizes: JudgesConfig, device: &Device) -> Self {
        let width = sizes.width;
        Self {
            attention_norm: LayerNorm::new(width, device),
            attention: SelfAttention::new(width, sizes.heads, RESIDUAL_GAIN, device),
            mlp_norm: LayerNorm::new(width, device),
            mlp: Mlp::new(width, width * MLP_RATIO, RESIDUAL_GAIN, device),
        }
    }

    fn forward(&self, x: Tensor<3>, rotary: &Rotary) -> Tensor<3> {
        let h = self.attention_norm.forward(x.clone());
        let x = x + self.attention.forward(h, Some(rotary), None);
        let h = self.mlp_norm.forward(x.clone());
        x + self.mlp.forward(h)
    }
}

/// What is seen in, scores out.
#[derive(Module, Debug)]
pub(super) struct Network {
    embed: Linear,
    embed_movement: Linear,
    embed_position: Linear,
    blocks: Vec<Block>,
    norm: LayerNorm,
    pool_norm: LayerNorm,
    /// Scores of the places that show the subject, one set for each look.
    look: Linear,
    look_norm: LayerNorm,
    subject: Linear,
    background: Linear,
    motion: Linear,
    camera: Linear,
    time: Linear,
    weather: Linear,
    style: Linear,
    heads: usize,
}

impl Network {
    /// A fresh network for tokens of `latent_channels`, that tells so many subjects and styles apart.
    pub(super) fn new(
        sizes: JudgesConfig,
        latent_channels: usize,
        (subjects, styles): (usize, usize),
        device: &Device,
    ) -> Self {
        let width = sizes.width;
        let looks = sizes.heads;
        // Scores start small: at first every class is as likely as any other.
        let head = |channels, classes| Linear::new(channels, classes, 0.1, device);
        Self {
            embed: Linear::new(latent_channels, width, 1.0, device),
            embed_movement: Linear::new(movement::FEATURES, width, 1.0, device),
            embed_position: Linear::new(3 * 2 * POSITION_OCTAVES, width, 0.5, device),
            blocks: (0..sizes.depth)
                .map(|_| Block::new(sizes, device))
                .collect(),
            norm: LayerNorm::new(width, device),
            pool_norm: LayerNorm::new(width, device),
            look: Linear::new(width, looks, 1.0, device),
            look_norm: LayerNorm::new(looks * width, device),
            subject: head((1 + looks) * width, subjects),
            background: head(width, Background::ALL.len()),
            motion: head((1 + looks) * width, Motion::ALL.len()),
            camera: head(width, Camera::ALL.len()),
            time: head(width, TimeOfDay::ALL.len()),
            weather: head(width, Weather::ALL.len()),
            style: head(width, styles),
            heads: sizes.heads,
        }
    }

    /// Styles that it tells apart.
    pub(super) fn styles(&self) -> usize {
        self.style.weight.dims()[1]
    }

    /// Subjects that it tells apart.
    pub(super) fn subjects(&self) -> usize {
        self.subject.weight.dims()[1]
    }

    /// Multiply-adds of the linear layers for one latent token.
    pub(super) fn products_per_token(&self) -> usize {
        let [channels, width] = self.embed.weight.dims();
        let block = (4 + 2 * MLP_RATIO) * width * width;
        (channels + movement::FEATURES) * width + self.blocks.len() * block
    }

    /// Scores of each clip.
    pub(super) fn forward(&self, Seen { latents, movement }: Seen) -> Verdict {
        let device = latents.device();
        let [batch, frames, height, width, channels] = latents.dims();
        let grid = [frames, height, width];
        let tokens = frames * height * width;
        let position = self.embed_position.forward(positions(grid, &device));
        let latents = latents.reshape([batch, tokens, channels]);
        let movement = movement.reshape([batch, tokens, movement::FEATURES]);
        let mut x = self.embed.forward(latents)
            + self.embed_movement.forward(movement)
            + position.unsqueeze();
        let width = x.dims()[2];

        let rotary = rotary_3d(grid, width / self.heads, ROTARY_THETA, &device);
        for block in &self.blocks {
            x = block.forward(x, &rotary);
        }
        let x = self.norm.forward(x);

        let mean = x.clone().mean_dim(1).reshape([batch, width]);
        let features = self.pool_norm.forward(mean);
        let places = softmax(self.look.forward(x.clone()), 1).swap_dims(1, 2);
        let looks = places.dims()[1];
        let looked = places.matmul(x).reshape([batch, looks * width]);
        let looked = self.look_norm.forward(looked);
        let evidence = Tensor::cat(vec![features.clone(), looked], 1);
        Verdict {
            subject: self.subject.forward(evidence.clone()),
            background: self.background.forward(features.clone()),
            motion: self.motion.forward(evidence),
            camera: self.camera.forward(features.clone()),
            time: self.time.forward(features.clone()),
            weather: self.weather.forward(features.clone()),
            style: self.style.forward(features.clone()),
            features,
        }
    }
}

/// Fourier features of each token's frame, row and column; the longer side spans −1 to 1.
fn positions([frames, height, width]: [usize; 3], device: &Device) -> Tensor<2> {
    let longer = height.max(width) as f32;
    let centred = |i: usize, n: usize| ((2 * i + 1) as f32 - n as f32) / longer / 2.0;
    let mut values = Vec::new();
    for frame in 0..frames {
        for y in 0..height {
            for x in 0..width {
                let place = [
                    frame as f32 / CLOCK_SPAN,
                    centred(y, height),
                    centred(x, width),
                ];
                values.extend(fourier_features(&place, POSITION_OCTAVES));
            }
        }
    }
    let tokens = frames * height * width;
    let features = values.len() / tokens;
    Tensor::from_data(TensorData::new(values, [tokens, features]), device)
}
