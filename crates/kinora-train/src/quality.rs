//! How near one clip is to another.

use burn::tensor::Tensor;

/// Peak signal-to-noise ratio in dB.
///
/// # Shapes
///
/// The same for both; −1 to 1
pub(crate) fn psnr_db(a: Tensor<5>, b: Tensor<5>) -> f32 {
    let squared = (a - b).square().mean().into_scalar::<f32>() / 4.0;
    -10.0 * squared.max(1e-10).log10()
}

/// Structural similarity (Wang et al., 2004) over 8 × 8 blocks of luma, mean over the clip.
///
/// # Shapes
///
/// `[1, 3, frames, height, width]`, −1 to 1; sides that are multiples of 8
pub(crate) fn mean_ssim(a: Tensor<5>, b: Tensor<5>) -> f32 {
    const BLOCK: usize = 8;
    let [_, _, frames, height, width] = a.dims();
    let luma = |t: Tensor<5>| {
        let scaled = (t + 1.0) * 0.5;
        let part = |i: usize, weight: f32| scaled.clone().narrow(1, i, 1) * weight;
        let luma = part(0, 0.2126) + part(1, 0.7152) + part(2, 0.0722);
        let rows = height / BLOCK;
        luma.reshape([frames * rows, BLOCK, width / BLOCK, BLOCK])
            .swap_dims(1, 2)
            .reshape([frames * rows * (width / BLOCK), BLOCK * BLOCK])
    };
    let (a, b) = (luma(a), luma(b));
    let (mean_a, mean_b) = (a.clone().mean_dim(1), b.clone().mean_dim(1));
    let (a, b) = (a - mean_a.clone(), b - mean_b.clone());
    let covariance = (a.clone() * b.clone()).mean_dim(1);
    let (var_a, var_b) = (a.square().mean_dim(1), b.square().mean_dim(1));
    let (c1, c2) = (0.01_f32.powi(2), 0.03_f32.powi(2));
    let above = (mean_a.clone() * mean_b.clone() * 2.0 + c1) * (covariance * 2.0 + c2);
    let below = (mean_a.square() + mean_b.square() + c1) * (var_a + var_b + c2);
    (above / below).mean().into_scalar::<f32>()
}
