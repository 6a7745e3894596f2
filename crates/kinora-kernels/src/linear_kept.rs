//! [`linear`] with weights that are not trained: packed once, left as they are stored, or in 8 bits.

use std::sync::Arc;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, DispatchDevice, Flex, TensorMetadata, backend_extension};
use burn::tensor::{Device, Tensor, TensorData};

use crate::cpu::{
    self, Activation, Epilogue, Int8Matrix, MatRef, PackedMatrix, PackedOnce, Precision,
    StoredMatrix,
};
use crate::flex::{floats, overwritten, rows_cols, tensor};
use crate::linear::{composed, linear};

/// Whether [`linear_packed`] and [`linear_stored`] multiply with weights as they are kept on this device: on the processor, without
/// gradients.
pub fn takes_stored(device: &Device) -> bool {
    matches!(device.as_dispatch(), DispatchDevice::Flex(_))
}

/// [`linear`] with weights that do not change while `packed` belongs to them: the first product keeps their packed form there, and those
/// that follow take it. On devices other than those that [`takes_stored`] names it is [`linear`].
///
/// # Shapes
///
/// As for [`linear`].
pub fn linear_packed<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    packed: &PackedOnce,
    bias: Tensor<1>,
    activation: Activation,
    precision: Precision,
) -> Tensor<D> {
    if takes_stored(&x.device()) && takes_stored(&weight.device()) {
        let pack = || {
            let [rows, cols] = weight.dims();
            let data = weight.to_data();
            let values = data.as_slice::<f32>().expect("weights are f32");
            PackedMatrix::pack(MatRef::new(values, rows, cols), precision)
        };
        if packed.get(precision, pack).is_some() {
            let right = Right::Packed(packed.clone());
            return multiply(x, bias, right, activation, precision);
        }
    }
    linear(x, weight, bias, activation, precision)
}

/// [`linear`] with weights that stay as they are stored: `activation(x · weightᵀ + bias)`.
///
/// A few thousand rows at a time are decoded while they are packed, so memory holds the weights as they are, whatever
/// their size. Where [`cpu::limit_packed`] leaves room, the second product keeps their packed form in `packed`. On devices other than
/// those that [`takes_stored`] names, all of them are decoded for each call.
///
/// # Shapes
///
/// - `x`: `[..., columns]`
/// - `weight`: `rows × columns`
/// - `bias`: `[rows]`
/// - output: `[..., rows]`
///
/// # Panics
///
/// When the shapes do not fit together.
pub fn linear_stored<const D: usize>(
    x: Tensor<D>,
    weight: &Arc<dyn StoredMatrix>,
    packed: &PackedOnce,
    bias: Tensor<1>,
    activation: Activation,
    precision: Precision,
) -> Tensor<D> {
    let device = x.device();
    if takes_stored(&device) {
        let right = match packed.get_stored(&**weight, precision) {
            Some(_) => Right::Packed(packed.clone()),
            None => Right::Stored(weight.clone()),
        };
        return multiply(x, bias, right, activation, precision);
    }
    let (rows, columns) = (weight.rows(), weight.columns());
    let mut values = vec![0.0; rows * columns];
    for (row, values) in values.chunks_mut(columns.max(1)).enumerate() {
        weight.decode(row, 0, values);
    }
    let weight = Tensor::<2>::from_data(TensorData::new(values, [rows, columns]), &device);
    composed(x, weight.transpose(), bias, activation)
}

/// `activation(x · weight + bias)` in 8 bits: rows of `x` are rounded with a scale of their own, and sums are exact. On devices other than
/// those that [`takes_stored`] names the weight is multiplied out for each call, and `x` is not rounded.
///
/// # Shapes
///
/// - `x`: `[..., rows]`
/// - `weight`: `rows × columns`
/// - `bias`: `[columns]`
/// - output: `[..., columns]`
///
/// # Panics
///
/// When the shapes do not fit together.
pub fn linear_int8<const D: usize>(
    x: Tensor<D>,
    weight: &Arc<Int8Matrix>,
    bias: Tensor<1>,
    activation: Activation,
) -> Tensor<D> {
    let device = x.device();
    if takes_stored(&device) {
        let right = Right::Int8(weight.clone());
        return multiply(x, bias, right, activation, Precision::Bf16);
    }
    let (rows, columns) = (weight.rows(), weight.cols());
    let values: Vec<f32> = (0..rows * columns)
        .map(|at| weight.at(at / columns, at % columns))
        .collect();
    let weight = Tensor::<2>::from_data(TensorData::new(values, [rows, columns]), &device);
    composed(x, weight, bias, activation)
}

fn multiply<const D: usize>(
    x: Tensor<D>,
    bias: Tensor<1>,
    right: Right,
    activation: Activation,
    precision: Precision,
) -> Tensor<D> {
    Tensor::from_dispatch(Dispatch::linear_kept(
        x.into_dispatch(),
        bias.into_dispatch(),
        Kept {
            right,
            activation,
            precision,
        },
    ))
}

