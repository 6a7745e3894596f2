//! Steps between sizes, and the shortcuts around them in 2.2. Everything is
//! `[batch, frames, height, width, channels]`.
//!
//! The frame that begins a clip has no partner in time: it is neither halved nor doubled, and what comes after does
//! not see it where frames are doubled.
//!
//! Follows `WanResample`, `AvgDown3D` and `DupUp3D` of diffusers' `autoencoder_kl_wan.py`.

use burn::module::Module;
use burn::tensor::Tensor;
use kinora_kernels::{ConvSteps, Precision};

use super::fused;
use super::kernel::Kernel;
use super::layers::{CausalConv, read_kernel};
use super::stream::Pass;
use crate::wan::weights::Reader;

/// Half the rows and columns, and half the frames where `over_frames` is there.
#[derive(Module, Debug)]
pub(super) struct Downsample {
    #[module(skip)]
    over_space: Kernel,
    #[module(skip)]
    over_frames: Option<Kernel>,
}

impl Downsample {
    pub(super) fn read(reader: &mut Reader<'_>, channels: usize, halves_frames: bool) -> Self {
        let mut read = |name, kernel: &[usize], stride| {
            let steps = ConvSteps {
                stride,
                padding: [0; 2],
            };
            read_kernel(reader, name, [channels; 2], kernel, steps)
        };
        Self {
            over_space: read("resample.1", &[3; 2], [1, 2, 2]),
            over_frames: halves_frames.then(|| read("time_conv", &[3, 1, 1], [2, 1, 1])),
        }
    }

    pub(super) fn forward(&self, x: Tensor<5>, pass: &mut Pass<'_>) -> Tensor<5> {
        let x = self.over_space.convolve(vec![with_border(x)], 0);
        let Some(over_frames) = &self.over_frames else {
            return x;
        };
        let [_, frames, ..] = x.dims();
        let last = x.clone().narrow(1, frames - 1, 1);
        let mut parts = std::mem::replace(pass.tail(), vec![last]);
        if parts.is_empty() {
            return x;
        }
        parts.push(x);
        over_frames.convolve(parts, 0)
    }
}

/// A row and a column of zeros at the far ends.
fn with_border(x: Tensor<5>) -> Tensor<5> {
    let device = x.device();
    let [batch, frames, height, width, channels] = x.dims();
    let row = Tensor::zeros([batch, frames, 1, width, channels], &device);
    let column = Tensor::zeros([batch, frames, height + 1, 1, channels], &device);
    Tensor::cat(vec![Tensor::cat(vec![x, row], 2), column], 3)
}

/// Twice the rows and columns, and twice the frames where `over_frames` is there.
#[derive(Module, Debug)]
pub(super) struct Upsample {
    over_frames: Option<CausalConv>,
    over_space: DoublingConv,
}

impl Upsample {
    pub(super) fn read(
        reader: &mut Reader<'_>,
        channels: [usize; 2],
        doubles_frames: bool,
    ) -> Self {
        let [channels_in, _] = channels;
        let double = [channels_in, 2 * channels_in];
        Self {
            over_frames: doubles_frames
                .then(|| CausalConv::read(reader, "time_conv", double, &[3, 1, 1])),
            over_space: DoublingConv::read(reader, "resample.1", channels),
        }
    }

    pub(super) fn forward(&self, x: Tensor<5>, pass: &mut Pass<'_>) -> Tensor<5> {
        let x = match &self.over_frames {
            // The memory's place is counted all the same.
            Some(_) if pass.first => {
                pass.tail();
                x
            }
            Some(over_frames) => {
                let [batch, frames, height, width, channels] = x.dims();
                over_frames
                    .forward(x, pass)
                    .reshape([batch, frames, height * width, 2, channels])
                    .swap_dims(2, 3)
                    .reshape([batch, 2 * frames, height, width, channels])
            }
            None => x,
        };
        self.over_space.forward(x)
    }
}

/// Each pixel four times, then 3 × 3 taps.
///
/// Among doubled pixels three taps see two different ones: a pixel's own and a neighbour's. So each of the four pixels
/// that come of one is a convolution of 2 × 2 taps over those that there were, with the taps that see the same added up: less
/// than half of the products, and nothing is doubled in memory.
#[derive(Module, Debug)]
struct DoublingConv {
    /// Weight `[1, 2, 2, channels_in, 4 · channels_out]`.
    #[module(skip)]
    kernel: Kernel,
}

impl DoublingConv {
    fn read(reader: &mut Reader<'_>, name: &str, channels: [usize; 2]) -> Self {
        reader.within(name, |reader| {
            let weight = reader.kernel("weight", channels, &[3; 2]);
            let bias = reader.tensor("bias", [channels[1]]);
            // A stand-in of a reader that only checks has one tap.
            let weight = match weight.dims() {
                [_, 3, 3, ..] => for_four(weight),
                _ => weight,
            };
            Self::new(weight, bias, reader.precision())
        })
    }

