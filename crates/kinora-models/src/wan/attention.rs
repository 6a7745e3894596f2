//! Attention of the transformer: queries and keys are RMS-normed over all heads together, then each head turns by its
//! token's place.
//!
//! Follows `WanAttention` and `WanAttnProcessor` of diffusers' `transformer_wan.py`.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use kinora_kernels::{Activation, Precision, Rotary, attention, rms_norm_rope};

use super::config::TransformerConfig;
use super::weights::Reader;
use crate::layers::Linear;

/// Text tokens of every Wan model. Upstream splits image from text by it.
const TEXT_TOKENS: usize = 512;

/// Projection and norm of queries or of keys.
#[derive(Module, Debug)]
struct NormedProjection {
    linear: Linear,
    norm: Param<Tensor<1>>,
    epsilon: f32,
    heads: usize,
}

impl NormedProjection {
    fn read(config: &TransformerConfig, names: [&str; 2], reader: &mut Reader<'_>) -> Self {
        let width = config.width();
        Self {
            linear: reader.linear(names[0], width, width),
            norm: Param::from_tensor(
                reader.within(names[1], |reader| reader.tensor("weight", [width])),
            ),
            epsilon: config.eps as f32,
            heads: config.num_attention_heads,
        }
    }

    /// `[batch, tokens, width]` → `[batch, tokens, heads, head_dim]`
    fn forward(&self, x: Tensor<3>, rotary: Option<&Rotary>, precision: Precision) -> Tensor<4> {
        let x = self.linear.forward_with(x, Activation::None, precision);
        let [batch, tokens, width] = x.dims();
        // As one head, so that the norm sees all of them; the shorter rotary tables repeat.
        let x = x.reshape([batch, tokens, 1, width]);
        rms_norm_rope(x, self.norm.val(), rotary, self.epsilon).reshape([
            batch,
            tokens,
            self.heads,
            width / self.heads,
        ])
    }
}

/// Values, one matrix for all heads.
fn values(linear: &Linear, x: Tensor<3>, heads: usize, precision: Precision) -> Tensor<4> {
    let x = linear.forward_with(x, Activation::None, precision);
    let [batch, tokens, width] = x.dims();
    x.reshape([batch, tokens, heads, width / heads])
}

fn merge_heads(x: Tensor<4>) -> Tensor<3> {
    let [batch, tokens, heads, head_dim] = x.dims();
    x.reshape([batch, tokens, heads * head_dim])
}

/// Every latent token sees every other.
#[derive(Module, Debug)]
pub(super) struct SelfAttention {
    query: NormedProjection,
    key: NormedProjection,
    value: Linear,
    out: Linear,
}

impl SelfAttention {
    pub(super) fn read(config: &TransformerConfig, reader: &mut Reader<'_>) -> Self {
        let width = config.width();
        Self {
            query: NormedProjection::read(config, ["to_q", "norm_q"], reader),
            key: NormedProjection::read(config, ["to_k", "norm_k"], reader),
            value: reader.linear("to_v", width, width),
            out: reader.linear("to_out.0", width, width),
        }
    }

    /// `[batch, tokens, width]` → the same
    pub(super) fn forward(&self, x: Tensor<3>, rotary: &Rotary, precision: Precision) -> Tensor<3> {
        let q = self.query.forward(x.clone(), Some(rotary), precision);
        let k = self.key.forward(x.clone(), Some(rotary), precision);
        let v = values(&self.value, x, self.query.heads, precision);
        let mixed = merge_heads(attention(q, k, v, None, precision));
        self.out.forward_with(mixed, Activation::None, precision)
    }
}

/// Keys and values of one source.
#[derive(Debug, Clone)]
struct KeyValue {
    key: Tensor<4>,
    value: Tensor<4>,
}

/// Keys and values of a block's text and image, computed once for all steps.
#[derive(Debug, Clone)]
pub(super) struct BlockContext {
    text: KeyValue,
    image: Option<KeyValue>,
}

/// Latent tokens look at the text and, each on its own, at an image.
#[derive(Module, Debug)]
pub(super) struct CrossAttention {
    query: NormedProjection,
    key: NormedProjection,
    value: Linear,
    image: Option<ImageKeys>,
    out: Linear,
}

#[derive(Module, Debug)]
struct ImageKeys {
    key: NormedProjection,
    value: Linear,
}

impl CrossAttention {
    pub(super) fn read(config: &TransformerConfig, reader: &mut Reader<'_>) -> Self {
        let width = config.width();
        Self {
            query: NormedProjection::read(config, ["to_q", "norm_q"], reader),
            key: NormedProjection::read(config, ["to_k", "norm_k"], reader),
            value: reader.linear("to_v", width, width),
            image: config.added_kv_proj_dim.map(|_| ImageKeys {
                key: NormedProjection::read(config, ["add_k_proj", "norm_added_k"], reader),
                value: reader.linear("add_v_proj", width, width),
            }),
            out: reader.linear("to_out.0", width, width),
        }
    }

    /// Keys and values of `context`, `[batch, tokens, width]`: an image's tokens, if there are any, before the text's.
    pub(super) fn context(&self, context: Tensor<3>, precision: Precision) -> BlockContext {
        let heads = self.query.heads;
        let key_value = |key: &NormedProjection, value: &Linear, x: Tensor<3>| KeyValue {
            key: key.forward(x.clone(), None, precision),
            value: values(value, x, heads, precision),
        };
        let [_, tokens, _] = context.dims();
        let split = self.image.as_ref().map_or(0, |_| image_tokens(tokens));
        let image = self.image.as_ref().filter(|_| split > 0).map(|image| {
            let tokens = context.clone().narrow(1, 0, split);
            key_value(&image.key, &image.value, tokens)
        });
        let text = context.narrow(1, split, tokens - split);
        BlockContext {
            text: key_value(&self.key, &self.value, text),
            image,
        }
    }

    /// `[batch, tokens, width]` → the same
    pub(super) fn forward(
        &self,
        x: Tensor<3>,
        context: &BlockContext,
        precision: Precision,
    ) -> Tensor<3> {
        let q = self.query.forward(x, None, precision);
        let look = |source: &KeyValue| {
            let (key, value) = (source.key.clone(), source.value.clone());
            attention(q.clone(), key, value, None, precision)
        };
        let mixed = look(&context.text);
        let mixed = match &context.image {
            None => mixed,
            Some(image) => mixed + look(image),
        };
        self.out
            .forward_with(merge_heads(mixed), Activation::None, precision)
    }
}

/// How many of the first tokens of a context are an image's. Upstream takes the last 512 for text and the rest for the
/// image, and where there are fewer, its slices count from the end twice. No pipeline gets there, but equal is equal.
fn image_tokens(tokens: usize) -> usize {
    match tokens.checked_sub(TEXT_TOKENS) {
        Some(image) => image,
        None => (2 * tokens).saturating_sub(TEXT_TOKENS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_512_tokens_are_text() {
        assert_eq!(image_tokens(512 + 257), 257);
        assert_eq!(image_tokens(512), 0);
        // [:, :-212] of 300 tokens are the first 88.
        assert_eq!(image_tokens(300), 88);
        assert_eq!(image_tokens(200), 0);
    }
}
