//! Layers that encoder and decoder share. Everything is `[batch, frames, height, width, channels]`.
//!
//! Follows `WanCausalConv3d`, `WanResidualBlock`, `WanAttentionBlock` and `WanMidBlock` of diffusers'
//! `autoencoder_kl_wan.py`.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, activation};
use kinora_kernels::{Activation, attention, conv3d};

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

/// A convolution that sees its own frame and those before. Before a clip there is nothing: zeros.
#[derive(Module, Debug)]
pub(super) struct CausalConv {
    /// `[frames, height, width, channels_in, channels_out]`
    weight: Param<Tensor<5>>,
    bias: Param<Tensor<1>>,
}

impl CausalConv {
    /// `kernel` as it is stored: frames, rows and columns, or rows and columns.
    pub(super) fn read(
        reader: &mut Reader<'_>,
        name: &str,
        channels: [usize; 2],
        kernel: &[usize],
    ) -> Self {
        reader.within(name, |reader| Self {
            weight: Param::from_tensor(reader.kernel("weight", channels, kernel)),
            bias: Param::from_tensor(reader.tensor("bias", [channels[1]])),
        })
    }

    pub(super) fn forward(&self, x: Tensor<5>, pass: &mut Pass<'_>) -> Tensor<5> {
        let [taps, ..] = self.weight.dims();
        let x = match taps - 1 {
            0 => x,
            before => remember(x, before, pass.tail()),
        };
        let (weight, bias) = (self.weight.val(), self.bias.val());
        conv3d(x, weight, bias, Activation::None, pass.precision)
    }
}

/// `x` after the `before` last frames of what came earlier; `tail` is then that of `x`.
fn remember(x: Tensor<5>, before: usize, tail: &mut Option<Tensor<5>>) -> Tensor<5> {
    let [batch, _, height, width, channels] = x.dims();
    let earlier = tail
        .take()
        .unwrap_or_else(|| Tensor::zeros([batch, before, height, width, channels], &x.device()));
    let x = Tensor::cat(vec![earlier, x], 1);
    let [_, frames, ..] = x.dims();
    // Joined from single frames: a mere view would keep all of `x` in memory until the next piece.
    let last = (frames - before..frames).map(|frame| x.clone().narrow(1, frame, 1));
    *tail = Some(Tensor::cat(last.collect(), 1));
    x
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
        let h = activation::silu(self.norm_in.forward(x.clone()));
        let h = self.conv_in.forward(h, pass);
        let h = activation::silu(self.norm_out.forward(h));
        let h = self.conv_out.forward(h, pass);
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
