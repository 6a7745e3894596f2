//! Pictures made larger by cubic convolution, straight to bytes.
//!
//! One pass over memory: a row is widened as soon as it is there, four widened rows are blended to a row of the result, and nothing else
//! is kept. A pixel is four values wide, so that its channels are weighed at once.

use super::level::{Level, level};
use super::math::{madd, per_level};
use super::parallel::{Shared, for_each};

/// Pixels that one of the result is weighed from, in each direction.
const TAPS: usize = 4;
/// Rows of the result that a task makes: those that two tasks need are widened twice.
const TASK_ROWS: usize = 128;

/// Three channels, and one that is not looked at.
pub type Pixel = [f32; 4];

/// A part of a picture, and the size that it is brought to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CubicShape {
    /// Rows and columns of the picture, at least four each.
    pub from: [usize; 2],
    /// First row and column of the part, in pixels.
    pub first: [f32; 2],
    /// Rows and columns of the part, in pixels.
    pub span: [f32; 2],
    /// Rows and columns of the result, at least as many as of the part: it has no filter against patterns.
    pub to: [usize; 2],
}

/// The part of a picture at another size, by cubic convolution (Keys, 1981, a = −1/2): a value `v` becomes the byte
/// `127.5 · v + 127.5`, rounded and clipped. `fetch` writes a row of the picture. Beyond its borders the picture goes on as it ends.
///
/// # Shapes
///
/// `out`: `[to[0], to[1], 3]`; a fetched row has `from[1]` pixels.
///
/// # Panics
///
/// When `out` does not have the length of its shape, or the picture is smaller than 4 × 4.
pub fn cubic_to_bytes(
    shape: CubicShape,
    fetch: impl Fn(usize, &mut [Pixel]) + Sync,
    out: &mut [u8],
) {
    cubic_to_bytes_at(level(), shape, fetch, out);
}

pub(crate) fn cubic_to_bytes_at(
    level: Level,
    shape: CubicShape,
    fetch: impl Fn(usize, &mut [Pixel]) + Sync,
    out: &mut [u8],
) {
    let [height, width] = shape.to;
    assert_eq!(out.len(), height * width * 3, "{shape:?} does not fit");
    assert!(
        shape.from.iter().all(|side| *side >= TAPS),
        "{shape:?} is too small"
    );
    if out.is_empty() {
        return;
    }
    let [down, across] = [0, 1].map(|axis| {
        let (first, span) = (shape.first[axis], shape.span[axis]);
        taps(shape.from[axis], first, span, shape.to[axis])
    });
    let out = Shared::new(out);
    let cost = height * width * 3 * TAPS * 2;
    for_each(height.div_ceil(TASK_ROWS), cost, |task| {
        let mut source = vec![Pixel::default(); shape.from[1]];
        // The rows that were widened last, by their index modulo four. A pixel more takes what the last one writes beyond itself.
        let mut widened = [(); TAPS].map(|()| vec![0.0; width * 3 + 1]);
        let mut held = [usize::MAX; TAPS];
        let rows = down.iter().enumerate();
        for (y, &Tap { first, weights }) in rows.skip(task * TASK_ROWS).take(TASK_ROWS) {
            for row in first..first + TAPS {
                if held[row % TAPS] != row {
                    fetch(row, &mut source);
                    widen(&source, &across, &mut widened[row % TAPS]);
                    held[row % TAPS] = row;
                }
            }
            let rows = [0, 1, 2, 3].map(|tap| &widened[(first + tap) % TAPS][..width * 3]);
            // SAFETY: tasks have rows of their own.
            let out = unsafe { out.slice(y * width * 3, width * 3) };
            blend(level, &rows, &weights, out);
        }
    });
}

/// What a place of the result is weighed from.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Tap {
    first: usize,
    weights: [f32; TAPS],
}

/// Those of all places along an axis of `len` pixels, of which `span` from `first` on become `places`.
fn taps(len: usize, first: f32, span: f32, places: usize) -> Vec<Tap> {
    let tap = |place: usize| {
        let at = first + (place as f32 + 0.5) * span / places as f32 - 0.5;
        let nearest = at.floor() as isize - 1;
        let inside = |pixel: isize| pixel.clamp(0, len as isize - 1) as usize;
        let first = inside(nearest).min(len - TAPS);
        let mut weights = [0.0; TAPS];
        for pixel in nearest..nearest + TAPS as isize {
            weights[(inside(pixel) - first).min(TAPS - 1)] += cubic(at - pixel as f32);
        }
        Tap { first, weights }
    };
    (0..places).map(tap).collect()
}

fn cubic(x: f32) -> f32 {
    match x.abs() {
        x if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
        x if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
        _ => 0.0,
    }
}

/// A row at its new width, three values a pixel. What the fourth would be is overwritten by the next pixel.
fn widen(row: &[Pixel], taps: &[Tap], out: &mut [f32]) {
    for (place, Tap { first, weights }) in taps.iter().enumerate() {
        let pixels = &row[*first..first + TAPS];
        out[3 * place..][..4].copy_from_slice(&weigh(pixels, *weights));
    }
}

