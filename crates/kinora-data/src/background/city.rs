//! A street: a far skyline, houses with windows, pavement and road.

use super::{Site, row_of, sky};
use crate::canvas::{Area, Canvas};
use crate::layer::{Depth, Layer, LayerPlan};
use crate::palette::{Rgb, mix, scale};
use crate::rng::Rng;

pub(super) fn street(site: &Site, layers: &mut Vec<Layer>) {
    sky::sky(site, layers);
    sky::clouds(site, layers, 0.4);
    let stretch = site.horizon / 0.58;
    site.layer(
        layers,
        LayerPlan::at(Depth::Flat(0.12)),
        (f32::NEG_INFINITY, site.horizon + 0.1),
        |canvas| {
            row_of(canvas, site.seed ^ 0xC171, 0.11, |canvas, rng, x| {
                let (half, height) = (rng.range(0.045, 0.075), rng.range(0.18, 0.42) * stretch);
                let color = site.palette.lit([0.50, 0.56, 0.68], 0.50);
                canvas.rect(
                    Area {
                        x0: x - half,
                        y0: site.horizon - height,
                        x1: x + half,
                        y1: site.horizon + 0.1,
                    },
                    color,
                    1.0,
                );
                windows(
                    site,
                    canvas,
                    rng,
                    (x - half, x + half),
                    (site.horizon - height, site.horizon),
                    (0.024, 0.034),
                    0.45,
                );
            });
        },
    );
    site.layer(
        layers,
        LayerPlan::at(Depth::Flat(0.36)),
        (f32::NEG_INFINITY, site.horizon + 0.2),
        |canvas| {
            row_of(canvas, site.seed ^ 0xC172, 0.27, |canvas, rng, x| {
                house(site, canvas, rng, x, stretch)
            });
        },
    );
    road(site, layers);
}

fn house(site: &Site, canvas: &mut Canvas, rng: &mut Rng, x: f32, stretch: f32) {
    let (half, height) = (rng.range(0.11, 0.16), rng.range(0.22, 0.44) * stretch);
    let colors: [Rgb; 6] = [
        [0.78, 0.42, 0.34],
        [0.88, 0.72, 0.48],
        [0.52, 0.62, 0.72],
        [0.72, 0.58, 0.66],
        [0.46, 0.56, 0.52],
        [0.90, 0.84, 0.74],
    ];
    let wall = site.palette.lit(colors[rng.below(6)], 0.10);
    let top = site.horizon - height;
    let base = site.horizon + 0.12;
    canvas.rect(
        Area {
            x0: x - half,
            y0: top,
            x1: x + half,
            y1: base,
        },
        wall,
        1.0,
    );
    canvas.rect(
        Area {
            x0: x + half * 0.72,
            y0: top,
            x1: x + half,
            y1: base,
        },
        scale(wall, 0.86),
        1.0,
    );
    let roof = scale(wall, 0.70);
    if rng.chance(0.4) {
        canvas.polygon(
            &[
                (x, top - 0.08),
                (x + half * 1.08, top),
                (x - half * 1.08, top),
            ],
            1.0,
            |_, _| roof,
        );
    } else {
        canvas.rect(
            Area {
                x0: x - half * 1.05,
                y0: top - 0.018,
                x1: x + half * 1.05,
                y1: top + 0.004,
            },
            roof,
            1.0,
        );
    }
    windows(
        site,
        canvas,
        rng,
        (x - half, x + half),
        (top, site.horizon + 0.02),
        (0.044, 0.060),
        0.10,
    );
}

/// Rows of windows; some shine when it is dark.
fn windows(
    site: &Site,
    canvas: &mut Canvas,
    rng: &mut Rng,
    across: (f32, f32),
    down: (f32, f32),
    size: (f32, f32),
    haze: f32,
) {
    let (step_x, step_y) = (size.0 * 1.75, size.1 * 1.75);
    let columns = ((across.1 - across.0) / step_x).floor().max(1.0);
    let margin = ((across.1 - across.0) - columns * step_x + step_x - size.0) / 2.0;
    let mut y = down.0 + size.1 * 0.7;
    while y + size.1 < down.1 {
        for column in 0..columns as usize {
            let x0 = across.0 + margin + column as f32 * step_x;
            let lamp = rng.unit();
            let dark_glass = site
                .palette
                .lit(mix([0.45, 0.60, 0.74], site.palette.sky[1], 0.3), haze);
            let shines = lamp < if site.palette.is_dark { 0.55 } else { 0.0 };
            let color = if shines {
                mix([1.0, 0.83, 0.45], site.palette.haze, haze * 0.6)
            } else {
                scale(dark_glass, 0.9 + 0.2 * lamp)
            };
            canvas.rect(
                Area {
                    x0,
                    y0: y,
                    x1: x0 + size.0,
                    y1: y + size.1,
                },
                color,
                0.9,
            );
        }
        y += step_y;
    }
}

fn road(site: &Site, layers: &mut Vec<Layer>) {
    let kerb = site.horizon + 0.30 * (site.foot - site.horizon);
    let lane = site.foot + 0.45 * (site.height - site.foot).min(0.25);
    site.ground(
        layers,
        [0.72, 0.71, 0.70],
        [0.72, 0.71, 0.70],
        0.015,
        |canvas| {
            let area = canvas.area();
            let lit = |color: Rgb| site.palette.lit(color, 0.0);
            canvas.rect(Area { y0: kerb, ..area }, lit([0.36, 0.37, 0.41]), 1.0);
            canvas.rect(
                Area {
                    y0: kerb - 0.014,
                    y1: kerb + 0.010,
                    ..area
                },
                lit([0.86, 0.85, 0.83]),
                1.0,
            );
            row_of(canvas, site.seed ^ 0x1A2E, 0.40, |canvas, _, x| {
                let slot = (x / 0.40).floor() * 0.40;
                let corners = [
                    (slot + 0.03, lane),
                    (slot + 0.22, lane),
                    (slot + 0.21, lane + 0.028),
                    (slot + 0.01, lane + 0.028),
                ];
                canvas.polygon(&corners, 0.9, |_, _| lit([0.95, 0.93, 0.84]));
            });
        },
    );
}
