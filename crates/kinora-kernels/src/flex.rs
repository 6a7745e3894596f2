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

/// Room for values that are all written before they are read: numbers, but it is not said which. Zeros would be written over: a tenth of a training step.
///
/// In tests they are NaN, so that a value which is not written shows.
pub fn overwritten(len: usize) -> Vec<f32> {
    if cfg!(test) {
        return vec![f32::NAN; len];
    }
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    {
        let mut values = Vec::<f32>::with_capacity(len);
        let start = values.as_mut_ptr();
        // SAFETY: the capacity is there. As far as the compiler knows, the assembly wrote all of it, so it holds values, whichever;
        // each pattern of bits is an f32.
        unsafe {
            std::arch::asm!("/* {} */", in(reg) start, options(nostack, preserves_flags));
            values.set_len(len);
        }
        values
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    vec![0.0; len]
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
