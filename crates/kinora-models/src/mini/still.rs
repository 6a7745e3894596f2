//! Given frames, as a camera sees them that moves on from where they were taken.
//!
//! A clip that goes on from a picture is shown that picture where otherwise subjects and places are shown: on the
//! [plate](super::plate), as the place where it is.

use super::bilinear::bilinear;
use super::layout::View;
use super::plate::Scenery;

/// What is as near as the subjects: a picture moves as one, since nothing is known of its depths.
const DEPTH: f32 = 1.0;

/// A given frame and where its camera was.
#[derive(Debug, Clone)]
pub struct Still {
    /// RGB in −1 to 1.
    pixels: Vec<[f32; 3]>,
    size: [usize; 2],
    view: View,
    /// The frame's place in the clip.
    at: usize,
}

impl Still {
    /// Frame `at` of a clip: `width · height` pixels in −1 to 1, taken with this view.
    ///
    /// # Panics
    ///
    /// If there are more or fewer pixels.
    pub fn new(pixels: Vec<[f32; 3]>, size: [usize; 2], view: View, at: usize) -> Self {
        assert_eq!(pixels.len(), size[0] * size[1], "a pixel for each place");
        Self {
            pixels,
            size,
            view,
            at,
        }
    }

    /// Adds a share of what is seen of it with another view. Beyond its borders it goes on as it ends.
    fn draw(&self, view: &View, share: f32, onto: &mut Scenery) {
        let [width, height] = self.size;
        let unit = width.min(height) as f32;
        let focus = View::focus(self.size);
        for row in 0..height {
            for column in 0..width {
                let seen = [column, row].map(|at| (at as f32 + 0.5) / unit);
                let world = view.world(seen, focus, DEPTH);
                let there = self
                    .view
                    .seen(world, focus, DEPTH)
                    .map(|at| at * unit - 0.5);
                let pixel = &mut onto[row * width + column];
                for (value, new) in pixel
                    .iter_mut()
                    .zip(bilinear(&self.pixels, self.size, there))
                {
                    *value += new * share;
                }
            }
        }
    }
}

/// Frame `at` of a clip between its given frames: the nearest before and the nearest after, the nearer the more.
///
/// # Panics
///
/// If there are no stills.
pub fn show(stills: &[Still], at: usize, view: &View) -> Scenery {
    let before = stills
        .iter()
        .filter(|still| still.at <= at)
        .max_by_key(|still| still.at);
    let after = stills
        .iter()
        .filter(|still| still.at > at)
        .min_by_key(|still| still.at);
    let any = before.or(after).expect("there are stills");
    let mut scenery = vec![[0.0; 3]; any.pixels.len()];
    match (before, after) {
        (Some(before), Some(after)) => {
            let share = (at - before.at) as f32 / (after.at - before.at) as f32;
            before.draw(view, 1.0 - share, &mut scenery);
            after.draw(view, share, &mut scenery);
        }
        _ => any.draw(view, 1.0, &mut scenery),
    }
    scenery
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: [usize; 2] = [32, 16];

    /// Red grows to the right.
    fn ramp(view: View, at: usize) -> Still {
        let pixel = |i: usize| [level(i % SIZE[0]), 0.0, -1.0];
        Still::new((0..SIZE[0] * SIZE[1]).map(pixel).collect(), SIZE, view, at)
    }

    fn red(seen: &Scenery, column: usize) -> f32 {
        seen[8 * SIZE[0] + column][0]
    }

    fn level(column: usize) -> f32 {
        column as f32 / 31.0 * 2.0 - 1.0
    }

    #[test]
    fn the_view_that_it_was_taken_with_shows_it_as_it_is() {
        let view = View {
            shift: [0.7, -0.2],
            zoom: 1.3,
            orbit: 0.4,
            tilt: -0.1,
        };
        let seen = show(&[ramp(view, 0)], 5, &view);
        for column in [0, 9, 31] {
            assert!((red(&seen, column) - level(column)).abs() < 1e-3);
        }
    }

    #[test]
    fn a_camera_that_moves_right_sees_what_was_right_of_the_middle() {
        let right = View {
            shift: [0.5, 0.0],
            ..View::REST
        };
        let seen = show(&[ramp(View::REST, 0)], 1, &right);
        assert!((red(&seen, 10) - level(18)).abs() < 1e-3);
        assert_eq!(red(&seen, 28), 1.0);
    }

    #[test]
    fn between_two_the_nearer_counts_more() {
        let black = Still::new(vec![[-1.0; 3]; SIZE[0] * SIZE[1]], SIZE, View::REST, 0);
        let white = Still::new(vec![[1.0; 3]; SIZE[0] * SIZE[1]], SIZE, View::REST, 8);
        let stills = [black, white];
        let seen = |at| show(&stills, at, &View::REST)[0];
        assert_eq!(seen(0), [-1.0; 3]);
        assert_eq!(seen(2), [-0.5; 3]);
        assert_eq!(seen(9), [1.0; 3]);
    }
}
