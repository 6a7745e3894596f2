//! Packing pairs of bf16 in plain code, for engines whose vectors have fewer than 512 bits.

use super::engine::STRIP;
use super::pack::{Direct, Form, STAGE};

/// 16 lanes of 16 words, or 16 words of 16 lanes.
type Lines = [[u32; STRIP]; STRIP];

/// A tile of words of two bf16: in the lower half the first of two neighbours along the summed axis.
///
/// # Safety
/// `from` has `lanes × len` elements, and `dst` room for the form.
pub(super) unsafe fn tile(from: Direct, lanes: usize, len: usize, form: Form, dst: *mut u32) {
    let by_lane = from.k_stride == 1;
    // SAFETY: promised by the caller.
    let mut lines = unsafe {
        if by_lane {
            lanes_of_words(from, lanes, len)
        } else {
            words_of_lanes(from, lanes, len)
        }
    };
    if by_lane == matches!(form, Form::Lanes) {
        lines = turned(&lines);
    }
    let count = match form {
        Form::Lanes => STRIP,
        Form::Rows { chunk, .. } => chunk,
    };
    for (index, line) in lines.iter().enumerate().take(count) {
        let at = match form {
            Form::Lanes => index * STRIP,
            Form::Rows { panel, stride, .. } => index / panel * stride + index % panel * STRIP,
        };
        // SAFETY: the form has room for these lines of 16 words.
        unsafe { dst.add(at).cast::<[u32; STRIP]>().write(*line) };
    }
}

/// Lanes whose elements are neighbours in memory.
///
/// # Safety
/// `from` has `lanes × len` elements.
unsafe fn lanes_of_words(from: Direct, lanes: usize, len: usize) -> Lines {
    let mut lines = [[0; STRIP]; STRIP];
    for (lane, line) in lines.iter_mut().enumerate().take(lanes) {
        // SAFETY: promised by the caller.
        let run = unsafe { from.ptr.add(lane * from.lane_stride) };
        // SAFETY: as above.
        let run: [f32; STAGE] = padded(unsafe { std::slice::from_raw_parts(run, len) });
        for (word, target) in line.iter_mut().enumerate() {
            *target = pair(run[2 * word], run[2 * word + 1]);
        }
    }
    lines
}

/// Words whose lanes are neighbours in memory.
///
/// # Safety
/// `from` has `lanes × len` elements.
unsafe fn words_of_lanes(from: Direct, lanes: usize, len: usize) -> Lines {
    let read = |k: usize| -> [f32; STRIP] {
        if k >= len {
            return [0.0; STRIP];
        }
        // SAFETY: promised by the caller.
        padded(unsafe { std::slice::from_raw_parts(from.ptr.add(k * from.k_stride), lanes) })
    };
    let mut lines = [[0; STRIP]; STRIP];
    for (word, line) in lines.iter_mut().enumerate().take(len.div_ceil(2)) {
        let (first, second) = (read(2 * word), read(2 * word + 1));
        for (lane, target) in line.iter_mut().enumerate() {
            *target = pair(first[lane], second[lane]);
        }
    }
    lines
}

/// At most `N` values, then zeros.
#[inline(always)]
fn padded<const N: usize>(run: &[f32]) -> [f32; N] {
    if let Some(whole) = run.first_chunk() {
        return *whole;
    }
    let mut values = [0.0; N];
    values[..run.len()].copy_from_slice(run);
    values
}

fn turned(lines: &Lines) -> Lines {
    std::array::from_fn(|i| std::array::from_fn(|j| lines[j][i]))
}

#[inline(always)]
fn pair(first: f32, second: f32) -> u32 {
    rounded(first) | rounded(second) << 16
}

