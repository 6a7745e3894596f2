//! Convolution over channels-last frames.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use kinora_kernels::{Activation, Precision, conv3d};

use super::normal;

/// Spatial 3 × 3 convolution; with `taps == 2` it also sees the frame before.
#[derive(Module, Debug)]
pub struct Conv {
    /// `[taps, 3, 3, channels_in, channels_out]`
    pub weight: Param<Tensor<5>>,
    /// `[channels_out]`
    pub bias: Param<Tensor<1>>,
}

impl Conv {
    /// Normal weights of deviation `gain / √(taps · 9 · channels_in)`, zero bias.
    pub fn new(taps: usize, channels: [usize; 2], gain: f64, device: &Device) -> Self {
        let [channels_in, channels_out] = channels;
        let std = gain / ((taps * 9 * channels_in) as f64).sqrt();
        Self {
            weight: normal([taps, 3, 3, channels_in, channels_out], std, device),
            bias: Param::from_tensor(Tensor::zeros([channels_out], device)),
        }
    }

    /// # Shapes
    ///
    /// `[batch, frames + taps − 1, height, width, channels_in]` → `[batch, frames, height, width, channels_out]`
    pub fn forward(&self, x: Tensor<5>, activation: Activation) -> Tensor<5> {
        conv3d(
            x,
            self.weight.val(),
            self.bias.val(),
            activation,
            Precision::Bf16,
        )
    }

    /// Multiply-adds for one output pixel.
    pub fn products(&self) -> usize {
        self.weight.dims().iter().product()
    }
}
