//! Stored numbers as `f32`, turned as the layers want them.

use half::{bf16, f16};
use rayon::prelude::*;
use safetensors::Dtype;

/// Columns that are turned together: what two cache lines hold of a row.
const STRIP: usize = 32;

/// Whether [`floats`] and [`transposed`] read this type.
pub(super) fn is_readable(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16)
}

/// Values in the order in which they are stored.
pub(super) fn floats(dtype: Dtype, bytes: &[u8]) -> Vec<f32> {
    transposed(dtype, bytes, 1)
}

/// A matrix of so many rows as `[columns, rows]`.
///
/// # Panics
///
/// When the type is not [readable](is_readable): the caller has checked that.
pub(super) fn transposed(dtype: Dtype, bytes: &[u8], rows: usize) -> Vec<f32> {
    match dtype {
        Dtype::F32 => turn(bytes.as_chunks().0, rows, f32::from_le_bytes),
        Dtype::F16 => turn(bytes.as_chunks().0, rows, |b| {
            f16::from_le_bytes(b).to_f32()
        }),
        Dtype::BF16 => turn(bytes.as_chunks().0, rows, |b| {
            bf16::from_le_bytes(b).to_f32()
        }),
        other => unreachable!("types are checked before values are read, and {other:?} is refused"),
    }
}

fn turn<const N: usize>(
    values: &[[u8; N]],
    rows: usize,
    decode: impl Fn([u8; N]) -> f32 + Sync,
) -> Vec<f32> {
    let columns = values.len() / rows.max(1);
    let mut out = vec![0.0; rows * columns];
    if out.is_empty() {
        return out;
    }
    out.par_chunks_mut(STRIP * rows)
        .enumerate()
        .for_each(|(strip, out)| {
            let first = strip * STRIP;
            for row in 0..rows {
                let from = &values[row * columns + first..][..out.len() / rows];
                for (column, value) in from.iter().enumerate() {
                    out[column * rows + row] = decode(*value);
                }
            }
        });
    out
}

/// `[channels_in, taps, channels_out]` as `[taps, channels_in, channels_out]`.
pub(super) fn taps_first(values: &[f32], taps: usize, channels_out: usize) -> Vec<f32> {
    let channels_in = values.len() / (taps * channels_out).max(1);
    let mut out = Vec::with_capacity(values.len());
    for tap in 0..taps {
        for channel in 0..channels_in {
            out.extend_from_slice(&values[(channel * taps + tap) * channels_out..][..channels_out]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_turned() {
        let (rows, columns) = (3, 2 * STRIP + 5);
        let values: Vec<f32> = (0..rows * columns).map(|i| i as f32 / 4.0).collect();
        let stored = [
            (
                Dtype::F32,
                values
                    .iter()
                    .flat_map(|v| v.to_le_bytes())
                    .collect::<Vec<u8>>(),
            ),
            (
                Dtype::F16,
                values
                    .iter()
                    .flat_map(|v| f16::from_f32(*v).to_le_bytes())
                    .collect(),
            ),
            (
                Dtype::BF16,
                values
                    .iter()
                    .flat_map(|v| bf16::from_f32(*v).to_le_bytes())
                    .collect(),
            ),
        ];
        for (dtype, bytes) in stored {
            let turned = transposed(dtype, &bytes, rows);
            for row in 0..rows {
                for column in 0..columns {
                    let (got, want) = (turned[column * rows + row], values[row * columns + column]);
                    assert!(
                        (got - want).abs() <= want / 256.0,
                        "{dtype:?} {row} {column}"
                    );
                }
            }
            assert_eq!(floats(dtype, &bytes)[..3], [0.0, 0.25, 0.5]);
        }
        assert!(transposed(Dtype::F32, &[], 4).is_empty());
        assert!(transposed(Dtype::F32, &[], 0).is_empty());
    }

    #[test]
    fn taps_go_first() {
        // Two channels in, three taps, two channels out.
        let values: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let expected = [0.0, 1.0, 6.0, 7.0, 2.0, 3.0, 8.0, 9.0, 4.0, 5.0, 10.0, 11.0];
        assert_eq!(taps_first(&values, 3, 2), expected);
    }
}
