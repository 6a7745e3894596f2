//! Scaled dot-product attention without a score matrix in memory, and its gradient.
//!
//! Forward and backward follow FlashAttention-2 (Dao, 2023): an online softmax over blocks of keys,
//! and a backward pass that recomputes the scores from the saved log-sum-exp.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{Tensor, activation};
use burn_autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};

use crate::cpu::{self, AttentionShape, Precision};
use crate::flex::{floats, is_cpu, overwritten, tensor};

/// `softmax(q · kᵀ / √head_dim + key_bias) · v`.
///
/// `key_bias` is added to every score of its key: `-inf` hides a padded key. A query that sees no
/// key at all gives zeros. `key_bias` receives no gradient.
///
/// # Shapes
///
/// - `q`: `[batch, query_tokens, heads, head_dim]`
/// - `k`, `v`: `[batch, key_tokens, heads, head_dim]`
/// - `key_bias`: `[batch, key_tokens]`
/// - output: as `q`
pub fn attention(
    q: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    key_bias: Option<Tensor<2>>,
    precision: Precision,
) -> Tensor<4> {
    let device = q.device();
    let scale = 1.0 / (q.dims()[3] as f32).sqrt();
    if is_cpu(&device) {
        let key_bias = key_bias.unwrap_or_else(|| Tensor::empty([0, 0], &device));
        return Tensor::from_dispatch(Dispatch::attention_heads(
            q.into_dispatch(),
            k.into_dispatch(),
            v.into_dispatch(),
            key_bias.into_dispatch(),
            Options { scale, precision },
        ));
    }
    composed(q, k, v, key_bias)
}

/// The same, of Burn's own operations.
fn composed(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, key_bias: Option<Tensor<2>>) -> Tensor<4> {
    let scale = 1.0 / (q.dims()[3] as f32).sqrt();
    let [q, k, v] = [q, k, v].map(|t| t.swap_dims(1, 2));
    let scores = (q * scale).matmul(k.swap_dims(2, 3));
    let Some(bias) = key_bias else {
        return activation::softmax(scores, 3).matmul(v).swap_dims(1, 2);
    };
    let [batch, keys] = bias.dims();
    // Of infinities alone softmax would make no numbers: a query that sees no key gets zeros.
    let sees = bias.clone().max_dim(1).greater_elem(HIDDEN).float();
    let bias = bias.clamp_min(HIDDEN).reshape([batch, 1, 1, keys]);
    let out = activation::softmax(scores + bias, 3).matmul(v);
    (out * sees.reshape([batch, 1, 1, 1])).swap_dims(1, 2)
}

/// Added to a score, it leaves nothing of it.
const HIDDEN: f32 = -1e30;

/// How scores are scaled and computed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    scale: f32,
    precision: Precision,
}

/// What the forward pass leaves for the backward pass.
type Saved<T> = (T, T);

#[backend_extension(Flex, Autodiff)]
pub(crate) trait AttentionOps: Backend {
    /// Forward pass; an empty `key_bias` means none.
    fn attention_heads(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        key_bias: FloatTensor<Self>,
        options: Options,
    ) -> FloatTensor<Self>;

