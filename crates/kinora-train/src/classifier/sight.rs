//! What the judges see of pixels: the linear code of each patch, and what has moved in it.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use kinora_models::layers::Linear;
use kinora_models::mini::autoencoder::Autoencoder;
use kinora_models::mini::config::AutoencoderConfig;
use kinora_models::weights::{self, TensorMap};
use serde::{Deserialize, Serialize};

use super::movement::{BLOCKS, movement};
use crate::Error;

/// Most frames of a patch, and most pixels across.
const LARGEST: usize = 64;

/// What a patch holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PatchSize {
    pub(super) frames: usize,
    /// Pixels across and down.
    pub(super) side: usize,
}

impl PatchSize {
    pub(super) fn of(config: &AutoencoderConfig) -> Self {
        Self {
            frames: config.patch_frames,
            side: config.patch,
        }
    }

    /// Whether movement can be looked for in such patches: a file may say anything.
    pub(super) fn is_possible(self) -> bool {
        (1..=LARGEST).contains(&self.frames)
            && (BLOCKS..=LARGEST).contains(&self.side)
            && self.side.is_multiple_of(BLOCKS)
    }

    pub(super) fn values(self) -> usize {
        self.frames * self.side * self.side * 3
    }
}

/// Reads pixels.
#[derive(Debug, Clone)]
pub(super) struct Sight {
    pub(super) code: Linear,
    pub(super) patch: PatchSize,
}

/// What the network is shown.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    /// `[batch, frames, height, width, latent_channels]`
    pub(super) latents: Tensor<5>,
    /// `[batch, frames, height, width, movement::FEATURES]`
    pub(super) movement: Tensor<5>,
}

impl Sight {
    /// With the encoder of an autoencoder.
    pub(super) fn of(
        autoencoder: &Autoencoder,
        config: &AutoencoderConfig,
        device: &Device,
    ) -> Result<Self, Error> {
        let tensors = weights::collect(autoencoder, "autoencoder");
        Ok(Self {
            code: linear_of(&tensors, "autoencoder.encode", device)?,
            patch: PatchSize::of(config),
        })
    }

    /// # Shapes
    ///
    /// `[batch, frames, height, width, patch_values]`, pixels in −1 to 1
    pub(super) fn look(&self, patches: Tensor<5>) -> Seen {
        let device = patches.device();
        Seen {
            movement: movement(patches.clone(), self.patch, &device),
            latents: self.code.forward(patches),
        }
    }
}

/// A linear layer whose sizes are those of its tensors. It does not train.
pub(super) fn linear_of(
    tensors: &TensorMap,
    prefix: &str,
    device: &Device,
) -> Result<Linear, Error> {
    let values = |name: &str| {
        let name = format!("{prefix}.{name}");
        tensors
            .get(&name)
            .ok_or(kinora_models::Error::MissingTensor(name))
    };
    let (weight, bias) = (values("weight")?, values("bias")?);
    let &[channels_in, channels_out] = weight.shape.as_slice() else {
        return Err(Error::Model(kinora_models::Error::TensorShape {
            name: format!("{prefix}.weight"),
            got: weight.shape.clone(),
            required: vec![0, 0],
        }));
    };
    if bias.shape != [channels_out] {
        return Err(Error::Model(kinora_models::Error::TensorShape {
            name: format!("{prefix}.bias"),
            got: bias.shape.clone(),
            required: vec![channels_out],
        }));
    }
    let weight_data = TensorData::new(weight.data.clone(), [channels_in, channels_out]);
    let bias_data = TensorData::new(bias.data.clone(), [channels_out]);
    let layer = Linear {
        weight: Tensor::from_data(weight_data, device).into(),
        bias: Param::from_tensor(Tensor::from_data(bias_data, device)),
    };
    Ok(layer.no_grad())
}
