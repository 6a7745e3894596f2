//! The plate: pictures of the named subjects drawn at their places before the named place, or before grey,
//! which the denoiser sees beside the latents.
//!
//! It says what is where, in the named light and weather; shadow, reflection, style and motion of what is around the subjects is the
//! denoiser's. Spatially aligned references are what Paint-by-Example and AnyDoor
//! (Chen et al., 2023) give their networks.

use std::rc::Rc;

use super::air::Air;
use super::backdrop::Backdrop;
use super::layout::{FrameLayout, Place, Places, View};
use super::lexicon::PICTURE_SIZE;
use super::styles::Finish;

/// Cells in each direction of a patch whose coverage the denoiser is told.
const CELLS: usize = 4;
/// Coverage values of each patch.
pub const COVERAGE: usize = CELLS * CELLS;
/// Halvings of a picture, so that small ones do not flicker.
const LEVELS: usize = 4;

/// A picture and its halves, premultiplied RGBA.
#[derive(Debug, Clone)]
pub struct Picture {
    levels: Vec<Vec<[f32; 4]>>,
}

impl Picture {
    /// From [`PICTURE_SIZE`]² pixels of premultiplied RGBA.
    pub fn new(rgba: &[u8]) -> Self {
        let first = rgba
            .chunks_exact(4)
            .map(|p| [0, 1, 2, 3].map(|channel| f32::from(p[channel]) / 255.0));
        let mut levels: Vec<Vec<[f32; 4]>> = vec![first.collect()];
        let mut side = PICTURE_SIZE;
        while levels.len() < LEVELS {
            let finer = &levels[levels.len() - 1];
            let mean = |i: usize| {
                let corner = i / (side / 2) * 2 * side + i % (side / 2) * 2;
                let four = [corner, corner + 1, corner + side, corner + side + 1];
                [0, 1, 2, 3]
                    .map(|channel| 0.25 * four.iter().map(|&at| finer[at][channel]).sum::<f32>())
            };
            let halved = (0..side * side / 4).map(mean).collect();
            levels.push(halved);
            side /= 2;
        }
        Self { levels }
    }

    /// The halving that suits a picture of `side` pixels on the frame.
    fn level_for(&self, side: f32) -> usize {
        let exact = (PICTURE_SIZE as f32 / side.max(1.0)).log2();
        (exact.round().max(0.0) as usize).min(LEVELS - 1)
    }

    /// Linear sample at `u` across and `v` down, 0 to 1; transparent outside.
    fn sample(&self, level: usize, u: f32, v: f32) -> [f32; 4] {
        let side = PICTURE_SIZE >> level;
        let (x, y) = (u * side as f32 - 0.5, v * side as f32 - 0.5);
        let (left, top) = (x.floor(), y.floor());
        let (part_x, part_y) = (x - left, y - top);
        let mut sum = [0.0; 4];
        for (dy, wy) in [(0, 1.0 - part_y), (1, part_y)] {
            for (dx, wx) in [(0, 1.0 - part_x), (1, part_x)] {
                let (column, row) = (left as i32 + dx, top as i32 + dy);
                let inside = 0..side as i32;
                if inside.contains(&column) && inside.contains(&row) {
                    let pixel = self.levels[level][row as usize * side + column as usize];
                    for (sum, value) in sum.iter_mut().zip(pixel) {
                        *sum += value * wx * wy;
                    }
                }
            }
        }
        sum
    }
}

/// A subject: the pictures of its animation, a loop.
#[derive(Debug, Clone)]
pub struct Figure(Vec<Picture>);

