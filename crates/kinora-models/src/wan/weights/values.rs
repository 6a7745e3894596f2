//! Stored numbers turned as the layers want them.

use rayon::prelude::*;

use super::encoding::Encoding;
use super::stored::Stored;

/// Columns that are turned together: whole blocks of any encoding.
const STRIP: usize = Encoding::LONGEST_BLOCK;

/// A tensor as a matrix over its first axis, turned: `[columns, rows]`.
///
/// # Panics
///
/// When the type is not read: the caller has checked that.
pub(super) fn transposed(stored: &Stored) -> Vec<f32> {
    if !stored.has_whole_rows() {
        return turned(&stored.floats(), stored.rows());
    }
    let (rows, columns) = (stored.rows(), stored.columns());
    let mut out = vec![0.0; rows * columns];
    if out.is_empty() {
        return out;
    }
    out.par_chunks_mut(STRIP * rows)
        .enumerate()
        .for_each(|(strip, out)| {
            let mut buffer = [0.0; STRIP];
            let buffer = &mut buffer[..out.len() / rows];
            for row in 0..rows {
                stored.decode_row(row, strip * STRIP, buffer);
                for (column, value) in buffer.iter().enumerate() {
                    out[column * rows + row] = *value;
                }
            }
        });
    out
}

/// A matrix of so many rows as `[columns, rows]`.
pub(super) fn turned(values: &[f32], rows: usize) -> Vec<f32> {
    let columns = values.len() / rows.max(1);
    let mut out = Vec::with_capacity(values.len());
    for column in 0..columns {
        out.extend(values.iter().skip(column).step_by(columns));
    }
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
    use half::{bf16, f16};

    use super::super::stored::{Bytes, Numbers};
    use super::*;

    fn stored(encoding: Encoding, shape: [usize; 2], bytes: Vec<u8>) -> Stored {
        Stored {
            bytes: Bytes::Owned(bytes.into()),
            numbers: Numbers::Readable(encoding),
            shape: shape.to_vec(),
            scales: [].into(),
        }
    }

    #[test]
    fn every_type_is_turned() {
        let (rows, columns) = (3, 2 * STRIP + 5);
        let values: Vec<f32> = (0..rows * columns).map(|i| i as f32 / 4.0).collect();
        let of = |encode: fn(f32) -> Vec<u8>| values.iter().flat_map(|v| encode(*v)).collect();
        for (encoding, bytes) in [
            (Encoding::F32, of(|v| v.to_le_bytes().to_vec())),
            (
                Encoding::F16,
                of(|v| f16::from_f32(v).to_le_bytes().to_vec()),
            ),
            (
                Encoding::Bf16,
                of(|v| bf16::from_f32(v).to_le_bytes().to_vec()),
            ),
        ] {
            let stored = stored(encoding, [rows, columns], bytes);
            let turned = transposed(&stored);
            for row in 0..rows {
                for column in 0..columns {
                    let (got, want) = (turned[column * rows + row], values[row * columns + column]);
                    assert!(
                        (got - want).abs() <= want / 256.0,
                        "{encoding:?} {row} {column}"
                    );
                }
            }
            assert_eq!(stored.floats()[..3], [0.0, 0.25, 0.5]);
        }
        for shape in [[4, 0], [0, 4], [0, 0]] {
            assert!(transposed(&stored(Encoding::F32, shape, Vec::new())).is_empty());
            assert!(stored(Encoding::Q4K, shape, Vec::new()).floats().is_empty());
        }
    }

    #[test]
    fn scales_are_of_rows_or_of_all() {
        let mut bytes = stored(Encoding::I8, [2, 3], vec![1, 2, 255, 4, 5, 6]);
        bytes.scales = [2.0].into();
        assert_eq!(bytes.floats(), [2.0, 4.0, -2.0, 8.0, 10.0, 12.0]);
        bytes.scales = [2.0, 0.5].into();
        assert_eq!(bytes.floats(), [2.0, 4.0, -2.0, 2.0, 2.5, 3.0]);
        assert_eq!(transposed(&bytes), [2.0, 2.0, 4.0, 2.5, -2.0, 3.0]);
        let second = bytes.part(1..2).unwrap();
        assert_eq!(second.floats(), [2.0, 2.5, 3.0]);
    }

    #[test]
    fn taps_go_first() {
        // Two channels in, three taps, two channels out.
        let values: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let expected = [0.0, 1.0, 6.0, 7.0, 2.0, 3.0, 8.0, 9.0, 4.0, 5.0, 10.0, 11.0];
        assert_eq!(taps_first(&values, 3, 2), expected);
    }
}
