//! The denoiser of Wan 2.1 and 2.2: text to video, image to video, first and last frame, and the timestep per token of
//! TI2V-5B.
//!
//! Follows `WanTransformer3DModel` of diffusers 0.42, `models/transformers/transformer_wan.py` (Wan et al., 2025).
//! A diffusion transformer (Peebles and Xie, 2022) with one shared modulation and a table per block (PixArt-α, Chen et
//! al., 2023), self-attention with rotary positions over frames, rows and columns, and cross-attention to text.

use std::path::Path;

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use kinora_kernels::{Activation, Precision, Rotary, gate_residual, norm_modulate};

use super::attention::{BlockContext, CrossAttention, SelfAttention};
use super::condition::{
    ImageEmbedder, MODULATIONS, TimeEmbedder, TimeEmbedding, read_text_embedder,
};
use super::config::TransformerConfig;
use super::weights::{Checkpoint, Network, Reader};
use crate::Error;
use crate::layers::{LayerNorm, Linear, Mlp};

const ROTARY_THETA: f64 = 10_000.0;
/// Upstream leaves these in some files and ignores them too.
pub(super) const UNUSED: [&str; 1] = ["norm_added_q"];

/// Text and image with the keys and values of every block: what all sampling steps share.
#[derive(Debug, Clone)]
pub struct Context {
    pub(super) blocks: Vec<BlockContext>,
    batch: usize,
}

/// What all blocks see beside the tokens.
pub(super) struct Start {
    pub(super) time: TimeEmbedding,
    pub(super) rotary: Rotary,
    batch: usize,
    grid: [usize; 3],
}

#[derive(Module, Debug)]
pub(super) struct Block {
    attention: SelfAttention,
    cross_norm: Option<LayerNorm>,
    cross: CrossAttention,
    mlp: Mlp,
    /// `[MODULATIONS, width]`, added to the shared modulation.
    table: Param<Tensor<3>>,
    epsilon: f32,
}

impl Block {
    pub(super) fn read(config: &TransformerConfig, reader: &mut Reader<'_>) -> Self {
        let width = config.width();
        let epsilon = config.eps as f32;
        Self {
            attention: reader.within("attn1", |reader| SelfAttention::read(config, reader)),
            cross_norm: config
                .cross_attn_norm
                .then(|| reader.layer_norm("norm2", width, epsilon)),
            cross: reader.within("attn2", |reader| CrossAttention::read(config, reader)),
            mlp: reader.within("ffn.net", |reader| {
                let expand = reader.linear("0.proj", width, config.ffn_dim);
                Mlp::from_layers(expand, reader.linear("2", config.ffn_dim, width))
            }),
            table: Param::from_tensor(reader.tensor("scale_shift_table", [1, MODULATIONS, width])),
            epsilon,
        }
    }

    /// Keys and values of embedded text and image.
    pub(super) fn context(&self, context: Tensor<3>, precision: Precision) -> BlockContext {
        self.cross.context(context, precision)
    }

    /// `x`: `[groups, tokens, width]`; `modulation`: `[groups, MODULATIONS, width]`.
    pub(super) fn forward(
        &self,
        x: Tensor<3>,
        modulation: &Tensor<3>,
        rotary: &Rotary,
        context: &BlockContext,
        precision: Precision,
    ) -> Tensor<3> {
        let [groups, rows, width] = x.dims();
        let [tokens, _] = rotary.cos.dims();
        let batch = groups * rows / tokens;
        let clips = |x: Tensor<3>| x.reshape([batch, tokens, width]);
        let grouped = |x: Tensor<3>| x.reshape([groups, rows, width]);

        let modulation = modulation.clone() + self.table.val();
        let part = |i: usize| modulation.clone().narrow(1, i, 1).reshape([groups, width]);

        let h = norm_modulate(x.clone(), part(0), part(1), self.epsilon);
        let h = self.attention.forward(clips(h), rotary, precision);
        let x = gate_residual(x, part(2), grouped(h));

        let h = match &self.cross_norm {
            None => x.clone(),
            Some(norm) => norm.forward(x.clone()),
        };
        let x = x + grouped(self.cross.forward(clips(h), context, precision));

        let h = norm_modulate(x.clone(), part(3), part(4), self.epsilon);
        gate_residual(x, part(5), self.mlp.forward_with(h, precision))
    }
}

