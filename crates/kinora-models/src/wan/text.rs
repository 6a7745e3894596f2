//! The text encoder of all Wan models: the encoder half of umT5 (Chung et al., 2023).
//!
//! Follows `UMT5EncoderModel` of transformers 5.24, `models/umt5/modeling_umt5.py`. Unlike T5, every block has its own
//! table of relative positions. Scores are not scaled.

use std::path::Path;

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use kinora_kernels::{Activation, Precision};

use super::config::TextConfig;
use super::relative::{Bias, attention};
use super::weights::{Checkpoint, Network, Reader, RowTable};
use crate::Error;
use crate::layers::{Linear, RmsNorm};

/// The embedding's two names; files hold one of them, or both alike.
const EMBEDDINGS: [&str; 2] = ["shared.weight", "encoder.embed_tokens.weight"];
/// Of the embedding's names whichever is not read is a copy; ComfyUI's files hold the tokenizer too.
const UNUSED: [&str; 3] = [EMBEDDINGS[0], EMBEDDINGS[1], "spiece_model"];

#[derive(Module, Debug)]
struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    /// `[buckets, heads]`: what is added to a score, by distance.
    positions: Param<Tensor<2>>,
    heads: usize,
}

impl Attention {
    fn read(config: &TextConfig, reader: &mut Reader<'_>) -> Self {
        let (width, inner) = (config.d_model, config.num_heads * config.d_kv);
        let table = [config.relative_attention_num_buckets, config.num_heads];
        Self {
            query: reader.linear_without_bias("q", &[inner, width]),
            key: reader.linear_without_bias("k", &[inner, width]),
            value: reader.linear_without_bias("v", &[inner, width]),
            out: reader.linear_without_bias("o", &[width, inner]),
            positions: Param::from_tensor(reader.tensor("relative_attention_bias.weight", table)),
            heads: config.num_heads,
        }
    }

    /// `x`: `[batch, tokens, width]`
    fn forward(&self, x: Tensor<3>, bias: &Bias, precision: Precision) -> Tensor<3> {
        let [batch, tokens, _] = x.dims();
        let project = |linear: &Linear| {
            let x = linear.forward_with(x.clone(), Activation::None, precision);
            let [_, _, inner] = x.dims();
            x.reshape([batch, tokens, self.heads, inner / self.heads])
        };
        let inputs = [&self.query, &self.key, &self.value].map(project);
        let mixed = attention(inputs, self.positions.val(), bias, precision);
        let [.., head_dim] = mixed.dims();
        let mixed = mixed.reshape([batch, tokens, self.heads * head_dim]);
        self.out.forward_with(mixed, Activation::None, precision)
    }
}

/// `project(gelu(x · gate) · (x · expand))` (Shazeer, 2020).
#[derive(Module, Debug)]
struct GatedMlp {
    gate: Linear,
    expand: Linear,
    project: Linear,
}

impl GatedMlp {
    fn read(config: &TextConfig, reader: &mut Reader<'_>) -> Self {
        let (width, hidden) = (config.d_model, config.d_ff);
        Self {
            gate: reader.linear_without_bias("wi_0", &[hidden, width]),
            expand: reader.linear_without_bias("wi_1", &[hidden, width]),
            project: reader.linear_without_bias("wo", &[width, hidden]),
        }
    }

    fn forward(&self, x: Tensor<3>, precision: Precision) -> Tensor<3> {
        let gate = self
            .gate
            .forward_with(x.clone(), Activation::GeluTanh, precision);
        let x = self.expand.forward_with(x, Activation::None, precision);
        self.project
            .forward_with(gate * x, Activation::None, precision)
    }
}

#[derive(Module, Debug)]
struct Block {
    attention_norm: RmsNorm,
    attention: Attention,
    mlp_norm: RmsNorm,
    mlp: GatedMlp,
}

impl Block {
    fn read(config: &TextConfig, reader: &mut Reader<'_>) -> Self {
        let epsilon = config.layer_norm_epsilon as f32;
        let norm = |reader: &mut Reader<'_>| reader.rms_norm("layer_norm", config.d_model, epsilon);
        let (attention_norm, attention) = reader.within("layer.0", |reader| {
            let norm = norm(reader);
            let read = |reader: &mut Reader<'_>| Attention::read(config, reader);
            (norm, reader.within("SelfAttention", read))
        });
        let (mlp_norm, mlp) = reader.within("layer.1", |reader| {
            let norm = norm(reader);
            let read = |reader: &mut Reader<'_>| GatedMlp::read(config, reader);
            (norm, reader.within("DenseReluDense", read))
        });
        Self {
            attention_norm,
            attention,
            mlp_norm,
            mlp,
        }
    }
}

/// The encoder: see the [module](self).
#[derive(Module, Debug)]
pub struct TextEncoder {
    /// Of a quarter of a million tokens a prompt uses a few: they stay in the file.
    #[module(skip)]
    embedding: RowTable,
    blocks: Vec<Block>,
    norm: RmsNorm,
    #[module(skip)]
    config: TextConfig,
    #[module(skip)]
    precision: Precision,
    #[module(skip)]
    device: Device,
}

