//! Seams that do not flash: made frames take over light and colour of the given ones beside them.
//!
//! A given frame that goes through the autoencoder comes back a little lighter, darker or greyer. Where the given frame is shown as
//! it is and its neighbour comes from the decoder, that difference would be seen as a flash. So the frames beside the seam show the
//! given one where [the picture has moved it](crate::carried), less and less with the distance, and take over its low frequencies where
//! it is no longer seen.

use std::collections::{BTreeMap, VecDeque};

use kinora_media::Frame;

use crate::Error;
use crate::carried::Carried;

/// Cells of the grid on which the difference is measured, along the longer side of a frame.
const CELLS: u32 = 12;

/// The part of the way on which a given frame is carried where it does not match what was made.
const DISSOLVE: f32 = 0.75;

/// Corrects decoded frames as they come, in order.
pub(crate) struct Seams {
    /// Given frames at the model's size that stand beside made ones, by their place.
    given: BTreeMap<usize, Frame>,
    /// Differences where given frames were decoded.
    measured: BTreeMap<usize, Difference>,
    /// Frames over which a difference fades.
    reach: usize,
    /// Frames that wait for a seam behind them: at most `reach`.
    waiting: VecDeque<(usize, Frame)>,
}

impl Seams {
    pub(crate) fn new(given: BTreeMap<usize, Frame>, reach: usize) -> Self {
        Self {
            given,
            measured: BTreeMap::new(),
            reach,
            waiting: VecDeque::new(),
        }
    }

    /// Takes the decoded frame at `place`, and hands over those that are settled.
    ///
    /// # Errors
    ///
    /// What `hand_over` returns.
    pub(crate) fn push(
        &mut self,
        place: usize,
        decoded: Frame,
        hand_over: &mut impl FnMut(usize, Frame) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if let Some(given) = self.given.get(&place) {
            self.measured
                .insert(place, Difference::between(given.clone(), &decoded));
        }
        self.waiting.push_back((place, decoded));
        while let Some((front, _)) = self.waiting.front() {
            let reached = place + 1..front + self.reach.max(1) + 1;
            if reached.start < reached.end && self.given.range(reached).next().is_some() {
                break;
            }
            self.settle_first(hand_over)?;
        }
        Ok(())
    }

    /// Hands over what is left.
    ///
    /// # Errors
    ///
    /// What `hand_over` returns.
    pub(crate) fn finish(
        mut self,
        hand_over: &mut impl FnMut(usize, Frame) -> Result<(), Error>,
    ) -> Result<(), Error> {
        while !self.waiting.is_empty() {
            self.settle_first(hand_over)?;
        }
        Ok(())
    }

    fn settle_first(
        &mut self,
        hand_over: &mut impl FnMut(usize, Frame) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Some((place, mut frame)) = self.waiting.pop_front() else {
            return Ok(());
        };
        let before = self.measured.range(..=place).next_back();
        let after = self.measured.range(place + 1..).next();
        let sides: Vec<(&Difference, usize)> = [before, after]
            .into_iter()
            .flatten()
            .map(|(at, difference)| (difference, at.abs_diff(place)))
            .filter(|(_, distance)| *distance < self.reach.max(1))
            .collect();
        // Between two seams that are near each other they share the frame.
        let weight = |distance| fade(distance as f32 / self.reach.max(1) as f32);
        let sum: f32 = sides.iter().map(|(_, distance)| weight(*distance)).sum();
        let more: Vec<Vec<f32>> = sides
            .iter()
            .map(|(difference, distance)| difference.in_frame(&frame, *distance, self.reach))
            .collect();
        for (i, value) in frame.pixels_mut().iter_mut().enumerate() {
            let more: f32 = more.iter().map(|more| more[i]).sum();
            *value = (f32::from(*value) + more / sum.max(1.0))
                .round()
                .clamp(0.0, 255.0) as u8;
        }
        let last = before.map(|(at, _)| *at);
        self.measured.retain(|at, _| Some(*at) >= last);
        hand_over(place, frame)
    }
}

