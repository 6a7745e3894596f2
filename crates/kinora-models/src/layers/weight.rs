//! The weights of a linear layer, in one of two forms.

use std::sync::Arc;

use burn::module::{
    Content, Devices, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor,
    Param,
};
use burn::tensor::{Device, Tensor};
use kinora_kernels::StoredMatrix;

/// Weights of a linear layer.
#[derive(Debug, Clone)]
pub enum Weight {
    /// `[channels_in, channels_out]` in `f32`: on any device, and can be trained.
    Float(Param<Tensor<2>>),
    /// `channels_out × channels_in` in fewer bits or in a file, decoded for each product: on the processor, and no
    /// parameter to whoever visits the module.
    Stored(Arc<dyn StoredMatrix>),
}

impl Weight {
    /// `[channels_in, channels_out]`
    pub fn dims(&self) -> [usize; 2] {
        match self {
            Self::Float(param) => param.dims(),
            Self::Stored(matrix) => [matrix.columns(), matrix.rows()],
        }
    }
}

impl From<Tensor<2>> for Weight {
    fn from(tensor: Tensor<2>) -> Self {
        Self::Float(Param::from_tensor(tensor))
    }
}

/// As the parameter that it is, under the same name: files of trained models do not change.
impl Module for Weight {
    fn collect_devices(&self, devices: Devices) -> Devices {
        match self {
            Self::Float(param) => param.collect_devices(devices),
            Self::Stored(_) => devices,
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
        if let Self::Float(param) = self {
            param.visit(visitor);
        }
    }

    fn map<Mapper: ModuleMapper>(self, mapper: &mut Mapper) -> Self {
        self.map_float(|param| Module::map(param, mapper))
    }
}

impl Weight {
    fn map_float(self, map: impl FnOnce(Param<Tensor<2>>) -> Param<Tensor<2>>) -> Self {
        match self {
            Self::Float(param) => Self::Float(map(param)),
            stored @ Self::Stored(_) => stored,
        }
    }
}

impl ModuleDisplayDefault for Weight {
    fn content(&self, content: Content) -> Option<Content> {
        match self {
            Self::Float(param) => param.content(content),
            Self::Stored(_) => {
                let [channels_in, channels_out] = self.dims();
                let shape = format!("{{stored: [{channels_in}, {channels_out}]}}");
                content.add_formatted(&shape).optional()
            }
        }
    }
}

impl ModuleDisplay for Weight {}
