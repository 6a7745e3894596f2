//! Weights as people have them, by the names that the networks ask for.
//!
//! | what | how it is known |
//! | --- | --- |
//! | diffusers folders, sharded or not; Wan's own folders | names of the files in the folder |
//! | single safetensors files: Wan's, ComfyUI's (bf16, fp16, fp8 with scales), kijai's, our own int8 | a header of JSON |
//! | GGUF of transformers and text encoders | its first bytes |
//! | `.pth`, as `torch.save` writes them: text encoder, autoencoder and image encoder in Wan's own folders | an archive with `data.pkl` |
//!
//! What a file is of, and in which naming, is told by its tensors ([`Network`]), never by its name; where there is no
//! `config.json`, sizes are inferred from shapes. Files are mapped, not read, and each tensor is converted straight
//! from the mapping into the layer that takes it: memory holds the network once.

pub mod encoding;

mod adapter;
mod blocks;
mod convert;
mod gguf;
mod infer;
mod mark;
mod names;
mod open;
mod pickle;
mod pytorch_file;
mod reader;
mod rows;
mod safetensors_file;
mod scales;
mod storage;
mod stored;
mod super_blocks;
mod values;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use burn::tensor::Device;

pub use adapter::Adapter;
pub use convert::{Target, convert};
pub use encoding::Encoding;
pub use names::Network;
pub use reader::Reader;
pub use rows::RowTable;
pub use storage::Storage;

use crate::Error;
use crate::error::TensorProblems;
use adapter::Changes;
use open::Tensors;
use stored::Stored;

/// The tensors of one network, by name, not yet read.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    /// `None` for tensors of no network of the family.
    network: Option<Network>,
    tensors: Tensors,
    storage: Storage,
    changes: Changes,
}

impl Checkpoint {
    /// Maps a file, or the weight files of a folder, that hold one network, and checks their headers.
    ///
    /// # Errors
    ///
    /// [`Error::NoWeights`] where a folder has none, [`Error::OldPyTorch`] for files of PyTorch before 1.6,
    /// [`Error::Read`] where a file cannot be read (a missing shard), [`Error::Format`] where one is damaged or does
    /// not hold what the index says, [`Error::OtherNetwork`] where a file holds several networks.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let tensors = open::tensors(path)?;
        match names::networks(&tensors)[..] {
            [] => Self::of(path, tensors, None),
            [network] => Self::of(path, tensors, Some(network)),
            ref several => Err(Error::OtherNetwork {
                path: path.to_owned(),
                found: listed(several),
                required: "one network; say which".into(),
            }),
        }
    }

    /// As [`open`](Self::open), of a file that may hold other networks too.
    ///
    /// # Errors
    ///
    /// As there, and [`Error::OtherNetwork`] where it holds only others. Tensors of no network of the family are no
    /// error yet: [`load`](Self::load) lists them.
    pub fn open_as(path: &Path, network: Network) -> Result<Self, Error> {
        let tensors = open::tensors(path)?;
        match &names::networks(&tensors)[..] {
            [] => Self::of(path, tensors, None),
            found if found.contains(&network) => Self::of(path, tensors, Some(network)),
            found => Err(Error::OtherNetwork {
                path: path.to_owned(),
                found: listed(found),
                required: network.to_string(),
            }),
        }
    }

    /// The networks of the family that a file, or the weight files of a folder, hold.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), but several networks are no error.
    pub fn networks_in(path: &Path) -> Result<Vec<Network>, Error> {
        Ok(names::networks(&open::tensors(path)?))
    }

    fn of(path: &Path, tensors: Tensors, network: Option<Network>) -> Result<Self, Error> {
        let tensors = match network.and_then(|network| names::canonical(&tensors, network)) {
            Some(tensors) => tensors,
            None => tensors,
        };
        let tensors = scales::join(tensors)
            .map_err(|what| Error::Format(format!("{}: {what}", path.display())))?;
        Ok(Self {
            path: path.to_owned(),
            network,
            tensors,
            storage: Storage::default(),
            changes: Changes::default(),
        })
    }

    /// The same checkpoint, whose matrices will be kept in another way.
    pub fn with_storage(self, storage: Storage) -> Self {
        Self { storage, ..self }
    }

    /// The same checkpoint, changed by adapters (LoRA, LoKr, differences), one after the other, when it is loaded.
    ///
    /// # Errors
    ///
    /// [`Error::Adapter`], which lists every key that changes nothing here, lacks its partner, or is of another shape.
    pub fn with_adapters(mut self, adapters: &[Adapter]) -> Result<Self, Error> {
        for adapter in adapters {
            self.changes.add(adapter, &self.tensors)?;
        }
        Ok(self)
    }

    /// What the tensors are of; `None` for no network of the family.
    pub fn network(&self) -> Option<Network> {
        self.network
    }

    /// Names and shapes of the tensors, as the networks ask for them, and the name of the type that each is stored in.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &[usize], &str)> {
        self.tensors
            .iter()
            .map(|(name, stored)| (name.as_str(), &*stored.shape, stored.type_name()))
    }

    /// The values of a tensor, changed by the adapters, last axis fastest; `None` where there is none of this name, or its type is not read.
    pub fn values(&self, name: &str) -> Option<Vec<f32>> {
        let stored = self.tensors.get(name)?;
        stored.encoding()?;
        Some(self.changed(name).floats())
    }

    /// A tensor that can be read, changed by the adapters.
    ///
    /// # Panics
    ///
    /// When there is none: the caller has checked that.
    fn changed(&self, name: &str) -> Stored {
        let stored = &self.tensors[name];
        match self.changes.of(name) {
            [] => stored.clone(),
            changes => stored.changed(|values| {
                for change in changes {
                    change.apply(values);
                }
            }),
        }
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
                path: self.path.clone(),
                problems,
            });
        }
        Ok(build(&mut Reader::reading(self, device)))
    }
}

fn listed(networks: &[Network]) -> String {
    let names: Vec<String> = networks.iter().map(ToString::to_string).collect();
    names.join(" and ")
}

/// What a checking reader saw.
#[derive(Debug, Default)]
struct Notes {
    taken: BTreeSet<String>,
    problems: TensorProblems,
}
