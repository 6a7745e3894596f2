//! Modules to and from safetensors, by the names of their fields.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};
use half::bf16;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::{Error, checksum};

/// Values of one tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Values {
    /// Shape.
    pub shape: Vec<usize>,
    /// Elements, last axis fastest.
    pub data: Vec<f32>,
}

/// Tensors by name.
pub type TensorMap = BTreeMap<String, Values>;

/// How values are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// Exactly.
    F32,
    /// Rounded to bfloat16.
    Bf16,
    /// Whole numbers from 0 to 255.
    U8,
}

/// Every parameter of `module` under `prefix`.
pub fn collect<M: Module>(module: &M, prefix: &str) -> TensorMap {
    struct Collector {
        path: Vec<String>,
        tensors: TensorMap,
    }
    impl ModuleVisitor for Collector {
        fn enter_module(&mut self, name: &str, _container_type: &str) {
            self.path.push(name.to_owned());
        }
        fn exit_module(&mut self, _name: &str, _container_type: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let tensor = param.val();
            let values = Values {
                shape: tensor.dims().to_vec(),
                data: floats(tensor),
            };
            self.tensors.insert(self.path.join("."), values);
        }
    }
    let mut collector = Collector {
        path: vec![prefix.to_owned()],
        tensors: TensorMap::new(),
    };
    module.visit(&mut collector);
    collector.tensors
}

/// `module` with every parameter taken from `tensors` under `prefix`.
///
/// # Errors
///
/// A parameter that is missing or has another shape.
pub fn assign<M: Module>(module: M, prefix: &str, tensors: &TensorMap) -> Result<M, Error> {
    assign_from(module, prefix, |name| tensors.get(name).cloned())
}

/// As [`assign`], with every parameter taken from where `take` finds it by its name.
///
/// # Errors
///
/// As [`assign`].
pub fn assign_from<M: Module>(
    module: M,
    prefix: &str,
    take: impl FnMut(&str) -> Option<Values>,
) -> Result<M, Error> {
    struct Assigner<F> {
        path: Vec<String>,
        take: F,
        error: Option<Error>,
    }
    impl<F: FnMut(&str) -> Option<Values>> ModuleMapper for Assigner<F> {
        fn enter_module(&mut self, name: &str, _container_type: &str) {
            self.path.push(name.to_owned());
        }
        fn exit_module(&mut self, _name: &str, _container_type: &str) {
            self.path.pop();
        }
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let name = self.path.join(".");
            // What a fresh parameter would be is not drawn for that.
            let required = param.lazy_shape().to_vec();
            match (self.take)(&name) {
                None => self.error = Some(Error::MissingTensor(name)),
                Some(values) if values.shape != required => {
                    self.error = Some(Error::TensorShape {
                        name,
                        got: values.shape,
                        required,
                    });
                }
                Some(values) => {
                    let data = TensorData::new(values.data, values.shape);
                    let (id, value) = (param.id, Tensor::from_data(data, &param.lazy_device()));
                    return param.transform_for_load(value, id);
                }
            }
            param
        }
    }
    let mut assigner = Assigner {
        path: vec![prefix.to_owned()],
        take,
        error: None,
    };
    let module = module.map(&mut assigner);
    assigner.error.map_or(Ok(module), Err)
}

/// Elements of a tensor, last axis fastest.
pub fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor
        .into_data()
        .try_into_vec()
        .expect("networks hold f32 tensors")
}

/// A safetensors file in memory; `storage` says how each tensor is stored, by its name. A checksum over all of it is
/// among its tensors.
///
/// # Errors
///
/// [`Error::Format`] where the parts cannot be serialised.
pub fn to_bytes(
    tensors: &TensorMap,
    metadata: HashMap<String, String>,
    storage: impl Fn(&str) -> Storage,
) -> Result<Vec<u8>, Error> {
    let mut encoded: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = tensors
        .iter()
        .map(|(name, values)| {
            let (dtype, bytes) = match storage(name) {
                Storage::F32 => (
                    Dtype::F32,
                    values.data.iter().flat_map(|v| v.to_le_bytes()).collect(),
                ),
                Storage::Bf16 => (
                    Dtype::BF16,
                    values
                        .data
                        .iter()
                        .flat_map(|&v| bf16::from_f32(v).to_le_bytes())
                        .collect(),
                ),
                Storage::U8 => (Dtype::U8, values.data.iter().map(|&v| v as u8).collect()),
            };
            (name.clone(), dtype, values.shape.clone(), bytes)
        })
        .collect();
    let parts = encoded.iter();
    let parts =
        parts.map(|(name, dtype, shape, bytes)| (name.as_str(), *dtype, &shape[..], &bytes[..]));
    let sum = checksum::of(&metadata, parts).to_vec();
    encoded.push((checksum::NAME.into(), Dtype::U8, vec![sum.len()], sum));
    let format = |error: safetensors::SafeTensorError| Error::Format(error.to_string());
    let views = encoded
        .iter()
        .map(|(name, dtype, shape, bytes)| {
            let view = TensorView::new(*dtype, shape.clone(), bytes).map_err(format)?;
            Ok((name.as_str(), view))
        })
        .collect::<Result<Vec<_>, Error>>()?;
    safetensors::serialize(views, Some(metadata)).map_err(format)
}

