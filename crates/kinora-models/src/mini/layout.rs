//! Where camera and named subjects are, frame by frame, and how the denoisers are told.
//!
//! A clip is made in two steps, as in layout-guided video generation (Lin et al., "VideoDirectorGPT",
//! 2023): one small denoiser, the *director*, turns the prompt into a layout, the paths of camera and subjects;
//! the other fills in the pixels along it. The layout comes out of flow matching like everything else.

use super::backdrop::ZOOM_HEIGHT;

/// Subjects of one prompt that have a place: the first ones named.
pub const SLOTS: usize = 2;
/// Values that describe one place; those of the first slot stand first in a frame.
pub const PLACE_VALUES: usize = 7;
/// Values that describe what the camera sees; they stand last in a frame.
pub const VIEW_VALUES: usize = 4;
/// Values that describe one frame.
pub const FRAME_VALUES: usize = SLOTS * PLACE_VALUES + VIEW_VALUES;
/// What the director is told beside the prompt: which slots are filled, and the shape of the frame.
pub const DIRECTOR_CONDITIONS: usize = SLOTS + 1;

/// Where a subject is in one frame: a square around its picture that is stretched, turned and mirrored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// Centre, from 0 to 1 across and down the frame; outside of it when the subject is.
    pub center: [f32; 2],
    /// Width and height before it is turned, in sides of the smaller frame edge.
    pub sides: [f32; 2],
    /// Turn in radians, clockwise.
    pub rotation: f32,
    /// Mirrored left to right, before it is turned.
    pub is_flipped: bool,
    /// Which picture of it is seen; the director does not settle that.
    pub frame: usize,
}

/// The places of the subjects in one frame; a slot without a subject is empty.
pub type Places = [Option<Place>; SLOTS];

/// Where the camera is, against where it rests. Lengths are in sides of the smaller frame edge.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct View {
    /// Shift to the right and down, by which subjects and what is as near as they are move.
    pub shift: [f32; 2],
    /// Magnification of what is as near as the subjects.
    pub zoom: f32,
    /// Shift of what is infinitely far, to the left, while the subjects stay.
    pub orbit: f32,
    /// Shift down of all that is seen, near and far; the director does not settle that.
    pub tilt: f32,
}

impl View {
    /// The camera at rest.
    pub const REST: Self = Self {
        shift: [0.0; 2],
        zoom: 1.0,
        orbit: 0.0,
        tilt: 0.0,
    };

    /// Where what is seen at `seen` was, for a camera at rest. At `depth` 0 it is infinitely far, at 1 as near as the
    /// subjects; what is far is magnified less.
    pub(super) fn world(&self, seen: [f32; 2], focus: [f32; 2], depth: f32) -> [f32; 2] {
        let zoom = self.zoom_at(depth);
        let shift = self.shift_at(depth);
        [0, 1].map(|axis| (seen[axis] - focus[axis]) / zoom + focus[axis] + shift[axis])
    }

    /// Where this camera sees what was at `world` for a camera at rest: the other way round than [`world`](Self::world).
    pub(super) fn seen(&self, world: [f32; 2], focus: [f32; 2], depth: f32) -> [f32; 2] {
        let zoom = self.zoom_at(depth);
        let shift = self.shift_at(depth);
        [0, 1].map(|axis| (world[axis] - shift[axis] - focus[axis]) * zoom + focus[axis])
    }

    /// The point of frames of `size` pixels that zoom leaves in place, in smaller frame edges.
    pub(super) fn focus([width, height]: [usize; 2]) -> [f32; 2] {
        let unit = width.min(height) as f32;
        [
            0.5 * width as f32 / unit,
            ZOOM_HEIGHT * height as f32 / unit,
        ]
    }

    fn zoom_at(&self, depth: f32) -> f32 {
        1.0 + (self.zoom - 1.0) * (0.35 + 0.65 * depth)
    }

    fn shift_at(&self, depth: f32) -> [f32; 2] {
        [
            self.shift[0] * depth + self.orbit * (1.0 - depth),
            self.shift[1] * depth + self.tilt,
        ]
    }

    fn values(&self) -> [f32; VIEW_VALUES] {
        [
            self.shift[0] * VIEW_SCALE[0],
            self.shift[1] * VIEW_SCALE[1],
            self.zoom.clamp(ZOOMS.0, ZOOMS.1).log2() * VIEW_SCALE[2],
            self.orbit * VIEW_SCALE[3],
        ]
    }

    fn from_values(values: &[f32]) -> Self {
        let length = |i: usize| (values[i] / VIEW_SCALE[i]).clamp(-4.0, 4.0);
        Self {
            shift: [length(0), length(1)],
            zoom: (values[2] / VIEW_SCALE[2]).exp2().clamp(ZOOMS.0, ZOOMS.1),
            orbit: length(3),
            tilt: 0.0,
        }
    }
}

/// One frame of a layout.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FrameLayout {
    /// Where the subjects are.
    pub places: Places,
    /// Where the camera is.
    pub view: View,
    /// Which frame of its clip it is, for what moves by itself; the director does not settle that.
    pub moment: usize,
}

/// Scales that bring each value to a spread of about one.
const CENTER_SCALE: [f32; 2] = [3.5, 5.0];
const TYPICAL_LOG_SIDE: f32 = -1.0;
const SIDE_SCALE: f32 = 2.5;
const STRETCH_SCALE: f32 = 4.0;
const TURN_SCALE: f32 = 1.5;
const VIEW_SCALE: [f32; VIEW_VALUES] = [4.0, 8.0, 2.5, 3.0];
/// Magnifications that a view can have.
const ZOOMS: (f32, f32) = (0.25, 8.0);
/// Sides that a place can have, in sides of the smaller frame edge.
const SIDES: (f32, f32) = (0.02, 4.0);

