//! Space: stars, a nebula and planets.

use super::Site;
use crate::canvas::{Area, Canvas, noise_2d};
use crate::layer::{Depth, Layer, LayerPlan};
use crate::palette::{Rgb, mix, scale, smoothstep};
use crate::rng::Rng;

pub(super) fn stars(site: &Site, layers: &mut Vec<Layer>) {
    let mut rng = Rng::derived(site.seed, 95);
    let clouds: Rgb = [
        [0.40, 0.16, 0.58],
        [0.12, 0.30, 0.62],
        [0.55, 0.18, 0.40],
        [0.10, 0.42, 0.48],
    ][rng.below(4)];
    let seed = site.seed ^ 0x5ACE;
    site.layer(
        layers,
        LayerPlan::at(Depth::Flat(0.03)),
        (f32::NEG_INFINITY, f32::INFINITY),
        |canvas| {
            let area = canvas.area();
            canvas.paint(area, |x, y| {
                let fog = 0.6 * noise_2d(seed, x * 1.7, y * 1.7)
                    + 0.4 * noise_2d(seed ^ 1, x * 4.0, y * 4.0);
                (
                    mix(
                        [0.03, 0.03, 0.10],
                        clouds,
                        0.75 * smoothstep(-0.1, 0.75, fog),
                    ),
                    1.0,
                )
            });
        },
    );
    for (part, depth, count, size) in [(1_u64, 0.05, 90, 0.006), (2, 0.15, 36, 0.010)] {
        let plan = LayerPlan {
            drift: -0.006 * part as f32,
            ..LayerPlan::at(Depth::Flat(depth))
        };
        site.layer(layers, plan, (f32::NEG_INFINITY, f32::INFINITY), |canvas| {
            let mut rng = Rng::derived(site.seed ^ 0x57A2, part);
            for _ in 0..count {
                let at = (
                    rng.range(-0.8, site.width + 0.8),
                    rng.range(-0.5, site.height + 0.5),
                );
                let (radius, bright) = (size * rng.range(0.6, 1.2), rng.range(0.5, 1.0));
                let tint: Rgb =
                    [[1.0, 1.0, 1.0], [0.80, 0.88, 1.0], [1.0, 0.92, 0.78]][rng.below(3)];
                canvas.ellipse(at, (radius, radius), tint, bright, 0.007);
            }
        });
    }
    let left = rng.chance(0.5);
    let x = if left {
        rng.range(0.06, 0.22)
    } else {
        rng.range(0.78, 0.94)
    } * site.width;
    let (y, radius) = (rng.range(0.18, 0.40) * site.height, rng.range(0.14, 0.24));
    let color: Rgb = [
        [0.90, 0.56, 0.32],
        [0.38, 0.62, 0.90],
        [0.82, 0.74, 0.52],
        [0.70, 0.44, 0.74],
    ][rng.below(4)];
    let has_ring = rng.chance(0.5);
    site.layer(
        layers,
        LayerPlan::at(Depth::Flat(0.22)),
        (f32::NEG_INFINITY, f32::INFINITY),
        |canvas| {
            planet(canvas, seed, (x, y), radius, color);
            if has_ring {
                ring(canvas, (x, y), radius, color);
            }
            let moon = (site.width - x, site.height * 0.80);
            planet(canvas, seed ^ 9, moon, radius * 0.38, [0.72, 0.72, 0.74]);
        },
    );
}

/// A ball with bands, lit from the left above.
fn planet(canvas: &mut Canvas, seed: u64, center: (f32, f32), radius: f32, color: Rgb) {
    canvas.glow(center, radius * 1.5, color, 0.35);
    let area = Area {
        x0: center.0 - radius,
        y0: center.1 - radius,
        x1: center.0 + radius,
        y1: center.1 + radius,
    };
    let pixels = canvas.scale;
    canvas.paint(area, |x, y| {
        let (dx, dy) = ((x - center.0) / radius, (y - center.1) / radius);
        let square = dx * dx + dy * dy;
        let light = (-0.55 * dx - 0.5 * dy + 0.67 * (1.0 - square).max(0.0).sqrt()).max(0.0);
        let band = noise_2d(seed, dx * 0.8, dy * 4.5 + 0.6 * dx);
        let cover = ((1.0 - square.sqrt()) * radius * pixels + 0.5).clamp(0.0, 1.0);
        (
            scale(color, (0.16 + 0.95 * light) * (1.0 + 0.14 * band)),
            cover,
        )
    });
}

fn ring(canvas: &mut Canvas, center: (f32, f32), radius: f32, color: Rgb) {
    let reach = radius * 1.95;
    let area = Area {
        x0: center.0 - reach,
        y0: center.1 - reach,
        x1: center.0 + reach,
        y1: center.1 + reach,
    };
    let bright = mix(color, [1.0, 0.95, 0.85], 0.5);
    canvas.paint(area, |x, y| {
        let (dx, dy) = ((x - center.0) / radius, (y - center.1) / radius);
        let (along, across) = (dx * 0.96 - dy * 0.28, (dx * 0.28 + dy * 0.96) * 3.6);
        let distance = (along * along + across * across).sqrt();
        let is_behind = across < 0.0 && dx * dx + dy * dy < 1.0;
        let cover = smoothstep(1.28, 1.38, distance) * smoothstep(1.9, 1.78, distance);
        (bright, if is_behind { 0.0 } else { 0.8 * cover })
    });
}
