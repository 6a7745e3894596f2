//! Where a model comes from: the weights inside the program, a file, or a folder.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use burn::tensor::Device;
use kinora_kernels::Precision;
use kinora_models::interpolator::Interpolator;
use kinora_models::mini::Mini;
use kinora_models::upscaler::Upscaler;
use kinora_models::wan::{Checkpoint, Folder, WanModel};
use kinora_models::weights::sha256;

use crate::args::PartArgs;
use crate::generate::memory_plan;
use crate::hub::{Cache, Repository};
use crate::setup;

/// The name of the model inside the program.
pub(crate) const MINI: &str = "kinora-mini";
/// Under which its weights may be used.
pub(crate) const MINI_LICENCE: &str = "MIT OR Apache-2.0";

/// Inside the program, so that it finds them wherever it is run from.
static MINI_WEIGHTS: &[u8] = include_bytes!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../models/kinora-mini/model.safetensors"
));
static MINI_SHA256: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../models/kinora-mini/model.sha256"
));

static UPSCALER_WEIGHTS: &[u8] = include_bytes!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../models/kinora-upscaler/model.safetensors"
));
static UPSCALER_SHA256: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../models/kinora-upscaler/model.sha256"
));
static INTERPOLATOR_WEIGHTS: &[u8] = include_bytes!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../models/kinora-interpolator/model.safetensors"
));
static INTERPOLATOR_SHA256: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../models/kinora-interpolator/model.sha256"
));

/// A model as it is typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ModelSource {
    /// The weights inside the program.
    Embedded,
    /// A weight file of the same family, or a folder of another one.
    Path(PathBuf),
}

/// A model that clips can be made with.
#[derive(Debug)]
pub(crate) enum Model {
    /// The family that ships.
    Mini(Box<Mini>),
    /// Wan, whose weights are read when they are needed.
    Wan(Box<WanModel>),
}

impl FromStr for ModelSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_path = text.contains(['.', '/', std::path::MAIN_SEPARATOR]);
        match text {
            MINI => Ok(Self::Embedded),
            _ if is_path => Ok(Self::Path(text.into())),
            _ => Err(format!(
                "unknown model '{text}': known is {MINI}; for a weight file or a folder give its path, such as \
                 ./model.safetensors"
            )),
        }
    }
}

/// Opens the model for `device`.
pub(crate) fn open(source: &ModelSource, parts: &PartArgs, device: &Device) -> Result<Model> {
    match find(source)? {
        Place::Wan { path, name } => {
            let opened = wan(&path, parts)?;
            let model = WanModel::new(opened, &name, device, Precision::Bf16)
                .within(memory_plan::free_for_models());
            Ok(Model::Wan(Box::new(model)))
        }
        Place::Mini => {
            if let Some(flag) = parts.first_flag() {
                bail!(
                    "{flag} is for models of Wan, and {MINI} has no such part: leave it out, or give a transformer of Wan \
                     with --model"
                );
            }
            Ok(Model::Mini(Box::new(load_mini(source, device)?)))
        }
    }
}

/// Where a model is, and of which family.
pub(crate) enum Place {
    /// The family that ships.
    Mini,
    /// A folder, or a file of a transformer.
    Wan { path: PathBuf, name: String },
}

/// # Errors
///
/// A name of the hub that was not fetched, and weight files that are damaged.
pub(crate) fn find(source: &ModelSource) -> Result<Place> {
    let ModelSource::Path(path) = source else {
        return Ok(Place::Mini);
    };
    if !path.exists() {
        return Ok(match cached(path)? {
            Some((repository, path)) => Place::Wan {
                path,
                name: repository.to_string(),
            },
            None => Place::Mini,
        });
    }
    let failed = || format!("cannot use the model {}", path.display());
    let is_wan = path.is_dir()
        || !Checkpoint::networks_in(path)
            .with_context(failed)?
            .is_empty();
    Ok(match is_wan {
        true => Place::Wan {
            path: path.clone(),
            name: last_part(path),
        },
        false => Place::Mini,
    })
}

/// Configurations and headers of a model of Wan.
pub(crate) fn wan(path: &Path, parts: &PartArgs) -> Result<Folder> {
    let opened = Folder::find(path, &parts.named())
        .and_then(|folder| folder.with_adapters(parts.adapters()))
        .map(|folder| match parts.int8 {
            true => folder.in_8_bits(),
            false => folder,
        });
    opened.map_err(|error| match error {
        error @ kinora_models::Error::Parts { .. } => anyhow::Error::new(error).context(format!(
            "cannot use the model {}: name its parts with --text-encoder FILE, --vae FILE, --tokenizer FILE, \
             --image-encoder FILE where it sees pictures, and --low-noise FILE where there are two experts",
            path.display()
        )),
        error => anyhow::Error::new(error).context(format!("cannot use the model {}", path.display())),
    })
}

