//! A whole repository into the cache. It is there under its name when all of it is.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::api::{About, Hub, RemoteFile};
use super::cache::MAIN;
use super::download::{Source, fetch};
use super::{Cache, Repository};

/// Names diffusers' pipelines.
const INDEX: &str = "model_index.json";
/// What a pipeline is made of; the rest of a repository is pictures and other copies of the weights.
const ENDINGS: [&str; 5] = ["json", "safetensors", "model", "txt", "md"];
/// Folders of pictures and examples.
const SKIPPED: [&str; 3] = ["assets", "examples", "images"];

/// What would be fetched.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) about: About,
    /// Small ones first: what is wrong with them is known before the large ones come.
    pub(crate) files: Vec<RemoteFile>,
}

impl Offer {
    /// Of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// Asks the hub what a repository holds.
///
/// # Errors
///
/// As [`Hub::about`]; a repository that is no pipeline of diffusers.
pub(crate) fn offer(hub: &Hub, repository: &Repository) -> Result<Offer> {
    let about = hub.about(repository, MAIN)?;
    let mut files: Vec<RemoteFile> = about
        .files
        .iter()
        .filter(|file| is_needed(&file.path))
        .cloned()
        .collect();
    files.sort_by(|a, b| (a.bytes, &a.path).cmp(&(b.bytes, &b.path)));
    if !files.iter().any(|file| file.path == INDEX) {
        bail!(
            "{repository} has no {INDEX}: Kinora reads the layout of diffusers, whose repositories of Wan end in \
             -Diffusers"
        );
    }
    Ok(Offer { about, files })
}

fn is_needed(path: &str) -> bool {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let ending = name.rsplit_once('.').map(|(_, ending)| ending);
    let is_terms = name.starts_with("LICENSE") || name.starts_with("NOTICE");
    let is_kept = is_terms || ending.is_some_and(|ending| ENDINGS.contains(&ending));
    let is_skipped = folder.split('/').any(|part| SKIPPED.contains(&part)) || name.starts_with('.');
    // Half precision under a second name.
    is_kept && !is_skipped && !name.contains(".fp16.")
}

/// Fetches an offer and gives the folder with the files.
///
/// `on_bytes` is told of bytes as they come and may end the work; what came stays for the next time.
///
/// # Errors
///
/// As [`fetch`]; a pipeline that this program does not run, before its weights are fetched.
pub(crate) fn pull(
    hub: &Hub,
    cache: &Cache,
    repository: &Repository,
    offer: &Offer,
    mut on_bytes: impl FnMut(u64) -> Result<()>,
) -> Result<PathBuf> {
    let folder = cache.folder(repository);
    let commit = &offer.about.commit;
    let snapshot = folder.join("snapshots").join(commit);
    let blobs = folder.join("blobs");
    for folder in [&blobs, &snapshot] {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    let source = Source {
        hub,
        repository,
        commit,
    };
    for file in &offer.files {
        let blob = fetch(&source, file, &blobs, &mut on_bytes)?;
        link(&blob, &snapshot, &file.path)?;
        if file.path == INDEX {
            kinora_models::wan::folder::check_index(&snapshot.join(INDEX))
                .with_context(|| format!("{repository} was not fetched"))?;
        }
    }
    let refs = folder.join("refs");
    fs::create_dir_all(&refs)
        .with_context(|| format!("cannot make the folder {}", refs.display()))?;
    kinora_models::weights::write_atomically(&refs.join(MAIN), commit.as_bytes())?;
    Ok(snapshot)
}

/// Shows a blob under its path in a snapshot: a relative link, or a copy where the system has no links.
fn link(blob: &Path, snapshot: &Path, path: &str) -> Result<()> {
    let place = snapshot.join(path);
    let failed = || format!("cannot write {}", place.display());
    if let Some(folder) = place.parent() {
        fs::create_dir_all(folder).with_context(failed)?;
    }
    match fs::remove_file(&place) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(failed);
        }
        _ => {}
    }
    let name = blob.file_name().unwrap_or_default();
    // From the folder of the file up to that of the repository.
    let up = "../".repeat(2 + path.matches('/').count());
    let target = Path::new(&up).join("blobs").join(name);
    symlink(&target, &place)
        .or_else(|_| fs::hard_link(blob, &place))
        .or_else(|_| fs::copy(blob, &place).map(drop))
        .with_context(failed)
}

#[cfg(unix)]
fn symlink(target: &Path, place: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, place)
}

#[cfg(windows)]
fn symlink(target: &Path, place: &Path) -> std::io::Result<()> {
    std::os::windows::fs::symlink_file(target, place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_pipeline_needs_is_fetched_and_no_more() {
        for (path, needed) in [
            ("model_index.json", true),
            (
                "transformer/diffusion_pytorch_model-00001-of-00002.safetensors",
                true,
            ),
            ("tokenizer/spiece.model", true),
            ("LICENSE.txt", true),
            ("LICENSE", true),
            ("README.md", true),
            ("assets/logo.json", false),
            ("vae/model.fp16.safetensors", false),
            ("text_encoder/pytorch_model.bin", false),
            (".gitattributes", false),
            ("examples/a/b.json", false),
        ] {
            assert_eq!(is_needed(path), needed, "{path}");
        }
    }
}
