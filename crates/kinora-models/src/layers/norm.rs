//! Layer norm with learned scale and shift, and RMS norm.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use kinora_kernels::{norm_modulate, rms_norm_rope};

/// Added to the variance where a network does not say otherwise.
pub(crate) const NORM_EPSILON: f32 = 1e-6;

/// Layer norm over the last axis (Ba et al., 2016).
#[derive(Module, Debug)]
pub struct LayerNorm {
    shift: Param<Tensor<2>>,
    scale: Param<Tensor<2>>,
    epsilon: f32,
}

impl LayerNorm {
    /// Identity scale and zero shift; the scale is stored as its difference from one.
    pub fn new(channels: usize, device: &Device) -> Self {
        Self {
            shift: Param::from_tensor(Tensor::zeros([1, channels], device)),
            scale: Param::from_tensor(Tensor::zeros([1, channels], device)),
            epsilon: NORM_EPSILON,
        }
    }

    /// `(x − mean) / √(variance + epsilon) · weight + bias`, both of `[channels]`.
    pub fn from_weights(weight: Tensor<1>, bias: Tensor<1>, epsilon: f32) -> Self {
        Self {
            shift: Param::from_tensor(bias.unsqueeze()),
            scale: Param::from_tensor((weight - 1.0).unsqueeze()),
            epsilon,
        }
    }

    /// # Shapes
    ///
    /// `[..., channels]` → the same
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let shape = x.dims();
        let channels = shape[D - 1];
        let rows = shape.iter().product::<usize>() / channels;
        norm_modulate(
            x.reshape([1, rows, channels]),
            self.shift.val(),
            self.scale.val(),
            self.epsilon,
        )
        .reshape(shape)
    }
}

/// RMS norm over the last axis (Zhang and Sennrich, 2019).
#[derive(Module, Debug)]
pub struct RmsNorm {
    weight: Param<Tensor<1>>,
    epsilon: f32,
}

impl RmsNorm {
    /// `x / √(mean(x²) + epsilon) · weight`, of `[channels]`.
    pub fn from_weight(weight: Tensor<1>, epsilon: f32) -> Self {
        Self {
            weight: Param::from_tensor(weight),
            epsilon,
        }
    }

    /// # Shapes
    ///
    /// `[..., channels]` → the same
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let shape = x.dims();
        let channels = shape[D - 1];
        let rows = shape.iter().product::<usize>() / channels;
        let rows = x.reshape([1, rows, 1, channels]);
        rms_norm_rope(rows, self.weight.val(), None, self.epsilon).reshape(shape)
    }

    /// `[channels]`
    pub(crate) fn weight(&self) -> Tensor<1> {
        self.weight.val()
    }

    /// Added to the mean square.
    pub(crate) fn epsilon(&self) -> f32 {
        self.epsilon
    }
}