impl Figure {
    /// From pictures as [`Picture::new`] takes them.
    ///
    /// # Panics
    ///
    /// If there are none.
    pub fn new<'a>(pictures: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let pictures: Vec<Picture> = pictures.into_iter().map(Picture::new).collect();
        assert!(!pictures.is_empty(), "at least one picture");
        Self(pictures)
    }

    fn at(&self, frame: usize) -> &Picture {
        &self.0[frame % self.0.len()]
    }

    /// How many pictures its animation has.
    pub(super) fn pictures(&self) -> usize {
        self.0.len()
    }

    /// One of its pictures at a point from 0 to 1 across and down, as it is seen `side` pixels large: premultiplied RGBA.
    pub(super) fn seen(&self, frame: usize, [u, v]: [f32; 2], side: usize) -> [f32; 4] {
        let picture = self.at(frame);
        picture.sample(picture.level_for(side as f32), u, v)
    }

    /// How much of each pixel of a frame figures cover at their places.
    pub(super) fn cover(figures: &[&Self], places: &[Place], size: [usize; 2]) -> Vec<f32> {
        let mut pixels = vec![[0.0; 4]; size[0] * size[1]];
        for (figure, place) in figures.iter().zip(places) {
            draw(&mut pixels, size, figure.at(place.frame), place);
        }
        pixels.into_iter().map(|[.., alpha]| alpha).collect()
    }

    /// Left, top, right and bottom of what is seen of all its pictures, from 0 to 1.
    pub(super) fn bounds(&self) -> [f32; 4] {
        let [mut left, mut top, mut right, mut bottom] = [PICTURE_SIZE, PICTURE_SIZE, 0, 0];
        for picture in &self.0 {
            let pixels = picture.levels[0].iter().enumerate();
            for (index, _) in pixels.filter(|(_, pixel)| pixel[3] > 0.5) {
                let (x, y) = (index % PICTURE_SIZE, index / PICTURE_SIZE);
                (left, top) = (left.min(x), top.min(y));
                (right, bottom) = (right.max(x + 1), bottom.max(y + 1));
            }
        }
        match left < right {
            true => [left, top, right, bottom].map(|at| at as f32 / PICTURE_SIZE as f32),
            false => [0.0, 0.0, 1.0, 1.0],
        }
    }
}

/// Pixels and coverage of latent frames, patch by patch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plate {
    /// RGB in −1 to 1, `[latent_frames, height, width, patch_frames · patch² · 3]`.
    pub patches: Vec<f32>,
    /// How much of each cell the subjects cover, `[latent_frames, height, width, COVERAGE]`.
    pub coverage: Vec<f32>,
}

/// Sizes of a plate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlateSize {
    /// Pixels of a frame, `[width, height]`.
    pub frame: [usize; 2],
    /// Pixels of a patch in each direction.
    pub patch: usize,
    /// Frames of a patch.
    pub patch_frames: usize,
}

/// What stands behind and before.
#[derive(Debug, Clone, Copy)]
pub struct Props<'a> {
    /// Grey where there is none.
    pub backdrop: Option<&'a Backdrop>,
    /// Of each slot.
    pub figures: &'a [&'a Figure],
    /// What the colours of the figures are multiplied by.
    pub light: [f32; 3],
    /// What falls or drifts before all of it, in frames of the plate's size.
    pub air: Option<&'a Air>,
    /// What all of it is finished with.
    pub finish: Option<Finish>,
}

/// A frame without subjects: RGB in −1 to 1, row by row.
pub type Scenery = Vec<[f32; 3]>;

/// Subjects in premultiplied RGBA, 0 to 1.
type Subjects = Vec<[f32; 4]>;

/// A drawn frame; frames that show the same share it.
#[derive(Clone)]
struct Drawn {
    /// All that is seen.
    seen: Rc<Scenery>,
    /// What of it is subjects.
    subjects: Rc<Subjects>,
}

impl Plate {
    /// Adds the latent frames of another of the same size behind these.
    pub fn append(&mut self, mut other: Self) {
        self.patches.append(&mut other.patches);
        self.coverage.append(&mut other.coverage);
    }

