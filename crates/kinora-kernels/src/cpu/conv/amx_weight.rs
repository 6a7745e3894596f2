//! The gradient of a weight on tile registers, without gathering patches.
//!
//! For each tap it is a product of two images summed over pixels, `d_w[tap] = Σₚ x[p + tap]ᵀ · g[p]`, where both have the same rows and
//! columns with the zeros around. Gradients are the left operand, panels of 16 channels over 32 pixels, turned once. The clip is the right
//! one, strips of 16 channels in pairs of pixels: a step to another tap is a step to another pair, so no tap needs a copy of its own. Taps
//! an odd number of pixels away meet pairs that begin with odd pixels, which are a second image.

use std::arch::x86_64::{
    __m512, __m512bh, __m512i, _mm512_cvtne2ps_pbh, _mm512_maskz_loadu_ps, _mm512_setzero_ps,
    _mm512_setzero_si512, _mm512_store_si512,
};

use super::Conv3dShape;
use crate::cpu::gemm::amx::{Lanes, Streamed, TileConfig, Turned, multiply};
use crate::cpu::gemm::engine::STRIP;
use crate::cpu::gemm::pack_avx512::{paired, transpose};
use crate::cpu::gemm::{Ahead, Engine};
use crate::cpu::parallel::{Shared, for_each};
use crate::cpu::scratch::Scratch;

/// Channels of a block of sums, and pixels of a step.
const TILE: usize = 2 * STRIP;
/// Elements of a block of sums.
const BLOCK: usize = TILE * TILE;
/// Steps of a visit: two panels of so many take 32 KiB of the first-level cache.
const PIECE: usize = 16;
/// Blocks of channels that come out, in a task at most: their sums for nine taps, and a piece of their gradients, take half of the
/// second-level cache.
const GROUP: usize = 12;
/// Pairs of pixels, and steps, that a packing task takes.
const RUN: usize = 256;
/// Pixels behind the last that a step may read: they meet zeros, and must be numbers.
const BEHIND: usize = 2 * TILE;

/// Both images.
struct Images<'a> {
    shape: &'a Conv3dShape,
    size_out: [usize; 3],
    /// Rows and columns with the zeros around.
    rows: usize,
    columns: usize,
}

/// Whether this way pays: channels are padded to blocks, which must not be mostly padding.
pub(super) fn pays(shape: &Conv3dShape) -> bool {
    let full = |channels: usize| channels.next_multiple_of(TILE) <= channels + channels / 3;
    shape.stride == [1; 3]
        && shape.frames_before == 0
        && full(shape.channels_in)
        && full(shape.channels_out)
}

/// `d_weight [taps, channels_in, channels_out]` is overwritten. The machine has tile registers.
pub(super) fn gradient(shape: &Conv3dShape, x: &[f32], d_out: &[f32], d_weight: &mut [f32]) {
    let [frames, rows, columns] = shape.size_out();
    let [kt, kh, kw] = shape.kernel;
    let images = Images {
        shape,
        size_out: [frames, rows, columns],
        rows: rows + kh - 1,
        columns: columns + kw - 1,
    };
    if d_out.is_empty() || d_weight.is_empty() {
        d_weight.fill(0.0);
        return;
    }
    let clip = images.pair_up(x);
    let gradients = images.turn(d_out);
    let blocks = shape.channels_out.div_ceil(TILE);
    let parts = shape.channels_in.div_ceil(TILE) * kt;
    let threads = rayon::current_num_threads();
    let groups = (4 * threads)
        .div_ceil(parts)
        .max(blocks.div_ceil(GROUP))
        .min(blocks);
    let group = blocks.div_ceil(groups);
    let groups = blocks.div_ceil(group);
    let cost =
        (images.steps() * TILE).saturating_mul(d_weight.len()) >> Engine::AmxBf16.cost_shift();
    let d_weight = Shared::new(d_weight);
    for_each(parts * groups, cost, |task| {
        let (part, first) = (task / groups, task % groups * group);
        let part = Part {
            images: &images,
            clip: &clip,
            gradients: &gradients,
            channel_in: part / kt * TILE,
            tap: part % kt * kh * kw,
            block: first,
            blocks: group.min(blocks - first),
        };
        part.make(d_weight.get());
    });
}

/// The clip in pairs of pixels, twice.
struct Clip {
    words: Scratch,
    /// Words of a strip.
    strip: usize,
    /// Words of all strips whose pairs begin with even pixels; then come the others.
    half: usize,
}

impl Clip {
    /// The strips of 32 channels from the pair on that begins with `pixel`.
    fn pair(&self, channel: usize, channels: usize, pixel: usize) -> [*const u32; 2] {
        let start = pixel % 2 * self.half + pixel / 2 * STRIP;
        let lanes = Lanes {
            ptr: self.words.as_ptr().wrapping_add(start),
            stride: self.strip,
        };
        lanes.pair(channel, channels)
    }
}

