//! Reads looks off an encoded prompt, so that its encoder learns what words mean before the denoiser has a use for them.
//!
//! The denoiser needs the words for light, weather and style under the most noise alone, so it teaches them slowly. Told which look
//! each prompt means, the encoder sets them apart by itself, and the denoiser is left to find out what they look like.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kinora_data::{Labels, Style, TimeOfDay, Weather};
use kinora_models::layers::Linear;
use kinora_models::mini::transformer::Context;

use crate::classifier::cross_entropy;

/// Weight of what is read beside the error of the velocity.
const WEIGHT: f32 = 0.05;

/// Scores of each time, weather and style, read from the mean of a prompt's tokens. Not a part of the finished model.
#[derive(Module, Debug)]
pub(crate) struct Readings {
    time: Linear,
    weather: Linear,
    style: Linear,
}

impl Readings {
    /// Fresh ones of a text encoder of `width` channels.
    pub(crate) fn new(width: usize, device: &Device) -> Self {
        let head = |classes| Linear::new(width, classes, 0.1, device);
        Self {
            time: head(TimeOfDay::ALL.len()),
            weather: head(Weather::ALL.len()),
            style: head(Style::ALL.len()),
        }
    }

    /// Weighted sum of the cross-entropies, over prompts that tell their scene's looks or leave them out.
    pub(crate) fn loss(&self, context: &Context, labels: &[Labels]) -> Tensor<1> {
        let device = context.pooled.device();
        let entropy = |head: &Linear, class: fn(&Labels) -> usize| {
            let classes: Vec<usize> = labels.iter().map(class).collect();
            let device = device.clone().inner();
            cross_entropy(head.forward(context.pooled.clone()), &classes, 0.0, &device)
        };
        (entropy(&self.time, |labels| labels.time)
            + entropy(&self.weather, |labels| labels.weather)
            + entropy(&self.style, |labels| labels.style))
            * WEIGHT
    }
}
