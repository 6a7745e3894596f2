//! Per-head RMS norm of queries and keys, then rotary positions, and the gradient of both.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::Tensor;
use burn_autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};

use crate::cpu;
use crate::flex::{floats, is_cpu, overwritten, tensor};

/// Rotary position tables: the angle of each pair of channels at each token.
#[derive(Debug, Clone)]
pub struct Rotary {
    /// Cosines, `[tokens, pairs]`.
    pub cos: Tensor<2>,
    /// Sines, `[tokens, pairs]`.
    pub sin: Tensor<2>,
}

/// `rotate(x / rms(x) · weight)` over each head: channel pairs `(2i, 2i + 1)` turn by the angle of
/// their token.
///
/// Tables with fewer pairs than a head repeat across it: a family that norms all heads together but turns each
/// (Wan) passes them as one head.
///
/// # Shapes
///
/// - `x`: `[batch, tokens, heads, head_dim]`
/// - `weight`: `[head_dim]`
/// - output: as `x`
pub fn rms_norm_rope(
    x: Tensor<4>,
    weight: Tensor<1>,
    rotary: Option<&Rotary>,
    epsilon: f32,
) -> Tensor<4> {
    let device = x.device();
    if is_cpu(&device) {
        let (cos, sin) = match rotary {
            Some(rotary) => (rotary.cos.clone(), rotary.sin.clone()),
            None => (
                Tensor::empty([0, 0], &device),
                Tensor::empty([0, 0], &device),
            ),
        };
        return Tensor::from_dispatch(Dispatch::rms_norm_rope(
            x.into_dispatch(),
            weight.into_dispatch(),
            cos.into_dispatch(),
            sin.into_dispatch(),
            epsilon,
        ));
    }
    composed(x, weight, rotary, epsilon)
}

/// The same, of Burn's own operations.
fn composed(x: Tensor<4>, weight: Tensor<1>, rotary: Option<&Rotary>, epsilon: f32) -> Tensor<4> {
    let [batch, tokens, heads, head_dim] = x.dims();
    let rms = (x.clone().square().mean_dim(3) + epsilon).sqrt();
    let normed = x / rms * weight.unsqueeze();
    let Some(rotary) = rotary else { return normed };
    let [_, pairs] = rotary.cos.dims();
    let parts = heads * head_dim / (2 * pairs);
    let normed = normed.reshape([batch, tokens, parts, pairs, 2]);
    let even = normed.clone().narrow(4, 0, 1);
    let odd = normed.narrow(4, 1, 1);
    let cos = rotary.cos.clone().reshape([1, tokens, 1, pairs, 1]);
    let sin = rotary.sin.clone().reshape([1, tokens, 1, pairs, 1]);
    let first = even.clone() * cos.clone() - odd.clone() * sin.clone();
    let second = even * sin + odd * cos;
    Tensor::cat(vec![first, second], 4).reshape([batch, tokens, heads, head_dim])
}