impl Images<'_> {
    /// Pixels of a frame.
    const fn frame(&self) -> usize {
        self.rows * self.columns
    }

    /// Steps that the pixels of a frame of gradients take, to the last that is one.
    const fn frame_steps(&self) -> usize {
        let [_, rows, columns] = self.size_out;
        ((rows - 1) * self.columns + columns).div_ceil(TILE)
    }

    const fn steps(&self) -> usize {
        self.shape.batch * self.size_out[0] * self.frame_steps()
    }

    /// Where the channels of a pixel of the clip start.
    fn of_clip(&self, x: &[f32], pixel: usize) -> Option<*const f32> {
        let shape = self.shape;
        let (frame, place) = (pixel / self.frame(), pixel % self.frame());
        let y = (place / self.columns).wrapping_sub(shape.padding[0]);
        let column = (place % self.columns).wrapping_sub(shape.padding[1]);
        let is_inside =
            frame < shape.batch * shape.frames_in && y < shape.height && column < shape.width;
        let start = ((frame * shape.height + y.min(shape.height)) * shape.width
            + column.min(shape.width))
            * shape.channels_in;
        is_inside.then(|| x[start..].as_ptr())
    }

    /// Where those of a pixel of a frame of gradients start.
    fn of_gradients(&self, d_out: &[f32], frame: usize, place: usize) -> Option<*const f32> {
        let [_, rows, columns] = self.size_out;
        let (y, column) = (place / self.columns, place % self.columns);
        let start = ((frame * rows + y) * columns + column) * self.shape.channels_out;
        (y < rows && column < columns).then(|| d_out[start..].as_ptr())
    }

    fn pair_up(&self, x: &[f32]) -> Clip {
        let shape = self.shape;
        let channels = shape.channels_in;
        let pairs = (shape.batch * shape.frames_in * self.frame() + BEHIND).div_ceil(2);
        let strip = pairs * STRIP;
        let half = channels.div_ceil(STRIP) * strip;
        let mut words = Scratch::take(2 * half);
        let target = Shared::from_ptr(words.as_mut_ptr());
        for_each(pairs.div_ceil(RUN), 2 * half, |task| {
            for pair in task * RUN..((task + 1) * RUN).min(pairs) {
                let pixels = [0, 1, 2].map(|next| self.of_clip(x, 2 * pair + next));
                let to = target.get().wrapping_add(pair * STRIP);
                // SAFETY: these pixels have so many channels, and each pair has a cache line in each strip of both halves.
                unsafe { pair_channels(pixels, channels, to, strip, half) };
            }
        });
        Clip { words, strip, half }
    }

    /// Gradients as panels of 16 channels: `[steps][16 channels][16 pairs]`.
    fn turn(&self, d_out: &[f32]) -> Scratch {
        let channels = self.shape.channels_out;
        let (all, of_frame) = (self.steps(), self.frame_steps());
        let panel = all * STRIP * STRIP;
        let mut words = Scratch::take(channels.div_ceil(STRIP) * panel);
        let target = Shared::from_ptr(words.as_mut_ptr());
        for_each(all, channels * all * TILE, |step| {
            let (frame, first) = (step / of_frame, step % of_frame * TILE);
            let pixels: [_; TILE] =
                std::array::from_fn(|pixel| self.of_gradients(d_out, frame, first + pixel));
            for channel in (0..channels).step_by(STRIP) {
                let to = target
                    .get()
                    .wrapping_add(channel / STRIP * panel + step * STRIP * STRIP);
                // SAFETY: these pixels have so many channels, and each step has a tile in each panel.
                unsafe { turn_tile(&pixels, channel, channels, to) };
            }
        });
        words
    }
}

/// Sixteen channels of a pixel.
///
/// # Safety
/// The pixel has `channels`, and the machine AVX-512.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn sixteen(pixel: Option<*const f32>, channel: usize, channels: usize) -> __m512 {
    let mask = u16::MAX >> (STRIP - STRIP.min(channels - channel));
    match pixel {
        // SAFETY: promised by the caller; the mask covers channels that there are.
        Some(start) => unsafe { _mm512_maskz_loadu_ps(mask, start.wrapping_add(channel)) },
        None => _mm512_setzero_ps(),
    }
}

/// Rounds two pixels to bf16, channel by channel beside each other.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn pair_of(first: __m512, second: __m512) -> __m512i {
    // SAFETY: a vector of bf16 is plain bits.
    paired(unsafe { std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(second, first)) })
}

