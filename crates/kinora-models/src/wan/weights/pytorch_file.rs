//! Files of `torch.save`: an archive of a pickle, which says what each tensor is, and of one file of numbers for each
//! storage. The numbers lie there as they are, so that they are mapped like those of any other weight file.
//!
//! Source: `torch/serialization.py` and `torch/_utils.py`.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::ops::Range;
use std::sync::Arc;

use kinora_kernels::MappedFile;
use zip::{CompressionMethod, ZipArchive};

use super::encoding::Encoding;
use super::pickle::{self, Storage, Tensor};
use super::stored::{Bytes, Numbers, Stored, is_countable};

/// What an archive begins with.
pub(super) const MAGIC: &[u8] = b"PK\x03\x04";
/// What PyTorch wrote up to 2020: pickles one after the other.
pub(super) const OLD_MAGIC: &[u8] = b"\x80\x02";
/// Larger than the pickle of any checkpoint, which has some hundred bytes for each tensor. A hostile one may take fifty times as much
/// memory.
const LARGEST_PICKLE: u64 = 8 << 20;

/// The tensors of a mapped file.
///
/// # Errors
///
/// Says what is wrong with the file.
pub(super) fn read(file: &Arc<MappedFile>) -> Result<BTreeMap<String, Stored>, String> {
    let mut archive = ZipArchive::new(Cursor::new(&file[..]))
        .map_err(|error| format!("the archive is damaged: {error}"))?;
    // Everything lies in a folder that is called as the file was when it was written.
    let names = archive.file_names().filter_map(Result::ok);
    let pickled = names
        .map(|name| name.into_owned())
        .find(|name| name == "data.pkl" || name.ends_with("/data.pkl"))
        .ok_or("an archive without data.pkl is none of torch.save")?;
    let folder = pickled.strip_suffix("data.pkl").unwrap_or_default();
    let order = entry(&mut archive, &format!("{folder}byteorder"));
    if order.is_ok_and(|range| file.get(range) == Some(b"big")) {
        return Err(
            "its numbers have their highest byte first: save it again on an ordinary machine"
                .into(),
        );
    }

    let mut text = Vec::new();
    archive
        .by_name(&pickled)
        .and_then(|entry| Ok(entry.take(LARGEST_PICKLE).read_to_end(&mut text)?))
        .map_err(|error| format!("{pickled} cannot be read: {error}"))?;
    let tensors = pickle::tensors(&text).map_err(|what| format!("{pickled}: {what}"))?;

    let mut storages = BTreeMap::new();
    let mut found = BTreeMap::new();
    for (name, tensor) in tensors {
        let key = &tensor.storage.key;
        let range = match storages.get(key) {
            Some(range) => Range::clone(range),
            None => {
                let range = entry(&mut archive, &format!("{folder}data/{key}"))?;
                storages.insert(key.clone(), range.clone());
                range
            }
        };
        let stored =
            view(file, range, &tensor).map_err(|what| format!("tensor '{name}' {what}"))?;
        found.insert(name, stored);
    }
    Ok(found)
}

/// Where a file of the archive lies.
fn entry(archive: &mut ZipArchive<Cursor<&[u8]>>, name: &str) -> Result<Range<usize>, String> {
    let entry = archive
        .by_name(name)
        .map_err(|error| format!("{name} cannot be read: {error}"))?;
    if entry.compression() != CompressionMethod::Stored || entry.encrypted() {
        return Err(format!(
            "{name} is compressed or locked, which torch.save never does"
        ));
    }
    let start = entry
        .data_start()
        .and_then(|start| usize::try_from(start).ok());
    let size = usize::try_from(entry.size()).ok();
    let range = start
        .zip(size)
        .and_then(|(start, size)| Some(start..start.checked_add(size)?));
    range.ok_or_else(|| format!("{name} lies beyond the file"))
}

