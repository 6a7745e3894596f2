//! Hashes by which the hub names files: SHA-256 of large ones, git's SHA-1 of small ones.

use sha1::Sha1;
use sha2::{Digest, Sha256};

/// What a file must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expected {
    /// SHA-256 of its bytes.
    Sha256(String),
    /// SHA-1 of `blob SIZE`, a zero, and its bytes.
    Git(String),
}

impl Expected {
    /// In hexadecimal; also the name of the file among the cache's blobs.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Sha256(hash) | Self::Git(hash) => hash,
        }
    }

    /// Whether it is a hash at all: it becomes part of a path.
    pub(crate) fn is_sound(&self) -> bool {
        let length = match self {
            Self::Sha256(_) => 64,
            Self::Git(_) => 40,
        };
        let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        self.name().len() == length && self.name().chars().all(is_hex)
    }

    /// To be fed with a file of `size` bytes.
    pub(crate) fn hasher(&self, size: u64) -> Hasher {
        match self {
            Self::Sha256(_) => Hasher::Sha256(Sha256::new()),
            Self::Git(_) => Hasher::Git(Sha1::new_with_prefix(format!("blob {size}\0"))),
        }
    }
}

/// Bytes of a file as they come.
#[derive(Debug, Clone)]
pub(crate) enum Hasher {
    Sha256(Sha256),
    Git(Sha1),
}

impl Hasher {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hash) => hash.update(bytes),
            Self::Git(hash) => hash.update(bytes),
        }
    }

    /// In hexadecimal.
    pub(crate) fn finish(self) -> String {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        match self {
            Self::Sha256(hash) => hex(&hash.finalize()),
            Self::Git(hash) => hex(&hash.finalize()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_git_and_sha256sum() {
        let git = Expected::Git("95d09f2b10159347eece71399a7e2e907ea3df4f".into());
        let mut hasher = git.hasher(11);
        hasher.update(b"hello ");
        hasher.update(b"world");
        assert_eq!(hasher.finish(), git.name());
        let sha256 = Expected::Sha256(
            "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9".into(),
        );
        let mut hasher = sha256.hasher(11);
        hasher.update(b"hello world");
        assert_eq!(hasher.finish(), sha256.name());
        assert!(git.is_sound() && sha256.is_sound());
        assert!(!Expected::Git("../../../../etc/passwd".into()).is_sound());
    }
}
