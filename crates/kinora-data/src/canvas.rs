//! A small anti-aliased painter in world coordinates. A canvas shows the same wherever its borders are.

use crate::palette::Rgb;
pub(crate) use kinora_style::noise_2d;

/// A picture with premultiplied colour that covers a part of the world.
#[derive(Debug, Clone)]
pub(crate) struct Canvas {
    pub(crate) width: usize,
    pub(crate) height: usize,
    /// World pixel of the left upper corner.
    pub(crate) left: i32,
    pub(crate) top: i32,
    /// Pixels per world unit.
    pub(crate) scale: f32,
    pixels: Vec<[f32; 4]>,
}

/// A rectangle of the world.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Area {
    pub(crate) x0: f32,
    pub(crate) y0: f32,
    pub(crate) x1: f32,
    pub(crate) y1: f32,
}

impl Canvas {
    pub(crate) fn new(area: Area, scale: f32) -> Self {
        let left = (area.x0 * scale).floor() as i32 - 2;
        let top = (area.y0 * scale).floor() as i32 - 2;
        let width = ((area.x1 * scale).ceil() as i32 + 3 - left).max(1) as usize;
        let height = ((area.y1 * scale).ceil() as i32 + 3 - top).max(1) as usize;
        Self {
            width,
            height,
            left,
            top,
            scale,
            pixels: vec![[0.0; 4]; width * height],
        }
    }

    /// What the canvas covers.
    pub(crate) fn area(&self) -> Area {
        let world = |pixel: i32| pixel as f32 / self.scale;
        Area {
            x0: world(self.left),
            y0: world(self.top),
            x1: world(self.left + self.width as i32),
            y1: world(self.top + self.height as i32),
        }
    }

    /// Calls `paint(x, y)` at the centre of each pixel of a part of the world and lays its colour and cover over what is there.
    pub(crate) fn paint(&mut self, area: Area, paint: impl Fn(f32, f32) -> (Rgb, f32)) {
        let column =
            |x: f32| ((x * self.scale - self.left as f32).max(0.0) as usize).min(self.width);
        let row = |y: f32| ((y * self.scale - self.top as f32).max(0.0) as usize).min(self.height);
        let (from_x, to_x) = (column(area.x0), column(area.x1 + 2.0 / self.scale));
        let (from_y, to_y) = (row(area.y0), row(area.y1 + 2.0 / self.scale));
        let pixel = 1.0 / self.scale;
        for j in from_y..to_y {
            let y = ((self.top + j as i32) as f32 + 0.5) * pixel;
            for i in from_x..to_x {
                let x = ((self.left + i as i32) as f32 + 0.5) * pixel;
                let (color, cover) = paint(x, y);
                if cover > 0.0 {
                    over(&mut self.pixels[j * self.width + i], color, cover.min(1.0));
                }
            }
        }
    }

    /// Fills everything with a colour for each height.
    pub(crate) fn fill_rows(&mut self, color: impl Fn(f32) -> Rgb) {
        for j in 0..self.height {
            let y = ((self.top + j as i32) as f32 + 0.5) / self.scale;
            let [r, g, b] = color(y);
            self.pixels[j * self.width..][..self.width].fill([r, g, b, 1.0]);
        }
    }

    /// Fills everything below the line `height(x)`; `color(x, y, depth)` knows how far below.
    pub(crate) fn terrain(
        &mut self,
        height: impl Fn(f32) -> f32,
        color: impl Fn(f32, f32, f32) -> Rgb,
    ) {
        for i in 0..self.width {
            let x = ((self.left + i as i32) as f32 + 0.5) / self.scale;
            let edge = height(x);
            let first =
                ((edge * self.scale - self.top as f32 - 1.0).max(0.0) as usize).min(self.height);
            for j in first..self.height {
                let y = ((self.top + j as i32) as f32 + 0.5) / self.scale;
                let cover = ((y - edge) * self.scale + 0.5).clamp(0.0, 1.0);
                if cover > 0.0 {
                    over(
                        &mut self.pixels[j * self.width + i],
                        color(x, y, (y - edge).max(0.0)),
                        cover,
                    );
                }
            }
        }
    }

    /// An ellipse; `softness` in world units blurs its edge.
    pub(crate) fn ellipse(
        &mut self,
        center: (f32, f32),
        radii: (f32, f32),
        color: Rgb,
        alpha: f32,
        softness: f32,
    ) {
        let ((cx, cy), (rx, ry)) = (center, radii);
        let edge = softness.max(1.0 / self.scale);
        let smaller = rx.min(ry);
        let area = Area {
            x0: cx - rx - edge,
            y0: cy - ry - edge,
            x1: cx + rx + edge,
            y1: cy + ry + edge,
        };
        self.paint(area, |x, y| {
            let (dx, dy) = ((x - cx) / rx, (y - cy) / ry);
            let distance = ((dx * dx + dy * dy).sqrt() - 1.0) * smaller;
            (color, alpha * smooth_cover(distance, edge))
        });
    }

    /// A glow that fades to nothing at `radius`.
    pub(crate) fn glow(&mut self, center: (f32, f32), radius: f32, color: Rgb, alpha: f32) {
        let (cx, cy) = center;
        let area = Area {
            x0: cx - radius,
            y0: cy - radius,
            x1: cx + radius,
            y1: cy + radius,
        };
        self.paint(area, |x, y| {
            let square = ((x - cx) * (x - cx) + (y - cy) * (y - cy)) / (radius * radius);
            (color, alpha * (1.0 - square).max(0.0).powi(2))
        });
    }