/// A tensor in the bytes of its storage.
fn view(file: &Arc<MappedFile>, storage: Range<usize>, tensor: &Tensor) -> Result<Stored, String> {
    let Tensor {
        storage: Storage { class, len, .. },
        offset,
        shape,
        strides,
    } = tensor;
    let (numbers, size) = numbers(class)?;
    let bytes = file.get(storage.clone()).ok_or("lies beyond the file")?;
    if !is_countable(shape) || strides.len() != shape.len() {
        return Err("has sizes that no memory holds".into());
    }
    let count: usize = shape.iter().product();
    // Numbers that a view repeats would take memory that the file does not have.
    let is_whole = len
        .checked_mul(size)
        .is_some_and(|wanted| wanted <= bytes.len());
    if !is_whole || count > *len || last(tensor).is_none_or(|last| last >= *len) && count > 0 {
        return Err("is larger than the numbers that it is made of".into());
    }
    let bytes = match is_in_order(shape, strides) {
        true => {
            let start = storage.start + offset * size;
            let range = start..start + count * size;
            // Of nothing, wherever it lies.
            let range = if count == 0 {
                storage.start..storage.start
            } else {
                range
            };
            Bytes::Mapped {
                file: file.clone(),
                range,
            }
        }
        false => Bytes::Owned(gathered(bytes, size, tensor, count).into()),
    };
    Ok(Stored {
        bytes,
        numbers,
        shape: shape.clone(),
        scales: [].into(),
    })
}

/// What a class of storages holds, and the bytes of one.
fn numbers(class: &str) -> Result<(Numbers, usize), String> {
    let encoding = match class.rsplit('.').next().unwrap_or(class) {
        "FloatStorage" => Encoding::F32,
        "HalfStorage" => Encoding::F16,
        "BFloat16Storage" => Encoding::Bf16,
        "CharStorage" => Encoding::I8,
        "DoubleStorage" => return Ok((Numbers::Other("F64".into()), 8)),
        "LongStorage" => return Ok((Numbers::Other("I64".into()), 8)),
        "IntStorage" => return Ok((Numbers::Other("I32".into()), 4)),
        "ShortStorage" => return Ok((Numbers::Other("I16".into()), 2)),
        "ByteStorage" => return Ok((Numbers::Other("U8".into()), 1)),
        "BoolStorage" => return Ok((Numbers::Other("BOOL".into()), 1)),
        _ => return Err(format!("is of {class}, which is not read")),
    };
    Ok((Numbers::Readable(encoding), encoding.block_bytes()))
}

/// The place of the last number of a tensor that has some; `None` where it cannot be counted.
fn last(tensor: &Tensor) -> Option<usize> {
    let steps = tensor.shape.iter().zip(&tensor.strides);
    steps
        .into_iter()
        .try_fold(tensor.offset, |last, (size, stride)| {
            last.checked_add(size.saturating_sub(1).checked_mul(*stride)?)
        })
}

/// Whether the numbers lie as the shape says, the last axis fastest.
fn is_in_order(shape: &[usize], strides: &[usize]) -> bool {
    let mut step = 1;
    shape.iter().zip(strides).rev().all(|(size, stride)| {
        let fits = *size <= 1 || *stride == step;
        step *= size;
        fits
    })
}

/// The numbers of a tensor, put in order. The caller has checked that all are there.
fn gathered(bytes: &[u8], size: usize, tensor: &Tensor, count: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(count * size);
    let mut index = vec![0; tensor.shape.len()];
    for _ in 0..count {
        let steps = index.iter().zip(&tensor.strides);
        let place = tensor.offset + steps.map(|(i, stride)| i * stride).sum::<usize>();
        out.extend_from_slice(&bytes[place * size..][..size]);
        for (i, size) in index.iter_mut().zip(&tensor.shape).rev() {
            *i += 1;
            if *i < *size {
                break;
            }
            *i = 0;
        }
    }
    out
}
