//! Weights of a diffusers folder: one safetensors file, or several with an index.
//!
//! Files are mapped, not read, and each tensor is converted straight from the mapping into the layer that takes it:
//! memory holds the network once. Headers are checked before anything is believed: sizes that overlap, leave gaps or
//! run past the end of the file, names that two files claim, and an index that names what no file holds are errors.

mod reader;
mod rows;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::Device;
use kinora_kernels::MappedFile;
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

pub use reader::Reader;
pub use rows::RowTable;

use crate::Error;
use crate::error::TensorProblems;

/// What diffusers and transformers call their weight files.
const STEMS: [&str; 2] = ["diffusion_pytorch_model", "model"];
/// Larger than any index.
const LARGEST_INDEX: u64 = 64 << 20;

/// Where the values of a tensor lie.
#[derive(Debug, Clone)]
struct Located {
    file: usize,
    bytes: Range<usize>,
    dtype: Dtype,
    shape: Vec<usize>,
}

/// The tensors of a folder, by name, not yet read.
#[derive(Debug)]
pub struct Checkpoint {
    folder: PathBuf,
    files: Vec<Arc<MappedFile>>,
    tensors: BTreeMap<String, Located>,
}

/// `*.safetensors.index.json`
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Checkpoint {
    /// Maps the weight files of `folder` and checks their headers.
    ///
    /// # Errors
    ///
    /// [`Error::NoWeights`] where there are none, [`Error::Read`] where a file cannot be read (a missing shard),
    /// [`Error::Format`] where one is damaged or does not hold what the index says.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let mut checkpoint = Self {
            folder: folder.to_owned(),
            files: Vec::new(),
            tensors: BTreeMap::new(),
        };
        let mut looked_for = Vec::new();
        for stem in STEMS {
            let single = format!("{stem}.safetensors");
            if folder.join(&single).exists() {
                checkpoint.add(&single)?;
                return Ok(checkpoint);
            }
            let index = format!("{single}.index.json");
            if folder.join(&index).exists() {
                checkpoint.add_shards(&index)?;
                return Ok(checkpoint);
            }
            looked_for.extend([single, index]);
        }
        Err(Error::NoWeights {
            folder: folder.to_owned(),
            looked_for: looked_for.join(", "),
        })
    }

    /// Builds a network of the tensors that `build` asks for. Everything is checked before anything is read: `build`
    /// is called twice, first with a reader that gives stand-ins and takes notes.
    ///
    /// Tensors whose name contains one of `unused` may be in the files although no layer takes them.
    ///
    /// # Errors
    ///
    /// [`Error::Tensors`], which lists every tensor that is missing, of another shape or type, or taken by no layer.
    pub fn load<M>(
        &self,
        device: &Device,
        unused: &[&str],
        build: impl Fn(&mut Reader<'_>) -> M,
    ) -> Result<M, Error> {
        let mut notes = Notes::default();
        build(&mut Reader::checking(self, device, &mut notes));
        let mut problems = notes.problems;
        problems.unmatched = self
            .tensors
            .keys()
            .filter(|name| !notes.taken.contains(*name))
            .filter(|name| !unused.iter().any(|part| name.contains(part)))
            .cloned()
            .collect();
        if !problems.is_empty() {
            return Err(Error::Tensors {
                path: self.folder.clone(),
                problems,
            });
        }
        Ok(build(&mut Reader::reading(self, device)))
    }

    /// Bytes of a tensor.
    fn bytes(&self, tensor: &Located) -> &[u8] {
        &self.files[tensor.file][tensor.bytes.clone()]
    }

    /// Maps a file and notes its tensors.
    fn add(&mut self, name: &str) -> Result<(), Error> {
        let path = self.folder.join(name);
        let file = MappedFile::open(&path).map_err(|source| Error::Read {
            path: path.clone(),
            source,
        })?;
        let damaged = |what: String| Error::Format(format!("{}: {what}", path.display()));
        check_ends(&file).map_err(damaged)?;
        let (header, metadata) =
            SafeTensors::read_metadata(&file).map_err(|error| damaged(error.to_string()))?;
        // Eight bytes say how long the header is.
        let start = 8 + header;
        for (name, info) in metadata.tensors() {
            let (first, end) = info.data_offsets;
            let located = Located {
                file: self.files.len(),
                bytes: start + first..start + end,
                dtype: info.dtype,
                shape: info.shape.clone(),
            };
            if self.tensors.insert(name.clone(), located).is_some() {
                return Err(damaged(format!("tensor '{name}' is in another file too")));
            }
        }
        self.files.push(Arc::new(file));
        Ok(())
    }

    /// Maps every file that an index names.
    fn add_shards(&mut self, index: &str) -> Result<(), Error> {
        let path = self.folder.join(index);
        let damaged = |what: String| Error::Format(format!("{}: {what}", path.display()));
        let mut text = String::new();
        File::open(&path)
            .and_then(|file| file.take(LARGEST_INDEX).read_to_string(&mut text))
            .map_err(|source| Error::Read {
                path: path.clone(),
                source,
            })?;
        let Index { weight_map } =
            serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        let names: BTreeSet<&String> = weight_map.values().collect();
        for name in &names {
            // An index must not lead out of its folder.
            let is_plain = Path::new(name)
                .file_name()
                .is_some_and(|file| file == name.as_str());
            if !is_plain {
                return Err(damaged(format!("'{name}' is no name of a file beside it")));
            }
            self.add(name)?;
        }
        for (tensor, file) in &weight_map {
            let found = self.tensors.get(tensor);
            let place = names.iter().position(|name| *name == file);
            if found.map(|located| located.file) != place {
                return Err(damaged(format!("tensor '{tensor}' is not in {file}")));
            }
        }
        Ok(())
    }
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

/// What a checking reader saw.
#[derive(Debug, Default)]
struct Notes {
    taken: BTreeSet<String>,
    problems: TensorProblems,
}