/// 1 at the beginning of the way, 0 from its end on, smooth at both.
fn fade(way: f32) -> f32 {
    let left = 1.0 - way;
    if left <= 0.0 {
        0.0
    } else {
        left * left * (3.0 - 2.0 * left)
    }
}

/// What a given frame is more than its decoded self.
struct Difference {
    low: LowFrequencies,
    carried: Carried,
}

impl Difference {
    /// `given − decoded`, both of the same size.
    fn between(given: Frame, decoded: &Frame) -> Self {
        Self {
            low: LowFrequencies::between(&given, decoded),
            carried: Carried::new(given, decoded),
        }
    }

    /// What is to be added to a decoded frame so many frames away, of `reach`: levels of 255, `[height, width, 3]`.
    fn in_frame(&self, decoded: &Frame, distance: usize, reach: usize) -> Vec<f32> {
        let way = distance as f32 / reach.max(1) as f32;
        let (slow, quick) = (fade(way), fade(way / DISSOLVE));
        let carried = self.carried.in_frame(decoded, distance);
        let (width, height) = decoded.size();
        let low = self.low.at_pixels(width, height);
        let mut more = Vec::with_capacity(decoded.pixels().len());
        let pixels = decoded.pixels().chunks_exact(3).zip(carried).zip(low);
        for ((pixel, there), low) in pixels {
            let share = mix(quick, slow, there.trust);
            let levels = pixel.iter().zip(there.colour).zip(low);
            more.extend(levels.map(|((&level, colour), low)| {
                share * (colour - f32::from(level)) + (slow - share) * low
            }));
        }
        more
    }
}

/// What one frame is more than another, cell by cell.
struct LowFrequencies {
    columns: usize,
    rows: usize,
    /// In levels of 255, `[rows, columns, 3]`.
    cells: Vec<f32>,
}

impl LowFrequencies {
    /// `given − decoded`, both of the same size.
    fn between(given: &Frame, decoded: &Frame) -> Self {
        let (width, height) = decoded.size();
        let side = width.max(height).div_ceil(CELLS).max(1);
        let (columns, rows) = (
            width.div_ceil(side) as usize,
            height.div_ceil(side) as usize,
        );
        let mut sums = vec![0.0; rows * columns * 3];
        let mut counts = vec![0.0_f32; rows * columns];
        let pixels = given
            .pixels()
            .chunks_exact(3)
            .zip(decoded.pixels().chunks_exact(3));
        for (index, (given, decoded)) in pixels.enumerate() {
            let (x, y) = (index as u32 % width, index as u32 / width);
            let cell = (y / side) as usize * columns + (x / side) as usize;
            counts[cell] += 1.0;
            for channel in 0..3 {
                sums[cell * 3 + channel] += f32::from(given[channel]) - f32::from(decoded[channel]);
            }
        }
        for (cell, count) in counts.iter().enumerate() {
            for sum in &mut sums[cell * 3..][..3] {
                *sum /= count.max(1.0);
            }
        }
        Self {
            columns,
            rows,
            cells: sums,
        }
    }

    /// At each pixel of a frame, bilinearly between the middles of the cells.
    fn at_pixels(&self, width: u32, height: u32) -> impl Iterator<Item = [f32; 3]> {
        let across: Vec<_> = Places::new(width, self.columns).between().collect();
        let down: Vec<_> = Places::new(height, self.rows).between().collect();
        down.into_iter().flat_map(move |(top, bottom, lower)| {
            let row: Vec<[f32; 3]> = across
                .iter()
                .map(|&(left, right, further)| {
                    std::array::from_fn(|channel| {
                        let cell = |row: usize, column: usize| {
                            self.cells[(row * self.columns + column) * 3 + channel]
                        };
                        let upper = mix(cell(top, left), cell(top, right), further);
                        let under = mix(cell(bottom, left), cell(bottom, right), further);
                        mix(upper, under, lower)
                    })
                })
                .collect();
            row
        })
    }
}

/// Pixels along a side, and between which cells they lie.
struct Places {
    pixels: u32,
    cells: usize,
}

impl Places {
    fn new(pixels: u32, cells: usize) -> Self {
        Self { pixels, cells }
    }

