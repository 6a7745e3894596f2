//! The denoiser: a diffusion transformer over latent tokens whose latent frames each have their own
//! timestep.
//!
//! Adaptive layer norm follows DiT (Peebles and Xie, 2022) with one shared projection and a table
//! per block (PixArt-α, Chen et al., 2023); timesteps per frame follow Diffusion Forcing (Chen et
//! al., 2024). A known latent frame simply has timestep 0.

use burn::module::{Module, Param};
use burn::tensor::{Device, Distribution, Tensor, TensorData};
use kinora_kernels::{Rotary, gate_residual, norm_modulate};

use super::config::TransformerConfig;
use crate::layers::{
    CrossAttention, KeyValue, Linear, Mlp, SelfAttention, fourier_features, rotary_at,
};

pub(super) const NORM_EPSILON: f32 = 1e-6;
const ROTARY_THETA: f32 = 100.0;
const POSITION_OCTAVES: usize = 4;
const TIME_OCTAVES: usize = 8;
/// Seconds that the clock features span before they repeat.
const CLOCK_SPAN_SECS: f32 = 16.0;
/// Below this noise level the velocity is that of this level: it must not divide by nothing.
const LEAST_SIGMA: f32 = 0.05;
/// Latent frames between an anchor and a window's first frame, as attention is told: it stands for any.
const ANCHOR_DISTANCE: f32 = 4.0;
/// Shift, scale and gate of attention and of the perceptron.
const MODULATIONS: usize = 6;

/// What the denoiser looks at besides the latents.
#[derive(Debug, Clone)]
pub struct Context {
    /// `[batch, context_tokens, width]`
    pub tokens: Tensor<3>,
    /// `[batch, context_tokens]`: 0 for a token that counts, `-inf` for padding.
    pub bias: Tensor<2>,
    /// `[batch, width]`: mean of the tokens that count.
    pub pooled: Tensor<2>,
}

/// A context with the keys and values of every block.
#[derive(Debug, Clone)]
pub struct PreparedContext {
    blocks: Vec<KeyValue>,
    bias: Tensor<2>,
    /// `[batch, width]`, added to the embedding of the time.
    pooled: Tensor<2>,
}

impl PreparedContext {
    /// Those of a batch; all have the same number of tokens.
    pub fn stack(contexts: &[&Self]) -> Self {
        let blocks = contexts.first().map_or(0, |first| first.blocks.len());
        let of_block = |i: usize| {
            let parts: Vec<&KeyValue> = contexts.iter().map(|one| &one.blocks[i]).collect();
            KeyValue::stack(&parts)
        };
        let all = |part: fn(&Self) -> &Tensor<2>| {
            Tensor::cat(contexts.iter().map(|one| part(one).clone()).collect(), 0)
        };
        Self {
            blocks: (0..blocks).map(of_block).collect(),
            bias: all(|one| &one.bias),
            pooled: all(|one| &one.pooled),
        }
    }
}

/// Channels that go in and come out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channels {
    /// Of what is denoised.
    pub latents: usize,
    /// Of what lies beside each latent token and is given.
    pub condition: usize,
    /// Of a context token.
    pub context: usize,
}

/// What is told of the latent frames that are denoised together.
#[derive(Debug, Clone, Copy)]
pub struct Moments<'a> {
    /// `[batch, frames]`, 0 = clean, 1 = noise.
    pub timesteps: &'a [f32],
    /// `[batch, frames]`, seconds since the clip began.
    pub clock_secs: &'a [f32],
    /// Whether the first frame is an [anchor](crate::Anchor), which the others do not follow.
    pub anchored: bool,
}

impl Moments<'_> {
    /// Place of each frame among the others, in latent frames.
    fn times(&self, frames: usize) -> Vec<f32> {
        let anchors = usize::from(self.anchored);
        (0..frames)
            .map(|frame| match frame.checked_sub(anchors) {
                Some(frame) => frame as f32,
                None => -ANCHOR_DISTANCE,
            })
            .collect()
    }
}

#[derive(Module, Debug)]
struct Block {
    attention: SelfAttention,
    cross: CrossAttention,
    mlp: Mlp,
    /// `[MODULATIONS, width]`, added to the shared modulation.
    table: Param<Tensor<2>>,
}

