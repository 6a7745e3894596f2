//! Layer norm without learned affine, then scale and shift per group of rows, and its gradient.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::Tensor;
use burn_autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};

use crate::cpu;
use crate::flex::{floats, is_cpu, overwritten, tensor};

/// `norm(x) · (1 + scale) + shift`, where each group of rows has its own scale and shift.
///
/// This is the adaptive layer norm of diffusion transformers (Peebles and Xie, 2022) with one
/// group per latent frame, since each latent frame has its own timestep.
///
/// # Shapes
///
/// - `x`: `[groups, rows, channels]`
/// - `shift`, `scale`: `[groups, channels]`
/// - output: as `x`
pub fn norm_modulate(x: Tensor<3>, shift: Tensor<2>, scale: Tensor<2>, epsilon: f32) -> Tensor<3> {
    if is_cpu(&x.device()) {
        return Tensor::from_dispatch(Dispatch::norm_modulate(
            x.into_dispatch(),
            shift.into_dispatch(),
            scale.into_dispatch(),
            epsilon,
        ));
    }
    composed(x, shift, scale, epsilon)
}

/// The same, of Burn's own operations.
fn composed(x: Tensor<3>, shift: Tensor<2>, scale: Tensor<2>, epsilon: f32) -> Tensor<3> {
    let centred = x.clone() - x.mean_dim(2);
    let variance = centred.clone().square().mean_dim(2);
    let normed = centred / (variance + epsilon).sqrt();
    normed * (scale.unsqueeze_dim(1) + 1.0) + shift.unsqueeze_dim(1)
}

#[backend_extension(Flex, Autodiff)]
pub(crate) trait NormModulateOps: Backend {
    /// Forward pass.
    fn norm_modulate(
        x: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self>;

    /// Forward pass that also returns mean and reciprocal deviation of each row.
    fn norm_modulate_saved(
        x: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        epsilon: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// Gradients of `x`, `shift` and `scale`.
    fn norm_modulate_backward(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        rstd: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

impl NormModulateOps for Flex {
    fn norm_modulate(
        x: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self> {
        Self::norm_modulate_saved(x, shift, scale, epsilon).0
    }

    fn norm_modulate_saved(
        x: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        epsilon: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let [x, shift, scale] = [x, shift, scale].map(|t| t.to_contiguous());
        let shape = x.shape();
        let rows = shape[0] * shape[1];
        let (mut out, mut mean, mut rstd) = (
            overwritten(rows * shape[2]),
            vec![0.0; rows],
            vec![0.0; rows],
        );
        cpu::norm_modulate_forward(
            cpu::GroupedRows {
                groups: shape[0],
                rows: shape[1],
                channels: shape[2],
            },
            floats(&x),
            floats(&shift),
            floats(&scale),
            epsilon,
            &mut out,
            &mut mean,
            &mut rstd,
        );
        (
            tensor(out, shape),
            tensor(mean, [rows]),
            tensor(rstd, [rows]),
        )
    }

    fn norm_modulate_backward(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        rstd: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let [x, scale, grad] = [x, scale, grad].map(|t| t.to_contiguous());
        let shape = x.shape();
        let mut d_x = overwritten(shape.num_elements());
        let mut d_shift = vec![0.0; shape[0] * shape[2]];
        let mut d_scale = vec![0.0; shape[0] * shape[2]];
        cpu::norm_modulate_backward(
            cpu::GroupedRows {
                groups: shape[0],
                rows: shape[1],
                channels: shape[2],
            },
            floats(&x),
            floats(&scale),
            floats(&mean),
            floats(&rstd),
            floats(&grad),
            &mut d_x,
            &mut d_shift,
            &mut d_scale,
        );
        let per_group = scale.shape();
        (
            tensor(d_x, shape),
            tensor(d_shift, per_group.clone()),
            tensor(d_scale, per_group),
        )
    }
}

#[derive(Debug)]
struct NormModulateBackward;

#[derive(Debug, Clone)]
struct NormModulateState<B: NormModulateOps> {
    x: FloatTensor<B>,
    scale: FloatTensor<B>,
    mean: FloatTensor<B>,
    rstd: FloatTensor<B>,
}

impl<B: NormModulateOps> Backward<B, 3> for NormModulateBackward {
    type State = NormModulateState<B>;

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let [x, shift, scale] = ops.parents;
        let grad = grads.consume::<B>(&ops.node);
        let s = ops.state;
        let (d_x, d_shift, d_scale) = B::norm_modulate_backward(s.x, s.scale, s.mean, s.rstd, grad);
        for (node, grad) in [(x, d_x), (shift, d_shift), (scale, d_scale)] {
            if let Some(node) = node {
                grads.register::<B>(node.id, grad);
            }
        }
    }
}

impl<B: NormModulateOps, C: CheckpointStrategy> NormModulateOps for Autodiff<B, C> {
    fn norm_modulate(
        x: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self> {
        let (x, x_node) = x.into_parts();
        let (shift, shift_node) = shift.into_parts();
        let (scale, scale_node) = scale.into_parts();
        match NormModulateBackward
            .prepare::<C>([x_node, shift_node, scale_node])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => {
                let (out, mean, rstd) =
                    B::norm_modulate_saved(x.clone(), shift, scale.clone(), epsilon);
                prep.finish(
                    NormModulateState {
                        x,
                        scale,
                        mean,
                        rstd,
                    },
                    out,
                )
            }
            OpsKind::UnTracked(prep) => prep.finish(B::norm_modulate(x, shift, scale, epsilon)),
        }
    }

    fn norm_modulate_saved(
        _x: FloatTensor<Self>,
        _shift: FloatTensor<Self>,
        _scale: FloatTensor<Self>,
        _epsilon: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        panic!("the kernels differentiate once: no gradient of a gradient")
    }

    fn norm_modulate_backward(
        _x: FloatTensor<Self>,
        _scale: FloatTensor<Self>,
        _mean: FloatTensor<Self>,
        _rstd: FloatTensor<Self>,
        _grad: FloatTensor<Self>,
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
        let (x, shift, scale) = (random([3, 7, 33]), random([3, 33]), random([3, 33]));
        let ours = norm_modulate(x.clone(), shift.clone(), scale.clone(), 1e-6);
        let plain = composed(x.clone(), shift.clone(), scale.clone(), 1e-6);
        assert_same(ours, plain, |grads| {
            vec![
                x.grad(grads).map(|g| g.into_data()),
                shift.grad(grads).map(|g| g.into_data()),
                scale.grad(grads).map(|g| g.into_data()),
            ]
        });
    }
}
