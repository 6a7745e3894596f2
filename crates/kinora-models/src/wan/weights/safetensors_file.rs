//! Safetensors files: the header, and where each tensor lies.
//!
//! Headers are checked before anything is believed: sizes that overlap, leave gaps or run past the end of the file are
//! errors.

use std::collections::BTreeMap;
use std::sync::Arc;

use kinora_kernels::MappedFile;
use safetensors::SafeTensors;

use super::encoding::Encoding;
use super::stored::{Bytes, Numbers, Stored, is_countable};

/// The tensors of a mapped file.
///
/// # Errors
///
/// Says what is wrong with the file.
pub(super) fn read(file: &Arc<MappedFile>) -> Result<BTreeMap<String, Stored>, String> {
    check_ends(file)?;
    let (header, metadata) = SafeTensors::read_metadata(file).map_err(|error| error.to_string())?;
    // Eight bytes say how long the header is.
    let start = 8 + header;
    let tensors = metadata.tensors().into_iter().map(|(name, info)| {
        let (first, end) = info.data_offsets;
        if !is_countable(&info.shape) {
            return Err(format!("tensor '{name}' is larger than memory"));
        }
        let numbers = match Encoding::of_dtype(info.dtype) {
            Some(encoding) => Numbers::Readable(encoding),
            None => Numbers::Other(format!("{:?}", info.dtype)),
        };
        let stored = Stored {
            bytes: Bytes::Mapped {
                file: file.clone(),
                range: start + first..start + end,
            },
            numbers,
            shape: info.shape.clone(),
            scales: [].into(),
        };
        Ok((name.clone(), stored))
    });
    tensors.collect()
}

/// That no tensor ends beyond the file. The library checks all else, but adds up ends that may be as large as numbers
/// get, which ends a program that was built to check its sums.
fn check_ends(file: &[u8]) -> Result<(), String> {
    let header = file.split_first_chunk::<8>().and_then(|(length, rest)| {
        let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        rest.get(..length)
    });
    let header = header.ok_or("the header does not fit the file")?;
    let tensors: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(header).map_err(|error| error.to_string())?;
    for (name, tensor) in &tensors {
        let ends = tensor
            .get("data_offsets")
            .and_then(|offsets| offsets.get(1)?.as_u64());
        if ends.is_some_and(|end| end > file.len() as u64) {
            return Err(format!("tensor '{name}' ends beyond the file"));
        }
    }
    Ok(())
}