impl Block {
    fn new(config: &TransformerConfig, context_width: usize, device: &Device) -> Self {
        let width = config.width;
        let table = Tensor::random(
            [MODULATIONS, width],
            Distribution::Normal(0.0, 0.02),
            device,
        );
        Self {
            attention: SelfAttention::new(width, config.heads, 1.0, device),
            cross: CrossAttention::new(width, context_width, config.heads, device),
            mlp: Mlp::new(width, width * config.mlp_ratio, 1.0, device),
            table: Param::from_tensor(table),
        }
    }

    fn forward(
        &self,
        x: Tensor<3>,
        modulation: &Tensor<3>,
        rotary: &Rotary,
        context: &KeyValue,
        context_bias: &Tensor<2>,
    ) -> Tensor<3> {
        let [groups, rows, width] = x.dims();
        let batch = context_bias.dims()[0];
        let sequence = |x: Tensor<3>| x.reshape([batch, groups / batch * rows, width]);
        let frames = |x: Tensor<3>| x.reshape([groups, rows, width]);

        let modulation = modulation.clone() + self.table.val().unsqueeze();
        let part = |i: usize| modulation.clone().narrow(1, i, 1).reshape([groups, width]);

        let h = norm_modulate(x.clone(), part(0), part(1), NORM_EPSILON);
        let h = self.attention.forward(sequence(h), Some(rotary), None);
        let x = gate_residual(x, part(2), frames(h));

        let zeros = Tensor::zeros([groups, width], &x.device());
        let h = norm_modulate(x.clone(), zeros.clone(), zeros, NORM_EPSILON);
        let h = self
            .cross
            .forward(sequence(h), context, context_bias.clone());
        let x = x + frames(h);

        let h = norm_modulate(x.clone(), part(3), part(4), NORM_EPSILON);
        gate_residual(x, part(5), self.mlp.forward(h))
    }
}

/// Gives the velocity `noise − latents` of rectified flow (Liu et al., 2022).
///
/// The network itself predicts clean latents, and the velocity follows from them: the noise of a
/// token need not pass through it ("Back to Basics", Li and He, 2025). The prompt comes in twice: token
/// by token through cross-attention, and as one vector through the adaptive norms (as in Stable
/// Diffusion 3, Esser et al., 2024), by which a small network learns what concerns the whole picture.
#[derive(Module, Debug)]
pub struct Transformer {
    embed: Linear,
    embed_position: Linear,
    embed_time: Mlp,
    time_in: Linear,
    embed_pooled: Linear,
    modulation: Linear,
    blocks: Vec<Block>,
    out_modulation: Linear,
    out: Linear,
    heads: usize,
}

impl Transformer {
    /// A network that predicts zero.
    pub fn new(sizes: &TransformerConfig, channels: Channels, device: &Device) -> Self {
        let width = sizes.width;
        let inputs = channels.latents + channels.condition;
        Self {
            embed: Linear::new(inputs, width, 1.0, device),
            embed_position: Linear::new(2 * 2 * POSITION_OCTAVES, width, 0.5, device),
            time_in: Linear::new(2 * 2 * TIME_OCTAVES, width, 1.0, device),
            embed_time: Mlp::new(width, width, 1.0, device),
            embed_pooled: Linear::new(channels.context, width, 1.0, device),
            modulation: Linear::new(width, MODULATIONS * width, 0.1, device),
            blocks: (0..sizes.depth)
                .map(|_| Block::new(sizes, channels.context, device))
                .collect(),
            out_modulation: Linear::new(width, 2 * width, 0.1, device),
            out: Linear::zeros(width, channels.latents, device),
            heads: sizes.heads,
        }
    }

    /// Multiply-adds of the linear layers for one latent token, without the context's.
    pub fn products_per_token(&self) -> usize {
        let [inputs, width] = self.embed.weight.dims();
        let [_, outputs] = self.out.weight.dims();
        let hidden = self.blocks.first().map_or(0, |block| block.mlp.hidden());
        let block = 6 * width * width + 2 * width * hidden;
        (inputs + outputs) * width + self.blocks.len() * block
    }

