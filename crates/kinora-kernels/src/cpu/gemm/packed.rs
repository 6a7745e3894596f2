//! Right operands that are packed once and kept: weights that are used many times.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use super::driver::{Operand, product};
use super::engine::Engine;
use super::epilogue::Epilogue;
use super::pack::{lanes_len, pack_lanes_parallel};
use super::stored::{self, StoredMatrix};
use crate::cpu::level::{Level, Precision, level};
use crate::cpu::matrix::MatRef;
use crate::cpu::scratch::AlignedWords;

/// A right operand packed once, for the level and precision that it was made with.
pub struct PackedMatrix {
    engine: Engine,
    rows: usize,
    cols: usize,
    words: AlignedWords,
}

impl PackedMatrix {
    /// Packs `b` for the current [`level`].
    #[must_use]
    pub fn pack(b: MatRef<'_>, precision: Precision) -> Self {
        Self::pack_at(level(), b, precision)
    }

    pub(crate) fn pack_at(level: Level, b: MatRef<'_>, precision: Precision) -> Self {
        let engine = Engine::new(level, precision);
        let mut words = AlignedWords::new(lanes_len(engine, b.cols(), b.rows()));
        pack_lanes_parallel(engine, &b.t(), b.cols(), b.rows(), words.as_mut_ptr());
        Self {
            engine,
            rows: b.rows(),
            cols: b.cols(),
            words,
        }
    }

    /// Packs `bᵀ` for the current [`level`].
    #[must_use]
    pub fn pack_stored(b: &dyn StoredMatrix, precision: Precision) -> Self {
        Self::pack_stored_at(level(), b, precision)
    }

    pub(crate) fn pack_stored_at(level: Level, b: &dyn StoredMatrix, precision: Precision) -> Self {
        let engine = Engine::new(level, precision);
        let (rows, cols) = (b.columns(), b.rows());
        let mut words = AlignedWords::new(lanes_len(engine, cols, rows));
        stored::pack(engine, b, 0, cols, words.as_mut_ptr());
        Self {
            engine,
            rows,
            cols,
            words,
        }
    }

    /// Bytes that the packed form of a `rows × cols` matrix takes at the current [`level`].
    fn bytes_of(rows: usize, cols: usize, precision: Precision) -> usize {
        lanes_len(Engine::new(level(), precision), cols, rows) * size_of::<u32>()
    }

    /// Whether products in `precision` at the current [`level`] take it.
    #[must_use]
    pub fn fits(&self, precision: Precision) -> bool {
        self.engine == Engine::new(level(), precision)
    }

    /// Rows of the matrix: the summed axis.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Columns of the matrix.
    #[must_use]
    pub const fn cols(&self) -> usize {
        self.cols
    }

    /// Bytes that the packed form takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.words.len() * size_of::<u32>()
    }
}

impl fmt::Debug for PackedMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}×{} for {:?}", self.rows, self.cols, self.engine)
    }
}

/// [`gemm`](super::gemm) with a right operand that is already packed: the same sums, to the bit.
///
/// # Panics
/// When the shapes do not fit together.
pub fn gemm_packed(a: MatRef<'_>, b: &PackedMatrix, c: &mut [f32], epilogue: Epilogue<'_>) {
    assert_eq!(
        a.cols(),
        b.rows,
        "a has {} columns and b {} rows",
        a.cols(),
        b.rows
    );
    product(
        b.engine,
        &a,
        a.rows(),
        a.cols(),
        b.cols,
        Operand::Packed(b.words.as_ptr()),
        c,
        epilogue,
    );
}

/// Bytes that packed forms of stored matrices may take and take.
static LIMIT: AtomicUsize = AtomicUsize::new(0);
static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// Lets packed forms of stored matrices take so many bytes in the whole process. At first they may take none, and each product decodes
/// and packs anew. What was packed before stays.
pub fn limit_packed(bytes: usize) {
    LIMIT.store(bytes, Ordering::Relaxed);
}

/// A share of what [`limit_packed`] allows, given back when dropped.
#[derive(Debug)]
struct Share(usize);

impl Share {
    fn take(bytes: usize) -> Option<Self> {
        let limit = LIMIT.load(Ordering::Relaxed);
        let more = |taken: usize| taken.checked_add(bytes).filter(|taken| *taken <= limit);
        let taken = TAKEN.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.is_ok().then(|| Self(bytes))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        TAKEN.fetch_sub(self.0, Ordering::Relaxed);
    }
}

/// The packed form of a weight that does not change: made by a product that needs it, shared by clones and by threads, dropped with the
/// last of them.
#[derive(Clone, Debug, Default)]
pub struct PackedOnce(Arc<Once>);

