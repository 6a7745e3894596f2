//! The network that enlarges.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use kinora_kernels::{Activation, Precision, conv3d};

use super::config::UpscalerConfig;
use crate::layers::{Conv, Linear, pixel_shuffle, pixel_unshuffle};

/// How many times larger frames become, in each direction.
pub const SCALE: usize = 4;
/// Pixels that are folded into one place, in each direction.
const FOLD: usize = 2;
/// Values of a folded place, before and after.
const FOLDED_IN: usize = FOLD * FOLD * 3;
const FOLDED_OUT: usize = FOLD * FOLD * SCALE * SCALE * 3;
/// Enlarged pixels in one place, in each direction.
pub(super) const FOLDED_SIDE: usize = FOLD * SCALE;
/// Pixels by which a frame goes on beyond its borders, as it ends there.
const RING: usize = FOLD;
/// The same, enlarged.
pub(super) const FOLDED_RING: usize = RING * SCALE;

/// Gain of the first layer: neighbouring pixels differ by about a quarter of what colours do.
const DETAIL_GAIN: f64 = 4.0;

/// What frames were before they are enlarged: a network that serves both without being told sharpens neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Sharp as far as their size goes.
    Clean,
    /// Decoded from latents that a small model made: soft, with the borders of tokens.
    Decoded,
}

/// `x + conv(silu(conv(x)))`
#[derive(Module, Debug)]
struct Residual {
    first: Conv,
    second: Conv,
}

impl Residual {
    fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let h = self.first.forward(x.clone(), Activation::Silu);
        x + self.second.forward(h, Activation::None)
    }
}

/// The network: see the [module](super).
#[derive(Module, Debug)]
pub struct UpscalerNetwork {
    conv_in: Conv,
    blocks: Vec<Residual>,
    /// For each [`Source`].
    heads: Vec<Linear>,
}

impl UpscalerNetwork {
    /// A fresh network: it enlarges bicubically.
    pub fn new(config: &UpscalerConfig, device: &Device) -> Self {
        let width = config.width;
        let block = |_| Residual {
            first: Conv::new(1, [width, width], 1.4, device),
            second: Conv::new(1, [width, width], 0.2, device),
        };
        Self {
            conv_in: detail(Conv::new(1, [FOLDED_IN, width], DETAIL_GAIN, device)),
            blocks: (0..config.blocks).map(block).collect(),
            heads: (0..2)
                .map(|_| Linear::zeros(width, FOLDED_OUT, device))
                .collect(),
        }
    }

    /// Rows and columns around a pixel that what it becomes depends on.
    pub fn reach(&self) -> usize {
        // A convolution sees one place around; a place that is looked at from its other pixel is one pixel further.
        FOLD * (1 + 2 * self.blocks.len()) + FOLD - 1
    }

    /// Multiply-adds for one pixel that goes in.
    pub fn products_per_pixel(&self) -> usize {
        let blocks = self.blocks.iter();
        let body: usize = blocks
            .map(|block| block.first.products() + block.second.products())
            .sum();
        let out = self.heads[0].weight.dims().iter().product::<usize>();
        (self.conv_in.products() + body + out) / (FOLD * FOLD)
    }

    /// Enlarged frames.
    ///
    /// # Shapes
    ///
    /// `[batch, 3, frames, height, width]`, −1 to 1 → `[batch, 3, frames, SCALE · height, SCALE · width]`, about −1 to 1
    pub fn forward(&self, frames: Tensor<5>, source: Source) -> Tensor<5> {
        let [_, _, _, height, width] = frames.dims();
        pixel_shuffle(self.folded(frames, source), FOLDED_SIDE)
            .narrow(2, FOLDED_RING, height * SCALE)
            .narrow(3, FOLDED_RING, width * SCALE)
            .permute([0, 4, 1, 2, 3])
    }

