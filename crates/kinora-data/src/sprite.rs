//! Draws a subject: smaller copies of its frame are mixed so that it neither flickers nor blurs at any size.

/// A frame of a sprite and its halves: 96, 48, 24, 12 pixels.
#[derive(Debug)]
pub(crate) struct Sprite {
    levels: Vec<Level>,
}

#[derive(Debug)]
struct Level {
    size: usize,
    /// Premultiplied RGBA8 with a transparent border of one pixel.
    pixels: Vec<u8>,
}

/// Where a sprite goes: from the frame's pixels to the sprite's unit square.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Placement {
    /// Centre of the square in frame pixels.
    pub(crate) center: (f32, f32),
    /// Sides of the square in frame pixels.
    pub(crate) sides: (f32, f32),
    /// Turn in radians, clockwise.
    pub(crate) rotation: f32,
    /// Mirrored left to right.
    pub(crate) is_flipped: bool,
}

/// The picture that is drawn on: RGBA with ignored alpha.
pub(crate) struct Target<'a> {
    pub(crate) pixels: &'a mut [u8],
    pub(crate) width: usize,
    pub(crate) height: usize,
}

impl Sprite {
    /// Builds the levels from a square frame.
    pub(crate) fn new(frame: &[u8], size: usize) -> Self {
        let mut levels = vec![Level::new(frame, size)];
        while levels.len() < 5 {
            let last = &levels[levels.len() - 1];
            if last.size < 8 || last.size % 2 == 1 {
                break;
            }
            levels.push(last.halved());
        }
        Self { levels }
    }

    /// The two levels around a size in pixels, and how much of the smaller one to take.
    fn levels_for(&self, side: f32) -> (&Level, &Level, f32) {
        let exact = (self.levels[0].size as f32 / side.max(1.0)).log2().max(0.0);
        let finer = (exact as usize).min(self.levels.len() - 1);
        let coarser = (finer + 1).min(self.levels.len() - 1);
        // Lean to the finer level: linear sampling softens already.
        (
            &self.levels[finer],
            &self.levels[coarser],
            ((exact - finer as f32) * 1.5 - 0.5).clamp(0.0, 1.0),
        )
    }

    /// Calls `put(pixel index, x, y, premultiplied RGBA in 0..255)` for each frame pixel that the sprite covers.
    fn each(
        &self,
        place: &Placement,
        shift_x: impl Fn(f32) -> f32,
        bounds: (usize, usize),
        mut put: impl FnMut(usize, f32, f32, [f32; 4]),
    ) {
        let ((cx, cy), (sx, sy)) = (place.center, place.sides);
        if sx < 1.0 || sy.abs() < 1.0 {
            return;
        }
        let (finer, coarser, part) = self.levels_for(sx.max(sy.abs()));
        let (sin, cos) = place.rotation.sin_cos();
        let reach_x = 0.5 * (sx * cos.abs() + sy.abs() * sin.abs()) + 4.0;
        let reach_y = 0.5 * (sx * sin.abs() + sy.abs() * cos.abs()) + 1.0;
        let clip = |at: f32, end: usize| (at.max(0.0) as usize).min(end);
        let (from_x, to_x) = (
            clip(cx - reach_x, bounds.0),
            clip(cx + reach_x + 1.0, bounds.0),
        );
        let (from_y, to_y) = (
            clip(cy - reach_y, bounds.1),
            clip(cy + reach_y + 1.0, bounds.1),
        );
        let mirror = if place.is_flipped { -1.0 } else { 1.0 };
        for j in from_y..to_y {
            let y = j as f32 + 0.5;
            let (dy, shift) = (y - cy, shift_x(y));
            for i in from_x..to_x {
                let x = i as f32 + 0.5;
                let dx = x - cx + shift;
                let u = (dx * cos + dy * sin) / sx * mirror + 0.5;
                let v = (dy * cos - dx * sin) / sy + 0.5;
                if !(-0.02..1.02).contains(&u) || !(-0.02..1.02).contains(&v) {
                    continue;
                }
                let mut color = finer.sample(u, v);
                if part > 0.0 {
                    let other = coarser.sample(u, v);
                    for channel in 0..4 {
                        color[channel] += (other[channel] - color[channel]) * part;
                    }
                }
                if color[3] > 0.5 {
                    put(j * bounds.0 + i, x, y, color);
                }
            }
        }
    }

