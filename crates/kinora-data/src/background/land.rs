//! Meadow, desert, snow, forest and mountains.

use super::{Ridge, Site, plants, row_of, sky};
use crate::canvas::{Canvas, noise_2d};
use crate::layer::{Depth, Layer, LayerPlan};
use crate::palette::{Palette, Rgb, mix, scale, smoothstep};
use crate::rng::Rng;

/// Things on the ground at random heights between the horizon and the lower edge, small when far. They keep clear of the feet.
fn scatter(
    site: &Site,
    canvas: &mut Canvas,
    part: u64,
    spacing: f32,
    mut place: impl FnMut(&mut Canvas, &mut Rng, (f32, f32), f32),
) {
    for band in 0..3_u64 {
        let (low, high) = [(0.10, 0.30), (0.36, 0.62), (0.78, 1.05)][band as usize];
        let spacing = spacing * [0.6, 0.9, 1.1][band as usize];
        row_of(
            canvas,
            site.seed ^ part ^ (band << 32),
            spacing,
            |canvas, rng, x| {
                let near = rng.range(low, high);
                let y = site.horizon + near * (site.height - site.horizon);
                place(canvas, rng, (x, y), 0.35 + 0.8 * near);
            },
        );
    }
}

pub(super) fn meadow(site: &Site, layers: &mut Vec<Layer>) {
    sky::sky(site, layers);
    sky::clouds(site, layers, 0.75);
    let far = Ridge {
        part: 21,
        depth: 0.2,
        height: 0.20,
        frequency: 1.3,
        color: [0.42, 0.66, 0.46],
        haze: 0.45,
    };
    site.hills(layers, &far, |_, _| {});
    let near = Ridge {
        part: 22,
        depth: 0.38,
        height: 0.10,
        frequency: 1.9,
        color: [0.38, 0.66, 0.30],
        haze: 0.18,
    };
    site.hills(layers, &near, |canvas, line| {
        row_of(canvas, site.seed ^ 0x7EE, 0.42, |canvas, rng, x| {
            let height = rng.range(0.14, 0.24);
            if rng.chance(0.6) {
                plants::tree(canvas, rng, site.palette, (x, line(x) + 0.02), height, 0.2);
            }
        });
    });
    site.ground(
        layers,
        [0.50, 0.74, 0.32],
        [0.34, 0.62, 0.22],
        0.06,
        |canvas| {
            let blade = site.palette.lit([0.24, 0.50, 0.16], 0.0);
            scatter(site, canvas, 0x96A5, 0.30, |canvas, rng, at, size| {
                plants::tuft(canvas, at, 0.026 * size * rng.range(0.8, 1.3), blade)
            });
            let colors: [Rgb; 4] = [
                [1.0, 0.95, 0.95],
                [0.98, 0.80, 0.25],
                [0.95, 0.45, 0.55],
                [0.70, 0.55, 0.95],
            ];
            scatter(site, canvas, 0xF10, 0.42, |canvas, rng, at, size| {
                plants::flower(canvas, site.palette, at, 0.017 * size, colors[rng.below(4)]);
            });
        },
    );
}

pub(super) fn desert(site: &Site, layers: &mut Vec<Layer>) {
    sky::sky(site, layers);
    let far = Ridge {
        part: 31,
        depth: 0.18,
        height: 0.16,
        frequency: 1.1,
        color: [0.88, 0.62, 0.42],
        haze: 0.35,
    };
    site.hills(layers, &far, |_, _| {});
    let near = Ridge {
        part: 32,
        depth: 0.36,
        height: 0.08,
        frequency: 1.5,
        color: [0.93, 0.72, 0.42],
        haze: 0.1,
    };
    site.hills(layers, &near, |canvas, line| {
        row_of(canvas, site.seed ^ 0xCAC, 0.55, |canvas, rng, x| {
            let height = rng.range(0.10, 0.22);
            if rng.chance(0.65) {
                plants::cactus(canvas, site.palette, (x, line(x) + 0.03), height, 0.1);
            }
        });
    });
    site.ground(
        layers,
        [0.95, 0.78, 0.50],
        [0.88, 0.66, 0.37],
        0.035,
        |canvas| {
            let seed = site.seed ^ 0xD0;
            let area = canvas.area();
            canvas.paint(area, |x, y| {
                let near = site.nearness(y);
                let wave = ((near.sqrt() * 34.0) + 2.2 * noise_2d(seed, x * 2.0, near * 6.0)).sin();
                (
                    site.palette.lit([0.74, 0.52, 0.27], 0.0),
                    if near > 0.04 {
                        0.13 * smoothstep(0.2, 1.0, wave)
                    } else {
                        0.0
                    },
                )
            });
            scatter(site, canvas, 0x570, 0.75, |canvas, rng, at, size| {
                let radius = 0.022 * size * rng.range(0.7, 1.3);
                canvas.ellipse(
                    (at.0, at.1),
                    (radius, radius * 0.6),
                    site.palette.lit([0.60, 0.42, 0.30], 0.0),
                    1.0,
                    0.0,
                );
            });
        },
    );
}

