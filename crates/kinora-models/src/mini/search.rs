//! Finds a named subject in a given frame, so that it can go on from where it stands.
//!
//! Its picture is laid over the frame at many places in many sizes. Where it is, what it covers is its colours times some light, and what is
//! beside it is something else.

use super::layout::Place;
use super::lexicon::PICTURE_SIZE;
use super::plate::Figure;

/// Points of a picture in each direction that are compared, at first and to settle the place.
const COARSE: usize = 12;
const FINE: usize = 24;
/// Points lie up to this far beyond the picture, in parts of its sides: what is beside a subject counts too.
const BEYOND: f32 = 0.1;
/// Smallest and largest side, in smaller frame edges, and the step between two sizes.
const SIDES: (f32, f32) = (0.2, 1.1);
const SIDE_STEP: f32 = 1.14;
/// Pixels between two places that are tried at first.
const STRIDE: usize = 3;
/// Radians that count as much as a pixel.
const TURN: f32 = 0.05;
/// Places of which the exact one is looked for.
const KEPT: usize = 6;
/// Share of a subject that has to be inside of the frame.
const LEAST_INSIDE: f32 = 0.8;
/// Lights in which subjects are looked for, channel by channel.
const LIGHTS: (f32, f32) = (0.62, 1.15);
/// How much more a light lets through of one channel than of another, at most, and what each doubling of that counts.
const TINT: f32 = 1.7;
const TINT_COUNTS: f32 = 0.08;
/// The largest part of what tells a subject from what is beside it that may be left unexplained, and the least likeness of its brightness. Of
/// 400 rendered scenes of all styles these find the subject in three of four, and something else in one of eighty.
const FITS: (f32, f32) = (0.06, 0.45);
/// The same where its brightness is much alike: in another style its colours differ.
const ALIKE: (f32, f32) = (0.3, 0.85);
/// What is left unexplained where only the light differs from the lexicon's picture.
const PLAIN: f32 = 0.025;
/// Difference of channels up to which a picture is grey, of the 2 between black and white.
const GREY: f32 = 0.06;
/// Squared difference from what is beside it, over all channels, that is worth nothing.
const LEAST_CONTRAST: f32 = 0.03;

/// Where a subject is seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    /// Its place.
    pub place: Place,
    /// What its colours are multiplied by there.
    pub light: [f32; 3],
    /// How badly it fits: 0 is just so, 1 explains nothing.
    pub misfit: f32,
    /// Correlation of its brightness with that of its picture, −1 to 1.
    pub likeness: f32,
}

/// A picture at points of it, from 0 to 1 across and down.
struct Points {
    inside: Vec<([f32; 2], [f32; 3])>,
    outside: Vec<[f32; 2]>,
}

impl Points {
    fn of(figure: &Figure, frame: usize, count: usize) -> Self {
        let mut points = Self {
            inside: Vec::new(),
            outside: Vec::new(),
        };
        let at = |i: usize| (i as f32 + 0.5) / count as f32 * (1.0 + 2.0 * BEYOND) - BEYOND;
        for (row, column) in (0..count * count).map(|i| (i / count, i % count)) {
            let point = [at(column), at(row)];
            let [red, green, blue, alpha] = figure.seen(frame, point, count);
            if alpha > 0.9 {
                let colour = [red, green, blue].map(|value| value / alpha);
                points.inside.push((point, colour));
            } else if alpha < 0.05 {
                points.outside.push(point);
            }
        }
        points
    }

    fn grey(mut self) -> Self {
        for (_, colour) in &mut self.inside {
            *colour = [luma(*colour); 3];
        }
        self
    }
}

fn luma([red, green, blue]: [f32; 3]) -> f32 {
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

/// A frame in which something is looked for.
struct Frame<'a> {
    /// RGB in −1 to 1.
    pixels: &'a [[f32; 3]],
    size: [usize; 2],
}

/// A place and how badly it fits: 0 is just so, 1 explains nothing.
#[derive(Clone, Copy)]
struct Candidate {
    place: Place,
    light: [f32; 3],
    misfit: f32,
}

