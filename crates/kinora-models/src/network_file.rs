//! Weight files of a single network: its tensors, and its name and sizes as one entry of JSON.

use std::collections::HashMap;

use burn::module::Module;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::Error;
use crate::weights::{self, Storage, TensorMap};

/// What stands in the file beside tensors.
#[derive(Serialize, Deserialize)]
struct Metadata<C> {
    name: String,
    config: C,
}

/// An opened file.
pub(crate) struct NetworkFile<C> {
    pub(crate) name: String,
    pub(crate) config: C,
    pub(crate) tensors: TensorMap,
}

impl<C: DeserializeOwned> NetworkFile<C> {
    /// Reads a file whose metadata stand under `entry`.
    ///
    /// # Errors
    ///
    /// A damaged file, or one of another network.
    pub(crate) fn from_bytes(entry: &str, bytes: &[u8]) -> Result<Self, Error> {
        let (tensors, metadata) = weights::from_bytes(bytes)?;
        let metadata = metadata
            .get(entry)
            .ok_or_else(|| Error::Format(format!("it has no '{entry}' entry")))?;
        let Metadata { name, config } = serde_json::from_str(metadata)
            .map_err(|error| Error::Format(format!("entry '{entry}': {error}")))?;
        Ok(Self {
            name,
            config,
            tensors,
        })
    }
}

/// The file of `network`, in bfloat16. The same network gives the same bytes.
///
/// # Errors
///
/// [`Error::Format`] where it cannot be serialised.
pub(crate) fn to_bytes<M: Module>(
    entry: &str,
    name: &str,
    config: &impl Serialize,
    network: &M,
) -> Result<Vec<u8>, Error> {
    let metadata = Metadata {
        name: name.to_owned(),
        config,
    };
    let metadata =
        serde_json::to_string(&metadata).map_err(|error| Error::Format(error.to_string()))?;
    weights::to_bytes(
        &weights::collect(network, "model"),
        HashMap::from([(entry.to_owned(), metadata)]),
        |_| Storage::Bf16,
    )
}
