//! Channels-last 3-D convolution and its gradients as matrix products that gather while they pack: no patch matrix
//! in memory.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod amx_weight;
mod clip;
#[cfg(target_arch = "x86_64")]
mod direct;
mod packed;
mod patches;
mod shifted;
#[cfg(test)]
mod tests;
mod walk;
mod way;
#[cfg(target_arch = "x86_64")]
mod window;

pub use clip::Frames;
pub use packed::{ClipSize, PackedConv};

use clip::{Clip, frames_of};
use patches::{Across, Patches, TurnedWeight};
use shifted::Shifted;
use walk::{Ending, Walk};
use way::Way;

use super::gemm::pack::{Source, engine_is_512};
use super::gemm::{Activation, Engine, Epilogue, Operand, product};
use super::level::{Level, Precision, level};
use super::matrix::MatRef;
use super::scratch::Scratch;

/// Sizes of a convolution. No frames follow the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv3dShape {
    /// Clips.
    pub batch: usize,
    /// Frames that go in.
    pub frames_in: usize,
    /// Frames of zeros before them.
    pub frames_before: usize,
    /// Rows that go in.
    pub height: usize,
    /// Columns that go in.
    pub width: usize,
    /// Channels that go in.
    pub channels_in: usize,
    /// Channels that come out.
    pub channels_out: usize,
    /// Taps along frames, rows and columns.
    pub kernel: [usize; 3],
    /// Steps along frames, rows and columns.
    pub stride: [usize; 3],
    /// Zeros on both sides of rows and of columns.
    pub padding: [usize; 2],
}

impl Conv3dShape {
    /// A layer's part of it: taps, channels, steps and padding of rows and columns, for a clip that has one pixel come out.
    #[must_use]
    pub const fn layer(
        kernel: [usize; 3],
        channels: [usize; 2],
        stride: [usize; 3],
        padding: [usize; 2],
    ) -> Self {
        Self {
            batch: 1,
            frames_in: kernel[0],
            frames_before: 0,
            height: kernel[1],
            width: kernel[2],
            channels_in: channels[0],
            channels_out: channels[1],
            kernel,
            stride,
            padding,
        }
    }

    /// `[frames, height, width]` that come out.
    ///
    /// # Panics
    /// When a kernel or stride is 0 or the kernel is larger than what goes in.
    #[must_use]
    pub fn size_out(&self) -> [usize; 3] {
        let [before, rows, columns] = self.before();
        let padding = [before, 2 * rows, 2 * columns];
        std::array::from_fn(|axis| {
            let padded = self.size_in()[axis] + padding[axis];
            let (kernel, stride) = (self.kernel[axis], self.stride[axis]);
            assert!(
                kernel > 0 && stride > 0 && padded >= kernel,
                "no output along axis {axis} of {self:?}"
            );
            (padded - kernel) / stride + 1
        })
    }

    /// Elements of `[batch, frames_in, height, width, channels_in]`.
    #[must_use]
    pub const fn input_len(&self) -> usize {
        self.batch * self.frames_in * self.height * self.width * self.channels_in
    }

    /// Elements of `[kt, kh, kw, channels_in, channels_out]`.
    #[must_use]
    pub const fn weight_len(&self) -> usize {
        self.taps() * self.channels_in * self.channels_out
    }

    /// Elements of `[batch, frames, height, width, channels_out]`.
    ///
    /// # Panics
    /// As [`Conv3dShape::size_out`].
    #[must_use]
    pub fn output_len(&self) -> usize {
        self.pixels_out() * self.channels_out
    }

    const fn size_in(&self) -> [usize; 3] {
        [self.frames_in, self.height, self.width]
    }

    /// Zeros before the first frame, row and column.
    const fn before(&self) -> [usize; 3] {
        [self.frames_before, self.padding[0], self.padding[1]]
    }

    const fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1] * self.kernel[2]
    }

    fn pixels_out(&self) -> usize {
        self.batch * self.size_out().iter().product::<usize>()
    }

    fn pixels_in(&self) -> usize {
        self.batch * self.size_in().iter().product::<usize>()
    }

    /// Whether each output pixel is a linear map of one input pixel.
    fn is_pointwise(&self) -> bool {
        self.kernel == [1; 3] && self.stride == [1; 3] && self.padding == [0; 2]
    }
}

/// `out = activation(conv(x, weight) + bias)`.
///
/// # Shapes
/// `x [batch, frames_in, height, width, channels_in]`, `weight [kt, kh, kw, channels_in, channels_out]`,
/// `bias [channels_out]`, `out [batch, frames, height, width, channels_out]` as [`Conv3dShape::size_out`].
///
/// # Panics
/// When a slice does not have the length of its shape, or the shape has no output.
pub fn conv3d_forward(
    shape: Conv3dShape,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    activation: Activation,
    out: &mut [f32],
    precision: Precision,
) {
    conv3d_forward_at(level(), shape, x, weight, bias, activation, out, precision);
}

