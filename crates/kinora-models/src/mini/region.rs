//! A region of a given clip that is made anew: what the denoiser is shown in it.
//!
//! Around the region stands what is given. In it stand the subjects that the prompt names, as large as it has room for, before the place
//! that the prompt names or, where it names none, before what goes on from around it.

use super::air::Air;
use super::backdrop::Backdrop;
use super::layout::{FrameLayout, Place, SLOTS};
use super::plate::{Figure, Plate, PlateSize, Props, Scenery};
use super::styles::Finish;

/// How much of a region's width and height a subject fills at most.
const ROOM: f32 = 0.92;
/// The same, in sides of the smaller frame edge.
const LARGEST: f32 = 0.62;
/// Where a subject ends above the lower edge of its region, as a part of its height.
const STANDS: f32 = 0.04;
/// The same where the region ends with the frame, as a part of the frame's height.
const STANDS_IN_FRAME: f32 = 0.14;

/// What is behind the subjects.
#[derive(Debug)]
pub enum Ground {
    /// What goes on from around the region.
    Around,
    /// A place.
    Place(Backdrop),
}

/// Where the subjects are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// In the middle of their region, as large as it has room for.
    InRegion,
    /// Where the path leads them.
    OnPath,
}

/// What a prompt puts into the regions of a clip.
#[derive(Debug)]
pub struct Filling {
    /// What is behind the subjects.
    pub ground: Ground,
    /// Where the camera is in each frame of each latent frame, and which subjects there are; behind the last all stays.
    pub path: Vec<FrameLayout>,
    /// Where they are.
    pub standing: Standing,
    /// The subjects.
    pub figures: Vec<Figure>,
    /// What the colours of the figures are multiplied by.
    pub light: [f32; 3],
    /// What falls or drifts before them.
    pub air: Option<Air>,
    /// What all of it is finished with.
    pub finish: Option<Finish>,
}

/// A given frame.
#[derive(Debug, Clone)]
pub struct Around {
    /// RGB in −1 to 1.
    pub pixels: Scenery,
    /// Which pixels are made anew; `None` where all are, from what they show.
    pub made: Option<Vec<bool>>,
}

impl Filling {
    /// What is shown of a latent frame; `animate` settles which picture of its subjects each of its frames shows.
    pub fn plate(
        &self,
        size: PlateSize,
        (latent_frame, given): (usize, Vec<Around>),
        animate: impl Fn(usize, &mut FrameLayout),
    ) -> Plate {
        let figures: Vec<&Figure> = self.figures.iter().collect();
        let props = Props {
            backdrop: None,
            figures: &figures,
            light: self.light,
            air: self.air.as_ref(),
            finish: self.finish,
        };
        let draw = |(i, Around { mut pixels, made }): (usize, Around)| {
            let at = latent_frame * size.patch_frames + i;
            let mut layout = self.path[at.min(self.path.len() - 1)];
            animate(i, &mut layout);
            let Some(made) = made else {
                layout.places.fill(None);
                for pixel in &mut pixels {
                    for (value, light) in pixel.iter_mut().zip(self.light) {
                        *value = ((*value + 1.0) * light - 1.0).clamp(-1.0, 1.0);
                    }
                }
                let everywhere = vec![true; pixels.len()];
                return (pixels, everywhere, layout);
            };
            if self.standing == Standing::InRegion {
                self.stand(&mut layout, &made, size.frame);
            }
            match &self.ground {
                Ground::Around => go_on(&mut pixels, &made, size.frame),
                Ground::Place(place) => {
                    let place = place.draw(size.frame, &layout.view);
                    for index in (0..made.len()).filter(|&index| made[index]) {
                        pixels[index] = place[index];
                    }
                }
            }
            (pixels, made, layout)
        };
        let frames = given.into_iter().enumerate().map(draw).collect();
        Plate::of_regions(size, props, frames)
    }

    /// Puts the subjects where there is room for them.
    fn stand(&self, layout: &mut FrameLayout, made: &[bool], size: [usize; 2]) {
        let surrounds = |corners: &Corners| corners.is_all(size) && made.contains(&false);
        let corners = Corners::of(made, size).filter(|corners| !surrounds(corners));
        let parts = self.figures.len().min(SLOTS);
        for (slot, place) in layout.places.iter_mut().enumerate() {
            *place = match (corners, self.figures.get(slot), *place) {
                (Some(corners), Some(figure), Some(Place { frame, .. })) => {
                    Some(corners.part(slot, parts).place(figure, frame, size))
                }
                _ => None,
            };
        }
    }
}