    /// Enlarged frames as they leave the last layer: each place holds [`FOLDED_SIDE`] × `FOLDED_SIDE` pixels, and there are
    /// [`FOLDED_RING`] pixels more at the top and on the left than belong to the frame, and some behind it.
    ///
    /// # Shapes
    ///
    /// `[batch, 3, frames, height, width]` → `[batch, frames, rows, columns, 3 · FOLDED_SIDE²]`
    pub(super) fn folded(&self, frames: Tensor<5>, source: Source) -> Tensor<5> {
        let head = &self.heads[source as usize];
        let x = frames.permute([0, 2, 3, 4, 1]);
        let x = pixel_unshuffle(with_ring(x), FOLD);
        let bicubic = bicubic(x.clone());
        let mut h = self.conv_in.forward(x, Activation::Silu);
        for block in &self.blocks {
            h = block.forward(h);
        }
        bicubic + head.forward(h)
    }
}

/// `conv` blind to what is flat: the weights of each colour sum to nothing, as those of a filter for edges.
fn detail(mut conv: Conv) -> Conv {
    let weight = conv.weight.val();
    let device = weight.device();
    let [_, _, _, values, width] = weight.dims();
    let of_colours = weight.reshape([9 * values / 3, 3, width]);
    let mean = of_colours.clone().mean_dim(0);
    let weight = (of_colours - mean).reshape([1, 3, 3, values, width]);
    // Nothing of how it came about is to be differentiated.
    conv.weight = Param::from_tensor(Tensor::from_data(weight.into_data(), &device));
    conv
}

/// Channels-last frames with [`RING`] more pixels on all sides, and as many as it takes to fold them.
fn with_ring(mut x: Tensor<5>) -> Tensor<5> {
    for axis in [2, 3] {
        let side = x.dims()[axis];
        let before = x.clone().narrow(axis, 0, 1).repeat_dim(axis, RING);
        let after = x
            .clone()
            .narrow(axis, side - 1, 1)
            .repeat_dim(axis, RING + side % FOLD);
        x = Tensor::cat(vec![before, x, after], axis);
    }
    x
}

/// Folded frames enlarged by cubic convolution, which looks two pixels far, and so no further than one folded place. In bfloat16, whose
/// rounding is a tenth of a level of 255: most of its weights are zero, and in single precision it would cost more than the network.
fn bicubic(x: Tensor<5>) -> Tensor<5> {
    let device = x.device();
    let weights = TensorData::new(cubic_weights(), [1, 3, 3, FOLDED_IN, FOLDED_OUT]);
    conv3d(
        x,
        Tensor::from_data(weights, &device),
        Tensor::zeros([FOLDED_OUT], &device),
        Activation::None,
        Precision::Bf16,
    )
}

/// `[1, 3, 3, FOLDED_IN, FOLDED_OUT]`: cubic convolution (Keys, 1981, a = −1/2).
fn cubic_weights() -> Vec<f32> {
    let cubic = |x: f32| match x.abs() {
        x if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
        x if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
        _ => 0.0,
    };
    // How much of pixel `from`, counted from the first of three folded places, is in pixel `to` of the middle one.
    let share = |to: usize, from: usize| {
        let at = (to as f32 + 0.5) / SCALE as f32 - 0.5;
        cubic(at - (from as f32 - FOLD as f32))
    };
    let mut weights = vec![0.0; 9 * FOLDED_IN * FOLDED_OUT];
    let places = FOLD * SCALE;
    for from_y in 0..3 * FOLD {
        for from_x in 0..3 * FOLD {
            let tap = from_y / FOLD * 3 + from_x / FOLD;
            let subpixel = from_y % FOLD * FOLD + from_x % FOLD;
            for (to_y, to_x) in (0..places * places).map(|i| (i / places, i % places)) {
                let weight = share(to_y, from_y) * share(to_x, from_x);
                for colour in 0..3 {
                    let from = (tap * FOLDED_IN) + subpixel * 3 + colour;
                    let to = (to_y * places + to_x) * 3 + colour;
                    weights[from * FOLDED_OUT + to] = weight;
                }
            }
        }
    }
    weights
}
