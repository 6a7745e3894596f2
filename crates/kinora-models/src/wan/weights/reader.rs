//! Layers out of a checkpoint, by the names that upstream gives them.

use std::fmt::Display;
use std::sync::Arc;

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use kinora_kernels::{Int8Matrix, Precision, takes_stored};

use super::encoding::Encoding;
use super::storage::Storage;
use super::stored::Stored;
use super::values::{taps_first, transposed};
use super::{Checkpoint, Notes, RowTable};
use crate::layers::{LayerNorm, Linear, RmsNorm, Weight};

/// The lists that hold nearly all weights of a network.
const BLOCKS: [&str; 4] = ["blocks", "vace_blocks", "encoder.layers", "block"];

/// Gives the tensors of a [`Checkpoint`] that a network asks for by name; see [`Checkpoint::load`].
#[derive(Debug)]
pub struct Reader<'a> {
    checkpoint: &'a Checkpoint,
    device: &'a Device,
    /// What convolutions multiply in.
    precision: Precision,
    /// Where the names of the network's next layers stand.
    path: Vec<String>,
    /// Of a reader that only checks.
    notes: Option<&'a mut Notes>,
}

impl<'a> Reader<'a> {
    pub(super) fn checking(
        checkpoint: &'a Checkpoint,
        device: &'a Device,
        notes: &'a mut Notes,
    ) -> Self {
        Self {
            notes: Some(notes),
            ..Self::reading(checkpoint, device)
        }
    }

    pub(super) fn reading(checkpoint: &'a Checkpoint, device: &'a Device) -> Self {
        Self {
            checkpoint,
            device,
            precision: Precision::F32,
            path: Vec::new(),
            notes: None,
        }
    }

    /// Where the network's tensors go.
    pub fn device(&self) -> &Device {
        self.device
    }

    /// Says in which precision the network will multiply: kernels of convolutions are packed for it as they are read.
    pub fn multiply_in(&mut self, precision: Precision) {
        self.precision = precision;
    }

    /// What convolutions multiply in.
    pub const fn precision(&self) -> Precision {
        self.precision
    }

    /// What `build` makes of the tensors whose names begin with `name` and a dot.
    pub fn within<T>(&mut self, name: impl Display, build: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(name.to_string());
        let built = build(self);
        self.path.pop();
        built
    }

    /// The things in a list, `name.0` to `name.(count − 1)`.
    pub fn list<T>(
        &mut self,
        name: &str,
        count: usize,
        mut build: impl FnMut(&mut Self, usize) -> T,
    ) -> Vec<T> {
        let mut item = |reader: &mut Self, i: usize| reader.within(i, |reader| build(reader, i));
        self.within(name, |reader| (0..count).map(|i| item(reader, i)).collect())
    }

    /// Whether there is such a tensor.
    pub fn has(&self, name: &str) -> bool {
        self.checkpoint.tensors.contains_key(&self.full(name))
    }

    /// A tensor as it is stored.
    pub fn tensor<const D: usize>(&mut self, name: &str, shape: [usize; D]) -> Tensor<D> {
        self.tensor_as(name, &shape, shape)
    }

    /// The values of a tensor that is stored as `stored`, as `shape`.
    pub fn tensor_as<const D: usize>(
        &mut self,
        name: &str,
        stored: &[usize],
        shape: [usize; D],
    ) -> Tensor<D> {
        match self.take(name, stored) {
            None => self.stand_in(),
            Some(found) => Tensor::from_data(TensorData::new(found.floats(), shape), self.device),
        }
    }

    /// A matrix whose rows are read when they are asked for.
    pub fn rows(&mut self, name: &str, shape: [usize; 2]) -> RowTable {
        match self.take(name, &shape) {
            None => RowTable::empty(),
            Some(found) => RowTable::new(found),
        }
    }

    /// A tensor `[channels_out, …]` as the weights of a linear layer.
    pub fn weight(&mut self, name: &str, shape: &[usize]) -> Weight {
        let Some(found) = self.take(name, shape) else {
            return self.stand_in().into();
        };
        let is_plain = self.checkpoint.changes.of(&self.full(name)).is_empty();
        let storage = match self.checkpoint.storage {
            _ if !takes_stored(self.device) => Storage::F32,
            Storage::Int8 | Storage::Int8Products if !self.is_in_block() => Storage::AsStored,
            storage => storage,
        };
        let kept = match storage {
            Storage::F32 => {
                let columns = shape[1..].iter().product::<usize>();
                let data = TensorData::new(transposed(&found), [columns, shape[0]]);
                return Tensor::from_data(data, self.device).into();
            }
            Storage::AsStored if is_plain && found.has_whole_rows() => found,
            Storage::AsStored => match self.checkpoint.tensors[&self.full(name)].encoding() {
                Some(Encoding::F32) => found,
                _ => found.to_bf16(),
            },
            Storage::Bf16 => found.to_bf16(),
            Storage::Int8 => found.to_int8(),
            Storage::Int8Products => {
                return Weight::int8(Arc::new(Int8Matrix::of_stored(&found.with_whole_rows())));
            }
        };
        Weight::stored(Arc::new(kept))
    }

