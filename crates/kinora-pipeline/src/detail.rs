//! Detail that the autoencoder took from a given frame, carried along to the made frames beside it.
//!
//! A made frame next to a given one is seen as a jump even where both show the same: the given one is sharp. What it has more is
//! known where it was decoded, and it moves as the picture moves: blocks of a made frame are looked up in the decoded given one
//! (full search over overlapping blocks, as in video coding), and take its detail with them as far as they match.

use kinora_media::Frame;

/// Pixels from one block to the next, in both directions.
const STEP: usize = 8;
/// Pixels of a block in both directions; blocks overlap.
const BLOCK: isize = 16;
/// Pixels that a block may have moved in both directions.
const REACH: isize = 8;
/// Mean difference of matching blocks, in levels of 255, at which a little more than a third of the detail is taken.
const TOLERANCE: f32 = 6.0;
/// What a pixel of movement must win in mean difference: flat blocks stay where they are.
const STILLNESS: f32 = 0.05;

/// What a given frame shows beyond its decoded self.
pub(crate) struct Detail {
    width: usize,
    height: usize,
    /// Of the decoded frame.
    luma: Vec<u8>,
    /// Levels of 255, `[height, width, 3]`.
    more: Vec<f32>,
}

/// Where a block came from, and how well it matches.
#[derive(Clone, Copy)]
struct Match {
    from: [isize; 2],
    trust: f32,
}

impl Detail {
    /// What `given` has that `corrected` lacks; `decoded` is what made frames are compared with.
    pub(crate) fn between(given: &Frame, corrected: &Frame, decoded: &Frame) -> Self {
        let (width, height) = decoded.size();
        let pairs = given.pixels().iter().zip(corrected.pixels());
        Self {
            width: width as usize,
            height: height as usize,
            luma: luma(decoded),
            more: pairs
                .map(|(&given, &got)| f32::from(given) - f32::from(got))
                .collect(),
        }
    }

    /// The detail as it is in `frame`, `[height, width, 3]`; nothing where the frame shows something else.
    pub(crate) fn in_frame(&self, frame: &Frame) -> Vec<f32> {
        let columns = self.width.div_ceil(STEP);
        let rows = self.height.div_ceil(STEP);
        let seen = luma(frame);
        let middle = |index: usize| (index * STEP + STEP / 2) as isize;
        let blocks: Vec<Match> = (0..rows * columns)
            .map(|i| self.find(&seen, [middle(i % columns), middle(i / columns)]))
            .collect();
        let mut out = Vec::with_capacity(self.more.len());
        for y in 0..self.height {
            let (top, bottom, lower) = neighbours(y, rows);
            for x in 0..self.width {
                let (left, right, further) = neighbours(x, columns);
                let mut sum = [0.0; 3];
                for (row, down) in [(top, 1.0 - lower), (bottom, lower)] {
                    for (column, across) in [(left, 1.0 - further), (right, further)] {
                        let block = blocks[row * columns + column];
                        let from = [x as isize + block.from[0], y as isize + block.from[1]];
                        if let Some(more) = self.at(from) {
                            for (sum, more) in sum.iter_mut().zip(more) {
                                *sum += more * down * across * block.trust;
                            }
                        }
                    }
                }
                out.extend(sum);
            }
        }
        out
    }

    fn at(&self, [x, y]: [isize; 2]) -> Option<&[f32]> {
        let inside = |at: isize, end: usize| usize::try_from(at).ok().filter(|&at| at < end);
        let place = inside(y, self.height)? * self.width + inside(x, self.width)?;
        Some(&self.more[place * 3..][..3])
    }

    /// The best match of the block around `middle` of a frame with this luma.
    fn find(&self, seen: &[u8], middle: [isize; 2]) -> Match {
        let mut best = (f32::INFINITY, f32::INFINITY, [0, 0]);
        for dy in -REACH..=REACH {
            for dx in -REACH..=REACH {
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

    fn far(frame: &Frame, more: &[f32], wanted: &Frame) -> f32 {
        // Away from the border, beyond which nothing is known.
        let pixels = (8..40usize).flat_map(|y| (8..56usize).map(move |x| (y * 64 + x) * 3));
        let each = pixels.map(|i| {
            let got = f32::from(frame.pixels()[i]) + more[i];
            (got - f32::from(wanted.pixels()[i])).abs()
        });
        each.sum::<f32>() / (32.0 * 48.0)
    }

    #[test]
    fn detail_goes_along_with_the_picture() {
        let (given, decoded) = (pattern(0, true), pattern(0, false));
        let detail = Detail::between(&given, &decoded, &decoded);
        for by in [0, 2, 6] {
            let (blurred, sharp) = (pattern(by, false), pattern(by, true));
            let more = detail.in_frame(&blurred);
            let (before, after) = (
                far(&blurred, &vec![0.0; more.len()], &sharp),
                far(&blurred, &more, &sharp),
            );
            assert!(after < 0.15 * before, "{by}: {after} of {before}");
        }
    }

    #[test]
    fn another_picture_gets_no_detail() {
        let (given, decoded) = (pattern(0, true), pattern(0, false));
        let detail = Detail::between(&given, &decoded, &decoded);
        let other = Frame::from_fn(64, 48, |x, y| [((x / 3 + y / 3) % 2 * 255) as u8; 3]).unwrap();
        let more = detail.in_frame(&other);
        assert!(more.iter().all(|level| level.abs() < 0.5));
    }
}