    /// Draws `frames`, a whole number of patches of them.
    ///
    /// # Panics
    ///
    /// If a slot with a place has no figure.
    pub fn draw(size: PlateSize, props: Props<'_>, frames: &[FrameLayout]) -> Self {
        let mut plate = Self::default();
        let mut behind: Option<(View, Scenery)> = None;
        let mut subjects: Option<(Places, Rc<Subjects>)> = None;
        let mut last: Option<(FrameLayout, Drawn)> = None;
        for patch in frames.chunks_exact(size.patch_frames) {
            let mut drawn: Vec<Drawn> = Vec::with_capacity(size.patch_frames);
            for &layout in patch {
                // Where nothing moves, the same is seen again and again.
                let same = |other: &FrameLayout| match props.air {
                    Some(_) => *other == layout,
                    None => (other.view, other.places) == (layout.view, layout.places),
                };
                if let Some((_, seen)) = last.as_ref().filter(|(other, _)| same(other)) {
                    drawn.push(seen.clone());
                    continue;
                }
                if let Some(backdrop) = props.backdrop
                    && behind.as_ref().is_none_or(|(view, _)| *view != layout.view)
                {
                    behind = Some((layout.view, backdrop.draw(size.frame, &layout.view)));
                }
                let (_, placed) = match subjects.take() {
                    Some(same) if same.0 == layout.places => subjects.insert(same),
                    _ => {
                        let placed = frame(size.frame, props, &layout.places);
                        subjects.insert((layout.places, Rc::new(placed)))
                    }
                };
                let air = props.air.map(|air| air.at(layout.moment));
                // Grey is zero.
                let mut seen = match &behind {
                    Some((_, seen)) => seen.clone(),
                    None => vec![[0.0; 3]; placed.len()],
                };
                for (index, (pixel, &subject)) in seen.iter_mut().zip(placed.iter()).enumerate() {
                    *pixel = over(subject, *pixel);
                    if let Some(air) = air {
                        *pixel = over(premultiplied(air, index), *pixel);
                    }
                }
                if let Some(finish) = props.finish {
                    seen = finish.over(&seen, size.frame);
                }
                let seen = Drawn {
                    seen: Rc::new(seen),
                    subjects: Rc::clone(placed),
                };
                last = Some((layout, seen.clone()));
                drawn.push(seen);
            }
            plate.push(size, &drawn);
        }
        plate
    }

    /// Draws subjects, air and style in regions of given frames, a whole number of patches of them; outside nothing changes.
    pub(super) fn of_regions(
        size: PlateSize,
        props: Props<'_>,
        frames: Vec<(Scenery, Vec<bool>, FrameLayout)>,
    ) -> Self {
        let mut plate = Self::default();
        let draw = |(given, region, layout): (Scenery, Vec<bool>, FrameLayout)| {
            let mut subjects = frame(size.frame, props, &layout.places);
            let air = props.air.map(|air| air.at(layout.moment));
            let mut seen = given.clone();
            for (index, pixel) in seen.iter_mut().enumerate() {
                match region[index] {
                    true => *pixel = over(subjects[index], *pixel),
                    false => subjects[index] = [0.0; 4],
                }
                if let Some(air) = air {
                    *pixel = over(premultiplied(air, index), *pixel);
                }
            }
            if let Some(finish) = props.finish {
                seen = finish.over(&seen, size.frame);
            }
            for ((seen, given), _) in (seen.iter_mut().zip(given).zip(region)).filter(|it| !it.1) {
                *seen = given;
            }
            Drawn {
                seen: Rc::new(seen),
                subjects: Rc::new(subjects),
            }
        };
        let drawn: Vec<Drawn> = frames.into_iter().map(draw).collect();
        for patch in drawn.chunks_exact(size.patch_frames) {
            plate.push(size, patch);
        }
        plate
    }

    /// Shows frames without subjects, a whole number of patches of them.
    pub fn of_scenery(size: PlateSize, frames: impl IntoIterator<Item = Scenery>) -> Self {
        let mut plate = Self::default();
        let nothing = Rc::new(vec![[0.0; 4]; size.frame[0] * size.frame[1]]);
        let drawn = |scenery| Drawn {
            seen: Rc::new(scenery),
            subjects: Rc::clone(&nothing),
        };
        let mut frames = frames.into_iter().map(drawn);
        loop {
            let patch: Vec<Drawn> = frames.by_ref().take(size.patch_frames).collect();
            if patch.len() < size.patch_frames {
                return plate;
            }
            plate.push(size, &patch);
        }
    }

    /// Appends one latent frame.
    fn push(&mut self, size: PlateSize, frames: &[Drawn]) {
        let [width, height] = size.frame;
        let cell = size.patch / CELLS;
        let share = 1.0 / (cell * cell * frames.len()) as f32;
        for top in (0..height).step_by(size.patch) {
            for left in (0..width).step_by(size.patch) {
                let mut coverage = [0.0; COVERAGE];
                for frame in frames {
                    for line in 0..size.patch {
                        let start = (top + line) * width + left;
                        let seen = &frame.seen[start..start + size.patch];
                        self.patches.extend(seen.as_flattened());
                        let subjects = &frame.subjects[start..start + size.patch];
                        for (column, [.., alpha]) in subjects.iter().enumerate() {
                            coverage[line / cell * CELLS + column / cell] += alpha * share;
                        }
                    }
                }
                self.coverage.extend(coverage);
            }
        }
    }
}

