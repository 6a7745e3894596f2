//! Adapters of a model (LoRA, LoKr, differences): files that change its transformers whenever they are loaded.

use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::folder::Folder;
use super::weights::{Adapter, Checkpoint, Storage};
use crate::Error;

/// Which transformers of a model an adapter is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Experts {
    /// The only one, or both.
    #[default]
    All,
    /// The one for high noise levels.
    High,
    /// The one for low noise levels.
    Low,
}

impl Experts {
    fn takes(self, is_second: bool) -> bool {
        match self {
            Self::All => true,
            Self::High => !is_second,
            Self::Low => is_second,
        }
    }
}

/// An adapter that a model is to be used with.
#[derive(Debug, Clone, PartialEq)]
pub struct AdapterFile {
    /// A safetensors file.
    pub path: PathBuf,
    /// 1 is what its author meant, 0 is nothing.
    pub strength: f32,
    /// The transformers that it changes.
    pub experts: Experts,
}

impl Folder {
    /// The same model, changed by adapters, one after the other. All of their keys are checked now; values are merged when a
    /// transformer is loaded.
    ///
    /// # Errors
    ///
    /// [`Error::Adapter`], which lists every key that changes nothing; [`Error::Inputs`] where an adapter is for one of two
    /// experts, and the model has one transformer; what opening a file gives.
    pub fn with_adapters(mut self, adapters: Vec<AdapterFile>) -> Result<Self, Error> {
        if adapters.is_empty() {
            return Ok(self);
        }
        let has_second = self.files().low_noise.is_some();
        if !has_second && adapters.iter().any(|a| a.experts != Experts::All) {
            return Err(Error::Inputs(
                "this model has one transformer, and not one for high and one for low noise levels: give the adapter without \
                 saying which",
            ));
        }
        self.adapters = adapters;
        let mut mark = Sha256::new();
        mark.update(&self.mark);
        for is_second in [false, true].into_iter().take(1 + usize::from(has_second)) {
            let opened = self.open_adapters(is_second)?;
            for adapter in &opened {
                adapter.mark(&mut mark);
            }
            self.plain_weights(is_second)?.with_adapters(&opened)?;
            mark.update("/");
        }
        self.mark = mark.finalize().iter().map(|b| format!("{b:02x}")).collect();
        Ok(self)
    }

    /// The weights of the only transformer or the one for high noise levels, or of the other one, with their adapters.
    ///
    /// # Errors
    ///
    /// What opening the files gives.
    pub fn weights(&self, is_second: bool) -> Result<Checkpoint, Error> {
        let adapters = self.open_adapters(is_second)?;
        let storage = match self.in_8_bits {
            true => Storage::Int8Products,
            false => Storage::AsStored,
        };
        let weights = self.plain_weights(is_second)?.with_storage(storage);
        weights.with_adapters(&adapters)
    }

    fn open_adapters(&self, is_second: bool) -> Result<Vec<Adapter>, Error> {
        let wanted = self.adapters.iter().filter(|a| a.experts.takes(is_second));
        wanted.map(|a| Adapter::open(&a.path, a.strength)).collect()
    }
}
