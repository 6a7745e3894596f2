//! A given frame, carried along into the made frames beside it.
//!
//! A made frame next to a given one is seen as a jump: the autoencoder took the given frame's detail, and what the model made is never
//! quite where it would have been. So blocks of a made frame are looked up in the decoded given one (full search over overlapping
//! blocks, as in video coding) and show for a while what the given frame has there: longer where they match, shorter where they do not,
//! so that what is new comes in by a short dissolve and not by a jump.

use kinora_media::Frame;

/// Pixels from one block to the next, in both directions.
const STEP: usize = 8;
/// Pixels of a block in both directions; blocks overlap.
const BLOCK: isize = 16;
/// Pixels that a block may have moved in both directions for each frame in between, and at most.
const REACH: isize = 6;
const LONGEST_REACH: isize = 18;
/// Frames until what is carried has moved as far as it was found: at a seam all that is made may lie a pixel or two beside where it
/// should, and that too is to come in slowly.
const EASE: usize = 3;
/// Mean difference of matching blocks, in levels of 255, at which they are trusted a little more than a third.
const TOLERANCE: f32 = 6.0;
/// What a pixel of movement must win in mean difference: flat blocks stay where they are.
const STILLNESS: f32 = 0.05;

/// A given frame, and what the autoencoder made of it.
pub(crate) struct Carried {
    width: usize,
    height: usize,
    /// Of the decoded frame.
    luma: Vec<u8>,
    given: Frame,
}

/// A pixel of a given frame where a made frame shows it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pixel {
    /// Levels of 255.
    pub(crate) colour: [f32; 3],
    /// 1 where both show the same, 0 where they have nothing in common.
    pub(crate) trust: f32,
    /// Of the blocks that it was found in.
    weight: f32,
}

/// Where a block came from, and how well it matches.
#[derive(Clone, Copy)]
struct Match {
    from: [isize; 2],
    trust: f32,
}

impl Carried {
    /// `given`, which became `decoded`; both have the same size.
    pub(crate) fn new(given: Frame, decoded: &Frame) -> Self {
        let (width, height) = decoded.size();
        Self {
            width: width as usize,
            height: height as usize,
            luma: luma(decoded),
            given,
        }
    }

    /// The given frame as it lies in `frame`, which was decoded too and stands `distance` frames away: `[height, width]`.
    pub(crate) fn in_frame(&self, frame: &Frame, distance: usize) -> Vec<Pixel> {
        let columns = self.width.div_ceil(STEP);
        let rows = self.height.div_ceil(STEP);
        let seen = luma(frame);
        let reach = (REACH * distance as isize).min(LONGEST_REACH);
        let middle = |index: usize| (index * STEP + STEP / 2) as isize;
        let ease = distance.min(EASE) as f32 / EASE as f32;
        let blocks: Vec<Match> = (0..rows * columns)
            .map(|i| {
                let found = self.find(&seen, [middle(i % columns), middle(i / columns)], reach);
                let eased = |by: isize| (by as f32 * ease).round() as isize;
                Match {
                    from: found.from.map(eased),
                    ..found
                }
            })
            .collect();
        let mut out = Vec::with_capacity(self.width * self.height);
        for y in 0..self.height {
            let (top, bottom, lower) = neighbours(y, rows);
            for x in 0..self.width {
                let (left, right, further) = neighbours(x, columns);
                let mut pixel = Pixel::default();
                for (row, down) in [(top, 1.0 - lower), (bottom, lower)] {
                    for (column, across) in [(left, 1.0 - further), (right, further)] {
                        let block = blocks[row * columns + column];
                        let from = [x as isize + block.from[0], y as isize + block.from[1]];
                        if let Some(colour) = self.at(from) {
                            pixel.add(colour, block.trust, down * across);
                        }
                    }
                }
                out.push(pixel.mean());
            }
        }
        out
    }

    fn at(&self, [x, y]: [isize; 2]) -> Option<[u8; 3]> {
        self.given.pixel(x.try_into().ok()?, y.try_into().ok()?)
    }

    /// The best match of the block around `middle` of a frame with this luma.
    fn find(&self, seen: &[u8], middle: [isize; 2], reach: isize) -> Match {
        let mut best = (f32::INFINITY, f32::INFINITY, [0, 0]);
        for dy in -reach..=reach {
            for dx in -reach..=reach {
                let difference = self.difference(seen, middle, [dx, dy]);
                let cost = difference + STILLNESS * ((dx * dx + dy * dy) as f32).sqrt();
                if cost < best.0 {
                    best = (cost, difference, [dx, dy]);
                }
            }
        }
        let (_, difference, from) = best;
        Match {
            from,
            trust: (-(difference / TOLERANCE).powi(2)).exp(),
        }
    }

