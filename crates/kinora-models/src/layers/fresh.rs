//! Parameters of layers that have learned nothing yet.

use burn::module::{Param, ParamId};
use burn::tensor::{Device, Distribution, Shape, Tensor};

/// Normal values of deviation `std`. They are drawn when they are first asked for: those of a layer that is read from a file never are.
pub(crate) fn normal<const D: usize>(
    shape: [usize; D],
    std: f64,
    device: &Device,
) -> Param<Tensor<D>> {
    let draw = move |device: &Device, is_trained: bool| {
        Tensor::random(shape, Distribution::Normal(0.0, std), device).set_require_grad(is_trained)
    };
    Param::uninitialized(
        ParamId::new(),
        draw,
        device.clone(),
        true,
        Shape::from(shape),
    )
}
