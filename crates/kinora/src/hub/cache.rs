//! The cache on this machine.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::Repository;

/// The branch that is meant where none is named.
pub(crate) const MAIN: &str = "main";

/// Where models lie that were fetched.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    root: PathBuf,
}

/// A repository that is there.
#[derive(Debug)]
pub(crate) struct Cached {
    pub(crate) repository: Repository,
    /// Folder with the files; `None` where the download is not complete.
    pub(crate) snapshot: Option<PathBuf>,
    /// Of everything, incomplete files too.
    pub(crate) bytes: u64,
}

impl Cache {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Folder of a repository, whether it is there or not.
    pub(crate) fn folder(&self, repository: &Repository) -> PathBuf {
        self.root.join(repository.folder())
    }

    /// The files of `main` of a repository, if they were fetched.
    pub(crate) fn snapshot(&self, repository: &Repository) -> Option<PathBuf> {
        let folder = self.folder(repository);
        let commit = fs::read_to_string(folder.join("refs").join(MAIN)).ok()?;
        let commit = commit.trim();
        // A name and no path: the file may come from anywhere.
        let is_name = !commit.is_empty() && commit.chars().all(|c| c.is_ascii_alphanumeric());
        let snapshot = folder.join("snapshots").join(commit);
        (is_name && snapshot.is_dir()).then_some(snapshot)
    }

    /// All repositories that are there, by name.
    pub(crate) fn list(&self) -> Result<Vec<Cached>> {
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.with_context(|| format!("cannot read {}", self.root.display()))?,
        };
        let mut found = BTreeSet::new();
        for entry in entries {
            let name = entry?.file_name();
            found.extend(name.to_str().and_then(Repository::of_folder));
        }
        let cached = |repository: Repository| {
            Ok(Cached {
                snapshot: self.snapshot(&repository),
                bytes: size_of(&self.folder(&repository))?,
                repository,
            })
        };
        found.into_iter().map(cached).collect()
    }

    /// Removes all of a repository.
    pub(crate) fn remove(&self, repository: &Repository) -> Result<()> {
        let folder = self.folder(repository);
        if !folder.is_dir() {
            bail!(
                "{repository} is not in {}: `kinora models list` tells what is",
                self.root.display()
            );
        }
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))
    }
}

/// Bytes of the files below a folder; links count for nothing.
fn size_of(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    let unreadable = || format!("cannot read {}", folder.display());
    for entry in fs::read_dir(folder).with_context(unreadable)? {
        let entry = entry?;
        let about = entry.path().symlink_metadata().with_context(unreadable)?;
        bytes += match about.is_dir() {
            true => size_of(&entry.path())?,
            false if about.is_file() => about.len(),
            false => 0,
        };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_the_cache_is_found_and_removed() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::new(root.path().join("hub"));
        assert!(cache.list().unwrap().is_empty());
        let repository: Repository = "a/b".parse().unwrap();
        let folder = cache.folder(&repository);
        fs::create_dir_all(folder.join("snapshots/0123abc")).unwrap();
        fs::create_dir_all(folder.join("blobs")).unwrap();
        fs::write(folder.join("blobs/x"), [0; 10]).unwrap();
        fs::create_dir_all(cache.root().join("datasets--c--d")).unwrap();
        let listed = cache.list().unwrap();
        assert_eq!((listed.len(), listed[0].bytes), (1, 10));
        assert!(listed[0].snapshot.is_none());

        fs::create_dir_all(folder.join("refs")).unwrap();
        fs::write(folder.join("refs/main"), "0123abc\n").unwrap();
        assert_eq!(
            cache.snapshot(&repository),
            Some(folder.join("snapshots/0123abc"))
        );
        fs::write(folder.join("refs/main"), "../..").unwrap();
        assert_eq!(cache.snapshot(&repository), None);

        cache.remove(&repository).unwrap();
        let error = cache.remove(&repository).unwrap_err().to_string();
        assert!(error.contains("a/b is not in"), "{error}");
    }
}
