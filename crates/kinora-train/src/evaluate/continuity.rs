//! How well frames go on from one another, in figures.

use kinora_media::Frame;
use kinora_models::mini::plate::Plate;
use serde::{Deserialize, Serialize};

/// Best ratio that is told, in dB: beyond it frames are the same.
const BEST_DB: f64 = 99.0;
/// Least movement that a jump is compared with, in levels of 255: a still scene has none.
const LEAST_MOVEMENT: f64 = 0.5;

/// Peak signal-to-noise ratio `10 · log₁₀(255² / mean squared difference)` of two frames of one size, in dB, at most 99.
pub fn psnr_db(a: &Frame, b: &Frame) -> f64 {
    psnr_db_where(a, b, |_| true).unwrap_or(BEST_DB)
}

/// The same of the pixels whose index `counts`; `None` of none.
pub(super) fn psnr_db_where(a: &Frame, b: &Frame, counts: impl Fn(usize) -> bool) -> Option<f64> {
    let pairs = a.pixels().iter().zip(b.pixels()).enumerate();
    let squared = pairs
        .filter(|(i, _)| counts(i / 3))
        .map(|(_, (&a, &b))| (f64::from(a) - f64::from(b)).powi(2));
    let mean = mean(squared)?;
    Some((10.0 * (255.0f64.powi(2) / mean).log10()).min(BEST_DB))
}

/// How much more a frame changes from pixel to pixel where a region begins than elsewhere: the mean difference of neighbours across its
/// border, over that of all other neighbours. `None` where it has no border.
pub(super) fn border_jump(frame: &Frame, region: &[bool]) -> Option<f64> {
    let (width, height) = (frame.width() as usize, frame.height() as usize);
    let across = (0..width * height).filter(|i| (i + 1) % width != 0);
    let across = across.map(|i| (i, i + 1));
    let down = (0..width * (height - 1)).map(|i| (i, i + width));
    let (border, elsewhere): (Vec<_>, Vec<_>) = across
        .chain(down)
        .partition(|&(a, b)| region[a] != region[b]);
    let step = |pairs: Vec<(usize, usize)>| {
        let pixel = |i: usize| &frame.pixels()[i * 3..][..3];
        let steps = pairs.into_iter().flat_map(|(a, b)| {
            let channels = pixel(a).iter().zip(pixel(b));
            channels.map(|(&a, &b)| f64::from(a.abs_diff(b)))
        });
        mean(steps)
    };
    Some(step(border)? / step(elsewhere)?.max(LEAST_MOVEMENT))
}

/// How much more a clip changes at its seams than elsewhere: the mean difference of the two frames at each place in `seams`
/// (the first is at `seam − 1`), over the median of all other neighbours. 1 is a seam that nobody sees.
///
/// `None` where there is no seam, or nothing but seams.
pub fn seam_jump(frames: &[Frame], seams: &[usize]) -> Option<f64> {
    let steps: Vec<f64> = frames
        .windows(2)
        .map(|pair| difference(&pair[0], &pair[1]))
        .collect();
    let (at, elsewhere): (Vec<_>, Vec<_>) = steps
        .into_iter()
        .enumerate()
        .partition(|(i, _)| seams.contains(&(i + 1)));
    let usual = median(elsewhere.into_iter().map(|(_, step)| step).collect())?;
    let seam = mean(at.into_iter().map(|(_, step)| step))?;
    Some(seam / usual.max(LEAST_MOVEMENT))
}

/// How far a clip has drifted from its first frames to its last.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// Length of the clip.
    pub seconds: f64,
    /// Largest change of the mean of red, green or blue, in levels of 255.
    pub colour: f64,
    /// The same as a part of that mean in the first frames.
    #[serde(default)]
    pub colour_share: f64,
    /// Contrast (deviation of luma) of the last frames as a part of that of the first.
    pub contrast: f64,
    /// What is left of both when the changes of what was planned to be seen are taken off.
    #[serde(default)]
    pub unplanned: Option<Unplanned>,
}

/// Drift of a clip beyond that of its plates: a camera that turns from sand to sea changes colours, and a subject that comes nearer changes
/// contrast, without any fault of the denoiser.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Unplanned {
    /// As [`Drift::colour_share`], of the changes that the plates do not show.
    pub colour_share: f64,
    /// [`Drift::contrast`] over the same of the plates.
    pub contrast: f64,
}

impl Drift {
    /// From `first` to `last` frames of a clip of `seconds`. `None` where either is empty.
    pub fn between(first: &[Frame], last: &[Frame], seconds: f64) -> Option<Self> {
        Some(Self::of([Look::of(first)?, Look::of(last)?], None, seconds))
    }

