//! Frames to latents: residual blocks, step by step smaller.
//!
//! Follows `WanEncoder3d` and `WanResidualDownBlock` of diffusers' `autoencoder_kl_wan.py`.

use burn::module::Module;
use burn::tensor::Tensor;

use super::layers::{CausalConv, Middle, Residual, read_norm};
use super::resample::{Downsample, Shortcut};
use super::stream::Pass;
use crate::layers::RmsNorm;
use crate::wan::config::AutoencoderConfig;
use crate::wan::weights::Reader;

/// Residual blocks at one size, and the step to the next.
#[derive(Module, Debug)]
struct Stage {
    blocks: Vec<Residual>,
    down: Option<Downsample>,
    shortcut: Option<Shortcut>,
}

impl Stage {
    fn forward(&self, x: Tensor<5>, pass: &mut Pass<'_>) -> Tensor<5> {
        let shortcut = self
            .shortcut
            .as_ref()
            .map(|shortcut| shortcut.down(x.clone()));
        let mut x = x;
        for block in &self.blocks {
            x = block.forward(x, pass);
        }
        if let Some(down) = &self.down {
            x = down.forward(x, pass);
        }
        match shortcut {
            None => x,
            Some(shortcut) => x + shortcut,
        }
    }
}

/// The encoder without the projection of its latents.
#[derive(Module, Debug)]
pub(super) struct Encoder {
    conv_in: CausalConv,
    stages: Vec<Stage>,
    middle: Middle,
    norm: RmsNorm,
    conv_out: CausalConv,
}

impl Encoder {
    pub(super) fn read(config: &AutoencoderConfig, reader: &mut Reader<'_>) -> Self {
        let widths: Vec<usize> = config
            .dim_mult
            .iter()
            .map(|m| m * config.base_dim)
            .collect();
        let steps = widths.len() - 1;
        let outputs = 2 * config.z_dim;
        reader.within("encoder", |reader| {
            let conv_in = CausalConv::read(
                reader,
                "conv_in",
                [config.in_channels, config.base_dim],
                &[3; 3],
            );
            let mut channels_in = config.base_dim;
            let mut stages = Vec::new();
            // 2.1 counts blocks and steps down in one list.
            let mut index = 0;
            for (step, &width) in widths.iter().enumerate() {
                let goes_down = step < steps;
                let halves_frames = goes_down && config.temperal_downsample[step];
                let mut blocks = Vec::new();
                let mut channels = [channels_in, width];
                for block in 0..config.num_res_blocks {
                    let name = match config.is_residual {
                        true => format!("down_blocks.{step}.resnets.{block}"),
                        false => format!("down_blocks.{}", index + block),
                    };
                    blocks.push(reader.within(name, |reader| Residual::read(reader, channels)));
                    channels = [width; 2];
                }
                index += config.num_res_blocks;
                let down = goes_down.then(|| {
                    let name = match config.is_residual {
                        true => format!("down_blocks.{step}.downsampler"),
                        false => format!("down_blocks.{index}"),
                    };
                    index += 1;
                    reader.within(name, |reader| {
                        Downsample::read(reader, width, halves_frames)
                    })
                });
                stages.push(Stage {
                    blocks,
                    down,
                    shortcut: config
                        .is_residual
                        .then(|| Shortcut::new(goes_down, halves_frames, width)),
                });
                channels_in = width;
            }
            Self {
                conv_in,
                stages,
                middle: Middle::read(reader, channels_in),
                norm: read_norm(reader, "norm_out", channels_in, 3),
                conv_out: CausalConv::read(reader, "conv_out", [channels_in, outputs], &[3; 3]),
            }
        })
    }

    /// `[batch, frames, height, width, in_channels]` → `[…, 2 · z_dim]`
    pub(super) fn forward(&self, x: Tensor<5>, pass: &mut Pass<'_>) -> Tensor<5> {
        let mut x = self.conv_in.forward(x, pass);
        for stage in &self.stages {
            x = stage.forward(x, pass);
        }
        let x = self.middle.forward(x, pass);
        self.conv_out.forward_normed(x, Some(&self.norm), pass)
    }
}