#[derive(Debug, Default)]
struct Once {
    /// Products so far, as far as they matter.
    calls: AtomicUsize,
    /// `None` where there was no room for it.
    kept: OnceLock<Option<(PackedMatrix, Option<Share>)>>,
}

impl PackedOnce {
    /// The form that is kept, if there is one.
    #[must_use]
    pub fn made(&self) -> Option<&PackedMatrix> {
        self.0.kept.get()?.as_ref().map(|(packed, _)| packed)
    }

    /// The form that is kept, made by `pack` if there is none. `None` when it was made for another level or precision.
    pub fn get(
        &self,
        precision: Precision,
        pack: impl FnOnce() -> PackedMatrix,
    ) -> Option<&PackedMatrix> {
        self.0.kept.get_or_init(|| Some((pack(), None)));
        self.made().filter(|packed| packed.fits(precision))
    }

    /// As [`get`](Self::get), for a stored matrix: from the second product on, and if it fits what [`limit_packed`] allows. A network
    /// that runs once, such as one that reads a prompt, would only pay for it.
    pub fn get_stored(
        &self,
        matrix: &dyn StoredMatrix,
        precision: Precision,
    ) -> Option<&PackedMatrix> {
        if self.0.calls.load(Ordering::Relaxed) == 0 {
            self.0.calls.store(1, Ordering::Relaxed);
            return None;
        }
        self.0.kept.get_or_init(|| {
            let bytes = PackedMatrix::bytes_of(matrix.columns(), matrix.rows(), precision);
            let share = Share::take(bytes)?;
            let packed = PackedMatrix::pack_stored(matrix, precision);
            matrix.set_aside();
            Some((packed, Some(share)))
        });
        self.made().filter(|packed| packed.fits(precision))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::gemm::{Activation, gemm_at};
    use crate::cpu::level::tests::testable_levels;
    use crate::cpu::reference;

    #[derive(Debug)]
    struct Rows(Vec<f32>, usize);

    impl StoredMatrix for Rows {
        fn rows(&self) -> usize {
            self.0.len() / self.1
        }

        fn columns(&self) -> usize {
            self.1
        }

        fn decode(&self, row: usize, start: usize, out: &mut [f32]) {
            out.copy_from_slice(&self.0[row * self.1 + start..][..out.len()]);
        }
    }

    /// Small sums, sums of several steps, and those for which a matrix that is not packed takes another way.
    #[test]
    fn packed_matrices_give_the_same_bits() {
        for level in testable_levels("packed") {
            for precision in [Precision::F32, Precision::Bf16] {
                for (m, k, n) in [(33, 70, 40), (5, 2400, 50), (70, 3000, 33), (0, 3, 4)] {
                    let (a, b) = (reference::noise(m * k, 1), reference::noise(k * n, 2));
                    let bias = reference::noise(n, 3);
                    let a = MatRef::new(&a, m, k);
                    let epilogue = || Epilogue {
                        bias: Some(&bias),
                        activation: Activation::GeluTanh,
                        ..Epilogue::default()
                    };
                    let (mut want, mut got) = (vec![0.0; m * n], vec![0.0; m * n]);
                    let plain = MatRef::new(&b, n, k).t();
                    gemm_at(level, a, plain, &mut want, epilogue(), precision);
                    let packed = PackedMatrix::pack_at(level, plain, precision);
                    gemm_packed(a, &packed, &mut got, epilogue());
                    assert_eq!(got, want, "{level:?} {precision:?} {m}×{k}×{n}");
                    let packed = PackedMatrix::pack_stored_at(level, &Rows(b, k), precision);
                    gemm_packed(a, &packed, &mut got, epilogue());
                    assert_eq!(got, want, "{level:?} {precision:?} {m}×{k}×{n} stored");
                }
            }
        }
    }

    #[test]
    fn stored_matrices_are_kept_from_the_second_product_on_while_there_is_room() {
        let matrix = Rows(vec![1.0; 20 * 40], 40);
        let bytes = PackedMatrix::bytes_of(40, 20, Precision::F32);
        let once = PackedOnce::default();
        assert!(once.get_stored(&matrix, Precision::F32).is_none());
        limit_packed(bytes);
        let clone = once.clone();
        assert!(clone.get_stored(&matrix, Precision::F32).is_some());
        // All is taken.
        let other = PackedOnce::default();
        for _ in 0..3 {
            assert!(other.get_stored(&matrix, Precision::F32).is_none());
        }
        drop(once);
        assert!(Share::take(1).is_none());
        drop(clone);
        assert!(Share::take(bytes).is_some());
    }
}