    /// From a first look to a last one, and beyond that of what was `planned`.
    pub(super) fn of([from, to]: [Look; 2], planned: Option<[Look; 2]>, seconds: f64) -> Self {
        let (colour, colour_share) = from.change(&to, [0.0; 3]);
        let unplanned = planned.map(|[planned_from, planned_to]| {
            let channel = |c: usize| planned_to.mean[c] - planned_from.mean[c];
            let (_, colour_share) = from.change(&to, [channel(0), channel(1), channel(2)]);
            Unplanned {
                colour_share: rounded(colour_share),
                contrast: rounded(from.contrast_of(&to) / planned_from.contrast_of(&planned_to)),
            }
        });
        Self {
            seconds,
            colour: rounded(colour),
            colour_share: rounded(colour_share),
            contrast: rounded(from.contrast_of(&to)),
            unplanned,
        }
    }

    /// Of clips of the same length: what moves in one of them evens out. `None` of none.
    pub fn mean_of(clips: &[Self]) -> Option<Self> {
        let over = |value: fn(&Self) -> f64| mean(clips.iter().map(value)).map(rounded);
        Some(Self {
            seconds: clips.first()?.seconds,
            colour: over(|drift| drift.colour)?,
            colour_share: over(|drift| drift.colour_share)?,
            contrast: over(|drift| drift.contrast)?,
            unplanned: Unplanned::mean_of(clips),
        })
    }
}

impl Unplanned {
    /// `None` where any clip has none.
    fn mean_of(clips: &[Drift]) -> Option<Self> {
        let all: Option<Vec<Self>> = clips.iter().map(|drift| drift.unplanned).collect();
        let all = all?;
        let over = |value: fn(&Self) -> f64| mean(all.iter().map(value)).map(rounded);
        Some(Self {
            colour_share: over(|unplanned| unplanned.colour_share)?,
            contrast: over(|unplanned| unplanned.contrast)?,
        })
    }
}

/// Mean colour and contrast of some frames.
pub(super) struct Look {
    mean: [f64; 3],
    contrast: f64,
}

impl Look {
    /// `None` of no frames.
    pub(super) fn of(frames: &[Frame]) -> Option<Self> {
        let pixels = frames
            .iter()
            .flat_map(|frame| frame.pixels().chunks_exact(3));
        Self::of_pixels(pixels.map(|pixel| [0, 1, 2].map(|c| f64::from(pixel[c]))))
    }

    /// `None` of no plate.
    pub(super) fn of_plate(plate: &Plate) -> Option<Self> {
        let level = |value: f32| f64::from((value.clamp(-1.0, 1.0) + 1.0) * 127.5);
        let pixels = plate.patches.chunks_exact(3);
        Self::of_pixels(pixels.map(|pixel| [0, 1, 2].map(|c| level(pixel[c]))))
    }

    /// The largest change of a mean but for those that were `expected`, in levels and as a part of what it was.
    fn change(&self, to: &Self, expected: [f64; 3]) -> (f64, f64) {
        let changes = [0, 1, 2].map(|c| {
            let change = (to.mean[c] - self.mean[c] - expected[c]).abs();
            (change, change / self.mean[c].max(1.0))
        });
        changes.iter().fold((0.0, 0.0), |most: (f64, f64), change| {
            (most.0.max(change.0), most.1.max(change.1))
        })
    }

    fn contrast_of(&self, to: &Self) -> f64 {
        to.contrast / self.contrast.max(f64::EPSILON)
    }

    fn of_pixels(pixels: impl Iterator<Item = [f64; 3]> + Clone) -> Option<Self> {
        let pixels = || pixels.clone();
        let channel = |c: usize| mean(pixels().map(move |pixel| pixel[c]));
        let luma = |pixel: [f64; 3]| 0.2126 * pixel[0] + 0.7152 * pixel[1] + 0.0722 * pixel[2];
        let middle = mean(pixels().map(luma))?;
        let variance = mean(pixels().map(|pixel| (luma(pixel) - middle).powi(2)))?;
        Some(Self {
            mean: [channel(0)?, channel(1)?, channel(2)?],
            contrast: variance.sqrt(),
        })
    }
}

/// Mean difference of two frames in levels of 255.
fn difference(a: &Frame, b: &Frame) -> f64 {
    let pairs = a.pixels().iter().zip(b.pixels());
    mean(pairs.map(|(&a, &b)| f64::from(a.abs_diff(b)))).unwrap_or(0.0)
}

