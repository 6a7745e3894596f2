//! Convolution with steps of 1 on tile registers: the clip is rounded to bf16 once, with zeros around it, and tiles of pixels are loaded
//! from there for each tap. No patch is ever copied.
//!
//! Pixels of a padded frame are numbered along its rows. A tap is then a fixed distance, so 32 neighbours in this order are the rows of
//! a left operand wherever they lie. Those in the margin give sums that nobody wants, two of each row.

use std::arch::x86_64::{
    __m512bh, __m512i, _mm512_cvtne2ps_pbh, _mm512_maskz_loadu_ps, _mm512_store_si512,
};

use super::clip::{Clip, Frames};
use super::walk::{Ending, Walk};
use super::window::pair;
use crate::cpu::gemm::Ahead;
use crate::cpu::gemm::amx::{Finishing, Lanes, Sums, TileConfig, finish, multiply_rows};
use crate::cpu::gemm::block::Out;
use crate::cpu::gemm::engine::STRIP;
use crate::cpu::gemm::pack::{Source, pack_lanes};
use crate::cpu::gemm::{Engine, SharedWords};
use crate::cpu::parallel::{Shared, for_each};
use crate::cpu::scratch::Scratch;

const ENGINE: Engine = Engine::AmxBf16;

/// Pixels and channels of a tile of sums.
const TILE: usize = 2 * STRIP;

/// Steps after which strips of the weight are left for the next pixels: a pair of strips takes 32 KiB of the first-level cache.
const PIECE: usize = 16;

/// Tiles of pixels in a task at most: they share each piece of the weight, and their sums wait in the second-level cache.
const TILES: usize = 18;

/// Words of a weight that stays in the second-level cache.
const NEAR: usize = 1 << 18;

impl Walk {
    /// Whether this way pays: channels are padded to whole tile rows of 32, which must not be mostly padding.
    pub(super) fn suits_tiles(&self) -> bool {
        let channels = self.channels_in;
        let full = channels.next_multiple_of(TILE) <= channels + channels / 3;
        self.stride == [1; 3] && full && self.kernel != [1; 3]
    }

    /// Channels of a pixel of the image.
    const fn channels(&self) -> usize {
        self.channels_in.next_multiple_of(TILE)
    }

    /// Frames, rows and columns with the zeros around them.
    fn padded(&self) -> [usize; 3] {
        std::array::from_fn(|axis| self.size_out[axis] + self.kernel[axis] - 1)
    }

    /// The steps of an output frame whose taps read frames that there are.
    fn steps(&self, frame: usize) -> std::ops::Range<usize> {
        let [kt, kh, kw] = self.kernel;
        let steps = kh * kw * (self.channels() / TILE);
        let frames = self.frames(frame);
        if self.reverse {
            (kt - frames.end) * steps..(kt - frames.start) * steps
        } else {
            frames.start * steps..frames.end * steps
        }
    }

    /// Bytes from the first tap's pixel to each tap's, block of 32 channels by block.
    fn offsets(&self) -> Vec<usize> {
        let [_, rows, columns] = self.padded();
        let [_, kh, kw] = self.kernel;
        let blocks = self.channels() / TILE;
        (0..self.taps() * blocks)
            .map(|step| {
                let (tap, block) = (self.tap(step / blocks), step % blocks);
                let (t, y, x) = (tap / (kh * kw), tap / kw % kh, tap % kw);
                let pixel = (t * rows + y) * columns + x;
                (pixel * self.channels() + block * TILE) * 2
            })
            .collect()
    }
}

/// Words that [`pack`] may write.
pub(super) fn packed_len(walk: &Walk) -> usize {
    let steps = walk.taps() * walk.channels() / TILE;
    walk.channels_out.div_ceil(STRIP) * steps * STRIP * STRIP
}

/// `out = activation(conv(x, weight) + bias)` with a weight that [`pack`] has packed.
pub(super) fn convolve(
    walk: Walk,
    x: &Clip<'_>,
    weight: *const u32,
    ending: Ending<'_>,
    out: &mut [f32],
) {
    let [frames, rows, columns] = walk.size_out;
    let across = walk.padded()[2];
    if walk.batch * frames * rows * columns * walk.channels_out == 0 {
        return;
    }
    let image = round(&walk, x);
    let offsets = walk.offsets();
    let weight = SharedWords(weight);
    // Behind the last pixel of a frame nothing is wanted.
    let tiles = ((rows - 1) * across + columns).div_ceil(TILE);
    let far = offsets.len() * STRIP * walk.channels_out > NEAR;
    let pieces = tiles.div_ceil(TILES);
    let piece = tiles.div_ceil(pieces);
    let out_len = out.len();
    let out = Shared::new(out);
    let cost = out_len.saturating_mul(offsets.len() * TILE) >> ENGINE.cost_shift();
    for_each(walk.batch * frames * pieces, cost, |task| {
        let (frame, first) = (task / pieces, task % pieces * piece);
        let part = Part {
            walk,
            offsets: &offsets,
            image: image.as_ptr(),
            weight: weight.get(),
            ending,
            out: out.get(),
            far,
            frame,
            first,
            tiles: piece.min(tiles.saturating_sub(first)),
        };
        part.make();
    });
}

