//! What words say of the camera beyond what the director learned: that it tilts, and how fast it moves.
//!
//! The director's paths hold pans, zooms and orbits at the speed of its training. They are stretched or shortened here, and a tilt is added;
//! subjects are moved with what is seen, so that they stay where they are in the world.

use std::f32::consts::PI;

use super::layout::{FrameLayout, View};
use super::phrases::Phrases;

/// How far a tilt goes, in smaller frame edges: a backdrop ends above and below with its frame.
const TILT: f32 = 0.28;
/// Seconds that a tilt takes.
const TILT_SECS: f32 = 4.0;
const SLOW: f32 = 0.5;
const FAST: f32 = 1.7;

const TILTS_UP: &[&str] = &[
    "tilts up",
    "tilts upwards",
    "camera looks up",
    "tilt up",
    "tilt-up",
    "tilting up",
    "镜头上摇",
    "镜头向上摇",
    "镜头上移",
];
const TILTS_DOWN: &[&str] = &[
    "tilts down",
    "tilts downwards",
    "camera looks down",
    "tilt down",
    "tilt-down",
    "tilting down",
    "镜头下摇",
    "镜头向下摇",
    "镜头下移",
];
/// "The camera slowly zooms in" is what captions say of the usual speed.
const MOVES_SLOWLY: &[&str] = &[
    "camera very slowly",
    "camera slowly pans",
    "camera slowly tilts",
    "camera slowly orbits",
    "camera slowly circles",
    "camera slowly moves",
    "slow pan",
    "slow zoom",
    "slow orbit",
    "slow tilt",
    "slow camera",
    "镜头缓缓",
    "镜头缓慢",
    "镜头慢慢",
];
const MOVES_QUICKLY: &[&str] = &[
    "camera quickly",
    "camera rapidly",
    "camera swiftly",
    "fast pan",
    "quick pan",
    "fast zoom",
    "quick zoom",
    "fast orbit",
    "fast tilt",
    "fast camera",
    "镜头快速",
    "镜头迅速",
];

/// What a prompt says of the camera.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Camera {
    /// Shift of all that is seen at the end of a tilt, in smaller frame edges.
    tilt: f32,
    /// Against the usual speed.
    speed: f32,
}

impl Camera {
    pub(super) fn said(prompt: &str) -> Self {
        let says = |words: &[&str]| {
            let mut phrases = Phrases::default();
            for word in words {
                phrases.entry(word, ());
            }
            !phrases.matches(prompt).is_empty()
        };
        Self {
            tilt: match (says(TILTS_UP), says(TILTS_DOWN)) {
                (true, false) => -TILT,
                (false, true) => TILT,
                _ => 0.0,
            },
            speed: match (says(MOVES_SLOWLY), says(MOVES_QUICKLY)) {
                (true, false) => SLOW,
                (false, true) => FAST,
                _ => 1.0,
            },
        }
    }

    /// Moves the camera of a path so. It goes on from the view before it, if there was one.
    pub(super) fn follow(
        self,
        path: &mut [FrameLayout],
        before: Option<View>,
        size: [usize; 2],
        secs_per_frame: f32,
    ) {
        let Some(begin) = before.or(path.first().map(|frame| frame.view)) else {
            return;
        };
        let is_usual = self.tilt == 0.0 && self.speed == 1.0 && begin.tilt == 0.0;
        if is_usual {
            return;
        }
        for (i, frame) in path.iter_mut().enumerate() {
            let part = (i as f32 * secs_per_frame * self.speed / TILT_SECS).min(1.0);
            // It starts and stops gently.
            let eased = 0.5 - 0.5 * (PI * part).cos();
            let scaled = |begin: f32, now: f32| begin + (now - begin) * self.speed;
            let old = frame.view;
            let view = View {
                shift: [0, 1].map(|axis| scaled(begin.shift[axis], old.shift[axis])),
                zoom: begin.zoom * (old.zoom / begin.zoom).powf(self.speed),
                orbit: scaled(begin.orbit, old.orbit),
                tilt: begin.tilt + self.tilt * eased,
            };
            frame.see_with(view, size);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mini::layout::Place;

    const SIZE: [usize; 2] = [176, 96];

    /// A camera that goes right past a subject, which stays.
    fn path() -> Vec<FrameLayout> {
        let frame = |i: usize| {
            let mut frame = FrameLayout::at_rest(1);
            let view = View {
                shift: [0.01 * i as f32, 0.0],
                zoom: 1.0 + 0.01 * i as f32,
                ..View::REST
            };
            frame.see_with(view, SIZE);
            frame
        };
        (0..48).map(frame).collect()
    }

    fn place(frame: &FrameLayout) -> Place {
        frame.places[0].unwrap()
    }

    fn follow(prompt: &str) -> Vec<FrameLayout> {
        let mut path = path();
        Camera::said(prompt).follow(&mut path, None, SIZE, 1.0 / 12.0);
        path
    }

    #[test]
    fn words_settle_speed_and_tilt() {
        assert_eq!(follow("a fox, the camera pans right"), path());
        let slow = follow("a fox, the camera slowly pans right");
        let (usual, last) = (path()[47], slow[47]);
        assert!((last.view.shift[0] - 0.5 * usual.view.shift[0]).abs() < 1e-6);
        assert!((last.view.zoom - usual.view.zoom.sqrt()).abs() < 1e-6);
        // It stays where it is in the world, so a slow camera passes by less of it.
        let moved = |frame: &FrameLayout| place(frame).center[0] - place(&path()[0]).center[0];
        assert!((moved(&last) / moved(&usual) - 0.5).abs() < 0.1);
        assert!(place(&last).sides[0] < place(&usual).sides[0]);

        let up = follow("a fox. tilt up");
        assert_eq!(up[0], path()[0]);
        assert!((up[47].view.tilt + TILT).abs() < 0.01);
        assert!(place(&up[47]).center[1] > place(&usual).center[1] + 0.2);
        assert!(place(&follow("镜头下摇")[47]).center[1] < place(&usual).center[1] - 0.2);
        assert!(
            up.windows(2)
                .all(|pair| pair[1].view.tilt <= pair[0].view.tilt)
        );
    }

    #[test]
    fn what_goes_on_stays_tilted() {
        let mut path = path();
        let before = View {
            tilt: -TILT,
            ..path[0].view
        };
        Camera::said("a fox").follow(&mut path, Some(before), SIZE, 1.0 / 12.0);
        assert!(path.iter().all(|frame| frame.view.tilt == -TILT));
        // The director told where they are without it.
        let lower = place(&path[0]).center[1] - place(&self::path()[0]).center[1];
        assert!((lower - TILT).abs() < 1e-4, "{lower}");
    }
}
