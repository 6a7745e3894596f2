//! Keys and values as the forward pass takes them.

use super::super::AttentionShape;
use super::vector::longest_square;
use super::{ENGINE, Lanes, STRIP, TILE};
use crate::cpu::gemm::pack::{lanes_len, pack_lanes};
use crate::cpu::matrix::MatRef;
use crate::cpu::parallel::{Shared, for_each};
use crate::cpu::scratch::Scratch;

/// Keys and values of all heads as strips.
pub(super) struct PackedHeads {
    words: Scratch,
    keys_len: usize,
    values_len: usize,
    key_stride: usize,
    value_stride: usize,
    /// The norm of the longest key of each head.
    pub(super) longest: Vec<f32>,
}

impl PackedHeads {
    pub(super) fn new(shape: AttentionShape, k: &[f32], v: &[f32]) -> Self {
        let (keys, head_dim) = (shape.key_tokens, shape.head_dim);
        let heads = shape.batch * shape.heads;
        let (keys_len, values_len) = (
            lanes_len(ENGINE, keys, head_dim),
            lanes_len(ENGINE, head_dim, keys),
        );
        let (key_stride, value_stride) = (
            ENGINE.padded_words(head_dim) * STRIP,
            ENGINE.padded_words(keys) * STRIP,
        );
        let mut words = Scratch::take(heads * (keys_len + values_len));
        let all = Shared::from_ptr(words.as_mut_ptr());
        let pieces = keys.div_ceil(TILE);
        let mut longest = vec![0.0; heads * pieces];
        let norms = Shared::new(&mut longest);
        // All heads of a few keys together: their rows are neighbours.
        for_each(shape.batch * pieces, 2 * heads * keys * head_dim, |task| {
            let (b, piece) = (task / pieces, task % pieces);
            let first = piece * TILE;
            let count = TILE.min(keys - first);
            for h in 0..shape.heads {
                let index = b * shape.heads + h;
                let target = all.get().wrapping_add(index * (keys_len + values_len));
                let k = shape.head(k, keys, b, h);
                let strips = target.wrapping_add(first / STRIP * key_stride);
                // SAFETY: each task writes its own words of the lengths that packing asks for, and its own norms.
                unsafe {
                    pack_lanes(ENGINE, &k, first, count, 0, head_dim, strips, key_stride);
                    norms.slice(index * pieces + piece, 1)[0] = longest_row(&k, first, count);
                }
                let v = shape.head(v, keys, b, h).t();
                let strips = target.wrapping_add(keys_len + first / 2 * STRIP);
                // SAFETY: as above.
                unsafe { pack_lanes(ENGINE, &v, 0, head_dim, first, count, strips, value_stride) };
            }
        });
        let longest = longest.chunks(pieces).map(largest).collect();
        Self {
            words,
            keys_len,
            values_len,
            key_stride,
            value_stride,
            longest,
        }
    }

    pub(super) fn keys(&self, index: usize) -> Lanes {
        let start = index * (self.keys_len + self.values_len);
        Lanes {
            ptr: self.words.as_ptr().wrapping_add(start),
            stride: self.key_stride,
        }
    }

    pub(super) fn values(&self, index: usize) -> Lanes {
        let start = index * (self.keys_len + self.values_len) + self.keys_len;
        Lanes {
            ptr: self.words.as_ptr().wrapping_add(start),
            stride: self.value_stride,
        }
    }
}

/// The largest value; NaN if there is one.
fn largest(values: &[f32]) -> f32 {
    values
        .iter()
        .fold(0.0, |a, b| if *b > a || b.is_nan() { *b } else { a })
}

/// The norm of the longest of some rows; NaN if one has none.
pub(super) fn longest_row(matrix: &MatRef<'_>, first: usize, count: usize) -> f32 {
    assert!(first + count <= matrix.rows() && matrix.col_stride() == 1);
    let start = matrix.as_ptr().wrapping_add(first * matrix.row_stride());
    // SAFETY: these rows are inside the matrix, and the machine has tiles, so it has AVX-512.
    unsafe { longest_square(start, count, matrix.row_stride(), matrix.cols()).sqrt() }
}