/// Writes the pairs of the first and second and of the second and third pixel: those of 16 channels lie `strip` words behind those of the
/// 16 before, and the second pairs `half` words behind the first.
///
/// # Safety
/// The pixels have `channels`, and there is room for a cache line at each of these places.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pair_channels(
    pixels: [Option<*const f32>; 3],
    channels: usize,
    to: *mut u32,
    strip: usize,
    half: usize,
) {
    for channel in (0..channels).step_by(STRIP) {
        let to = to.wrapping_add(channel / STRIP * strip);
        // SAFETY: promised by the caller.
        unsafe {
            let a = sixteen(pixels[0], channel, channels);
            let b = sixteen(pixels[1], channel, channels);
            let c = sixteen(pixels[2], channel, channels);
            _mm512_store_si512(to.cast(), pair_of(a, b));
            _mm512_store_si512(to.wrapping_add(half).cast(), pair_of(b, c));
        }
    }
}

/// # Safety
/// The pixels have `channels`, and `to` has room for a tile.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn turn_tile(
    pixels: &[Option<*const f32>; TILE],
    channel: usize,
    channels: usize,
    to: *mut u32,
) {
    let mut tile = [_mm512_setzero_si512(); STRIP];
    for (pair, words) in tile.iter_mut().enumerate() {
        // SAFETY: promised by the caller.
        unsafe {
            let a = sixteen(pixels[2 * pair], channel, channels);
            let b = sixteen(pixels[2 * pair + 1], channel, channels);
            *words = pair_of(a, b);
        }
    }
    transpose(&mut tile);
    for (row, words) in tile.into_iter().enumerate() {
        // SAFETY: as above; rows of a tile are cache lines.
        unsafe { _mm512_store_si512(to.wrapping_add(row * STRIP).cast(), words) };
    }
}

/// The gradients of 32 channels that go in by some that come out, for the taps of one frame.
struct Part<'a> {
    images: &'a Images<'a>,
    clip: &'a Clip,
    gradients: &'a Scratch,
    channel_in: usize,
    /// The first tap.
    tap: usize,
    /// The first block of 32 channels that come out, and how many.
    block: usize,
    blocks: usize,
}

impl Part<'_> {
    fn make(&self, d_weight: *mut f32) {
        let images = self.images;
        let shape = images.shape;
        let [kt, kh, kw] = shape.kernel;
        let taps = kh * kw;
        debug_assert!(self.tap < kt * taps);
        let mut waiting = Scratch::take(self.blocks * taps * BLOCK);
        let waiting = waiting.as_mut_ptr().cast::<f32>();
        let panels = Lanes {
            ptr: self.gradients.as_ptr(),
            stride: images.steps() * STRIP * STRIP,
        };
        // SAFETY: the machine has tiles.
        let _tiles = unsafe { TileConfig::load() };
        let of_frame = images.frame_steps();
        for frame in 0..shape.batch * images.size_out[0] {
            let (b, t) = (frame / images.size_out[0], frame % images.size_out[0]);
            let pixel = (b * shape.frames_in + t + self.tap / taps) * images.frame();
            for step in (0..of_frame).step_by(PIECE) {
                let steps = PIECE.min(of_frame - step);
                let begins = frame == 0 && step == 0;
                for block in 0..self.blocks {
                    let at = (frame * of_frame + step) * STRIP * STRIP;
                    let left = panels
                        .pair((self.block + block) * TILE, shape.channels_out)
                        .map(|panel| panel.wrapping_add(at));
                    for tap in 0..taps {
                        let away = tap / kw * images.columns + tap % kw;
                        let pixel = pixel + step * TILE + away;
                        let right = self.clip.pair(self.channel_in, shape.channels_in, pixel);
                        let to = waiting.wrapping_add((block * taps + tap) * BLOCK);
                        let start = (!begins).then_some(to.cast_const());
                        let ahead = &mut Ahead::default();
                        // SAFETY: the images hold whole steps, and room behind the last.
                        unsafe {
                            multiply(Streamed::Right, steps, left, right, start, to, ahead);
                        }
                    }
                }
            }
        }
        for block in 0..self.blocks {
            let channel_out = (self.block + block) * TILE;
            for tap in 0..taps {
                let at = (self.tap + tap) * shape.channels_in + self.channel_in;
                let to = Turned {
                    to: d_weight.wrapping_add(at * shape.channels_out + channel_out),
                    stride: shape.channels_out,
                    lines: TILE.min(shape.channels_in - self.channel_in),
                    columns: TILE.min(shape.channels_out - channel_out),
                };
                // SAFETY: this part of the gradient is this task's, and its sums are complete.
                unsafe { to.write(waiting.wrapping_add((block * taps + tap) * BLOCK), 1.0) };
            }
        }
    }
}
