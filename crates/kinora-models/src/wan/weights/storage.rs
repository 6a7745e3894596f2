//! How the weights of linear layers are kept: as they are in the file, or in fewer bits.
//!
//! A matrix in 8 bits has one scale for each row, the largest number of the row over 127 (symmetric, as `Q8_0` of ggml
//! with blocks as long as a row).

use std::sync::Arc;

use kinora_kernels::StoredMatrix;
use rayon::prelude::*;

use super::encoding::{Encoding, to_bf16};
use super::stored::{Bytes, Numbers, Stored};

/// How the matrices of linear layers are kept in memory. Everything else is `f32`, and on devices other than the
/// processor all is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Storage {
    /// As they are in the file, of which the pages that a product needs are read when it needs them: loading takes no
    /// time, the process owns no memory for them, and a model may be larger than memory. Matrices that an adapter
    /// changes are kept in bf16, or in `f32` where they are `f32` in the file.
    #[default]
    AsStored,
    /// In `f32`.
    F32,
    /// In bf16: two bytes a weight, mapped where the file has them so.
    Bf16,
    /// Those of the blocks in 8 bits with a scale for each row: one byte a weight. The few others stay as in the file.
    Int8,
    /// As [`Int8`](Self::Int8), and products are taken in 8 bits: what goes into a layer of the blocks is rounded too, with a scale for
    /// each token.
    Int8Products,
}

impl StoredMatrix for Stored {
    fn rows(&self) -> usize {
        Stored::rows(self)
    }

    fn columns(&self) -> usize {
        Stored::columns(self)
    }

    fn decode(&self, row: usize, start: usize, out: &mut [f32]) {
        self.decode_row(row, start, out);
    }

    fn bf16(&self, row: usize, start: usize, len: usize) -> Option<&[u16]> {
        self.bf16_row(row, start, len)
    }

    fn set_aside(&self) {
        self.bytes.forget();
    }
}

impl Stored {
    /// The same numbers in `f32`, changed by `change`.
    pub(super) fn changed(&self, change: impl FnOnce(&mut [f32])) -> Self {
        let mut values = self.floats();
        change(&mut values);
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        self.holding(Encoding::F32, bytes, [].into())
    }

    /// The same numbers, so that rows can be read on their own.
    pub(super) fn with_whole_rows(&self) -> Self {
        match self.has_whole_rows() {
            true => self.clone(),
            false => self.changed(|_| ()),
        }
    }

    /// The same numbers, rounded to bf16.
    pub(super) fn to_bf16(&self) -> Self {
        if self.encoding() == Some(Encoding::Bf16) && self.scales.is_empty() {
            return self.clone();
        }
        let mut bytes = vec![0; 2 * self.len()];
        self.each_row(&mut bytes, 2, to_bf16);
        self.holding(Encoding::Bf16, bytes, [].into())
    }

    /// The same numbers, rounded to whole multiples of a scale for each row.
    pub(super) fn to_int8(&self) -> Self {
        let mut bytes = vec![0; self.len()];
        let scales = self.each_row(&mut bytes, 1, |values, out| {
            let largest = values
                .iter()
                .fold(0.0_f32, |most, value| most.max(value.abs()));
            let scale = largest / 127.0;
            let inverse = if scale > 0.0 { scale.recip() } else { 0.0 };
            for (out, value) in out.iter_mut().zip(values) {
                *out = ((value * inverse).round() as i8).cast_unsigned();
            }
            scale
        });
        self.holding(Encoding::I8, bytes, scales.into())
    }

    /// What `encode` makes of each row and the `bytes_each` bytes of each of its numbers.
    fn each_row<T: Send>(
        &self,
        bytes: &mut [u8],
        bytes_each: usize,
        encode: impl Fn(&[f32], &mut [u8]) -> T + Sync,
    ) -> Vec<T> {
        let columns = self.columns().max(1);
        let whole = match self.has_whole_rows() {
            true => None,
            false => Some(self.floats()),
        };
        bytes
            .par_chunks_mut(columns * bytes_each)
            .enumerate()
            .map_init(
                || vec![0.0; columns],
                |buffer, (row, out)| match &whole {
                    Some(values) => encode(&values[row * columns..][..columns], out),
                    None => {
                        self.decode_row(row, 0, buffer);
                        encode(buffer, out)
                    }
                },
            )
            .collect()
    }

    fn holding(&self, encoding: Encoding, bytes: Vec<u8>, scales: Arc<[f32]>) -> Self {
        Self {
            bytes: Bytes::Owned(bytes.into()),
            numbers: Numbers::Readable(encoding),
            shape: self.shape.clone(),
            scales,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(shape: [usize; 2], values: &[f32]) -> Stored {
        Stored {
            bytes: Bytes::Owned(values.iter().flat_map(|v| v.to_le_bytes()).collect()),
            numbers: Numbers::Readable(Encoding::F32),
            shape: shape.to_vec(),
            scales: [].into(),
        }
    }

    #[test]
    fn rounding_is_to_the_nearest() {
        let values = [1.0, -0.25, 127.0 / 256.0, 0.0, 0.0, 0.0, 1e-3, -3e-3, 1e-4];
        let stored = stored([3, 3], &values);
        let int8 = stored.to_int8();
        assert_eq!(int8.scales.len(), 3);
        for (row, (got, want)) in int8.floats().chunks(3).zip(values.chunks(3)).enumerate() {
            for (got, want) in got.iter().zip(want) {
                // Half a step.
                assert!(
                    (got - want).abs() <= int8.scales[row] * 0.5001,
                    "{got} {want}"
                );
            }
        }
        let bf16 = stored.to_bf16().floats();
        for (got, want) in bf16.iter().zip(values) {
            assert!((got - want).abs() <= want.abs() / 256.0);
        }
    }

    #[test]
    fn strange_matrices_are_no_reason_to_panic() {
        let nan = stored([1, 2], &[f32::NAN, f32::INFINITY]).to_int8();
        assert_eq!(nan.len(), 2);
        for shape in [[0, 3], [3, 0], [0, 0]] {
            let empty = stored(shape, &[]);
            assert!(empty.to_int8().floats().is_empty());
            assert!(empty.to_bf16().floats().is_empty());
        }
    }
}
