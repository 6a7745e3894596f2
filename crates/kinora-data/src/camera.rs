//! How the camera moves, and what it then sees of layers at different depths.

use crate::named::named_enum;
use crate::rng::noise_1d;

named_enum! {
    /// What the camera does.
    Camera {
        /// It stands still.
        Static = "static",
        /// It moves to the left, so the scene moves to the right.
        PanLeft = "pan-left",
        /// It moves to the right, so the scene moves to the left.
        PanRight = "pan-right",
        /// It comes nearer.
        ZoomIn = "zoom-in",
        /// It draws back.
        ZoomOut = "zoom-out",
        /// It goes round the subject: the subject stays, what is far shifts.
        Orbit = "orbit",
        /// It is held by hand and shakes a little.
        Handheld = "handheld",
    }
}

/// What the camera sees at one time. Lengths are in sides of the smaller frame edge.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct View {
    /// Shift of the camera across.
    pub x: f32,
    /// Shift of the camera down.
    pub y: f32,
    /// Magnification of what is as far as the subject.
    pub zoom: f32,
    /// Shift of what is infinitely far, to the left, while the subject stays.
    pub orbit: f32,
    /// The point that zoom leaves in place.
    pub focus: (f32, f32),
}

/// Time over which a pan or an orbit runs at even speed.
const TRAVEL_SECS: f32 = 6.0;

impl Camera {
    /// The view at `time_secs` on a frame of `width`; `amount` around 1 scales the movement.
    pub(crate) fn view(
        self,
        time_secs: f32,
        amount: f32,
        width: f32,
        focus: (f32, f32),
        seed: u64,
    ) -> View {
        let rest = View {
            x: 0.0,
            y: 0.0,
            zoom: 1.0,
            orbit: 0.0,
            focus,
        };
        let near = (-time_secs / 3.0).exp();
        match self {
            Self::Static => rest,
            Self::PanLeft => View {
                x: -travel(time_secs) * 0.21 * width * amount,
                ..rest
            },
            Self::PanRight => View {
                x: travel(time_secs) * 0.21 * width * amount,
                ..rest
            },
            Self::ZoomIn => View {
                zoom: 1.0 + 0.65 * amount * (1.0 - near),
                ..rest
            },
            Self::ZoomOut => View {
                zoom: 1.0 + 0.65 * amount * near,
                ..rest
            },
            Self::Orbit => View {
                orbit: travel(time_secs) * 0.45 * amount,
                ..rest
            },
            Self::Handheld => {
                let shake = |part: u64| {
                    noise_1d(seed ^ part, time_secs * 1.6)
                        + 0.5 * noise_1d(seed ^ part ^ 64, time_secs * 3.7)
                };
                View {
                    x: shake(1) * 0.035 * amount,
                    y: shake(2) * 0.022 * amount,
                    ..rest
                }
            }
        }
    }
}

/// From -1 to 1 at even speed over [`TRAVEL_SECS`], then slower and slower.
fn travel(time_secs: f32) -> f32 {
    let even = 2.0 / TRAVEL_SECS;
    if time_secs <= TRAVEL_SECS {
        -1.0 + even * time_secs
    } else {
        1.0 + 0.5 * (1.0 - (-(time_secs - TRAVEL_SECS) * even * 2.0).exp())
    }
}

impl View {
    /// Magnification at a depth: 1 is the subject's, 0 is infinitely far.
    pub(crate) fn zoom_at(&self, depth: f32) -> f32 {
        1.0 + (self.zoom - 1.0) * (0.35 + 0.65 * depth.min(1.0))
    }

    /// Shift across at a depth.
    pub(crate) fn shift_at(&self, depth: f32) -> f32 {
        self.x * depth + self.orbit * (1.0 - depth)
    }

    /// Where a point at the subject's depth is seen in the frame.
    pub(crate) fn project(&self, x: f32, y: f32) -> (f32, f32) {
        (
            (x - self.x - self.focus.0) * self.zoom + self.focus.0,
            (y - self.y - self.focus.1) * self.zoom + self.focus.1,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pan_to_the_right_moves_the_subject_to_the_left() {
        let at = |time| {
            Camera::PanRight
                .view(time, 1.0, 1.8, (0.9, 0.5), 3)
                .project(0.9, 0.5)
                .0
        };
        assert!(at(0.0) > at(1.0) && at(1.0) > at(5.0) && at(5.0) > at(9.0));
    }

    #[test]
    fn an_orbit_leaves_the_subject_in_place() {
        let view = Camera::Orbit.view(2.0, 1.0, 1.8, (0.9, 0.5), 3);
        assert_eq!(view.project(0.9, 0.5), (0.9, 0.5));
        assert!(view.shift_at(0.1) != 0.0);
    }

    #[test]
    fn zooms_keep_their_direction() {
        for pair in [0.0, 1.0, 2.0, 4.0, 8.0].windows(2) {
            let zoom = |camera: Camera, time| camera.view(time, 1.0, 1.0, (0.5, 0.5), 0).zoom;
            assert!(zoom(Camera::ZoomIn, pair[0]) < zoom(Camera::ZoomIn, pair[1]));
            assert!(zoom(Camera::ZoomOut, pair[0]) > zoom(Camera::ZoomOut, pair[1]));
        }
    }
}
