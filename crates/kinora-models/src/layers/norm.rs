//! Layer norm with learned scale and shift.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use kinora_kernels::norm_modulate;

/// Added to the variance of every layer norm.
pub(crate) const NORM_EPSILON: f32 = 1e-6;

/// Layer norm over the last axis (Ba et al., 2016).
#[derive(Module, Debug)]
pub struct LayerNorm {
    shift: Param<Tensor<2>>,
    scale: Param<Tensor<2>>,
}

impl LayerNorm {
    /// Identity scale and zero shift; the scale is stored as its difference from one.
    pub fn new(channels: usize, device: &Device) -> Self {
        Self {
            shift: Param::from_tensor(Tensor::zeros([1, channels], device)),
            scale: Param::from_tensor(Tensor::zeros([1, channels], device)),
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
            NORM_EPSILON,
        )
        .reshape(shape)
    }
}
