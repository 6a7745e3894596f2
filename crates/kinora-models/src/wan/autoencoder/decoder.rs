//! Latents to frames: residual blocks, step by step larger.
//!
//! Follows `WanDecoder3d`, `WanUpBlock` and `WanResidualUpBlock` of diffusers' `autoencoder_kl_wan.py`.

use burn::module::Module;
use burn::tensor::Tensor;

use super::layers::{CausalConv, Middle, Residual, read_norm};
use super::resample::{Shortcut, Upsample};
use super::stream::Pass;
use crate::layers::RmsNorm;
use crate::wan::config::AutoencoderConfig;
use crate::wan::weights::Reader;

/// 16 MiB: so much of a clip goes on at once.
const LARGE: usize = 4 << 20;

/// Residual blocks at one size, and the step to the next.
#[derive(Module, Debug)]
struct Stage {
    blocks: Vec<Residual>,
    up: Option<Upsample>,
    shortcut: Option<Shortcut>,
}

impl Stage {
    /// `channels` in and out of the blocks; `up` says whether the step up, if there is one, doubles the frames.
    fn read(
        config: &AutoencoderConfig,
        channels: [usize; 2],
        up: Option<bool>,
        reader: &mut Reader<'_>,
    ) -> Self {
        let [_, width] = channels;
        let blocks = reader.list("resnets", config.num_res_blocks + 1, |reader, block| {
            let same = [width; 2];
            Residual::read(reader, if block == 0 { channels } else { same })
        });
        // 2.1 halves the channels at each step up, 2.2 leaves that to the next blocks.
        let (name, channels_up) = match config.is_residual {
            true => ("upsampler", width),
            false => ("upsamplers.0", width / 2),
        };
        Self {
            blocks,
            up: up.map(|doubles_frames| {
                let channels = [width, channels_up];
                reader.within(name, |reader| {
                    Upsample::read(reader, channels, doubles_frames)
                })
            }),
            shortcut: up
                .filter(|_| config.is_residual)
                .map(|doubles_frames| Shortcut::new(true, doubles_frames, width)),
        }
    }

    fn forward(&self, x: Tensor<5>, pass: &mut Pass<'_>) -> Tensor<5> {
        let shortcut = self
            .shortcut
            .as_ref()
            .map(|shortcut| shortcut.up(x.clone(), pass.first));
        let mut x = x;
        for block in &self.blocks {
            x = block.forward(x, pass);
        }
        if let Some(up) = &self.up {
            x = up.forward(x, pass);
        }
        match shortcut {
            None => x,
            Some(shortcut) => x + shortcut,
        }
    }
}

/// The decoder without the projection of its latents.
#[derive(Module, Debug)]
pub(super) struct Decoder {
    conv_in: CausalConv,
    middle: Middle,
    stages: Vec<Stage>,
    norm: RmsNorm,
    conv_out: CausalConv,
    /// Numbers of all frames above which they go on one by one.
    #[module(skip)]
    large: usize,
}

impl Decoder {
    pub(super) fn read(config: &AutoencoderConfig, reader: &mut Reader<'_>) -> Self {
        let multiples = config.dim_mult.iter().rev();
        let widths: Vec<usize> = multiples.map(|m| m * config.decoder_dim()).collect();
        let (widest, narrowest) = (widths[0], widths[widths.len() - 1]);
        let steps = widths.len() - 1;
        reader.within("decoder", |reader| {
            let conv_in = CausalConv::read(reader, "conv_in", [config.z_dim, widest], &[3; 3]);
            let middle = Middle::read(reader, widest);
            let stages = reader.list("up_blocks", widths.len(), |reader, step| {
                let channels_in = match (step, config.is_residual) {
                    (0, _) => widest,
                    (_, true) => widths[step - 1],
                    (_, false) => widths[step - 1] / 2,
                };
                let up = (step < steps).then(|| config.temperal_downsample[steps - 1 - step]);
                Stage::read(config, [channels_in, widths[step]], up, reader)
            });
            let outputs = [narrowest, config.out_channels];
            Self {
                conv_in,
                middle,
                stages,
                norm: read_norm(reader, "norm_out", narrowest, 3),
                conv_out: CausalConv::read(reader, "conv_out", outputs, &[3; 3]),
                large: LARGE,
            }
        })
    }

    /// `[batch, frames, height, width, z_dim]` → `[…, out_channels]`
    pub(super) fn forward(&self, x: Tensor<5>, pass: &mut Pass<'_>) -> Tensor<5> {
        let x = self.conv_in.forward(x, pass);
        let x = self.middle.forward(x, pass);
        self.through_stages(0, x, pass)
    }

    /// The stages from the `index`-th on. Where frames are large they go through one after another, for all that follows remembers the
    /// frames before: then only one is in memory at each size.
    fn through_stages(&self, index: usize, x: Tensor<5>, pass: &mut Pass<'_>) -> Tensor<5> {
        let [_, frames, height, width, channels] = x.dims();
        if frames > 1 && frames * height * width * channels > self.large {
            let mut made = Vec::with_capacity(frames);
            let start = pass.place();
            for frame in x.split(1, 1) {
                pass.go_to(start);
                made.push(self.through_stages(index, frame, pass));
            }
            return Tensor::cat(made, 1);
        }
        match self.stages.get(index) {
            Some(stage) => {
                let x = stage.forward(x, pass);
                self.through_stages(index + 1, x, pass)
            }
            None => self.conv_out.forward_normed(x, Some(&self.norm), pass),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use burn::tensor::{Device, Distribution, Tensor};
    use kinora_kernels::Precision;

    use super::super::Autoencoder;

    #[test]
    fn frames_one_by_one_give_what_all_of_them_give() {
        let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/wan");
        for name in ["vae_2_1", "vae_2_1_deep", "vae_2_2"] {
            for precision in [Precision::F32, Precision::Bf16] {
                let device = Device::flex();
                let mut model = Autoencoder::load(&goldens.join(name), &device, precision).unwrap();
                let normal = Distribution::Normal(0.0, 1.0);
                let shape = [1, model.config().z_dim, 4, 3, 5];
                let latents = Tensor::<5>::random(shape, normal, &device);
                let [all, single] = [usize::MAX, 0].map(|large| {
                    model.decoder.large = large;
                    crate::weights::floats(model.decode(latents.clone()).unwrap())
                });
                assert!(all.iter().any(|value| value.abs() < 1.0), "{name}");
                assert_eq!(all, single, "{name} in {precision:?}");
            }
        }
    }
}
