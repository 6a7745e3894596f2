//! The network that finds motion.

use burn::module::Module;
use burn::tensor::{Device, Tensor, activation::sigmoid};
use kinora_kernels::{Activation, warp};

use super::config::{InterpolatorConfig, LEVELS};
use crate::layers::{Conv, Linear, pixel_shuffle, pixel_unshuffle};

/// What both sides of a frame are multiples of.
pub const STRIDE: usize = 1 << LEVELS;
/// Values of a pixel's motion: right and down in the first frame, the same in the second, and the preference for the first.
const MOTION: usize = 5;

/// Where the pixels of a frame between two frames come from.
#[derive(Debug, Clone)]
pub struct Motion {
    /// How far a pixel is from where it is between, in pixels to the right and down: in the first frame if the time from it were
    /// one, then in the second if the time to it were one. `[batch, frames, height, width, 4]`
    pub flow: Tensor<5>,
    /// Log-odds that the first frame shows it, beside those of the time. `[batch, frames, height, width, 1]`
    pub preference: Tensor<5>,
}

impl Motion {
    /// The frame between: both frames where the motion leads, blended.
    ///
    /// # Shapes
    ///
    /// - `first`, `second`, output: `[batch, frames, height, width, channels]`
    /// - `times`: `[batch, frames, 1, 1, 1]`, above 0 and below 1
    pub fn between(&self, first: Tensor<5>, second: Tensor<5>, times: &Tensor<5>) -> Tensor<5> {
        let (first, second) = self.warped(first, second, times);
        let left = times.clone().neg() + 1.0;
        let odds = left.log() - times.clone().log();
        let share = sigmoid(self.preference.clone() + odds);
        (first - second.clone()) * share + second
    }

    /// Both frames as they are at that time.
    fn warped(
        &self,
        first: Tensor<5>,
        second: Tensor<5>,
        times: &Tensor<5>,
    ) -> (Tensor<5>, Tensor<5>) {
        let back = self.flow.clone().narrow(4, 0, 2) * times.clone();
        let ahead = self.flow.clone().narrow(4, 2, 2) * (times.clone().neg() + 1.0);
        (warp(first, back), warp(second, ahead))
    }
}

/// What finds motion at one resolution.
#[derive(Module, Debug)]
struct Level {
    first: Conv,
    second: Conv,
    /// To twice the resolution.
    out: Linear,
}

impl Level {
    fn new(channels_in: usize, width: usize, carried: usize, device: &Device) -> Self {
        Self {
            first: Conv::new(1, [channels_in, width], 1.4, device),
            second: Conv::new(1, [width, width], 1.4, device),
            out: Linear::zeros(width, 4 * (MOTION + carried), device),
        }
    }

    fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let h = self.first.forward(x, Activation::Silu);
        let h = self.second.forward(h, Activation::Silu);
        pixel_shuffle(self.out.forward(h), 2)
    }

    fn products(&self) -> usize {
        let out = self.out.weight.dims().iter().product::<usize>();
        self.first.products() + self.second.products() + out
    }
}

/// The network: see the [module](super).
#[derive(Module, Debug)]
pub struct InterpolatorNetwork {
    /// Finest first, as the levels.
    encoder: Vec<Conv>,
    levels: Vec<Level>,
}

impl InterpolatorNetwork {
    /// A fresh network: nothing moves.
    pub fn new(config: &InterpolatorConfig, device: &Device) -> Self {
        let encoder = (0..LEVELS).map(|level| {
            let below = if level == 0 {
                3
            } else {
                config.features[level - 1]
            };
            Conv::new(1, [4 * below, config.features[level]], 1.4, device)
        });
        let levels = (0..LEVELS).map(|level| {
            let is_coarsest = level + 1 == LEVELS;
            let known = if is_coarsest {
                0
            } else {
                MOTION + config.carried
            };
            let channels_in = 2 * config.features[level] + known + 1;
            Level::new(channels_in, config.width[level], config.carried, device)
        });
        Self {
            encoder: encoder.collect(),
            levels: levels.collect(),
        }
    }