    /// `weight` for four pixels, `bias` for one.
    fn new(weight: Tensor<5>, bias: Tensor<1>, precision: Precision) -> Self {
        let steps = ConvSteps {
            stride: [1; 3],
            padding: [1; 2],
        };
        Self {
            kernel: Kernel::new(weight, bias.repeat(&[4]), steps, precision),
        }
    }

    fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        fused::spread(self.kernel.convolve(vec![x], 0))
    }
}

/// Taps of the four pixels that come of one, `[1, 3, 3, channels_in, channels_out]` → `[1, 2, 2, channels_in,
/// 4 · channels_out]`: upper left, upper right, lower left, lower right.
fn for_four(weight: Tensor<5>) -> Tensor<5> {
    // Before a pixel's middle the first tap sees its neighbour alone, behind it the last one does.
    let halves = |weight: Tensor<5>, axis: usize| {
        let tap = |i| weight.clone().narrow(axis, i, 1);
        let first = Tensor::cat(vec![tap(0), tap(1) + tap(2)], axis);
        let second = Tensor::cat(vec![tap(0) + tap(1), tap(2)], axis);
        [first, second]
    };
    let rows = halves(weight, 1);
    let all = rows.map(|half| halves(half, 2));
    Tensor::cat(all.into_iter().flatten().collect(), 4)
}

/// What a shortcut has to bridge.
#[derive(Module, Debug)]
pub(super) struct Shortcut {
    /// Frames in one, and pixels in one in each direction.
    frames: usize,
    pixels: usize,
    channels_out: usize,
}

impl Shortcut {
    /// `changes_size` halves or doubles rows and columns, `changes_frames` frames too.
    pub(super) fn new(changes_size: bool, changes_frames: bool, channels_out: usize) -> Self {
        Self {
            frames: 1 + usize::from(changes_frames),
            pixels: 1 + usize::from(changes_size),
            channels_out,
        }
    }

    /// Gathers neighbours into channels and averages these in groups.
    pub(super) fn down(&self, x: Tensor<5>) -> Tensor<5> {
        let (f, p) = (self.frames, self.pixels);
        let [batch, frames, height, width, channels] = x.dims();
        // Only the frame that begins a clip is without a partner: zeros before it.
        let missing = frames.next_multiple_of(f) - frames;
        let x = match missing {
            0 => x,
            missing => {
                let shape = [batch, missing, height, width, channels];
                Tensor::cat(vec![Tensor::zeros(shape, &x.device()), x], 1)
            }
        };
        let (frames, height, width) = ((frames + missing) / f, height / p, width / p);
        let group = channels * f * p * p / self.channels_out;
        x.reshape([batch, frames, f, height, p, width, p, channels])
            .permute([0, 1, 3, 5, 7, 2, 4, 6])
            .reshape([batch * frames, height, width, self.channels_out, group])
            .mean_dim(4)
            .reshape([batch, frames, height, width, self.channels_out])
    }

    /// Repeats channels and spreads them over neighbours; the frame that begins a clip keeps one of its copies.
    pub(super) fn up(&self, x: Tensor<5>, first: bool) -> Tensor<5> {
        let (f, p) = (self.frames, self.pixels);
        let [batch, frames, height, width, channels] = x.dims();
        let copies = self.channels_out * f * p * p / channels;
        let x = x
            .reshape([batch * frames, height, width, channels, 1])
            .repeat_dim(4, copies)
            .reshape([batch, frames, height, width, self.channels_out, f, p, p])
            .permute([0, 1, 5, 2, 6, 3, 7, 4])
            .reshape([batch, frames * f, height * p, width * p, self.channels_out]);
        match first {
            true => x.narrow(1, f - 1, frames * f + 1 - f),
            false => x,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, Distribution};
    use kinora_kernels::{Activation, conv3d};

    #[test]
    fn four_small_convolutions_give_that_of_doubled_pixels() {
        let device = Device::flex();
        let normal = Distribution::Normal(0.0, 1.0);
        let weight = Tensor::<5>::random([1, 3, 3, 6, 5], normal, &device);
        let bias = Tensor::<1>::random([5], normal, &device);
        for [height, width] in [[1, 1], [4, 3], [7, 6]] {
            let x = Tensor::<5>::random([1, 2, height, width, 6], normal, &device);
            let doubled = x
                .clone()
                .reshape([2 * height, 1, width, 1, 6])
                .repeat(&[1, 2, 1, 2, 1])
                .reshape([1, 2, 2 * height, 2 * width, 6]);
            let exact = Precision::F32;
            let plain = conv3d(
                doubled,
                weight.clone(),
                bias.clone(),
                Activation::None,
                exact,
            );
            let ours = DoublingConv::new(for_four(weight.clone()), bias.clone(), exact);
            let ours = ours.forward(x);
            assert_eq!(ours.dims(), plain.dims());
            let worst = crate::weights::floats((ours - plain).abs().max())[0];
            assert!(worst < 1e-4, "{worst}");
        }
    }
}
