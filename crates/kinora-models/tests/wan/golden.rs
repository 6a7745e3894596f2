//! Golden checkpoints and cases of `tests/data/wan`, made by `bench/parity/goldens.py`.

use std::path::PathBuf;

use burn::tensor::{Device, Tensor, TensorData};
use kinora_models::weights::{TensorMap, Values, floats};
use safetensors::{Dtype, SafeTensors};

/// Folder of a golden checkpoint.
pub(crate) fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/wan")
        .join(name)
}

/// Inputs and upstream's output of a case.
pub(crate) struct Case {
    pub(crate) name: String,
    tensors: TensorMap,
}

impl Case {
    pub(crate) fn read(checkpoint: &str, case: &str) -> Self {
        let path = golden(checkpoint).join(format!("{case}.case"));
        let bytes = std::fs::read(&path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let tensors = file.iter().map(|(name, view)| {
            let words = view.data();
            let data = match view.dtype() {
                Dtype::F32 => words
                    .as_chunks()
                    .0
                    .iter()
                    .map(|b| f32::from_le_bytes(*b))
                    .collect(),
                Dtype::I64 => words
                    .as_chunks()
                    .0
                    .iter()
                    .map(|b| i64::from_le_bytes(*b) as f32)
                    .collect(),
                other => panic!("{name} is {other:?}"),
            };
            let shape = view.shape().to_vec();
            (name.to_owned(), Values { shape, data })
        });
        Self {
            name: format!("{checkpoint}/{case}"),
            tensors: tensors.collect(),
        }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    pub(crate) fn values(&self, name: &str) -> &Values {
        &self.tensors[name]
    }

    pub(crate) fn tensor<const D: usize>(&self, name: &str) -> Tensor<D> {
        let values = self.values(name);
        let shape: [usize; D] = values.shape.clone().try_into().unwrap();
        Tensor::from_data(TensorData::new(values.data.clone(), shape), &Device::flex())
    }

    /// Shape of upstream's output, and ‖ours − upstream‖ / ‖upstream‖ within `bound`.
    #[track_caller]
    pub(crate) fn check<const D: usize>(&self, ours: Tensor<D>, bound: f64) {
        let upstream = self.values("output");
        assert_eq!(ours.dims().to_vec(), upstream.shape, "{}", self.name);
        let error = relative_error(&floats(ours), &upstream.data);
        println!("{}: {error:.1e}", self.name);
        assert!(error <= bound, "{}: {error:.1e}", self.name);
    }
}

/// ‖a − b‖ / ‖b‖
pub(crate) fn relative_error(a: &[f32], b: &[f32]) -> f64 {
    let square = |x: f32| f64::from(x) * f64::from(x);
    let difference: f64 = a.iter().zip(b).map(|(a, b)| square(a - b)).sum();
    let norm: f64 = b.iter().map(|b| square(*b)).sum();
    (difference / norm).sqrt()
}
