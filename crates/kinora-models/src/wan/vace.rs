//! The denoiser of Wan 2.1 VACE: the transformer with a second branch, which sees what is given (a clip with masks,
//! reference pictures) and leaves hints for some of the blocks.
//!
//! Follows `WanVACETransformer3DModel` of diffusers 0.42, `models/transformers/transformer_wan_vace.py` (VACE, Jiang et
//! al., 2025).

use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kinora_kernels::{Activation, Precision, Rotary};

use super::attention::BlockContext;
use super::config::VaceConfig;
use super::transformer::{Block, Context, Transformer, UNUSED};
use super::weights::{Checkpoint, Network, Reader};
use crate::Error;
use crate::layers::Linear;

/// What all sampling steps share.
#[derive(Debug, Clone)]
pub struct VaceContext {
    transformer: Context,
    control: Vec<BlockContext>,
}

/// What is given of a clip.
#[derive(Debug, Clone)]
pub struct Control {
    /// `[batch, vace_in_channels, frames, height, width]`: latents of what is known and of what is to change, and the
    /// mask between them. No more tokens than the latents have; fewer are filled up with zeros.
    pub latents: Tensor<5>,
    /// How much each hint counts; upstream's default is 1 for each of `vace_layers`.
    pub scales: Vec<f32>,
}

/// A block of the second branch.
#[derive(Module, Debug)]
struct ControlBlock {
    /// Of the first: from what is given to the transformer's tokens.
    join: Option<Linear>,
    block: Block,
    hint: Linear,
}

/// The denoiser: see the [module](self).
#[derive(Module, Debug)]
pub struct VaceTransformer {
    transformer: Transformer,
    patches: Linear,
    blocks: Vec<ControlBlock>,
    #[module(skip)]
    config: VaceConfig,
}

impl VaceTransformer {
    /// Loads a diffusers folder, Wan's own folder, a single file or a GGUF file: see [`weights`](super::weights).
    ///
    /// # Errors
    ///
    /// As [`Checkpoint::open_as`], [`Checkpoint::vace_config`] and [`Checkpoint::load`].
    pub fn load(path: &Path, device: &Device, precision: Precision) -> Result<Self, Error> {
        let checkpoint = Checkpoint::open_as(path, Network::Vace)?;
        let config = checkpoint.vace_config()?;
        Self::from_checkpoint(&checkpoint, &config, device, precision)
    }

    /// Loads the weights of an open checkpoint.
    ///
    /// # Errors
    ///
    /// As [`Checkpoint::load`].
    pub fn from_checkpoint(
        checkpoint: &Checkpoint,
        config: &VaceConfig,
        device: &Device,
        precision: Precision,
    ) -> Result<Self, Error> {
        checkpoint.load(device, &UNUSED, |reader| {
            Self::read(config, precision, reader)
        })
    }

    fn read(config: &VaceConfig, precision: Precision, reader: &mut Reader<'_>) -> Self {
        let base = &config.transformer;
        let width = base.width();
        let [frames, rows, columns] = base.patch_size;
        let patch = [width, config.vace_in_channels, frames, rows, columns];
        Self {
            transformer: Transformer::read(base, precision, reader),
            patches: reader.linear_of("vace_patch_embedding", &patch),
            blocks: reader.list("vace_blocks", config.vace_layers.len(), |reader, i| {
                ControlBlock {
                    join: (i == 0).then(|| reader.linear("proj_in", width, width)),
                    block: Block::read(base, reader),
                    hint: reader.linear("proj_out", width, width),
                }
            }),
            config: config.clone(),
        }
    }

    /// Sizes of the network.
    pub fn config(&self) -> &VaceConfig {
        &self.config
    }

