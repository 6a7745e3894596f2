//! The weights of a linear layer, in one of three forms.

use std::sync::Arc;

use burn::module::{
    Content, Devices, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor,
    Param,
};
use burn::tensor::{Device, Tensor};
use kinora_kernels::cpu::MatRef;
use kinora_kernels::{
    Activation, Int8Matrix, PackedOnce, Precision, StoredMatrix, linear_int8, linear_packed,
    linear_stored,
};

/// Weights of a linear layer, and what products on the processor have made of them: it is shared by clones, and left behind when they change.
#[derive(Debug, Clone)]
pub struct Weight {
    numbers: Numbers,
    packed: PackedOnce,
}

#[derive(Debug, Clone)]
enum Numbers {
    /// `[channels_in, channels_out]` in `f32`: on any device, and can be trained.
    Float(Param<Tensor<2>>),
    /// `channels_out × channels_in` in fewer bits or in a file, decoded when they are multiplied: on the processor, and no
    /// parameter to whoever visits the module.
    Stored(Arc<dyn StoredMatrix>),
    /// For products in 8 bits, whatever their precision would be; no parameter either.
    Int8(Arc<Int8Matrix>),
}

impl Weight {
    /// Weights that stay as they are stored, `channels_out × channels_in`, for the processor. They are no parameter to whoever visits
    /// the module.
    pub fn stored(matrix: Arc<dyn StoredMatrix>) -> Self {
        Numbers::Stored(matrix).into()
    }

    /// Weights for products in 8 bits, for which what goes in is rounded to 8 bits too. They are no parameter to whoever visits the module.
    pub fn int8(matrix: Arc<Int8Matrix>) -> Self {
        Numbers::Int8(matrix).into()
    }

    /// The same weights, rounded for products in 8 bits: one byte a weight.
    ///
    /// # Panics
    ///
    /// When there are more than 65,536 channels in.
    pub fn to_int8(&self) -> Self {
        let matrix = match &self.numbers {
            Numbers::Float(param) => {
                let [rows, cols] = param.dims();
                let data = param.val().into_data();
                let values = data.as_slice::<f32>().expect("weights are f32");
                Int8Matrix::new(MatRef::new(values, rows, cols))
            }
            Numbers::Stored(matrix) => Int8Matrix::of_stored(&**matrix),
            Numbers::Int8(_) => return self.clone(),
        };
        Self::int8(Arc::new(matrix))
    }

    /// `[channels_in, channels_out]`
    pub fn dims(&self) -> [usize; 2] {
        match &self.numbers {
            Numbers::Float(param) => param.lazy_shape().dims(),
            Numbers::Stored(matrix) => [matrix.columns(), matrix.rows()],
            Numbers::Int8(matrix) => [matrix.rows(), matrix.cols()],
        }
    }

    /// `activation(x · weight + bias)`
    pub(super) fn multiply<const D: usize>(
        &self,
        x: Tensor<D>,
        bias: Tensor<1>,
        activation: Activation,
        precision: Precision,
    ) -> Tensor<D> {
        let packed = &self.packed;
        match &self.numbers {
            Numbers::Float(weight) => {
                linear_packed(x, weight.val(), packed, bias, activation, precision)
            }
            Numbers::Stored(weight) => {
                linear_stored(x, weight, packed, bias, activation, precision)
            }
            Numbers::Int8(weight) => linear_int8(x, weight, bias, activation),
        }
    }
}

impl From<Numbers> for Weight {
    fn from(numbers: Numbers) -> Self {
        Self {
            numbers,
            packed: PackedOnce::default(),
        }
    }
}

impl From<Tensor<2>> for Weight {
    fn from(tensor: Tensor<2>) -> Self {
        Param::from_tensor(tensor).into()
    }
}

impl From<Param<Tensor<2>>> for Weight {
    fn from(param: Param<Tensor<2>>) -> Self {
        Numbers::Float(param).into()
    }
}

/// As the parameter that it is, under the same name: files of trained models do not change.
impl Module for Weight {
    fn collect_devices(&self, devices: Devices) -> Devices {
        match &self.numbers {
            Numbers::Float(param) => param.collect_devices(devices),
            Numbers::Stored(_) | Numbers::Int8(_) => devices,
        }
    }

    fn fork(self, device: &Device) -> Self {
        self.map_float(|param| param.fork(device))
    }

    fn to_device(self, device: &Device) -> Self {
        self.map_float(|param| param.to_device(device))
    }

    fn train(self) -> Self {
        self.map_float(Module::train)
    }

    fn valid(&self) -> Self {
        self.clone().map_float(|param| param.valid())
    }

    fn materialize(self) -> Self {
        self.map_float(Module::materialize)
    }

    fn visit<Visitor: ModuleVisitor>(&self, visitor: &mut Visitor) {
        if let Numbers::Float(param) = &self.numbers {
            param.visit(visitor);
        }
    }

    fn map<Mapper: ModuleMapper>(self, mapper: &mut Mapper) -> Self {
        self.map_float(|param| Module::map(param, mapper))
    }
}

impl Weight {
    /// What was packed belongs to the numbers before.
    fn map_float(self, map: impl FnOnce(Param<Tensor<2>>) -> Param<Tensor<2>>) -> Self {
        match self.numbers {
            Numbers::Float(param) => Numbers::Float(map(param)).into(),
            Numbers::Stored(_) | Numbers::Int8(_) => self,
        }
    }
}

impl ModuleDisplayDefault for Weight {
    fn content(&self, content: Content) -> Option<Content> {
        match &self.numbers {
            Numbers::Float(param) => param.content(content),
            Numbers::Stored(_) | Numbers::Int8(_) => {
                let [channels_in, channels_out] = self.dims();
                let shape = format!("{{stored: [{channels_in}, {channels_out}]}}");
                content.add_formatted(&shape).optional()
            }
        }
    }
}

impl ModuleDisplay for Weight {}

#[cfg(test)]
mod tests {
    use burn::tensor::Distribution;

    use super::*;

    struct Doubler;

    impl ModuleMapper for Doubler {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|tensor| tensor * 2.0)
        }
    }

    #[test]
    fn changed_weights_are_packed_anew() {
        let device = Device::flex();
        let normal = Distribution::Normal(0.0, 1.0);
        let x = Tensor::<2>::random([40, 48], normal, &device);
        let weight = Weight::from(Tensor::random([48, 40], normal, &device));
        let bias = Tensor::<1>::zeros([40], &device);
        let of = |weight: &Weight| {
            weight.multiply(x.clone(), bias.clone(), Activation::None, Precision::F32)
        };
        let first = of(&weight);
        let clone = weight.clone();
        let doubled = clone.map(&mut Doubler);
        assert_eq!(of(&doubled).into_data(), (first.clone() * 2.0).into_data());
        assert_eq!(of(&weight).into_data(), first.into_data());
    }
}
