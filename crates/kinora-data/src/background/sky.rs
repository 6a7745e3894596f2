//! Sky: gradient, sun or moon, stars and clouds; and the world above the clouds.

use super::{Site, row_of};
use crate::canvas::{Area, Canvas, noise_2d};
use crate::layer::{Depth, Layer, LayerPlan};
use crate::palette::{Rgb, mix, scale, smoothstep};
use crate::rng::Rng;

/// The gradient with sun or moon and stars, infinitely far.
pub(super) fn sky(site: &Site, layers: &mut Vec<Layer>) {
    site.layer(
        layers,
        LayerPlan::at(Depth::Flat(0.0)),
        (f32::NEG_INFINITY, f32::INFINITY),
        |canvas| {
            canvas.fill_rows(|y| site.palette.sky_at(y / site.horizon));
            stars(site, canvas);
            disc(site, canvas);
        },
    );
}

fn stars(site: &Site, canvas: &mut Canvas) {
    if site.palette.stars <= 0.0 {
        return;
    }
    let mut rng = Rng::derived(site.seed, 11);
    for _ in 0..70 {
        let (x, y) = (
            rng.range(-0.5, site.width + 0.5),
            rng.range(-0.1, site.horizon * 0.9),
        );
        let (radius, bright) = (rng.range(0.004, 0.0075), rng.range(0.4, 1.0));
        canvas.ellipse(
            (x, y),
            (radius, radius),
            [1.0, 1.0, 0.95],
            bright * site.palette.stars,
            0.006,
        );
    }
}

fn disc(site: &Site, canvas: &mut Canvas) {
    let Some(disc) = site.palette.disc else {
        return;
    };
    let center = (disc.x * site.width, disc.y * site.horizon);
    canvas.glow(center, disc.radius * 5.0, disc.glow, 0.50);
    canvas.glow(center, disc.radius * 2.4, disc.glow, 0.60);
    canvas.ellipse(center, (disc.radius, disc.radius), disc.color, 1.0, 0.0);
    if disc.is_moon {
        for (dx, dy, size) in [
            (-0.3, -0.2, 0.26),
            (0.28, 0.22, 0.32),
            (0.12, -0.45, 0.16),
            (-0.25, 0.42, 0.18),
        ] {
            let spot = (center.0 + dx * disc.radius, center.1 + dy * disc.radius);
            canvas.ellipse(
                spot,
                (size * disc.radius, size * disc.radius),
                [0.80, 0.80, 0.76],
                0.7,
                0.006,
            );
        }
    }
}

/// A few clouds that drift.
pub(super) fn clouds(site: &Site, layers: &mut Vec<Layer>, amount: f32) {
    let palette = site.palette;
    let white = mix(
        mix(palette.sky[2], [1.0; 3], 0.75),
        palette.haze,
        if palette.is_dark { 0.75 } else { 0.18 },
    );
    let shade = mix(white, palette.sky[1], 0.35);
    let drift = Rng::derived(site.seed, 12).range(0.010, 0.022);
    let plan = LayerPlan {
        drift,
        ..LayerPlan::at(Depth::Flat(0.12))
    };
    site.layer(layers, plan, (f32::NEG_INFINITY, site.horizon), |canvas| {
        row_of(canvas, site.seed ^ 0xC10D, 0.62, |canvas, rng, x| {
            let (y, size) = (rng.range(0.08, 0.62) * site.horizon, rng.range(0.10, 0.19));
            if rng.chance(amount) {
                cloud(canvas, rng, (x, y), size, white, shade);
            }
        });
    });
}

/// One cloud: a row of soft puffs on a flat base, darker below.
fn cloud(
    canvas: &mut Canvas,
    rng: &mut Rng,
    center: (f32, f32),
    size: f32,
    white: Rgb,
    shade: Rgb,
) {
    let puffs: Vec<(f32, f32, f32)> = (-2..=2)
        .map(|index| {
            let at = index as f32;
            let radius = size * (0.52 - 0.11 * at.abs()) * rng.range(0.85, 1.15);
            (
                center.0 + at * size * 0.48,
                center.1 - radius * 0.55,
                radius,
            )
        })
        .collect();
    let softness = 0.022;
    let reach = size * 1.7;
    let area = Area {
        x0: center.0 - reach,
        y0: center.1 - size * 1.3,
        x1: center.0 + reach,
        y1: center.1 + size * 0.3,
    };
    canvas.paint(area, |x, y| {
        let inside = puffs
            .iter()
            .map(|(px, py, r)| r - ((x - px).powi(2) + (y - py).powi(2)).sqrt())
            .fold(f32::NEG_INFINITY, f32::max);
        let base = center.1 - y + 0.01;
        let cover = smoothstep(-softness, softness, inside.min(base));
        (
            mix(shade, white, smoothstep(-0.05, size * 0.8, center.1 - y)),
            cover * 0.92,
        )
    });
}

/// Banks of clouds below and beside, at three depths.
pub(super) fn above_clouds(site: &Site, layers: &mut Vec<Layer>) {
    sky(site, layers);
    clouds(site, layers, 0.7);
    let palette = site.palette;
    for (part, depth, height, drift) in [
        (1_u64, 0.25, 0.66, 0.015),
        (2, 0.5, 0.78, 0.03),
        (3, 0.9, 0.90, 0.05),
    ] {
        let seed = site.seed ^ (0xABC0 + part);
        let near = depth as f32;
        let top = site.height * height;
        let white = mix(
            palette.lit([0.99, 0.99, 1.0], 0.35 * (1.0 - near)),
            palette.sky[2],
            0.35 * (1.0 - near),
        );
        let shade = mix(palette.lit([0.70, 0.78, 0.90], 0.3), palette.sky[1], 0.25);
        let line = move |x: f32| {
            let bump = |frequency: f32, row: f32| noise_2d(seed, x * frequency, row).abs();
            top - 0.13 * bump(2.1, 3.5) - 0.07 * bump(5.3, 8.5) + 0.05
        };
        let plan = LayerPlan {
            drift,
            ..LayerPlan::at(Depth::Flat(near))
        };
        site.layer(layers, plan, (top - 0.3, f32::INFINITY), |canvas| {
            canvas.terrain(line, |_, _, below| {
                scale(mix(white, shade, smoothstep(0.0, 0.26, below)), 1.0)
            });
        });
    }
}