/// The compiler does not see that a pixel is a register: by itself this takes twice as long.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn weigh(pixels: &[Pixel], weights: [f32; TAPS]) -> Pixel {
    use std::arch::x86_64::{_mm_add_ps, _mm_loadu_ps, _mm_mul_ps, _mm_set1_ps, _mm_storeu_ps};
    let mut sum = Pixel::default();
    // SAFETY: SSE is part of x86-64; a pixel is four values.
    unsafe {
        let part = |i: usize| _mm_mul_ps(_mm_set1_ps(weights[i]), _mm_loadu_ps(pixels[i].as_ptr()));
        let all = _mm_add_ps(_mm_add_ps(part(0), part(1)), _mm_add_ps(part(2), part(3)));
        _mm_storeu_ps(sum.as_mut_ptr(), all);
    }
    sum
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn weigh(pixels: &[Pixel], weights: [f32; TAPS]) -> Pixel {
    let part = |i: usize, channel: usize| weights[i] * pixels[i][channel];
    std::array::from_fn(|c| (part(0, c) + part(1, c)) + (part(2, c) + part(3, c)))
}

per_level! {
    fn blend / blend_body(rows: &[&[f32]; 4], weights: &[f32; 4], out: &mut [u8])
}

#[inline(always)]
fn blend_body<const FMA: bool>(rows: &[&[f32]; 4], weights: &[f32; 4], out: &mut [u8]) {
    let len = out.len();
    let [a, b, c, d] = rows.map(|row| &row[..len]);
    let [p, q, r, s] = weights.map(|weight| weight * 127.5);
    for i in 0..len {
        let sum = madd::<FMA>(p, a[i], madd::<FMA>(q, b[i], 128.0));
        let sum = madd::<FMA>(r, c[i], madd::<FMA>(s, d[i], sum));
        #[expect(clippy::manual_clamp, reason = "it would let NaN through")]
        let level = sum.max(0.0).min(255.0);
        // SAFETY: it is no NaN, which `max` leaves out, and in range. A checked cast is six times slower here.
        out[i] = unsafe { level.to_int_unchecked::<i32>() } as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::level::tests::testable_levels;

    fn wave(y: usize, x: usize) -> Pixel {
        let (y, x) = (y as f32, x as f32);
        [
            (x * 0.2).sin() * 0.8,
            (y * 0.3).cos() * 0.7,
            ((x + y) * 0.1).sin() * 0.9,
            f32::NAN,
        ]
    }

    fn resized(level: Level, shape: CubicShape) -> Vec<u8> {
        let mut out = vec![0; shape.to[0] * shape.to[1] * 3];
        let fetch = |y: usize, row: &mut [Pixel]| {
            for (x, pixel) in row.iter_mut().enumerate() {
                *pixel = wave(y, x);
            }
        };
        cubic_to_bytes_at(level, shape, fetch, &mut out);
        out
    }

    /// Pixel by pixel, from all sixteen.
    fn expected(shape: CubicShape) -> Vec<u8> {
        let [height, width] = shape.to;
        let at = |axis: usize, place: usize| {
            shape.first[axis] + (place as f32 + 0.5) * shape.span[axis] / shape.to[axis] as f32
                - 0.5
        };
        let inside = |axis: usize, pixel: f32| (pixel.max(0.0) as usize).min(shape.from[axis] - 1);
        let mut out = Vec::new();
        for (y, x) in (0..height * width).map(|i| (at(0, i / width), at(1, i % width))) {
            for channel in 0..3 {
                let mut sum = 0.0;
                for row in -1..3 {
                    for column in -1..3 {
                        let (v, u) = (y.floor() + row as f32, x.floor() + column as f32);
                        let pixel = wave(inside(0, v), inside(1, u))[channel];
                        sum += pixel * cubic(y - v) * cubic(x - u);
                    }
                }
                out.push((sum * 127.5 + 127.5).round().clamp(0.0, 255.0) as u8);
            }
        }
        out
    }

    #[test]
    fn each_level_weighs_sixteen_pixels() {
        let whole = |from: [usize; 2], to| CubicShape {
            from,
            first: [0.0; 2],
            span: from.map(|side| side as f32),
            to,
        };
        let part = CubicShape {
            from: [24, 44],
            first: [0.0, 2.25],
            span: [24.0, 39.5],
            to: [67, 120],
        };
        for shape in [whole([4, 4], [9, 7]), whole([60, 33], [300, 50]), part] {
            let expected = expected(shape);
            for level in testable_levels("cubic_to_bytes") {
                let got = resized(level, shape);
                let far = got.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b));
                assert!(far.max().unwrap() <= 1, "{level:?} {shape:?}");
                assert_eq!(resized(level, shape), got);
            }
        }
    }

    #[test]
    fn the_same_size_keeps_its_values() {
        let shape = CubicShape {
            from: [20, 30],
            first: [0.0; 2],
            span: [20.0, 30.0],
            to: [20, 30],
        };
        for (i, byte) in resized(level(), shape).into_iter().enumerate() {
            let value = wave(i / 3 / 30, i / 3 % 30)[i % 3];
            assert_eq!(byte, (value * 127.5 + 127.5).round() as u8);
        }
    }
}
