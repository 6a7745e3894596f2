//! A checkpoint in any format to one safetensors file in bf16 or 8 bits, by the networks' names.

use std::fs::File;
use std::io::{BufWriter, ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::Checkpoint;
use super::encoding::Encoding;
use super::stored::Stored;
use crate::Error;

/// Matrices that stay in bf16: rows of a table, not weights of a layer.
const TABLES: [&str; 2] = ["relative_attention_bias", "embed"];
/// Headers are filled up so that tensors are aligned.
const ALIGNMENT: usize = 64;

/// What a converted file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Matrices and kernels in bf16, what has one axis in `f32`.
    Bf16,
    /// The same, but matrices of blocks in 8 bits with a scale for each row, which stands beside them as
    /// `*.weight_scale`.
    Int8,
}

/// A tensor of the new file.
struct Entry<'a> {
    name: &'a str,
    shape: &'a [usize],
    encoding: Encoding,
}

/// Writes a network, changed by its adapters, to `path`, which [`Checkpoint::open`] opens. One tensor at a time is in
/// memory. Tensors of types that are not read (a tokenizer) are left out. `go_on` is told bytes that are written, of how
/// many, and stops the work by `false`.
///
/// # Errors
///
/// [`Error::Write`] where the file cannot be written, of kind [`Interrupted`](ErrorKind::Interrupted) where it was stopped;
/// nothing is then left of it.
pub fn convert(
    checkpoint: &Checkpoint,
    target: Target,
    path: &Path,
    go_on: impl FnMut(u64, u64) -> bool,
) -> Result<(), Error> {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    let temporary = PathBuf::from(name);
    let result = File::create(&temporary)
        .and_then(|file| write(checkpoint, target, file, go_on))
        .and_then(|()| std::fs::rename(&temporary, path));
    result.map_err(|source| {
        let _ = std::fs::remove_file(&temporary);
        Error::Write {
            path: path.to_owned(),
            source,
        }
    })
}

fn write(
    checkpoint: &Checkpoint,
    target: Target,
    file: File,
    mut go_on: impl FnMut(u64, u64) -> bool,
) -> std::io::Result<()> {
    let mut entries: Vec<Entry<'_>> = checkpoint
        .tensors
        .iter()
        .filter(|(_, stored)| stored.encoding().is_some())
        .map(|(name, stored)| Entry {
            name,
            shape: &stored.shape,
            encoding: encoding(name, stored, target),
        })
        .collect();
    // The widest first, so that all are aligned.
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.encoding.block_bytes()));

    let mut header = Map::new();
    header.insert("__metadata__".into(), json!({"format": "pt"}));
    let mut at = 0;
    let mut describe = |name: String, dtype: &str, shape: &[usize], bytes: usize| {
        let place = [at, at + bytes];
        let entry = json!({"dtype": dtype, "shape": shape, "data_offsets": place});
        header.insert(name, entry);
        at += bytes;
    };
    let mut scales = 0;
    for entry in entries
        .iter()
        .filter(|entry| entry.encoding == Encoding::I8)
    {
        let rows = entry.shape.first().copied().unwrap_or(1);
        describe(scale_name(entry.name), "F32", &[rows], 4 * rows);
        scales += 4 * rows;
    }
    for entry in &entries {
        let bytes = entry.shape.iter().product::<usize>() * entry.encoding.block_bytes();
        describe(
            entry.name.to_owned(),
            entry.encoding.name(),
            entry.shape,
            bytes,
        );
    }
    let total = at as u64;

    let mut text = Value::Object(header).to_string();
    let filled = (8 + text.len()).next_multiple_of(ALIGNMENT) - 8;
    text.extend(std::iter::repeat_n(' ', filled - text.len()));
    let mut file = BufWriter::new(file);
    file.write_all(&(text.len() as u64).to_le_bytes())?;
    file.write_all(text.as_bytes())?;
    // Scales stand before the weights, but are known only with them.
    let place_of_scales = file.stream_position()?;
    file.seek_relative(scales as i64)?;
    let mut scale_bytes = Vec::with_capacity(scales);
    let mut done = scales as u64;
    for entry in &entries {
        if !go_on(done, total) {
            return Err(ErrorKind::Interrupted.into());
        }
        let changed = checkpoint.changed(entry.name);
        let stored = match entry.encoding {
            Encoding::I8 => changed.to_int8(),
            Encoding::Bf16 => changed.to_bf16(),
            _ => changed.changed(|_| {}),
        };
        if entry.encoding == Encoding::I8 {
            scale_bytes.extend(stored.scales.iter().flat_map(|scale| scale.to_le_bytes()));
        }
        file.write_all(stored.bytes.get())?;
        done += stored.bytes.get().len() as u64;
    }
    file.seek(SeekFrom::Start(place_of_scales))?;
    file.write_all(&scale_bytes)?;
    file.into_inner()
        .map_err(std::io::IntoInnerError::into_error)?
        .sync_all()
}

fn encoding(name: &str, stored: &Stored, target: Target) -> Encoding {
    let axes = stored.shape.iter().filter(|size| **size != 1).count();
    let is_in_block = ["blocks.", "block.", "layers."]
        .iter()
        .any(|list| name.split_inclusive('.').any(|part| part == *list))
        || name.starts_with("vace_blocks.");
    let is_layer = stored.shape.len() == 2
        && name.ends_with(".weight")
        && !TABLES.iter().any(|table| name.contains(table));
    match target {
        _ if axes < 2 => Encoding::F32,
        Target::Int8 if is_in_block && is_layer => Encoding::I8,
        _ => Encoding::Bf16,
    }
}

/// `layer.weight` → `layer.weight_scale`
fn scale_name(weight: &str) -> String {
    format!("{weight}_scale")
}