/// The denoiser: see the [module](self).
#[derive(Module, Debug)]
pub struct Transformer {
    patches: Linear,
    time: TimeEmbedder,
    text: Mlp,
    image: Option<ImageEmbedder>,
    pub(super) blocks: Vec<Block>,
    /// `[1, 2, width]`: shift and scale of the last norm.
    table: Param<Tensor<3>>,
    out: Linear,
    #[module(skip)]
    config: TransformerConfig,
    #[module(skip)]
    pub(super) precision: Precision,
}

impl Transformer {
    /// Loads a diffusers folder, Wan's own folder, a single file or a GGUF file: see [`weights`](super::weights).
    ///
    /// # Errors
    ///
    /// As [`Checkpoint::open_as`], [`Checkpoint::transformer_config`] and [`Checkpoint::load`].
    pub fn load(path: &Path, device: &Device, precision: Precision) -> Result<Self, Error> {
        let checkpoint = Checkpoint::open_as(path, Network::Transformer)?;
        let config = checkpoint.transformer_config()?;
        Self::from_checkpoint(&checkpoint, &config, device, precision)
    }

    /// Loads the weights of an open checkpoint.
    ///
    /// # Errors
    ///
    /// As [`Checkpoint::load`].
    pub fn from_checkpoint(
        checkpoint: &Checkpoint,
        config: &TransformerConfig,
        device: &Device,
        precision: Precision,
    ) -> Result<Self, Error> {
        checkpoint.load(device, &UNUSED, |reader| {
            Self::read(config, precision, reader)
        })
    }

    pub(super) fn read(
        config: &TransformerConfig,
        precision: Precision,
        reader: &mut Reader<'_>,
    ) -> Self {
        let width = config.width();
        let [frames, rows, columns] = config.patch_size;
        let patch = [width, config.in_channels, frames, rows, columns];
        let (time, text, image) = reader.within("condition_embedder", |reader| {
            let image = config
                .image_dim
                .map(|channels| ImageEmbedder::read(config, channels, reader));
            (
                TimeEmbedder::read(config, reader),
                read_text_embedder(config, reader),
                image,
            )
        });
        let outputs = config.channels_out() * frames * rows * columns;
        Self {
            patches: reader.linear_of("patch_embedding", &patch),
            time,
            text,
            image,
            blocks: reader.list("blocks", config.num_layers, |reader, _| {
                Block::read(config, reader)
            }),
            table: Param::from_tensor(reader.tensor("scale_shift_table", [1, 2, width])),
            out: reader.linear("proj_out", width, outputs),
            config: config.clone(),
            precision,
        }
    }

    /// Sizes of the network.
    pub fn config(&self) -> &TransformerConfig {
        &self.config
    }

    /// Computes what every sampling step of the same text and image shares.
    ///
    /// # Shapes
    ///
    /// - `text`: `[batch, text_tokens, text_dim]`, padded with zeros (Wan pads to 512 tokens)
    /// - `image`: `[batch, image_tokens, image_dim]`, or `[2 · batch, …]` of models that take the first and the last
    ///   frame, one after the other
    ///
    /// # Errors
    ///
    /// [`Error::Input`] for other shapes, [`Error::Inputs`] for an image that the model lacks or has no use for.
    pub fn prepare(&self, text: Tensor<3>, image: Option<Tensor<3>>) -> Result<Context, Error> {
        Ok(self.contexts(self.embed(text, image)?))
    }

    /// Keys and values of embedded text and image, for every block.
    pub(super) fn contexts(&self, embedded: Tensor<3>) -> Context {
        let context = |block: &Block| block.context(embedded.clone(), self.precision);
        Context {
            batch: embedded.dims()[0],
            blocks: self.blocks.iter().map(context).collect(),
        }
    }