/// Where `figure` is seen in a frame of `size` pixels, RGB in −1 to 1; `None` where it is not, or not to be told from what is beside it.
pub fn find(figure: &Figure, pixels: &[[f32; 3]], size: [usize; 2]) -> Option<Found> {
    let frame = Frame { pixels, size };
    let [width, height] = size;
    let is_grey = pixels
        .iter()
        .all(|[r, g, b]| (r - g).abs() < GREY && (g - b).abs() < GREY);
    let points = |picture: usize, count: usize| {
        let points = Points::of(figure, picture, count);
        if is_grey { points.grey() } else { points }
    };
    let coarse = points(0, COARSE);
    let mut best: Vec<Candidate> = Vec::new();
    let mut side = SIDES.0;
    while side <= SIDES.1 {
        for (row, column) in (0..height.div_ceil(STRIDE) * width.div_ceil(STRIDE))
            .map(|i| (i / width.div_ceil(STRIDE), i % width.div_ceil(STRIDE)))
        {
            for is_flipped in [false, true] {
                let place = Place {
                    center: [
                        (column * STRIDE) as f32 / width as f32,
                        (row * STRIDE) as f32 / height as f32,
                    ],
                    sides: [side; 2],
                    rotation: 0.0,
                    is_flipped,
                    frame: 0,
                };
                let Some(candidate) = frame.judge(&coarse, place) else {
                    continue;
                };
                let behind = best.partition_point(|other| other.misfit <= candidate.misfit);
                if behind < KEPT {
                    best.insert(behind, candidate);
                    best.truncate(KEPT);
                }
            }
        }
        side *= SIDE_STEP;
    }
    let settled = best.into_iter().map(|candidate| {
        let pictures = (0..figure.pictures())
            .map(|picture| frame.settle(&points(picture, FINE), candidate.place, picture));
        pictures
            .flatten()
            .min_by(|a, b| a.misfit.total_cmp(&b.misfit))
    });
    let best = settled
        .flatten()
        .min_by(|a, b| a.misfit.total_cmp(&b.misfit))?;
    let likeness = frame.likeness(&points(best.place.frame, FINE), best.place);
    let is_it = [FITS, ALIKE]
        .iter()
        .any(|(misfit, least)| best.misfit < *misfit && likeness > *least);
    is_it.then_some(Found {
        place: best.place,
        light: best.light,
        misfit: best.misfit,
        likeness,
    })
}

impl Found {
    /// Whether it looks there as in the lexicon, but for the light.
    pub(super) fn is_plain(&self) -> bool {
        self.misfit < PLAIN
    }

    /// What is seen of the subject in the frame in which it was found, as a figure of one picture. What lies outside of the frame is that of
    /// the lexicon.
    pub(super) fn cut_out(&self, figure: &Figure, pixels: &[[f32; 3]], size: [usize; 2]) -> Figure {
        let frame = Frame { pixels, size };
        let byte = |value: f32| (value * 255.0).round().clamp(0.0, 255.0) as u8;
        let rgba = (0..PICTURE_SIZE * PICTURE_SIZE).flat_map(|i| {
            let at = [i % PICTURE_SIZE, i / PICTURE_SIZE];
            let point = at.map(|at| (at as f32 + 0.5) / PICTURE_SIZE as f32);
            let [red, green, blue, alpha] = figure.seen(self.place.frame, point, PICTURE_SIZE);
            let lit = [0, 1, 2].map(|c| [red, green, blue][c] * self.light[c]);
            let seen = frame.pixel(&self.place, point);
            let seen = seen.map_or(lit, |seen| seen.map(|value| value * alpha));
            [seen[0], seen[1], seen[2], alpha].map(byte)
        });
        Figure::new([rgba.collect::<Vec<u8>>().as_slice()])
    }
}