    /// Mean difference of the block around `middle` to the decoded frame's, which lies `by` pixels further.
    fn difference(&self, seen: &[u8], [x, y]: [isize; 2], [dx, dy]: [isize; 2]) -> f32 {
        let span = |at: isize, by: isize, end: usize| {
            let end = end as isize;
            let first = (at - BLOCK / 2).max(0).max(-by);
            let last = (at + BLOCK / 2).min(end).min(end - by);
            first..last
        };
        // What a block shows in its own cell must be there.
        let leaves = |at: isize, by: isize, end: usize| {
            let cell = STEP as isize / 2;
            by < 0 && at - cell + by < 0 || by > 0 && at + cell + by > end as isize
        };
        if leaves(x, dx, self.width) || leaves(y, dy, self.height) {
            return f32::INFINITY;
        }
        let (across, down) = (span(x, dx, self.width), span(y, dy, self.height));
        let len = across.end - across.start;
        // A block of which less than half is left says nothing.
        if len < BLOCK / 2 || down.end - down.start < BLOCK / 2 {
            return f32::INFINITY;
        }
        let count = (len * (down.end - down.start)) as f32;
        let mut sum = 0;
        for row in down {
            let here = row as usize * self.width + across.start as usize;
            let there = (row + dy) as usize * self.width + (across.start + dx) as usize;
            let seen = &seen[here..][..len as usize];
            let known = &self.luma[there..][..len as usize];
            let pairs = seen.iter().zip(known);
            sum += pairs.map(|(a, b)| u32::from(a.abs_diff(*b))).sum::<u32>();
        }
        sum as f32 / count
    }
}

impl Pixel {
    fn add(&mut self, colour: [u8; 3], trust: f32, weight: f32) {
        for (sum, level) in self.colour.iter_mut().zip(colour) {
            *sum += f32::from(level) * weight;
        }
        self.trust += trust * weight;
        self.weight += weight;
    }

    /// Of what was added.
    fn mean(self) -> Self {
        Self {
            colour: self.colour.map(|sum| sum / self.weight),
            trust: self.trust / self.weight,
            weight: 1.0,
        }
    }
}

/// The two blocks whose middles are nearest to a pixel, and how far it is from the first to the second.
fn neighbours(pixel: usize, blocks: usize) -> (usize, usize, f32) {
    let place = (pixel as f32 + 0.5 - STEP as f32 / 2.0) / STEP as f32;
    let place = place.clamp(0.0, (blocks - 1) as f32);
    let first = place as usize;
    (first, (first + 1).min(blocks - 1), place - first as f32)
}

fn luma(frame: &Frame) -> Vec<u8> {
    let pixels = frame.pixels().chunks_exact(3);
    pixels
        .map(|p| ((u32::from(p[0]) * 54 + u32::from(p[1]) * 183 + u32::from(p[2]) * 19) >> 8) as u8)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pattern without repeats that begins `by` pixels further.
    fn pattern(by: u32, sharp: bool) -> Frame {
        let level = |x: u32, y: u32| {
            let (x, y) = ((x + by) as f32, y as f32);
            let broad = 60.0 * (x * 0.11).sin() + 40.0 * (y * 0.17 + x * 0.05).cos();
            let fine = if sharp && (x as u32 + y as u32).is_multiple_of(2) {
                12.0
            } else {
                0.0
            };
            (128.0 + broad + fine).clamp(0.0, 255.0) as u8
        };
        Frame::from_fn(64, 48, |x, y| [level(x, y); 3]).unwrap()
    }

    /// Mean difference of what is carried to `wanted`, away from the border, beyond which nothing is known; and the mean trust.
    fn seen(carried: &[Pixel], wanted: &Frame) -> (f32, f32) {
        let pixels = (8..40usize).flat_map(|y| (8..56usize).map(move |x| y * 64 + x));
        let (mut far, mut trust) = (0.0, 0.0);
        for i in pixels {
            far += (carried[i].colour[0] - f32::from(wanted.pixels()[i * 3])).abs();
            trust += carried[i].trust;
        }
        (far / (32.0 * 48.0), trust / (32.0 * 48.0))
    }

    #[test]
    fn a_given_frame_goes_along_with_the_picture() {
        let carried = Carried::new(pattern(0, true), &pattern(0, false));
        // The first frames go a part of the way.
        for (distance, by, shown) in [(0, 0, 0), (1, 6, 2), (2, 6, 4), (3, 8, 8), (9, 6, 6)] {
            let there = carried.in_frame(&pattern(by, false), distance);
            let (far, trust) = seen(&there, &pattern(shown, true));
            assert!(far < 1.0 && trust > 0.9, "{by}: {far} {trust}");
        }
    }

    #[test]
    fn another_picture_is_not_trusted() {
        let carried = Carried::new(pattern(0, true), &pattern(0, false));
        let other = Frame::from_fn(64, 48, |x, y| [((x / 3 + y / 3) % 2 * 255) as u8; 3]).unwrap();
        let there = carried.in_frame(&other, 1);
        assert!(there.iter().all(|pixel| pixel.trust < 0.01));
        // It is all there nevertheless, for a short dissolve.
        let dark = |pixel: &Pixel| (0.0..=255.0).contains(&pixel.colour[0]);
        assert!(there.iter().all(dark));
    }
}