    /// An image's tokens, if there are any, and the text's, in the transformer's width.
    pub(super) fn embed(
        &self,
        text: Tensor<3>,
        image: Option<Tensor<3>>,
    ) -> Result<Tensor<3>, Error> {
        let [batch, tokens, channels] = text.dims();
        if channels != self.config.text_dim || batch * tokens == 0 {
            return Err(Error::Input {
                name: "encoder_hidden_states",
                got: text.dims().to_vec(),
                required: format!("[batch, tokens, {}]", self.config.text_dim),
            });
        }
        let text = self.text.forward_with(text, self.precision);
        let (embedder, image) = match (&self.image, image) {
            (None, None) => return Ok(text),
            (None, Some(_)) => return Err(Error::Inputs("this model takes no encoded image")),
            (Some(_), None) => return Err(Error::Inputs("this model needs an encoded image")),
            (Some(embedder), Some(image)) => (embedder, image),
        };
        let got = image.dims();
        let wrong = |required: String| Error::Input {
            name: "encoder_hidden_states_image",
            got: got.to_vec(),
            required,
        };
        let channels = self.config.image_dim.unwrap_or_default();
        if got[2] != channels || got.contains(&0) {
            return Err(wrong(format!("[batch, tokens, {channels}]")));
        }
        let image = embedder.forward(image, self.precision)?;
        if image.dims()[0] != batch {
            return Err(wrong(format!("images for {batch} clips")));
        }
        Ok(Tensor::cat(vec![image, text], 1))
    }

    /// What upstream's `forward` gives: the velocity `noise − latents` at the timesteps.
    ///
    /// Rows, columns and frames that do not fill a patch are left out, as upstream does.
    ///
    /// # Shapes
    ///
    /// - `latents`: `[batch, in_channels, frames, height, width]`
    /// - `timesteps`: `[batch, groups]`, 0 = clean, 1000 = noise, where `groups` divides the tokens of a clip: 1 for a
    ///   timestep per clip, the latent frames for one each, the tokens for upstream's timestep per token
    /// - output: `[batch, out_channels, frames, height, width]`
    ///
    /// # Errors
    ///
    /// [`Error::Input`] for other shapes, or more tokens along an axis than the model has positions.
    pub fn forward(
        &self,
        latents: Tensor<5>,
        timesteps: &Tensor<2>,
        context: &Context,
    ) -> Result<Tensor<5>, Error> {
        let (mut x, start) = self.start(latents, timesteps, context)?;
        for (block, context) in self.blocks.iter().zip(&context.blocks) {
            let modulation = &start.time.modulation;
            x = block.forward(x, modulation, &start.rotary, context, self.precision);
        }
        Ok(self.finish(x, &start))
    }

    /// Shift, scale and gate of all blocks at these timesteps, before the tables of each are added.
    pub(super) fn modulation(&self, timesteps: &Tensor<2>) -> Vec<f32> {
        let device = timesteps.device();
        let timesteps = crate::weights::floats(timesteps.clone());
        let embedding = self.time.forward(&timesteps, &device, self.precision);
        crate::weights::floats(embedding.modulation)
    }

    /// Tokens `[groups, tokens, width]`, where a group shares a timestep, and what goes with them.
    pub(super) fn start(
        &self,
        latents: Tensor<5>,
        timesteps: &Tensor<2>,
        context: &Context,
    ) -> Result<(Tensor<3>, Start), Error> {
        let device = latents.device();
        let batch = context.batch;
        let grid = self.grid(&latents, batch)?;
        let tokens = grid.iter().product();
        let groups = self.groups(timesteps, batch, tokens)?;

        let x = self.patchify(latents, grid);
        let x = self
            .patches
            .forward_with(x, Activation::None, self.precision)
            .reshape([groups, batch * tokens / groups, self.config.width()]);
        let timesteps = crate::weights::floats(timesteps.clone());
        let start = Start {
            time: self.time.forward(&timesteps, &device, self.precision),
            rotary: self.rotary(grid, &device),
            batch,
            grid,
        };
        Ok((x, start))
    }

    /// What the blocks leave, as latents.
    pub(super) fn finish(&self, x: Tensor<3>, start: &Start) -> Tensor<5> {
        let [groups, _, width] = x.dims();
        let last = start.time.time.clone().unsqueeze_dim::<3>(1) + self.table.val();
        let part = |i: usize| last.clone().narrow(1, i, 1).reshape([groups, width]);
        let x = norm_modulate(x, part(0), part(1), self.config.eps as f32);
        let x = self.out.forward_with(x, Activation::None, self.precision);
        self.unpatchify(x, start.batch, start.grid)
    }

