//! The image encoder of Wan 2.1 I2V and first-last-frame: CLIP's vision transformer (Radford et al., 2021).
//!
//! Follows `CLIPVisionModel` of transformers 5.24, `models/clip/modeling_clip.py`. Wan takes what the last but one block
//! leaves, so the last block and the norm after it are not even loaded.

use std::path::Path;

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, activation};
use kinora_kernels::{Activation, Precision, attention};

use super::config::ImageConfig;
use super::weights::{Checkpoint, Network, Reader};
use crate::Error;
use crate::layers::{LayerNorm, Linear};

#[derive(Module, Debug)]
struct Block {
    attention_norm: LayerNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    mlp_norm: LayerNorm,
    expand: Linear,
    project: Linear,
    heads: usize,
}

impl Block {
    fn read(config: &ImageConfig, reader: &mut Reader<'_>) -> Self {
        let (width, hidden) = (config.hidden_size, config.intermediate_size);
        let epsilon = config.layer_norm_eps as f32;
        Self {
            attention_norm: reader.layer_norm("layer_norm1", width, epsilon),
            query: reader.linear("self_attn.q_proj", width, width),
            key: reader.linear("self_attn.k_proj", width, width),
            value: reader.linear("self_attn.v_proj", width, width),
            out: reader.linear("self_attn.out_proj", width, width),
            mlp_norm: reader.layer_norm("layer_norm2", width, epsilon),
            expand: reader.linear("mlp.fc1", width, hidden),
            project: reader.linear("mlp.fc2", hidden, width),
            heads: config.num_attention_heads,
        }
    }

    /// `[batch, tokens, width]` → the same
    fn forward(&self, x: Tensor<3>, precision: Precision) -> Tensor<3> {
        let [batch, tokens, width] = x.dims();
        let apply = |linear: &Linear, x| linear.forward_with::<3>(x, Activation::None, precision);
        let h = self.attention_norm.forward(x.clone());
        let [q, k, v] = [&self.query, &self.key, &self.value].map(|linear| {
            apply(linear, h.clone()).reshape([batch, tokens, self.heads, width / self.heads])
        });
        let mixed = attention(q, k, v, None, precision).reshape([batch, tokens, width]);
        let x = x + apply(&self.out, mixed);

        let h = apply(&self.expand, self.mlp_norm.forward(x.clone()));
        // The exact GELU, which no kernel fuses; one picture per clip.
        x + apply(&self.project, activation::gelu(h))
    }
}

/// The encoder: see the [module](self).
#[derive(Module, Debug)]
pub struct ImageEncoder {
    patches: Linear,
    /// `[1, 1, width]`: a token that belongs to no place.
    class: Param<Tensor<3>>,
    /// `[1, 1 + places, width]`
    positions: Param<Tensor<3>>,
    norm: LayerNorm,
    blocks: Vec<Block>,
    #[module(skip)]
    config: ImageConfig,
    #[module(skip)]
    precision: Precision,
}

impl ImageEncoder {
    /// Loads a folder of transformers or a single file: see [`weights`](super::weights).
    ///
    /// # Errors
    ///
    /// As [`Checkpoint::open_as`], [`Checkpoint::image_config`] and [`Checkpoint::load`].
    pub fn load(path: &Path, device: &Device, precision: Precision) -> Result<Self, Error> {
        let checkpoint = Checkpoint::open_as(path, Network::ImageEncoder)?;
        let config = checkpoint.image_config()?;
        Self::from_checkpoint(&checkpoint, &config, device, precision)
    }

    /// Loads the weights of an open checkpoint.
    ///
    /// # Errors
    ///
    /// As [`Checkpoint::load`].
    pub fn from_checkpoint(
        checkpoint: &Checkpoint,
        config: &ImageConfig,
        device: &Device,
        precision: Precision,
    ) -> Result<Self, Error> {
        let last = format!("encoder.layers.{}.", config.num_hidden_layers - 1);
        let unused = [
            last.as_str(),
            "post_layernorm",
            "visual_projection",
            "position_ids",
        ];
        checkpoint.load(device, &unused, |reader| {
            Self::read(config, precision, reader)
        })
    }

    fn read(config: &ImageConfig, precision: Precision, reader: &mut Reader<'_>) -> Self {
        let (width, patch) = (config.hidden_size, config.patch_size);
        let places = config.side() * config.side();
        let kernel = [width, config.num_channels, patch, patch];
        let [class, positions] = reader.within("embeddings", |reader| {
            [
                reader.tensor_as("class_embedding", &[width], [1, 1, width]),
                reader.tensor_as(
                    "position_embedding.weight",
                    &[places + 1, width],
                    [1, places + 1, width],
                ),
            ]
        });
        let epsilon = config.layer_norm_eps as f32;
        Self {
            patches: reader.linear_without_bias("embeddings.patch_embedding", &kernel),
            class: Param::from_tensor(class),
            positions: Param::from_tensor(positions),
            // Upstream's spelling.
            norm: reader.layer_norm("pre_layrnorm", width, epsilon),
            blocks: reader.list(
                "encoder.layers",
                config.num_hidden_layers - 1,
                |reader, _| Block::read(config, reader),
            ),
            config: config.clone(),
            precision,
        }
    }

    /// Sizes of the network.
    pub fn config(&self) -> &ImageConfig {
        &self.config
    }

    /// What the last but one block leaves: upstream's `hidden_states[-2]`.
    ///
    /// # Shapes
    ///
    /// - `pictures`: `[batch, channels, image_size, image_size]`, normalised as CLIP's preprocessor does
    /// - output: `[batch, 1 + places, hidden_size]`
    ///
    /// # Errors
    ///
    /// [`Error::Input`] for other shapes.
    pub fn forward(&self, pictures: Tensor<4>) -> Result<Tensor<3>, Error> {
        let got = pictures.dims();
        let [batch, channels, ..] = got;
        let (size, patch, side) = (
            self.config.image_size,
            self.config.patch_size,
            self.config.side(),
        );
        if batch == 0 || got != [batch, self.config.num_channels, size, size] {
            return Err(Error::Input {
                name: "pixel_values",
                got: got.to_vec(),
                required: format!("[batch, {}, {size}, {size}]", self.config.num_channels),
            });
        }
        let patches = pictures
            .narrow(2, 0, side * patch)
            .narrow(3, 0, side * patch)
            .reshape([batch, channels, side, patch, side, patch])
            .permute([0, 2, 4, 1, 3, 5])
            .reshape([batch, side * side, channels * patch * patch]);
        let places = self
            .patches
            .forward_with(patches, Activation::None, self.precision);
        let class = self.class.val().repeat_dim(0, batch);
        let x = Tensor::cat(vec![class, places], 1) + self.positions.val();
        let mut x = self.norm.forward(x);
        for block in &self.blocks {
            x = block.forward(x, self.precision);
        }
        Ok(x)
    }
}
