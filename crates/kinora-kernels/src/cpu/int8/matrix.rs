//! Weights in 8 bits.

use std::fmt;

use super::{LONGEST, PER_WORD, STRIP, tiles};
use crate::cpu::gemm::StoredMatrix;
use crate::cpu::matrix::MatRef;
use crate::cpu::parallel::{Shared, for_each};
use crate::cpu::scratch::{AlignedWords, Scratch};

/// Numbers of a stored row that are decoded together.
const PIECE: usize = 1024;

/// A right operand in 8 bits with a scale for each column, for every level.
pub struct Int8Matrix {
    rows: usize,
    cols: usize,
    /// Strips of 16 columns: `[words][16 columns]`, four rows to a word.
    words: AlignedWords,
    scales: Vec<f32>,
    /// Of the rounded numbers of each column.
    sums: Vec<i32>,
}

impl Int8Matrix {
    /// Rounds a matrix.
    ///
    /// # Shapes
    /// `b [k, n]`: a scale for each of the `n` columns.
    ///
    /// # Panics
    /// When `k` is above 65,536.
    #[must_use]
    pub fn new(b: MatRef<'_>) -> Self {
        Self::of_columns(b.rows(), b.cols(), |column, values| {
            for (row, value) in values.iter_mut().enumerate() {
                *value = b.at(row, column);
            }
        })
    }

    /// Rounds a stored matrix, of which each row becomes a column. One that is kept in 8 bits with a scale for each row stays as it is.
    ///
    /// # Panics
    /// When it has more than 65,536 columns.
    #[must_use]
    pub fn of_stored(stored: &dyn StoredMatrix) -> Self {
        Self::of_columns(stored.columns(), stored.rows(), |row, values| {
            for (piece, values) in values.chunks_mut(PIECE).enumerate() {
                stored.decode(row, piece * PIECE, values);
            }
        })
    }

    fn of_columns(rows: usize, cols: usize, read: impl Fn(usize, &mut [f32]) + Sync) -> Self {
        assert!(rows <= LONGEST, "sums of {rows} products leave 32 bits");
        let strip_words = tiles(rows) * STRIP * STRIP;
        let strips = cols.div_ceil(STRIP);
        let mut words = AlignedWords::new(strips * strip_words);
        let (mut scales, mut sums) = (vec![0.0; cols], vec![0; cols]);
        let target = Shared::from_ptr(words.as_mut_ptr().cast::<i8>());
        let (all_scales, all_sums) = (Shared::new(&mut scales), Shared::new(&mut sums));
        for_each(strips, rows * cols, |strip| {
            let mut values = Scratch::take(rows);
            let values = values.floats(rows);
            let bytes = strip_words * PER_WORD;
            // SAFETY: each strip is one task's, and so are its columns.
            let packed = unsafe { target.slice(strip * bytes, bytes) };
            packed.fill(0);
            for lane in 0..STRIP.min(cols - strip * STRIP) {
                let column = strip * STRIP + lane;
                read(column, values);
                let most = values
                    .iter()
                    .fold(0.0_f32, |most, value| most.max(value.abs()));
                let inverse = if most > 0.0 { 127.0 / most } else { 0.0 };
                let mut sum = 0;
                for (row, value) in values.iter().enumerate() {
                    let number = (value * inverse).round_ties_even() as i8;
                    packed[(row / PER_WORD * STRIP + lane) * PER_WORD + row % PER_WORD] = number;
                    sum += i32::from(number);
                }
                // A column with a number that is none keeps it.
                let is_whole = values.iter().all(|value| value.is_finite());
                // SAFETY: as above.
                unsafe {
                    all_scales.slice(column, 1)[0] = if is_whole { most / 127.0 } else { f32::NAN };
                    all_sums.slice(column, 1)[0] = sum;
                }
            }
        });
        Self {
            rows,
            cols,
            words,
            scales,
            sums,
        }
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

    /// Bytes that it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        (self.words.len() + 2 * self.cols) * size_of::<u32>()
    }

    /// The number at a place, as it was rounded.
    ///
    /// # Panics
    /// When the place lies outside.
    #[must_use]
    pub fn at(&self, row: usize, col: usize) -> f32 {
        assert!(row < self.rows && col < self.cols, "({row}, {col})");
        let strip = col / STRIP * tiles(self.rows) * STRIP * STRIP;
        let word = strip + row / PER_WORD * STRIP + col % STRIP;
        // SAFETY: the word lies inside the packed form.
        let bytes = unsafe { *self.words.as_ptr().add(word) }.to_le_bytes();
        f32::from(bytes[row % PER_WORD] as i8) * self.scales[col]
    }

    pub(super) fn scales(&self) -> &[f32] {
        &self.scales
    }

    pub(super) fn sums(&self) -> &[i32] {
        &self.sums
    }

    /// The strip that column `col` begins and the one after it, or itself where there is none, from tile `first` on.
    pub(super) fn pair(&self, col: usize, first: usize) -> [*const u32; 2] {
        let stride = tiles(self.rows) * STRIP * STRIP;
        let strip = self
            .words
            .as_ptr()
            .wrapping_add(col / STRIP * stride + first * STRIP * STRIP);
        let next = if col + STRIP < self.cols { stride } else { 0 };
        [strip, strip.wrapping_add(next)]
    }
}

impl fmt::Debug for Int8Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}×{} in 8 bits", self.rows, self.cols)
    }
}
