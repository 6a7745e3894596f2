//! Layers that encoder and decoder share. Everything is `[batch, frames, height, width, channels]`.
//!
//! Follows `WanCausalConv3d`, `WanResidualBlock`, `WanAttentionBlock` and `WanMidBlock` of diffusers'
//! `autoencoder_kl_wan.py`.

use burn::module::Module;
use burn::tensor::Tensor;
use kinora_kernels::{Activation, ConvSteps, attention};

use super::fused;
use super::kernel::Kernel;
use super::stream::Pass;
use crate::layers::{Linear, RmsNorm};
use crate::wan::weights::Reader;

/// Upstream divides by the norm, but by no less than 1e-12; as a mean square this is nothing.
const NORM_EPSILON: f32 = 1e-26;

/// Norm over channels; `axes` of the stored weight are one long.
pub(super) fn read_norm(
    reader: &mut Reader<'_>,
    name: &str,
    channels: usize,
    axes: usize,
) -> RmsNorm {
    let mut shape = vec![channels];
    shape.extend(std::iter::repeat_n(1, axes));
    let weight = reader.within(name, |reader| reader.tensor_as("gamma", &shape, [channels]));
    RmsNorm::from_weight(weight, NORM_EPSILON)
}

/// A convolution that sees its own frame and those before, at least one. Before a clip there is nothing: zeros.
#[derive(Module, Debug)]
pub(super) struct CausalConv {
    #[module(skip)]
    kernel: Kernel,
}

impl CausalConv {
    /// `kernel`: frames, rows and columns, of these an odd number.
    pub(super) fn read(
        reader: &mut Reader<'_>,
        name: &str,
        channels: [usize; 2],
        kernel: &[usize; 3],
    ) -> Self {
        let steps = ConvSteps {
            stride: [1; 3],
            padding: [kernel[1] / 2, kernel[2] / 2],
        };
        Self {
            kernel: read_kernel(reader, name, channels, kernel, steps),
        }
    }

    pub(super) fn forward(&self, x: Tensor<5>, pass: &mut Pass<'_>) -> Tensor<5> {
        self.forward_normed(x, None, pass)
    }

    /// `conv(silu(norm(x)))`, or `conv(x)` without a norm.
    pub(super) fn forward_normed(
        &self,
        x: Tensor<5>,
        norm: Option<&RmsNorm>,
        pass: &mut Pass<'_>,
    ) -> Tensor<5> {
        let x = match norm {
            None => x,
            Some(norm) => fused::silu_normed(x, norm, self.kernel.takes_bf16()),
        };
        let before = self.kernel.frames() - 1;
        let tail = pass.tail();
        let mut parts = std::mem::take(tail);
        parts.push(x);
        *tail = last_frames(&parts, before);
        let there: usize = parts.iter().map(|part| part.dims()[1]).sum();
        let new = parts.last().map_or(0, |part| part.dims()[1]);
        self.kernel.convolve(parts, before - (there - new))
    }
}

/// The last `count` frames of a clip in parts, or all of them if there are fewer.
fn last_frames(parts: &[Tensor<5>], count: usize) -> Vec<Tensor<5>> {
    let mut missing = count;
    let mut last = Vec::new();
    for part in parts.iter().rev() {
        let [_, frames, ..] = part.dims();
        let kept = frames.min(missing);
        missing -= kept;
        if kept == frames {
            last.push(part.clone());
        } else if kept > 0 {
            // Joined from single frames: a mere view would keep all of them in memory until the next piece.
            let frames = (frames - kept..frames).map(|frame| part.clone().narrow(1, frame, 1));
            last.push(Tensor::cat(frames.collect(), 1));
        }
    }
    last.reverse();
    last
}

