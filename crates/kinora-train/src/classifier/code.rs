//! The linear code that the judges read pixels with.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use kinora_models::layers::Linear;
use kinora_models::mini::autoencoder::Autoencoder;
use kinora_models::weights::{self, TensorMap};

use crate::Error;

/// The encoder of an autoencoder.
pub(super) fn linear_code(autoencoder: &Autoencoder, device: &Device) -> Result<Linear, Error> {
    linear_of(
        &weights::collect(autoencoder, "autoencoder"),
        "autoencoder.encode",
        device,
    )
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
