//! Both sides of the gradient of a weight with zeros around them, so that each tap is a shift: `d_w[tap] = Σₚ x[p + tap]ᵀ · g[p]`.
//!
//! Pixels of a frame are numbered along its rows, the zeros behind them too. Gathered from there a tile never meets a border, and its
//! lines are a constant distance apart.

use super::Conv3dShape;
use crate::cpu::gemm::pack::{Direct, STAGE, Source, Stage};
use crate::cpu::parallel::{Shared, for_each};

/// What is summed over pixels.
pub(super) struct Shifted {
    /// `[frames, rows, columns, channels_in]` with the zeros around, and room behind.
    clip: Vec<f32>,
    /// `[frames, pixels, channels_out]`, zeros where a pixel is not of the picture.
    pub(super) gradients: Vec<f32>,
    shape: Conv3dShape,
    frames_out: usize,
    /// Pixels of a frame of the clip, and of a row.
    frame: usize,
    columns: usize,
    /// Pixels of a frame of the gradients: whole tiles.
    pixels: usize,
}

impl Shifted {
    /// Copies both sides, for steps of 1 with no frames before.
    pub(super) fn new(shape: &Conv3dShape, x: &[f32], d_out: &[f32]) -> Option<Self> {
        if shape.stride != [1; 3] || shape.frames_before > 0 || d_out.is_empty() {
            return None;
        }
        let [frames_out, height, width] = shape.size_out();
        let [_, kh, kw] = shape.kernel;
        let (rows, columns) = (height + kh - 1, width + kw - 1);
        let frame = rows * columns;
        let pixels = ((height - 1) * columns + width).next_multiple_of(STAGE);
        let behind = pixels + (kh - 1) * columns + kw;
        let frames = shape.batch * shape.frames_in;
        let mut shifted = Self {
            clip: vec![0.0; (frames * frame + behind) * shape.channels_in],
            gradients: vec![0.0; shape.batch * frames_out * pixels * shape.channels_out],
            shape: *shape,
            frames_out,
            frame,
            columns,
            pixels,
        };
        let [top, left] = shape.padding;
        spread(
            x,
            [frames, shape.height, shape.width * shape.channels_in],
            &mut shifted.clip[(top * columns + left) * shape.channels_in..],
            [frame, columns].map(|pixels| pixels * shape.channels_in),
        );
        spread(
            d_out,
            [shape.batch * frames_out, height, width * shape.channels_out],
            &mut shifted.gradients,
            [pixels, columns].map(|pixels| pixels * shape.channels_out),
        );
        Some(shifted)
    }

    /// Pixels of all frames of the gradients.
    pub(super) const fn summed(&self) -> usize {
        self.shape.batch * self.frames_out * self.pixels
    }

    /// Where the clip is that meets a pixel of the gradients through the tap of a lane.
    fn at(&self, lane: usize, k: usize) -> usize {
        let [_, kh, kw] = self.shape.kernel;
        let channels = self.shape.channels_in;
        let (tap, channel) = (lane / channels, lane % channels);
        let (dt, dy, dx) = (tap / (kh * kw), tap / kw % kh, tap % kw);
        let (frame, pixel) = (k / self.pixels, k % self.pixels);
        let (clip, t) = (frame / self.frames_out, frame % self.frames_out);
        let frame = clip * self.shape.frames_in + t + dt;
        (frame * self.frame + pixel + dy * self.columns + dx) * channels + channel
    }
}

/// Lines `[frames, rows, numbers]`, to places where frames and rows are so many numbers apart.
fn spread(
    from: &[f32],
    [frames, rows, line]: [usize; 3],
    to: &mut [f32],
    [frame_step, row_step]: [usize; 2],
) {
    let to = Shared::new(to);
    for_each(frames, from.len(), |frame| {
        for row in 0..rows {
            let from = &from[(frame * rows + row) * line..][..line];
            // SAFETY: lines are apart, and each frame's are one task's.
            let to = unsafe { to.slice(frame * frame_step + row * row_step, line) };
            to.copy_from_slice(from);
        }
    });
}

/// Lanes are `[taps, channels_in]`.
impl Source for Shifted {
    fn lanes_first(&self) -> bool {
        true
    }

    fn direct(&self, lane: usize, lanes: usize, k: usize, len: usize) -> Option<Direct> {
        let channels = self.shape.channels_in;
        let is_one = lane % channels + lanes <= channels && k % self.pixels + len <= self.pixels;
        is_one.then(|| Direct {
            ptr: self.clip[self.at(lane, k)..].as_ptr(),
            lane_stride: 1,
            k_stride: channels,
        })
    }

    fn fetch(&self, lane: usize, lanes: usize, k: usize, len: usize, stage: &mut Stage) {
        for (i, row) in stage.iter_mut().enumerate().take(lanes) {
            for (j, value) in row.iter_mut().enumerate().take(len) {
                *value = self.clip[self.at(lane + i, k + j)];
            }
        }
    }
}
