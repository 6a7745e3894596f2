//! The weights of a convolution in the form in which the device multiplies them.

use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};
use kinora_kernels::cpu::{Conv3dShape, PackedConv};
use kinora_kernels::{Activation, ConvSteps, Precision, conv3d_kept, conv3d_strided, takes_stored};

/// Weight and bias of a convolution. They are no parameters to whoever visits the module.
#[derive(Debug, Clone)]
pub(super) struct Kernel {
    weight: Form,
    /// `[channels_out]`
    bias: Tensor<1>,
    steps: ConvSteps,
    precision: Precision,
}

#[derive(Debug, Clone)]
enum Form {
    /// On the processor: in bf16 half of what the tensor takes.
    Packed(Arc<PackedConv>),
    /// `[frames, height, width, channels_in, channels_out]`
    Plain(Box<Tensor<5>>),
}

impl Kernel {
    /// `weight`: `[frames, height, width, channels_in, channels_out]`; `bias`: `[channels_out]`.
    pub(super) fn new(
        weight: Tensor<5>,
        bias: Tensor<1>,
        steps: ConvSteps,
        precision: Precision,
    ) -> Self {
        let weight = match takes_stored(&weight.device()) {
            false => Form::Plain(Box::new(weight)),
            true => {
                let [frames, height, width, channels_in, channels_out] = weight.dims();
                let layer = Conv3dShape::layer(
                    [frames, height, width],
                    [channels_in, channels_out],
                    steps.stride,
                    steps.padding,
                );
                let values: TensorData = weight.into_data();
                let values = values.as_slice::<f32>().expect("weights are f32");
                Form::Packed(Arc::new(PackedConv::pack(layer, values, precision)))
            }
        };
        Self {
            weight,
            bias,
            steps,
            precision,
        }
    }

    /// Frames that a frame which comes out is made of.
    pub(super) fn frames(&self) -> usize {
        match &self.weight {
            Form::Packed(packed) => packed.kernel()[0],
            Form::Plain(weight) => weight.dims()[0],
        }
    }

    /// Whether what goes in may come in bf16, to which it is rounded in any case.
    pub(super) fn takes_bf16(&self) -> bool {
        match &self.weight {
            Form::Packed(packed) => packed.takes_bf16(),
            Form::Plain(_) => false,
        }
    }

    /// The convolution of the parts of a clip, which follow one another, after `zeros` frames of zeros.
    ///
    /// # Shapes
    ///
    /// `[batch, frames of the part, height, width, channels_in]` each → `[batch, frames, height, width, channels_out]`
    pub(super) fn convolve(&self, mut parts: Vec<Tensor<5>>, zeros: usize) -> Tensor<5> {
        match &self.weight {
            Form::Packed(weight) => {
                conv3d_kept(parts, zeros, weight, self.bias.clone(), Activation::None)
            }
            Form::Plain(weight) => {
                if zeros > 0 {
                    let [batch, _, height, width, channels] = parts[0].dims();
                    let shape = [batch, zeros, height, width, channels];
                    parts.insert(0, Tensor::zeros(shape, &weight.device()));
                }
                let (weight, bias) = ((**weight).clone(), self.bias.clone());
                let x = Tensor::cat(parts, 1);
                conv3d_strided(x, weight, bias, self.steps, self.precision)
            }
        }
    }
}
