//! How far each part of the picture has moved since the latent frame before.
//!
//! The linear code keeps what a patch looks like and loses movement of less than a pixel a frame, which is what cameras do. So blocks are
//! looked up in the frame a latent frame earlier, by full search as in video coding, to a part of a pixel.

use burn::tensor::{Device, Tensor, TensorData};
use kinora_models::weights::floats;

use super::sight::PatchSize;

/// Blocks across and down a patch.
pub(super) const BLOCKS: usize = 2;
/// What is told of each block: movement across and down, how well it was found, how it differs from what was there before, and how
/// much there is to see.
const TOLD: usize = 5;
/// Numbers told of each token.
pub(super) const FEATURES: usize = BLOCKS * BLOCKS * TOLD;
/// Pixels that a block may have moved in both directions.
const REACH: isize = 12;
/// Pixels of movement that are told as 1.
const UNIT: f32 = 4.0;
/// Differences in levels of 255 that are told as a half.
const HALF: f32 = 5.0;
/// What a pixel of movement must win in mean difference: flat blocks stay where they are.
const STILLNESS: f32 = 0.05;

/// The movement in clips of patches.
///
/// # Shapes
///
/// `[batch, frames, height, width, patch_values]` → `[batch, frames, height, width, FEATURES]`; nothing moves in the first frame
pub(super) fn movement(patches: Tensor<5>, size: PatchSize, device: &Device) -> Tensor<5> {
    let [batch, frames, height, width, values] = patches.dims();
    let frame_values = height * width * values;
    let pixels = floats(patches);
    let mut told = Vec::with_capacity(batch * frames * height * width * FEATURES);
    for clip in pixels.chunks(frames * frame_values) {
        let mut before: Option<Luma> = None;
        for frame in clip.chunks(frame_values) {
            let seen = Luma::of_last_frame(frame, [height, width], size);
            match &before {
                Some(before) => seen.tell(before, size.side / BLOCKS, &mut told),
                None => told.extend(std::iter::repeat_n(0.0, height * width * FEATURES)),
            }
            before = Some(seen);
        }
    }
    let shape = [batch, frames, height, width, FEATURES];
    Tensor::from_data(TensorData::new(told, shape), device)
}

/// Luma of a frame, with its border repeated around it.
struct Luma {
    /// In patches.
    height: usize,
    width: usize,
    /// From one row to the next.
    stride: usize,
    /// Pixels of border on each side.
    border: usize,
    levels: Vec<u8>,
}

/// A block that was found again.
struct Found {
    /// Pixels from where it was to where it is, across and down.
    moved: [f32; 2],
    difference: f32,
    /// To what was in its place before.
    difference_in_place: f32,
}

impl Luma {
    /// Of the last frame that the patches of a latent frame hold.
    fn of_last_frame(patches: &[f32], [height, width]: [usize; 2], size: PatchSize) -> Self {
        let side = size.side;
        let border = REACH as usize + side;
        let stride = width * side + 2 * border;
        let values = size.values();
        let last = (size.frames - 1) * side * side * 3;
        let level = |x: usize, y: usize| {
            let patch = &patches[(y / side * width + x / side) * values + last..];
            let pixel = &patch[(y % side * side + x % side) * 3..][..3];
            let luma = 0.2126 * pixel[0] + 0.7152 * pixel[1] + 0.0722 * pixel[2];
            ((luma + 1.0) * 127.5).round() as u8
        };
        let inside = |at: usize, end: usize| at.saturating_sub(border).min(end - 1);
        let mut levels = Vec::with_capacity(stride * (height * side + 2 * border));
        for y in 0..height * side + 2 * border {
            let y = inside(y, height * side);
            levels.extend((0..stride).map(|x| level(inside(x, width * side), y)));
        }
        Self {
            height,
            width,
            stride,
            border,
            levels,
        }
    }

    /// Tells what has moved since `before`, token by token; a token has blocks of `side` pixels.
    fn tell(&self, before: &Self, side: usize, told: &mut Vec<f32>) {
        for y in 0..self.height {
            for x in 0..self.width {
                for block in 0..BLOCKS * BLOCKS {
                    let corner = [
                        (x * BLOCKS + block % BLOCKS) * side,
                        (y * BLOCKS + block / BLOCKS) * side,
                    ];
                    let found = self.find(before, corner, side);
                    let compressed = |difference: f32| difference / (difference + HALF);
                    told.extend([
                        found.moved[0] / UNIT,
                        found.moved[1] / UNIT,
                        compressed(found.difference),
                        compressed(found.difference_in_place),
                        compressed(self.contrast(corner, side)),
                    ]);
                }
            }
        }
    }

