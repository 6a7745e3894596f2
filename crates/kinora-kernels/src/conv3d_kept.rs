//! [`conv3d`](crate::conv3d) with weights that are not trained: packed once.

use std::sync::Arc;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::Tensor;
use half::bf16;
use half::slice::HalfFloatSliceExt;

use crate::cpu::{Activation, ClipSize, Frames, PackedConv};
use crate::flex::{floats, overwritten, tensor};

/// `activation(conv(parts, weight) + bias)`, where the parts of a clip follow one another in time. They are not joined in memory, and the
/// zero frames before them are not multiplied.
///
/// # Shapes
///
/// - `parts`: `[batch, frames of the part, height, width, channels_in]`, one to three, of f32 or of bf16
/// - `zeros`: frames of zeros before the first part
/// - `bias`: `[channels_out]`
/// - output: `[batch, frames, height, width, channels_out]`, each axis `(in + padding − kernel) / stride + 1`
///
/// # Panics
///
/// When the shapes do not fit together, or the tensors are not on a device that [`takes_stored`](crate::takes_stored) names.
pub fn conv3d_kept(
    parts: Vec<Tensor<5>>,
    zeros: usize,
    weight: &Arc<PackedConv>,
    bias: Tensor<1>,
    activation: Activation,
) -> Tensor<5> {
    let kept = Kept {
        weight: weight.clone(),
        zeros,
        activation,
    };
    assert!(
        (1..=PARTS).contains(&parts.len()),
        "a clip of {} parts",
        parts.len()
    );
    let device = parts[0].device();
    let nothing = || Tensor::empty([0; 5], &device);
    let mut parts = parts.into_iter();
    let [a, b, c] =
        std::array::from_fn(|_| parts.next().unwrap_or_else(nothing)).map(Tensor::into_dispatch);
    let out = Dispatch::conv3d_kept(a, b, c, bias.into_dispatch(), kept);
    Tensor::from_dispatch(out)
}

/// Backends' operations take no lists.
const PARTS: usize = 3;

/// What such a convolution is made of beside tensors.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    weight: Arc<PackedConv>,
    zeros: usize,
    activation: Activation,
}

/// What the CPU kernels offer without a gradient.
#[backend_extension(Flex)]
pub(crate) trait KeptConvOps: Backend {
    /// Forward pass; parts that are not there have no frames.
    fn conv3d_kept(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        kept: Kept,
    ) -> FloatTensor<Self>;
}

impl KeptConvOps for Flex {
    fn conv3d_kept(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        kept: Kept,
    ) -> FloatTensor<Self> {
        let parts = [a, b, c].into_iter().filter(|part| part.shape()[1] > 0);
        let parts: Vec<_> = parts.map(|part| part.to_contiguous()).collect();
        let bias = bias.to_contiguous();
        let first = parts[0].shape();
        let size = ClipSize {
            batch: first[0],
            frames: parts.iter().map(|part| part.shape()[1]).sum(),
            before: kept.zeros,
            height: first[2],
            width: first[3],
        };
        let shape = kept.weight.shape(size);
        let [frames, height, width] = shape.size_out();
        let sizes = [shape.batch, frames, height, width, shape.channels_out];
        let mut out = overwritten(sizes.iter().product());
        let parts: Vec<Frames<'_>> = parts.iter().map(numbers).collect();
        kept.weight
            .convolve(size, &parts, Some(floats(&bias)), kept.activation, &mut out);
        tensor(out, sizes)
    }
}

fn numbers(part: &FloatTensor<Flex>) -> Frames<'_> {
    match part.as_slice::<bf16>() {
        Some(values) => Frames::Bf16(values.reinterpret_cast()),
        None => Frames::F32(floats(part)),
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Distribution};

    use super::*;
    use crate::cpu::Conv3dShape;
    use crate::testing::assert_close;
    use crate::{ConvSteps, Precision, conv3d_strided};

    #[test]
    fn parts_give_what_the_joined_clip_gives() {
        let normal = Distribution::Normal(0.0, 0.5);
        let device = Device::flex();
        let [a, b] = [1, 3].map(|frames| Tensor::random([1, frames, 6, 9, 5], normal, &device));
        let weight = Tensor::random([3, 3, 3, 5, 20], normal, &device);
        let bias = Tensor::random([20], normal, &device);
        let steps = ConvSteps {
            stride: [1, 2, 1],
            padding: [1, 1],
        };
        let zeros = Tensor::zeros([1, 2, 6, 9, 5], &device);
        let joined = Tensor::cat(vec![zeros, a.clone(), b.clone()], 1);
        let exact = Precision::F32;
        let want = conv3d_strided(joined, weight.clone(), bias.clone(), steps, exact);
        let data = weight.into_data();
        let layer = Conv3dShape::layer([3; 3], [5, 20], steps.stride, steps.padding);
        let packed = PackedConv::pack(layer, data.as_slice::<f32>().unwrap(), exact);
        let got = conv3d_kept(vec![a, b], 2, &Arc::new(packed), bias, Activation::None);
        assert_eq!(got.dims(), want.dims());
        assert_close(got.into_data(), want.into_data());
    }
}
