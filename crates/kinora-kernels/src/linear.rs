//! `activation(x · weight + bias)` and its gradient.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{Tensor, activation};
use burn_autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};

use crate::cpu::{self, Activation, Epilogue, MatRef, Precision};
use crate::flex::{floats, is_cpu, overwritten, rows_cols, tensor};

/// `activation(x · weight + bias)`.
///
/// Inputs are rounded to bf16 under [`Precision::Bf16`] where the processor has bf16 products;
/// sums are kept in f32.
///
/// # Shapes
///
/// - `x`: `[..., channels_in]`
/// - `weight`: `[channels_in, channels_out]`
/// - `bias`: `[channels_out]`
/// - output: `[..., channels_out]`
pub fn linear<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Tensor<1>,
    activation: Activation,
    precision: Precision,
) -> Tensor<D> {
    if is_cpu(&x.device()) {
        return Tensor::from_dispatch(Dispatch::linear_fused(
            x.into_dispatch(),
            weight.into_dispatch(),
            bias.into_dispatch(),
            activation,
            precision,
        ));
    }
    composed(x, weight, bias, activation)
}

/// The same, of Burn's own operations.
pub(crate) fn composed<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Tensor<1>,
    activation: Activation,
) -> Tensor<D> {
    let y = x.matmul(weight.unsqueeze()) + bias.unsqueeze();
    match activation {
        Activation::None => y,
        Activation::GeluTanh => activation::gelu_approximate(y),
        Activation::Silu => activation::silu(y),
    }
}

/// What the CPU kernels offer, and what their gradient needs.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait LinearOps: Backend {
    /// Forward pass.
    fn linear_fused(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        activation: Activation,
        precision: Precision,
    ) -> FloatTensor<Self>;

    /// Forward pass that also returns what went into the activation.
    fn linear_saved(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        activation: Activation,
        precision: Precision,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// Gradients of `x`, `weight` and `bias`; that of `x` is empty unless `input_grad`.
    fn linear_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        preactivation: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        options: BackwardOptions,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

/// How the backward pass is to be run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BackwardOptions {
    activation: Activation,
    precision: Precision,
    input_grad: bool,
}

fn forward(
    x: FloatTensor<Flex>,
    weight: FloatTensor<Flex>,
    bias: FloatTensor<Flex>,
    activation: Activation,
    precision: Precision,
    save: bool,
) -> (FloatTensor<Flex>, FloatTensor<Flex>) {
    let (x, weight, bias) = (
        x.to_contiguous(),
        weight.to_contiguous(),
        bias.to_contiguous(),
    );
    let (rows, channels_in) = rows_cols(&x);
    let channels_out = weight.shape()[1];
    let mut out = overwritten(rows * channels_out);
    let mut preactivation = overwritten(if save { rows * channels_out } else { 0 });
    cpu::gemm(
        MatRef::new(floats(&x), rows, channels_in),
        MatRef::new(floats(&weight), channels_in, channels_out),
        &mut out,
        Epilogue {
            bias: Some(floats(&bias)),
            activation,
            preactivation: save.then_some(&mut preactivation[..]),
            ..Epilogue::default()
        },
        precision,
    );
    let mut shape = x.shape();
    let last = shape.num_dims() - 1;
    shape[last] = channels_out;
    let saved = preactivation.len();
    (tensor(out, shape), tensor(preactivation, [saved]))
}

impl LinearOps for Flex {
    fn linear_fused(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        activation: Activation,
        precision: Precision,
    ) -> FloatTensor<Self> {
        forward(x, weight, bias, activation, precision, false).0
    }

    fn linear_saved(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        activation: Activation,
        precision: Precision,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let save = activation != Activation::None;
        forward(x, weight, bias, activation, precision, save)
    }

    fn linear_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        preactivation: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        options: BackwardOptions,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let (x, weight) = (x.to_contiguous(), weight.to_contiguous());
        let grad = match options.activation {
            Activation::None => grad.to_contiguous(),
            activation => {
                let grad = grad.to_contiguous();
                let mut through = overwritten(floats(&grad).len());
                cpu::activation_backward(
                    activation,
                    floats(&preactivation),
                    floats(&grad),
                    &mut through,
                );
                tensor(through, grad.shape())
            }
        };
        let (rows, channels_in) = rows_cols(&x);
        let channels_out = weight.shape()[1];
        let g = MatRef::new(floats(&grad), rows, channels_out);

