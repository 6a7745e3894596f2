//! Weight files and tokenizers in folders, known by what is in them and not by their names.

use std::path::{Path, PathBuf};

use super::weights::{Checkpoint, Network};
use crate::Error;

/// Files and folders that are looked at in one search: more are no folder of models.
const MOST_ENTRIES: usize = 10_000;
/// The file of a tokenizer.
pub(super) const TOKENIZER: &str = "tokenizer.json";
/// What diffusers, transformers and Wan's own folders call their weight files.
const STEMS: [&str; 2] = ["diffusion_pytorch_model", "model"];

/// Weights, and the networks of the family that are in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// A file, or a folder whose configuration belongs to its weights.
    pub path: PathBuf,
    /// At least one.
    pub networks: Vec<Network>,
}

/// What was seen in some folders.
#[derive(Debug, Default)]
pub struct Search {
    /// Weights of the family.
    pub weights: Vec<Found>,
    /// Files of tokenizers, of whatever model.
    pub tokenizers: Vec<PathBuf>,
    /// Weight files that cannot be read, and why.
    pub unread: Vec<(PathBuf, String)>,
    /// The folders that were looked into.
    pub places: Vec<PathBuf>,
    entries: usize,
}

impl Search {
    /// Looks into a folder and those inside it, `depth` of them deep. A folder that is not there holds nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Read`] where a folder cannot be read, [`Error::Config`] where there is more than in any folder of models.
    pub fn look(&mut self, folder: &Path, depth: usize) -> Result<(), Error> {
        if folder.is_dir() && !self.places.iter().any(|place| same(place, folder)) {
            self.places.push(folder.to_owned());
            self.look_into(folder, depth)?;
        }
        Ok(())
    }

    fn look_into(&mut self, folder: &Path, depth: usize) -> Result<(), Error> {
        let unreadable = |source| Error::Read {
            path: folder.to_owned(),
            source,
        };
        let mut entries = Vec::new();
        for entry in folder.read_dir().map_err(unreadable)? {
            entries.push(entry.map_err(unreadable)?.path());
        }
        self.entries += entries.len();
        if self.entries > MOST_ENTRIES {
            return Err(Error::Config {
                path: folder.to_owned(),
                reason: format!(
                    "there are more than {MOST_ENTRIES} files here: name the file of the transformer"
                ),
            });
        }
        entries.sort();
        let has = |name: &str| entries.contains(&folder.join(name));
        let own = STEMS.into_iter().flat_map(|stem| {
            [
                format!("{stem}.safetensors.index.json"),
                format!("{stem}.safetensors"),
            ]
        });
        let own = own.into_iter().find(|name| has("config.json") && has(name));
        if own.is_some() {
            self.add(folder);
        }
        for path in entries {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() {
                if depth > 0 && !name.starts_with('.') {
                    self.look_into(&path, depth - 1)?;
                }
            } else if name == TOKENIZER {
                self.tokenizers.push(path);
            } else if is_weights(&name) && own.as_deref() != Some(&*name) {
                self.add(&path);
            }
        }
        Ok(())
    }

    /// Adds weights that may be of the family.
    pub fn add(&mut self, path: &Path) {
        if self.weights.iter().any(|found| same(&found.path, path)) {
            return;
        }
        match Checkpoint::networks_in(path) {
            Ok(networks) if networks.is_empty() => {}
            Ok(networks) => self.weights.push(Found {
                path: path.to_owned(),
                networks,
            }),
            Err(error) => self.unread.push((path.to_owned(), error.to_string())),
        }
    }

    /// The weights that hold one of these networks.
    pub fn of(&self, networks: &[Network]) -> Vec<&Path> {
        let holds = |found: &&Found| {
            networks
                .iter()
                .any(|network| found.networks.contains(network))
        };
        let found = self.weights.iter().filter(holds);
        found.map(|found| &*found.path).collect()
    }
}

/// Whether a file may hold weights; a shard is found by its index.
fn is_weights(name: &str) -> bool {
    let Some((stem, ending)) = name.rsplit_once('.') else {
        return false;
    };
    match ending {
        "safetensors" => !is_shard(stem),
        "gguf" | "pth" => true,
        _ => name.ends_with(".safetensors.index.json"),
    }
}

/// `…-00001-of-00006`
fn is_shard(stem: &str) -> bool {
    let is_number = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    stem.rsplit_once("-of-").is_some_and(|(rest, count)| {
        let number = rest.rsplit_once('-').map_or("", |(_, number)| number);
        is_number(count) && is_number(number)
    })
}

/// Whether two paths lead to the same file, by links too.
pub(super) fn same(a: &Path, b: &Path) -> bool {
    a == b || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_found_by_their_index() {
        for (name, expected) in [
            ("a.safetensors", true),
            ("a.gguf", true),
            ("Wan2.1_VAE.pth", true),
            ("model-00001-of-00002.safetensors", false),
            ("model-1-of-2.safetensors", true),
            ("model.safetensors.index.json", true),
            ("config.json", false),
            ("safetensors", false),
        ] {
            assert_eq!(is_weights(name), expected, "{name}");
        }
    }
}
