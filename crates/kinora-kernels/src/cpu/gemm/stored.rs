//! Products with a right operand that is kept in fewer bits, or in a file, and decoded while it is packed.

use super::driver::{Columns, Operand, product_of_columns};
use super::engine::{Engine, STRIP};
use super::epilogue::Epilogue;
use super::pack::{lanes_len, pack_lanes};
#[cfg(target_arch = "x86_64")]
use super::pack_avx512::strip_of_bf16;
use crate::cpu::level::{Level, Precision, level};
use crate::cpu::matrix::MatRef;
use crate::cpu::parallel::{Shared, for_each};
use crate::cpu::scratch::Scratch;

/// Numbers of a row that are decoded together: whole blocks of every encoding, and 16 rows of them fit the cache.
const PIECE: usize = 1024;
/// Words of packed rows at a time: 16 MiB, so that a product never holds a large matrix decoded.
const PACKED_WORDS: usize = 4 << 20;

/// A matrix that is kept in a form of its own.
pub trait StoredMatrix: std::fmt::Debug + Send + Sync {
    /// Number of rows: channels that come out.
    fn rows(&self) -> usize;

    /// Number of columns: channels that go in.
    fn columns(&self) -> usize;

    /// Decodes the numbers of a row from column `start` on. `start` is a multiple of 1024, and so is `out.len()`,
    /// unless the row ends before.
    fn decode(&self, row: usize, start: usize, out: &mut [f32]);

    /// The bits of a row from column `start` on, where it is kept in bf16: it is then packed as it is.
    fn bf16(&self, _row: usize, _start: usize, _len: usize) -> Option<&[u16]> {
        None
    }

    /// Says that the stored form will hardly be read again, since another is kept: what a file holds need not stay in memory.
    fn set_aside(&self) {}
}

/// `c = act(a·bᵀ + bias)`.
///
/// # Shapes
/// `a [m, columns]`, `b [rows, columns]`, `c [m, rows]`, `bias [rows]`.
///
/// # Panics
/// When the shapes do not fit together, or the pre-activation is asked for.
pub fn gemm_stored(
    a: MatRef<'_>,
    b: &dyn StoredMatrix,
    c: &mut [f32],
    epilogue: Epilogue<'_>,
    precision: Precision,
) {
    gemm_stored_at(level(), a, b, c, epilogue, precision);
}

/// [`gemm_stored`] with the instructions of `level`, which must be available.
pub(crate) fn gemm_stored_at(
    level: Level,
    a: MatRef<'_>,
    b: &dyn StoredMatrix,
    c: &mut [f32],
    epilogue: Epilogue<'_>,
    precision: Precision,
) {
    let engine = Engine::new(level, precision);
    let (m, k, n) = (a.rows(), a.cols(), b.rows());
    assert_eq!(k, b.columns(), "a has {k} columns and b {}", b.columns());
    assert!(
        epilogue.preactivation.is_none(),
        "stored weights are not trained"
    );
    let row_words = lanes_len(engine, STRIP, k).max(1) / STRIP;
    let rows = (PACKED_WORDS / row_words.max(1))
        .next_multiple_of(STRIP)
        .clamp(STRIP, n.next_multiple_of(STRIP).max(STRIP));
    let mut packed = Scratch::take(lanes_len(engine, rows, k));
    for first in (0..n).step_by(rows) {
        let rows = rows.min(n - first);
        pack(engine, b, first, rows, packed.as_mut_ptr());
        let columns = Columns { first, all: n };
        let part = Epilogue {
            bias: epilogue.bias.map(|bias| &bias[first..first + rows]),
            activation: epilogue.activation,
            accumulate: epilogue.accumulate,
            preactivation: None,
        };
        let operand = Operand::Packed(packed.as_ptr());
        product_of_columns(engine, &a, m, k, rows, operand, c, columns, part);
    }
}

