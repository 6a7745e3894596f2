//! Beach, open sea and the bottom of the sea.

use super::{Site, plants, row_of, sky};
use crate::canvas::{Canvas, noise_2d};
use crate::layer::{Depth, Layer, LayerPlan, Ripple};
use crate::palette::{Rgb, mix, scale, smoothstep};
use crate::rng::Rng;

/// Water from the horizon to `to_y`: it takes the sky's colour when far and its own when near, with wavelets and a path of light.
fn water(site: &Site, layers: &mut Vec<Layer>, to_y: f32, near: Rgb) {
    let palette = site.palette;
    let seed = site.seed ^ 0x3A7E2;
    let ripple = Ripple {
        amount: 0.018,
        from_y: site.horizon,
        to_y: site.height,
    };
    let plan = LayerPlan {
        ripple: Some(ripple),
        ..LayerPlan::at(site.ground_depth())
    };
    let far = mix(palette.sky[1], palette.lit(near, 0.0), 0.45);
    let crest = mix(palette.sky[2], [1.0; 3], 0.35);
    site.layer(layers, plan, (site.horizon - 0.01, to_y + 0.1), |canvas| {
        canvas.terrain(
            |_| site.horizon,
            |x, y, below| {
                let nearness = site.nearness(y);
                let color = mix(
                    far,
                    palette.lit(near, 0.0),
                    smoothstep(0.0, 0.7, below / (site.height - site.horizon)),
                );
                let rows = (nearness + 0.02).ln() * 7.0;
                let wave = noise_2d(seed, x * (2.6 / (0.25 + nearness)), rows * 2.0);
                let color = mix(color, crest, 0.30 * smoothstep(0.25, 0.85, wave));
                let color = scale(color, 1.0 + 0.05 * noise_2d(seed ^ 1, x * 3.0, rows));
                let Some(disc) = palette.disc else {
                    return color;
                };
                let path = (x - disc.x * site.width) / (0.06 + 0.16 * nearness);
                let glitter = (-path * path).exp()
                    * smoothstep(
                        -0.35,
                        0.55,
                        noise_2d(seed ^ 2, x * (5.0 / (0.25 + nearness)), rows * 3.0),
                    );
                mix(color, mix(disc.color, disc.glow, 0.3), 0.65 * glitter)
            },
        );
    });
}

pub(super) fn sea(site: &Site, layers: &mut Vec<Layer>) {
    sky::sky(site, layers);
    sky::clouds(site, layers, 0.6);
    if Rng::derived(site.seed, 70).chance(0.5) {
        island(site, layers);
    }
    water(site, layers, f32::INFINITY, [0.05, 0.38, 0.58]);
}

/// A far island, low on the horizon.
fn island(site: &Site, layers: &mut Vec<Layer>) {
    let mut rng = Rng::derived(site.seed, 71);
    let (x, half) = (rng.range(0.1, 0.9) * site.width, rng.range(0.16, 0.30));
    site.layer(
        layers,
        LayerPlan::at(Depth::Flat(0.2)),
        (site.horizon - 0.2, site.horizon + 0.1),
        |canvas| {
            canvas.ellipse(
                (x, site.horizon),
                (half, 0.07),
                site.palette.lit([0.35, 0.48, 0.36], 0.40),
                1.0,
                0.0,
            );
            canvas.ellipse(
                (x + half * 0.4, site.horizon),
                (half * 0.7, 0.045),
                site.palette.lit([0.30, 0.44, 0.32], 0.30),
                1.0,
                0.0,
            );
        },
    );
}

