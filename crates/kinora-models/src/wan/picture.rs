//! Pictures as the image encoder takes them.
//!
//! Follows `CLIPImageProcessor` of transformers 5.24, `models/clip/image_processing_pil_clip.py`: the shorter side is
//! brought to the encoder's size with Pillow's bicubic filter, the middle is cut out, and channels are normalised.

use burn::tensor::{Tensor, TensorData};

/// Mean and deviation of each channel in the pictures that CLIP was trained on (Radford et al., 2021).
const MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
const DEVIATION: [f32; 3] = [0.268_629_54, 0.261_302_6, 0.275_777_1];
/// Pixels that the filter reaches to each side where nothing is made smaller.
const SUPPORT: f64 = 2.0;
/// Bits of a weight behind the point.
const WEIGHT_BITS: u32 = 22;
/// Slope of the bicubic filter (Keys, 1981) as Pillow has it.
const SLOPE: f64 = -0.5;

/// A picture in levels of 0 to 255, channel by channel.
struct Levels {
    width: usize,
    height: usize,
    /// `[3, height, width]`
    values: Vec<f32>,
}

/// # Shapes
///
/// - `picture`: `[1, 3, 1, height, width]`, −1 to 1
/// - output: `[1, 3, size, size]`
pub(super) fn for_image_encoder(picture: &Tensor<5>, size: usize) -> Tensor<4> {
    let device = picture.device();
    let [_, _, _, height, width] = picture.dims();
    let values = crate::weights::floats(picture.clone());
    let levels = Levels {
        width,
        height,
        values: values.iter().map(|v| level(v * 127.5 + 127.5)).collect(),
    };
    let shorter = width.min(height);
    let side = |side: usize| match side == shorter {
        true => size,
        false => size * side / shorter,
    };
    let resized = levels.resized(side(width), side(height));
    let normalised = resized.middle(size);
    Tensor::from_data(TensorData::new(normalised, [1, 3, size, size]), &device)
}

fn level(value: f32) -> f32 {
    (value + 0.5).floor().clamp(0.0, 255.0)
}

impl Levels {
    /// Across and down, each rounded to whole levels, as Pillow 13 does: that first which leaves fewer pixels for the other.
    fn resized(self, width: usize, height: usize) -> Self {
        match width * self.height <= self.width * height {
            true => self.across(width).down(height),
            false => self.down(height).across(width),
        }
    }

    fn across(self, width: usize) -> Self {
        let weights = weights(self.width, width);
        let rows = self.values.chunks_exact(self.width);
        let values = rows.flat_map(|row| weights.iter().map(|taps| taps.of(|x| row[x])));
        Self {
            width,
            height: self.height,
            values: values.collect(),
        }
    }

    fn down(self, height: usize) -> Self {
        let weights = weights(self.height, height);
        let mut values = Vec::with_capacity(3 * self.width * height);
        for channel in self.values.chunks_exact(self.height * self.width) {
            for taps in &weights {
                let pixel = |x: usize| taps.of(|y| channel[y * self.width + x]);
                values.extend((0..self.width).map(pixel));
            }
        }
        Self {
            width: self.width,
            height,
            values,
        }
    }

    /// The square in the middle, normalised: `[3, size, size]`.
    fn middle(&self, size: usize) -> Vec<f32> {
        let (left, top) = ((self.width - size) / 2, (self.height - size) / 2);
        let mut normalised = Vec::with_capacity(3 * size * size);
        for (channel, (mean, deviation)) in MEAN.into_iter().zip(DEVIATION).enumerate() {
            for y in top..top + size {
                let row = (channel * self.height + y) * self.width + left;
                let pixels = &self.values[row..row + size];
                normalised.extend(
                    pixels
                        .iter()
                        .map(|level| (level / 255.0 - mean) / deviation),
                );
            }
        }
        normalised
    }
}

/// Pixels that make up one, from `first` on.
struct Taps {
    first: usize,
    /// In 2⁻²², as Pillow has them: sums of levels that lie between two are then rounded alike.
    weights: Vec<i64>,
}

impl Taps {
    /// In whole levels.
    fn of(&self, pixel: impl Fn(usize) -> f32) -> f32 {
        let weighted = self.weights.iter().enumerate();
        let sum: i64 = weighted
            .map(|(i, weight)| weight * pixel(self.first + i) as i64)
            .sum();
        let rounded = (sum + (1 << (WEIGHT_BITS - 1))) >> WEIGHT_BITS;
        rounded.clamp(0, 255) as f32
    }
}

/// Of each of `to` pixels the weights of those of `from` that it is made of: `precompute_coeffs` of Pillow's `Resample.c`.
fn weights(from: usize, to: usize) -> Vec<Taps> {
    let scale = from as f64 / to as f64;
    let wide = scale.max(1.0);
    let taps = |index: usize| {
        let centre = (index as f64 + 0.5) * scale;
        let first = (centre - SUPPORT * wide + 0.5).max(0.0) as usize;
        let end = ((centre + SUPPORT * wide + 0.5) as usize).min(from);
        let weight = |pixel: usize| bicubic((pixel as f64 - centre + 0.5) / wide);
        let weights: Vec<f64> = (first..end).map(weight).collect();
        let sum: f64 = weights.iter().sum();
        Taps {
            first,
            weights: weights
                .iter()
                .map(|weight| (weight / sum * f64::from(1 << WEIGHT_BITS)).round() as i64)
                .collect(),
        }
    };
    (0..to).map(taps).collect()
}

fn bicubic(x: f64) -> f64 {
    let x = x.abs();
    if x < 1.0 {
        ((SLOPE + 2.0) * x - (SLOPE + 3.0)) * x * x + 1.0
    } else if x < SUPPORT {
        (((x - 5.0) * x + 8.0) * x - 4.0) * SLOPE
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use burn::tensor::Device;
    use safetensors::SafeTensors;

    use super::*;

    /// Pictures and what CLIP's preprocessor made of them, by `bench/parity/goldens.py`.
    #[test]
    fn pictures_are_prepared_as_upstream() {
        let device = Device::flex();
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/wan/clip/prepared.pictures");
        let bytes = std::fs::read(path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        for case in 0..5 {
            let given = file.tensor(&format!("{case}.picture")).unwrap();
            let [height, width, 3] = given.shape()[..] else {
                panic!("{case} has shape {:?}", given.shape());
            };
            let pixels = given
                .data()
                .iter()
                .map(|&byte| f32::from(byte) / 127.5 - 1.0);
            let pixels = TensorData::new(pixels.collect::<Vec<_>>(), [1, 1, height, width, 3]);
            let picture = Tensor::<5>::from_data(pixels, &device).permute([0, 4, 1, 2, 3]);
            let prepared = crate::weights::floats(for_image_encoder(&picture, 14));

            let upstream = file.tensor(&format!("{case}.prepared")).unwrap();
            let upstream = upstream.data().as_chunks().0;
            let upstream = upstream.iter().map(|bytes| f32::from_le_bytes(*bytes));
            assert_eq!(prepared.len(), upstream.len());
            for (i, (ours, theirs)) in prepared.iter().zip(upstream).enumerate() {
                assert!(
                    (ours - theirs).abs() < 1e-5,
                    "{case} at {i}: {ours} and {theirs}"
                );
            }
        }
    }
}