/// A pixel of RGBA in bytes, 0 to 1.
fn premultiplied(rgba: &[u8], pixel: usize) -> [f32; 4] {
    [0, 1, 2, 3].map(|c| f32::from(rgba[4 * pixel + c]) / 255.0)
}

/// What is seen of premultiplied RGBA, 0 to 1, before a colour in −1 to 1.
fn over([red, green, blue, alpha]: [f32; 4], behind: [f32; 3]) -> [f32; 3] {
    let colour = [red, green, blue];
    [0, 1, 2].map(|c| 2.0 * colour[c] - alpha + (1.0 - alpha) * behind[c])
}

/// One frame in premultiplied RGBA, transparent where there is nothing. Later slots lie behind.
fn frame(size: [usize; 2], props: Props<'_>, places: &Places) -> Vec<[f32; 4]> {
    let mut pixels = vec![[0.0; 4]; size[0] * size[1]];
    for (slot, place) in places.iter().enumerate().rev() {
        if let Some(place) = place {
            let picture = props.figures[slot].at(place.frame);
            draw(&mut pixels, size, picture, place);
        }
    }
    for [red, green, blue, alpha] in &mut pixels {
        for (value, light) in [red, green, blue].into_iter().zip(props.light) {
            *value = (*value * light).min(*alpha);
        }
    }
    pixels
}

