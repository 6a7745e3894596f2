//! Rain, snow, fog and leaves over a finished frame. Each particle's place is a function of time alone.

use crate::canvas::noise_2d;
use crate::rng::Rng;
use crate::scene::Weather;
use crate::sprite::Target;

/// Lays the weather over a frame; `scale` is pixels per world unit.
pub(crate) fn draw(
    weather: Weather,
    target: &mut Target,
    scale: f32,
    seed: u64,
    time_secs: f32,
    light: [f32; 3],
) {
    match weather {
        Weather::Clear => {}
        Weather::Rain => rain(target, scale, seed, time_secs, light),
        Weather::Snow => snow(target, scale, seed, time_secs, light),
        Weather::Fog => fog(target, scale, seed, time_secs, light),
        Weather::Leaves => leaves(target, scale, seed, time_secs, light),
    }
}

/// Particles per square of the smaller frame side.
fn count(target: &Target, scale: f32, per_unit: f32) -> u64 {
    (per_unit * target.width as f32 * target.height as f32 / (scale * scale)) as u64
}

/// Where a falling particle is: it wraps round a frame with a margin.
fn place(
    rng: &mut Rng,
    target: &Target,
    scale: f32,
    speed: (f32, f32),
    time_secs: f32,
) -> (f32, f32) {
    let margin = 0.12;
    let (width, height) = (
        target.width as f32 / scale + 2.0 * margin,
        target.height as f32 / scale + 2.0 * margin,
    );
    let x = (rng.unit() * width + speed.0 * time_secs).rem_euclid(width) - margin;
    let y = (rng.unit() * height + speed.1 * time_secs).rem_euclid(height) - margin;
    (x * scale, y * scale)
}

fn rain(target: &mut Target, scale: f32, seed: u64, time_secs: f32, light: [f32; 3]) {
    let color = light.map(|value| 150.0 + 90.0 * value);
    for index in 0..count(target, scale, 52.0) {
        let mut rng = Rng::derived(seed ^ 0x4A14, index);
        let near = rng.range(0.6, 1.1);
        let at = place(
            &mut rng,
            target,
            scale,
            (-0.25 * near, 1.9 * near),
            time_secs,
        );
        let length = 0.10 * near * scale;
        line(
            target,
            at,
            (at.0 - 0.13 * length, at.1 + length),
            (0.009 * scale * near).max(0.7),
            color,
            0.38,
        );
    }
}

fn snow(target: &mut Target, scale: f32, seed: u64, time_secs: f32, light: [f32; 3]) {
    let color = light.map(|value| 120.0 + 135.0 * value);
    for index in 0..count(target, scale, 62.0) {
        let mut rng = Rng::derived(seed ^ 0x5170, index);
        let near = rng.range(0.5, 1.2);
        let sway = 0.025 * (time_secs * rng.range(1.2, 2.2) + rng.unit() * 6.0).sin();
        let at = place(&mut rng, target, scale, (0.03, 0.26 * near), time_secs);
        disc(
            target,
            (at.0 + sway * scale, at.1),
            (0.013 * near * scale).max(0.7),
            color,
            0.9,
        );
    }
}

fn leaves(target: &mut Target, scale: f32, seed: u64, time_secs: f32, light: [f32; 3]) {
    let colors = [
        [230.0, 120.0, 40.0],
        [200.0, 70.0, 35.0],
        [240.0, 180.0, 50.0],
        [150.0, 90.0, 40.0],
    ];
    for index in 0..count(target, scale, 13.0).max(6) {
        let mut rng = Rng::derived(seed ^ 0x1EAF, index);
        let near = rng.range(0.7, 1.2);
        let turn = time_secs * rng.range(1.5, 3.0) + rng.unit() * 6.0;
        let base = colors[rng.below(4)];
        let at = place(&mut rng, target, scale, (0.09, 0.20 * near), time_secs);
        let at = (at.0 + 0.05 * scale * turn.sin(), at.1);
        let (length, flat) = (0.026 * near * scale, 0.35 + 0.65 * (turn * 1.3).cos().abs());
        let along = (turn.cos() * length, turn.sin() * length * 0.6);
        let color = [base[0] * light[0], base[1] * light[1], base[2] * light[2]];
        line(
            target,
            (at.0 - along.0, at.1 - along.1),
            (at.0 + along.0, at.1 + along.1),
            length * 0.9 * flat,
            color,
            0.95,
        );
    }
}

