//! Steps between sizes, and the shortcuts around them in 2.2. Everything is
//! `[batch, frames, height, width, channels]`.
//!
//! The frame that begins a clip has no partner in time: it is neither halved nor doubled, and what comes after does
//! not see it where frames are doubled.
//!
//! Follows `WanResample`, `AvgDown3D` and `DupUp3D` of diffusers' `autoencoder_kl_wan.py`.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use kinora_kernels::{ConvSteps, conv3d_strided};

use super::layers::CausalConv;
use super::stream::Pass;
use crate::wan::weights::Reader;

/// Half the rows and columns, and half the frames where `over_frames` is there.
#[derive(Module, Debug)]
pub(super) struct Downsample {
    over_space: StridedConv,
    over_frames: Option<StridedConv>,
}

impl Downsample {
    pub(super) fn read(reader: &mut Reader<'_>, channels: usize, halves_frames: bool) -> Self {
        let time = [2, 1, 1];
        Self {
            over_space: StridedConv::read(reader, "resample.1", channels, &[3; 2], [1, 2, 2]),
            over_frames: halves_frames
                .then(|| StridedConv::read(reader, "time_conv", channels, &[3, 1, 1], time)),
        }
    }

    pub(super) fn forward(&self, x: Tensor<5>, pass: &mut Pass<'_>) -> Tensor<5> {
        let x = self.over_space.forward(with_border(x), pass);
        let Some(over_frames) = &self.over_frames else {
            return x;
        };
        let [_, frames, ..] = x.dims();
        let last = x.clone().narrow(1, frames - 1, 1);
        match pass.tail().replace(last) {
            None => x,
            Some(before) => over_frames.forward(Tensor::cat(vec![before, x], 1), pass),
        }
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

#[derive(Module, Debug)]
struct StridedConv {
    weight: Param<Tensor<5>>,
    bias: Param<Tensor<1>>,
    stride: [usize; 3],
}

impl StridedConv {
    fn read(
        reader: &mut Reader<'_>,
        name: &str,
        channels: usize,
        kernel: &[usize],
        stride: [usize; 3],
    ) -> Self {
        reader.within(name, |reader| Self {
            weight: Param::from_tensor(reader.kernel("weight", [channels; 2], kernel)),
            bias: Param::from_tensor(reader.tensor("bias", [channels])),
            stride,
        })
    }

    fn forward(&self, x: Tensor<5>, pass: &Pass<'_>) -> Tensor<5> {
        let steps = ConvSteps {
            stride: self.stride,
            padding: [0; 2],
        };
        conv3d_strided(x, self.weight.val(), self.bias.val(), steps, pass.precision)
    }
}

/// Twice the rows and columns, and twice the frames where `over_frames` is there.
#[derive(Module, Debug)]
pub(super) struct Upsample {
    over_frames: Option<CausalConv>,
    over_space: CausalConv,
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
            over_space: CausalConv::read(reader, "resample.1", channels, &[3; 2]),
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
        self.over_space.forward(doubled(x), pass)
    }
}

/// Each pixel four times.
fn doubled(x: Tensor<5>) -> Tensor<5> {
    let [batch, frames, height, width, channels] = x.dims();
    x.reshape([batch * frames * height, 1, width, 1, channels])
        .repeat(&[1, 2, 1, 2, 1])
        .reshape([batch, frames, 2 * height, 2 * width, channels])
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
