//! What each style does to a frame.

use crate::Style;
use crate::noise::noise_2d;

/// A frame of RGB8 to restyle.
pub(super) struct Frame<'a> {
    pub(super) pixels: &'a mut [u8],
    pub(super) width: usize,
    pub(super) height: usize,
}

pub(super) fn apply(style: Style, frame: &mut Frame, seed: u64) {
    // Grain and pixels are counted in smaller frame sides.
    let scale = frame.width.min(frame.height) as f32;
    match style {
        Style::Natural => {}
        Style::Flat => flat(frame),
        Style::Pixel => pixel(frame, (scale / 32.0).round().max(2.0) as usize),
        Style::Sketch => sketch(frame, scale, seed),
        Style::Watercolor => watercolor(frame, scale, seed),
        Style::Neon => neon(frame),
        Style::Monochrome => monochrome(frame),
        Style::Clay => clay(frame, scale, seed),
    }
}

fn luma(pixel: &[u8]) -> f32 {
    (0.299 * f32::from(pixel[0]) + 0.587 * f32::from(pixel[1]) + 0.114 * f32::from(pixel[2]))
        / 255.0
}

fn byte(value: f32) -> u8 {
    (value * 255.0 + 0.5).clamp(0.0, 255.0) as u8
}

/// Five steps of brightness with narrow soft borders, and stronger colours.
fn flat(frame: &mut Frame) {
    for pixel in frame.pixels.chunks_exact_mut(3) {
        let bright = luma(pixel);
        let level = bright * 5.0;
        let step = level.floor() + ((level.fract() - 0.5) * 5.0 + 0.5).clamp(0.0, 1.0);
        let gain = (step / 5.0 + 0.03) / bright.max(0.02);
        for value in pixel {
            let old = f32::from(*value) / 255.0;
            let vivid = bright + (old - bright) * 1.35;
            *value = byte(vivid * gain);
        }
    }
}

/// Blocks of `side` pixels with few colours.
fn pixel(frame: &mut Frame, side: usize) {
    for top in (0..frame.height).step_by(side) {
        for left in (0..frame.width).step_by(side) {
            let (bottom, right) = (
                (top + side).min(frame.height),
                (left + side).min(frame.width),
            );
            let mut sum = [0_u32; 3];
            for y in top..bottom {
                for x in left..right {
                    for (total, value) in sum
                        .iter_mut()
                        .zip(&frame.pixels[(y * frame.width + x) * 3..][..3])
                    {
                        *total += u32::from(*value);
                    }
                }
            }
            let area = ((bottom - top) * (right - left)) as u32;
            let color = sum.map(|total| ((total / area + 12) / 24 * 24).min(255) as u8);
            for y in top..bottom {
                for x in left..right {
                    frame.pixels[(y * frame.width + x) * 3..][..3].copy_from_slice(&color);
                }
            }
        }
    }
}

/// Strength of edges, about 0 to 1, from differences of all three colours.
fn edges(frame: &Frame) -> Vec<f32> {
    let (width, height) = (frame.width, frame.height);
    let mut edges = vec![0.0; width * height];
    for y in 0..height {
        for x in 0..width {
            let (left, right) = (x.saturating_sub(1), (x + 1).min(width - 1));
            let (up, down) = (y.saturating_sub(1), (y + 1).min(height - 1));
            let at = |x: usize, y: usize| &frame.pixels[(y * width + x) * 3..][..3];
            let mut sum = 0.0;
            for channel in 0..3 {
                let dx = f32::from(at(right, y)[channel]) - f32::from(at(left, y)[channel]);
                let dy = f32::from(at(x, down)[channel]) - f32::from(at(x, up)[channel]);
                sum += dx * dx + dy * dy;
            }
            edges[y * width + x] = (sum.sqrt() / 255.0).min(1.0);
        }
    }
    edges
}

/// Grey lines and light shading on warm paper.
fn sketch(frame: &mut Frame, scale: f32, seed: u64) {
    let edges = edges(frame);
    let width = frame.width;
    for (index, pixel) in frame.pixels.chunks_exact_mut(3).enumerate() {
        let (x, y) = (
            (index % width) as f32 / scale,
            (index / width) as f32 / scale,
        );
        let grain = 0.02 * noise_2d(seed, x * 40.0, y * 40.0);
        let shade = 0.62 + 0.38 * luma(pixel).sqrt();
        let ink = (edges[index] * 1.9 - 0.10).clamp(0.0, 0.85);
        let tone = (shade + grain) * (1.0 - ink);
        pixel.copy_from_slice(&[byte(tone * 0.99), byte(tone * 0.965), byte(tone * 0.91)]);
    }
}

