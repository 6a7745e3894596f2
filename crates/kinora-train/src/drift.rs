//! What adds up over the windows of a long clip: light, colours and contrast that wander, mostly towards those of the plate.
//!
//! In training all known frames of a scene agree. Beside an anchor some of them drift as sampled ones do, so that the denoiser learns from
//! which of the two to take how things look, and from which where they are. And some scenes are in a light of their own as a whole, anchor,
//! known frames and those that are to be made: a sampled clip is a little darker or paler than scenes are, and has to stay so.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// Share of the known frames beside an anchor that drift.
const DRIFTING: f64 = 0.6;
/// Farthest that colours go towards the plate's, as a share of the way.
const TOWARDS_PLATE: f32 = 0.3;
/// Farthest that colours are moved, of the 2 between black and white.
const SHIFT: f32 = 0.15;
/// Farthest that contrast falls or rises.
const CONTRAST: f32 = 0.12;
/// Share of the anchored scenes that are in a light of their own.
const LIT: f64 = 0.5;
/// How far their colours go away from the plate's at most, as a share of the way.
const AWAY_FROM_PLATE: f32 = 0.35;

/// A drift that is another at the top of a frame than at its bottom.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Drift {
    ends: [Wandered; 2],
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Wandered {
    towards_plate: f32,
    shift: [f32; 3],
    contrast: f32,
}

impl Drift {
    /// Draws that of known frames, or none.
    pub(crate) fn draw(rng: &mut ChaCha8Rng) -> Option<Self> {
        let drawn = rng.random_bool(DRIFTING);
        drawn.then(|| Self::up_to(rng, 0.0))
    }

    /// Draws a light of its own for a scene, or none.
    pub(crate) fn draw_light(rng: &mut ChaCha8Rng) -> Option<Self> {
        let drawn = rng.random_bool(LIT);
        drawn.then(|| Self::up_to(rng, AWAY_FROM_PLATE))
    }

    fn up_to(rng: &mut ChaCha8Rng, away_from_plate: f32) -> Self {
        // Mostly a little.
        let strength: f32 = rng.random::<f32>().powi(2);
        let mut wandered = || Wandered {
            towards_plate: strength * rng.random_range(-away_from_plate..=TOWARDS_PLATE),
            shift: std::array::from_fn(|_| strength * rng.random_range(-SHIFT..=SHIFT)),
            contrast: 1.0 + strength * rng.random_range(-CONTRAST..=CONTRAST),
        };
        Self {
            ends: [wandered(), wandered()],
        }
    }

    /// Lets a latent frame drift.
    ///
    /// # Shapes
    ///
    /// Both `[height, width, patch_values]` of patches with colours innermost, RGB in −1 to 1, `height` of which is `rows`.
    pub(crate) fn apply(&self, pixels: &mut [f32], plate: &[f32], rows: usize) {
        let row = pixels.len() / rows;
        let lines = pixels.chunks_mut(row).zip(plate.chunks(row));
        for (y, (pixels, plate)) in lines.enumerate() {
            let below = (y as f32 + 0.5) / rows as f32;
            let [top, bottom] = self.ends;
            let between = |top: f32, bottom: f32| top + (bottom - top) * below;
            let towards_plate = between(top.towards_plate, bottom.towards_plate);
            let contrast = between(top.contrast, bottom.contrast);
            let shift: [f32; 3] =
                std::array::from_fn(|channel| between(top.shift[channel], bottom.shift[channel]));
            for (i, (pixel, plate)) in pixels.iter_mut().zip(plate).enumerate() {
                let seen = *pixel * contrast + shift[i % 3];
                *pixel = (seen + (plate - seen) * towards_plate).clamp(-1.0, 1.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn drifts_stay_small_and_differ_from_top_to_bottom() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let drawn: Vec<Drift> = (0..200).filter_map(|_| Drift::draw(&mut rng)).collect();
        assert!((80..160).contains(&drawn.len()));
        let farthest = drawn.iter().map(|drift| {
            let mut pixels = vec![0.5; 6 * 30];
            drift.apply(&mut pixels, &[-0.5; 6 * 30], 6);
            assert_eq!(pixels[..3], pixels[27..30], "a row is all alike");
            assert_ne!(pixels[..3], pixels[150..153]);
            let moved = pixels.iter().map(|pixel| (pixel - 0.5).abs());
            moved.fold(0.0, f32::max)
        });
        let farthest = farthest.fold(0.0, f32::max);
        assert!((0.2..0.6).contains(&farthest), "{farthest}");
    }

    #[test]
    fn lights_of_scenes_go_both_ways() {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let towards = (0..200).filter_map(|_| Drift::draw_light(&mut rng));
        let towards: Vec<f32> = towards.map(|light| light.ends[0].towards_plate).collect();
        assert!((70..130).contains(&towards.len()));
        assert!(towards.iter().any(|&way| way > 0.1));
        assert!(towards.iter().any(|&way| way < -0.1));
    }
}