pub(super) fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

/// A figure as it is told: to a thousandth.
pub(super) fn rounded(figure: f64) -> f64 {
    (figure * 1e3).round() / 1e3
}

pub(super) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(level: u8) -> Frame {
        Frame::filled(8, 8, [level; 3]).unwrap()
    }

    #[test]
    fn the_ratio_is_that_of_the_formula() {
        assert_eq!(psnr_db(&grey(9), &grey(9)), BEST_DB);
        assert!((psnr_db(&grey(0), &grey(255))).abs() < 1e-9);
        // 20 · log₁₀(255 / 5)
        assert!((psnr_db(&grey(100), &grey(105)) - 34.151).abs() < 1e-3);
    }

    #[test]
    fn a_region_is_measured_within_and_at_its_border() {
        let level = |x: u32, _| {
            [if x < 4 {
                10 * x as u8
            } else {
                100 + 10 * x as u8
            }; 3]
        };
        let frame = Frame::from_fn(8, 8, level).unwrap();
        let right: Vec<bool> = (0..64).map(|i| i % 8 >= 4).collect();
        // 110 across the border; 10 at the six others of a row, nothing down the columns.
        let jump = border_jump(&frame, &right).unwrap();
        let elsewhere = 10.0 * 48.0 / (48.0 + 56.0);
        assert!((jump - 110.0 / elsewhere).abs() < 1e-9);
        assert_eq!(border_jump(&frame, &[true; 64]), None);
        let left = |pixel: usize| !right[pixel];
        let brighter = Frame::from_fn(8, 8, |x, y| level(x, y).map(|v| v + 5)).unwrap();
        assert!((psnr_db_where(&frame, &brighter, left).unwrap() - 34.151).abs() < 1e-3);
        assert_eq!(psnr_db_where(&frame, &brighter, |_| false), None);
    }

    #[test]
    fn a_seam_is_compared_with_what_moves_elsewhere() {
        let steady: Vec<Frame> = (0..8).map(|i| grey(10 * i)).collect();
        assert_eq!(seam_jump(&steady, &[3]), Some(1.0));
        let mut jumps = steady.clone();
        jumps[4..]
            .iter_mut()
            .for_each(|frame| *frame = grey(frame.pixels()[0] + 30));
        assert_eq!(seam_jump(&jumps, &[4]), Some(4.0));
        assert_eq!(seam_jump(&jumps, &[4, 6]), Some(2.5));
        // A still scene moves by less than is noticed.
        assert_eq!(
            seam_jump(&[grey(7), grey(7), grey(8), grey(8)], &[2]),
            Some(2.0)
        );
        assert_eq!(seam_jump(&steady, &[]), None);
        assert_eq!(seam_jump(&steady[..2], &[1]), None);
    }

    #[test]
    fn drift_is_told_by_colour_and_contrast() {
        let checks = |low: u8, high: u8| {
            Frame::from_fn(8, 8, |x, y| [if (x + y) % 2 == 0 { low } else { high }; 3]).unwrap()
        };
        let drift = Drift::between(&[checks(50, 150)], &[checks(90, 140)], 60.0).unwrap();
        assert!((drift.colour_share - 0.15).abs() < 1e-9);
        assert!((drift.colour - 15.0).abs() < 1e-9 && (drift.contrast - 0.5).abs() < 1e-9);
        assert_eq!(Drift::between(&[], &[grey(1)], 1.0), None);
        // As planned, but for a tenth of the contrast.
        let plate = |low: f32, high: f32| Plate {
            patches: [[low; 3], [high; 3]].as_flattened().to_vec(),
            ..Plate::default()
        };
        let look = |low: u8, high: u8| Look::of(&[checks(low, high)]).unwrap();
        let planned =
            [(0.0, 0.5), (0.2, 0.6)].map(|(low, high)| Look::of_plate(&plate(low, high)).unwrap());
        let unplanned = Drift::of([look(100, 120), look(110, 128)], Some(planned), 1.0).unplanned;
        let unplanned = unplanned.unwrap();
        // The plates become lighter by 0.15 of 127.5 levels.
        assert!((unplanned.colour_share - (19.125 - 9.0) / 110.0).abs() < 1e-3);
        assert!((unplanned.contrast - 0.9 / 0.8).abs() < 1e-3);
        let back = Drift {
            contrast: 1.5,
            ..drift
        };
        assert_eq!(Drift::mean_of(&[drift, back]).unwrap().contrast, 1.0);
        assert_eq!(Drift::mean_of(&[]), None);
    }
}
