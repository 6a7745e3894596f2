//! The networks of a model: where their weights lie, and how large they are.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::weights::{Checkpoint, Network};
use crate::Error;

/// The weights of one network of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its name in a pipeline, such as `transformer`.
    pub name: &'static str,
    /// Its folder or file.
    pub path: PathBuf,
    /// Numbers in its tensors.
    pub elements: u64,
    /// Bytes of its tensors as they are stored.
    pub bytes: u64,
}

impl Part {
    /// Reads the headers of the weights, so that missing shards and damaged files are told now and not after minutes of
    /// work, and adds them and samples of the values to `mark`.
    ///
    /// # Errors
    ///
    /// As [`Checkpoint::open_as`].
    pub(super) fn read(
        path: &Path,
        name: &'static str,
        network: Network,
        mark: &mut Sha256,
    ) -> Result<Self, Error> {
        let checkpoint = Checkpoint::open_as(path, network)?;
        mark.update(name);
        checkpoint.mark(mark);
        Ok(Self {
            name,
            path: path.to_owned(),
            elements: checkpoint.elements(),
            bytes: checkpoint.bytes(),
        })
    }
}
