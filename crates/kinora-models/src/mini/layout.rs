//! Where the named subjects are, frame by frame, and how the denoisers are told.
//!
//! A clip is made in two steps, as in layout-guided video generation (Lin et al., "VideoDirectorGPT",
//! 2023): one small denoiser, the *director*, turns the prompt into a layout, the paths of the subjects;
//! the other fills in the pixels along it. The layout comes out of flow matching like everything else.

/// Subjects of one prompt that have a place: the first ones named.
pub const SLOTS: usize = 2;
/// Values that describe one place.
const PLACE_VALUES: usize = 7;
/// Values that describe one frame.
pub const FRAME_VALUES: usize = SLOTS * PLACE_VALUES;
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
}

/// The places of the subjects in one frame; a slot without a subject is empty.
pub type Places = [Option<Place>; SLOTS];

/// Scales that bring each value to a spread of about one.
const CENTER_SCALE: [f32; 2] = [3.5, 5.0];
const TYPICAL_LOG_SIDE: f32 = -1.0;
const SIDE_SCALE: f32 = 2.5;
const STRETCH_SCALE: f32 = 4.0;
const TURN_SCALE: f32 = 1.5;
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
        }
    }
}

/// Appends the [`FRAME_VALUES`] of a frame; those of an empty slot are zero.
pub fn push_values(places: &Places, values: &mut Vec<f32>) {
    for place in places {
        values.extend(place.map_or([0.0; PLACE_VALUES], |place| place.values()));
    }
}

/// The places that [`FRAME_VALUES`] values describe, in the first `subjects` slots.
pub fn places_of(values: &[f32], subjects: usize) -> Places {
    std::array::from_fn(|slot| {
        (slot < subjects).then(|| Place::from_values(&values[slot * PLACE_VALUES..]))
    })
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
    fn values_hold_a_place() {
        let place = Place {
            center: [0.2, 1.1],
            sides: [0.5, 0.3],
            rotation: -2.0,
            is_flipped: true,
        };
        let mut values = Vec::new();
        push_values(&[None, Some(place)], &mut values);
        assert_eq!(values.len(), FRAME_VALUES);
        let [_, back] = places_of(&values, 2);
        let back = back.unwrap();
        let pairs = [
            (back.center[0], 0.2),
            (back.center[1], 1.1),
            (back.sides[0], 0.5),
            (back.sides[1], 0.3),
            (back.rotation, -2.0),
        ];
        assert!(pairs.iter().all(|(a, b)| (a - b).abs() < 1e-5), "{back:?}");
        assert!(back.is_flipped);
        assert_eq!(places_of(&values, 0), [None, None]);
    }

    #[test]
    fn wild_values_stay_places() {
        for wild in [f32::MAX, f32::MIN, 1e9] {
            let [place, _] = places_of(&[wild; FRAME_VALUES], 1);
            let place = place.unwrap();
            assert!(
                place
                    .center
                    .iter()
                    .chain(&place.sides)
                    .all(|v| v.is_finite())
            );
        }
    }
}