/// Softened, washed out, darker at edges, on grained paper.
fn watercolor(frame: &mut Frame, scale: f32, seed: u64) {
    let edges = edges(frame);
    let width = frame.width;
    blur(frame);
    for (index, pixel) in frame.pixels.chunks_exact_mut(3).enumerate() {
        let (x, y) = (
            (index % width) as f32 / scale,
            (index / width) as f32 / scale,
        );
        let pool = 0.07 * noise_2d(seed, x * 7.0, y * 7.0)
            + 0.035 * noise_2d(seed ^ 1, x * 22.0, y * 22.0);
        let wash = 0.26 + pool - 0.22 * edges[index];
        for value in pixel {
            let color = f32::from(*value) / 255.0;
            *value = byte(color + (0.97 - color) * wash.clamp(0.0, 0.6));
        }
    }
}

/// A 3 × 3 mean, by rows and then by columns.
fn blur(frame: &mut Frame) {
    let (width, height) = (frame.width, frame.height);
    let source = frame.pixels.to_vec();
    let mut rows = source.clone();
    for y in 0..height {
        for x in 0..width {
            let (left, right) = (x.saturating_sub(1), (x + 1).min(width - 1));
            for channel in 0..3 {
                let at = |x: usize| u32::from(source[(y * width + x) * 3 + channel]);
                rows[(y * width + x) * 3 + channel] =
                    ((at(left) + at(x) + at(right) + 1) / 3) as u8;
            }
        }
    }
    for y in 0..height {
        let (up, down) = (y.saturating_sub(1), (y + 1).min(height - 1));
        for offset in 0..width * 3 {
            let at = |y: usize| u32::from(rows[y * width * 3 + offset]);
            frame.pixels[y * width * 3 + offset] = ((at(up) + at(y) + at(down) + 1) / 3) as u8;
        }
    }
}

/// Glowing edges in the scene's colours on a dark violet ground.
fn neon(frame: &mut Frame) {
    let edges = edges(frame);
    for (index, pixel) in frame.pixels.chunks_exact_mut(3).enumerate() {
        let bright = luma(pixel);
        let glow = (edges[index] * 1.7).min(1.0);
        let ground = [
            0.05 + 0.10 * bright,
            0.01 + 0.05 * bright,
            0.12 + 0.20 * bright,
        ];
        let strongest = f32::from(pixel.iter().copied().max().unwrap_or(0)).max(40.0) / 255.0;
        for channel in 0..3 {
            let old = f32::from(pixel[channel]) / 255.0;
            let vivid = (bright + (old - bright) * 2.2).clamp(0.0, 1.0) / strongest;
            let tint = [0.25, 0.15, 0.35][channel];
            pixel[channel] = byte(ground[channel] + 0.16 * old + (vivid * 0.85 + tint) * glow);
        }
    }
}

/// Grey with a little more contrast.
fn monochrome(frame: &mut Frame) {
    for pixel in frame.pixels.chunks_exact_mut(3) {
        let bright = luma(pixel);
        pixel.fill(byte(0.5 + (bright - 0.48) * 1.12));
    }
}

/// Rounded, matt and a little uneven, lit from the upper left.
fn clay(frame: &mut Frame, scale: f32, seed: u64) {
    blur(frame);
    blur(frame);
    let (width, height) = (frame.width, frame.height);
    let bump = |x: usize, y: usize| {
        let (u, v) = (x as f32 / scale, y as f32 / scale);
        0.05 * noise_2d(seed, u * 16.0, v * 16.0) + 0.03 * noise_2d(seed ^ 1, u * 40.0, v * 40.0)
    };
    let relief: Vec<f32> = (0..width * height)
        .map(|at| luma(&frame.pixels[at * 3..][..3]) + bump(at % width, at / width))
        .collect();
    for (index, pixel) in frame.pixels.chunks_exact_mut(3).enumerate() {
        let (x, y) = (index % width, index / width);
        let before = y.saturating_sub(1) * width + x.saturating_sub(1);
        let behind = (y + 1).min(height - 1) * width + (x + 1).min(width - 1);
        let slope = (relief[before] - relief[behind]).clamp(-0.3, 0.3);
        let light = 1.0 - 1.3 * slope;
        let shine = 0.5 * (light - 1.15).max(0.0);
        let bright = luma(pixel);
        for value in pixel {
            let old = f32::from(*value) / 255.0;
            let matt = bright + (old - bright) * 0.92;
            *value = byte((0.07 + 0.84 * matt) * light + shine);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_style_changes_a_picture_and_takes_odd_sizes() {
        for (width, height) in [(1, 1), (7, 3), (33, 17)] {
            let source: Vec<u8> = (0..width * height * 3)
                .map(|value| (value * 37 % 251) as u8)
                .collect();
            for style in Style::ALL {
                let mut pixels = source.clone();
                apply(
                    *style,
                    &mut Frame {
                        pixels: &mut pixels,
                        width,
                        height,
                    },
                    3,
                );
                assert_eq!(
                    pixels == source,
                    *style == Style::Natural,
                    "{style:?} at {width}×{height}"
                );
            }
        }
    }
}