        let mut d_x = overwritten(if options.input_grad {
            rows * channels_in
        } else {
            0
        });
        if options.input_grad {
            let w = MatRef::new(floats(&weight), channels_in, channels_out);
            cpu::gemm(g, w.t(), &mut d_x, Epilogue::default(), options.precision);
        }
        let mut d_weight = overwritten(channels_in * channels_out);
        let x_matrix = MatRef::new(floats(&x), rows, channels_in);
        cpu::gemm(
            x_matrix.t(),
            g,
            &mut d_weight,
            Epilogue::default(),
            options.precision,
        );
        let mut d_bias = vec![0.0; channels_out];
        cpu::sum_rows(floats(&grad), channels_out, &mut d_bias);

        let d_x = if options.input_grad {
            tensor(d_x, x.shape())
        } else {
            tensor(d_x, [0])
        };
        (
            d_x,
            tensor(d_weight, weight.shape()),
            tensor(d_bias, [channels_out]),
        )
    }
}

#[derive(Debug)]
struct LinearBackward;

#[derive(Debug, Clone)]
struct LinearState<B: LinearOps> {
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    preactivation: FloatTensor<B>,
    activation: Activation,
    precision: Precision,
}

impl<B: LinearOps> Backward<B, 3> for LinearBackward {
    type State = LinearState<B>;

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let [x, weight, bias] = ops.parents;
        let grad = grads.consume::<B>(&ops.node);
        let state = ops.state;
        let (d_x, d_weight, d_bias) = B::linear_backward(
            state.x,
            state.weight,
            state.preactivation,
            grad,
            BackwardOptions {
                activation: state.activation,
                precision: state.precision,
                input_grad: x.is_some(),
            },
        );
        for (node, grad) in [(x, d_x), (weight, d_weight), (bias, d_bias)] {
            if let Some(node) = node {
                grads.register::<B>(node.id, grad);
            }
        }
    }
}

impl<B: LinearOps, C: CheckpointStrategy> LinearOps for Autodiff<B, C> {
    fn linear_fused(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        activation: Activation,
        precision: Precision,
    ) -> FloatTensor<Self> {
        let (x, x_node) = x.into_parts();
        let (weight, weight_node) = weight.into_parts();
        let (bias, bias_node) = bias.into_parts();
        match LinearBackward
            .prepare::<C>([x_node, weight_node, bias_node])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => {
                let (out, preactivation) =
                    B::linear_saved(x.clone(), weight.clone(), bias, activation, precision);
                let state = LinearState {
                    x,
                    weight,
                    preactivation,
                    activation,
                    precision,
                };
                prep.finish(state, out)
            }
            OpsKind::UnTracked(prep) => {
                prep.finish(B::linear_fused(x, weight, bias, activation, precision))
            }
        }
    }

    fn linear_saved(
        _x: FloatTensor<Self>,
        _weight: FloatTensor<Self>,
        _bias: FloatTensor<Self>,
        _activation: Activation,
        _precision: Precision,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        panic!("the kernels differentiate once: no gradient of a gradient")
    }

    fn linear_backward(
        _x: FloatTensor<Self>,
        _weight: FloatTensor<Self>,
        _preactivation: FloatTensor<Self>,
        _grad: FloatTensor<Self>,
        _options: BackwardOptions,
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
        for activation in [Activation::None, Activation::GeluTanh, Activation::Silu] {
            let inputs = (random([2, 7, 33]), random([33, 19]), random([19]));
            let (x, w, b) = inputs.clone();
            let ours = linear(x, w, b, activation, Precision::F32);
            let (x, w, b) = inputs.clone();
            let plain = composed(x, w, b, activation);
            let (x, w, b) = inputs;
            assert_same(ours, plain, |grads| {
                vec![
                    x.grad(grads).map(|g| g.into_data()),
                    w.grad(grads).map(|g| g.into_data()),
                    b.grad(grads).map(|g| g.into_data()),
                ]
            });
        }
    }
}
