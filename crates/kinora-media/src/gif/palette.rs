//! The best 255 colours for a frame.
//!
//! Variance-based cuts (Wu, "Efficient statistical computations for optimal color quantization", 1991) over a histogram of 5 bits a
//! channel; then each pixel takes the nearest colour, after an ordered dither that stands still from frame to frame.

use std::collections::HashSet;

use crate::Frame;

/// The most colours of a frame: one of the 256 is left for "unchanged".
pub(super) const MAX_COLOURS: usize = 255;

/// Bits of a channel in the table of nearest colours.
const TABLE_BITS: u32 = 6;

const UNKNOWN: u16 = u16::MAX;

/// Up to 255 colours, with a table of which is nearest.
#[derive(Clone)]
pub(super) struct Palette {
    colours: Vec<[u8; 3]>,
    nearest: Vec<u16>,
    /// How far the dither moves a channel: about half the distance between neighbouring colours.
    dither: i32,
}

impl Palette {
    pub(super) fn of(frame: &Frame) -> Self {
        if let Some(colours) = few_colours(frame) {
            return Self::new(colours, 0);
        }
        Self::new(cut(histogram(frame)), 6)
    }

    fn new(colours: Vec<[u8; 3]>, dither: i32) -> Self {
        Self {
            colours,
            nearest: vec![UNKNOWN; 1 << (3 * TABLE_BITS)],
            dither,
        }
    }

    pub(super) fn colours(&self) -> &[[u8; 3]] {
        &self.colours
    }

    /// The mean squared distance between the pixels (every seventh is asked) and their colours.
    pub(super) fn error(&mut self, frame: &Frame) -> f64 {
        let (mut sum, mut count) = (0u64, 0u64);
        for pixel in frame.pixels().chunks_exact(3).step_by(7) {
            let pixel = [pixel[0], pixel[1], pixel[2]];
            let index = self.nearest(pixel);
            sum += u64::from(distance(pixel, self.colours[index as usize]));
            count += 1;
        }
        sum as f64 / count.max(1) as f64
    }

    /// The number of the colour for each pixel.
    pub(super) fn map(&mut self, frame: &Frame) -> Vec<u8> {
        /// Bayer's 4×4 matrix.
        const ORDER: [[i32; 4]; 4] = [[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]];
        let width = frame.width() as usize;
        let pixels = frame.pixels().chunks_exact(3).enumerate();
        pixels
            .map(|(at, pixel)| {
                let threshold = 2 * ORDER[at / width % 4][at % width % 4] - 15;
                let shift = threshold * self.dither / 15;
                self.nearest([0, 1, 2].map(|c| (i32::from(pixel[c]) + shift).clamp(0, 255) as u8))
            })
            .collect()
    }

    fn nearest(&mut self, colour: [u8; 3]) -> u8 {
        let cell = colour.iter().fold(0usize, |cell, &channel| {
            cell << TABLE_BITS | usize::from(channel >> (8 - TABLE_BITS))
        });
        if self.nearest[cell] == UNKNOWN {
            // A palette that has every colour must hit it exactly; otherwise the middle of the cell decides, whoever asks first.
            let middle = |channel: u8| channel >> (8 - TABLE_BITS) << (8 - TABLE_BITS) | 2;
            let asked = if self.dither == 0 {
                colour
            } else {
                colour.map(middle)
            };
            let distances = self.colours.iter().map(|&entry| distance(asked, entry));
            let best = distances.enumerate().min_by_key(|&(_, distance)| distance);
            let index = best.map_or(0, |(index, _)| index as u16);
            if self.dither == 0 {
                return index as u8;
            }
            self.nearest[cell] = index;
        }
        self.nearest[cell] as u8
    }
}

/// Squared distance, weighted roughly as the eye weighs the channels.
fn distance(a: [u8; 3], b: [u8; 3]) -> u32 {
    let squared = |channel: usize| u32::from(a[channel].abs_diff(b[channel])).pow(2);
    2 * squared(0) + 4 * squared(1) + squared(2)
}

/// All colours of the frame, if they fit.
fn few_colours(frame: &Frame) -> Option<Vec<[u8; 3]>> {
    let mut seen = HashSet::new();
    let mut colours = Vec::new();
    for pixel in frame.pixels().chunks_exact(3) {
        let colour = [pixel[0], pixel[1], pixel[2]];
        if seen.insert(colour) {
            if colours.len() == MAX_COLOURS {
                return None;
            }
            colours.push(colour);
        }
    }
    Some(colours)
}

/// The pixels that fall into one cell of the histogram.
#[derive(Clone, Copy, Default)]
struct Cell {
    count: u64,
    sum: [u64; 3],
}

impl Cell {
    fn mean(&self, channel: usize) -> f64 {
        self.sum[channel] as f64 / self.count as f64
    }
}

