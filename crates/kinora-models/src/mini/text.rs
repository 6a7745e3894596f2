//! From a prompt to tokens, and from tokens to the context that the denoiser looks at.

use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};
use kinora_kernels::norm_modulate;
use tokenizers::Tokenizer;
use unicode_normalization::UnicodeNormalization;

use super::config::TextConfig;
use super::transformer::{Context, NORM_EPSILON};
use crate::Error;
use crate::layers::{LayerNorm, Mlp, SelfAttention, normal};

/// Tokens of a batch of prompts, padded to the same length.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// The same number of entries of each prompt, at most the encoder's `max_tokens`.
    pub ids: Vec<i32>,
    /// Real tokens of each prompt.
    pub lengths: Vec<usize>,
}

/// NFKC, lower case, single spaces: what both the tokenizer and the lexicon see.
pub fn normalise(prompt: &str) -> String {
    let lower = prompt.nfkc().collect::<String>().to_lowercase();
    lower.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Token ids of `prompts`.
///
/// # Errors
///
/// [`Error::PromptLength`] names a prompt with more tokens than the model takes.
pub fn tokenize(
    tokenizer: &Tokenizer,
    config: &TextConfig,
    prompts: &[&str],
) -> Result<Tokens, Error> {
    let mut ids = Vec::with_capacity(prompts.len() * config.max_tokens);
    let mut lengths = Vec::with_capacity(prompts.len());
    for prompt in prompts {
        let encoding = tokenizer
            .encode(normalise(prompt), false)
            .map_err(|source| Error::Tokenizer(source.to_string()))?;
        let tokens = encoding.get_ids();
        if tokens.len() > config.max_tokens {
            return Err(Error::PromptLength {
                got: tokens.len(),
                limit: config.max_tokens,
            });
        }
        ids.extend(tokens.iter().map(|&id| id as i32));
        ids.extend(std::iter::repeat_n(0, config.max_tokens - tokens.len()));
        lengths.push(tokens.len());
    }
    Ok(Tokens { ids, lengths })
}

#[derive(Module, Debug)]
struct TextBlock {
    norm_attention: LayerNorm,
    attention: SelfAttention,
    norm_mlp: LayerNorm,
    mlp: Mlp,
}

/// A small bidirectional transformer over the prompt's tokens, trained together with the denoiser.
#[derive(Module, Debug)]
pub struct TextEncoder {
    tokens: Param<Tensor<2>>,
    positions: Param<Tensor<2>>,
    blocks: Vec<TextBlock>,
    /// Stands first in every context, and alone in that of an empty prompt.
    empty: Param<Tensor<2>>,
}

impl TextEncoder {
    /// A fresh encoder.
    pub fn new(config: &TextConfig, device: &Device) -> Self {
        let width = config.width;
        let normal = |rows: usize, std: f64| normal([rows, width], std, device);
        let block = |_| TextBlock {
            norm_attention: LayerNorm::new(width, device),
            attention: SelfAttention::new(width, config.heads, 0.5, device),
            norm_mlp: LayerNorm::new(width, device),
            mlp: Mlp::new(width, width * 4, 0.5, device),
        };
        Self {
            tokens: normal(config.vocabulary, 0.5),
            positions: normal(config.max_tokens, 0.2),
            blocks: (0..config.depth).map(block).collect(),
            empty: normal(1, 0.5),
        }
    }

    /// The context of a batch: one token that stands for "no words", then the prompt's.
    pub fn forward(&self, tokens: &Tokens, device: &Device) -> Context {
        let batch = tokens.lengths.len();
        let [_, width] = self.empty.dims();
        let ids: Tensor<1, Int> = Tensor::from_data(
            TensorData::new(tokens.ids.clone(), [tokens.ids.len()]),
            device,
        );
        // As many as the longest prompt was padded to.
        let rows = tokens.ids.len() / batch;
        let mut x = self
            .tokens
            .val()
            .select(0, ids)
            .reshape([batch, rows, width])
            + self.positions.val().narrow(0, 0, rows).unsqueeze();
        let per_token = |real: f32, padding: f32| -> Tensor<2> {
            let mut values = Vec::with_capacity(batch * rows);
            for &length in &tokens.lengths {
                let value = |row| if row < length { real } else { padding };
                values.extend((0..rows).map(value));
            }
            Tensor::from_data(TensorData::new(values, [batch, rows]), device)
        };
        let bias = per_token(0.0, f32::NEG_INFINITY);
        for block in &self.blocks {
            let h = block.norm_attention.forward(x.clone());
            x = x + block.attention.forward(h, None, Some(bias.clone()));
            let h = block.norm_mlp.forward(x.clone());
            x = x + block.mlp.forward(h);
        }
        // Without a gain: what is not understood yet must not be made so faint that it never will be.
        let zeros = Tensor::zeros([batch, width], device);
        let text = norm_modulate(x, zeros.clone(), zeros, NORM_EPSILON);
        let empty = self.empty.val().unsqueeze::<3>().repeat_dim(0, batch);

        let counts: Vec<f32> = tokens
            .lengths
            .iter()
            .map(|&n| 1.0 / (n + 1) as f32)
            .collect();
        let counts = Tensor::<2>::from_data(TensorData::new(counts, [batch, 1]), device);
        let real = per_token(1.0, 0.0).unsqueeze_dim::<3>(2);
        let sum = (text.clone() * real).sum_dim(1) + empty.clone();
        Context {
            tokens: Tensor::cat(vec![empty, text], 1),
            bias: Tensor::cat(vec![Tensor::zeros([batch, 1], device), bias], 1),
            pooled: sum.reshape([batch, width]) * counts,
        }
    }
}