    /// An axis-aligned rectangle.
    pub(crate) fn rect(&mut self, area: Area, color: Rgb, alpha: f32) {
        let scale = self.scale;
        self.paint(area, |x, y| {
            let cover = |low: f32, at: f32, high: f32| {
                (((at - low) * scale + 0.5).min((high - at) * scale + 0.5)).clamp(0.0, 1.0)
            };
            (
                color,
                alpha * cover(area.x0, x, area.x1) * cover(area.y0, y, area.y1),
            )
        });
    }

    /// A convex polygon; corners run clockwise on the screen.
    pub(crate) fn polygon(
        &mut self,
        corners: &[(f32, f32)],
        alpha: f32,
        color: impl Fn(f32, f32) -> Rgb,
    ) {
        let low = |of: fn(&(f32, f32)) -> f32| corners.iter().map(of).fold(f32::INFINITY, f32::min);
        let high =
            |of: fn(&(f32, f32)) -> f32| corners.iter().map(of).fold(f32::NEG_INFINITY, f32::max);
        let area = Area {
            x0: low(|p| p.0),
            y0: low(|p| p.1),
            x1: high(|p| p.0),
            y1: high(|p| p.1),
        };
        let edges: Vec<(f32, f32, f32)> = (0..corners.len())
            .map(|index| {
                let ((x0, y0), (x1, y1)) = (corners[index], corners[(index + 1) % corners.len()]);
                let length = ((x1 - x0).powi(2) + (y1 - y0).powi(2)).sqrt().max(1e-6);
                let (nx, ny) = ((y1 - y0) / length, -(x1 - x0) / length);
                (nx, ny, nx * x0 + ny * y0)
            })
            .collect();
        let scale = self.scale;
        self.paint(area, |x, y| {
            let outside = edges
                .iter()
                .map(|(nx, ny, at)| nx * x + ny * y - at)
                .fold(f32::NEG_INFINITY, f32::max);
            let cover = (0.5 - outside * scale).clamp(0.0, 1.0);
            (
                if cover > 0.0 { color(x, y) } else { [0.0; 3] },
                alpha * cover,
            )
        });
    }

    /// A thick line with round ends that gets thinner towards its end.
    pub(crate) fn stroke(
        &mut self,
        from: (f32, f32),
        to: (f32, f32),
        widths: (f32, f32),
        color: Rgb,
        alpha: f32,
    ) {
        let margin = widths.0.max(widths.1);
        let area = Area {
            x0: from.0.min(to.0) - margin,
            y0: from.1.min(to.1) - margin,
            x1: from.0.max(to.0) + margin,
            y1: from.1.max(to.1) + margin,
        };
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length_squared = (dx * dx + dy * dy).max(1e-9);
        let scale = self.scale;
        self.paint(area, |x, y| {
            let t = (((x - from.0) * dx + (y - from.1) * dy) / length_squared).clamp(0.0, 1.0);
            let (ox, oy) = (x - from.0 - t * dx, y - from.1 - t * dy);
            let half = 0.5 * (widths.0 + (widths.1 - widths.0) * t);
            (
                color,
                alpha * (0.5 - ((ox * ox + oy * oy).sqrt() - half) * scale).clamp(0.0, 1.0),
            )
        });
    }

    /// Premultiplied RGBA8.
    pub(crate) fn to_rgba8(&self) -> Vec<u8> {
        self.pixels
            .iter()
            .flat_map(|pixel| pixel.map(|value| (value * 255.0 + 0.5).clamp(0.0, 255.0) as u8))
            .collect()
    }
}

/// Lays a colour over a premultiplied pixel.
fn over(pixel: &mut [f32; 4], color: Rgb, alpha: f32) {
    let keep = 1.0 - alpha;
    for (value, new) in pixel.iter_mut().zip([color[0], color[1], color[2], 1.0]) {
        *value = *value * keep + new * alpha;
    }
}

/// 1 inside, 0 outside, an even fall of width `2 × edge` between.
fn smooth_cover(distance: f32, edge: f32) -> f32 {
    let t = (0.5 - distance / (2.0 * edge)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_borders_of_a_canvas_do_not_change_what_it_shows() {
        let draw = |area| {
            let mut canvas = Canvas::new(area, 50.0);
            canvas.ellipse((0.5, 0.5), (0.2, 0.1), [1.0, 0.5, 0.0], 0.8, 0.02);
            canvas.polygon(&[(0.4, 0.3), (0.6, 0.6), (0.2, 0.6)], 1.0, |x, y| {
                [x, y, 0.0]
            });
            canvas
        };
        let small = draw(Area {
            x0: 0.2,
            y0: 0.2,
            x1: 0.8,
            y1: 0.8,
        });
        let large = draw(Area {
            x0: -1.0,
            y0: -0.5,
            x1: 2.0,
            y1: 1.5,
        });
        for j in 0..small.height {
            for i in 0..small.width {
                let x = (small.left - large.left) as usize + i;
                let y = (small.top - large.top) as usize + j;
                assert_eq!(
                    small.pixels[j * small.width + i],
                    large.pixels[y * large.width + x]
                );
            }
        }
    }

    #[test]
    fn a_full_rectangle_is_full() {
        let mut canvas = Canvas::new(
            Area {
                x0: 0.0,
                y0: 0.0,
                x1: 1.0,
                y1: 1.0,
            },
            10.0,
        );
        canvas.rect(
            Area {
                x0: -1.0,
                y0: -1.0,
                x1: 3.0,
                y1: 3.0,
            },
            [1.0, 0.0, 0.0],
            1.0,
        );
        assert!(
            canvas
                .to_rgba8()
                .chunks(4)
                .all(|pixel| pixel == [255, 0, 0, 255])
        );
    }
}