/// The pixels that a region lies between.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Corners {
    left: usize,
    top: usize,
    /// One behind the last.
    right: usize,
    bottom: usize,
}

impl Corners {
    /// `None` where nothing is made.
    fn of(made: &[bool], [width, _]: [usize; 2]) -> Option<Self> {
        let mut corners: Option<Self> = None;
        for (index, _) in made.iter().enumerate().filter(|(_, made)| **made) {
            let (x, y) = (index % width, index / width);
            let here = corners.get_or_insert(Self {
                left: x,
                top: y,
                right: x + 1,
                bottom: y + 1,
            });
            here.left = here.left.min(x);
            here.right = here.right.max(x + 1);
            here.bottom = y + 1;
        }
        corners
    }

    /// Whether it ends with the frame on every side. If something is left out, it is what is around that, and no place for a subject.
    fn is_all(&self, [width, height]: [usize; 2]) -> bool {
        self.left == 0 && self.top == 0 && self.right == width && self.bottom == height
    }

    /// One of `parts` beside one another.
    fn part(self, index: usize, parts: usize) -> Self {
        let width = self.right - self.left;
        Self {
            left: self.left + width * index / parts,
            right: self.left + width * (index + 1) / parts,
            ..self
        }
    }

    /// The place at which what is seen of a figure fits into it and stands on its ground.
    fn place(self, figure: &Figure, frame: usize, size: [usize; 2]) -> Place {
        let [width, height] = size.map(|side| side as f32);
        let unit = width.min(height);
        let [left, top, right, bottom] = figure.bounds();
        let (seen_width, seen_height) = (right - left, bottom - top);
        let (room_width, room_height) = (
            (self.right - self.left) as f32,
            (self.bottom - self.top) as f32,
        );
        let side = (ROOM * room_width / seen_width)
            .min(ROOM * room_height / seen_height)
            .min(LARGEST * unit / seen_width.max(seen_height));
        let free = room_height - side * seen_height;
        let ends_with_frame = self.bottom as f32 >= height;
        let above = match ends_with_frame {
            true => STANDS_IN_FRAME * height,
            false => STANDS * room_height,
        };
        let lowest = self.bottom as f32 - above.min(0.5 * free);
        let middle = 0.5 * (self.left + self.right) as f32;
        let center = [
            middle - side * (0.5 * (left + right) - 0.5),
            lowest - side * (bottom - 0.5),
        ];
        Place {
            center: [center[0] / width, center[1] / height],
            sides: [side / unit; 2],
            rotation: 0.0,
            is_flipped: false,
            frame,
        }
    }
}