fn draw(pixels: &mut [[f32; 4]], [width, height]: [usize; 2], picture: &Picture, place: &Place) {
    let unit = width.min(height) as f32;
    let centre = [
        place.center[0] * width as f32,
        place.center[1] * height as f32,
    ];
    let sides = place.sides.map(|side| (side * unit).max(1.0));
    let level = picture.level_for(sides[0].max(sides[1]));
    let (sin, cos) = place.rotation.sin_cos();
    let mirror = if place.is_flipped { -1.0 } else { 1.0 };
    let reach = [
        0.5 * (sides[0] * cos.abs() + sides[1] * sin.abs()) + 1.0,
        0.5 * (sides[0] * sin.abs() + sides[1] * cos.abs()) + 1.0,
    ];
    let span = |axis: usize, end: usize| {
        let clip = |at: f32| (at.max(0.0) as usize).min(end);
        clip(centre[axis] - reach[axis])..clip(centre[axis] + reach[axis] + 1.0)
    };
    for row in span(1, height) {
        for column in span(0, width) {
            let (dx, dy) = (
                column as f32 + 0.5 - centre[0],
                row as f32 + 0.5 - centre[1],
            );
            let u = (dx * cos + dy * sin) / sides[0] * mirror + 0.5;
            let v = (dy * cos - dx * sin) / sides[1] + 0.5;
            if !(-0.05..1.05).contains(&u) || !(-0.05..1.05).contains(&v) {
                continue;
            }
            let over = picture.sample(level, u, v);
            for (value, new) in pixels[row * width + column].iter_mut().zip(over) {
                *value = *value * (1.0 - over[3]) + new;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mini::backdrop::backdrop_size;

    const SIZE: PlateSize = PlateSize {
        frame: [64, 32],
        patch: 16,
        patch_frames: 2,
    };

    fn plain(colour: [u8; 4]) -> Figure {
        Figure::new([colour.repeat(PICTURE_SIZE * PICTURE_SIZE).as_slice()])
    }

    fn red() -> Figure {
        plain([255, 0, 0, 255])
    }

    fn layout(places: Places) -> FrameLayout {
        FrameLayout {
            places,
            view: View::REST,
            moment: 0,
        }
    }

    fn props<'a>(figures: &'a [&'a Figure]) -> Props<'a> {
        Props {
            backdrop: None,
            figures,
            light: [1.0; 3],
            air: None,
            finish: None,
        }
    }

    fn place(center: [f32; 2]) -> Place {
        Place {
            center,
            sides: [0.5, 0.5],
            rotation: 0.0,
            is_flipped: false,
            frame: 0,
        }
    }

    #[test]
    fn a_picture_covers_its_place_alone() {
        // 16 pixels in each direction around (24, 8): just the second patch of the first row.
        let places: Places = [Some(place([24.0 / 64.0, 0.25])), None];
        let plate = Plate::draw(SIZE, props(&[&red()]), &[layout(places); 2]);
        let values = SIZE.patch_frames * SIZE.patch * SIZE.patch * 3;
        assert_eq!(plate.patches.len(), 8 * values);
        assert_eq!(plate.coverage.len(), 8 * COVERAGE);
        for (index, patch) in plate.coverage.chunks(COVERAGE).enumerate() {
            let covered = patch.iter().sum::<f32>() / COVERAGE as f32;
            let expected = f32::from(u8::from(index == 1));
            assert!((covered - expected).abs() < 0.03, "{index}: {covered}");
        }
        let middle = &plate.patches[values + (8 * 16 + 8) * 3..][..3];
        assert_eq!(middle, [1.0, -1.0, -1.0]);
        assert!(
            plate.patches[..values]
                .iter()
                .all(|value| value.abs() < 0.6)
        );
    }

    #[test]
    fn places_outside_the_frame_draw_nothing() {
        let places: Places = [Some(place([-3.0, 9.0])), Some(place([4.0, 0.5]))];
        let red = red();
        let plate = Plate::draw(SIZE, props(&[&red, &red]), &[layout(places); 2]);
        assert!(plate.coverage.iter().all(|&value| value == 0.0));
    }

    #[test]
    fn the_first_subject_lies_in_front() {
        let blue = plain([0, 0, 255, 255]);
        let here = Some(place([0.5, 0.5]));
        let pixels = frame([64, 32], props(&[&red(), &blue]), &[here, here]);
        assert_eq!(pixels[16 * 64 + 32], [1.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn each_frame_shows_its_picture() {
        let colours = [[255, 0, 0, 255], [0, 0, 255, 255]];
        let pictures = colours.map(|colour| colour.repeat(PICTURE_SIZE * PICTURE_SIZE));
        let figure = Figure::new(pictures.iter().map(Vec::as_slice));
        for (shown, colour) in [(0, [1.0, 0.0, 0.0, 1.0]), (3, [0.0, 0.0, 1.0, 1.0])] {
            let here = Place {
                frame: shown,
                ..place([0.5, 0.5])
            };
            let pixels = frame([64, 32], props(&[&figure]), &[Some(here), None]);
            assert_eq!(pixels[16 * 64 + 32], colour);
        }
    }

    #[test]
    fn a_place_stands_behind_its_subjects() {
        let [inner, height, margin] = backdrop_size(SIZE.frame);
        let green = [0, 255, 0, 255].repeat((inner + 2 * margin) * height);
        let green = Backdrop::new(&green, SIZE.frame);
        let red = red();
        let props = Props {
            backdrop: Some(&green),
            figures: &[&red],
            light: [0.5, 1.0, 1.0],
            air: None,
            finish: None,
        };
        let moved = View {
            shift: [0.2, 0.0],
            ..View::REST
        };
        let frames = [View::REST, moved].map(|view| FrameLayout {
            places: [Some(place([24.0 / 64.0, 0.25])), None],
            view,
            moment: 0,
        });
        let plate = Plate::draw(SIZE, props, &frames);
        let values = SIZE.patch_frames * SIZE.patch * SIZE.patch * 3;
        assert_eq!(
            plate.patches[values + (8 * 16 + 8) * 3..][..3],
            [0.0, -1.0, -1.0]
        );
        assert_eq!(plate.patches[3 * values..][..3], [-1.0, 1.0, -1.0]);

        // White and half of what is behind it in the second frame; nothing is covered by air.
        let pixels = SIZE.frame[0] * SIZE.frame[1];
        let air = Air::new(vec![
            vec![0; 4 * pixels],
            [128, 128, 128, 128].repeat(pixels),
        ]);
        let props = Props {
            air: Some(&air),
            ..props
        };
        let frames = [0, 1].map(|moment| FrameLayout {
            moment,
            ..frames[0]
        });
        let hazy = Plate::draw(SIZE, props, &frames);
        assert_eq!(hazy.patches[3 * values..][..3], [-1.0, 1.0, -1.0]);
        let second = &hazy.patches[3 * values + values / SIZE.patch_frames..][..3];
        assert!(
            (second[0] - 0.0).abs() < 0.01 && second[1] == 1.0,
            "{second:?}"
        );
        assert_eq!(hazy.coverage[..], plate.coverage[..]);
    }
}