/// The clip in bf16, `[batch, frames, rows, columns, channels]` with zeros around, and room for a tile behind.
fn round(walk: &Walk, x: &Clip<'_>) -> Scratch {
    let [frames, rows, columns] = walk.padded();
    let channels = walk.channels();
    let row_words = columns * channels / 2;
    let mut image = Scratch::take((walk.batch * frames * rows * columns + TILE) * channels / 2);
    let target = Shared::from_ptr(image.as_mut_ptr());
    let words = walk.batch * frames * rows * row_words;
    for_each(walk.batch * frames * rows, words, |index| {
        let (frame, row) = (index / rows, index % rows);
        let (b, t) = (frame / frames, frame % frames);
        let [frames_in, rows_in, columns_in] = walk.size_in;
        // SAFETY: each row of the image is one task's.
        let line = unsafe { target.slice(index * row_words, row_words) };
        let (t, y) = (
            t.wrapping_sub(walk.before[0]),
            row.wrapping_sub(walk.before[1]),
        );
        if t >= frames_in || y >= rows_in {
            line.fill(0);
            return;
        }
        let pixel = channels / 2;
        let margin = walk.before[2] * pixel;
        let line_in = columns_in * walk.channels_in;
        let source = x.frame(b * frames_in + t).part(y * line_in, line_in);
        let (inside, behind) = line[margin..].split_at_mut(columns_in * pixel);
        match source {
            // SAFETY: the machine has tiles, so it has AVX-512 with BF16; pixels are whole cache lines.
            Frames::F32(source) => unsafe { round_row(source, walk.channels_in, inside) },
            Frames::Bf16(source) => {
                let pixels = inside.chunks_exact_mut(pixel);
                for (from, to) in source.chunks_exact(walk.channels_in).zip(pixels) {
                    pair(from, to);
                }
            }
        }
        behind.fill(0);
        line[..margin].fill(0);
    });
    image
}

/// Rounds pixels of `channels` elements to bf16, each padded with zeros to whole cache lines.
///
/// # Safety
/// The machine has the features, and `to` is 64-byte aligned.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn round_row(from: &[f32], channels: usize, to: &mut [u32]) {
    let pixel = channels.next_multiple_of(TILE) / 2;
    for (from, to) in from.chunks_exact(channels).zip(to.chunks_exact_mut(pixel)) {
        for (from, to) in from.chunks(TILE).zip(to.chunks_exact_mut(STRIP)) {
            let mask = u32::MAX >> (TILE - from.len());
            // SAFETY: the mask covers elements that there are, and `to` is one cache line.
            unsafe {
                let low = _mm512_maskz_loadu_ps(mask as u16, from.as_ptr());
                let high = _mm512_maskz_loadu_ps(
                    (mask >> STRIP) as u16,
                    from.as_ptr().wrapping_add(STRIP),
                );
                let words =
                    std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low));
                _mm512_store_si512(to.as_mut_ptr().cast(), words);
            }
        }
    }
}

/// The weight as strips whose summed axis is padded for each tap as the image's pixels are. Its lanes are channels that come out; summed
/// are `[taps, channels_in]`, in the order of the forward pass. `to` has room for [`packed_len`] words.
pub(super) fn pack(walk: &Walk, weight: &dyn Source, to: *mut u32) {
    let taps = walk.taps();
    let blocks = walk.channels() / TILE;
    let stride = taps * blocks * STRIP * STRIP;
    let to = Shared::from_ptr(to);
    let elements = taps * walk.channels_in * walk.channels_out;
    for_each(taps, elements, |tap| {
        let target = to.get().wrapping_add(tap * blocks * STRIP * STRIP);
        let first = tap * walk.channels_in;
        // SAFETY: each tap has words of its own in each strip.
        unsafe {
            let (lanes, len) = (walk.channels_out, walk.channels_in);
            pack_lanes(ENGINE, weight, 0, lanes, first, len, target, stride);
        }
    });
}