    /// Of each pixel the two nearest cells, and how far it is from the first to the second.
    fn between(&self) -> impl Iterator<Item = (usize, usize, f32)> {
        let scale = self.cells as f32 / self.pixels as f32;
        let last = self.cells - 1;
        (0..self.pixels).map(move |pixel| {
            let place = ((pixel as f32 + 0.5) * scale - 0.5).clamp(0.0, last as f32);
            let first = place as usize;
            (first, (first + 1).min(last), place - first as f32)
        })
    }
}

fn mix(a: f32, b: f32, share: f32) -> f32 {
    a + (b - a) * share
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(level: u8) -> Frame {
        Frame::filled(24, 16, [level; 3]).unwrap()
    }

    /// Decoded frames are at 100, given ones at 140.
    fn corrected(given: &[usize], frames: usize) -> Vec<u8> {
        let given = given.iter().map(|&place| (place, grey(140))).collect();
        let mut seams = Seams::new(given, 8);
        let mut levels = Vec::new();
        let mut take = |place: usize, frame: Frame| {
            assert_eq!(place, levels.len(), "frames come in order");
            levels.push(frame.pixels()[0]);
            Ok(())
        };
        for place in 0..frames {
            seams.push(place, grey(100), &mut take).unwrap();
            assert!(seams.waiting.len() <= 8, "memory is flat");
        }
        seams.finish(&mut take).unwrap();
        levels
    }

    #[test]
    fn the_difference_fades_away_from_the_seam() {
        let after = corrected(&[4], 40);
        assert_eq!(after[4], 140);
        assert!(after[4..=12].windows(2).all(|pair| pair[1] < pair[0]));
        assert!(after[12..].iter().all(|&level| level == 100));
        let before = corrected(&[30], 31);
        assert_eq!((before[0], before[22], before[30]), (100, 100, 140));
        assert!(before[22..].windows(2).all(|pair| pair[1] > pair[0]));
    }

    #[test]
    fn near_seams_share_what_lies_between() {
        let levels = corrected(&[0, 4], 20);
        assert!(
            levels[..=4].iter().all(|level| (135..=140).contains(level)),
            "{levels:?}"
        );
        assert_eq!(corrected(&[], 5), [100; 5]);
    }

    #[test]
    fn a_frame_that_shows_the_same_becomes_the_given_one() {
        let stripes =
            Frame::from_fn(24, 16, |x, _| [if x % 2 == 0 { 90 } else { 110 }; 3]).unwrap();
        let mut seams = Seams::new([(0, stripes.clone())].into(), 8);
        let mut shown = Vec::new();
        for place in 0..3 {
            let mut take = |_, frame| {
                shown.push(frame);
                Ok(())
            };
            seams.push(place, grey(100), &mut take).unwrap();
        }
        assert_eq!(shown[0], stripes);
        let contrast = |frame: &Frame| frame.pixels()[3].abs_diff(frame.pixels()[0]);
        assert!(contrast(&shown[1]) > contrast(&shown[2]) && contrast(&shown[2]) > 10);
    }

    /// Neither a jump at the seam nor one later.
    #[test]
    fn another_picture_comes_in_by_a_dissolve() {
        let checks = |dark: u8| {
            Frame::from_fn(48, 32, |x, y| {
                [if (x / 5 + y / 5) % 2 == 0 { dark } else { 230 }; 3]
            })
            .unwrap()
        };
        let given = Frame::filled(48, 32, [40; 3]).unwrap();
        let mut seams = Seams::new([(0, given.clone())].into(), 8);
        let mut shown = Vec::new();
        for place in 0..10 {
            let decoded = if place == 0 {
                given.clone()
            } else {
                checks(20)
            };
            let mut take = |_, frame: Frame| {
                shown.push(f32::from(frame.pixels()[3 * 6]));
                Ok(())
            };
            seams.push(place, decoded, &mut take).unwrap();
        }
        assert_eq!((shown[0], shown[9]), (40.0, 230.0));
        let steps: Vec<f32> = shown.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(
            steps.iter().all(|step| (0.0..=60.0).contains(step)),
            "{steps:?}"
        );
    }
}
