//! What named places look like: a picture with depths, and how a moving camera sees it.
//!
//! Like the pictures of the [lexicon](super::lexicon) it is shown to the denoiser at its place, as part of
//! the [plate](super::plate): in the named light, at rest, without what lives in it. Waves and clouds are the denoiser's.

use super::layout::View;
use super::relief::Layer;

/// Pixels of a backdrop for the smaller edge of a frame.
pub const BACKDROP_SIDE: usize = 64;
/// What a backdrop shows beyond each side of a frame, in frame widths.
pub const BACKDROP_MARGIN: f32 = 0.3;
/// Height of the point that zoom leaves in place, as a part of the frame's height; it is in the middle across.
pub const ZOOM_HEIGHT: f32 = 0.6;
/// From here on, as a part of a backdrop's height, it is seen again below it.
const MIRRORED: f32 = 0.7;
/// Most depths that are looked at on the way from the camera to what a pixel sees.
const MARCH: usize = 24;
/// Steps that what stands there is thick.
const THICKNESS: f32 = 1.5;
/// What depths may differ by and still be the same.
const ROUNDING: f32 = 1e-4;
/// Halvings of the last of these steps.
const HALVINGS: usize = 3;

/// Sizes of a backdrop for frames of `[width, height]` pixels: its width without margins, its height, its margin.
pub fn backdrop_size([width, height]: [usize; 2]) -> [usize; 3] {
    let smaller = width.min(height).max(1);
    let scaled = |side: usize| (side * BACKDROP_SIDE).div_ceil(smaller);
    let wide = scaled(width);
    [
        wide,
        scaled(height),
        (wide as f32 * BACKDROP_MARGIN).round() as usize,
    ]
}

/// A backdrop for frames of another size, in bytes of red, green, blue and depth: the same at the same scale, as much of it as
/// [`backdrop_size`] says, around the point that zoom leaves in place. Beyond its borders it goes on as in a mirror.
pub(super) fn refit(rgbd: &[u8], from: [usize; 2], to: [usize; 2]) -> Vec<u8> {
    let ([inner, height, margin], [new_inner, new_height, new_margin]) =
        (backdrop_size(from), backdrop_size(to));
    let (width, new_width) = (inner + 2 * margin, new_inner + 2 * new_margin);
    // What is in the middle stays there, and so does the height that zoom leaves in place.
    let left = (width as f32 - new_width as f32) / 2.0;
    let top = ZOOM_HEIGHT * (height as f32 - new_height as f32);
    let there = |at: usize, shift: f32, pixels: usize| {
        let last = (pixels - 1) as f32;
        mirrored((at as f32 + shift).round(), last).clamp(0.0, last) as usize
    };
    let pixel = |i: usize| {
        let column = there(i % new_width, left, width);
        let row = there(i / new_width, top, height);
        &rgbd[(row * width + column) * 4..][..4]
    };
    (0..new_width * new_height)
        .flat_map(pixel)
        .copied()
        .collect()
}

/// Where a mirror at 0 and at `last` shows what is there instead.
fn mirrored(at: f32, last: f32) -> f32 {
    let at = if at < 0.0 { -at } else { at };
    if at > last { 2.0 * last - at } else { at }
}

/// A place, wider than a frame.
#[derive(Debug, Clone)]
pub struct Backdrop {
    seen: Layer,
    /// What is seen where the camera looks behind things.
    hidden: Layer,
    margin: usize,
}

impl Backdrop {
    /// From bytes of red, green, blue and depth for frames of `frame` pixels, as large as [`backdrop_size`] says.
    ///
    /// # Panics
    ///
    /// If there are more or fewer.
    pub fn new(rgbd: &[u8], frame: [usize; 2]) -> Self {
        let [inner, height, margin] = backdrop_size(frame);
        let width = inner + 2 * margin;
        assert_eq!(rgbd.len(), width * height * 4, "four bytes for each pixel");
        let pixel = |p: &[u8]| {
            let colour = |channel: usize| f32::from(p[channel]) / 127.5 - 1.0;
            [colour(0), colour(1), colour(2), f32::from(p[3]) / 255.0]
        };
        let points = rgbd.chunks_exact(4).map(pixel).collect();
        let picture = Layer {
            points,
            width,
            height,
        };
        let seen = picture.with_sharp_edges();
        Self {
            hidden: seen.hidden(),
            seen,
            margin,
        }
    }

    /// What the camera sees of it: RGB in −1 to 1, `width · height` pixels. Above it goes on as it ends, elsewhere as in a mirror.
    pub fn draw(&self, [width, height]: [usize; 2], view: &View) -> Vec<[f32; 3]> {
        let unit = width.min(height) as f32;
        let focus = View::focus([width, height]);
        let pixel = |i: usize| {
            let seen = [i % width, i / width].map(|at| (at as f32 + 0.5) / unit);
            self.along(|depth| self.pixel_at(view.world(seen, focus, depth)))
        };
        (0..width * height).map(pixel).collect()
    }