fn fog(target: &mut Target, scale: f32, seed: u64, time_secs: f32, light: [f32; 3]) {
    let color = light.map(|value| 95.0 + 130.0 * value);
    let height = target.height as f32;
    // Banks are wide and soft: one value for 4 × 4 pixels is enough.
    let step = 4;
    let (columns, rows) = (
        target.width.div_ceil(step) + 1,
        target.height.div_ceil(step) + 1,
    );
    let cover: Vec<f32> = (0..rows * columns)
        .map(|cell| {
            let (x, y) = (
                (cell % columns * step) as f32 / scale,
                (cell / columns * step) as f32,
            );
            let bank = noise_2d(seed ^ 0xF06, x * 1.5 - time_secs * 0.10, y / scale * 3.5)
                + 0.5 * noise_2d(seed, x * 3.0 + time_secs * 0.07, y / scale * 6.0);
            let down = 1.0 - (y / height - 0.62).abs() * 1.3;
            (0.29 + 0.22 * bank).clamp(0.0, 0.7) * down.clamp(0.25, 1.0)
        })
        .collect();
    for y in 0..target.height {
        let (row, ty) = (y / step, (y % step) as f32 / step as f32);
        for x in 0..target.width {
            let (column, tx) = (x / step, (x % step) as f32 / step as f32);
            let at = row * columns + column;
            let top = cover[at] + (cover[at + 1] - cover[at]) * tx;
            let bottom = cover[at + columns] + (cover[at + columns + 1] - cover[at + columns]) * tx;
            blend(
                &mut target.pixels[(y * target.width + x) * 4..],
                color,
                top + (bottom - top) * ty,
            );
        }
    }
}

fn blend(pixel: &mut [u8], color: [f32; 3], alpha: f32) {
    for (value, new) in pixel.iter_mut().zip(color) {
        *value = (f32::from(*value) * (1.0 - alpha) + new * alpha + 0.5).clamp(0.0, 255.0) as u8;
    }
}

/// A soft disc in frame pixels.
pub(crate) fn disc(
    target: &mut Target,
    center: (f32, f32),
    radius: f32,
    color: [f32; 3],
    alpha: f32,
) {
    line(target, center, center, 2.0 * radius, color, alpha);
}

/// A line with round soft ends in frame pixels.
pub(crate) fn line(
    target: &mut Target,
    from: (f32, f32),
    to: (f32, f32),
    width: f32,
    color: [f32; 3],
    alpha: f32,
) {
    let margin = width * 0.5 + 1.0;
    let clip = |at: f32, end: usize| (at.max(0.0) as usize).min(end);
    let (x0, x1) = (
        clip(from.0.min(to.0) - margin, target.width),
        clip(from.0.max(to.0) + margin + 1.0, target.width),
    );
    let (y0, y1) = (
        clip(from.1.min(to.1) - margin, target.height),
        clip(from.1.max(to.1) + margin + 1.0, target.height),
    );
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let square = (dx * dx + dy * dy).max(1e-6);
    for y in y0..y1 {
        for x in x0..x1 {
            let (px, py) = (x as f32 + 0.5 - from.0, y as f32 + 0.5 - from.1);
            let t = ((px * dx + py * dy) / square).clamp(0.0, 1.0);
            let distance = ((px - t * dx).powi(2) + (py - t * dy).powi(2)).sqrt();
            let cover = (0.5 + width * 0.5 - distance).clamp(0.0, 1.0);
            if cover > 0.0 {
                blend(
                    &mut target.pixels[(y * target.width + x) * 4..],
                    color,
                    cover * alpha,
                );
            }
        }
    }
}