impl Frame<'_> {
    /// RGB from 0 to 1 at a point of the frame in pixels; `None` outside.
    fn at(&self, [x, y]: [f32; 2]) -> Option<[f32; 3]> {
        let [width, height] = self.size;
        let is_inside = x >= 0.0 && y >= 0.0 && x < width as f32 && y < height as f32;
        is_inside.then(|| self.pixels[y as usize * width + x as usize].map(|v| 0.5 * (v + 1.0)))
    }

    /// Where a point of a picture is in the frame, in pixels.
    fn pixel(&self, place: &Place, [u, v]: [f32; 2]) -> Option<[f32; 3]> {
        let [width, height] = self.size.map(|side| side as f32);
        let unit = width.min(height);
        let mirror = if place.is_flipped { -1.0 } else { 1.0 };
        let (across, down) = (
            (u - 0.5) * mirror * place.sides[0] * unit,
            (v - 0.5) * place.sides[1] * unit,
        );
        let (sin, cos) = place.rotation.sin_cos();
        self.at([
            place.center[0] * width + across * cos - down * sin,
            place.center[1] * height + across * sin + down * cos,
        ])
    }

    /// How well the brightness of what is seen at a place goes along with that of a picture.
    fn likeness(&self, points: &Points, place: Place) -> f32 {
        let pairs = points
            .inside
            .iter()
            .filter_map(|(point, colour)| Some((luma(*colour), luma(self.pixel(&place, *point)?))));
        let (mut count, mut sums, mut squares, mut both) = (0.0_f32, [0.0; 2], [0.0; 2], 0.0);
        for (own, seen) in pairs {
            count += 1.0;
            sums = [sums[0] + own, sums[1] + seen];
            squares = [squares[0] + own * own, squares[1] + seen * seen];
            both += own * seen;
        }
        let variance = |i: usize| (squares[i] / count - (sums[i] / count).powi(2)).max(1e-5);
        let covariance = both / count - sums[0] / count * (sums[1] / count);
        covariance / (variance(0) * variance(1)).sqrt()
    }

    /// How badly a picture fits at a place; `None` where too little of it is inside.
    fn judge(&self, points: &Points, place: Place) -> Option<Candidate> {
        let pixel = |point: [f32; 2]| self.pixel(&place, point);
        let mut inside = 0;
        let (mut both, mut own, mut seen) = ([0.0_f32; 3], [0.0_f32; 3], [0.0_f32; 3]);
        let mut own_sum = [0.0_f32; 3];
        for (point, colour) in &points.inside {
            let Some(pixel) = pixel(*point) else {
                continue;
            };
            inside += 1;
            for c in 0..3 {
                both[c] += colour[c] * pixel[c];
                own[c] += colour[c] * colour[c];
                seen[c] += pixel[c] * pixel[c];
                own_sum[c] += colour[c];
            }
        }
        if (inside as f32) < LEAST_INSIDE * points.inside.len() as f32 || inside == 0 {
            return None;
        }
        let mut beside = [0.0_f32; 3];
        let mut outside = 0;
        for pixel in points.outside.iter().filter_map(|point| pixel(*point)) {
            outside += 1;
            for c in 0..3 {
                beside[c] += pixel[c];
            }
        }
        let beside = beside.map(|sum| sum / outside.max(1) as f32);
        let light = [0, 1, 2].map(|c| (both[c] / own[c].max(1e-6)).clamp(LIGHTS.0, LIGHTS.1));
        let (mut left, mut contrast) = (0.0, 0.0);
        for c in 0..3 {
            let lit = light[c] * light[c] * own[c];
            left += seen[c] - 2.0 * light[c] * both[c] + lit;
            contrast += lit - 2.0 * light[c] * own_sum[c] * beside[c]
                + inside as f32 * beside[c] * beside[c];
        }
        let darkest = light.into_iter().fold(f32::INFINITY, f32::min);
        let tint = light.into_iter().fold(0.0, f32::max) / darkest;
        if tint > TINT {
            return None;
        }
        let least = LEAST_CONTRAST * inside as f32;
        Some(Candidate {
            place,
            light,
            misfit: left.max(0.0) / (contrast.max(0.0) + least) + TINT_COUNTS * tint.log2().powi(2),
        })
    }

    /// The best place near one for one of the pictures.
    fn settle(&self, points: &Points, near: Place, picture: usize) -> Option<Candidate> {
        let place = Place {
            frame: picture,
            ..near
        };
        let mut best = self.judge(points, place)?;
        let [width, height] = self.size.map(|side| side as f32);
        let mut step = STRIDE as f32 / 2.0;
        while step > 0.2 {
            let Place { center, sides, .. } = best.place;
            let grown = 1.0 + 0.04 * step;
            let turn = TURN * step;
            let moves = [
                (step, 0.0, 1.0, 0.0),
                (-step, 0.0, 1.0, 0.0),
                (0.0, step, 1.0, 0.0),
                (0.0, -step, 1.0, 0.0),
                (0.0, 0.0, grown, 0.0),
                (0.0, 0.0, 1.0 / grown, 0.0),
                (0.0, 0.0, 1.0, turn),
                (0.0, 0.0, 1.0, -turn),
            ];
            let tried = moves.into_iter().filter_map(|(dx, dy, by, turned)| {
                let place = Place {
                    center: [center[0] + dx / width, center[1] + dy / height],
                    sides: sides.map(|side| side * by),
                    rotation: best.place.rotation + turned,
                    ..best.place
                };
                self.judge(points, place)
            });
            let better = tried.min_by(|a, b| a.misfit.total_cmp(&b.misfit));
            match better.filter(|other| other.misfit < best.misfit) {
                Some(better) => best = better,
                None => step *= 0.5,
            }
        }
        Some(best)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disc: red above, white below.
    fn disc() -> Figure {
        let side = PICTURE_SIZE as f32;
        let pixel = |i: usize| {
            let at = [i % PICTURE_SIZE, i / PICTURE_SIZE].map(|at| (at as f32 + 0.5) / side - 0.5);
            match at[0].hypot(at[1]) < 0.45 {
                true if at[1] < 0.0 => [220, 30, 30, 255],
                true => [240, 240, 240, 255],
                false => [0; 4],
            }
        };
        let picture: Vec<u8> = (0..PICTURE_SIZE * PICTURE_SIZE).flat_map(pixel).collect();
        Figure::new([picture.as_slice()])
    }

    /// Land below sky, with the disc in evening light where it is asked for.
    fn land(disc: Option<[f32; 3]>) -> Vec<[f32; 3]> {
        let size = [176, 96];
        let pixel = |i: usize| {
            let (x, y) = ((i % size[0]) as f32 + 0.5, (i / size[0]) as f32 + 0.5);
            let behind = match y < 50.0 {
                true => [0.2, 0.5, 0.9],
                false => [0.2, 0.6 + 0.1 * (x / 9.0).sin(), 0.2],
            };
            let seen = match disc {
                Some([left, top, radius]) if (x - left).hypot(y - top) < 0.9 * radius => {
                    match y < top {
                        true => [220.0, 30.0, 30.0],
                        false => [240.0; 3],
                    }
                    .map(|value: f32| value / 255.0)
                }
                _ => return behind.map(|value| 2.0 * value - 1.0),
            };
            let light = [0.95, 0.8, 0.7];
            [0, 1, 2].map(|c| 2.0 * seen[c] * light[c] - 1.0)
        };
        (0..size[0] * size[1]).map(pixel).collect()
    }

    #[test]
    fn a_subject_is_found_where_and_as_large_as_it_is() {
        for [x, y, radius] in [[60.0, 55.0, 16.0], [120.5, 40.0, 25.0], [30.0, 80.0, 11.0]] {
            let found = find(&disc(), &land(Some([x, y, radius])), [176, 96]).unwrap();
            let Found { place, light, .. } = found;
            assert!((place.center[0] * 176.0 - x).abs() < 2.0, "{place:?}");
            assert!((place.center[1] * 96.0 - y).abs() < 2.0, "{place:?}");
            assert!(
                (place.sides[0] * 48.0 / radius - 1.0).abs() < 0.12,
                "{place:?}"
            );
            assert!((light[2] - 0.7).abs() < 0.1, "{light:?}");
        }
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        assert_eq!(find(&disc(), &land(None), [176, 96]), None);
        assert_eq!(find(&disc(), &[[0.0; 3]; 96 * 64], [96, 64]), None);
    }
}
