//! From a path to tensors by the names that the file gives them: which files there are, and of what format.
//!
//! A file is known by its first bytes, whatever it is called.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kinora_kernels::MappedFile;
use serde::Deserialize;

use super::stored::Stored;
use super::{gguf, pytorch_file, safetensors_file};
use crate::Error;

/// What diffusers, transformers and Wan's own folders call their weight files.
const STEMS: [&str; 2] = ["diffusion_pytorch_model", "model"];
/// Larger than any index.
const LARGEST_INDEX: u64 = 64 << 20;

/// Tensors by the names that stand in the files.
pub(super) type Tensors = BTreeMap<String, Stored>;

/// `*.safetensors.index.json`
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The tensors of a folder or a file.
///
/// # Errors
///
/// [`Error::NoWeights`] where a folder has none, or several that could be meant; [`Error::OldPyTorch`] for files of
/// PyTorch before 1.6; [`Error::Read`] where a file cannot be read (a missing shard); [`Error::Format`] where one is
/// damaged or does not hold what the index says.
pub(super) fn tensors(path: &Path) -> Result<Tensors, Error> {
    match path.is_dir() {
        true => folder(path),
        false => file(path),
    }
}

fn folder(folder: &Path) -> Result<Tensors, Error> {
    let mut looked_for = Vec::new();
    for stem in STEMS {
        let single = format!("{stem}.safetensors");
        let index = format!("{single}.index.json");
        for name in [&single, &index] {
            if folder.join(name).exists() {
                return file(&folder.join(name));
            }
        }
        looked_for.extend([single, index]);
    }
    let no_weights = |looked_for: String| Error::NoWeights {
        folder: folder.to_owned(),
        looked_for,
    };
    // A folder of one file, whatever its name.
    let found = files(folder)?;
    match &found[..] {
        [only] => file(only),
        [] => {
            looked_for.push("a single .safetensors, .gguf or .pth file".into());
            Err(no_weights(looked_for.join(", ")))
        }
        several => Err(no_weights(format!(
            "one file, but there are {}: name the one that is meant",
            several.len()
        ))),
    }
}

/// The weight files in a folder; those of PyTorch only where there are no others.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let unreadable = |source| Error::Read {
        path: folder.to_owned(),
        source,
    };
    let mut found = Vec::new();
    let mut pytorch = Vec::new();
    for entry in folder.read_dir().map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("safetensors" | "gguf") => found.push(path),
            Some("pth" | "pt" | "bin" | "ckpt") => pytorch.push(path),
            _ => {}
        }
    }
    found.sort();
    pytorch.sort();
    Ok(match found.is_empty() {
        true => pytorch,
        false => found,
    })
}

fn file(path: &Path) -> Result<Tensors, Error> {
    let file = MappedFile::open(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    if file.starts_with(pytorch_file::OLD_MAGIC) {
        return Err(Error::OldPyTorch {
            path: path.to_owned(),
        });
    }
    // Eight bytes of length come before the header of a safetensors file; an index is text.
    let is_index = file.first() == Some(&b'{') && file.get(8) != Some(&b'{');
    if is_index {
        return shards(path);
    }
    let read = match &file[..] {
        bytes if bytes.starts_with(gguf::MAGIC) => gguf::read,
        bytes if bytes.starts_with(pytorch_file::MAGIC) => pytorch_file::read,
        _ => safetensors_file::read,
    };
    read(&Arc::new(file)).map_err(|what| damaged(path, what))
}

fn damaged(path: &Path, what: impl std::fmt::Display) -> Error {
    Error::Format(format!("{}: {what}", path.display()))
}

/// Every file that an index names.
fn shards(index: &Path) -> Result<Tensors, Error> {
    let mut text = String::new();
    File::open(index)
        .and_then(|file| file.take(LARGEST_INDEX).read_to_string(&mut text))
        .map_err(|source| Error::Read {
            path: index.to_owned(),
            source,
        })?;
    let Index { weight_map } =
        serde_json::from_str(&text).map_err(|error| damaged(index, error))?;
    let names: BTreeSet<&String> = weight_map.values().collect();
    let folder = index.parent().unwrap_or(Path::new(""));
    let mut tensors = Tensors::new();
    let mut places = BTreeMap::new();
    for name in names {
        // An index must not lead out of its folder.
        let is_plain = Path::new(name)
            .file_name()
            .is_some_and(|file| file == name.as_str());
        if !is_plain || folder.join(name) == index {
            return Err(damaged(
                index,
                format!("'{name}' is no name of a file beside it"),
            ));
        }
        for (tensor, stored) in shard(&folder.join(name))? {
            places.insert(tensor.clone(), name);
            if tensors.insert(tensor.clone(), stored).is_some() {
                let what = format!("tensor '{tensor}' is in another file too");
                return Err(damaged(&folder.join(name), what));
            }
        }
    }
    for (tensor, file) in &weight_map {
        if places.get(tensor) != Some(&file) {
            return Err(damaged(
                index,
                format!("tensor '{tensor}' is not in {file}"),
            ));
        }
    }
    Ok(tensors)
}

/// A part of a sharded checkpoint: a safetensors file, never another index.
fn shard(path: &Path) -> Result<Tensors, Error> {
    let file = MappedFile::open(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    safetensors_file::read(&Arc::new(file)).map_err(|what| damaged(path, what))
}
