//! A room with a window, and a stage.

use super::{Site, row_of};
use crate::canvas::{Area, Canvas, noise_2d};
use crate::layer::{Depth, Layer, LayerPlan};
use crate::palette::{Rgb, mix, scale, smoothstep, times};
use crate::rng::Rng;

/// The light inside: warm lamps in the dark, daylight else.
pub(crate) fn room_light(is_dark: bool) -> Rgb {
    if is_dark {
        [0.88, 0.74, 0.60]
    } else {
        [1.0, 0.98, 0.95]
    }
}

pub(super) fn room(site: &Site, layers: &mut Vec<Layer>) {
    let mut rng = Rng::derived(site.seed, 90);
    let walls: [Rgb; 5] = [
        [0.93, 0.84, 0.70],
        [0.70, 0.82, 0.84],
        [0.90, 0.74, 0.72],
        [0.78, 0.84, 0.68],
        [0.80, 0.76, 0.88],
    ];
    let light = mix(room_light(site.palette.is_dark), site.palette.light, 0.25);
    let lit = |color: Rgb| times(color, light);
    let wall = walls[rng.below(5)];
    site.layer(
        layers,
        LayerPlan::at(Depth::Flat(0.5)),
        (f32::NEG_INFINITY, site.horizon + 0.2),
        |canvas| {
            canvas.fill_rows(|y| lit(scale(wall, 1.0 - 0.10 * (y / site.horizon))));
            let window_left = rng.chance(0.5);
            let (a, b) = if window_left {
                (0.24, 0.74)
            } else {
                (0.76, 0.26)
            };
            window(site, canvas, (a * site.width, 0.46 * site.horizon), light);
            picture(
                canvas,
                &mut rng,
                (b * site.width, 0.36 * site.horizon),
                light,
            );
            let skirting = Area {
                y0: site.horizon - 0.045,
                y1: site.horizon + 0.01,
                ..canvas.area()
            };
            canvas.rect(skirting, lit([0.97, 0.95, 0.92]), 1.0);
        },
    );
    let boards: Rgb = [[0.72, 0.50, 0.32], [0.60, 0.42, 0.30], [0.80, 0.62, 0.42]][rng.below(3)];
    let rug: Rgb = [
        [0.72, 0.25, 0.25],
        [0.25, 0.42, 0.60],
        [0.35, 0.52, 0.40],
        [0.85, 0.68, 0.40],
    ][rng.below(4)];
    site.layer(
        layers,
        LayerPlan::at(site.ground_depth()),
        (site.horizon - 0.02, f32::INFINITY),
        |canvas| {
            let seed = site.seed ^ 0xF100;
            canvas.terrain(
                |_| site.horizon,
                |x, y, _| {
                    let near = site.nearness(y);
                    let board = ((near.sqrt() * 7.0).floor()) as i64;
                    let tone = 1.0 + 0.06 * noise_2d(seed, board as f32 * 3.7, x * 0.8);
                    let gap = ((near.sqrt() * 7.0).fract() - 0.5).abs();
                    scale(
                        lit(boards),
                        tone * (1.0 - 0.14 * smoothstep(0.44, 0.5, gap)),
                    )
                },
            );
            let center = (site.width * 0.5, site.foot + 0.01);
            canvas.ellipse(center, (0.52, 0.115), lit(rug), 1.0, 0.0);
            canvas.ellipse(
                center,
                (0.44, 0.090),
                lit(mix(rug, [1.0, 0.95, 0.85], 0.35)),
                1.0,
                0.0,
            );
            canvas.ellipse(center, (0.40, 0.078), lit(rug), 1.0, 0.0);
        },
    );
}

/// A window that shows the sky.
fn window(site: &Site, canvas: &mut Canvas, center: (f32, f32), light: Rgb) {
    let (half_x, half_y) = (0.17, 0.19 * (site.horizon / 0.58).min(1.3));
    let frame = times([0.98, 0.97, 0.95], light);
    let whole = Area {
        x0: center.0 - half_x,
        y0: center.1 - half_y,
        x1: center.0 + half_x,
        y1: center.1 + half_y,
    };
    let grown = |by: f32| Area {
        x0: whole.x0 - by,
        y0: whole.y0 - by,
        x1: whole.x1 + by,
        y1: whole.y1 + by,
    };
    canvas.rect(grown(0.022), frame, 1.0);
    canvas.paint(whole, |x, y| {
        let inside = x > whole.x0 && x < whole.x1 && y > whole.y0 && y < whole.y1;
        (
            site.palette.sky_at((y - whole.y0) / (2.0 * half_y)),
            f32::from(u8::from(inside)),
        )
    });
    if let Some(disc) = site.palette.disc {
        let at = (
            center.0 + 0.4 * half_x,
            center.1 + (disc.y - 0.5) * 1.2 * half_y,
        );
        canvas.ellipse(at, (0.04, 0.04), disc.color, 1.0, 0.0);
    }
    canvas.rect(
        Area {
            x0: center.0 - 0.008,
            x1: center.0 + 0.008,
            ..whole
        },
        frame,
        1.0,
    );
    canvas.rect(
        Area {
            y0: center.1 - 0.008,
            y1: center.1 + 0.008,
            ..whole
        },
        frame,
        1.0,
    );
    canvas.rect(
        Area {
            x0: whole.x0 - 0.04,
            y0: whole.y1 + 0.015,
            x1: whole.x1 + 0.04,
            y1: whole.y1 + 0.04,
        },
        scale(frame, 0.92),
        1.0,
    );
}