impl TextEncoder {
    /// Loads a folder of transformers, a single file or a GGUF file: see [`weights`](super::weights).
    ///
    /// # Errors
    ///
    /// As [`Checkpoint::open_as`], [`Checkpoint::text_config`] and [`Checkpoint::load`].
    pub fn load(path: &Path, device: &Device, precision: Precision) -> Result<Self, Error> {
        let checkpoint = Checkpoint::open_as(path, Network::TextEncoder)?;
        let config = checkpoint.text_config()?;
        Self::from_checkpoint(&checkpoint, &config, device, precision)
    }

    /// Loads the weights of an open checkpoint.
    ///
    /// # Errors
    ///
    /// As [`Checkpoint::load`].
    pub fn from_checkpoint(
        checkpoint: &Checkpoint,
        config: &TextConfig,
        device: &Device,
        precision: Precision,
    ) -> Result<Self, Error> {
        checkpoint.load(device, &UNUSED, |reader| {
            Self::read(config, precision, reader)
        })
    }

    fn read(config: &TextConfig, precision: Precision, reader: &mut Reader<'_>) -> Self {
        let name = EMBEDDINGS.into_iter().find(|name| reader.has(name));
        let table = [config.vocab_size, config.d_model];
        let embedding = reader.rows(name.unwrap_or(EMBEDDINGS[0]), table);
        let (blocks, norm) = reader.within("encoder", |reader| {
            let blocks = reader.list("block", config.num_layers, |reader, _| {
                Block::read(config, reader)
            });
            let epsilon = config.layer_norm_epsilon as f32;
            (
                blocks,
                reader.rms_norm("final_layer_norm", config.d_model, epsilon),
            )
        });
        Self {
            embedding,
            blocks,
            norm,
            config: config.clone(),
            precision,
            device: reader.device().clone(),
        }
    }

    /// Sizes of the network.
    pub fn config(&self) -> &TextConfig {
        &self.config
    }

    /// The last hidden state of each token, padding too.
    ///
    /// # Shapes
    ///
    /// - `ids`: token ids of each prompt, all padded to one length
    /// - `mask`: of each token whether it counts; others are not looked at
    /// - output: `[prompts, tokens, d_model]`
    ///
    /// # Errors
    ///
    /// [`Error::Input`] for prompts of different lengths or ids outside of the vocabulary.
    pub fn forward(&self, ids: &[Vec<u32>], mask: &[Vec<bool>]) -> Result<Tensor<3>, Error> {
        let batch = ids.len();
        let tokens = ids.first().map_or(0, Vec::len);
        let is_even = ids.iter().all(|row| row.len() == tokens);
        if tokens == 0 || !is_even {
            return Err(Error::Input {
                name: "input_ids",
                got: ids.iter().map(Vec::len).collect(),
                required: "prompts of one length".into(),
            });
        }
        if mask.len() != batch || mask.iter().any(|row| row.len() != tokens) {
            return Err(Error::Input {
                name: "attention_mask",
                got: mask.iter().map(Vec::len).collect(),
                required: format!("[{batch}, {tokens}], as input_ids"),
            });
        }
        let rows: Vec<usize> = ids.iter().flatten().map(|&id| id as usize).collect();
        if let Some(&id) = rows.iter().find(|&&id| id >= self.config.vocab_size) {
            return Err(Error::Input {
                name: "an entry of input_ids",
                got: vec![id],
                required: format!("ids below {}", self.config.vocab_size),
            });
        }
        let shape = [batch, tokens, self.config.d_model];
        let embedded = TensorData::new(self.embedding.rows(&rows), shape);
        let mut x = Tensor::from_data(embedded, &self.device);

        let bias = Bias::new(mask, |query, key| bucket(&self.config, query, key));
        for block in &self.blocks {
            let h = block.attention_norm.forward(x.clone());
            x = x + block.attention.forward(h, &bias, self.precision);
            let h = block.mlp_norm.forward(x.clone());
            x = x + block.mlp.forward(h, self.precision);
        }
        Ok(self.norm.forward(x))
    }
}

/// Bucket of a key's distance to a query: half of them for keys after it; of each half the first half one distance
/// each, the rest in a geometric ladder up to the longest distance.
fn bucket(config: &TextConfig, query: usize, key: usize) -> usize {
    let half = config.relative_attention_num_buckets / 2;
    let exact = half / 2;
    let side = if key > query { half } else { 0 };
    let distance = key.abs_diff(query);
    if distance < exact {
        return side + distance;
    }
    let longest = config.relative_attention_max_distance as f64 / exact as f64;
    // In f32, as upstream: on the edge of a bucket the rounding decides.
    let ratio = (distance as f32 / exact as f32).ln() / longest.ln() as f32;
    let step = (ratio * (half - exact) as f32) as usize;
    side + (exact + step).min(half - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_exact_near_and_coarse_far() {
        let config = TextConfig::xxl();
        let of = |query, key| bucket(&config, query, key);
        assert_eq!([of(5, 5), of(5, 4), of(5, 6), of(12, 5)], [0, 1, 17, 7]);
        // Sixteen is the square root of 8 · 32: a quarter of the way from 8 to 128.
        assert_eq!([of(8, 0), of(16, 0), of(32, 0), of(64, 0)], [8, 10, 12, 14]);
        assert_eq!(
            [of(127, 0), of(128, 0), of(500, 0), of(0, 500)],
            [15, 15, 15, 31]
        );
    }
}
