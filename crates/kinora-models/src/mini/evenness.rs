//! Holds the colours and the contrast of a long clip to how it began.
//!
//! Each window goes on from the one before, so what is a little too dark or too flat adds up over a minute. What is seen of a planned place
//! tells that apart from what the camera and the words change: in the first seconds it is some way beyond its plate, and that way it stays.

use super::plate::{COVERAGE, Plate};

/// Latent frames that settle how far a clip is beyond its plates: four seconds, on which eyes settle too.
const SETTLES: usize = 12;
/// Over how many latent frames what comes later is averaged: drift is slow, and what passes is not drift.
const AVERAGED: f32 = 6.0;
/// Farthest that colours are moved, of the 2 between black and white.
const FARTHEST: f32 = 0.12;
/// Farthest that contrast is raised or lowered, as a logarithm.
const MOST_CONTRAST: f32 = 0.1;
/// Deviation of colours below which nothing is told apart.
const LEAST_CONTRAST: f32 = 0.02;
/// A latent frame of which the subjects leave less than this share of the place says nothing.
const LEAST_SEEN: f32 = 0.125;

/// How far what is seen of a place is beyond its plate.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Beyond {
    /// Mean red, green and blue of what is seen, −1 to 1.
    mean: [f32; 3],
    /// How much more than the plate's that is.
    colour: [f32; 3],
    /// Logarithm of its contrast over the plate's.
    contrast: f32,
}

/// What a latent frame's pixels become: `middle + (pixel − middle) · contrast + colour`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Held {
    pub(super) middle: [f32; 3],
    pub(super) contrast: f32,
    pub(super) colour: [f32; 3],
}

/// How far a clip is beyond its plates, latent frame by latent frame.
#[derive(Debug, Clone, Default)]
pub(super) struct Evenness {
    /// Index behind the last latent frame.
    next: usize,
    /// Of those that settle it, how many were seen.
    settled: usize,
    first: Beyond,
    now: Beyond,
}

impl Evenness {
    /// What is to become of latent frame `index`, which is so far `beyond` its plate, where that is seen. A latent frame that does not come
    /// after the last one begins another clip.
    pub(super) fn hold(&mut self, index: usize, beyond: Option<Beyond>) -> Held {
        if index < self.next {
            *self = Self::default();
        }
        self.next = index + 1;
        if let Some(beyond) = beyond {
            let is_settled = self.settled >= SETTLES;
            self.settled += usize::from(!is_settled);
            let share = match is_settled {
                true => 1.0 / AVERAGED,
                false => 1.0 / self.settled as f32,
            };
            self.now = self.now.towards(&beyond, share);
            if !is_settled {
                self.first = self.now;
            }
        }
        let (first, now) = (&self.first, &self.now);
        let colour = [0, 1, 2].map(|c| first.colour[c] - now.colour[c]);
        let contrast = first.contrast - now.contrast;
        Held {
            middle: now.mean,
            contrast: contrast.clamp(-MOST_CONTRAST, MOST_CONTRAST).exp(),
            colour: colour.map(|moved| moved.clamp(-FARTHEST, FARTHEST)),
        }
    }
}

impl Beyond {
    /// What is seen in `pixels` where no subject covers the plate; `None` where little is left of the place, or nothing is to be told apart
    /// in it.
    ///
    /// # Shapes
    ///
    /// `pixels`: those of [`Plate::patches`]
    pub(super) fn of(pixels: &[f32], plate: &Plate) -> Option<Self> {
        let tokens = plate.coverage.len() / COVERAGE;
        let values = plate.patches.len() / tokens.max(1);
        let is_bare = |token: &usize| {
            let cells = &plate.coverage[token * COVERAGE..][..COVERAGE];
            cells.iter().all(|&covered| covered == 0.0)
        };
        let bare: Vec<usize> = (0..tokens).filter(is_bare).collect();
        if (bare.len() as f32) < LEAST_SEEN * tokens as f32 {
            return None;
        }
        let (seen_mean, seen_deviation) = look(pixels, &bare, values);
        let (plate_mean, plate_deviation) = look(&plate.patches, &bare, values);
        let told_apart = seen_deviation.min(plate_deviation) > LEAST_CONTRAST;
        told_apart.then(|| Self {
            mean: seen_mean,
            colour: [0, 1, 2].map(|c| seen_mean[c] - plate_mean[c]),
            contrast: (seen_deviation / plate_deviation).ln(),
        })
    }