/// A safetensors file in memory, as [`to_bytes`] writes it.
pub struct WeightFile<'a> {
    file: SafeTensors<'a>,
    metadata: HashMap<String, String>,
}

impl<'a> WeightFile<'a> {
    /// # Errors
    ///
    /// [`Error::Format`] where the file is damaged or holds a type other than F32, BF16 and U8, [`Error::Hash`] where it
    /// has a checksum and not that.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Error> {
        let format = |error: safetensors::SafeTensorError| Error::Format(error.to_string());
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(format)?;
        let file = SafeTensors::deserialize(bytes).map_err(format)?;
        let known = [Dtype::F32, Dtype::BF16, Dtype::U8];
        if let Some((name, view)) = file.iter().find(|(_, view)| !known.contains(&view.dtype())) {
            return Err(Error::Format(format!(
                "tensor '{name}' has type {:?}, expected F32, BF16 or U8",
                view.dtype()
            )));
        }
        let metadata = header.metadata().clone().unwrap_or_default();
        checksum::verify(&file, &metadata)?;
        Ok(Self { file, metadata })
    }

    /// What it holds beside tensors.
    pub fn metadata(&self) -> &HashMap<String, String> {
        &self.metadata
    }

    /// All tensors but those of [whole numbers](Self::bytes).
    pub fn floats(&self) -> TensorMap {
        let views = self.file.iter();
        let tensors = views.filter_map(|(name, view)| {
            let data: Vec<f32> = match view.dtype() {
                Dtype::F32 => {
                    let values = view.data().as_chunks().0.iter();
                    values.map(|&value| f32::from_le_bytes(value)).collect()
                }
                Dtype::BF16 => {
                    let values = view.data().as_chunks().0.iter();
                    let float = |&value| bf16::from_le_bytes(value).to_f32();
                    values.map(float).collect()
                }
                _ => return None,
            };
            let shape = view.shape().to_vec();
            Some((name.to_owned(), Values { shape, data }))
        });
        tensors.collect()
    }

    /// Shape and elements of a tensor of whole numbers from 0 to 255; `None` where there is none of this name.
    pub fn bytes(&self, name: &str) -> Option<(Vec<usize>, &'a [u8])> {
        let view = self.file.tensor(name).ok()?;
        (view.dtype() == Dtype::U8).then(|| (view.shape().to_vec(), view.data()))
    }
}

/// Tensors and metadata of a safetensors file in memory, without tensors of whole numbers.
///
/// # Errors
///
/// As [`WeightFile::new`].
pub fn from_bytes(bytes: &[u8]) -> Result<(TensorMap, HashMap<String, String>), Error> {
    let file = WeightFile::new(bytes)?;
    Ok((file.floats(), file.metadata))
}

/// Metadata of a safetensors file, of which nothing else is read.
///
/// # Errors
///
/// [`Error::Read`], and [`Error::Format`] where the header is damaged.
pub fn metadata(path: &Path) -> Result<HashMap<String, String>, Error> {
    /// Larger than the header of any file that this program writes.
    const LARGEST_HEADER: u64 = 16 << 20;
    #[derive(Deserialize)]
    struct Header {
        #[serde(rename = "__metadata__", default)]
        metadata: HashMap<String, String>,
    }
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let mut length = [0; 8];
        file.read_exact(&mut length)?;
        let length = u64::from_le_bytes(length).min(LARGEST_HEADER);
        let mut header = Vec::new();
        file.take(length).read_to_end(&mut header)?;
        Ok(header)
    };
    let header = read().map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    let header: Header = serde_json::from_slice(&header)
        .map_err(|error| Error::Format(format!("{}: {error}", path.display())))?;
    Ok(header.metadata)
}

/// Writes `bytes` under a temporary name beside `path` and renames: readers see the old file or the
/// new one, never a part.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let temporary = path.with_extension("tmp");
    std::fs::write(&temporary, bytes)
        .and_then(|()| std::fs::rename(&temporary, path))
        .map_err(|source| {
            let _ = std::fs::remove_file(&temporary);
            Error::Write {
                path: path.to_owned(),
                source,
            }
        })
}

/// SHA-256 in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    checksum::hexadecimal(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_bit_anywhere_in_a_file_is_an_error() {
        let values = |data: &[f32]| Values {
            shape: vec![data.len()],
            data: data.to_vec(),
        };
        let tensors = TensorMap::from([
            ("a".to_owned(), values(&[1.0, -2.5])),
            ("b".to_owned(), values(&[3.0, 255.0])),
        ]);
        let metadata = HashMap::from([("what".to_owned(), "a test".to_owned())]);
        let storage = |name: &str| match name {
            "a" => Storage::Bf16,
            _ => Storage::U8,
        };
        let bytes = to_bytes(&tensors, metadata.clone(), storage).unwrap();
        assert_eq!(from_bytes(&bytes).unwrap().1, metadata);
        let read = WeightFile::new(&bytes).unwrap();
        assert_eq!(read.bytes("b").unwrap().1, [3, 255]);
        for place in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[place] ^= 1 << bit;
                // What is read says the same: spaces pad the header, and a checksum under another name is none.
                let is_another = WeightFile::new(&changed).is_ok_and(|file| {
                    file.metadata() != read.metadata()
                        || file.floats() != read.floats()
                        || file.bytes("b") != read.bytes("b")
                });
                assert!(!is_another, "bit {bit} of byte {place}");
            }
        }
    }
}