    /// Looks a block up in the frame before. What is compared reaches half a block beyond it on all sides.
    fn find(&self, before: &Self, [x, y]: [usize; 2], side: usize) -> Found {
        let span = 2 * side;
        let first = [x + self.border - side / 2, y + self.border - side / 2];
        let pixels = (span * span) as f32;
        let difference = |dx: isize, dy: isize| {
            let mut sum = 0;
            for row in 0..span {
                let here = (first[1] + row) * self.stride + first[0];
                let there = here.wrapping_add_signed(dy * self.stride as isize + dx);
                let (here, there) = (
                    &self.levels[here..][..span],
                    &before.levels[there..][..span],
                );
                let pairs = here.iter().zip(there);
                sum += pairs.map(|(a, b)| u32::from(a.abs_diff(*b))).sum::<u32>();
            }
            sum as f32 / pixels
        };
        let in_place = difference(0, 0);
        let (mut least, mut best, mut at) = (in_place, in_place, [0, 0]);
        for dy in -REACH..=REACH {
            for dx in -REACH..=REACH {
                let seen = difference(dx, dy);
                let cost = seen + STILLNESS * ((dx * dx + dy * dy) as f32).sqrt();
                if cost < least {
                    (least, best, at) = (cost, seen, [dx, dy]);
                }
            }
        }
        let [dx, dy] = at;
        let across = valley(difference(dx - 1, dy), best, difference(dx + 1, dy));
        let down = valley(difference(dx, dy - 1), best, difference(dx, dy + 1));
        Found {
            moved: [-(dx as f32 + across), -(dy as f32 + down)],
            difference: best,
            difference_in_place: in_place,
        }
    }

    /// Mean difference of a block's neighbouring pixels, in levels of 255.
    fn contrast(&self, [x, y]: [usize; 2], side: usize) -> f32 {
        let mut sum = 0;
        for row in y + self.border..y + self.border + side {
            let line = &self.levels[row * self.stride + x + self.border..];
            let below = &self.levels[(row + 1) * self.stride + x + self.border..];
            for i in 0..side {
                sum += u32::from(line[i].abs_diff(line[i + 1]));
                sum += u32::from(line[i].abs_diff(below[i]));
            }
        }
        sum as f32 / (2 * side * side) as f32
    }
}

/// Where a parabola through three neighbours is least, from −0.5 to 0.5 beside the middle one; 0 where they are flat.
fn valley(before: f32, here: f32, after: f32) -> f32 {
    let curve = before - 2.0 * here + after;
    if curve <= f32::EPSILON {
        return 0.0;
    }
    (0.5 * (before - after) / curve).clamp(-0.5, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: PatchSize = PatchSize {
        frames: 4,
        side: 16,
    };

    /// Two latent frames of 4 × 6 patches; what the last shows lies `by` pixels further than what the first does.
    fn moving(by: [f32; 2]) -> Tensor<5> {
        // It repeats itself nowhere within reach.
        let level = |x: f32, y: f32| {
            let waves = (0.21 * x + 0.05 * y).sin() + (0.19 * y - 0.07 * x).cos();
            0.4 * waves + 0.2 * (0.11 * x).sin() * (0.13 * y).cos()
        };
        let mut values = Vec::new();
        for frame in 0..2 {
            for patch in 0..4 * 6 {
                for t in 0..SIZE.frames {
                    for pixel in 0..16 * 16 {
                        let x = (patch % 6 * 16 + pixel % 16) as f32;
                        let y = (patch / 6 * 16 + pixel / 16) as f32;
                        // Frames but the last of a patch show something else.
                        let far = if t == 3 { frame as f32 } else { 9.0 };
                        values.extend([level(x - far * by[0], y - far * by[1]); 3]);
                    }
                }
            }
        }
        Tensor::from_data(
            TensorData::new(values, [1, 2, 4, 6, SIZE.values()]),
            &Device::flex(),
        )
    }

    #[test]
    fn movement_is_found_to_a_part_of_a_pixel() {
        for by in [[0.0, 0.0], [2.0, -1.0], [0.0, 1.3], [-3.4, 0.0]] {
            let told = movement(moving(by), SIZE, &Device::flex());
            assert_eq!(told.dims(), [1, 2, 4, 6, FEATURES]);
            let told = floats(told);
            let (first, second) = told.split_at(told.len() / 2);
            assert!(first.iter().all(|&value| value == 0.0));
            // Away from the border, beyond which nothing is known.
            let inner = (1..3).flat_map(|y| (1..5).map(move |x| y * 6 + x));
            let blocks =
                inner.flat_map(|token| second[token * FEATURES..][..FEATURES].chunks(TOLD));
            let blocks: Vec<&[f32]> = blocks.collect();
            for (axis, by) in by.into_iter().enumerate() {
                let error = blocks.iter().map(|block| (block[axis] * UNIT - by).abs());
                let error = error.sum::<f32>() / blocks.len() as f32;
                assert!(error < 0.3, "{by}: {error}");
            }
            assert!(blocks.iter().all(|block| block[4] > 0.3));
        }
    }
}