    fn towards(&self, other: &Self, share: f32) -> Self {
        let between = |from: f32, to: f32| from + (to - from) * share;
        let all = |from: [f32; 3], to: [f32; 3]| [0, 1, 2].map(|c| between(from[c], to[c]));
        Self {
            mean: all(self.mean, other.mean),
            colour: all(self.colour, other.colour),
            contrast: between(self.contrast, other.contrast),
        }
    }
}

/// Mean colour of some tokens of `values` values, and how far their pixels are from it on the mean (root of squares, over all channels).
fn look(pixels: &[f32], tokens: &[usize], values: usize) -> ([f32; 3], f32) {
    let (mut sums, mut squares) = ([0.0_f64; 3], [0.0_f64; 3]);
    for token in tokens {
        let token = &pixels[token * values..][..values];
        for (i, &value) in token.iter().enumerate() {
            sums[i % 3] += f64::from(value);
            squares[i % 3] += f64::from(value).powi(2);
        }
    }
    let count = (tokens.len() * values / 3) as f64;
    let means = sums.map(|sum| sum / count);
    let variance: f64 = (0..3).map(|c| squares[c] / count - means[c].powi(2)).sum();
    let deviation = (variance / 3.0).max(0.0).sqrt();
    (means.map(|mean| mean as f32), deviation as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beyond(red: f32, contrast: f32) -> Option<Beyond> {
        Some(Beyond {
            mean: [0.3; 3],
            colour: [red, -0.2, 0.0],
            contrast,
        })
    }

    #[test]
    fn what_a_clip_begins_with_stays_and_what_adds_up_is_taken_off() {
        let mut evenness = Evenness::default();
        for index in 0..SETTLES {
            // A clip may be unlike its plate.
            let held = evenness.hold(index, beyond(0.1, -0.1));
            assert_eq!((held.contrast, held.colour), (1.0, [0.0; 3]));
        }
        let mut left = 0.0_f32;
        for index in SETTLES..200 {
            let drifted = 0.0003 * (index - SETTLES) as f32;
            let held = evenness.hold(index, beyond(0.1 + drifted, -0.1 - drifted));
            assert_eq!(held.colour[2], 0.0);
            assert_eq!(held.middle, [0.3; 3]);
            left = left.max((drifted + held.colour[0]).abs());
            left = left.max((held.contrast.ln() - drifted).abs());
        }
        // An average is a little late.
        assert!(left < 0.003, "{left}");
        // Nothing is seen of the place: what was known holds. And never too far.
        assert!(evenness.hold(200, None).colour[0] < -0.04);
        let far = (201..300).map(|index| evenness.hold(index, beyond(-1.0, -3.0)));
        let far = far.last().unwrap();
        assert_eq!(far.colour[0], FARTHEST);
        assert!((far.contrast.ln() - MOST_CONTRAST).abs() < 1e-6);
        // Another clip begins anew.
        assert_eq!(evenness.hold(0, beyond(0.9, 0.5)).colour, [0.0; 3]);
    }

    #[test]
    fn only_the_bare_place_is_compared() {
        let values = 4 * 4 * 3;
        let level = |i: usize| if (i / 3).is_multiple_of(2) { 0.5 } else { -0.5 };
        let mut plate = Plate {
            patches: (0..4 * values).map(level).collect(),
            coverage: vec![0.0; 4 * COVERAGE],
        };
        plate.coverage[COVERAGE] = 0.1;
        let mut pixels: Vec<f32> = plate.patches.iter().map(|value| value * 0.8).collect();
        for pixel in pixels.chunks_exact_mut(3) {
            pixel[1] += 0.25;
        }
        pixels[values..2 * values].fill(-1.0);
        let told = Beyond::of(&pixels, &plate).unwrap();
        let near = |got: f32, wanted: f32| assert!((got - wanted).abs() < 1e-4, "{got}, {wanted}");
        near(told.colour[0], 0.0);
        near(told.colour[1], 0.25);
        near(told.mean[1], 0.25);
        near(told.contrast, 0.8_f32.ln());
        plate.patches.fill(0.1);
        assert_eq!(Beyond::of(&pixels, &plate), None);
        plate.coverage.fill(1.0);
        assert_eq!(Beyond::of(&pixels, &plate), None);
    }
}
