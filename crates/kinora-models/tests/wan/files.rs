//! Weight files in every format, made of golden checkpoints.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::golden::golden;

/// A tensor as it is stored.
#[derive(Clone)]
pub(crate) struct Raw {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: Vec<u8>,
}

impl Raw {
    pub(crate) fn f32(shape: &[usize], values: &[f32]) -> Self {
        Self {
            dtype: Dtype::F32,
            shape: shape.to_vec(),
            bytes: values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect(),
        }
    }
}

pub(crate) type RawTensors = BTreeMap<String, Raw>;

/// The tensors of a golden checkpoint, of all its shards.
pub(crate) fn read_golden(checkpoint: &str) -> RawTensors {
    let mut tensors = RawTensors::new();
    for entry in std::fs::read_dir(golden(checkpoint)).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "safetensors")
        {
            tensors.extend(read(&path));
        }
    }
    tensors
}

pub(crate) fn read(path: &Path) -> RawTensors {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensors = file.iter().map(|(name, view)| {
        let raw = Raw {
            dtype: view.dtype(),
            shape: view.shape().to_vec(),
            bytes: view.data().to_vec(),
        };
        (name.to_owned(), raw)
    });
    tensors.collect()
}

/// Every tensor under the name that `names` gives for its own.
pub(crate) fn renamed(tensors: &RawTensors, rename: impl Fn(&str) -> String) -> RawTensors {
    let renamed = tensors
        .iter()
        .map(|(name, raw)| (rename(name), raw.clone()));
    renamed.collect()
}

/// Names of a style by those of the networks: see `bench/parity/formats.py`.
pub(crate) fn style(name: &str) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(golden("formats").join("names.json")).unwrap();
    let mut styles: BTreeMap<String, BTreeMap<String, String>> =
        serde_json::from_str(&text).unwrap();
    styles.remove(name).unwrap()
}

pub(crate) fn write_safetensors(folder: &Path, name: &str, tensors: &RawTensors) -> PathBuf {
    let views = tensors.iter().map(|(name, raw)| {
        let view = TensorView::new(raw.dtype, raw.shape.clone(), &raw.bytes).unwrap();
        (name, view)
    });
    let path = folder.join(name);
    std::fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
    path
}

/// A file with a header of tensors of one type, and no bytes on the disk.
pub(crate) fn sparse(
    folder: &Path,
    (dtype, bytes_each): (&str, usize),
    tensors: &[(String, Vec<usize>)],
) -> PathBuf {
    let mut header = serde_json::Map::new();
    let mut at = 0;
    for (name, shape) in tensors {
        let end = at + bytes_each * shape.iter().product::<usize>();
        let entry = serde_json::json!({"dtype": dtype, "shape": shape, "data_offsets": [at, end]});
        header.insert(name.clone(), entry);
        at = end;
    }
    let header = serde_json::Value::Object(header).to_string();
    let path = folder.join("sparse.safetensors");
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    std::fs::write(&path, &bytes).unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_len((bytes.len() + at) as u64).unwrap();
    path
}

/// ggml's number of a type.
fn ggml_type(dtype: Dtype) -> u32 {
    match dtype {
        Dtype::F32 => 0,
        Dtype::F16 => 1,
        Dtype::BF16 => 30,
        other => panic!("ggml has no {other:?}"),
    }
}

pub(crate) fn text(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

/// A GGUF file of version 3, or 2.
pub(crate) fn gguf(version: u32, tensors: &RawTensors) -> Vec<u8> {
    let mut file = b"GGUF".to_vec();
    file.extend(version.to_le_bytes());
    file.extend((tensors.len() as u64).to_le_bytes());
    file.extend(1_u64.to_le_bytes());
    file.extend(text("general.architecture"));
    file.extend(8_u32.to_le_bytes());
    file.extend(text("wan"));
    let mut data = Vec::new();
    for (name, raw) in tensors {
        file.extend(text(name));
        file.extend((raw.shape.len() as u32).to_le_bytes());
        for size in raw.shape.iter().rev() {
            file.extend((*size as u64).to_le_bytes());
        }
        file.extend(ggml_type(raw.dtype).to_le_bytes());
        file.extend((data.len() as u64).to_le_bytes());
        data.extend(&raw.bytes);
        data.resize(data.len().next_multiple_of(32), 0);
    }
    file.resize(file.len().next_multiple_of(32), 0);
    file.extend(data);
    file
}