    /// As [`Transformer::prepare`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn prepare(&self, text: Tensor<3>, image: Option<Tensor<3>>) -> Result<VaceContext, Error> {
        let precision = self.transformer.precision;
        let embedded = self.transformer.embed(text, image)?;
        let context = |block: &ControlBlock| block.block.context(embedded.clone(), precision);
        Ok(VaceContext {
            control: self.blocks.iter().map(context).collect(),
            transformer: self.transformer.contexts(embedded.clone()),
        })
    }

    /// As [`Transformer::forward`], with what is given.
    ///
    /// # Errors
    ///
    /// As there, and [`Error::Input`] for a control of other channels, more tokens or other scales than the network's.
    pub fn forward(
        &self,
        latents: Tensor<5>,
        timesteps: &Tensor<2>,
        control: &Control,
        context: &VaceContext,
    ) -> Result<Tensor<5>, Error> {
        let precision = self.transformer.precision;
        let transformer = &context.transformer;
        let (mut x, start) = self.transformer.start(latents, timesteps, transformer)?;
        let control_tokens = self.control_tokens(control, &x, &start.rotary)?;

        // Each hint is made just before its block: it is as large as all tokens.
        let mut given = control_tokens;
        let mut hinting = self
            .blocks
            .iter()
            .zip(&context.control)
            .zip(&control.scales);
        let blocks = self.transformer.blocks.iter().zip(&transformer.blocks);
        for (i, (block, context)) in blocks.enumerate() {
            let modulation = &start.time.modulation;
            let mut hint = None;
            if self.config.vace_layers.contains(&i)
                && let Some(((control, context), scale)) = hinting.next()
            {
                if let Some(join) = &control.join {
                    given = join.forward_with(given, Activation::None, precision) + x.clone();
                }
                given = control
                    .block
                    .forward(given, modulation, &start.rotary, context, precision);
                let made =
                    control
                        .hint
                        .forward_with::<3>(given.clone(), Activation::None, precision);
                hint = Some(made * *scale);
            }
            x = block.forward(x, modulation, &start.rotary, context, precision);
            if let Some(hint) = hint {
                x = x + hint;
            }
        }
        Ok(self.transformer.finish(x, &start))
    }

    /// As [`Transformer::modulation`].
    pub(super) fn modulation(&self, timesteps: &Tensor<2>) -> Vec<f32> {
        self.transformer.modulation(timesteps)
    }

    /// Tokens of what is given, grouped as those of the latents.
    fn control_tokens(
        &self,
        control: &Control,
        x: &Tensor<3>,
        rotary: &Rotary,
    ) -> Result<Tensor<3>, Error> {
        let required = self.blocks.len();
        if control.scales.len() != required {
            return Err(Error::Input {
                name: "control_hidden_states_scale",
                got: vec![control.scales.len()],
                required: format!("one scale for each of {required} hints"),
            });
        }
        let [groups, rows, width] = x.dims();
        let [tokens, _] = rotary.cos.dims();
        let batch = groups * rows / tokens;
        let [clips, channels, frames, height, columns] = control.latents.dims();
        let patch = self.config.transformer.patch_size;
        let grid = [frames / patch[0], height / patch[1], columns / patch[2]];
        let given: usize = grid.iter().product();
        if clips != batch
            || channels != self.config.vace_in_channels
            || !(1..=tokens).contains(&given)
        {
            return Err(Error::Input {
                name: "control_hidden_states",
                got: control.latents.dims().to_vec(),
                required: format!(
                    "[{batch}, {}, frames, height, width] of 1 to {tokens} tokens",
                    self.config.vace_in_channels
                ),
            });
        }
        let patches = self.transformer.patchify(control.latents.clone(), grid);
        let precision = self.transformer.precision;
        let embedded = self
            .patches
            .forward_with(patches, Activation::None, precision);
        let filled = match tokens - given {
            0 => embedded,
            missing => {
                let zeros = Tensor::zeros([batch, missing, width], &x.device());
                Tensor::cat(vec![embedded, zeros], 1)
            }
        };
        Ok(filled.reshape([groups, rows, width]))
    }
}
