//! Views of a clip as the matrix of its patches, gathered tile by tile.

use super::Conv3dShape;
use super::clip::frames_of;
use super::walk::Walk;
use crate::cpu::gemm::pack::{Direct, Source, Stage};

/// One axis of a gather: which place of the source a tap reads for a lane.
#[derive(Clone, Copy)]
struct Axis {
    lanes: usize,
    places: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    /// From input to output pixels, for the gradient of the input.
    reverse: bool,
}

impl Axis {
    #[inline]
    fn place(&self, lane: usize, tap: usize) -> Option<usize> {
        let place = if self.reverse {
            let ahead = (lane + self.padding).checked_sub(tap)?;
            if self.stride > 1 && ahead % self.stride != 0 {
                return None;
            }
            ahead / self.stride
        } else {
            (lane * self.stride + tap).checked_sub(self.padding)?
        };
        (place < self.places).then_some(place)
    }

    /// Places from one lane to the next, where that is constant.
    const fn step(&self) -> Option<usize> {
        match (self.reverse, self.stride) {
            (false, stride) => Some(stride),
            (true, 1) => Some(1),
            (true, _) => None,
        }
    }
}

/// Lanes are pixels `[batch, frames, rows, columns]`; the summed axis is `[taps, channels]`.
pub(super) struct Patches<'a> {
    /// Counted over the batch.
    frames: Vec<&'a [f32]>,
    axes: [Axis; 3],
    channels: usize,
}

/// A pixel by its coordinates.
#[derive(Clone, Copy)]
struct Pixel {
    batch: usize,
    at: [usize; 3],
}

impl<'a> Patches<'a> {
    /// What each output pixel reads of the input of a forward pass.
    pub(super) fn of_walk(walk: &Walk, frames: Vec<&'a [f32]>) -> Self {
        let axes = std::array::from_fn(|axis| Axis {
            lanes: walk.size_out[axis],
            places: walk.size_in[axis],
            kernel: walk.kernel[axis],
            stride: walk.stride[axis],
            padding: walk.before[axis],
            reverse: false,
        });
        Self {
            frames,
            axes,
            channels: walk.channels_in,
        }
    }

    /// What each input pixel receives from the output.
    pub(super) fn of_output(shape: &Conv3dShape, d_out: &'a [f32]) -> Self {
        let (lanes, places, padding) = (shape.size_in(), shape.size_out(), shape.before());
        let axes = std::array::from_fn(|axis| Axis {
            lanes: lanes[axis],
            places: places[axis],
            kernel: shape.kernel[axis],
            stride: shape.stride[axis],
            padding: padding[axis],
            reverse: true,
        });
        Self {
            frames: frames_of(d_out, shape.batch * places[0]),
            axes,
            channels: shape.channels_out,
        }
    }

    fn pixel(&self, lane: usize) -> Pixel {
        let [frames, rows, columns] = self.axes.map(|axis| axis.lanes);
        let (rest, x) = (lane / columns, lane % columns);
        let (rest, y) = (rest / rows, rest % rows);
        Pixel {
            batch: rest / frames,
            at: [rest % frames, y, x],
        }
    }

    fn next(&self, mut pixel: Pixel) -> Pixel {
        for axis in (0..3).rev() {
            pixel.at[axis] += 1;
            if pixel.at[axis] < self.axes[axis].lanes {
                return pixel;
            }
            pixel.at[axis] = 0;
        }
        pixel.batch += 1;
        pixel
    }

    fn taps(&self, tap: usize) -> [usize; 3] {
        let [_, rows, columns] = self.axes.map(|axis| axis.kernel);
        [tap / (rows * columns), tap / columns % rows, tap % columns]
    }

    /// The frame from where the channels start that a pixel reads through a tap, if it is not padding.
    #[inline]
    fn start(&self, pixel: Pixel, taps: [usize; 3]) -> Option<&'a [f32]> {
        let [t, y, x] = &self.axes;
        let t_place = t.place(pixel.at[0], taps[0])?;
        let y_place = y.place(pixel.at[1], taps[1])?;
        let x_place = x.place(pixel.at[2], taps[2])?;
        let frame = self.frames[pixel.batch * t.places + t_place];
        Some(&frame[(y_place * x.places + x_place) * self.channels..])
    }

    /// The elements `k..k + len` of a pixel's patch in runs: `(offset from k, length, values unless padding)`.
    #[inline]
    fn runs(
        &self,
        pixel: Pixel,
        k: usize,
        len: usize,
        mut each: impl FnMut(usize, usize, Option<&'a [f32]>),
    ) {
        let mut done = 0;
        while done < len {
            let (tap, channel) = ((k + done) / self.channels, (k + done) % self.channels);
            let run = (self.channels - channel).min(len - done);
            let values = self
                .start(pixel, self.taps(tap))
                .map(|from| &from[channel..][..run]);
            each(done, run, values);
            done += run;
        }
    }
}