pub(super) fn snow(site: &Site, layers: &mut Vec<Layer>) {
    // Snow takes the colour of the sky as much as that of the sun.
    let white = mix(
        site.palette.light,
        site.palette.sky[0],
        if site.palette.is_dark { 0.1 } else { 0.28 },
    );
    let palette = &Palette {
        light: mix(
            white,
            [1.0; 3],
            if site.palette.is_dark { 0.12 } else { 0.30 },
        ),
        ..site.palette.clone()
    };
    let site = &Site { palette, ..*site };
    sky::sky(site, layers);
    sky::clouds(site, layers, 0.45);
    let far = Ridge {
        part: 41,
        depth: 0.2,
        height: 0.22,
        frequency: 1.4,
        color: [0.80, 0.87, 0.97],
        haze: 0.30,
    };
    site.hills(layers, &far, |_, _| {});
    let near = Ridge {
        part: 42,
        depth: 0.4,
        height: 0.10,
        frequency: 1.8,
        color: [0.90, 0.94, 1.0],
        haze: 0.08,
    };
    site.hills(layers, &near, |canvas, line| {
        row_of(canvas, site.seed ^ 0xF12, 0.22, |canvas, rng, x| {
            let height = rng.range(0.16, 0.30);
            if rng.chance(0.7) {
                plants::fir(
                    canvas,
                    rng,
                    site.palette,
                    (x, line(x) + 0.03),
                    height,
                    0.14,
                    0.9,
                );
            }
        });
    });
    site.ground(
        layers,
        [0.90, 0.94, 1.0],
        [0.97, 0.98, 1.0],
        0.030,
        |canvas| {
            scatter(site, canvas, 0x5E0, 0.6, |canvas, rng, at, size| {
                let width = 0.10 * size * rng.range(0.7, 1.3);
                canvas.ellipse(
                    at,
                    (width, width * 0.16),
                    site.palette.lit([0.76, 0.84, 0.96], 0.0),
                    0.7,
                    0.02,
                );
            });
        },
    );
}

pub(super) fn forest(site: &Site, layers: &mut Vec<Layer>) {
    sky::sky(site, layers);
    for (part, depth, haze, base) in [
        (51_u64, 0.15, 0.50, 0.02),
        (52, 0.28, 0.30, 0.03),
        (53, 0.42, 0.10, 0.035),
    ] {
        let near = depth as f32;
        let plan = LayerPlan::at(Depth::Flat(near));
        site.layer(
            layers,
            plan,
            (f32::NEG_INFINITY, site.horizon + 0.15),
            |canvas| {
                let shade = site.palette.lit([0.12, 0.30, 0.16], haze);
                canvas.terrain(
                    |x| site.horizon - 0.06 - 0.03 * noise_2d(part, x * 4.0, 0.0),
                    |_, _, _| shade,
                );
                row_of(
                    canvas,
                    site.seed ^ part,
                    0.12 + 0.24 * near,
                    |canvas, rng, x| {
                        let height = rng.range(0.75, 1.1)
                            * (0.28 + 0.72 * near)
                            * site.horizon.min(1.0)
                            * 1.15;
                        let foot = (x, site.horizon + base);
                        if rng.chance(0.55) {
                            plants::fir(canvas, rng, site.palette, foot, height, haze, 0.0);
                        } else {
                            plants::tree(canvas, rng, site.palette, foot, height * 0.9, haze);
                        }
                    },
                );
            },
        );
    }
    site.ground(
        layers,
        [0.26, 0.42, 0.18],
        [0.22, 0.36, 0.14],
        0.10,
        |canvas| {
            let blade = site.palette.lit([0.36, 0.56, 0.22], 0.0);
            scatter(site, canvas, 0xFE2, 0.22, |canvas, rng, at, size| {
                plants::tuft(canvas, at, 0.026 * size * rng.range(0.8, 1.3), blade)
            });
            scatter(site, canvas, 0x3A7, 0.9, |canvas, _, at, size| {
                let (cap, stem) = (
                    site.palette.lit([0.86, 0.24, 0.18], 0.0),
                    site.palette.lit([0.95, 0.90, 0.80], 0.0),
                );
                canvas.stroke(
                    at,
                    (at.0, at.1 - 0.03 * size),
                    (0.014 * size, 0.012 * size),
                    stem,
                    1.0,
                );
                canvas.ellipse(
                    (at.0, at.1 - 0.034 * size),
                    (0.022 * size, 0.014 * size),
                    cap,
                    1.0,
                    0.0,
                );
            });
        },
    );
}

