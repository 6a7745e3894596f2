//! Settles how a clip goes on from given frames of others: what is named in its prompt goes on from where it is found in them, and where
//! it is not found, the frames are shown as they are.

use super::layout::{FrameLayout, Place, View};
use super::model::Mini;
use super::planning::Past;
use super::plate::{Figure, PlateSize, Scenery};
use super::search::{Found, find};
use super::stage::{Going, Shown, Stage, last_frame};
use super::still::Still;
use crate::{ClipShape, Error, Known};

/// How much of a pixel a subject has to cover for what is behind it to be unknown.
const HIDES: f32 = 0.02;
/// How much more what is left and right of a hole counts than what is above and below.
const BESIDE: f32 = 8.0;
/// How far a subject goes aside, in widths of the frame, that does not only sway.
const GOES: f32 = 0.15;
/// Pixels around a subject that its edge still colours.
const EDGE: usize = 2;

/// A subject that is found in the first given frame.
struct Subject {
    figure: Figure,
    entry: usize,
    found: Found,
}

impl Mini {
    /// What the denoiser is shown of a clip beside given frames.
    pub(super) fn settle_given(
        &self,
        prompt: &str,
        clip: ClipShape,
        known: Known<'_>,
    ) -> Result<Stage, Error> {
        let size = self.plate_size(clip.size);
        let autoencoder = &self.networks().autoencoder;
        let frames: Vec<(usize, Scenery)> = known
            .beside
            .iter()
            .map(|(index, latents)| (*index, last_frame(autoencoder, latents.clone())))
            .collect();
        let cast = self.cast(prompt);
        let subjects = match known.begins_free {
            true => Vec::new(),
            false => self.search(&cast, &frames[0].1, clip.size)?,
        };
        if subjects.is_empty() {
            let mut path = self.path(prompt, clip, cast.len(), Past::default())?;
            self.animate(&mut path, &cast, 0);
            let stills = stills(frames, &path, size);
            return Ok(Stage::new(Shown::Given(stills), path, size));
        }
        let first = known.beside[0].0;
        let mut path = self.path_of(&subjects, prompt, clip, first)?;
        let entries: Vec<usize> = subjects.iter().map(|subject| subject.entry).collect();
        self.animate(&mut path, &entries, 0);
        let stride = size.patch_frames;
        for (slot, subject) in subjects.iter().enumerate() {
            begin_with(&mut path, (first + 1) * stride - 1, slot, subject);
        }
        let mut found = vec![subjects];
        let mut from = first;
        for (index, pixels) in &frames[1..] {
            let there = self.search(&entries, pixels, clip.size)?;
            lead_to(&mut path, (from, *index), &there, &entries, stride);
            found.push(there);
            from = *index;
        }
        let cleared = frames.iter().zip(&found);
        let cleared =
            cleared.map(|((index, pixels), here)| (*index, without(pixels, here, clip.size)));
        let cleared = stills(cleared.collect(), &path, size);
        let subjects = found.swap_remove(0);
        // In a style of its own it is shown as it was given, though nothing of it moves by itself then.
        let is_plain = self.styles().find(prompt).is_none()
            && subjects.iter().all(|subject| subject.found.is_plain());
        let light = match is_plain {
            true => subjects[0].found.light,
            false => [1.0; 3],
        };
        let figure = |Subject { figure, found, .. }: Subject| match is_plain {
            true => figure,
            false => found.cut_out(&figure, &frames[0].1, clip.size),
        };
        let going = Going {
            given: frames.iter().map(|(index, _)| *index).collect(),
            cleared,
            figures: subjects.into_iter().map(figure).collect(),
            stills: stills(frames, &path, size),
            light,
        };
        Ok(Stage::new(Shown::Going(going), path, size))
    }

    /// Those of some entries of the lexicon that are found in a frame.
    fn search(
        &self,
        cast: &[usize],
        pixels: &Scenery,
        size: [usize; 2],
    ) -> Result<Vec<Subject>, Error> {
        let mut subjects = Vec::new();
        for &entry in cast {
            let figure = self.lexicon().figure(entry)?;
            if let Some(found) = find(&figure, pixels, size) {
                subjects.push(Subject {
                    figure,
                    entry,
                    found,
                });
            }
        }
        Ok(subjects)
    }

