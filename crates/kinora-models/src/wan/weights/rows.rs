//! A table of which few rows are needed, left in its file.

use std::ops::Range;
use std::sync::Arc;

use kinora_kernels::MappedFile;
use safetensors::Dtype;

use super::values::floats;

/// Rows of a matrix in a mapped file, such as an embedding.
#[derive(Debug, Clone)]
pub struct RowTable {
    place: Option<Place>,
}

#[derive(Debug, Clone)]
struct Place {
    file: Arc<MappedFile>,
    bytes: Range<usize>,
    dtype: Dtype,
    rows: usize,
}

impl RowTable {
    /// A table of no rows.
    pub(super) fn empty() -> Self {
        Self { place: None }
    }

    pub(super) fn new(
        file: Arc<MappedFile>,
        bytes: Range<usize>,
        dtype: Dtype,
        rows: usize,
    ) -> Self {
        let place = Place {
            file,
            bytes,
            dtype,
            rows,
        };
        Self { place: Some(place) }
    }

    /// The values of some rows, one after the other.
    ///
    /// # Panics
    ///
    /// When there is no such row.
    pub fn rows(&self, indices: &[usize]) -> Vec<f32> {
        let Some(place) = &self.place else {
            assert!(indices.is_empty(), "this table has no rows");
            return Vec::new();
        };
        let bytes = &place.file[place.bytes.clone()];
        let row = bytes.len() / place.rows;
        indices
            .iter()
            .flat_map(|index| floats(place.dtype, &bytes[index * row..][..row]))
            .collect()
    }
}