pub(super) fn mountains(site: &Site, layers: &mut Vec<Layer>) {
    sky::sky(site, layers);
    sky::clouds(site, layers, 0.5);
    for (part, depth, height, haze, rock) in [
        (61_u64, 0.10, 0.42, 0.48, [0.50, 0.54, 0.66]),
        (62, 0.22, 0.30, 0.22, [0.40, 0.43, 0.54]),
    ] {
        peaks(
            site,
            layers,
            part,
            depth,
            height * site.horizon / 0.58,
            haze,
            rock,
        );
    }
    let near = Ridge {
        part: 63,
        depth: 0.40,
        height: 0.07,
        frequency: 1.9,
        color: [0.30, 0.46, 0.30],
        haze: 0.12,
    };
    site.hills(layers, &near, |canvas, line| {
        row_of(canvas, site.seed ^ 0xF1F, 0.17, |canvas, rng, x| {
            let height = rng.range(0.08, 0.15);
            if rng.chance(0.7) {
                plants::fir(
                    canvas,
                    rng,
                    site.palette,
                    (x, line(x) + 0.02),
                    height,
                    0.12,
                    0.0,
                );
            }
        });
    });
    site.ground(
        layers,
        [0.46, 0.55, 0.34],
        [0.42, 0.48, 0.28],
        0.08,
        |canvas| {
            scatter(site, canvas, 0x20C, 0.42, |canvas, rng, at, size| {
                let radius = 0.035 * size * rng.range(0.6, 1.3);
                canvas.ellipse(
                    at,
                    (radius, radius * 0.62),
                    site.palette.lit([0.50, 0.50, 0.52], 0.0),
                    1.0,
                    0.0,
                );
                let lit = (at.0 - radius * 0.2, at.1 - radius * 0.2);
                canvas.ellipse(
                    lit,
                    (radius * 0.6, radius * 0.3),
                    site.palette.lit([0.66, 0.66, 0.68], 0.0),
                    0.8,
                    0.01,
                );
            });
        },
    );
}

/// A chain of pointed mountains, bright on one side, white at the top.
fn peaks(
    site: &Site,
    layers: &mut Vec<Layer>,
    part: u64,
    depth: f32,
    height: f32,
    haze: f32,
    rock: Rgb,
) {
    let seed = site.seed ^ part;
    let light_from_left = site.palette.disc.is_none_or(|disc| disc.x < 0.5);
    let plan = LayerPlan::at(Depth::Flat(depth));
    site.layer(
        layers,
        plan,
        (f32::NEG_INFINITY, site.horizon + 0.2),
        |canvas| {
            row_of(canvas, seed, 0.34, |canvas, rng, x| {
                let tall = height * rng.range(0.6, 1.15);
                let (half, top, lean) = (
                    tall * rng.range(0.75, 0.95),
                    site.horizon - tall,
                    rng.range(-0.12, 0.12) * tall,
                );
                let base = site.horizon + 0.1;
                let left = [(x, top), (x + lean, base), (x - half, base)];
                let right = [(x, top), (x + half, base), (x + lean, base)];
                let (bright, dark) = (scale(rock, 1.12), scale(rock, 0.80));
                for (corners, is_lit) in [(left, light_from_left), (right, !light_from_left)] {
                    let stone = if is_lit { bright } else { dark };
                    let ice = if is_lit {
                        [0.98, 0.99, 1.0]
                    } else {
                        [0.78, 0.84, 0.93]
                    };
                    canvas.polygon(&corners, 1.0, |px, py| {
                        let down = (py - top) / tall;
                        let zigzag = 0.34 + 0.10 * noise_2d(seed, px * 17.0, 2.0);
                        let color = mix(ice, stone, smoothstep(zigzag - 0.03, zigzag + 0.03, down));
                        site.palette
                            .lit(color, haze + 0.25 * smoothstep(0.4, 1.1, down))
                    });
                }
            });
        },
    );
}
