//! Pictures seen through a flow, with the gradients of both.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{Int, Tensor};
use burn_autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};

use crate::cpu::{self, WarpShape};
use crate::flex::{floats, is_cpu, tensor};

/// `out[y, x] = x[y + flow_y, x + flow_x]`, linear between pixels (backward warping, as in Jaderberg et al., 2015). Beyond its
/// borders a picture goes on as it ends.
///
/// # Shapes
///
/// - `x`: `[batch, frames, height, width, channels]`
/// - `flow`: `[batch, frames, height, width, 2]`: pixels to the right and down
/// - output: as `x`
pub fn warp(x: Tensor<5>, flow: Tensor<5>) -> Tensor<5> {
    if is_cpu(&x.device()) {
        return Tensor::from_dispatch(Dispatch::warp(x.into_dispatch(), flow.into_dispatch()));
    }
    composed(x, flow)
}

/// The same, of Burn's own operations.
fn composed(x: Tensor<5>, flow: Tensor<5>) -> Tensor<5> {
    let [batch, frames, height, width, channels] = x.dims();
    let device = x.device();
    let pixels = batch * frames * height * width;
    // Places along an axis of `places` pixels, `repeats` of each before the next: the two pixels, and the second's share.
    let along = |axis: usize, places: usize, repeats: usize| {
        let index = Tensor::<1, Int>::arange(0..pixels as i64, &device);
        let place = (index / repeats as i64).remainder_scalar(places as i64);
        let shift = flow.clone().narrow(4, axis, 1).reshape([pixels]);
        let at = (shift + place.float()).clamp(0.0, (places - 1) as f64);
        let first = at.clone().detach().floor();
        let share = at - first.clone();
        let first = first.int();
        let second = (first.clone() + 1).clamp_max(places as i64 - 1);
        (first, second, share.reshape([pixels, 1]))
    };
    let (left, right, across) = along(0, width, 1);
    let (upper, lower, down) = along(1, height, width);
    let picture = Tensor::<1, Int>::arange(0..pixels as i64, &device) / (height * width) as i64
        * (height * width) as i64;
    let rows = x.reshape([pixels, channels]);
    let pixel = |row: &Tensor<1, Int>, column: &Tensor<1, Int>| {
        let at = picture.clone() + row.clone() * width as i64 + column.clone();
        rows.clone().select(0, at)
    };
    let mix = |a: Tensor<2>, b: Tensor<2>, share: &Tensor<2>| a.clone() + (b - a) * share.clone();
    let top = mix(pixel(&upper, &left), pixel(&upper, &right), &across);
    let bottom = mix(pixel(&lower, &left), pixel(&lower, &right), &across);
    mix(top, bottom, &down).reshape([batch, frames, height, width, channels])
}

#[backend_extension(Flex, Autodiff)]
pub(crate) trait WarpOps: Backend {
    /// Forward pass.
    fn warp(x: FloatTensor<Self>, flow: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Gradients of `x`, empty unless `input_grad`, and of `flow`.
    fn warp_backward(
        x: FloatTensor<Self>,
        flow: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        input_grad: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

fn shape_of(x: &FloatTensor<Flex>) -> WarpShape {
    let shape = x.shape();
    WarpShape {
        pictures: shape[0] * shape[1],
        height: shape[2],
        width: shape[3],
        channels: shape[4],
    }
}

impl WarpOps for Flex {
    fn warp(x: FloatTensor<Self>, flow: FloatTensor<Self>) -> FloatTensor<Self> {
        let [x, flow] = [x, flow].map(|t| t.to_contiguous());
        let mut out = vec![0.0; floats(&x).len()];
        cpu::warp_forward(shape_of(&x), floats(&x), floats(&flow), &mut out);
        tensor(out, x.shape())
    }

    fn warp_backward(
        x: FloatTensor<Self>,
        flow: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        input_grad: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let [x, flow, grad] = [x, flow, grad].map(|t| t.to_contiguous());
        let mut d_x = input_grad.then(|| vec![0.0; floats(&x).len()]);
        let mut d_flow = vec![0.0; floats(&flow).len()];
        cpu::warp_backward(
            shape_of(&x),
            floats(&x),
            floats(&flow),
            floats(&grad),
            d_x.as_deref_mut(),
            &mut d_flow,
        );
        let d_x = match d_x {
            Some(d_x) => tensor(d_x, x.shape()),
            None => tensor(Vec::new(), [0]),
        };
        (d_x, tensor(d_flow, flow.shape()))
    }
}

#[derive(Debug)]
struct WarpBackward;

#[derive(Debug, Clone)]
struct WarpState<B: WarpOps> {
    x: FloatTensor<B>,
    flow: FloatTensor<B>,
}

impl<B: WarpOps> Backward<B, 2> for WarpBackward {
    type State = WarpState<B>;

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let [x, flow] = ops.parents;
        let grad = grads.consume::<B>(&ops.node);
        let (d_x, d_flow) = B::warp_backward(ops.state.x, ops.state.flow, grad, x.is_some());
        for (node, grad) in [(x, d_x), (flow, d_flow)] {
            if let Some(node) = node {
                grads.register::<B>(node.id, grad);
            }
        }
    }
}

impl<B: WarpOps, C: CheckpointStrategy> WarpOps for Autodiff<B, C> {
    fn warp(x: FloatTensor<Self>, flow: FloatTensor<Self>) -> FloatTensor<Self> {
        let (x, x_node) = x.into_parts();
        let (flow, flow_node) = flow.into_parts();
        match WarpBackward
            .prepare::<C>([x_node, flow_node])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => {
                let out = B::warp(x.clone(), flow.clone());
                prep.finish(WarpState { x, flow }, out)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::warp(x, flow)),
        }
    }

    fn warp_backward(
        _x: FloatTensor<Self>,
        _flow: FloatTensor<Self>,
        _grad: FloatTensor<Self>,
        _input_grad: bool,
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
        let (x, flow) = (random([2, 3, 5, 7, 4]), random([2, 3, 5, 7, 2]));
        // Some look beyond the border.
        let far = || flow.clone() * 5.0;
        let ours = warp(x.clone(), far());
        let plain = composed(x.clone(), far());
        assert_same(ours, plain, |grads| {
            vec![
                x.grad(grads).map(|g| g.into_data()),
                flow.grad(grads).map(|g| g.into_data()),
            ]
        });
    }
}
