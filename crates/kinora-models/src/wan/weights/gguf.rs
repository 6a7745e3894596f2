//! GGUF files, versions 2 and 3: the header, and where each tensor lies.
//!
//! Follows the specification, `ggml/docs/gguf.md`. Counts and lengths in a file may be anything: nothing is allocated
//! by them, every step is over bytes that are there, and sums are checked.

use std::collections::BTreeMap;
use std::sync::Arc;

use kinora_kernels::MappedFile;

use super::encoding::Encoding;
use super::stored::{Bytes, Numbers, Stored, is_countable};

/// What a GGUF file begins with.
pub(super) const MAGIC: &[u8; 4] = b"GGUF";
/// Where tensors begin, unless the file says otherwise.
const ALIGNMENT: u64 = 32;
/// More axes than any tensor has; ggml has four, and ComfyUI writes five.
const MOST_AXES: u32 = 8;
/// Lists within lists; no file has any.
const DEEPEST: usize = 4;
/// ComfyUI's entries for tensors that were stored in another shape.
const SHAPE_KEY: &str = "comfy.gguf.orig_shape.";
/// ggml's types by number; those that are not read are known by name at least.
const TYPES: [&str; 31] = [
    "F32", "F16", "Q4_0", "Q4_1", "Q4_2", "Q4_3", "Q5_0", "Q5_1", "Q8_0", "Q8_1", "Q2_K", "Q3_K",
    "Q4_K", "Q5_K", "Q6_K", "Q8_K", "IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ1_S", "IQ4_NL", "IQ3_S",
    "IQ2_S", "IQ4_XS", "I8", "I16", "I32", "I64", "F64", "IQ1_M", "BF16",
];

/// Bytes read from the front.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, len: u64) -> Result<&'a [u8], String> {
        let taken = usize::try_from(len)
            .ok()
            .and_then(|len| self.bytes.get(self.at..self.at.checked_add(len)?));
        let taken =
            taken.ok_or_else(|| format!("the header ends beyond the file, at byte {}", self.at))?;
        self.at += taken.len();
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64)?);
        Ok(array)
    }

    fn u32(&mut self) -> Result<u32, String> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, String> {
        self.array().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Result<&'a str, String> {
        let len = self.u64()?;
        let bytes = self.take(len)?;
        std::str::from_utf8(bytes).map_err(|_| "a name is no text".into())
    }

    /// Steps over a value of a type. Only whole numbers are given back, alone or as a list, since no others are used.
    fn value(&mut self, kind: u32, depth: usize) -> Result<Vec<i64>, String> {
        Ok(match kind {
            0 | 7 => vec![i64::from(self.array::<1>()?[0])],
            1 => vec![i64::from(i8::from_le_bytes(self.array()?))],
            2 => vec![i64::from(u16::from_le_bytes(self.array()?))],
            3 => vec![i64::from(i16::from_le_bytes(self.array()?))],
            4 => vec![i64::from(self.u32()?)],
            5 => vec![i64::from(i32::from_le_bytes(self.array()?))],
            6 => {
                self.array::<4>()?;
                Vec::new()
            }
            8 => {
                self.text()?;
                Vec::new()
            }
            9 if depth < DEEPEST => {
                let (kind, count) = (self.u32()?, self.u64()?);
                let mut values = Vec::new();
                for _ in 0..count {
                    let value = self.value(kind, depth + 1)?;
                    // As long as a shape may be; vocabularies are stepped over.
                    if values.len() < MOST_AXES as usize {
                        values.extend(value);
                    }
                }
                values
            }
            10 => vec![i64::try_from(self.u64()?).unwrap_or(i64::MAX)],
            11 => vec![i64::from_le_bytes(self.array()?)],
            12 => {
                self.array::<8>()?;
                Vec::new()
            }
            other => return Err(format!("an entry has the unknown type {other}")),
        })
    }
}

/// A tensor as the header describes it.
struct Entry<'a> {
    name: &'a str,
    shape: Vec<u64>,
    kind: u32,
    offset: u64,
}

