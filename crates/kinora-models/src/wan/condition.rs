//! What the transformer is told beside the latents: the timestep, the text, an image.
//!
//! Follows `WanTimeTextImageEmbedding` and `WanImageEmbedding` of diffusers' `transformer_wan.py`.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData, activation};
use kinora_kernels::{Activation, Precision};

use super::config::TransformerConfig;
use super::weights::Reader;
use crate::Error;
use crate::layers::{LayerNorm, Linear, Mlp};

/// Longest period of the sinusoids of a timestep.
const LONGEST_PERIOD: f32 = 10_000.0;
/// Upstream's default for norms that it gives no other.
const IMAGE_NORM_EPSILON: f32 = 1e-5;
/// Shift, scale and gate of attention and of the perceptron.
pub(super) const MODULATIONS: usize = 6;

/// Timesteps as the blocks take them.
pub(super) struct TimeEmbedding {
    /// `[groups, width]`, for the last norm.
    pub(super) time: Tensor<2>,
    /// `[groups, MODULATIONS, width]`
    pub(super) modulation: Tensor<3>,
}

/// Sinusoids, two layers, and a third one that all blocks share.
#[derive(Module, Debug)]
pub(super) struct TimeEmbedder {
    first: Linear,
    second: Linear,
    modulation: Linear,
    sinusoids: usize,
}

impl TimeEmbedder {
    pub(super) fn read(config: &TransformerConfig, reader: &mut Reader<'_>) -> Self {
        let width = config.width();
        let [first, second] = reader.within("time_embedder", |reader| {
            [
                reader.linear("linear_1", config.freq_dim, width),
                reader.linear("linear_2", width, width),
            ]
        });
        Self {
            first,
            second,
            modulation: reader.linear("time_proj", width, MODULATIONS * width),
            sinusoids: config.freq_dim,
        }
    }

    /// Of each of the timesteps (0 to 1000).
    pub(super) fn forward(
        &self,
        timesteps: &[f32],
        device: &Device,
        precision: Precision,
    ) -> TimeEmbedding {
        let waves = sinusoids(timesteps, self.sinusoids, device);
        // Upstream keeps these two in f32 whatever the rest is in.
        let exact = Precision::F32;
        let hidden = self.first.forward_with(waves, Activation::Silu, exact);
        let time = self.second.forward_with(hidden, Activation::None, exact);
        let modulation = self.modulation.forward_with(
            activation::silu(time.clone()),
            Activation::None,
            precision,
        );
        let [groups, width] = time.dims();
        TimeEmbedding {
            time,
            modulation: modulation.reshape([groups, MODULATIONS, width]),
        }
    }
}

/// `[cos(t·ωᵢ), sin(t·ωᵢ)]` with `ω` from 1 down to `1 / LONGEST_PERIOD`. In `f32` throughout, as upstream: at
/// `t = 1000` the rounding of `ω` shows.
fn sinusoids(timesteps: &[f32], count: usize, device: &Device) -> Tensor<2> {
    let half = count / 2;
    let exponent = |i: usize| -LONGEST_PERIOD.ln() * i as f32 / half as f32;
    let frequencies: Vec<f32> = (0..half).map(|i| exponent(i).exp()).collect();
    let mut values = Vec::with_capacity(timesteps.len() * count);
    for timestep in timesteps {
        let angles = frequencies.iter().map(|frequency| timestep * frequency);
        values.extend(angles.clone().map(f32::cos));
        values.extend(angles.map(f32::sin));
    }
    Tensor::from_data(TensorData::new(values, [timesteps.len(), count]), device)
}

/// Encoded text to the transformer's width.
pub(super) fn read_text_embedder(config: &TransformerConfig, reader: &mut Reader<'_>) -> Mlp {
    let width = config.width();
    reader.within("text_embedder", |reader| {
        let first = reader.linear("linear_1", config.text_dim, width);
        Mlp::from_layers(first, reader.linear("linear_2", width, width))
    })
}

/// Encoded images to the transformer's width.
#[derive(Module, Debug)]
pub(super) struct ImageEmbedder {
    /// `[1, tokens, channels]` of the first and the last frame's images together.
    position: Option<Param<Tensor<3>>>,
    norm_in: LayerNorm,
    expand: Linear,
    project: Linear,
    norm_out: LayerNorm,
}

impl ImageEmbedder {
    pub(super) fn read(
        config: &TransformerConfig,
        channels: usize,
        reader: &mut Reader<'_>,
    ) -> Self {
        let width = config.width();
        reader.within("image_embedder", |reader| Self {
            position: config.pos_embed_seq_len.map(|tokens| {
                Param::from_tensor(reader.tensor("pos_embed", [1, tokens, channels]))
            }),
            norm_in: reader.layer_norm("norm1", channels, IMAGE_NORM_EPSILON),
            expand: reader.linear("ff.net.0.proj", channels, channels),
            project: reader.linear("ff.net.2", channels, width),
            norm_out: reader.layer_norm("norm2", width, IMAGE_NORM_EPSILON),
        })
    }

    /// # Shapes
    ///
    /// `[images, tokens, channels]` → `[batch, tokens, width]`; where there is a table of positions, two images
    /// (first and last frame) are one item of the batch, with the tokens of both.
    pub(super) fn forward(
        &self,
        image: Tensor<3>,
        precision: Precision,
    ) -> Result<Tensor<3>, Error> {
        let image = match &self.position {
            None => image,
            Some(position) => {
                let [images, tokens, channels] = image.dims();
                let [_, both, _] = position.dims();
                if images % 2 != 0 || 2 * tokens != both {
                    return Err(Error::Input {
                        name: "encoder_hidden_states_image",
                        got: image.dims().to_vec(),
                        required: format!("two images of {} tokens for each clip", both / 2),
                    });
                }
                image.reshape([images / 2, both, channels]) + position.val()
            }
        };
        let x = self.norm_in.forward(image);
        let x = self.expand.forward_with(x, Activation::None, precision);
        // The exact GELU, which no kernel fuses; a few hundred tokens once per clip.
        let x = activation::gelu(x);
        let x = self.project.forward_with(x, Activation::None, precision);
        Ok(self.norm_out.forward(x))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sinusoids_start_with_cosines() {
        let device = Device::flex();
        let values = crate::weights::floats(sinusoids(&[0.0, 2.0], 4, &device));
        let slow = 2.0 / LONGEST_PERIOD.sqrt();
        let expected = [
            1.0,
            1.0,
            0.0,
            0.0,
            2f32.cos(),
            slow.cos(),
            2f32.sin(),
            slow.sin(),
        ];
        for (got, want) in values.iter().zip(expected) {
            assert!((got - want).abs() < 1e-6, "{values:?}");
        }
    }
}