/// What was fetched under this name, if it looks like one of the hub.
///
/// # Errors
///
/// It looks like one, but is not there.
pub(crate) fn cached(path: &Path) -> Result<Option<(Repository, PathBuf)>> {
    let is_file = path
        .extension()
        .is_some_and(|ending| ending == "safetensors" || ending == "gguf" || ending == "pth");
    let Some(repository) = path
        .to_str()
        .and_then(|text| text.parse().ok())
        .filter(|_| !is_file)
    else {
        return Ok(None);
    };
    let cache = Cache::new(setup::hub()?.cache);
    match cache.snapshot(&repository) {
        Some(snapshot) => Ok(Some((repository, snapshot))),
        None => bail!(
            "there is no file or folder {}, and no model of this name in {}: `kinora models pull {repository}` fetches it",
            path.display(),
            cache.root().display()
        ),
    }
}

/// The last part of the path.
fn last_part(path: &Path) -> String {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let name = whole
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|| "wan".into())
}

/// Reads a model of the family that ships onto `device`, after its hash was checked.
pub(crate) fn load_mini(source: &ModelSource, device: &Device) -> Result<Mini> {
    match source {
        ModelSource::Embedded => {
            verify_embedded(MINI_WEIGHTS, MINI_SHA256)?;
            Ok(Mini::from_bytes(MINI_WEIGHTS, device)?)
        }
        ModelSource::Path(path) => {
            let failed = || format!("cannot use the model {}", path.display());
            let bytes = read(path)?;
            for hash_file in hash_files(path) {
                let expected = std::fs::read_to_string(&hash_file)
                    .with_context(|| format!("cannot read {}", hash_file.display()))?;
                verify(&bytes, &expected).with_context(|| {
                    format!("{} does not fit {}", path.display(), hash_file.display())
                })?;
            }
            Mini::from_bytes(&bytes, device).with_context(failed)
        }
    }
}

/// What makes frames larger, after its hash was checked.
pub(crate) fn upscaler(device: &Device) -> Result<Upscaler> {
    verify_embedded(UPSCALER_WEIGHTS, UPSCALER_SHA256)?;
    Ok(Upscaler::from_bytes(UPSCALER_WEIGHTS, device)?)
}

/// What makes frames between frames, after its hash was checked.
pub(crate) fn interpolator(device: &Device) -> Result<Interpolator> {
    verify_embedded(INTERPOLATOR_WEIGHTS, INTERPOLATOR_SHA256)?;
    Ok(Interpolator::from_bytes(INTERPOLATOR_WEIGHTS, device)?)
}

fn verify_embedded(bytes: &[u8], line: &str) -> Result<()> {
    verify(bytes, line).context(
        "the weights inside this program do not fit it: build it again from a clean checkout",
    )
}

fn read(path: &Path) -> Result<Vec<u8>> {
    if path.is_dir() {
        bail!(
            "the model {} is a folder: this needs a weight file of {MINI}, such as model.safetensors in it",
            path.display()
        );
    }
    std::fs::read(path).with_context(|| {
        format!(
            "cannot read the model {}: check the name, or leave out --model to use {MINI}",
            path.display()
        )
    })
}

/// `model.sha256` and `model.safetensors.sha256`, where they stand beside `model.safetensors`.
fn hash_files(path: &Path) -> Vec<PathBuf> {
    let mut appended = path.as_os_str().to_owned();
    appended.push(".sha256");
    [path.with_extension("sha256"), appended.into()]
        .into_iter()
        .filter(|file| file.is_file())
        .collect()
}

/// Checks `bytes` against a line as `sha256sum` writes it: the hash, and maybe a name.
fn verify(bytes: &[u8], line: &str) -> Result<(), kinora_models::Error> {
    let expected = line
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_lowercase();
    let got = sha256(bytes);
    if got == expected {
        Ok(())
    } else {
        Err(kinora_models::Error::Hash { expected, got })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_names_or_paths() {
        assert_eq!("kinora-mini".parse(), Ok(ModelSource::Embedded));
        assert_eq!(
            "m.safetensors".parse(),
            Ok(ModelSource::Path("m.safetensors".into()))
        );
        assert_eq!("runs/a/m".parse(), Ok(ModelSource::Path("runs/a/m".into())));
        let error = "kinora-maxi".parse::<ModelSource>().unwrap_err();
        assert!(
            error.contains("kinora-maxi") && error.contains("known is kinora-mini"),
            "{error}"
        );
    }

    #[test]
    fn the_weights_inside_have_their_hash() {
        verify(MINI_WEIGHTS, MINI_SHA256).unwrap();
        upscaler(&Device::flex()).unwrap();
        interpolator(&Device::flex()).unwrap();
        assert!(verify(&MINI_WEIGHTS[1..], MINI_SHA256).is_err());
    }

    #[test]
    fn hashes_are_read_as_sha256sum_writes_them() {
        let empty =
            "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855  model.safetensors\n";
        verify(b"", empty).unwrap();
        assert!(verify(b"x", empty).is_err());
        assert!(verify(b"", "").is_err());
    }
}