    /// Tokens along frames, rows and columns.
    fn grid(&self, latents: &Tensor<5>, batch: usize) -> Result<[usize; 3], Error> {
        let [clips, channels, frames, height, width] = latents.dims();
        let size = [frames, height, width];
        let grid: [usize; 3] =
            std::array::from_fn(|axis| size[axis] / self.config.patch_size[axis]);
        let fits = grid
            .iter()
            .all(|places| (1..=self.config.rope_max_seq_len).contains(places));
        if clips != batch || channels != self.config.in_channels || !fits {
            return Err(Error::Input {
                name: "hidden_states",
                got: latents.dims().to_vec(),
                required: format!(
                    "[{batch}, {}, frames, height, width] of 1 to {} patches {:?} along each axis",
                    self.config.in_channels, self.config.rope_max_seq_len, self.config.patch_size
                ),
            });
        }
        Ok(grid)
    }

    /// Groups of tokens that share a timestep, in the whole batch.
    fn groups(&self, timesteps: &Tensor<2>, batch: usize, tokens: usize) -> Result<usize, Error> {
        let [clips, groups] = timesteps.dims();
        if clips != batch || groups == 0 || !tokens.is_multiple_of(groups) {
            return Err(Error::Input {
                name: "timestep",
                got: timesteps.dims().to_vec(),
                required: format!("[{batch}, groups] where groups divides {tokens} tokens"),
            });
        }
        Ok(batch * groups)
    }

    /// `[batch, channels, frames, height, width]` → `[batch, tokens, channels · patch]`
    pub(super) fn patchify(&self, latents: Tensor<5>, grid: [usize; 3]) -> Tensor<3> {
        let [batch, channels, ..] = latents.dims();
        let [pf, ph, pw] = self.config.patch_size;
        let [f, h, w] = grid;
        latents
            .narrow(2, 0, f * pf)
            .narrow(3, 0, h * ph)
            .narrow(4, 0, w * pw)
            .reshape([batch, channels, f, pf, h, ph, w, pw])
            .permute([0, 2, 4, 6, 1, 3, 5, 7])
            .reshape([batch, f * h * w, channels * pf * ph * pw])
    }

    /// The opposite, with the channels last in a patch.
    fn unpatchify(&self, x: Tensor<3>, batch: usize, grid: [usize; 3]) -> Tensor<5> {
        let channels = self.config.channels_out();
        let [pf, ph, pw] = self.config.patch_size;
        let [f, h, w] = grid;
        x.reshape([batch, f, h, w, pf, ph, pw, channels])
            .permute([0, 7, 1, 4, 2, 5, 3, 6])
            .reshape([batch, channels, f * pf, h * ph, w * pw])
    }

    /// Angles of each token, in the order frames, rows, columns: a third of the pairs each, and what is left over to
    /// frames. Computed in `f64`, as upstream.
    ///
    /// # Shapes
    ///
    /// Tables of `[tokens, head_dim / 2]`.
    fn rotary(&self, grid: [usize; 3], device: &Device) -> Rotary {
        let head_dim = self.config.attention_head_dim;
        let side = 2 * (head_dim / 6);
        let axes = [head_dim - 2 * side, side, side];
        let [frames, height, width] = grid;
        // What each place along each axis turns by; a token puts three of them together.
        let ladders: [Vec<Turns>; 3] = std::array::from_fn(|axis| {
            let channels = axes[axis];
            let angle = |place: usize, pair: usize| {
                place as f64 / ROTARY_THETA.powf((2 * pair) as f64 / channels as f64)
            };
            let turns = |place| (0..channels / 2).map(|pair| angle(place, pair)).collect();
            (0..grid[axis]).map(turns).collect()
        });
        let shape = [frames * height * width, head_dim / 2];
        let mut cos = Vec::with_capacity(shape[0] * shape[1]);
        let mut sin = Vec::with_capacity(shape[0] * shape[1]);
        for token in 0..shape[0] {
            let place = [
                token / (height * width),
                token / width % height,
                token % width,
            ];
            for (ladder, place) in ladders.iter().zip(place) {
                cos.extend_from_slice(&ladder[place].cos);
                sin.extend_from_slice(&ladder[place].sin);
            }
        }
        Rotary {
            cos: Tensor::from_data(TensorData::new(cos, shape), device),
            sin: Tensor::from_data(TensorData::new(sin, shape), device),
        }
    }
}

/// Cosines and sines of the angles of one place along an axis.
struct Turns {
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl FromIterator<f64> for Turns {
    fn from_iter<I: IntoIterator<Item = f64>>(angles: I) -> Self {
        let turn = |angle: f64| (angle.cos() as f32, angle.sin() as f32);
        let (cos, sin) = angles.into_iter().map(turn).unzip();
        Self { cos, sin }
    }
}