    /// Draws the sprite under a light; `keep(x, y)` says how much of it shows.
    pub(crate) fn draw(
        &self,
        target: &mut Target,
        place: &Placement,
        light: [f32; 3],
        keep: impl Fn(f32, f32) -> f32,
    ) {
        self.draw_swinging(target, place, light, |_| 0.0, keep);
    }

    /// As [`draw`](Self::draw), with each row shifted across by `shift_x(y)` pixels.
    pub(crate) fn draw_swinging(
        &self,
        target: &mut Target,
        place: &Placement,
        light: [f32; 3],
        shift_x: impl Fn(f32) -> f32,
        keep: impl Fn(f32, f32) -> f32,
    ) {
        let pixels = &mut *target.pixels;
        self.each(
            place,
            shift_x,
            (target.width, target.height),
            |index, x, y, color| {
                let shown = keep(x, y).clamp(0.0, 1.0);
                let under = 1.0 - color[3] * shown / 255.0;
                for channel in 0..3 {
                    let below = &mut pixels[index * 4 + channel];
                    *below =
                        (f32::from(*below) * under + color[channel] * light[channel] * shown + 0.5)
                            .min(255.0) as u8;
                }
            },
        );
    }

    /// Darkens the ground where the sprite's outline falls.
    pub(crate) fn cast(&self, target: &mut Target, shadow: &Shadow) {
        let Shadow {
            foot,
            along,
            width,
            is_flipped,
            strength,
            top,
        } = *shadow;
        if along.1.abs() < 1.0 || width < 2.0 {
            return;
        }
        let (_, sharp, _) = self.levels_for(width);
        let (_, blurred, _) = self.levels_for(width * 0.4);
        let (from_y, to_y) = (foot.1 + along.1.min(0.0), foot.1 + along.1.max(0.0));
        let clip = |at: f32, end: usize| (at.max(0.0) as usize).min(end);
        let mirror = if is_flipped { -1.0 } else { 1.0 };
        for j in clip(from_y.max(top), target.height)..clip(to_y.ceil(), target.height) {
            let t = (j as f32 + 0.5 - foot.1) / along.1;
            if !(0.0..=1.0).contains(&t) {
                continue;
            }
            let middle = foot.0 + along.0 * t;
            let columns = clip(middle - width * 0.55, target.width)
                ..clip(middle + width * 0.55, target.width);
            for i in columns {
                let u = (i as f32 + 0.5 - middle) / width * mirror + 0.5;
                let near = sharp.alpha(u, 1.0 - t);
                let cover = (near + (blurred.alpha(u, 1.0 - t) - near) * t) / 255.0;
                let pixel = &mut target.pixels[(j * target.width + i) * 4..][..3];
                darken(pixel, cover * strength * (1.0 - 0.65 * t));
            }
        }
    }
}

/// A sprite's outline thrown flat along the ground, in frame pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Shadow {
    /// Where it starts.
    pub(crate) foot: (f32, f32),
    /// Its tip against the foot.
    pub(crate) along: (f32, f32),
    /// Side of the sprite.
    pub(crate) width: f32,
    /// The sprite is mirrored.
    pub(crate) is_flipped: bool,
    /// How dark it is at the foot, 0 to 1.
    pub(crate) strength: f32,
    /// No shadow falls above this height.
    pub(crate) top: f32,
}

/// Towards a bluish black.
pub(crate) fn darken(pixel: &mut [u8], by: f32) {
    if by > 0.0 {
        for (value, share) in pixel.iter_mut().zip([1.0, 0.97, 0.88]) {
            *value = (f32::from(*value) * (1.0 - by * share) + 0.5) as u8;
        }
    }
}

impl Level {
    fn new(frame: &[u8], size: usize) -> Self {
        let stride = (size + 2) * 4;
        let mut pixels = vec![0; stride * (size + 2)];
        for (row, from) in frame.chunks_exact(size * 4).enumerate() {
            pixels[(row + 1) * stride + 4..][..size * 4].copy_from_slice(from);
        }
        Self { size, pixels }
    }