/// Lets what is around a region go on in it. A place changes from top to bottom more than from left to right, so each row has a colour of its
/// own: the median of what is seen of it, whatever else stands there. Where nothing is seen of a row, the nearest rows go on; where nothing
/// is seen at all there is grey.
fn go_on(pixels: &mut Scenery, made: &[bool], [width, height]: [usize; 2]) {
    let median = |row: usize, channel: usize| {
        let seen = (row * width..(row + 1) * width).filter(|&index| !made[index]);
        let mut values: Vec<f32> = seen.map(|index| pixels[index][channel]).collect();
        let middle = values.len() / 2;
        (!values.is_empty()).then(|| *values.select_nth_unstable_by(middle, f32::total_cmp).1)
    };
    let seen: Vec<(usize, [f32; 3])> = (0..height)
        .filter_map(|row| Some((row, [median(row, 0)?, median(row, 1)?, median(row, 2)?])))
        .collect();
    for row in 0..height {
        let after = seen.partition_point(|(seen, _)| *seen < row);
        let colour = match (after.checked_sub(1).map(|i| seen[i]), seen.get(after)) {
            (_, Some(&(there, colour))) if there == row => colour,
            (Some((above, upper)), Some(&(below, lower))) => {
                let part = (row - above) as f32 / (below - above) as f32;
                [0, 1, 2].map(|c| upper[c] + (lower[c] - upper[c]) * part)
            }
            (Some((_, colour)), None) | (None, Some(&(_, colour))) => colour,
            (None, None) => [0.0; 3],
        };
        for index in (row * width..(row + 1) * width).filter(|&index| made[index]) {
            pixels[index] = colour;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mini::lexicon::PICTURE_SIZE;
    use crate::mini::plate::COVERAGE;

    const FRAME: [usize; 2] = [64, 32];
    const SIZE: PlateSize = PlateSize {
        frame: FRAME,
        patch: 16,
        patch_frames: 2,
    };

    fn region(columns: std::ops::Range<usize>, rows: std::ops::Range<usize>) -> Vec<bool> {
        let is_made =
            |i: usize| columns.contains(&(i % FRAME[0])) && rows.contains(&(i / FRAME[0]));
        (0..FRAME[0] * FRAME[1]).map(is_made).collect()
    }

    /// A horizon: bright above, dark below.
    fn land() -> Scenery {
        let row = |i: usize| i / FRAME[0];
        let level = |i: usize| if row(i) < 12 { 0.5 } else { -0.5 };
        (0..FRAME[0] * FRAME[1]).map(|i| [level(i); 3]).collect()
    }

    #[test]
    fn a_horizon_goes_on_through_a_region() {
        let made = region(20..40, 4..28);
        let mut pixels = land();
        for (pixel, _) in pixels.iter_mut().zip(&made).filter(|(_, made)| **made) {
            *pixel = [f32::NAN; 3];
        }
        go_on(&mut pixels, &made, FRAME);
        for (got, expected) in pixels.iter().zip(land()) {
            assert!((got[0] - expected[0]).abs() < 1e-5);
        }
        // Rows that show nothing see what is above and below; without anything there is grey.
        let mut pixels = land();
        go_on(&mut pixels, &region(0..64, 20..32), FRAME);
        assert!(
            pixels
                .iter()
                .all(|pixel| (-0.51..=0.51).contains(&pixel[1]))
        );
        assert_eq!(pixels[31 * 64], [-0.5; 3]);
        go_on(&mut pixels, &region(0..64, 0..32), FRAME);
        assert!(pixels.iter().all(|pixel| *pixel == [0.0; 3]));
    }

    #[test]
    fn subjects_stand_in_the_region_and_nothing_else_changes() {
        // Red in the middle half of its picture.
        let seen = PICTURE_SIZE / 4..3 * PICTURE_SIZE / 4;
        let pixel = |i: usize| match seen.contains(&(i % PICTURE_SIZE))
            && seen.contains(&(i / PICTURE_SIZE))
        {
            true => [255, 0, 0, 255],
            false => [0; 4],
        };
        let picture: Vec<u8> = (0..PICTURE_SIZE * PICTURE_SIZE).flat_map(pixel).collect();
        let filling = Filling {
            ground: Ground::Around,
            path: vec![FrameLayout::at_rest(1)],
            standing: Standing::InRegion,
            figures: vec![Figure::new([picture.as_slice()])],
            light: [1.0; 3],
            air: None,
            finish: None,
        };
        let frame = |made: &Vec<bool>| Around {
            pixels: land(),
            made: Some(made.clone()),
        };
        let show = |made: Vec<bool>| {
            let given = vec![frame(&made), frame(&made)];
            filling.plate(SIZE, (0, given), |_, _| {})
        };
        // The second patch of the upper row.
        let plate = show(region(16..32, 0..16));
        let values = 2 * 16 * 16 * 3;
        let covered = |plate: &Plate, patch: usize| {
            plate.coverage[patch * COVERAGE..][..COVERAGE]
                .iter()
                .sum::<f32>()
                / COVERAGE as f32
        };
        assert!(covered(&plate, 1) > 0.6);
        assert!(
            (0..8)
                .filter(|patch| *patch != 1)
                .all(|patch| covered(&plate, patch) == 0.0)
        );
        let middle = &plate.patches[values + (9 * 16 + 8) * 3..][..3];
        assert_eq!(middle, [1.0, -1.0, -1.0]);
        assert_eq!(plate.patches[..3], [0.5; 3]);
        // What is around something is no place for a subject; all of a frame is.
        let mut around = region(0..64, 0..32);
        let plate = show(around.clone());
        assert!((0..8).any(|patch| covered(&plate, patch) > 0.0));
        around[16 * 64 + 32] = false;
        let plate = show(around);
        assert!((0..8).all(|patch| covered(&plate, patch) == 0.0));
    }
}
