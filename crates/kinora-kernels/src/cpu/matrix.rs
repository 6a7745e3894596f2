//! A borrowed matrix with any strides.

/// A read-only matrix: element `(i, j)` is `data[i * row_stride + j * col_stride]`.
#[derive(Clone, Copy, Debug)]
pub struct MatRef<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> MatRef<'a> {
    /// A contiguous row-major matrix.
    ///
    /// # Panics
    /// When `data` is not exactly `rows × cols` long.
    #[must_use]
    pub fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        assert_eq!(
            data.len(),
            rows * cols,
            "a {rows}×{cols} matrix needs {} elements",
            rows * cols
        );
        Self {
            data,
            rows,
            cols,
            row_stride: cols,
            col_stride: 1,
        }
    }

    /// A matrix with explicit strides, in elements.
    ///
    /// # Panics
    /// When the last element lies outside `data`.
    #[must_use]
    pub fn strided(
        data: &'a [f32],
        rows: usize,
        cols: usize,
        row_stride: usize,
        col_stride: usize,
    ) -> Self {
        if rows > 0 && cols > 0 {
            let last = (rows - 1)
                .checked_mul(row_stride)
                .zip((cols - 1).checked_mul(col_stride))
                .and_then(|(row, col)| row.checked_add(col));
            assert!(
                last.is_some_and(|last| last < data.len()),
                "a {rows}×{cols} matrix with strides {row_stride} and {col_stride} does not fit {} elements",
                data.len()
            );
        }
        Self {
            data,
            rows,
            cols,
            row_stride,
            col_stride,
        }
    }

    /// The transposed view.
    #[must_use]
    pub const fn t(self) -> Self {
        Self {
            data: self.data,
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
        }
    }

    /// Number of rows.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    #[must_use]
    pub const fn cols(&self) -> usize {
        self.cols
    }

    /// Elements between one row and the next.
    #[must_use]
    pub const fn row_stride(&self) -> usize {
        self.row_stride
    }

    /// Elements between one column and the next.
    #[must_use]
    pub const fn col_stride(&self) -> usize {
        self.col_stride
    }

    /// Element `(row, col)`.
    ///
    /// # Panics
    /// When the position lies outside the matrix.
    #[must_use]
    pub fn at(&self, row: usize, col: usize) -> f32 {
        assert!(
            row < self.rows && col < self.cols,
            "({row}, {col}) lies outside {}×{}",
            self.rows,
            self.cols
        );
        self.data[row * self.row_stride + col * self.col_stride]
    }

    /// Row `row` as a slice, when its elements are neighbours.
    #[must_use]
    pub fn row(&self, row: usize) -> Option<&'a [f32]> {
        (self.col_stride == 1 && row < self.rows)
            .then(|| &self.data[row * self.row_stride..][..self.cols])
    }

    pub(crate) const fn as_ptr(&self) -> *const f32 {
        self.data.as_ptr()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposing_swaps_positions() {
        let data: Vec<f32> = (0..6u8).map(f32::from).collect();
        let matrix = MatRef::new(&data, 2, 3);
        assert_eq!(matrix.at(1, 0), 3.0);
        assert_eq!(matrix.t().at(0, 1), 3.0);
        assert_eq!((matrix.t().rows(), matrix.t().cols()), (3, 2));
    }

    #[test]
    #[should_panic(expected = "does not fit")]
    fn a_view_beyond_its_data_is_refused() {
        let _ = MatRef::strided(&[0.0; 5], 2, 3, 3, 1);
    }
}