pub(super) fn beach(site: &Site, layers: &mut Vec<Layer>) {
    sky::sky(site, layers);
    sky::clouds(site, layers, 0.6);
    let shore = site.horizon + 0.36 * (site.foot - site.horizon);
    water(site, layers, shore, [0.06, 0.52, 0.66]);
    let palette = site.palette;
    let seed = site.seed ^ 0xBEAC;
    let edge = |x: f32| {
        shore + 0.022 * noise_2d(seed, x * 2.0, 0.0) + 0.008 * noise_2d(seed, x * 6.0, 3.0)
    };
    site.layer(
        layers,
        LayerPlan::at(site.ground_depth()),
        (shore - 0.08, f32::INFINITY),
        |canvas| {
            let foam = palette.lit([0.97, 0.99, 1.0], 0.0);
            canvas.terrain(|x| edge(x) - 0.018, |_, _, _| foam);
            canvas.terrain(edge, |x, y, below| {
                let dry = palette.lit(
                    mix([0.96, 0.85, 0.62], [0.90, 0.76, 0.52], site.nearness(y)),
                    0.0,
                );
                let wet = scale(dry, 0.80);
                let patch = noise_2d(seed, x * 4.0, y * 14.0);
                scale(
                    mix(wet, dry, smoothstep(0.0, 0.07, below)),
                    1.0 + 0.025 * patch,
                )
            });
            shells(site, canvas);
        },
    );
    let mut rng = Rng::derived(site.seed, 72);
    let is_left = rng.chance(0.5);
    let x = if is_left {
        rng.range(0.03, 0.12)
    } else {
        rng.range(0.88, 0.97)
    } * site.width;
    let height = rng.range(0.46, 0.58) * site.horizon.min(0.85) / 0.58;
    site.layer(
        layers,
        LayerPlan::at(Depth::Flat(0.75)),
        (f32::NEG_INFINITY, f32::INFINITY),
        |canvas| {
            plants::palm(
                canvas,
                palette,
                (x, shore + 0.08),
                height,
                if is_left { 0.16 } else { -0.16 },
            );
        },
    );
}

fn shells(site: &Site, canvas: &mut Canvas) {
    row_of(canvas, site.seed ^ 0x5E11, 0.5, |canvas, rng, x| {
        let y = site.foot + rng.range(0.03, 0.12);
        let color = [[1.0, 0.72, 0.62], [0.98, 0.94, 0.86], [0.93, 0.52, 0.36]][rng.below(3)];
        let radius = rng.range(0.012, 0.020);
        canvas.ellipse(
            (x, y),
            (radius, radius * 0.75),
            site.palette.lit(color, 0.0),
            1.0,
            0.0,
        );
    });
}

pub(super) fn underwater(site: &Site, layers: &mut Vec<Layer>) {
    let bright = Rng::derived(site.seed, 73).range(0.9, 1.1);
    let colors: [Rgb; 3] = [[0.30, 0.78, 0.88], [0.07, 0.47, 0.72], [0.02, 0.24, 0.50]]
        .map(|color| scale(color, bright));
    let bottom = site.height * 0.90;
    site.layer(
        layers,
        LayerPlan::at(Depth::Flat(0.0)),
        (f32::NEG_INFINITY, f32::INFINITY),
        |canvas| {
            canvas.fill_rows(|y| {
                let t = y / bottom;
                if t < 0.4 {
                    mix(colors[0], colors[1], (t / 0.4).max(0.0))
                } else {
                    mix(colors[1], colors[2], ((t - 0.4) / 0.6).min(1.0))
                }
            });
        },
    );
    rays(site, layers);
    let sand = [0.62, 0.66, 0.52];
    for (part, depth, height, deep) in [(81_u64, 0.3, 0.10, 0.55), (82, 0.8, 0.0, 0.2)] {
        let near = depth as f32;
        let seed = site.seed ^ part;
        let line = move |x: f32| bottom - height - 0.04 * noise_2d(seed, x * 1.7, 0.0);
        let tone = |color: Rgb| mix(times_water(color), colors[1], deep);
        site.layer(
            layers,
            LayerPlan::at(Depth::Flat(near)),
            (bottom - 0.65, f32::INFINITY),
            |canvas| {
                weeds(canvas, seed, near, &line, &tone);
                canvas.terrain(line, |x, y, below| {
                    scale(
                        tone(scale(sand, 1.15 - 0.6 * below.min(0.5))),
                        1.0 + 0.05 * noise_2d(seed, x * 5.0, y * 16.0),
                    )
                });
            },
        );
    }
}

