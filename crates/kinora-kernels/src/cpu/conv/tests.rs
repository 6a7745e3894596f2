use super::*;
use crate::cpu::level::tests::testable_levels;
use crate::cpu::reference::{activation, close, noise};

fn shape(
    size: [usize; 4],
    channels: [usize; 2],
    kernel: [usize; 3],
    stride: [usize; 3],
    padding: [usize; 2],
) -> Conv3dShape {
    let [batch, frames_in, height, width] = size;
    Conv3dShape {
        batch,
        frames_in,
        frames_before: 0,
        height,
        width,
        channels_in: channels[0],
        channels_out: channels[1],
        kernel,
        stride,
        padding,
    }
}

/// `[out before bias, d_x, d_weight]` by the definition.
fn reference(s: Conv3dShape, x: &[f32], w: &[f32], g: &[f32]) -> [Vec<f64>; 3] {
    let [frames, height, width] = s.size_out();
    let (ci, co) = (s.channels_in, s.channels_out);
    let mut out = vec![0.0; s.output_len()];
    let (mut d_x, mut d_w) = (vec![0.0; x.len()], vec![0.0; w.len()]);
    for (b, t, y, xx) in (0..s.batch).flat_map(|b| {
        (0..frames)
            .flat_map(move |t| (0..height).flat_map(move |y| (0..width).map(move |x| (b, t, y, x))))
    }) {
        let o = (((b * frames + t) * height + y) * width + xx) * co;
        for tap in 0..s.taps() {
            let [_, kh, kw] = s.kernel;
            let (dt, dy, dx) = (tap / (kh * kw), tap / kw % kh, tap % kw);
            let (it, iy, ix) = (
                t * s.stride[0] + dt,
                y * s.stride[1] + dy,
                xx * s.stride[2] + dx,
            );
            let (Some(iy), Some(ix)) = (iy.checked_sub(s.padding[0]), ix.checked_sub(s.padding[1]))
            else {
                continue;
            };
            if iy >= s.height || ix >= s.width {
                continue;
            }
            let i = (((b * s.frames_in + it) * s.height + iy) * s.width + ix) * ci;
            for c in 0..ci {
                for d in 0..co {
                    let at = (tap * ci + c) * co + d;
                    out[o + d] += f64::from(x[i + c]) * f64::from(w[at]);
                    d_x[i + c] += f64::from(g[o + d]) * f64::from(w[at]);
                    d_w[at] += f64::from(g[o + d]) * f64::from(x[i + c]);
                }
            }
        }
    }
    [out, d_x, d_w]
}

#[test]
fn forward_and_backward_match_the_definition_on_every_level() {
    let cases = [
        shape([0, 2, 3, 3], [2, 2], [1, 1, 1], [1; 3], [0; 2]),
        shape([1, 1, 1, 1], [1, 1], [1, 1, 1], [1; 3], [0; 2]),
        shape([2, 3, 5, 7], [3, 5], [3, 3, 3], [1; 3], [1, 1]),
        shape([1, 3, 6, 40], [32, 17], [2, 3, 3], [1; 3], [1, 1]),
        shape([1, 5, 9, 8], [20, 33], [3, 3, 3], [2, 2, 2], [1, 1]),
        shape([2, 2, 4, 33], [64, 16], [1, 1, 1], [1; 3], [0; 2]),
        shape([1, 2, 4, 20], [16, 48], [2, 1, 1], [1, 2, 3], [0; 2]),
        shape([1, 1, 8, 36], [33, 20], [1, 5, 3], [1; 3], [2, 1]),
        // Channels that nearly fill cache lines, several clips, more tiles of pixels than a task takes.
        shape([2, 3, 20, 19], [28, 34], [2, 3, 1], [1; 3], [1, 0]),
        shape([1, 3, 18, 40], [24, 20], [3, 1, 3], [1; 3], [0, 1]),
        // The same for channels on both sides, with an odd number of pixels in a frame and one of columns.
        shape([2, 4, 7, 9], [28, 62], [3, 3, 3], [1; 3], [1, 1]),
        shape([1, 2, 25, 31], [64, 32], [2, 1, 3], [1; 3], [0, 1]),
        shape([1, 1, 6, 5], [30, 94], [1, 2, 2], [1; 3], [0, 0]),
    ];
    for s in cases {
        let (x, w) = (noise(s.input_len(), 1), noise(s.weight_len(), 2));
        let (bias, g) = (noise(s.channels_out, 3), noise(s.output_len(), 4));
        let [out, d_x, d_w] = reference(s, &x, &w, &g);
        let want: Vec<f64> = out
            .iter()
            .enumerate()
            .map(|(i, sum)| activation(Activation::Silu, sum + f64::from(bias[i % s.channels_out])))
            .collect();
        for level in testable_levels("conv3d") {
            for precision in [Precision::F32, Precision::Bf16] {
                // f32 rounding, or 2⁻⁸ for each bf16 product of values up to 1, of which most cancel.
                let tolerance = |terms: usize| match precision {
                    Precision::F32 => 2e-5,
                    Precision::Bf16 => 3e-3 * (terms.max(200) as f64).sqrt(),
                };
                let [forward, back] =
                    [s.channels_in, s.channels_out].map(|c| tolerance(s.taps() * c));
                let along = tolerance(s.output_len() / s.channels_out);
                let mut got = vec![9.0; s.output_len()];
                conv3d_forward_at(
                    level,
                    s,
                    &x,
                    &w,
                    Some(&bias),
                    Activation::Silu,
                    &mut got,
                    precision,
                );
                close(
                    &format!("out {s:?} {level:?} {precision:?}"),
                    &got,
                    &want,
                    forward,
                );
                let (mut got_dx, mut got_dw) = (vec![9.0; x.len()], vec![9.0; w.len()]);
                conv3d_backward_input_at(level, s, &w, &g, &mut got_dx, precision);
                close(
                    &format!("d_x {s:?} {level:?} {precision:?}"),
                    &got_dx,
                    &d_x,
                    back,
                );
                conv3d_backward_weight_at(level, s, &x, &g, &mut got_dw, precision);
                close(
                    &format!("d_w {s:?} {level:?} {precision:?}"),
                    &got_dw,
                    &d_w,
                    along,
                );
            }
        }
    }
}

