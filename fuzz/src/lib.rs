//! What the fuzz targets share.

use std::path::PathBuf;

use kinora_models::wan::Checkpoint;
use tempfile::TempDir;

/// A file that is written anew for each input. Put `TMPDIR` into memory: `TMPDIR=/dev/shm cargo fuzz run …`.
pub struct Input {
    folder: TempDir,
}

impl Input {
    /// A folder for the file.
    ///
    /// # Panics
    ///
    /// When there is no room for temporary files.
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("room for a temporary folder"),
        }
    }

    /// The path of a file with these bytes.
    ///
    /// # Panics
    ///
    /// When there is no room for temporary files.
    pub fn with(&self, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join("input");
        std::fs::write(&path, bytes).expect("room for a temporary file");
        path
    }
}

impl Default for Input {
    fn default() -> Self {
        Self::new()
    }
}

/// Everything that can be read of a checkpoint.
pub fn explore(checkpoint: &Checkpoint) {
    for (name, shape, _) in checkpoint.tensors() {
        if let Some(values) = checkpoint.values(name) {
            assert_eq!(values.len(), shape.iter().product::<usize>());
        }
    }
    let _ = checkpoint.transformer_config();
    let _ = checkpoint.vace_config();
    let _ = checkpoint.text_config();
    let _ = checkpoint.autoencoder_config();
    let _ = checkpoint.image_config();
}