#[allow(clippy::too_many_arguments)]
pub(crate) fn conv3d_forward_at(
    level: Level,
    shape: Conv3dShape,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    activation: Activation,
    out: &mut [f32],
    precision: Precision,
) {
    assert_eq!(
        [x.len(), weight.len()],
        [shape.input_len(), shape.weight_len()],
        "{shape:?}"
    );
    assert_eq!(out.len(), shape.output_len(), "{shape:?}");
    let engine = Engine::new(level, precision);
    let (m, k, n) = (
        shape.pixels_out(),
        shape.taps() * shape.channels_in,
        shape.channels_out,
    );
    let weight = MatRef::new(weight, k, n).t();
    if shape.is_pointwise() {
        let epilogue = Epilogue {
            bias,
            activation,
            ..Epilogue::default()
        };
        let (x, weight) = (MatRef::new(x, m, k), Operand::Source(&weight));
        product(engine, &x, m, k, n, weight, out, epilogue);
        return;
    }
    let walk = Walk::forward(&shape);
    let clip = Clip::whole(x, shape.batch * shape.frames_in);
    walked(
        engine,
        walk,
        clip,
        &weight,
        Ending { bias, activation },
        out,
    );
}

/// Packs the weight, and convolves.
fn walked(
    engine: Engine,
    walk: Walk,
    x: Clip<'_>,
    weight: &dyn Source,
    ending: Ending<'_>,
    out: &mut [f32],
) {
    let way = Way::of(engine, &walk);
    let mut packed = Scratch::take(way.packed_len(engine, &walk));
    way.pack(engine, &walk, weight, packed.as_mut_ptr());
    way.convolve(engine, walk, x, packed.as_ptr(), ending, out);
}

/// Gradient of the input: `d_x` is overwritten.
///
/// # Panics
/// As [`conv3d_forward`].
pub fn conv3d_backward_input(
    shape: Conv3dShape,
    weight: &[f32],
    d_out: &[f32],
    d_x: &mut [f32],
    precision: Precision,
) {
    conv3d_backward_input_at(level(), shape, weight, d_out, d_x, precision);
}

pub(crate) fn conv3d_backward_input_at(
    level: Level,
    shape: Conv3dShape,
    weight: &[f32],
    d_out: &[f32],
    d_x: &mut [f32],
    precision: Precision,
) {
    assert_eq!(
        [d_x.len(), weight.len()],
        [shape.input_len(), shape.weight_len()],
        "{shape:?}"
    );
    assert_eq!(d_out.len(), shape.output_len(), "{shape:?}");
    let engine = Engine::new(level, precision);
    let (m, k, n) = (
        shape.pixels_in(),
        shape.taps() * shape.channels_out,
        shape.channels_in,
    );
    if shape.is_pointwise() {
        let (left, right) = (MatRef::new(d_out, m, k), MatRef::new(weight, n, k));
        product(
            engine,
            &left,
            m,
            k,
            n,
            Operand::Source(&right),
            d_x,
            Epilogue::default(),
        );
    } else {
        let turned = TurnedWeight::new(weight, shape.channels_in, shape.channels_out);
        if let Some(walk) = Walk::backward(&shape)
            && Way::of(engine, &walk) != Way::Patches
        {
            let clip = Clip::whole(d_out, shape.batch * shape.size_out()[0]);
            walked(engine, walk, clip, &turned, Ending::default(), d_x);
            return;
        }
        let left = Patches::of_output(&shape, d_out);
        product(
            engine,
            &left,
            m,
            k,
            n,
            Operand::Source(&turned),
            d_x,
            Epilogue::default(),
        );
    }
}

/// Gradient of the weight: `d_weight` is overwritten.
///
/// # Panics
/// As [`conv3d_forward`].
pub fn conv3d_backward_weight(
    shape: Conv3dShape,
    x: &[f32],
    d_out: &[f32],
    d_weight: &mut [f32],
    precision: Precision,
) {
    conv3d_backward_weight_at(level(), shape, x, d_out, d_weight, precision);
}

pub(crate) fn conv3d_backward_weight_at(
    level: Level,
    shape: Conv3dShape,
    x: &[f32],
    d_out: &[f32],
    d_weight: &mut [f32],
    precision: Precision,
) {
    assert_eq!(
        [x.len(), d_weight.len()],
        [shape.input_len(), shape.weight_len()],
        "{shape:?}"
    );
    assert_eq!(d_out.len(), shape.output_len(), "{shape:?}");
    let engine = Engine::new(level, precision);
    let (m, k, n) = (
        shape.taps() * shape.channels_in,
        shape.pixels_out(),
        shape.channels_out,
    );
    let right = MatRef::new(d_out, k, n).t();
    #[cfg(target_arch = "x86_64")]
    if engine == Engine::AmxBf16 && !shape.is_pointwise() && amx_weight::pays(&shape) {
        amx_weight::gradient(&shape, x, d_out, d_weight);
        return;
    }
    if shape.is_pointwise() {
        let left = MatRef::new(x, k, m).t();
        product(
            engine,
            &left,
            m,
            k,
            n,
            Operand::Source(&right),
            d_weight,
            Epilogue::default(),
        );
    } else if engine_is_512(engine)
        && let Some(shifted) = Shifted::new(&shape, x, d_out)
    {
        let k = shifted.summed();
        let right = MatRef::new(&shifted.gradients, k, n).t();
        let (right, plain) = (Operand::Source(&right), Epilogue::default());
        product(engine, &shifted, m, k, n, right, d_weight, plain);
    } else {
        let frames = frames_of(x, shape.batch * shape.frames_in);
        let left = Across(Patches::of_walk(&Walk::forward(&shape), frames));
        product(
            engine,
            &left,
            m,
            k,
            n,
            Operand::Source(&right),
            d_weight,
            Epilogue::default(),
        );
    }
}
