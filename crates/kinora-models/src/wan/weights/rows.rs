//! A table of which few rows are needed, left in its file.

use super::stored::Stored;

/// Rows of a matrix in a mapped file, such as an embedding.
#[derive(Debug, Clone)]
pub struct RowTable {
    table: Option<Stored>,
}

impl RowTable {
    /// A table of no rows.
    pub(super) fn empty() -> Self {
        Self { table: None }
    }

    pub(super) fn new(table: Stored) -> Self {
        // Blocks that cross rows cannot be read on their own.
        let table = match table.has_whole_rows() {
            true => table,
            false => table.to_bf16(),
        };
        Self { table: Some(table) }
    }

    /// The values of some rows, one after the other.
    ///
    /// # Panics
    ///
    /// When there is no such row.
    pub fn rows(&self, indices: &[usize]) -> Vec<f32> {
        let Some(table) = &self.table else {
            assert!(indices.is_empty(), "this table has no rows");
            return Vec::new();
        };
        let mut values = vec![0.0; indices.len() * table.columns()];
        for (values, index) in values.chunks_mut(table.columns().max(1)).zip(indices) {
            table.decode_row(*index, 0, values);
        }
        values
    }
}