/// The bits of the nearest bf16, ties to even. What is no number stays none.
#[inline(always)]
pub(crate) fn rounded(value: f32) -> u32 {
    let bits = value.to_bits();
    let nearest = bits.wrapping_add(0x7FFF + (bits >> 16 & 1)) >> 16;
    // Cut off, the bits that say so could be lost: one is set in any case.
    let none = bits >> 16 | 0x40;
    if value.is_nan() { none } else { nearest }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::reference::noise;

    const MARK: u32 = 0xDEAD_BEEF;

    /// The definition: the nearer of the two neighbours, and of two equally near ones the even one.
    fn nearest(value: f32) -> u32 {
        let below = value.to_bits() >> 16;
        let exact = f64::from(value);
        // Beyond the largest number lies what would be the next power of two, not infinity.
        let at = |bits: u32| match f64::from(f32::from_bits(bits << 16)) {
            x if x.is_infinite() => x.signum() * 2f64.powi(128),
            x => x,
        };
        let [down, up] = [below, below + 1].map(|bits| (at(bits) - exact).abs());
        if up < down || up == down && below % 2 == 1 {
            below + 1
        } else {
            below
        }
    }

    #[test]
    fn numbers_go_to_the_nearest_and_ties_to_the_even_one() {
        let mut values = noise(5000, 1);
        for upper in [0u32, 1, 0x7F, 0x80, 0x3F80, 0x3F81, 0x7F7E, 0x7F7F] {
            for lower in [0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF] {
                let value = f32::from_bits(upper << 16 | lower);
                values.extend([value, -value]);
            }
        }
        for value in values {
            assert_eq!(rounded(value), nearest(value), "{value:e}");
        }
        let infinite = [f32::INFINITY, f32::NEG_INFINITY];
        assert_eq!(infinite.map(rounded), [0x7F80, 0xFF80]);
        for bits in [
            0x7F80_0001u32,
            0x7FC0_0000,
            0x7FFF_FFFF,
            0xFF80_0001,
            u32::MAX,
        ] {
            let got = rounded(f32::from_bits(bits));
            assert!(
                got <= 0xFFFF && f32::from_bits(got << 16).is_nan(),
                "{bits:x}"
            );
        }
    }

    /// Every form from sources that run either way, with sizes around whole tiles; what is beside the tile stays.
    #[test]
    fn tiles_hold_the_rounded_pairs_and_zeros() {
        let forms = [
            Form::Lanes,
            Form::Rows {
                panel: 6,
                chunk: 6,
                stride: 6 * STRIP,
            },
            Form::Rows {
                panel: 4,
                chunk: 16,
                stride: 5 * STRIP + 3,
            },
        ];
        let source = noise(64 * 64, 2);
        let sizes = [
            (1, 1),
            (1, 32),
            (3, 2),
            (5, 31),
            (6, 32),
            (15, 17),
            (16, 32),
        ];
        for form in forms {
            for (lanes, len) in sizes {
                for (lane_stride, k_stride) in [(64, 1), (33, 1), (1, 64), (1, 17), (1, 1)] {
                    let count = match form {
                        Form::Lanes => STRIP,
                        Form::Rows { chunk, .. } => chunk,
                    };
                    let lanes = lanes.min(count);
                    let from = Direct {
                        ptr: source[5..].as_ptr(),
                        lane_stride,
                        k_stride,
                    };
                    let mut words = vec![MARK; 2 * STRIP * STRIP];
                    // SAFETY: the source has 64 × 64 elements, and all forms lie inside 512 words.
                    unsafe { tile(from, lanes, len, form, words.as_mut_ptr()) };
                    let value = |lane: usize, k: usize| {
                        let inside = lane < lanes && k < len;
                        let at = 5 + lane * lane_stride + k * k_stride;
                        if inside { nearest(source[at]) } else { 0 }
                    };
                    for (lane, word) in (0..count).flat_map(|l| (0..STRIP).map(move |w| (l, w))) {
                        let at = match form {
                            Form::Lanes => word * STRIP + lane,
                            Form::Rows { panel, stride, .. } => {
                                lane / panel * stride + lane % panel * STRIP + word
                            }
                        };
                        let want = value(lane, 2 * word) | value(lane, 2 * word + 1) << 16;
                        let got = std::mem::replace(&mut words[at], MARK);
                        assert_eq!(got, want, "{lanes}×{len}, lane {lane}, word {word}");
                    }
                    assert!(words.iter().all(|word| *word == MARK), "{lanes}×{len}");
                }
            }
        }
    }
}
