//! Classifier-free guidance.

use burn::tensor::Tensor;

/// `negative + scale · (positive − negative)` (Ho and Salimans, 2022); a scale of 1 is no guidance.
pub fn guide<const D: usize>(
    positive: Tensor<D>,
    negative: Tensor<D>,
    guidance_scale: f32,
) -> Tensor<D> {
    negative.clone() + (positive - negative) * guidance_scale
}
