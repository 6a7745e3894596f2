//! Self- and cross-attention with RMS-normed queries and keys (Dehghani et al., 2023).

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use kinora_kernels::{Precision, Rotary, attention, rms_norm_rope};

use super::Linear;

const NORM_EPSILON: f32 = 1e-6;

fn heads_of(x: Tensor<3>, heads: usize) -> Tensor<4> {
    let [batch, tokens, width] = x.dims();
    x.reshape([batch, tokens, heads, width / heads])
}

fn merge_heads(x: Tensor<4>) -> Tensor<3> {
    let [batch, tokens, heads, head_dim] = x.dims();
    x.reshape([batch, tokens, heads * head_dim])
}

fn ones(channels: usize, device: &Device) -> Param<Tensor<1>> {
    Param::from_tensor(Tensor::ones([channels], device))
}

/// Every token sees every token of its sequence.
#[derive(Module, Debug)]
pub struct SelfAttention {
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    query_norm: Param<Tensor<1>>,
    key_norm: Param<Tensor<1>>,
    heads: usize,
}

impl SelfAttention {
    /// `width` must be a multiple of `heads`; `out_gain` scales the initial output.
    pub fn new(width: usize, heads: usize, out_gain: f64, device: &Device) -> Self {
        Self {
            query: Linear::new(width, width, 1.0, device),
            key: Linear::new(width, width, 1.0, device),
            value: Linear::new(width, width, 1.0, device),
            out: Linear::new(width, width, out_gain, device),
            query_norm: ones(width / heads, device),
            key_norm: ones(width / heads, device),
            heads,
        }
    }

    /// # Shapes
    ///
    /// - `x`: `[batch, tokens, width]`
    /// - `key_bias`: `[batch, tokens]`, `-inf` hides a token
    /// - output: as `x`
    pub fn forward(
        &self,
        x: Tensor<3>,
        rotary: Option<&Rotary>,
        key_bias: Option<Tensor<2>>,
    ) -> Tensor<3> {
        let q = heads_of(self.query.forward(x.clone()), self.heads);
        let k = heads_of(self.key.forward(x.clone()), self.heads);
        let v = heads_of(self.value.forward(x), self.heads);
        let q = rms_norm_rope(q, self.query_norm.val(), rotary, NORM_EPSILON);
        let k = rms_norm_rope(k, self.key_norm.val(), rotary, NORM_EPSILON);
        self.out
            .forward(merge_heads(attention(q, k, v, key_bias, Precision::Bf16)))
    }
}

/// Keys and values of a context, computed once and used by every sampling step.
#[derive(Debug, Clone)]
pub struct KeyValue {
    key: Tensor<4>,
    value: Tensor<4>,
}

impl KeyValue {
    /// Those of a batch; all contexts have the same number of tokens.
    pub fn stack(parts: &[&Self]) -> Self {
        let all = |part: fn(&Self) -> &Tensor<4>| {
            Tensor::cat(parts.iter().map(|one| part(one).clone()).collect(), 0)
        };
        Self {
            key: all(|one| &one.key),
            value: all(|one| &one.value),
        }
    }
}

/// Tokens look at a context.
#[derive(Module, Debug)]
pub struct CrossAttention {
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    query_norm: Param<Tensor<1>>,
    key_norm: Param<Tensor<1>>,
    heads: usize,
}

impl CrossAttention {
    /// Output starts small.
    pub fn new(width: usize, context_width: usize, heads: usize, device: &Device) -> Self {
        Self {
            query: Linear::new(width, width, 1.0, device),
            key: Linear::new(context_width, width, 1.0, device),
            value: Linear::new(context_width, width, 1.0, device),
            out: Linear::new(width, width, 0.5, device),
            query_norm: ones(width / heads, device),
            key_norm: ones(width / heads, device),
            heads,
        }
    }

    /// Keys and values of `context`: `[batch, context_tokens, context_width]`.
    pub fn key_value(&self, context: Tensor<3>) -> KeyValue {
        let key = heads_of(self.key.forward(context.clone()), self.heads);
        KeyValue {
            key: rms_norm_rope(key, self.key_norm.val(), None, NORM_EPSILON),
            value: heads_of(self.value.forward(context), self.heads),
        }
    }

    /// # Shapes
    ///
    /// - `x`: `[batch, tokens, width]`
    /// - `key_bias`: `[batch, context_tokens]`
    /// - output: as `x`
    pub fn forward(&self, x: Tensor<3>, context: &KeyValue, key_bias: Tensor<2>) -> Tensor<3> {
        let q = heads_of(self.query.forward(x), self.heads);
        let q = rms_norm_rope(q, self.query_norm.val(), None, NORM_EPSILON);
        let mixed = attention(
            q,
            context.key.clone(),
            context.value.clone(),
            Some(key_bias),
            Precision::Bf16,
        );
        self.out.forward(merge_heads(mixed))
    }
}
