//! A hash inside weight files, over all else that they hold: a copy that lost a bit is told without a second file beside it.
//!
//! It is a tensor and no entry of the metadata, because the order of those in a file is not settled.

use std::collections::HashMap;

use safetensors::{Dtype, SafeTensorError, SafeTensors};
use sha2::{Digest, Sha256};

use crate::Error;

/// The tensor that holds it.
pub(crate) const NAME: &str = "checksum";

/// SHA-256 of metadata and tensors, whatever their order in the file.
pub(crate) fn of<'a>(
    metadata: &HashMap<String, String>,
    tensors: impl Iterator<Item = (&'a str, Dtype, &'a [usize], &'a [u8])>,
) -> [u8; 32] {
    let mut hasher = Sha256::new();
    let mut piece = |bytes: &[u8]| {
        hasher.update((bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    let mut entries: Vec<_> = metadata.iter().collect();
    entries.sort_unstable();
    for (key, value) in entries {
        piece(key.as_bytes());
        piece(value.as_bytes());
    }
    let mut tensors: Vec<_> = tensors.filter(|(name, ..)| *name != NAME).collect();
    tensors.sort_unstable_by_key(|(name, ..)| *name);
    for (name, dtype, shape, bytes) in tensors {
        piece(name.as_bytes());
        piece(format!("{dtype:?} {shape:?}").as_bytes());
        piece(bytes);
    }
    hasher.finalize().into()
}

/// # Errors
///
/// [`Error::Hash`] where `file` holds a hash and not its own. Files of before there was one pass.
pub(crate) fn verify(
    file: &SafeTensors<'_>,
    metadata: &HashMap<String, String>,
) -> Result<(), Error> {
    let expected = match file.tensor(NAME) {
        Ok(view) => view,
        Err(SafeTensorError::TensorNotFound(_)) => return Ok(()),
        Err(error) => return Err(Error::Format(error.to_string())),
    };
    let views: Vec<_> = file.iter().collect();
    let tensors =
        (views.iter()).map(|(name, view)| (*name, view.dtype(), view.shape(), view.data()));
    let got = of(metadata, tensors);
    if got == *expected.data() {
        return Ok(());
    }
    Err(Error::Hash {
        expected: hexadecimal(expected.data()),
        got: hexadecimal(&got),
    })
}

/// Two letters a byte.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
