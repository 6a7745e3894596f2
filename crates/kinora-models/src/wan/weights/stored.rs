//! A tensor in a file: where its bytes lie, and how they become numbers.

use std::ops::Range;
use std::sync::Arc;

use kinora_kernels::MappedFile;
use rayon::prelude::*;

use super::encoding::Encoding;

/// Bytes of a file, or of our own.
#[derive(Debug, Clone)]
pub(super) enum Bytes {
    Mapped {
        file: Arc<MappedFile>,
        range: Range<usize>,
    },
    Owned(Arc<[u8]>),
}

impl Bytes {
    pub(super) fn get(&self) -> &[u8] {
        match self {
            Self::Mapped { file, range } => &file[range.clone()],
            Self::Owned(bytes) => bytes,
        }
    }

    /// Lets the memory of what a file holds be used for something else, until it is read again.
    pub(super) fn forget(&self) {
        if let Self::Mapped { file, range } = self {
            file.forget(range.clone());
        }
    }

    /// A part of them.
    pub(super) fn part(&self, part: Range<usize>) -> Self {
        match self {
            Self::Mapped { file, range } => Self::Mapped {
                file: file.clone(),
                range: range.start + part.start..range.start + part.end,
            },
            Self::Owned(bytes) => Self::Owned(bytes[part].into()),
        }
    }
}

/// What the bytes of a tensor are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Numbers {
    Readable(Encoding),
    /// A type that is not read, by name.
    Other(String),
}

/// A tensor, not yet read.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) bytes: Bytes,
    pub(super) numbers: Numbers,
    pub(super) shape: Vec<usize>,
    /// What each row, or with a single entry every row, is to be multiplied by; empty for one.
    pub(super) scales: Arc<[f32]>,
}

/// Whether all products of sizes can be counted, also where some of them are zero.
pub(super) fn is_countable(shape: &[usize]) -> bool {
    let count = shape
        .iter()
        .try_fold(1_usize, |count, size| count.checked_mul((*size).max(1)));
    // In bytes of `f32`, as an allocation may be.
    count.is_some_and(|count| count <= isize::MAX as usize / 4)
}

impl Stored {
    /// Its encoding, if it can be read.
    pub(super) fn encoding(&self) -> Option<Encoding> {
        match self.numbers {
            Numbers::Readable(encoding) => Some(encoding),
            Numbers::Other(_) => None,
        }
    }

    /// The name of its type.
    pub(super) fn type_name(&self) -> &str {
        match &self.numbers {
            Numbers::Readable(encoding) => encoding.name(),
            Numbers::Other(name) => name,
        }
    }

    /// How many numbers there are. Whoever made this has checked that they can be counted.
    pub(super) fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Rows of the tensor as a matrix over its first axis.
    pub(super) fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }

    /// Numbers in a row.
    pub(super) fn columns(&self) -> usize {
        self.shape.iter().skip(1).product()
    }

    /// Whether every row is whole blocks, so that rows can be read on their own.
    pub(super) fn has_whole_rows(&self) -> bool {
        self.encoding()
            .is_some_and(|encoding| encoding.bytes(self.columns()).is_some())
    }

    /// What a row is to be multiplied by.
    pub(super) fn scale(&self, row: usize) -> f32 {
        match &*self.scales {
            [] => 1.0,
            [one] => *one,
            many => many[row],
        }
    }

    /// The rows `rows` of a tensor with whole rows, as a tensor of their own.
    pub(super) fn part(&self, rows: Range<usize>) -> Option<Self> {
        let row = self.encoding()?.bytes(self.columns())?;
        let mut shape = self.shape.clone();
        *shape.first_mut()? = rows.len();
        let scales = match self.scales.len() {
            0 | 1 => self.scales.clone(),
            _ => self.scales.get(rows.clone())?.into(),
        };
        Some(Self {
            bytes: self.bytes.part(rows.start * row..rows.end * row),
            numbers: self.numbers.clone(),
            shape,
            scales,
        })
    }

    /// All numbers, last axis fastest, in `f32`.
    ///
    /// # Panics
    ///
    /// When the type is not read: the caller has checked that.
    pub(super) fn floats(&self) -> Vec<f32> {
        let encoding = self.readable();
        let mut values = vec![0.0; self.len()];
        let bytes = self.bytes.get();
        if self.has_whole_rows() && self.columns() > 0 {
            let row = (bytes.len() / self.rows().max(1)).max(1);
            values
                .par_chunks_mut(self.columns())
                .zip(bytes.par_chunks(row))
                .for_each(|(values, bytes)| encoding.decode(bytes, values));
        } else {
            encoding.decode(bytes, &mut values);
        }
        if !self.scales.is_empty() {
            for (row, values) in values.chunks_mut(self.columns().max(1)).enumerate() {
                let scale = self.scale(row);
                values.iter_mut().for_each(|value| *value *= scale);
            }
        }
        values
    }

    /// Numbers `start..start + out.len()` of a row of a tensor with whole rows; `start` and the end are multiples of
    /// [`Encoding::LONGEST_BLOCK`], or the end is that of the row.
    ///
    /// # Panics
    ///
    /// When there are no such numbers.
    pub(super) fn decode_row(&self, row: usize, start: usize, out: &mut [f32]) {
        let encoding = self.readable();
        let of = |len: usize| encoding.bytes(len).expect("rows are whole blocks");
        let first = row * of(self.columns()) + of(start);
        let bytes = &self.bytes.get()[first..][..of(out.len())];
        encoding.decode(bytes, out);
        if !self.scales.is_empty() {
            let scale = self.scale(row);
            out.iter_mut().for_each(|value| *value *= scale);
        }
    }

    /// The bits of the numbers `start..start + len` of a row that is in bf16, if the file has them where they can be read in place.
    pub(super) fn bf16_row(&self, row: usize, start: usize, len: usize) -> Option<&[u16]> {
        let is_plain = self.encoding() == Some(Encoding::Bf16) && self.scales.is_empty();
        if !is_plain || cfg!(target_endian = "big") {
            return None;
        }
        let first = 2 * (row * self.columns() + start);
        bytemuck::try_cast_slice(&self.bytes.get()[first..][..2 * len]).ok()
    }

    fn readable(&self) -> Encoding {
        self.encoding().unwrap_or_else(|| {
            panic!(
                "types are checked before values are read, {}",
                self.type_name()
            )
        })
    }
}
