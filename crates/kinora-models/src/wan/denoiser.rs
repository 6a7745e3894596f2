//! The denoisers of the family behind one face.

use burn::tensor::{Device, Tensor};
use kinora_kernels::Precision;

use super::beside::Beside;
use super::conditioning::Conditioning;
use super::folder::Folder;
use super::transformer::{Context, Transformer};
use super::vace::{Control, VaceContext, VaceTransformer};
use crate::Error;

/// A transformer, with or without a branch that sees what is given.
#[derive(Debug)]
pub(super) enum Denoiser {
    Plain(Box<Transformer>),
    Vace(Box<VaceTransformer>),
}

/// What all sampling steps of a prompt share.
#[derive(Debug)]
pub(super) enum DenoiserContext {
    Plain(Context),
    Vace(VaceContext),
}

impl Denoiser {
    /// Loads the only transformer of a model or the one for high noise levels, or the other one.
    pub(super) fn load(
        folder: &Folder,
        is_second: bool,
        device: &Device,
        precision: Precision,
    ) -> Result<Self, Error> {
        let weights = folder.weights(is_second)?;
        match &folder.conditioning {
            Conditioning::Control(config) => {
                VaceTransformer::from_checkpoint(&weights, config, device, precision)
                    .map(|transformer| Self::Vace(Box::new(transformer)))
            }
            _ => {
                let config = &folder.transformer;
                Transformer::from_checkpoint(&weights, config, device, precision)
                    .map(|transformer| Self::Plain(Box::new(transformer)))
            }
        }
    }

    /// `text`: `[1, tokens, text_dim]`
    pub(super) fn prepare(
        &self,
        text: Tensor<3>,
        beside: Option<&Beside>,
    ) -> Result<DenoiserContext, Error> {
        match self {
            Self::Vace(transformer) => transformer.prepare(text, None).map(DenoiserContext::Vace),
            Self::Plain(transformer) => {
                let image = match beside {
                    Some(Beside::Channels { image, .. }) => image.as_deref().cloned(),
                    _ => None,
                };
                transformer.prepare(text, image).map(DenoiserContext::Plain)
            }
        }
    }

    /// Modulated timesteps, which all blocks share.
    pub(super) fn modulation(&self, timesteps: &Tensor<2>) -> Vec<f32> {
        match self {
            Self::Plain(transformer) => transformer.modulation(timesteps),
            Self::Vace(transformer) => transformer.modulation(timesteps),
        }
    }

    /// The velocity of `latents`, `[1, z_dim, latent_frames, height, width]`.
    pub(super) fn forward(
        &self,
        latents: Tensor<5>,
        timesteps: &Tensor<2>,
        beside: Option<&Beside>,
        context: &DenoiserContext,
    ) -> Result<Tensor<5>, Error> {
        match (self, context, beside) {
            (Self::Plain(transformer), DenoiserContext::Plain(context), beside) => {
                let latents = match beside {
                    Some(Beside::Channels { channels, .. }) => beside_latents(latents, channels)?,
                    _ => latents,
                };
                transformer.forward(latents, timesteps, context)
            }
            (
                Self::Vace(transformer),
                DenoiserContext::Vace(context),
                Some(Beside::Control(control)),
            ) => {
                let control = Control {
                    latents: control.clone(),
                    scales: vec![1.0; transformer.config().vace_layers.len()],
                };
                transformer.forward(latents, timesteps, &control, context)
            }
            _ => Err(Error::Inputs(
                "this model was not shown what is given of the clip",
            )),
        }
    }
}

/// Channels after those of the latents.
fn beside_latents(latents: Tensor<5>, channels: &Tensor<5>) -> Result<Tensor<5>, Error> {
    let (got, required) = (latents.dims(), channels.dims());
    if got[2..] != required[2..] {
        return Err(Error::Input {
            name: "hidden_states",
            got: got.to_vec(),
            required: format!(
                "[1, channels, {}, {}, {}], as what was shown",
                required[2], required[3], required[4]
            ),
        });
    }
    Ok(Tensor::cat(vec![latents, channels.clone()], 1))
}