/// `weight` and `bias` of a convolution; `kernel` as [`Reader::kernel`] takes it.
pub(super) fn read_kernel(
    reader: &mut Reader<'_>,
    name: &str,
    channels: [usize; 2],
    kernel: &[usize],
    steps: ConvSteps,
) -> Kernel {
    reader.within(name, |reader| {
        let weight = reader.kernel("weight", channels, kernel);
        let bias = reader.tensor("bias", [channels[1]]);
        Kernel::new(weight, bias, steps, reader.precision())
    })
}

/// `shortcut(x) + conv(silu(norm(conv(silu(norm(x))))))`
#[derive(Module, Debug)]
pub(super) struct Residual {
    norm_in: RmsNorm,
    conv_in: CausalConv,
    norm_out: RmsNorm,
    conv_out: CausalConv,
    shortcut: Option<Linear>,
}

impl Residual {
    pub(super) fn read(reader: &mut Reader<'_>, channels: [usize; 2]) -> Self {
        let [channels_in, channels_out] = channels;
        let wide = [channels_out; 2];
        Self {
            norm_in: read_norm(reader, "norm1", channels_in, 3),
            conv_in: CausalConv::read(reader, "conv1", channels, &[3; 3]),
            norm_out: read_norm(reader, "norm2", channels_out, 3),
            conv_out: CausalConv::read(reader, "conv2", wide, &[3; 3]),
            shortcut: (channels_in != channels_out)
                .then(|| reader.linear_of("conv_shortcut", &[channels_out, channels_in, 1, 1, 1])),
        }
    }

    pub(super) fn forward(&self, x: Tensor<5>, pass: &mut Pass<'_>) -> Tensor<5> {
        let h = self
            .conv_in
            .forward_normed(x.clone(), Some(&self.norm_in), pass);
        let h = self.conv_out.forward_normed(h, Some(&self.norm_out), pass);
        match &self.shortcut {
            None => x + h,
            Some(linear) => linear.forward_with(x, Activation::None, pass.precision) + h,
        }
    }
}

/// Every place of a frame sees every other; one head, frames on their own.
#[derive(Module, Debug)]
struct FrameAttention {
    norm: RmsNorm,
    query_key_value: Linear,
    out: Linear,
}

impl FrameAttention {
    fn read(reader: &mut Reader<'_>, channels: usize) -> Self {
        Self {
            norm: read_norm(reader, "norm", channels, 2),
            query_key_value: reader.linear_of("to_qkv", &[3 * channels, channels, 1, 1]),
            out: reader.linear_of("proj", &[channels, channels, 1, 1]),
        }
    }

    fn forward(&self, x: Tensor<5>, pass: &Pass<'_>) -> Tensor<5> {
        let shape = x.dims();
        let [batch, frames, height, width, channels] = shape;
        let project =
            |linear: &Linear, x| linear.forward_with::<5>(x, Activation::None, pass.precision);
        let all = project(&self.query_key_value, self.norm.forward(x.clone())).reshape([
            batch * frames,
            height * width,
            1,
            3 * channels,
        ]);
        let [q, k, v] = [0, 1, 2].map(|i| all.clone().narrow(3, i * channels, channels));
        let mixed = attention(q, k, v, None, pass.precision).reshape(shape);
        x + project(&self.out, mixed)
    }
}

/// The smallest size: two residual blocks with attention between them.
#[derive(Module, Debug)]
pub(super) struct Middle {
    before: Residual,
    attention: FrameAttention,
    after: Residual,
}

impl Middle {
    pub(super) fn read(reader: &mut Reader<'_>, channels: usize) -> Self {
        let same = [channels; 2];
        reader.within("mid_block", |reader| Self {
            before: reader.within("resnets.0", |reader| Residual::read(reader, same)),
            attention: reader.within("attentions.0", |reader| {
                FrameAttention::read(reader, channels)
            }),
            after: reader.within("resnets.1", |reader| Residual::read(reader, same)),
        })
    }

    pub(super) fn forward(&self, x: Tensor<5>, pass: &mut Pass<'_>) -> Tensor<5> {
        let x = self.before.forward(x, pass);
        let x = self.attention.forward(x, pass);
        self.after.forward(x, pass)
    }
}
