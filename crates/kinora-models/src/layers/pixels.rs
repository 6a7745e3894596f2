//! Between resolution and channels (sub-pixel convolution, Shi et al., 2016), channels last.

use burn::tensor::Tensor;

/// Spreads channels over `n × n` pixels.
///
/// # Shapes
///
/// `[batch, frames, height, width, n · n · channels]` → `[batch, frames, height · n, width · n, channels]`; of the channels that
/// go in, rows of subpixels are slowest and the channels that come out fastest.
pub fn pixel_shuffle(x: Tensor<5>, n: usize) -> Tensor<5> {
    let [batch, frames, height, width, channels] = x.dims();
    let channels = channels / (n * n);
    // Each axis of the subpixels goes behind its own axis.
    x.reshape([batch * frames * height, width, n, n * channels])
        .swap_dims(1, 2)
        .reshape([batch, frames, height * n, width * n, channels])
}

/// The opposite of [`pixel_shuffle`]; height and width are multiples of `n`.
pub fn pixel_unshuffle(x: Tensor<5>, n: usize) -> Tensor<5> {
    let [batch, frames, height, width, channels] = x.dims();
    let (height, width) = (height / n, width / n);
    x.reshape([batch * frames * height, n, width, n * channels])
        .swap_dims(1, 2)
        .reshape([batch, frames, height, width, n * n * channels])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::floats;
    use burn::tensor::{Device, Int};

    #[test]
    fn subpixels_stand_in_rows() {
        let device = Device::flex();
        let count = |shape: [usize; 5]| {
            let values = shape.iter().product::<usize>() as i64;
            Tensor::<1, Int>::arange(0..values, &device)
                .float()
                .reshape(shape)
        };
        // One pixel of two channels, 2 × 2 subpixels each.
        let shuffled = pixel_shuffle(count([1, 1, 1, 1, 8]), 2);
        assert_eq!(shuffled.dims(), [1, 1, 2, 2, 2]);
        assert_eq!(floats(shuffled), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
        // Two pixels of one channel side by side: the upper row first.
        let shuffled = pixel_shuffle(count([1, 1, 1, 2, 4]), 2);
        assert_eq!(floats(shuffled), [0.0, 1.0, 4.0, 5.0, 2.0, 3.0, 6.0, 7.0]);
        let x = count([2, 3, 6, 9, 2]);
        let back = pixel_shuffle(pixel_unshuffle(x.clone(), 3), 3);
        assert_eq!(floats(back), floats(x));
    }
}