    /// Forward pass that also returns the log-sum-exp, `[batch, heads, query_tokens]`.
    fn attention_saved(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        key_bias: FloatTensor<Self>,
        options: Options,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// Gradients of `q`, `k` and `v`.
    #[allow(clippy::too_many_arguments)]
    fn attention_backward(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        key_bias: FloatTensor<Self>,
        out: FloatTensor<Self>,
        logsumexp: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        options: Options,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

fn shape_of(q: &FloatTensor<Flex>, k: &FloatTensor<Flex>) -> AttentionShape {
    let (q, k) = (q.shape(), k.shape());
    AttentionShape {
        batch: q[0],
        heads: q[2],
        query_tokens: q[1],
        key_tokens: k[1],
        head_dim: q[3],
    }
}

impl AttentionOps for Flex {
    fn attention_heads(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        key_bias: FloatTensor<Self>,
        options: Options,
    ) -> FloatTensor<Self> {
        Self::attention_saved(q, k, v, key_bias, options).0
    }

    fn attention_saved(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        key_bias: FloatTensor<Self>,
        options: Options,
    ) -> Saved<FloatTensor<Self>> {
        let [q, k, v, bias] = [q, k, v, key_bias].map(|t| t.to_contiguous());
        let shape = shape_of(&q, &k);
        let mut out = overwritten(floats(&q).len());
        let saved = [shape.batch, shape.heads, shape.query_tokens];
        let mut logsumexp = vec![0.0; saved.iter().product()];
        let bias = floats(&bias);
        cpu::attention_forward(
            shape,
            floats(&q),
            floats(&k),
            floats(&v),
            (!bias.is_empty()).then_some(bias),
            options.scale,
            &mut out,
            &mut logsumexp,
            options.precision,
        );
        (tensor(out, q.shape()), tensor(logsumexp, saved))
    }

    fn attention_backward(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        key_bias: FloatTensor<Self>,
        out: FloatTensor<Self>,
        logsumexp: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        options: Options,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let [q, k, v, bias, grad] = [q, k, v, key_bias, grad].map(|t| t.to_contiguous());
        let shape = shape_of(&q, &k);
        let mut d_q = overwritten(floats(&q).len());
        let mut d_k = overwritten(floats(&k).len());
        let mut d_v = overwritten(floats(&v).len());
        let bias = floats(&bias);
        cpu::attention_backward(
            shape,
            floats(&q),
            floats(&k),
            floats(&v),
            floats(&out),
            floats(&logsumexp),
            floats(&grad),
            (!bias.is_empty()).then_some(bias),
            options.scale,
            &mut d_q,
            &mut d_k,
            &mut d_v,
            options.precision,
        );
        (
            tensor(d_q, q.shape()),
            tensor(d_k, k.shape()),
            tensor(d_v, v.shape()),
        )
    }
}

#[derive(Debug)]
struct AttentionBackward;

#[derive(Debug, Clone)]
struct AttentionState<B: AttentionOps> {
    q: FloatTensor<B>,
    k: FloatTensor<B>,
    v: FloatTensor<B>,
    key_bias: FloatTensor<B>,
    out: FloatTensor<B>,
    logsumexp: FloatTensor<B>,
    options: Options,
}

impl<B: AttentionOps> Backward<B, 3> for AttentionBackward {
    type State = AttentionState<B>;

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let [q, k, v] = ops.parents;
        let grad = grads.consume::<B>(&ops.node);
        let s = ops.state;
        let (d_q, d_k, d_v) = B::attention_backward(
            s.q,
            s.k,
            s.v,
            s.key_bias,
            s.out,
            s.logsumexp,
            grad,
            s.options,
        );
        for (node, grad) in [(q, d_q), (k, d_k), (v, d_v)] {
            if let Some(node) = node {
                grads.register::<B>(node.id, grad);
            }
        }
    }
}

impl<B: AttentionOps, C: CheckpointStrategy> AttentionOps for Autodiff<B, C> {
    fn attention_heads(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        key_bias: FloatTensor<Self>,
        options: Options,
    ) -> FloatTensor<Self> {
        let (q, q_node) = q.into_parts();
        let (k, k_node) = k.into_parts();
        let (v, v_node) = v.into_parts();
        let key_bias = key_bias.into_primitive();
        match AttentionBackward
            .prepare::<C>([q_node, k_node, v_node])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => {
                let (out, logsumexp) =
                    B::attention_saved(q.clone(), k.clone(), v.clone(), key_bias.clone(), options);
                let state = AttentionState {
                    q,
                    k,
                    v,
                    key_bias,
                    out: out.clone(),
                    logsumexp,
                    options,
                };
                prep.finish(state, out)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::attention_heads(q, k, v, key_bias, options)),
        }
    }

    fn attention_saved(
        _q: FloatTensor<Self>,
        _k: FloatTensor<Self>,
        _v: FloatTensor<Self>,
        _key_bias: FloatTensor<Self>,
        _options: Options,
    ) -> Saved<FloatTensor<Self>> {
        panic!("the kernels differentiate once: no gradient of a gradient")
    }

    fn attention_backward(
        _q: FloatTensor<Self>,
        _k: FloatTensor<Self>,
        _v: FloatTensor<Self>,
        _key_bias: FloatTensor<Self>,
        _out: FloatTensor<Self>,
        _logsumexp: FloatTensor<Self>,
        _grad: FloatTensor<Self>,
        _options: Options,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        panic!("the kernels differentiate once: no gradient of a gradient")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_same, random};

    #[test]
    fn agrees_with_composition() {
        for (queries, keys, head_dim, masked) in [(5, 5, 16, false), (33, 70, 64, true)] {
            let q = random([2, queries, 3, head_dim]);
            let (k, v) = (
                random([2, keys, 3, head_dim]),
                random([2, keys, 3, head_dim]),
            );
            let mut bias = vec![0.0; 2 * keys];
            if masked {
                bias[keys - 9..keys].fill(f32::NEG_INFINITY);
                // The second of the batch sees nothing, as an empty prompt does.
                bias[keys..].fill(f32::NEG_INFINITY);
            }
            let bias = Tensor::<1>::from_floats(bias.as_slice(), &q.device()).reshape([2, keys]);
            let bias = masked.then_some(bias);
            let ours = attention(
                q.clone(),
                k.clone(),
                v.clone(),
                bias.clone(),
                Precision::F32,
            );
            let plain = composed(q.clone(), k.clone(), v.clone(), bias);
            assert_same(ours, plain, |grads| {
                vec![
                    q.grad(grads).map(|g| g.into_data()),
                    k.grad(grads).map(|g| g.into_data()),
                    v.grad(grads).map(|g| g.into_data()),
                ]
            });
        }
    }
}