    /// Computes what every sampling step of the same context shares.
    pub fn prepare(&self, context: &Context) -> PreparedContext {
        PreparedContext {
            blocks: self
                .blocks
                .iter()
                .map(|block| block.cross.key_value(context.tokens.clone()))
                .collect(),
            bias: context.bias.clone(),
            pooled: self.embed_pooled.forward(context.pooled.clone()),
        }
    }

    /// # Shapes
    ///
    /// - `latents`: `[batch, channels, frames, height, width]`
    /// - `condition`: `[batch, condition_channels, frames, height, width]`
    /// - output: velocity, as `latents`
    pub fn forward(
        &self,
        latents: Tensor<5>,
        condition: Tensor<5>,
        moments: Moments<'_>,
        context: &PreparedContext,
    ) -> Tensor<5> {
        let device = latents.device();
        let [batch, channels, frames, height, width] = latents.dims();
        let groups = batch * frames;
        let Moments {
            timesteps,
            clock_secs,
            ..
        } = moments;
        assert_eq!(timesteps.len(), groups, "one timestep per latent frame");
        assert_eq!(clock_secs.len(), groups, "one time per latent frame");

        let inputs = Tensor::cat(vec![latents.clone(), condition], 1);
        let input_channels = inputs.dims()[1];
        let tokens =
            inputs
                .permute([0, 2, 3, 4, 1])
                .reshape([groups, height * width, input_channels]);
        let position = self
            .embed_position
            .forward(positions(height, width, &device));
        let mut x = self.embed.forward(tokens) + position.unsqueeze();

        let time = self.time_in.forward(times(timesteps, clock_secs, &device));
        let time = time.clone() + self.embed_time.forward(time);
        let channels_inner = x.dims()[2];
        let time = time.reshape([batch, frames, channels_inner])
            + context.pooled.clone().unsqueeze_dim::<3>(1);
        let time = burn::tensor::activation::silu(time.reshape([groups, channels_inner]));
        let modulation =
            self.modulation
                .forward(time.clone())
                .reshape([groups, MODULATIONS, channels_inner]);

        let head_dim = channels_inner / self.heads;
        let rotary = rotary_at(
            &moments.times(frames),
            [height, width],
            head_dim,
            ROTARY_THETA,
            &device,
        );
        for (block, key_value) in self.blocks.iter().zip(&context.blocks) {
            x = block.forward(x, &modulation, &rotary, key_value, &context.bias);
        }

        let out = self.out_modulation.forward(time);
        let shift = out.clone().narrow(1, 0, channels_inner);
        let scale = out.narrow(1, channels_inner, channels_inner);
        let x = norm_modulate(x, shift, scale, NORM_EPSILON);
        let clean = self
            .out
            .forward(x)
            .reshape([batch, frames, height, width, channels])
            .permute([0, 4, 1, 2, 3]);
        let rates: Vec<f32> = timesteps
            .iter()
            .map(|sigma| 1.0 / sigma.max(LEAST_SIGMA))
            .collect();
        let rates = TensorData::new(rates, [batch, 1, frames, 1, 1]);
        (latents - clean) * Tensor::from_data(rates, &device)
    }
}

/// Fourier features of each row and column, scaled so that the longer side spans −1 to 1.
fn positions(height: usize, width: usize, device: &Device) -> Tensor<2> {
    let longer = height.max(width) as f32;
    let centred = |i: usize, n: usize| (2 * i + 1) as f32 / longer - n as f32 / longer;
    let mut values = Vec::new();
    for y in 0..height {
        for x in 0..width {
            let place = [centred(y, height), centred(x, width)];
            values.extend(fourier_features(&place.map(|p| p / 2.0), POSITION_OCTAVES));
        }
    }
    let features = values.len() / (height * width);
    Tensor::from_data(TensorData::new(values, [height * width, features]), device)
}

/// Fourier features of each frame's timestep and clock.
fn times(timesteps: &[f32], clock_secs: &[f32], device: &Device) -> Tensor<2> {
    let mut values = Vec::new();
    for (&timestep, &secs) in timesteps.iter().zip(clock_secs) {
        let pair = [timestep / 2.0, secs / CLOCK_SPAN_SECS];
        values.extend(fourier_features(&pair, TIME_OCTAVES));
    }
    let features = values.len() / timesteps.len();
    Tensor::from_data(TensorData::new(values, [timesteps.len(), features]), device)
}
