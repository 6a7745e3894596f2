//! ggml's blocks of 32 numbers: `dequantize_row_q4_0` and its kin of `ggml-quants.c`. The order of the operations is
//! theirs, so results are equal to the bit.

use half::f16;

/// Numbers in a block.
const LEN: usize = 32;

pub(super) fn half(bytes: [u8; 2]) -> f32 {
    f16::from_le_bytes(bytes).to_f32()
}

/// Four bits each: the lower ones of 16 bytes, then the upper ones.
fn nibbles(bytes: &[u8], out: &mut [f32; LEN], value: impl Fn(usize, u8) -> f32) {
    for (i, byte) in bytes.iter().enumerate().take(LEN / 2) {
        out[i] = value(i, byte & 15);
        out[i + LEN / 2] = value(i + LEN / 2, byte >> 4);
    }
}

/// The fifth bit of number `i`.
fn fifth(high: u32, i: usize) -> u8 {
    (((high >> i) & 1) << 4) as u8
}

pub(super) fn q4_0(block: &[u8; 18], out: &mut [f32; LEN]) {
    let scale = half([block[0], block[1]]);
    nibbles(&block[2..], out, |_, q| {
        f32::from(q.cast_signed() - 8) * scale
    });
}

pub(super) fn q4_1(block: &[u8; 20], out: &mut [f32; LEN]) {
    let scale = half([block[0], block[1]]);
    let least = half([block[2], block[3]]);
    nibbles(&block[4..], out, |_, q| f32::from(q) * scale + least);
}

pub(super) fn q5_0(block: &[u8; 22], out: &mut [f32; LEN]) {
    let scale = half([block[0], block[1]]);
    let high = u32::from_le_bytes([block[2], block[3], block[4], block[5]]);
    nibbles(&block[6..], out, |i, q| {
        f32::from((q | fifth(high, i)).cast_signed() - 16) * scale
    });
}

pub(super) fn q5_1(block: &[u8; 24], out: &mut [f32; LEN]) {
    let scale = half([block[0], block[1]]);
    let least = half([block[2], block[3]]);
    let high = u32::from_le_bytes([block[4], block[5], block[6], block[7]]);
    nibbles(&block[8..], out, |i, q| {
        f32::from(q | fifth(high, i)) * scale + least
    });
}

pub(super) fn q8_0(block: &[u8; 34], out: &mut [f32; LEN]) {
    let scale = half([block[0], block[1]]);
    for (out, q) in out.iter_mut().zip(&block[2..]) {
        *out = f32::from(q.cast_signed()) * scale;
    }
}
