//! What named places look like: a picture with depths, and how a moving camera sees it.
//!
//! Like the pictures of the [lexicon](super::lexicon) it is shown to the denoiser at its place, as part of
//! the [plate](super::plate): in clear daylight, at rest, without what lives in it. Light, weather, style,
//! waves and clouds are the denoiser's.

use super::bilinear::bilinear;
use super::layout::View;

/// Pixels of a backdrop for the smaller edge of a frame.
pub const BACKDROP_SIDE: usize = 64;
/// What a backdrop shows beyond each side of a frame, in frame widths.
pub const BACKDROP_MARGIN: f32 = 0.3;
/// Height of the point that zoom leaves in place, as a part of the frame's height; it is in the middle across.
pub const ZOOM_HEIGHT: f32 = 0.6;
/// Searches for what is seen at a pixel: the depth there says where it is.
const SEARCHES: usize = 2;

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

/// A place, wider than a frame.
#[derive(Debug, Clone)]
pub struct Backdrop {
    /// RGB in −1 to 1 and depth: 0 is infinitely far, 1 as near as the subjects.
    pixels: Vec<[f32; 4]>,
    width: usize,
    height: usize,
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
        Self {
            pixels: rgbd.chunks_exact(4).map(pixel).collect(),
            width,
            height,
            margin,
        }
    }

    /// What the camera sees of it: RGB in −1 to 1, `width · height` pixels. Beyond its borders it goes on as it ends.
    pub fn draw(&self, [width, height]: [usize; 2], view: &View) -> Vec<[f32; 3]> {
        let unit = width.min(height) as f32;
        let focus = View::focus([width, height]);
        let mut frame = Vec::with_capacity(width * height);
        for row in 0..height {
            for column in 0..width {
                let seen = [column, row].map(|at| (at as f32 + 0.5) / unit);
                let mut depth = 0.5;
                let mut at = [0.0; 2];
                for search in 0..=SEARCHES {
                    at = self.pixel_at(view.world(seen, focus, depth));
                    if search < SEARCHES {
                        depth = self.nearest(at)[3];
                    }
                }
                let [r, g, b, _] = bilinear(&self.pixels, [self.width, self.height], at);
                frame.push([r, g, b]);
            }
        }
        frame
    }

    /// From lengths in smaller frame edges to pixels, counted from pixel centres.
    fn pixel_at(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        let side = BACKDROP_SIDE as f32;
        let inside = |at: f32, pixels: usize| at.clamp(0.0, (pixels - 1) as f32);
        [
            inside(x * side + self.margin as f32 - 0.5, self.width),
            inside(y * side - 0.5, self.height),
        ]
    }

    fn nearest(&self, [x, y]: [f32; 2]) -> [f32; 4] {
        self.pixels[(y + 0.5) as usize * self.width + (x + 0.5) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: [usize; 2] = [128, 64];

    /// Red grows to the right, green downwards; all of it at one depth.
    fn ramp(depth: u8) -> Backdrop {
        let [inner, height, margin] = backdrop_size(FRAME);
        let width = inner + 2 * margin;
        let pixels = (0..width * height).flat_map(|i| {
            let (x, y) = (
                i % width * 255 / (width - 1),
                i / width * 255 / (height - 1),
            );
            [x as u8, y as u8, 0, depth]
        });
        Backdrop::new(&pixels.collect::<Vec<u8>>(), FRAME)
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
            let there = backdrop.pixels[row * backdrop.width + margin + column];
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
        };
        let frame = ramp(100).draw(FRAME, &wild);
        assert!(frame.iter().flatten().all(|value| value.is_finite()));
    }
}