/// The tensors of a mapped file.
///
/// # Errors
///
/// Says what is wrong with the file.
pub(super) fn read(file: &Arc<MappedFile>) -> Result<BTreeMap<String, Stored>, String> {
    let mut cursor = Cursor { bytes: file, at: 0 };
    if &cursor.array()? != MAGIC {
        return Err("this is no GGUF file".into());
    }
    match cursor.u32()? {
        2 | 3 => {}
        version if version.swap_bytes() <= 3 => {
            return Err("the numbers of this GGUF file are big-endian, which is not read".into());
        }
        version => return Err(format!("GGUF version {version} is not read, only 2 and 3")),
    }
    let (tensors, entries) = (cursor.u64()?, cursor.u64()?);
    let mut alignment = ALIGNMENT;
    let mut shapes = BTreeMap::new();
    for _ in 0..entries {
        let (key, kind) = (cursor.text()?, cursor.u32()?);
        let value = cursor.value(kind, 0)?;
        if key == "general.alignment" {
            alignment = match value[..] {
                [value @ 1..=0x1_0000] if value.cast_unsigned().is_power_of_two() => {
                    value.cast_unsigned()
                }
                _ => return Err(format!("general.alignment is {value:?}")),
            };
        } else if let Some(name) = key.strip_prefix(SHAPE_KEY) {
            shapes.insert(name, value);
        }
    }
    let mut described = Vec::new();
    for _ in 0..tensors {
        let name = cursor.text()?;
        let axes = cursor.u32()?;
        if axes > MOST_AXES {
            return Err(format!("tensor '{name}' has {axes} axes"));
        }
        // The fastest axis comes first.
        let mut shape = (0..axes)
            .map(|_| cursor.u64())
            .collect::<Result<Vec<_>, _>>()?;
        shape.reverse();
        described.push(Entry {
            name,
            shape,
            kind: cursor.u32()?,
            offset: cursor.u64()?,
        });
    }
    let start = (cursor.at as u64).next_multiple_of(alignment);
    let mut stored = BTreeMap::new();
    let mut ranges = Vec::new();
    for entry in described {
        let tensor = locate(file, start, alignment, &entry, shapes.get(entry.name))
            .map_err(|what| format!("tensor '{}' {what}", entry.name))?;
        if let Bytes::Mapped { range, .. } = &tensor.bytes
            && !range.is_empty()
        {
            ranges.push((range.clone(), entry.name));
        }
        if stored.insert(entry.name.to_owned(), tensor).is_some() {
            return Err(format!("tensor '{}' is there twice", entry.name));
        }
    }
    ranges.sort_by_key(|(range, _)| range.start);
    for pair in ranges.windows(2) {
        let [(before, first), (after, second)] = pair else {
            continue;
        };
        if before.end > after.start {
            return Err(format!("tensors '{first}' and '{second}' overlap"));
        }
    }
    Ok(stored)
}

fn locate(
    file: &Arc<MappedFile>,
    start: u64,
    alignment: u64,
    entry: &Entry<'_>,
    shape: Option<&Vec<i64>>,
) -> Result<Stored, String> {
    let sizes = |sizes: &[u64]| -> Result<(Vec<usize>, usize), String> {
        let sizes: Option<Vec<usize>> = sizes
            .iter()
            .map(|size| usize::try_from(*size).ok())
            .collect();
        let sizes = sizes.filter(|sizes| is_countable(sizes));
        let sizes = sizes.ok_or("is larger than memory")?;
        let len = sizes.iter().product();
        Ok((sizes, len))
    };
    let (mut axes, len) = sizes(&entry.shape)?;
    if !entry.offset.is_multiple_of(alignment) {
        return Err(format!(
            "begins at {}, no multiple of {alignment}",
            entry.offset
        ));
    }
    let numbers = numbers(entry.kind);
    let bytes = match &numbers {
        Numbers::Readable(encoding) => {
            let row = axes.last().copied().unwrap_or(1);
            encoding
                .bytes(row)
                .and(encoding.bytes(len))
                .ok_or_else(|| {
                    format!(
                        "has rows of {row}, which is no whole blocks of {}",
                        encoding.name()
                    )
                })?
        }
        // Its size is not known; it will be refused by name.
        Numbers::Other(_) => 0,
    };
    let range = start
        .checked_add(entry.offset)
        .and_then(|first| usize::try_from(first).ok())
        .and_then(|first| Some(first..first.checked_add(bytes)?))
        .filter(|range| range.end <= file.len())
        .ok_or("ends beyond the file")?;
    if let Some(shape) = shape {
        let shape: Option<Vec<u64>> = shape.iter().map(|size| u64::try_from(*size).ok()).collect();
        let shape = shape
            .filter(|shape| !shape.is_empty())
            .ok_or("has an original shape that is none")?;
        let (original, original_len) = sizes(&shape)?;
        if original_len != len {
            return Err(format!(
                "has {len} numbers, but the original shape {original:?}"
            ));
        }
        axes = original;
    }
    Ok(Stored {
        bytes: Bytes::Mapped {
            file: file.clone(),
            range,
        },
        numbers,
        shape: axes,
        scales: [].into(),
    })
}

/// ggml's type of this number.
fn numbers(kind: u32) -> Numbers {
    let name = TYPES.get(kind as usize).copied();
    let encoding = Encoding::ALL
        .into_iter()
        .find(|encoding| Some(encoding.name()) == name);
    match (encoding, name) {
        (Some(encoding), _) => Numbers::Readable(encoding),
        (None, Some(name)) => Numbers::Other(name.into()),
        (None, None) => Numbers::Other(format!("ggml type {kind}")),
    }
}
