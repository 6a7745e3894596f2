//! The weight files of a network: what they hold, and a mark by which they are known again.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::Error;

/// Bytes of a file that go into its mark, taken at so many places, beside its header.
const SAMPLE: usize = 4096;
const SAMPLES: u64 = 64;
/// Larger than any header.
const LARGEST_HEADER: u64 = 100 << 20;

/// The weights of one network of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its name in a pipeline, such as `transformer`.
    pub name: &'static str,
    /// Its folder.
    pub folder: PathBuf,
    /// Numbers in its tensors.
    pub elements: u64,
    /// Size of its files.
    pub bytes: u64,
}

impl Part {
    /// Reads the headers of the files in `root/name`, and adds them and samples of the values to `mark`.
    ///
    /// # Errors
    ///
    /// [`Error::Read`], [`Error::Format`] for a file that is no safetensors file, [`Error::NoWeights`].
    pub(super) fn read(root: &Path, name: &'static str, mark: &mut Sha256) -> Result<Self, Error> {
        let folder = root.join(name);
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::Read { path, source }
        };
        let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
            .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
            .map_err(failed(&folder))?;
        files.retain(|path| path.extension().is_some_and(|end| end == "safetensors"));
        files.sort();
        if files.is_empty() {
            return Err(Error::NoWeights {
                folder,
                looked_for: "*.safetensors".into(),
            });
        }
        let mut part = Self {
            name,
            folder,
            elements: 0,
            bytes: 0,
        };
        mark.update(name);
        for path in files {
            let mut file = File::open(&path).map_err(failed(&path))?;
            part.bytes += file.metadata().map_err(failed(&path))?.len();
            part.elements += add(&mut file, mark)
                .map_err(failed(&path))?
                .map_err(|what| Error::Format(format!("{}: {what}", path.display())))?;
        }
        Ok(part)
    }
}

/// Numbers in the tensors of a file.
fn add(file: &mut File, mark: &mut Sha256) -> std::io::Result<Result<u64, String>> {
    let size = file.metadata()?.len();
    let mut length = [0; 8];
    if size < 8 {
        return Ok(Err("it has no header".into()));
    }
    file.read_exact(&mut length)?;
    let header = u64::from_le_bytes(length);
    if header > LARGEST_HEADER || header > size - 8 {
        return Ok(Err("the header does not fit the file".into()));
    }
    let mut text = vec![0; header as usize];
    file.read_exact(&mut text)?;
    mark.update(size.to_le_bytes());
    mark.update(&text);
    let mut sample = [0; SAMPLE];
    for i in 0..SAMPLES {
        let values = size - 8 - header;
        let place = 8 + header + values.saturating_sub(SAMPLE as u64) / (SAMPLES - 1) * i;
        file.seek(SeekFrom::Start(place))?;
        let count = (size - place).min(SAMPLE as u64) as usize;
        file.read_exact(&mut sample[..count])?;
        mark.update(&sample[..count]);
    }
    Ok(elements(&text))
}

/// Adds up the shapes in a header, without believing any of its numbers.
fn elements(header: &[u8]) -> Result<u64, String> {
    let tensors: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(header).map_err(|error| error.to_string())?;
    let sizes = tensors.values().filter_map(|tensor| {
        let shape = tensor.get("shape")?.as_array()?;
        let axes = shape.iter().map(|side| side.as_u64().unwrap_or(u64::MAX));
        Some(axes.fold(1, u64::saturating_mul))
    });
    Ok(sizes.fold(0, u64::saturating_add))
}