    /// What a ray sees that is at `ray(depth)`. It is marched from near to far, a pixel or so at a time (relief mapping, Policarpo et
    /// al., 2005), so that what is near covers what is behind it. Things are thin: a ray that passes behind one goes on.
    fn along(&self, ray: impl Fn(f32) -> [f32; 2]) -> [f32; 3] {
        let (far, near) = (ray(0.0), ray(1.0));
        let way = (far[0] - near[0]).abs().max((far[1] - near[1]).abs());
        let steps = (way.ceil() as usize).clamp(1, MARCH);
        let step = 1.0 / steps as f32;
        let is_there = |depth: f32| {
            let behind = self.seen.nearest(ray(depth))[3] - depth;
            (-ROUNDING..=THICKNESS * step).contains(&behind)
        };
        let mut depths = (0..=steps).map(|i| 1.0 - i as f32 * step);
        let Some(mut there) = depths.find(|&depth| is_there(depth)) else {
            let first = self.hidden.nearest(far)[3];
            let depth = self.hidden.nearest(ray(first))[3];
            return self.hidden.sample(ray(depth));
        };
        let mut before = (there + step).min(1.0);
        for _ in 0..HALVINGS {
            let middle = 0.5 * (there + before);
            match is_there(middle) {
                true => there = middle,
                false => before = middle,
            }
        }
        self.seen.sample(ray(there))
    }

    /// From lengths in smaller frame edges to pixels, counted from pixel centres. Beside it and below it a place goes on as in a mirror:
    /// what lies there would be stretched.
    fn pixel_at(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        let side = BACKDROP_SIDE as f32;
        let inside = |at: f32, pixels: usize| at.clamp(0.0, (pixels - 1) as f32);
        let (row, lowest) = (y * side - 0.5, (self.seen.height - 1) as f32);
        let row = row.min((2.0 * lowest - row).max(MIRRORED * lowest));
        let column = x * side + self.margin as f32 - 0.5;
        let column = mirrored(column, (self.seen.width - 1) as f32);
        [
            inside(column, self.seen.width),
            inside(row, self.seen.height),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: [usize; 2] = [128, 64];

    /// Red grows to the right, green downwards; all of it at one depth.
    fn ramp(depth: u8) -> Backdrop {
        Backdrop::new(&ramp_bytes(depth), FRAME)
    }

    fn ramp_bytes(depth: u8) -> Vec<u8> {
        let [inner, height, margin] = backdrop_size(FRAME);
        let width = inner + 2 * margin;
        let pixels = (0..width * height).flat_map(|i| {
            let (x, y) = (
                i % width * 255 / (width - 1),
                i / width * 255 / (height - 1),
            );
            [x as u8, y as u8, 0, depth]
        });
        pixels.collect()
    }

    /// A near post hides what is behind it, whole and nothing else, wherever the camera goes.
    #[test]
    fn a_near_post_stays_whole_before_what_is_far() {
        let [inner, height, margin] = backdrop_size(FRAME);
        let width = inner + 2 * margin;
        let post = margin + 40..margin + 56;
        let pixels = (0..width * height).flat_map(|i| match post.contains(&(i % width)) {
            true => [255, 0, 0, 230],
            false => [0, 0, 255, 0],
        });
        let backdrop = Backdrop::new(&pixels.collect::<Vec<u8>>(), FRAME);
        for shift in [-0.25, -0.1, 0.07, 0.2] {
            let orbit = View {
                shift: [shift, 0.0],
                orbit: -shift,
                ..View::REST
            };
            let frame = backdrop.draw(FRAME, &orbit);
            for line in frame.chunks(FRAME[0]) {
                let is_post: Vec<bool> = line.iter().map(|pixel| pixel[0] > 0.0).collect();
                let edges = is_post.windows(2).filter(|pair| pair[0] != pair[1]);
                assert_eq!(edges.count(), 2, "{shift}: one post without holes");
                let columns = is_post.iter().filter(|&&it| it).count();
                assert!((14..=18).contains(&columns), "{shift}: {columns} columns");
            }
        }
    }

    fn red(frame: &[[f32; 3]], column: usize) -> f32 {
        frame[32 * FRAME[0] + column][0]
    }

    #[test]
    fn a_camera_at_rest_sees_the_middle() {
        let backdrop = ramp(255);
        let frame = backdrop.draw(FRAME, &View::REST);
        let [_, _, margin] = backdrop_size(FRAME);
        assert_eq!(frame.len(), FRAME[0] * FRAME[1]);
        for (row, column) in [(0, 0), (20, 100), (63, 127)] {
            let there = backdrop.seen.at(margin + column, row);
            let here = frame[row * FRAME[0] + column];
            assert!((here[0] - there[0]).abs() < 1e-5 && (here[1] - there[1]).abs() < 1e-5);
        }
    }

    #[test]
    fn what_is_near_shifts_more_and_an_orbit_turns_it_round() {
        let pan = View {
            shift: [0.3, 0.0],
            ..View::REST
        };
        let (near, far) = (ramp(255).draw(FRAME, &pan), ramp(20).draw(FRAME, &pan));
        let rest = ramp(255).draw(FRAME, &View::REST);
        assert!(red(&near, 64) > red(&far, 64) + 0.05 && red(&far, 64) > red(&rest, 64));
        let orbit = View {
            orbit: 0.3,
            ..View::REST
        };
        let (near, far) = (ramp(255).draw(FRAME, &orbit), ramp(20).draw(FRAME, &orbit));
        assert!((red(&near, 64) - red(&rest, 64)).abs() < 1e-5);
        assert!(red(&far, 64) > red(&rest, 64) + 0.05);
    }

    #[test]
    fn zoom_spreads_what_is_seen_and_wild_views_see_something() {
        let spread = |zoom: f32| {
            let frame = ramp(255).draw(FRAME, &View { zoom, ..View::REST });
            red(&frame, 127) - red(&frame, 0)
        };
        assert!((spread(2.0) / spread(1.0) - 0.5).abs() < 0.02);
        let wild = View {
            shift: [1e9, -1e9],
            zoom: 1e-9,
            orbit: -1e9,
            tilt: 1e9,
        };
        let frame = ramp(100).draw(FRAME, &wild);
        assert!(frame.iter().flatten().all(|value| value.is_finite()));
    }
}