fn times_water(color: Rgb) -> Rgb {
    [color[0] * 0.70, color[1] * 0.95, color[2]]
}

/// Soft slanted beams from the surface that drift.
fn rays(site: &Site, layers: &mut Vec<Layer>) {
    let plan = LayerPlan {
        drift: 0.03,
        ..LayerPlan::at(Depth::Flat(0.1))
    };
    let seed = site.seed ^ 0x4A1;
    let reach = site.height * 0.85;
    site.layer(layers, plan, (f32::NEG_INFINITY, reach), |canvas| {
        let area = canvas.area();
        canvas.paint(area, |x, y| {
            let beam = noise_2d(seed, (x + 0.45 * y) * 3.2, 0.0);
            (
                [0.75, 0.97, 1.0],
                0.26 * smoothstep(0.0, 0.8, beam) * (1.0 - y / reach).clamp(0.0, 1.0),
            )
        });
    });
}

/// Seaweed, corals and stones along the bottom.
fn weeds(
    canvas: &mut Canvas,
    seed: u64,
    near: f32,
    line: &dyn Fn(f32) -> f32,
    tone: &dyn Fn(Rgb) -> Rgb,
) {
    row_of(canvas, seed ^ 0x3EED, 0.30, |canvas, rng, x| {
        let foot = (x, line(x) + 0.02);
        let size = 0.5 + 0.6 * near;
        match rng.below(4) {
            0 | 1 => {
                let color = tone([[0.20, 0.62, 0.30], [0.36, 0.68, 0.24]][rng.below(2)]);
                for blade in -1..=1 {
                    let mut at = (foot.0 + blade as f32 * 0.035 * size, foot.1);
                    let bend = rng.range(-0.03, 0.03);
                    let step = rng.range(0.06, 0.10) * size;
                    for part in 0..4 {
                        let side = if part % 2 == 0 { 1.0 } else { -1.0 };
                        let next = (at.0 + (bend + 0.014 * side) * size, at.1 - step);
                        let width = 0.030 * size * (1.0 - 0.2 * part as f32);
                        canvas.stroke(at, next, (width, width * 0.8), color, 1.0);
                        at = next;
                    }
                }
            }
            2 => {
                let color = tone(
                    [[0.98, 0.42, 0.40], [0.96, 0.55, 0.75], [0.98, 0.66, 0.30]][rng.below(3)],
                );
                for (dx, dy) in [(-0.07, 0.10), (-0.02, 0.15), (0.04, 0.13), (0.08, 0.08)] {
                    canvas.stroke(
                        foot,
                        (foot.0 + dx * size, foot.1 - dy * size),
                        (0.030 * size, 0.024 * size),
                        color,
                        1.0,
                    );
                }
            }
            _ => {
                let radius = rng.range(0.05, 0.09) * size;
                canvas.ellipse(
                    foot,
                    (radius, radius * 0.75),
                    tone([0.42, 0.46, 0.50]),
                    1.0,
                    0.0,
                );
                canvas.ellipse(
                    (foot.0 - radius * 0.2, foot.1 - radius * 0.3),
                    (radius * 0.5, radius * 0.25),
                    tone([0.60, 0.64, 0.66]),
                    0.7,
                    0.01,
                );
            }
        }
    });
}

/// Rising bubbles for one frame: centres and radii in world units.
pub(crate) fn bubbles(
    seed: u64,
    width: f32,
    height: f32,
    time_secs: f32,
) -> impl Iterator<Item = (f32, f32, f32)> {
    (0..16_u64).map(move |index| {
        let mut rng = Rng::derived(seed ^ 0xB0B, index);
        let (x, start, speed) = (rng.unit() * width, rng.unit(), rng.range(0.10, 0.22));
        let radius = rng.range(0.008, 0.020);
        let span = height + 0.1;
        let y = height + 0.05 - (start * span + time_secs * speed).rem_euclid(span);
        (
            x + 0.012 * (time_secs * 3.0 + start * 20.0).sin(),
            y,
            radius,
        )
    })
}