/// Some tiles of pixels of one frame, with all channels.
struct Part<'a> {
    walk: Walk,
    offsets: &'a [usize],
    image: *const u32,
    weight: *const u32,
    ending: Ending<'a>,
    out: *mut f32,
    /// Whether the weight comes from beyond the second-level cache.
    far: bool,
    /// Counted over the batch.
    frame: usize,
    /// The first tile in the frame.
    first: usize,
    tiles: usize,
}

impl Part<'_> {
    fn make(&self) {
        let walk = &self.walk;
        let steps = self.offsets.len();
        let taps = walk.steps(self.frame % walk.size_out[0]);
        let [frames, rows, columns] = walk.padded();
        let (b, t) = (self.frame / walk.size_out[0], self.frame % walk.size_out[0]);
        let pixel = walk.channels() * 2;
        let start = (b * frames + t) * rows * columns + self.first * TILE;
        let image = self.image.cast::<u8>().wrapping_add(start * pixel);
        let strips = Lanes {
            ptr: self.weight,
            stride: steps * STRIP * STRIP,
        };
        let mut waiting = Scratch::take(self.tiles * TILE * TILE);
        let waiting = waiting.as_mut_ptr().cast::<f32>();
        let mut sums = Sums::new();
        // SAFETY: the machine has tiles.
        let _tiles = unsafe { TileConfig::load() };
        for channel in (0..walk.channels_out).step_by(TILE) {
            let b = strips.pair(channel, walk.channels_out);
            let next = strips.pair(channel + TILE, walk.channels_out);
            let asks = self.far && channel + TILE < walk.channels_out;
            let mut piece = taps.start;
            loop {
                let begins = piece == taps.start;
                let offsets = &self.offsets[piece..(piece + PIECE).min(taps.end)];
                let at = piece * STRIP * STRIP;
                let b = b.map(|strip| strip.wrapping_add(at));
                let ends = piece + offsets.len() == taps.end;
                for tile in 0..self.tiles {
                    let mut ahead = Ahead::default();
                    if asks && !offsets.is_empty() {
                        // The same piece of the next strips, the first half of the tiles for one and the second for the other.
                        let words = offsets.len() * STRIP * STRIP;
                        let (from, to) = (
                            tile * 2 * words / self.tiles,
                            (tile + 1) * 2 * words / self.tiles,
                        );
                        let start = next[from / words].wrapping_add(at + from % words);
                        ahead = Ahead::new(start.cast(), (to - from) * 4, offsets.len());
                    }
                    let a = image.wrapping_add(tile * TILE * pixel);
                    let kept = waiting.wrapping_add(tile * TILE * TILE);
                    let from = (!begins).then_some(kept.cast_const());
                    let to = if ends { sums.as_mut_ptr() } else { kept };
                    // SAFETY: the image has room for a tile behind its last pixel, and the strips hold all steps.
                    unsafe { multiply_rows(offsets, a, pixel, b, from, to, &mut ahead) };
                    if ends {
                        self.write(tile, channel, &sums);
                    }
                }
                if ends {
                    break;
                }
                piece += PIECE;
            }
        }
    }

    /// Writes those sums of a tile that are of pixels in the picture.
    fn write(&self, tile: usize, channel: usize, sums: &Sums) {
        let [_, rows, columns] = self.walk.size_out;
        let across = self.walk.padded()[2];
        let channels = self.walk.channels_out;
        let cols = TILE.min(channels - channel);
        let mut index = 0;
        while index < TILE {
            let place = (self.first + tile) * TILE + index;
            let (y, x) = (place / across, place % across);
            // To the end of this row of the picture, or over its margin.
            let run = (across - x).min(TILE - index);
            let lines = run.min(columns.saturating_sub(x));
            if y < rows && lines > 0 {
                let pixel = (self.frame * rows + y) * columns + x;
                let finishing = Finishing {
                    out: Out {
                        c: self.out.wrapping_add(pixel * channels + channel),
                        ldc: channels,
                        rows: lines,
                        cols,
                        accumulate: false,
                    },
                    bias: self.ending.bias.map(|bias| &bias[channel..][..cols]),
                    before: None,
                    activation: self.ending.activation,
                    streamed: false,
                };
                // SAFETY: these pixels are this task's, and the sums are complete.
                unsafe { finish(sums, index, finishing) };
            }
            index += run;
        }
    }
}