/// A framed picture of hills.
fn picture(canvas: &mut Canvas, rng: &mut Rng, center: (f32, f32), light: Rgb) {
    let (half_x, half_y) = (0.13, 0.10);
    let area = |by: f32| Area {
        x0: center.0 - half_x - by,
        y0: center.1 - half_y - by,
        x1: center.0 + half_x + by,
        y1: center.1 + half_y + by,
    };
    canvas.rect(area(0.018), times([0.45, 0.30, 0.18], light), 1.0);
    let sky: Rgb = [[0.60, 0.80, 0.95], [0.98, 0.75, 0.55]][rng.below(2)];
    canvas.rect(area(0.0), times(sky, light), 1.0);
    let hill = [[0.35, 0.58, 0.38], [0.30, 0.42, 0.58]][rng.below(2)];
    canvas.polygon(
        &[
            (center.0 - 0.02, center.1 - 0.03),
            (center.0 + half_x, center.1 + half_y),
            (center.0 - half_x, center.1 + half_y),
        ],
        1.0,
        |_, _| times(hill, light),
    );
    canvas.ellipse(
        (center.0 + 0.07, center.1 - 0.045),
        (0.022, 0.022),
        times([1.0, 0.93, 0.65], light),
        1.0,
        0.0,
    );
}

pub(super) fn stage(site: &Site, layers: &mut Vec<Layer>) {
    let mut rng = Rng::derived(site.seed, 91);
    let cloth: Rgb = [[0.66, 0.08, 0.12], [0.42, 0.10, 0.46], [0.10, 0.22, 0.52]][rng.below(3)];
    let beam_x = site.subject_x.clamp(0.25 * site.width, 0.75 * site.width);
    site.layer(
        layers,
        LayerPlan::at(Depth::Flat(0.55)),
        (f32::NEG_INFINITY, site.horizon + 0.2),
        |canvas| {
            let area = canvas.area();
            canvas.paint(area, |x, y| {
                let fold = (x * 34.0 + 0.8 * (x * 9.0).sin()).sin();
                let spot = (-((x - beam_x) / 0.42).powi(2)).exp();
                (
                    scale(
                        cloth,
                        (0.55 + 0.22 * fold)
                            * (0.55 + 0.75 * spot)
                            * (1.0 - 0.12 * y / site.horizon),
                    ),
                    1.0,
                )
            });
            row_of(canvas, 5, 0.22, |canvas, _, x| {
                let slot = ((x / 0.22).floor() + 0.5) * 0.22;
                canvas.ellipse((slot, -0.02), (0.125, 0.11), scale(cloth, 0.80), 1.0, 0.0);
                canvas.ellipse((slot, -0.045), (0.11, 0.11), scale(cloth, 1.05), 1.0, 0.01);
            });
        },
    );
    site.layer(
        layers,
        LayerPlan::at(site.ground_depth()),
        (site.horizon - 0.02, f32::INFINITY),
        |canvas| {
            canvas.terrain(
                |_| site.horizon,
                |x, y, _| {
                    let near = site.nearness(y);
                    let gap = ((near.sqrt() * 6.0).fract() - 0.5).abs();
                    let (dx, dy) = ((x - beam_x) / 0.56, (y - site.foot) / 0.13);
                    let spot = smoothstep(1.15, 0.8, (dx * dx + dy * dy).sqrt());
                    let wood = scale([0.62, 0.40, 0.22], 1.0 - 0.15 * smoothstep(0.44, 0.5, gap));
                    mix(scale(wood, 0.52), times([1.25, 1.2, 1.05], wood), spot)
                },
            );
        },
    );
    let plan = LayerPlan::at(Depth::Flat(0.8));
    site.layer(layers, plan, (f32::NEG_INFINITY, site.foot), |canvas| {
        let area = canvas.area();
        canvas.paint(area, |x, y| {
            let half = 0.05 + 0.44 * ((y + 0.15) / (site.foot + 0.15)).max(0.0);
            (
                [1.0, 0.96, 0.82],
                0.17 * smoothstep(1.0, 0.75, (x - beam_x).abs() / half),
            )
        });
    });
}
