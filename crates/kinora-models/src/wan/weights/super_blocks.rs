//! ggml's super-blocks of 256 numbers: `dequantize_row_q4_K` and its kin of `ggml-quants.c`. The order of the
//! operations is theirs, so results are equal to the bit.

use super::blocks::half;

/// Numbers in a super-block.
const LEN: usize = 256;
/// Bytes of eight scales and eight minima of six bits.
const SCALES: usize = 12;

/// Scale and minimum of 32 numbers. The first four of each lie in the lower six bits of a byte; of the others, the
/// lower four bits share a byte and the upper two fill the first ones up.
fn scale_and_least(scales: &[u8], i: usize) -> (f32, f32) {
    let (scale, least) = match i {
        0..4 => (scales[i] & 63, scales[i + 4] & 63),
        _ => (
            (scales[i + 4] & 15) | ((scales[i - 4] >> 6) << 4),
            (scales[i + 4] >> 4) | ((scales[i] >> 6) << 4),
        ),
    };
    (f32::from(scale), f32::from(least))
}

/// Two bits of number `i` of a group of 16: of each 128 numbers they lie in 32 bytes, group by group.
fn two_bits(low: &[u8], group: usize, i: usize) -> u8 {
    let (part, within) = (group / 8, group % 8);
    (low[32 * part + 16 * (within % 2) + i] >> (2 * (within / 2))) & 3
}

pub(super) fn q2_k(block: &[u8; 84], out: &mut [f32; LEN]) {
    let (scales, rest) = block.split_at(16);
    let (low, head) = rest.split_at(64);
    let scale = half([head[0], head[1]]);
    let least = half([head[2], head[3]]);
    for (group, out) in out.chunks_exact_mut(16).enumerate() {
        let own_scale = scale * f32::from(scales[group] & 15);
        let own_least = least * f32::from(scales[group] >> 4);
        for (i, out) in out.iter_mut().enumerate() {
            *out = own_scale * f32::from(two_bits(low, group, i)) - own_least;
        }
    }
}

pub(super) fn q3_k(block: &[u8; 110], out: &mut [f32; LEN]) {
    let (high, rest) = block.split_at(32);
    let (low, rest) = rest.split_at(64);
    let (scales, scale) = rest.split_at(SCALES);
    let scale = half([scale[0], scale[1]]);
    for (group, out) in out.chunks_exact_mut(16).enumerate() {
        // The lower four bits of two groups share a byte, the upper two of four groups another.
        let bits = (scales[group % 8] >> (4 * (group / 8))) & 15;
        let upper = (scales[8 + group % 4] >> (2 * (group / 4))) & 3;
        let own_scale = scale * f32::from((bits | (upper << 4)).cast_signed() - 32);
        for (i, out) in out.iter_mut().enumerate() {
            // A third bit that is not set takes 4 away.
            let third = (high[16 * (group % 2) + i] >> (group / 2)) & 1;
            let q = (two_bits(low, group, i) | (third << 2)).cast_signed() - 4;
            *out = own_scale * f32::from(q);
        }
    }
}

pub(super) fn q4_k(block: &[u8; 144], out: &mut [f32; LEN]) {
    let (head, low) = block.split_at(4 + SCALES);
    q4_or_q5(head, low, |_, _| 0, out);
}

pub(super) fn q5_k(block: &[u8; 176], out: &mut [f32; LEN]) {
    let (head, rest) = block.split_at(4 + SCALES);
    let (high, low) = rest.split_at(32);
    q4_or_q5(head, low, |group, i| ((high[i] >> group) & 1) << 4, out);
}

/// `fifth(group, i)` is the fifth bit of number `i` of a group of 32.
fn q4_or_q5(head: &[u8], low: &[u8], fifth: impl Fn(usize, usize) -> u8, out: &mut [f32; LEN]) {
    let scale = half([head[0], head[1]]);
    let least = half([head[2], head[3]]);
    for (group, out) in out.chunks_exact_mut(32).enumerate() {
        let (own_scale, own_least) = scale_and_least(&head[4..], group);
        let (own_scale, own_least) = (scale * own_scale, least * own_least);
        // Two groups share 32 bytes: the lower bits are of one, the upper bits of the next.
        let shift = 4 * (group % 2);
        let bytes = &low[group / 2 * 32..][..32];
        for (i, (out, byte)) in out.iter_mut().zip(bytes).enumerate() {
            let q = ((byte >> shift) & 15) | fifth(group, i);
            *out = own_scale * f32::from(q) - own_least;
        }
    }
}

pub(super) fn q6_k(block: &[u8; 210], out: &mut [f32; LEN]) {
    let (low, rest) = block.split_at(128);
    let (high, rest) = rest.split_at(64);
    let (scales, scale) = rest.split_at(16);
    let scale = half([scale[0], scale[1]]);
    for (group, out) in out.chunks_exact_mut(32).enumerate() {
        // Of each 128 numbers, the lower four bits lie in 64 bytes and the upper two in 32.
        let (part, quarter) = (group / 4, group % 4);
        let low = &low[64 * part + 32 * (quarter % 2)..][..32];
        let high = &high[32 * part..][..32];
        for (i, out) in out.iter_mut().enumerate() {
            let bits = (low[i] >> (4 * (quarter / 2))) & 15;
            let q = (bits | (((high[i] >> (2 * quarter)) & 3) << 4)).cast_signed() - 32;
            let own_scale = scale * f32::from(scales[2 * group + i / 16].cast_signed());
            *out = own_scale * f32::from(q);
        }
    }
}
