//! Between Burn's CPU tensors and plain slices.

use burn::backend::{DispatchDevice, TensorMetadata};
use burn::tensor::{Device, Shape, TensorData};
use burn_flex::FlexTensor;

/// Whether tensors of this device are handled by the kernels in [`crate::cpu`].
pub(crate) fn is_cpu(device: &Device) -> bool {
    match device.as_dispatch() {
        DispatchDevice::Flex(_) => true,
        DispatchDevice::Autodiff(inner) => matches!(&**inner, DispatchDevice::Flex(_)),
        #[allow(unreachable_patterns)]
        _ => false,
    }
}

/// The elements of a contiguous tensor (see [`FlexTensor::to_contiguous`]).
pub(crate) fn floats(tensor: &FlexTensor) -> &[f32] {
    tensor
        .as_slice::<f32>()
        .expect("kernels take contiguous f32 tensors")
}

/// A new tensor that owns `values`.
pub(crate) fn tensor(values: Vec<f32>, shape: impl Into<Shape>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape.into()))
}

/// Rows and columns of a tensor seen as a matrix over its last axis.
pub(crate) fn rows_cols(tensor: &FlexTensor) -> (usize, usize) {
    let shape = tensor.shape();
    let cols = shape[shape.num_dims() - 1];
    (shape.num_elements() / cols.max(1), cols)
}