    fn halved(&self) -> Self {
        let (size, stride) = (self.size / 2, (self.size + 2) * 4);
        let mut frame = Vec::with_capacity(size * size * 4);
        for y in 0..size {
            let (upper, lower) = self.pixels[(2 * y + 1) * stride..][..2 * stride].split_at(stride);
            for (a, b) in upper[4..]
                .chunks_exact(8)
                .zip(lower[4..].chunks_exact(8))
                .take(size)
            {
                for channel in 0..4 {
                    let sum =
                        [a[channel], a[channel + 4], b[channel], b[channel + 4]].map(u32::from);
                    frame.push(((sum.iter().sum::<u32>() + 2) / 4) as u8);
                }
            }
        }
        Self::new(&frame, size)
    }

    /// Where the four neighbours of a point lie, two of the upper row and two of the lower, and how far between them it is.
    fn neighbours(&self, u: f32, v: f32) -> (&[u8], &[u8], f32, f32) {
        let inside = |at: f32| (at * self.size as f32 + 0.5).clamp(0.0, self.size as f32 + 0.999);
        let (x, y) = (inside(u), inside(v));
        let (column, row) = (x as usize, y as usize);
        let stride = (self.size + 2) * 4;
        let at = row * stride + column * 4;
        let (upper, lower) = (
            &self.pixels[at..at + 8],
            &self.pixels[at + stride..at + stride + 8],
        );
        (upper, lower, x - column as f32, y - row as f32)
    }

    fn sample(&self, u: f32, v: f32) -> [f32; 4] {
        let (upper, lower, tx, ty) = self.neighbours(u, v);
        let weights = [
            (1.0 - tx) * (1.0 - ty),
            tx * (1.0 - ty),
            (1.0 - tx) * ty,
            tx * ty,
        ];
        std::array::from_fn(|channel| {
            f32::from(upper[channel]) * weights[0]
                + f32::from(upper[channel + 4]) * weights[1]
                + f32::from(lower[channel]) * weights[2]
                + f32::from(lower[channel + 4]) * weights[3]
        })
    }

    fn alpha(&self, u: f32, v: f32) -> f32 {
        let (upper, lower, tx, ty) = self.neighbours(u, v);
        let across = |row: &[u8]| f32::from(row[3]) * (1.0 - tx) + f32::from(row[7]) * tx;
        across(upper) * (1.0 - ty) + across(lower) * ty
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn red_square() -> Sprite {
        Sprite::new(&[255, 0, 0, 255].repeat(32 * 32), 32)
    }

    #[test]
    fn a_sprite_covers_its_square_at_every_size() {
        for side in [3.0_f32, 8.0, 17.5, 32.0, 60.0] {
            let (mut pixels, size) = (vec![0; 80 * 80 * 4], 80);
            let mut target = Target {
                pixels: &mut pixels,
                width: size,
                height: size,
            };
            let place = Placement {
                center: (40.0, 40.0),
                sides: (side, side),
                rotation: 0.3,
                is_flipped: false,
            };
            red_square().draw(&mut target, &place, [1.0; 3], |_, _| 1.0);
            let area: f32 = pixels
                .chunks(4)
                .map(|pixel| f32::from(pixel[0]) / 255.0)
                .sum();
            assert!(
                (area / (side * side) - 1.0).abs() < 0.2 + 1.5 / side,
                "{side}: {area}"
            );
        }
    }

    #[test]
    fn a_sprite_outside_the_frame_draws_nothing_and_does_not_panic() {
        let mut pixels = vec![7; 10 * 10 * 4];
        for center in [(-500.0, 5.0), (5.0, 900.0), (f32::NAN, 3.0)] {
            let mut target = Target {
                pixels: &mut pixels,
                width: 10,
                height: 10,
            };
            let place = Placement {
                center,
                sides: (20.0, 20.0),
                rotation: 0.0,
                is_flipped: true,
            };
            red_square().draw(&mut target, &place, [1.0; 3], |_, _| 1.0);
        }
        assert!(pixels.iter().all(|value| *value == 7));
    }
}