#[backend_extension(Flex, Autodiff)]
pub(crate) trait RmsNormRopeOps: Backend {
    /// Forward pass; empty tables mean no rotation.
    fn rms_norm_rope(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self>;

    /// Forward pass that also returns the reciprocal RMS of each head.
    fn rms_norm_rope_saved(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        epsilon: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// Gradients of `x` and `weight`.
    fn rms_norm_rope_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        rstd: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

fn heads_of(x: &FloatTensor<Flex>) -> cpu::HeadsShape {
    let shape = x.shape();
    cpu::HeadsShape {
        batch: shape[0],
        tokens: shape[1],
        heads: shape[2],
        head_dim: shape[3],
    }
}

fn tables<'a>(
    cos: &'a FloatTensor<Flex>,
    sin: &'a FloatTensor<Flex>,
) -> Option<(&'a [f32], &'a [f32])> {
    (!floats(cos).is_empty()).then(|| (floats(cos), floats(sin)))
}

impl RmsNormRopeOps for Flex {
    fn rms_norm_rope(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self> {
        Self::rms_norm_rope_saved(x, weight, cos, sin, epsilon).0
    }

    fn rms_norm_rope_saved(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        epsilon: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let [x, weight, cos, sin] = [x, weight, cos, sin].map(|t| t.to_contiguous());
        let shape = heads_of(&x);
        let saved = [shape.batch, shape.tokens, shape.heads];
        let mut out = overwritten(floats(&x).len());
        let mut rstd = vec![0.0; saved.iter().product()];
        cpu::rms_norm_rope_forward(
            shape,
            floats(&x),
            floats(&weight),
            tables(&cos, &sin),
            epsilon,
            &mut out,
            &mut rstd,
        );
        (tensor(out, x.shape()), tensor(rstd, saved))
    }

    fn rms_norm_rope_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        rstd: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let [x, weight, cos, sin, grad] = [x, weight, cos, sin, grad].map(|t| t.to_contiguous());
        let mut d_x = overwritten(floats(&x).len());
        let mut d_weight = vec![0.0; floats(&weight).len()];
        cpu::rms_norm_rope_backward(
            heads_of(&x),
            floats(&x),
            floats(&weight),
            tables(&cos, &sin),
            floats(&rstd),
            floats(&grad),
            &mut d_x,
            &mut d_weight,
        );
        (tensor(d_x, x.shape()), tensor(d_weight, weight.shape()))
    }
}

#[derive(Debug)]
struct RmsNormRopeBackward;

#[derive(Debug, Clone)]
struct RmsNormRopeState<B: RmsNormRopeOps> {
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    cos: FloatTensor<B>,
    sin: FloatTensor<B>,
    rstd: FloatTensor<B>,
}

impl<B: RmsNormRopeOps> Backward<B, 2> for RmsNormRopeBackward {
    type State = RmsNormRopeState<B>;

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let [x, weight] = ops.parents;
        let grad = grads.consume::<B>(&ops.node);
        let s = ops.state;
        let (d_x, d_weight) = B::rms_norm_rope_backward(s.x, s.weight, s.cos, s.sin, s.rstd, grad);
        for (node, grad) in [(x, d_x), (weight, d_weight)] {
            if let Some(node) = node {
                grads.register::<B>(node.id, grad);
            }
        }
    }
}

impl<B: RmsNormRopeOps, C: CheckpointStrategy> RmsNormRopeOps for Autodiff<B, C> {
    fn rms_norm_rope(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self> {
        let (x, x_node) = x.into_parts();
        let (weight, weight_node) = weight.into_parts();
        let (cos, sin) = (cos.into_primitive(), sin.into_primitive());
        match RmsNormRopeBackward
            .prepare::<C>([x_node, weight_node])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => {
                let (out, rstd) = B::rms_norm_rope_saved(
                    x.clone(),
                    weight.clone(),
                    cos.clone(),
                    sin.clone(),
                    epsilon,
                );
                prep.finish(
                    RmsNormRopeState {
                        x,
                        weight,
                        cos,
                        sin,
                        rstd,
                    },
                    out,
                )
            }
            OpsKind::UnTracked(prep) => prep.finish(B::rms_norm_rope(x, weight, cos, sin, epsilon)),
        }
    }

    fn rms_norm_rope_saved(
        _x: FloatTensor<Self>,
        _weight: FloatTensor<Self>,
        _cos: FloatTensor<Self>,
        _sin: FloatTensor<Self>,
        _epsilon: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        panic!("the kernels differentiate once: no gradient of a gradient")
    }

    fn rms_norm_rope_backward(
        _x: FloatTensor<Self>,
        _weight: FloatTensor<Self>,
        _cos: FloatTensor<Self>,
        _sin: FloatTensor<Self>,
        _rstd: FloatTensor<Self>,
        _grad: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        panic!("the kernels differentiate once: no gradient of a gradient")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_same, random};

    #[test]
    fn agrees_with_composition() {
        let tables = [8, 2].map(|pairs| {
            let angles = random::<2>([7, pairs]).inner();
            Rotary {
                cos: Tensor::from_inner(angles.clone().cos()),
                sin: Tensor::from_inner(angles.sin()),
            }
        });
        for rotary in [None, Some(&tables[0]), Some(&tables[1])] {
            let (x, weight) = (random([2, 7, 3, 16]), random([16]));
            let ours = rms_norm_rope(x.clone(), weight.clone(), rotary, 1e-6);
            let plain = composed(x.clone(), weight.clone(), rotary, 1e-6);
            assert_same(ours, plain, |grads| {
                vec![
                    x.grad(grads).map(|g| g.into_data()),
                    weight.grad(grads).map(|g| g.into_data()),
                ]
            });
        }
    }
}