/// What a product with kept weights is made of beside tensors.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    right: Right,
    activation: Activation,
    precision: Precision,
}

/// The weights.
#[derive(Debug, Clone)]
enum Right {
    Stored(Arc<dyn StoredMatrix>),
    /// Made before.
    Packed(PackedOnce),
    /// For which there is no precision to choose.
    Int8(Arc<Int8Matrix>),
}

/// What the CPU kernels offer without a gradient.
#[backend_extension(Flex)]
pub(crate) trait KeptOps: Backend {
    /// Forward pass.
    fn linear_kept(x: FloatTensor<Self>, bias: FloatTensor<Self>, kept: Kept) -> FloatTensor<Self>;
}

impl KeptOps for Flex {
    fn linear_kept(x: FloatTensor<Self>, bias: FloatTensor<Self>, kept: Kept) -> FloatTensor<Self> {
        let (x, bias) = (x.to_contiguous(), bias.to_contiguous());
        let (rows, channels_in) = rows_cols(&x);
        let channels_out = floats(&bias).len();
        let mut out = overwritten(rows * channels_out);
        let epilogue = Epilogue {
            bias: Some(floats(&bias)),
            activation: kept.activation,
            ..Epilogue::default()
        };
        let left = MatRef::new(floats(&x), rows, channels_in);
        match &kept.right {
            Right::Stored(weight) => {
                cpu::gemm_stored(left, &**weight, &mut out, epilogue, kept.precision);
            }
            Right::Int8(weight) => cpu::gemm_int8(left, weight, &mut out, epilogue),
            Right::Packed(packed) => cpu::gemm_packed(
                left,
                packed.made().expect("the caller saw it"),
                &mut out,
                epilogue,
            ),
        }
        let mut shape = x.shape();
        let last = shape.num_dims() - 1;
        shape[last] = channels_out;
        tensor(out, shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Plain(Vec<f32>, [usize; 2]);

    impl StoredMatrix for Plain {
        fn rows(&self) -> usize {
            self.1[0]
        }
        fn columns(&self) -> usize {
            self.1[1]
        }
        fn decode(&self, row: usize, start: usize, out: &mut [f32]) {
            out.copy_from_slice(&self.0[row * self.1[1] + start..][..out.len()]);
        }
    }

    #[test]
    fn stored_and_packed_weights_give_what_plain_ones_give() {
        let plain_device = Device::flex();
        assert!(takes_stored(&plain_device));
        let random = |shape: [usize; 2]| {
            let normal = burn::tensor::Distribution::Normal(0.0, 1.0);
            Tensor::<2>::random(shape, normal, &plain_device)
        };
        let (x, w) = (random([7, 33]), random([19, 33]));
        let b: Tensor<1> = random([1, 19]).reshape([19]);
        let values = w.clone().into_data().try_into_vec().expect("f32");
        let stored: Arc<dyn StoredMatrix> = Arc::new(Plain(values, [19, 33]));
        let (of_stored, of_plain) = (PackedOnce::default(), PackedOnce::default());
        for activation in [Activation::None, Activation::GeluTanh, Activation::Silu] {
            let precision = Precision::F32;
            let w = w.clone().transpose();
            let plain = linear(x.clone(), w.clone(), b.clone(), activation, precision).into_data();
            let (x, b) = (x.clone(), b.clone());
            let stored = linear_stored(
                x.clone(),
                &stored,
                &of_stored,
                b.clone(),
                activation,
                precision,
            );
            assert_eq!(stored.into_data(), plain);
            let packed = linear_packed(x, w, &of_plain, b, activation, precision);
            assert_eq!(packed.into_data(), plain);
        }
        assert!(of_plain.made().is_some());
    }

    #[test]
    fn eight_bits_give_nearly_the_same() {
        let device = Device::flex();
        let normal = burn::tensor::Distribution::Normal(0.0, 1.0);
        let x = Tensor::<3>::random([2, 7, 96], normal, &device);
        let w = Tensor::<2>::random([96, 40], normal, &device);
        let b = Tensor::<1>::random([40], normal, &device);
        let values = w.to_data();
        let values = values.as_slice::<f32>().expect("f32");
        let matrix = Arc::new(Int8Matrix::new(MatRef::new(values, 96, 40)));
        let ours = linear_int8(x.clone(), &matrix, b.clone(), Activation::Silu);
        let exact = linear(x, w, b, Activation::Silu, Precision::F32);
        // Outputs are about 10; each product is rounded by about 1 % of what its factors may be, and 96 of them partly cancel.
        let difference = (ours - exact).abs().max().into_scalar::<f32>();
        assert!(difference > 1e-4 && difference < 0.5, "{difference}");
    }
}
