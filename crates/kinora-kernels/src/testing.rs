//! What the operations' tests share: a fused operation and Burn's composition must agree, forward
//! and backward.

use burn::tensor::{Device, Distribution, Gradients, Tensor, TensorData, Tolerance};

/// A leaf of normal values.
pub(crate) fn random<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    let device = Device::flex().autodiff();
    Tensor::random(shape, Distribution::Normal(0.0, 0.5), &device).require_grad()
}

/// Equal up to the rounding of sums in another order.
pub(crate) fn assert_close(ours: TensorData, plain: TensorData) {
    ours.assert_approx_eq(&plain, Tolerance::<f32>::absolute(2e-4));
}

/// Same values, and the same gradients of a weighted sum of them.
pub(crate) fn assert_same<const D: usize>(
    ours: Tensor<D>,
    plain: Tensor<D>,
    gradients: impl Fn(&Gradients) -> Vec<Option<TensorData>>,
) {
    assert_close(ours.to_data(), plain.to_data());
    let weights = random::<D>(ours.dims()).detach();
    let ours = gradients(&(ours * weights.clone()).sum().backward());
    let plain = gradients(&(plain * weights).sum().backward());
    for (ours, plain) in ours.into_iter().zip(plain) {
        assert_close(
            ours.expect("the operation gives a gradient"),
            plain.expect("so does the composition"),
        );
    }
}