impl Source for Patches<'_> {
    fn lanes_first(&self) -> bool {
        false
    }

    /// Neighbouring pixels of one row, inside the picture, through one tap.
    fn direct(&self, lane: usize, lanes: usize, k: usize, len: usize) -> Option<Direct> {
        let (tap, channel) = (k / self.channels, k % self.channels);
        let pixel = self.pixel(lane);
        if channel + len > self.channels || pixel.at[2] + lanes > self.axes[2].lanes {
            return None;
        }
        let step = self.axes[2].step()?;
        let taps = self.taps(tap);
        let start = self.start(pixel, taps)?;
        // The last pixel is inside too, so all between are.
        self.axes[2].place(pixel.at[2] + lanes - 1, taps[2])?;
        let ptr = start[channel..].as_ptr();
        Some(Direct {
            ptr,
            lane_stride: step * self.channels,
            k_stride: 1,
        })
    }

    fn fetch(&self, lane: usize, lanes: usize, k: usize, len: usize, stage: &mut Stage) {
        let mut pixel = self.pixel(lane);
        for row in stage.iter_mut().take(lanes) {
            self.runs(pixel, k, len, |offset, run, values| match values {
                Some(values) => row[offset..offset + run].copy_from_slice(values),
                None => row[offset..offset + run].fill(0.0),
            });
            pixel = self.next(pixel);
        }
    }
}

/// The same matrix turned: lanes are `[taps, channels]` and the sum runs over pixels.
pub(super) struct Across<'a>(pub(super) Patches<'a>);

impl Source for Across<'_> {
    fn lanes_first(&self) -> bool {
        true
    }

    fn direct(&self, lane: usize, lanes: usize, k: usize, len: usize) -> Option<Direct> {
        let found = self.0.direct(k, len, lane, lanes)?;
        Some(Direct {
            ptr: found.ptr,
            lane_stride: found.k_stride,
            k_stride: found.lane_stride,
        })
    }

    fn fetch(&self, lane: usize, lanes: usize, k: usize, len: usize, stage: &mut Stage) {
        let mut pixel = self.0.pixel(k);
        for column in 0..len {
            self.0.runs(pixel, lane, lanes, |offset, run, values| {
                for (i, row) in stage[offset..offset + run].iter_mut().enumerate() {
                    row[column] = values.map_or(0.0, |values| values[i]);
                }
            });
            pixel = self.0.next(pixel);
        }
    }
}

/// A weight `[taps, channels_in, channels_out]` with input channels as lanes and `[taps, channels_out]` summed.
pub(super) struct TurnedWeight<'a> {
    data: &'a [f32],
    channels_in: usize,
    channels_out: usize,
}

impl<'a> TurnedWeight<'a> {
    pub(super) const fn new(data: &'a [f32], channels_in: usize, channels_out: usize) -> Self {
        Self {
            data,
            channels_in,
            channels_out,
        }
    }

    fn start(&self, lane: usize, k: usize) -> usize {
        let (tap, channel) = (k / self.channels_out, k % self.channels_out);
        (tap * self.channels_in + lane) * self.channels_out + channel
    }
}

impl Source for TurnedWeight<'_> {
    fn lanes_first(&self) -> bool {
        false
    }

    fn direct(&self, lane: usize, _lanes: usize, k: usize, len: usize) -> Option<Direct> {
        let inside = k % self.channels_out + len <= self.channels_out;
        let ptr = self.data.as_ptr().wrapping_add(self.start(lane, k));
        inside.then_some(Direct {
            ptr,
            lane_stride: self.channels_out,
            k_stride: 1,
        })
    }

    fn fetch(&self, lane: usize, lanes: usize, k: usize, len: usize, stage: &mut Stage) {
        for (i, row) in stage.iter_mut().enumerate().take(lanes) {
            for (j, value) in row.iter_mut().enumerate().take(len) {
                *value = self.data[self.start(lane + i, k + j)];
            }
        }
    }
}