/// Rows `first..first + rows` as strips; `dst` has room for [`lanes_len`] words.
pub(super) fn pack(engine: Engine, b: &dyn StoredMatrix, first: usize, rows: usize, dst: *mut u32) {
    let k = b.columns();
    let (strips, pieces) = (rows.div_ceil(STRIP), k.div_ceil(PIECE));
    let words = engine.padded_words(k);
    let dst = Shared::from_ptr(dst);
    for_each(strips * pieces, rows * k, |task| {
        let (strip, piece) = (task / pieces, task % pieces);
        let (lane0, k0) = (strip * STRIP, piece * PIECE);
        let (lanes, len) = (STRIP.min(rows - lane0), PIECE.min(k - k0));
        let target = dst
            .get()
            .wrapping_add(strip * words * STRIP + k0 / engine.per_word() * STRIP);
        #[cfg(target_arch = "x86_64")]
        if engine.is_bf16()
            && let Some(bits) = bits(b, first + lane0, lanes, k0, len)
        {
            // SAFETY: engines of bf16 have vectors of 512 bits here; each task writes its own words, all inside `lanes_len`.
            unsafe { strip_of_bf16(&bits[..lanes], len, target) };
            return;
        }
        let mut decoded = Scratch::take(STRIP * PIECE);
        let decoded = decoded.floats(lanes * len);
        for (lane, out) in decoded.chunks_mut(len).enumerate() {
            b.decode(first + lane0 + lane, k0, out);
        }
        let source = MatRef::new(decoded, lanes, len);
        // SAFETY: each task writes its own words of its own strip, all inside `lanes_len`.
        unsafe { pack_lanes(engine, &source, 0, lanes, 0, len, target, words * STRIP) };
    });
}

/// The same columns of some rows, if all are kept in bf16.
#[cfg(target_arch = "x86_64")]
fn bits(
    b: &dyn StoredMatrix,
    first: usize,
    rows: usize,
    start: usize,
    len: usize,
) -> Option<[&[u16]; STRIP]> {
    let mut all = [&[][..]; STRIP];
    for (row, bits) in all[..rows].iter_mut().enumerate() {
        *bits = b.bf16(first + row, start, len)?;
        assert_eq!(bits.len(), len, "columns of row {}", first + row);
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::gemm::{Activation, gemm_at};
    use crate::cpu::level::tests::testable_levels;
    use crate::cpu::reference;

    #[derive(Debug)]
    struct Plain {
        values: Vec<f32>,
        columns: usize,
        /// The upper halves of all values, where nothing is below.
        halves: Option<Vec<u16>>,
    }

    impl StoredMatrix for Plain {
        fn rows(&self) -> usize {
            self.values.len() / self.columns.max(1)
        }

        fn columns(&self) -> usize {
            self.columns
        }

        fn decode(&self, row: usize, start: usize, out: &mut [f32]) {
            assert!(start.is_multiple_of(PIECE));
            let ends = start + out.len();
            assert!(ends.is_multiple_of(PIECE) || ends == self.columns);
            out.copy_from_slice(&self.values[row * self.columns + start..][..out.len()]);
        }

        fn bf16(&self, row: usize, start: usize, len: usize) -> Option<&[u16]> {
            let halves = self.halves.as_ref()?;
            Some(&halves[row * self.columns + start..][..len])
        }
    }

    /// Sizes around a strip, a piece, and more rows than are packed at once.
    #[test]
    fn stored_products_are_equal_to_plain_ones() {
        for level in testable_levels("stored") {
            for precision in [Precision::F32, Precision::Bf16] {
                for (m, k, n) in [
                    (1, 1, 1),
                    (3, 33, 17),
                    (7, 1024, 16),
                    (5, 1030, 50),
                    (2, 2049, 2100),
                    (0, 5, 3),
                    (4, 5, 0),
                ] {
                    let (a, b) = (reference::noise(m * k, 1), reference::noise(n * k, 2));
                    let bias = reference::noise(n, 3);
                    let a = MatRef::new(&a, m, k);
                    let epilogue = || Epilogue {
                        bias: Some(&bias),
                        activation: Activation::Silu,
                        ..Epilogue::default()
                    };
                    let mut want = vec![0.0; m * n];
                    let plain = MatRef::new(&b, n, k).t();
                    gemm_at(level, a, plain, &mut want, epilogue(), precision);
                    let stored = Plain {
                        values: b,
                        columns: k,
                        halves: None,
                    };
                    let mut got = vec![0.0; m * n];
                    gemm_stored_at(level, a, &stored, &mut got, epilogue(), precision);
                    assert_eq!(got, want, "{level:?} {precision:?} {m}×{k}×{n}");

                    let halves: Vec<u16> = stored
                        .values
                        .iter()
                        .map(|value| (value.to_bits() >> 16) as u16)
                        .collect();
                    let whole = |half: &u16| f32::from_bits(u32::from(*half) << 16);
                    let mut cut = Plain {
                        values: halves.iter().map(whole).collect(),
                        columns: k,
                        halves: None,
                    };
                    gemm_stored_at(level, a, &cut, &mut want, epilogue(), precision);
                    cut.halves = Some(halves);
                    gemm_stored_at(level, a, &cut, &mut got, epilogue(), precision);
                    assert_eq!(got, want, "{level:?} {precision:?} {m}×{k}×{n} of bf16");
                }
            }
        }
    }
}
