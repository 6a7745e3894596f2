//! `x + gate · h` with one gate per group of rows, and its gradient.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::Tensor;
use burn_autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};

use crate::cpu;
use crate::flex::{floats, is_cpu, overwritten, tensor};

/// `x + gate · h`, where each group of rows has its own gate.
///
/// # Shapes
///
/// - `x`, `h`: `[groups, rows, channels]`
/// - `gate`: `[groups, channels]`
/// - output: as `x`
pub fn gate_residual(x: Tensor<3>, gate: Tensor<2>, h: Tensor<3>) -> Tensor<3> {
    if is_cpu(&x.device()) {
        return Tensor::from_dispatch(Dispatch::gate_residual(
            x.into_dispatch(),
            gate.into_dispatch(),
            h.into_dispatch(),
        ));
    }
    composed(x, gate, h)
}

/// The same, of Burn's own operations.
fn composed(x: Tensor<3>, gate: Tensor<2>, h: Tensor<3>) -> Tensor<3> {
    x + gate.unsqueeze_dim(1) * h
}

#[backend_extension(Flex, Autodiff)]
pub(crate) trait GateResidualOps: Backend {
    /// Forward pass.
    fn gate_residual(
        x: FloatTensor<Self>,
        gate: FloatTensor<Self>,
        h: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// Gradients of `gate` and `h`; that of `x` is `grad` itself.
    fn gate_residual_backward(
        gate: FloatTensor<Self>,
        h: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

fn grouped(tensor: &FloatTensor<Flex>) -> cpu::GroupedRows {
    let shape = tensor.shape();
    cpu::GroupedRows {
        groups: shape[0],
        rows: shape[1],
        channels: shape[2],
    }
}

impl GateResidualOps for Flex {
    fn gate_residual(
        x: FloatTensor<Self>,
        gate: FloatTensor<Self>,
        h: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let [x, gate, h] = [x, gate, h].map(|t| t.to_contiguous());
        let mut out = overwritten(floats(&x).len());
        cpu::gate_residual_forward(grouped(&x), floats(&x), floats(&gate), floats(&h), &mut out);
        tensor(out, x.shape())
    }

    fn gate_residual_backward(
        gate: FloatTensor<Self>,
        h: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let [gate, h, grad] = [gate, h, grad].map(|t| t.to_contiguous());
        let mut d_gate = vec![0.0; floats(&gate).len()];
        let mut d_h = overwritten(floats(&h).len());
        cpu::gate_residual_backward(
            grouped(&h),
            floats(&gate),
            floats(&h),
            floats(&grad),
            &mut d_gate,
            &mut d_h,
        );
        (tensor(d_gate, gate.shape()), tensor(d_h, h.shape()))
    }
}

#[derive(Debug)]
struct GateResidualBackward;

#[derive(Debug, Clone)]
struct GateResidualState<B: GateResidualOps> {
    gate: FloatTensor<B>,
    h: FloatTensor<B>,
}

impl<B: GateResidualOps> Backward<B, 3> for GateResidualBackward {
    type State = GateResidualState<B>;

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let [x, gate, h] = ops.parents;
        let grad = grads.consume::<B>(&ops.node);
        let (d_gate, d_h) = B::gate_residual_backward(ops.state.gate, ops.state.h, grad.clone());
        for (node, grad) in [(x, grad), (gate, d_gate), (h, d_h)] {
            if let Some(node) = node {
                grads.register::<B>(node.id, grad);
            }
        }
    }
}

impl<B: GateResidualOps, C: CheckpointStrategy> GateResidualOps for Autodiff<B, C> {
    fn gate_residual(
        x: FloatTensor<Self>,
        gate: FloatTensor<Self>,
        h: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let (x, x_node) = x.into_parts();
        let (gate, gate_node) = gate.into_parts();
        let (h, h_node) = h.into_parts();
        match GateResidualBackward
            .prepare::<C>([x_node, gate_node, h_node])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => {
                let out = B::gate_residual(x, gate.clone(), h.clone());
                prep.finish(GateResidualState { gate, h }, out)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::gate_residual(x, gate, h)),
        }
    }

    fn gate_residual_backward(
        _gate: FloatTensor<Self>,
        _h: FloatTensor<Self>,
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
        let (x, gate, h) = (random([3, 5, 17]), random([3, 17]), random([3, 5, 17]));
        let ours = gate_residual(x.clone(), gate.clone(), h.clone());
        let plain = composed(x.clone(), gate.clone(), h.clone());
        assert_same(ours, plain, |grads| {
            vec![
                x.grad(grads).map(|g| g.into_data()),
                gate.grad(grads).map(|g| g.into_data()),
                h.grad(grads).map(|g| g.into_data()),
            ]
        });
    }
}