    /// Paths on which subjects do what is said from where they were found in latent frame `last`: those of a clip that begins there, moved
    /// so that they pass through it. A director that is told that they stood there lets them stand.
    fn path_of(
        &self,
        subjects: &[Subject],
        prompt: &str,
        clip: ClipShape,
        last: usize,
    ) -> Result<Vec<FrameLayout>, Error> {
        let stride = self.config().autoencoder.patch_frames;
        let rest = ClipShape {
            latent_frames: clip.latent_frames - last,
            ..clip
        };
        let planned = self.path(prompt, rest, subjects.len(), Past::default())?;
        let mut path = vec![planned[0]; last * stride];
        path.extend(planned);
        for (slot, subject) in subjects.iter().enumerate() {
            pass_through(&mut path, slot, subject.found.place);
        }
        Ok(path)
    }
}

/// Moves the path of a slot so that it begins at a place: never below both where it is planned and where it begins, since what falls in a
/// plan has fallen already.
fn pass_through(path: &mut [FrameLayout], slot: usize, begins: Place) {
    let Some(planned) = path[0].places[slot] else {
        return;
    };
    let mut placed = path.iter().filter_map(|layout| layout.places[slot]);
    let goes = placed.any(|place| (place.center[0] - planned.center[0]).abs() > GOES);
    for layout in path {
        if let Some(place) = &mut layout.places[slot] {
            let lowest = place.center[1].max(begins.center[1]);
            let moved =
                [0, 1].map(|axis| begins.center[axis] + place.center[axis] - planned.center[axis]);
            *place = Place {
                center: [moved[0], moved[1].min(lowest)],
                sides: [0, 1]
                    .map(|axis| begins.sides[axis] * place.sides[axis] / planned.sides[axis]),
                rotation: begins.rotation + place.rotation - planned.rotation,
                // Who goes somewhere looks there; who stays looks where it looked.
                is_flipped: match goes {
                    true => place.is_flipped,
                    false => begins.is_flipped,
                },
                frame: begins.frame,
            };
        }
    }
}

/// Lets a subject's animation go on from the picture in which it was found, in this frame of the path.
fn begin_with(path: &mut [FrameLayout], frame: usize, slot: usize, subject: &Subject) {
    let Some(begins) = path[frame].places[slot] else {
        return;
    };
    let pictures = subject.figure.pictures();
    let ahead = subject.found.place.frame + pictures - begins.frame % pictures;
    let places = path
        .iter_mut()
        .filter_map(|layout| layout.places[slot].as_mut());
    for place in places {
        place.frame += ahead;
    }
}

/// Leads subjects on their way from one latent frame to another to where they are found there.
fn lead_to(
    path: &mut [FrameLayout],
    (from, to): (usize, usize),
    found: &[Subject],
    entries: &[usize],
    stride: usize,
) {
    let (begins, ends) = ((from + 1) * stride - 1, (to + 1) * stride - 1);
    for (slot, entry) in entries.iter().enumerate() {
        let there = found.iter().find(|subject| subject.entry == *entry);
        let (Some(there), Some(led)) = (there, path[ends].places[slot]) else {
            continue;
        };
        let there = there.found.place;
        for (frame, layout) in path.iter_mut().enumerate().skip(begins) {
            let share = ((frame - begins) as f32 / (ends - begins) as f32).min(1.0);
            if let Some(place) = &mut layout.places[slot] {
                place.center = [0, 1].map(|axis| {
                    place.center[axis] + share * (there.center[axis] - led.center[axis])
                });
                place.sides = [0, 1].map(|axis| {
                    place.sides[axis] * (there.sides[axis] / led.sides[axis]).powf(share)
                });
                if share > 0.5 {
                    place.is_flipped = there.is_flipped;
                }
            }
        }
    }
}

/// A frame in which what is around subjects goes on where they are.
fn without(pixels: &Scenery, subjects: &[Subject], size: [usize; 2]) -> Scenery {
    let figures: Vec<&Figure> = subjects.iter().map(|subject| &subject.figure).collect();
    let places: Vec<Place> = subjects.iter().map(|subject| subject.found.place).collect();
    let covered = Figure::cover(&figures, &places, size);
    let [width, height] = size;
    let near = |index: usize| {
        let (x, y) = (index % width, index / width);
        let rows = y.saturating_sub(EDGE)..(y + EDGE + 1).min(height);
        rows.into_iter().any(|row| {
            let columns = x.saturating_sub(EDGE)..(x + EDGE + 1).min(width);
            columns
                .into_iter()
                .any(|x| covered[row * width + x] > HIDES)
        })
    };
    let hidden: Vec<bool> = (0..width * height).map(near).collect();
    fill(pixels, &hidden, size)
}

