//! Names of repositories.

use std::fmt;
use std::str::FromStr;

/// Longest name of an owner or a model.
const LONGEST: usize = 96;

/// `OWNER/NAME` on the hub.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Repository {
    owner: String,
    name: String,
}

impl Repository {
    /// Name of its folder in the cache.
    pub(crate) fn folder(&self) -> String {
        format!("models--{}--{}", self.owner, self.name)
    }

    /// The opposite of [`folder`](Self::folder).
    pub(crate) fn of_folder(folder: &str) -> Option<Self> {
        let (owner, name) = folder.strip_prefix("models--")?.split_once("--")?;
        format!("{owner}/{name}").parse().ok()
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

impl FromStr for Repository {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Such a name is part of paths and addresses: nothing in it may lead elsewhere.
        let is_plain = |part: &str| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            (1..=LONGEST).contains(&part.len())
                && part.chars().all(allowed)
                && !part.starts_with(['.', '-'])
                && !part.ends_with(['.', '-'])
                && !part.contains("--")
                && !part.contains("..")
        };
        match text.split_once('/') {
            Some((owner, name)) if is_plain(owner) && is_plain(name) => Ok(Self {
                owner: owner.to_owned(),
                name: name.to_owned(),
            }),
            _ => Err(format!(
                "'{text}' is no repository: write OWNER/NAME, such as Wan-AI/Wan2.1-T2V-1.3B-Diffusers"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_to_folders_and_back() {
        let repository: Repository = "Wan-AI/Wan2.1-T2V-1.3B-Diffusers".parse().unwrap();
        let folder = repository.folder();
        assert_eq!(folder, "models--Wan-AI--Wan2.1-T2V-1.3B-Diffusers");
        assert_eq!(Repository::of_folder(&folder), Some(repository));
        assert_eq!(Repository::of_folder("datasets--a--b"), None);
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for text in [
            "", "a", "a/", "/b", "a/b/c", "../b", "a/..", "a/b?x", "a/b#c", "a b/c", "a/b--c",
            "ä/b", "a\\b/c",
        ] {
            assert!(text.parse::<Repository>().is_err(), "{text}");
        }
    }
}