    /// Whether the next layers are of a block.
    fn is_in_block(&self) -> bool {
        self.path.iter().any(|part| BLOCKS.contains(&part.as_str()))
    }

    /// `weight` `[channels_out, channels_in]` and `bias`.
    pub fn linear(&mut self, name: &str, channels_in: usize, channels_out: usize) -> Linear {
        self.linear_of(name, &[channels_out, channels_in])
    }

    /// A linear layer whose weight is stored as a convolution of steps as wide as itself.
    pub fn linear_of(&mut self, name: &str, shape: &[usize]) -> Linear {
        self.within(name, |reader| Linear {
            weight: reader.weight("weight", shape),
            bias: Param::from_tensor(reader.tensor("bias", [shape[0]])),
        })
    }

    /// `weight` of this shape alone; the bias is zero.
    pub fn linear_without_bias(&mut self, name: &str, shape: &[usize]) -> Linear {
        let bias = match self.notes {
            Some(_) => self.stand_in(),
            None => Tensor::zeros([shape[0]], self.device),
        };
        self.within(name, |reader| Linear {
            weight: reader.weight("weight", shape),
            bias: Param::from_tensor(bias),
        })
    }

    /// `weight` and `bias`.
    pub fn layer_norm(&mut self, name: &str, channels: usize, epsilon: f32) -> LayerNorm {
        self.within(name, |reader| {
            let weight = reader.tensor("weight", [channels]);
            let bias = reader.tensor("bias", [channels]);
            LayerNorm::from_weights(weight, bias, epsilon)
        })
    }

    /// `weight`.
    pub fn rms_norm(&mut self, name: &str, channels: usize, epsilon: f32) -> RmsNorm {
        self.within(name, |reader| {
            RmsNorm::from_weight(reader.tensor("weight", [channels]), epsilon)
        })
    }

    /// `weight` of a convolution, stored `[channels_out, channels_in, …taps]`, as
    /// `[kernel_frames, kernel_height, kernel_width, channels_in, channels_out]`.
    ///
    /// `kernel` holds the sizes that are stored: three, or two where frames are not convolved.
    pub fn kernel(&mut self, name: &str, channels: [usize; 2], kernel: &[usize]) -> Tensor<5> {
        let [channels_in, channels_out] = channels;
        let shape: Vec<usize> = [channels_out, channels_in]
            .into_iter()
            .chain(kernel.iter().copied())
            .collect();
        let mut taps = [1; 3];
        taps[3 - kernel.len()..].copy_from_slice(kernel);
        match self.take(name, &shape) {
            None => self.stand_in(),
            Some(found) => {
                let turned = transposed(&found);
                // Now it is in memory in another form.
                found.bytes.forget();
                let values = taps_first(&turned, taps.iter().product(), channels_out);
                let [frames, height, width] = taps;
                let shape = [frames, height, width, channels_in, channels_out];
                Tensor::from_data(TensorData::new(values, shape), self.device)
            }
        }
    }

    /// The tensor, changed by the adapters, or nothing while only checking.
    fn take(&mut self, name: &str, shape: &[usize]) -> Option<Stored> {
        let name = self.full(name);
        let found = self.checkpoint.tensors.get(&name);
        let Some(notes) = &mut self.notes else {
            // A checking reader has found all tensors, alike in shape.
            return Some(Stored {
                shape: shape.to_vec(),
                ..self.checkpoint.changed(&name)
            });
        };
        let problems = &mut notes.problems;
        match found {
            None => problems.missing.push(name.clone()),
            Some(found) if !is_alike(&found.shape, shape) => problems.shapes.push(format!(
                "{name} (is {:?}, should be {shape:?})",
                found.shape
            )),
            Some(found) if found.encoding().is_none() => {
                problems
                    .types
                    .push(format!("{name} ({})", found.type_name()));
            }
            Some(_) => {}
        }
        notes.taken.insert(name);
        None
    }

    fn full(&self, name: &str) -> String {
        let mut full = self.path.join(".");
        if !full.is_empty() {
            full.push('.');
        }
        full.push_str(name);
        full
    }

    /// Something of the right type while only checking: a size from a strange file is not allocated.
    fn stand_in<const D: usize>(&self) -> Tensor<D> {
        Tensor::zeros([1; D], self.device)
    }
}

/// Whether two shapes differ by axes of one alone: the numbers then lie in the same order.
fn is_alike(a: &[usize], b: &[usize]) -> bool {
    let long = |shape: &[usize]| -> Vec<usize> {
        shape.iter().copied().filter(|size| *size != 1).collect()
    };
    long(a) == long(b)
}