impl Place {
    fn values(&self) -> [f32; PLACE_VALUES] {
        let [width, height] = self.sides.map(|side| side.clamp(SIDES.0, SIDES.1));
        let (sin, cos) = self.rotation.sin_cos();
        [
            (self.center[0] - 0.5) * CENTER_SCALE[0],
            (self.center[1] - 0.5) * CENTER_SCALE[1],
            (0.5 * (width * height).log2() - TYPICAL_LOG_SIDE) * SIDE_SCALE,
            (width / height).log2() * STRETCH_SCALE,
            sin * TURN_SCALE,
            cos * TURN_SCALE,
            if self.is_flipped { 1.0 } else { -1.0 },
        ]
    }

    fn from_values(values: &[f32]) -> Self {
        let side = values[2] / SIDE_SCALE + TYPICAL_LOG_SIDE;
        let stretch = 0.5 * values[3] / STRETCH_SCALE;
        let side_of = |log: f32| log.exp2().clamp(SIDES.0, SIDES.1);
        Self {
            center: [0, 1].map(|axis| (values[axis] / CENTER_SCALE[axis] + 0.5).clamp(-4.0, 5.0)),
            sides: [side_of(side + stretch), side_of(side - stretch)],
            rotation: values[4].atan2(values[5]),
            is_flipped: values[6] > 0.0,
            frame: 0,
        }
    }
}

impl FrameLayout {
    /// With so many subjects in the middle, before a camera at rest.
    pub fn at_rest(subjects: usize) -> Self {
        let place = Place {
            center: [0.5; 2],
            sides: [1.0; 2],
            rotation: 0.0,
            is_flipped: false,
            frame: 0,
        };
        Self {
            places: std::array::from_fn(|slot| (slot < subjects).then_some(place)),
            view: View::REST,
            moment: 0,
        }
    }

    /// The same frame as another camera sees it: subjects stay where they are in the world.
    pub(super) fn see_with(&mut self, view: View, size: [usize; 2]) {
        let unit = size[0].min(size[1]) as f32;
        let units = size.map(|side| side as f32 / unit);
        let focus = View::focus(size);
        for place in self.places.iter_mut().flatten() {
            let seen = [0, 1].map(|axis| place.center[axis] * units[axis]);
            let seen = view.seen(self.view.world(seen, focus, 1.0), focus, 1.0);
            place.center = [0, 1].map(|axis| seen[axis] / units[axis]);
            place.sides = place.sides.map(|side| side * view.zoom / self.view.zoom);
        }
        self.view = view;
    }

    /// Appends its [`FRAME_VALUES`] values; those of an empty slot are zero.
    pub fn push_values(&self, values: &mut Vec<f32>) {
        for place in &self.places {
            values.extend(place.map_or([0.0; PLACE_VALUES], |place| place.values()));
        }
        values.extend(self.view.values());
    }

    /// The frame that [`FRAME_VALUES`] values describe, with subjects in the first `subjects` slots.
    pub fn from_values(values: &[f32], subjects: usize) -> Self {
        Self {
            places: std::array::from_fn(|slot| {
                (slot < subjects).then(|| Place::from_values(&values[slot * PLACE_VALUES..]))
            }),
            view: View::from_values(&values[SLOTS * PLACE_VALUES..]),
            moment: 0,
        }
    }
}

/// What the director is told of a clip with this many subjects and this shape.
pub fn director_condition(subjects: usize, size: [usize; 2]) -> [f32; DIRECTOR_CONDITIONS] {
    std::array::from_fn(|i| match i {
        SLOTS => (size[0] as f32 / size[1] as f32).log2(),
        slot => f32::from(u8::from(slot < subjects)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_hold_a_frame() {
        let place = Place {
            center: [0.2, 1.1],
            sides: [0.5, 0.3],
            rotation: -2.0,
            is_flipped: true,
            frame: 0,
        };
        let frame = FrameLayout {
            places: [None, Some(place)],
            view: View {
                shift: [-0.4, 0.02],
                zoom: 1.5,
                orbit: 0.3,
                tilt: 0.0,
            },
            moment: 0,
        };
        let mut values = Vec::new();
        frame.push_values(&mut values);
        assert_eq!(values.len(), FRAME_VALUES);
        let back = FrameLayout::from_values(&values, 2);
        let [_, there] = back.places;
        let there = there.unwrap();
        let pairs = [
            (there.center[0], 0.2),
            (there.center[1], 1.1),
            (there.sides[0], 0.5),
            (there.sides[1], 0.3),
            (there.rotation, -2.0),
            (back.view.shift[0], -0.4),
            (back.view.shift[1], 0.02),
            (back.view.zoom, 1.5),
            (back.view.orbit, 0.3),
        ];
        assert!(pairs.iter().all(|(a, b)| (a - b).abs() < 1e-5), "{back:?}");
        assert!(there.is_flipped);
        assert_eq!(FrameLayout::from_values(&values, 0).places, [None, None]);
    }

    #[test]
    fn wild_values_stay_places() {
        for wild in [f32::MAX, f32::MIN, 1e9] {
            let FrameLayout { places, view, .. } =
                FrameLayout::from_values(&[wild; FRAME_VALUES], 1);
            let place = places[0].unwrap();
            let values = place.center.iter().chain(&place.sides).chain(&view.shift);
            let mut values = values.chain([&view.zoom, &view.orbit]);
            assert!(values.all(|value| value.is_finite()), "{wild}");
        }
    }
}