/// Frames of zeros that are told of give what frames of zeros give, and so do parts of a clip and weights packed before.
#[test]
fn parts_and_frames_before_are_those_of_a_whole_clip() {
    let cases = [
        (shape([2, 5, 6, 7], [32, 34], [3, 3, 3], [1; 3], [1, 1]), 2),
        (shape([1, 4, 5, 18], [5, 3], [3, 1, 3], [1; 3], [0, 1]), 1),
        (
            shape([2, 4, 9, 8], [20, 33], [2, 3, 3], [2, 2, 1], [1, 1]),
            1,
        ),
        (shape([1, 3, 4, 4], [6, 40], [3, 1, 1], [1; 3], [0, 0]), 2),
    ];
    for (whole, before) in cases {
        let frame = whole.height * whole.width * whole.channels_in;
        let mut x = noise(whole.input_len(), 1);
        for clip in x.chunks_mut(whole.frames_in * frame) {
            clip[..before * frame].fill(0.0);
        }
        let short = Conv3dShape {
            frames_in: whole.frames_in - before,
            frames_before: before,
            ..whole
        };
        let (w, bias) = (noise(whole.weight_len(), 2), noise(whole.channels_out, 3));
        // The clip without the zeros, as a part of one frame and one of the others.
        let clips = || x.chunks(whole.frames_in * frame);
        let of = |frames: std::ops::Range<usize>| -> Vec<f32> {
            clips()
                .flat_map(|clip| &clip[frames.start * frame..frames.end * frame])
                .copied()
                .collect()
        };
        let (there, first, others) = (
            of(before..whole.frames_in),
            of(before..before + 1),
            of(before + 1..whole.frames_in),
        );
        for level in testable_levels("conv3d parts") {
            for precision in [Precision::F32, Precision::Bf16] {
                let run = |shape, x: &[f32]| {
                    let mut out = vec![9.0; whole.output_len()];
                    let (bias, none) = (Some(&bias[..]), Activation::None);
                    conv3d_forward_at(level, shape, x, &w, bias, none, &mut out, precision);
                    out
                };
                let want: Vec<f64> = run(whole, &x).into_iter().map(f64::from).collect();
                let name = format!("{whole:?} {level:?} {precision:?}");
                close(&name, &run(short, &there), &want, 2e-5);

                let packed = PackedConv::pack_at(level, whole, &w, precision);
                let size = ClipSize {
                    batch: short.batch,
                    frames: short.frames_in,
                    before,
                    height: short.height,
                    width: short.width,
                };
                let mut out = vec![9.0; whole.output_len()];
                let parts = [Frames::F32(&first), Frames::F32(&others)];
                packed.convolve(size, &parts, Some(&bias), Activation::None, &mut out);
                assert_eq!(out, run(short, &there), "{name}");

                // A part in bf16 is what its numbers are in f32.
                let bits: Vec<u16> = others
                    .iter()
                    .map(|value| (value.to_bits() >> 16) as u16)
                    .collect();
                let cut: Vec<f32> = bits
                    .iter()
                    .map(|bits| f32::from_bits(u32::from(*bits) << 16))
                    .collect();
                let mut made = [Frames::F32(&cut), Frames::Bf16(&bits)].map(|others| {
                    let mut out = vec![9.0; whole.output_len()];
                    let parts = [Frames::F32(&first), others];
                    packed.convolve(size, &parts, None, Activation::Silu, &mut out);
                    out
                });
                let [in_f32, in_bf16] = &mut made;
                assert_eq!(in_f32, in_bf16, "{name} in bf16");
            }
        }
    }
}

#[test]
fn nan_spreads_as_far_as_the_kernel_reaches() {
    let s = shape([1, 1, 9, 40], [32, 16], [1, 3, 3], [1; 3], [1, 1]);
    let mut x = noise(s.input_len(), 1);
    x[(4 * 40 + 20) * 32 + 3] = f32::NAN;
    let w = noise(s.weight_len(), 2);
    for level in testable_levels("conv3d nan") {
        for precision in [Precision::F32, Precision::Bf16] {
            let mut out = vec![0.0; s.output_len()];
            conv3d_forward_at(
                level,
                s,
                &x,
                &w,
                None,
                Activation::None,
                &mut out,
                precision,
            );
            for (pixel, values) in out.chunks(16).enumerate() {
                let near = (pixel / 40).abs_diff(4) <= 1 && (pixel % 40).abs_diff(20) <= 1;
                assert!(
                    values.iter().all(|v| v.is_nan() == near),
                    "{level:?} pixel {pixel}"
                );
            }
        }
    }
}
