//! Seams that do not flash: made frames take over light and colour of the given ones beside them.
//!
//! A given frame that goes through the autoencoder comes back a little lighter, darker or greyer. Where the given frame is shown as
//! it is and its neighbour comes from the decoder, that difference would be seen as a flash. So it is measured where both are
//! known, and added to the frames beside the seam, less and less with the distance: its low frequencies where they are, its
//! [detail](crate::detail) where the picture has moved it.

use std::collections::{BTreeMap, VecDeque};

use kinora_media::Frame;

use crate::Error;
use crate::detail::Detail;

/// Cells of the grid on which the difference is measured, along the longer side of a frame.
const CELLS: u32 = 12;

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
                .insert(place, Difference::between(given, &decoded));
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
        let weight = |at: usize| fade(at.abs_diff(place), self.reach);
        let mut sides: Vec<(&Difference, f32)> = [before, after]
            .into_iter()
            .flatten()
            .map(|(at, difference)| (difference, weight(*at)))
            .filter(|(_, weight)| *weight > 0.0)
            .collect();
        // Between two seams that are near each other they share the frame.
        let sum: f32 = sides.iter().map(|(_, weight)| weight).sum();
        for (_, weight) in &mut sides {
            *weight /= sum.max(1.0);
        }
        let decoded = frame.clone();
        for (difference, weight) in sides {
            difference.add_to(&mut frame, &decoded, weight);
        }
        let last = before.map(|(at, _)| *at);
        self.measured.retain(|at, _| Some(*at) >= last);
        hand_over(place, frame)
    }
}

/// 1 at the seam, 0 from `reach` frames on, smooth at both ends.
fn fade(distance: usize, reach: usize) -> f32 {
    let left = 1.0 - distance as f32 / reach.max(1) as f32;
    if left <= 0.0 {
        0.0
    } else {
        left * left * (3.0 - 2.0 * left)
    }
}

/// What a given frame is more than its decoded self.
struct Difference {
    low: LowFrequencies,
    detail: Detail,
}

impl Difference {
    /// `given − decoded`, both of the same size.
    fn between(given: &Frame, decoded: &Frame) -> Self {
        let low = LowFrequencies::between(given, decoded);
        let mut corrected = decoded.clone();
        low.add_to(&mut corrected, 1.0);
        Self {
            detail: Detail::between(given, &corrected, decoded),
            low,
        }
    }

    /// Adds it, times `weight`, to a frame that was `decoded`: the detail as that shows it.
    fn add_to(&self, frame: &mut Frame, decoded: &Frame, weight: f32) {
        self.low.add_to(frame, weight);
        let more = self.detail.in_frame(decoded);
        for (value, more) in frame.pixels_mut().iter_mut().zip(more) {
            *value = (f32::from(*value) + more * weight)
                .round()
                .clamp(0.0, 255.0) as u8;
        }
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

    /// Adds it, times `weight`, bilinearly between the middles of the cells.
    fn add_to(&self, frame: &mut Frame, weight: f32) {
        let (width, height) = frame.size();
        let across = Places::new(width, self.columns);
        let down = Places::new(height, self.rows);
        let mut pixels = frame.pixels_mut().chunks_exact_mut(3);
        for (top, bottom, lower) in down.between() {
            for (left, right, further) in across.between() {
                let Some(pixel) = pixels.next() else { return };
                for (channel, value) in pixel.iter_mut().enumerate() {
                    let cell = |row: usize, column: usize| {
                        self.cells[(row * self.columns + column) * 3 + channel]
                    };
                    let upper = mix(cell(top, left), cell(top, right), further);
                    let under = mix(cell(bottom, left), cell(bottom, right), further);
                    let more = mix(upper, under, lower) * weight;
                    *value = (f32::from(*value) + more).round().clamp(0.0, 255.0) as u8;
                }
            }
        }
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
        let difference = Difference::between(&stripes, &grey(100));
        let mut frame = grey(100);
        difference.low.add_to(&mut frame, 1.0);
        assert_eq!(frame, grey(100), "stripes are no low frequency");
        difference.add_to(&mut frame, &grey(100), 1.0);
        assert_eq!(frame, stripes);
    }
}
