//! Linear layer and the two-layer perceptron made of it.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use kinora_kernels::{Activation, Precision};

use super::{Weight, normal};

/// `activation(x · weight + bias)`.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[channels_in, channels_out]`
    pub weight: Weight,
    /// `[channels_out]`
    pub bias: Param<Tensor<1>>,
}

impl Linear {
    /// Normal weights of deviation `gain / √channels_in`, zero bias.
    pub fn new(channels_in: usize, channels_out: usize, gain: f64, device: &Device) -> Self {
        let std = gain / (channels_in as f64).sqrt();
        Self {
            weight: normal([channels_in, channels_out], std, device).into(),
            bias: Param::from_tensor(Tensor::zeros([channels_out], device)),
        }
    }

    /// All zero: the layer adds nothing until it has learned something.
    pub fn zeros(channels_in: usize, channels_out: usize, device: &Device) -> Self {
        Self {
            weight: Tensor::zeros([channels_in, channels_out], device).into(),
            bias: Param::from_tensor(Tensor::zeros([channels_out], device)),
        }
    }

    /// The same layer with products in 8 bits ([`Weight::to_int8`]): for the processor, and not to be trained.
    pub fn to_int8(&self) -> Self {
        Self {
            weight: self.weight.to_int8(),
            bias: self.bias.clone(),
        }
    }

    /// # Shapes
    ///
    /// `[..., channels_in]` → `[..., channels_out]`
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        self.forward_activated(x, Activation::None)
    }

    /// As [`forward`](Self::forward), with the activation fused into the product.
    pub fn forward_activated<const D: usize>(
        &self,
        x: Tensor<D>,
        activation: Activation,
    ) -> Tensor<D> {
        self.forward_with(x, activation, Precision::Bf16)
    }

    /// As [`forward_activated`](Self::forward_activated), in a precision.
    pub fn forward_with<const D: usize>(
        &self,
        x: Tensor<D>,
        activation: Activation,
        precision: Precision,
    ) -> Tensor<D> {
        self.weight
            .multiply(x, self.bias.val(), activation, precision)
    }
}

/// Two linear layers with GELU (tanh form) between them.
#[derive(Module, Debug)]
pub struct Mlp {
    expand: Linear,
    project: Linear,
}

impl Mlp {
    /// `width → hidden → width`; `project_gain` scales the initial output.
    pub fn new(width: usize, hidden: usize, project_gain: f64, device: &Device) -> Self {
        Self {
            expand: Linear::new(width, hidden, 1.0, device),
            project: Linear::new(hidden, width, project_gain, device),
        }
    }

    /// A perceptron of given layers.
    pub fn from_layers(expand: Linear, project: Linear) -> Self {
        Self { expand, project }
    }

    /// Hidden channels.
    pub fn hidden(&self) -> usize {
        self.expand.weight.dims()[1]
    }

    /// # Shapes
    ///
    /// `[..., width]` → `[..., width]`
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        self.forward_with(x, Precision::Bf16)
    }

    /// As [`forward`](Self::forward), in a precision.
    pub fn forward_with<const D: usize>(&self, x: Tensor<D>, precision: Precision) -> Tensor<D> {
        let hidden = self.expand.forward_with(x, Activation::GeluTanh, precision);
        self.project
            .forward_with(hidden, Activation::None, precision)
    }
}