fn histogram(frame: &Frame) -> Vec<Cell> {
    let mut cells = vec![Cell::default(); 1 << 15];
    for pixel in frame.pixels().chunks_exact(3) {
        let at = pixel
            .iter()
            .fold(0usize, |at, &channel| at << 5 | usize::from(channel >> 3));
        cells[at].count += 1;
        for (sum, &channel) in cells[at].sum.iter_mut().zip(pixel) {
            *sum += u64::from(channel);
        }
    }
    cells.retain(|cell| cell.count > 0);
    cells
}

/// Cells that share a colour.
struct Group {
    cells: Vec<Cell>,
    /// Summed squared distance to the mean, of the channel where it is largest.
    spread: f64,
    channel: usize,
    mean: [f64; 3],
}

impl Group {
    fn new(cells: Vec<Cell>) -> Self {
        let count: u64 = cells.iter().map(|cell| cell.count).sum();
        let mean = [0, 1, 2].map(|channel| {
            let sum: u64 = cells.iter().map(|cell| cell.sum[channel]).sum();
            sum as f64 / count as f64
        });
        let weights = [2.0, 4.0, 1.0];
        let spreads = [0, 1, 2].map(|channel| {
            let squared =
                |cell: &Cell| cell.count as f64 * (cell.mean(channel) - mean[channel]).powi(2);
            weights[channel] * cells.iter().map(squared).sum::<f64>()
        });
        let channel = (0..3).fold(0, |best, next| {
            if spreads[next] > spreads[best] {
                next
            } else {
                best
            }
        });
        Self {
            spread: if cells.len() > 1 {
                spreads[channel]
            } else {
                0.0
            },
            channel,
            mean,
            cells,
        }
    }

    /// Both sides of the mean along the widest channel.
    fn split(self) -> [Self; 2] {
        let (channel, mean) = (self.channel, self.mean[self.channel]);
        let (low, high) = self
            .cells
            .into_iter()
            .partition(|cell| cell.mean(channel) <= mean);
        [Self::new(low), Self::new(high)]
    }
}

/// Cuts the group that spreads most, until there are enough.
fn cut(cells: Vec<Cell>) -> Vec<[u8; 3]> {
    let mut groups = vec![Group::new(cells)];
    while groups.len() < MAX_COLOURS {
        let widest = (0..groups.len()).fold(0, |best, next| {
            if groups[next].spread > groups[best].spread {
                next
            } else {
                best
            }
        });
        if groups[widest].spread <= 0.0 {
            break;
        }
        let [low, high] = groups.swap_remove(widest).split();
        groups.extend(
            [low, high]
                .into_iter()
                .filter(|group| !group.cells.is_empty()),
        );
    }
    groups
        .iter()
        .map(|group| group.mean.map(|channel| channel.round() as u8))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_colours_are_kept_exactly() {
        let frame = Frame::from_fn(20, 10, |x, y| [x as u8 * 12, y as u8 * 20, 7]).unwrap();
        let mut palette = Palette::of(&frame);
        assert_eq!(palette.colours().len(), 200);
        let indices = palette.map(&frame);
        let back: Vec<u8> = indices
            .iter()
            .flat_map(|&i| palette.colours()[i as usize])
            .collect();
        assert_eq!(back, frame.pixels());
    }

    #[test]
    fn many_colours_stay_near() {
        let frame = Frame::from_fn(128, 128, |x, y| {
            [(x * 2) as u8, (y * 2) as u8, (x + y) as u8]
        })
        .unwrap();
        let mut palette = Palette::of(&frame);
        assert_eq!(palette.colours().len(), MAX_COLOURS);
        let indices = palette.map(&frame);
        let squared: f64 = frame
            .pixels()
            .chunks_exact(3)
            .zip(indices)
            .flat_map(|(pixel, i)| {
                pixel
                    .iter()
                    .zip(palette.colours()[i as usize])
                    .map(|(&a, b)| f64::from(a.abs_diff(b)).powi(2))
                    .collect::<Vec<_>>()
            })
            .sum();
        let psnr = 10.0 * (255f64.powi(2) / (squared / frame.pixels().len() as f64)).log10();
        assert!(psnr > 30.0, "{psnr:.1} dB");
    }

    #[test]
    fn a_rare_colour_is_not_lost() {
        let frame = Frame::from_fn(128, 128, |x, y| match (x, y) {
            (60..64, 60..64) => [255, 0, 0],
            _ => [0, (x + y) as u8, (x * 2) as u8],
        });
        let palette = Palette::of(&frame.unwrap());
        let nearest = palette
            .colours()
            .iter()
            .map(|&colour| distance(colour, [255, 0, 0]))
            .min();
        assert!(nearest.unwrap() < 600, "{nearest:?}");
    }
}