/// Pixels with what is nearest to hidden ones in their place: of each of four directions, the nearer the more, and more of what is beside them
/// than of what is above and below, since places change from top to bottom more than from left to right.
fn fill(pixels: &Scenery, hidden: &[bool], [width, height]: [usize; 2]) -> Scenery {
    let mut sums = vec![[0.0_f32; 4]; pixels.len()];
    // Along a line of pixels both ways.
    let mut along = |line: &mut dyn Iterator<Item = usize>, counts: f32| {
        let mut last: Option<(usize, [f32; 3])> = None;
        for (at, index) in line.enumerate() {
            if !hidden[index] {
                last = Some((at, pixels[index]));
            } else if let Some((from, colour)) = last {
                let weight = counts / (at - from) as f32;
                for (sum, value) in sums[index]
                    .iter_mut()
                    .zip([colour[0], colour[1], colour[2], 1.0])
                {
                    *sum += weight * value;
                }
            }
        }
    };
    for row in 0..height {
        along(&mut (0..width).map(|x| row * width + x), BESIDE);
        along(&mut (0..width).rev().map(|x| row * width + x), BESIDE);
    }
    for column in 0..width {
        along(&mut (0..height).map(|y| y * width + column), 1.0);
        along(&mut (0..height).rev().map(|y| y * width + column), 1.0);
    }
    let filled = pixels
        .iter()
        .zip(&sums)
        .map(|(pixel, sum)| match sum[3] > 0.0 {
            true => [0, 1, 2].map(|c| sum[c] / sum[3]),
            false => *pixel,
        });
    filled.collect()
}

/// Frames that end latent frames, as the camera sees them on its path.
fn stills(frames: Vec<(usize, Scenery)>, path: &[FrameLayout], size: PlateSize) -> Vec<Still> {
    let still = |(index, pixels): (usize, Scenery)| {
        let at = (index + 1) * size.patch_frames - 1;
        let view = path.get(at).map_or(View::REST, |frame| frame.view);
        Still::new(pixels, size.frame, view, at)
    };
    frames.into_iter().map(still).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_moved_to_where_its_subject_is_found() {
        let place = |x: f32, y: f32| Place {
            center: [x, y],
            sides: [0.2; 2],
            rotation: 0.1,
            is_flipped: true,
            frame: 0,
        };
        let along = |at: [f32; 2]| FrameLayout {
            places: [Some(place(at[0], at[1])), None],
            ..FrameLayout::at_rest(0)
        };
        let found = Place {
            sides: [0.4; 2],
            rotation: 0.0,
            is_flipped: false,
            ..place(0.3, 0.6)
        };
        // It walks to the left.
        let mut walk = [[0.8, 0.6], [0.7, 0.6], [0.5, 0.6]].map(along);
        pass_through(&mut walk, 0, found);
        let last = walk[2].places[0].unwrap();
        assert!(walk[0].places[0].unwrap().is_flipped && last.is_flipped);
        assert!(last.center[0].abs() < 1e-6 && (last.sides[0] - 0.4).abs() < 1e-6);
        assert!(last.rotation.abs() < 1e-6);
        // It falls in the plan, and lies already.
        let mut fall = [[0.5, -0.2], [0.5, 0.65]].map(along);
        pass_through(&mut fall, 0, found);
        assert_eq!(fall[0].places[0].unwrap().center, found.center);
        assert_eq!(fall[1].places[0].unwrap().center, [0.3, 0.65]);
        assert!(!fall[1].places[0].unwrap().is_flipped);
    }

    #[test]
    fn what_is_around_a_hole_goes_on_in_it() {
        let size = [16, 12];
        let ramp = |i: usize| [(i % 16) as f32 / 16.0, (i / 16) as f32 / 12.0, -0.5];
        let pixels: Scenery = (0..16 * 12).map(ramp).collect();
        let is_hidden = |i: usize| (5..10).contains(&(i % 16)) && (3..8).contains(&(i / 16));
        let hidden: Vec<bool> = (0..16 * 12).map(is_hidden).collect();
        let mut holed = pixels.clone();
        for (pixel, _) in holed.iter_mut().zip(&hidden).filter(|(_, hidden)| **hidden) {
            *pixel = [9.0; 3];
        }
        let filled = fill(&holed, &hidden, size);
        for (got, wanted) in filled.iter().zip(&pixels) {
            for c in 0..3 {
                assert!((got[c] - wanted[c]).abs() < 0.1, "{got:?}, {wanted:?}");
            }
        }
        // Nothing is known.
        assert_eq!(fill(&pixels, &[true; 192], size), pixels);
    }
}