    /// Multiply-adds for one pixel of a frame between, both frames beside it described for it alone.
    pub fn products_per_pixel(&self) -> usize {
        let levels = self.encoder.iter().zip(&self.levels).enumerate();
        let products = levels.map(|(level, (encoder, motion))| {
            (2 * encoder.products() + motion.products()) >> (2 * (level + 1))
        });
        products.sum()
    }

    /// Descriptions of frames, finest first.
    ///
    /// # Shapes
    ///
    /// `[batch, frames, height, width, 3]`, sides multiples of [`STRIDE`] → each half of the size of the one before
    pub(super) fn features(&self, frames: Tensor<5>) -> Vec<Tensor<5>> {
        let mut features = Vec::with_capacity(LEVELS);
        let mut x = frames;
        for conv in &self.encoder {
            x = conv.forward(pixel_unshuffle(x, 2), Activation::Silu);
            features.push(x.clone());
        }
        features
    }

    /// Motion from the descriptions of two frames, coarse to fine: at an eighth of their resolution, a quarter, half, and all.
    ///
    /// # Shapes
    ///
    /// `times`: `[batch, frames, 1, 1, 1]`, above 0 and below 1
    pub(super) fn motion_of(
        &self,
        first: &[Tensor<5>],
        second: &[Tensor<5>],
        times: &Tensor<5>,
    ) -> Vec<Motion> {
        let mut motions = Vec::with_capacity(LEVELS);
        let mut known: Option<Tensor<5>> = None;
        for (level, (first, second)) in self.levels.iter().zip(first.iter().zip(second)).rev() {
            let [batch, frames, height, width, _] = first.dims();
            let time = times.clone().expand([batch, frames, height, width, 1]);
            let seen = match &known {
                None => vec![first.clone(), second.clone(), time],
                Some(known) => {
                    let (first, second) =
                        motion(known).warped(first.clone(), second.clone(), times);
                    vec![first, second, known.clone(), time]
                }
            };
            let finer = level.forward(Tensor::cat(seen, 4));
            let finer = match known {
                None => finer,
                Some(known) => finer + doubled(known),
            };
            motions.push(motion(&finer));
            known = Some(finer);
        }
        motions
    }

    /// As [`Self::motion_of`], of frames.
    ///
    /// # Shapes
    ///
    /// - `first`, `second`: `[batch, frames, height, width, 3]`, sides multiples of [`STRIDE`]
    /// - `times`: `[batch, frames, 1, 1, 1]`, above 0 and below 1
    pub fn motion(&self, first: Tensor<5>, second: Tensor<5>, times: &Tensor<5>) -> Vec<Motion> {
        let batch = first.dims()[0];
        let both = self.features(Tensor::cat(vec![first, second], 0));
        let half = |from: usize| -> Vec<Tensor<5>> {
            let parts = both.iter().map(|x| x.clone().narrow(0, from, batch));
            parts.collect()
        };
        self.motion_of(&half(0), &half(batch), times)
    }
}

/// The motion that the first channels say.
fn motion(x: &Tensor<5>) -> Motion {
    Motion {
        flow: x.clone().narrow(4, 0, 4),
        preference: x.clone().narrow(4, 4, 1),
    }
}

/// What is known at one resolution, at twice that: flows are twice as many pixels long.
fn doubled(known: Tensor<5>) -> Tensor<5> {
    let channels = known.dims()[4];
    let flow = known.clone().narrow(4, 0, 4) * 2.0;
    let rest = known.narrow(4, 4, channels - 4);
    let known = Tensor::cat(vec![flow, rest], 4);
    pixel_shuffle(known.repeat_dim(4, 4), 2)
}

/// Frames at half of their size: means of 2 × 2 pixels.
///
/// # Shapes
///
/// `[batch, frames, height, width, channels]`, even sides → `[batch, frames, height / 2, width / 2, channels]`
pub fn halved(frames: Tensor<5>) -> Tensor<5> {
    let channels = frames.dims()[4];
    let folded = pixel_unshuffle(frames, 2);
    let part = |i: usize| folded.clone().narrow(4, i * channels, channels);
    (part(0) + part(1) + part(2) + part(3)) * 0.25
}
