//! A convolution as the forward pass and the gradient of the input both need it: pixels come out, and each reads some that go in.

use super::Conv3dShape;
use crate::cpu::gemm::Activation;

/// Which pixels are read for each that comes out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    pub(super) batch: usize,
    /// Frames, rows and columns that go in, and that come out.
    pub(super) size_in: [usize; 3],
    pub(super) size_out: [usize; 3],
    /// Zeros before the first of each.
    pub(super) before: [usize; 3],
    pub(super) kernel: [usize; 3],
    pub(super) stride: [usize; 3],
    pub(super) channels_in: usize,
    pub(super) channels_out: usize,
    /// Whether taps are in reverse order.
    pub(super) reverse: bool,
}

/// What becomes of the sums.
#[derive(Clone, Copy, Default)]
pub(super) struct Ending<'a> {
    pub(super) bias: Option<&'a [f32]>,
    pub(super) activation: Activation,
}

impl Walk {
    /// The forward pass.
    pub(super) fn forward(shape: &Conv3dShape) -> Self {
        Self {
            batch: shape.batch,
            size_in: shape.size_in(),
            size_out: shape.size_out(),
            before: shape.before(),
            kernel: shape.kernel,
            stride: shape.stride,
            channels_in: shape.channels_in,
            channels_out: shape.channels_out,
            reverse: false,
        }
    }

    /// The gradient of the input, where that is a convolution too: with steps of 1, and no more zeros around than taps reach.
    pub(super) fn backward(shape: &Conv3dShape) -> Option<Self> {
        let padding = shape.before();
        let reaches = (0..3).all(|axis| padding[axis] < shape.kernel[axis]);
        (shape.stride == [1; 3] && reaches).then(|| Self {
            batch: shape.batch,
            size_in: shape.size_out(),
            size_out: shape.size_in(),
            before: std::array::from_fn(|axis| shape.kernel[axis] - 1 - padding[axis]),
            kernel: shape.kernel,
            stride: shape.stride,
            channels_in: shape.channels_out,
            channels_out: shape.channels_in,
            reverse: true,
        })
    }

    /// Pixels that come out.
    pub(super) fn pixels_out(&self) -> usize {
        self.batch * self.size_out.iter().product::<usize>()
    }

    /// Products that each is the sum of, for each channel.
    pub(super) const fn summed(&self) -> usize {
        self.taps() * self.channels_in
    }

    pub(super) const fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1] * self.kernel[2]
    }

    /// The tap of the weight that meets the `tap`-th pixel that is read.
    #[cfg(target_arch = "x86_64")]
    pub(super) const fn tap(&self, tap: usize) -> usize {
        if self.reverse {
            self.taps() - 1 - tap
        } else {
            tap
        }
    }

    /// Of the frames that are read for `frame`, those that there are: `0..kernel[0]` where none is before the first or after the last.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn frames(&self, frame: usize) -> std::ops::Range<usize> {
        let start = frame * self.stride[0];
        let first = self.before[0].saturating_sub(start).min(self.kernel[0]);
        let end = (self.size_in[0] + self.before[0])
            .saturating_sub(start)
            .clamp(first, self.kernel[0]);
        first..end
    }
}
