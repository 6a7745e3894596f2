//! Channels-last 3-D convolution and its gradients as matrix products that gather while they pack: no patch matrix
//! in memory.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod amx_weight;
#[cfg(target_arch = "x86_64")]
mod direct;
mod patches;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod walk;
#[cfg(target_arch = "x86_64")]
mod window;

use patches::{Across, Patches, TurnedWeight};

#[cfg(target_arch = "x86_64")]
use super::gemm::pack::Source;
use super::gemm::{Activation, Engine, Epilogue, Operand, product};
use super::level::{Level, Precision, level};
use super::matrix::MatRef;

/// Sizes of a convolution. Frames are not padded: the caller supplies those before a causal one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv3dShape {
    /// Clips.
    pub batch: usize,
    /// Frames that go in.
    pub frames_in: usize,
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
    /// `[frames, height, width]` that come out.
    ///
    /// # Panics
    /// When a kernel or stride is 0 or the kernel is larger than what goes in.
    #[must_use]
    pub fn size_out(&self) -> [usize; 3] {
        let padding = self.padding_3d();
        std::array::from_fn(|axis| {
            let padded = self.size_in()[axis] + 2 * padding[axis];
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

    const fn padding_3d(&self) -> [usize; 3] {
        [0, self.padding[0], self.padding[1]]
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
    let epilogue = Epilogue {
        bias,
        activation,
        ..Epilogue::default()
    };
    #[cfg(target_arch = "x86_64")]
    if !shape.is_pointwise() {
        let walk = walk::Walk::forward(&shape);
        let ending = walk::Ending { bias, activation };
        if walked(engine, walk, x, &weight, ending, out) {
            return;
        }
    }
    if shape.is_pointwise() {
        product(
            engine,
            &MatRef::new(x, m, k),
            m,
            k,
            n,
            Operand::Source(&weight),
            out,
            epilogue,
        );
    } else {
        product(
            engine,
            &Patches::of_input(&shape, x),
            m,
            k,
            n,
            Operand::Source(&weight),
            out,
            epilogue,
        );
    }
}

/// Convolves without gathering patches, where the engine has a way to.
#[cfg(target_arch = "x86_64")]
fn walked(
    engine: Engine,
    walk: walk::Walk,
    x: &[f32],
    weight: &dyn Source,
    ending: walk::Ending<'_>,
    out: &mut [f32],
) -> bool {
    if engine == Engine::AmxBf16 && walk.suits_tiles() {
        amx::convolve(walk, x, weight, ending, out);
        return true;
    }
    let suits = direct::suits(engine);
    if suits {
        direct::convolve(engine, walk, x, weight, ending, out);
    }
    suits
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
        #[cfg(target_arch = "x86_64")]
        if let Some(walk) = walk::Walk::backward(&shape) {
            let ending = walk::Ending {
                bias: None,
                activation: Activation::None,
            };
            if walked(engine, walk, d_out, &turned, ending, d_x) {
                return;
            }
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
    } else {
        let left = Across(Patches::of_input(&shape, x));
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
