//! Where and when a token is: rotary tables over frames, rows and columns, and Fourier features.

use std::f32::consts::PI;

use burn::tensor::{Device, Tensor, TensorData};
use kinora_kernels::Rotary;

/// Rotary tables for a grid of latent frames, rows and columns (RoPE, Su et al., 2021, split over
/// three axes as in Wan and Hunyuan).
///
/// Rows and columns take three eighths of the `head_dim / 2` pairs each, frames the rest; each axis
/// has its own geometric ladder of frequencies from 1 down to `1 / theta`.
///
/// # Shapes
///
/// Tables of `[frames · height · width, head_dim / 2]`.
pub fn rotary_3d(grid: [usize; 3], head_dim: usize, theta: f32, device: &Device) -> Rotary {
    let [frames, height, width] = grid;
    let times: Vec<f32> = (0..frames).map(|frame| frame as f32).collect();
    rotary_at(&times, [height, width], head_dim, theta, device)
}

/// The same for latent frames at these times, in latent frames.
pub fn rotary_at(
    times: &[f32],
    [height, width]: [usize; 2],
    head_dim: usize,
    theta: f32,
    device: &Device,
) -> Rotary {
    let pairs = head_dim / 2;
    let spatial = pairs * 3 / 8;
    let axes = [pairs - 2 * spatial, spatial, spatial];
    let tokens = times.len() * height * width;
    let mut cos = Vec::with_capacity(tokens * pairs);
    let mut sin = Vec::with_capacity(tokens * pairs);
    for token in 0..tokens {
        let position = [
            times[token / (height * width)],
            (token / width % height) as f32,
            (token % width) as f32,
        ];
        for (axis, &count) in axes.iter().enumerate() {
            for i in 0..count {
                let frequency = theta.powf(-(i as f32) / count as f32);
                let angle = position[axis] * frequency;
                cos.push(angle.cos());
                sin.push(angle.sin());
            }
        }
    }
    let table = |values| Tensor::from_data(TensorData::new(values, [tokens, pairs]), device);
    Rotary {
        cos: table(cos),
        sin: table(sin),
    }
}

/// `[sin(2^k π x), cos(2^k π x)]` for `k` in `0..octaves` (Tancik et al., 2020), of each value.
pub fn fourier_features(values: &[f32], octaves: usize) -> Vec<f32> {
    let mut features = Vec::with_capacity(values.len() * octaves * 2);
    for &value in values {
        for octave in 0..octaves {
            let angle = value * PI * (1_u32 << octave) as f32;
            features.push(angle.sin());
            features.push(angle.cos());
        }
    }
    features
}
