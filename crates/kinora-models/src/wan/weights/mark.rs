//! How much a checkpoint holds, and a mark by which it is known again, in whatever files it lies.

use sha2::{Digest, Sha256};

use super::open::Tensors;
use super::stored::Stored;
use super::{Adapter, Checkpoint};

/// Bytes of each tensor that go into the mark, from its middle: hashing 28 GB would take minutes.
const SAMPLE: usize = 1024;

impl Checkpoint {
    /// Numbers in all tensors.
    pub fn elements(&self) -> u64 {
        self.tensors
            .values()
            .map(|stored| stored.len() as u64)
            .sum()
    }

    /// Bytes of all tensors as they are stored.
    pub fn bytes(&self) -> u64 {
        let bytes = |stored: &Stored| stored.bytes.get().len() + 4 * stored.scales.len();
        self.tensors
            .values()
            .map(|stored| bytes(stored) as u64)
            .sum()
    }

    /// Adds what tells the weights from others to `mark`: names, types and shapes, and samples of the values. Adapters
    /// are not looked at.
    pub(in crate::wan) fn mark(&self, mark: &mut Sha256) {
        add(&self.tensors, mark);
    }
}

impl Adapter {
    /// As [`Checkpoint::mark`], and the strength.
    pub(in crate::wan) fn mark(&self, mark: &mut Sha256) {
        mark.update(self.strength.to_le_bytes());
        add(&self.tensors, mark);
    }
}

fn add(tensors: &Tensors, mark: &mut Sha256) {
    for (name, stored) in tensors {
        mark.update(format!("{name} {} {:?};", stored.type_name(), stored.shape));
        let bytes = stored.bytes.get();
        let start = bytes.len().saturating_sub(SAMPLE) / 2;
        mark.update(&bytes[start..bytes.len().min(start + SAMPLE)]);
        for scale in stored.scales.iter() {
            mark.update(scale.to_le_bytes());
        }
    }
}
