//! Channels-last convolution over frames, rows and columns, and its gradient.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Tensor, activation, module};
use burn_autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};

use crate::cpu::{self, Activation, Conv3dShape, Precision};
use crate::flex::{floats, is_cpu, overwritten, tensor};

/// `activation(conv(x, weight) + bias)` with stride 1: zero padding keeps rows and columns, frames
/// are not padded. The caller supplies the frames before a causal convolution.
///
/// # Shapes
///
/// - `x`: `[batch, frames + kernel_frames − 1, height, width, channels_in]`
/// - `weight`: `[kernel_frames, kernel_height, kernel_width, channels_in, channels_out]`, odd height
///   and width
/// - `bias`: `[channels_out]`
/// - output: `[batch, frames, height, width, channels_out]`
pub fn conv3d(
    x: Tensor<5>,
    weight: Tensor<5>,
    bias: Tensor<1>,
    activation: Activation,
    precision: Precision,
) -> Tensor<5> {
    let [_, height, width, _, _] = weight.dims();
    let steps = ConvSteps {
        stride: [1; 3],
        padding: [height / 2, width / 2],
    };
    let options = Options {
        steps,
        activation,
        precision,
    };
    convolve(x, weight, bias, options)
}

/// How a convolution moves over what goes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvSteps {
    /// ConvSteps along frames, rows and columns.
    pub stride: [usize; 3],
    /// Zeros on both sides of rows and of columns.
    pub padding: [usize; 2],
}

/// `conv(x, weight) + bias` with strides. Frames are not padded.
///
/// # Shapes
///
/// - `x`: `[batch, frames_in, height_in, width_in, channels_in]`
/// - `weight`: `[kernel_frames, kernel_height, kernel_width, channels_in, channels_out]`
/// - `bias`: `[channels_out]`
/// - output: `[batch, frames, height, width, channels_out]`, each axis `(in + 2 · padding − kernel) / stride + 1`
pub fn conv3d_strided(
    x: Tensor<5>,
    weight: Tensor<5>,
    bias: Tensor<1>,
    steps: ConvSteps,
    precision: Precision,
) -> Tensor<5> {
    let options = Options {
        steps,
        activation: Activation::None,
        precision,
    };
    convolve(x, weight, bias, options)
}

fn convolve(x: Tensor<5>, weight: Tensor<5>, bias: Tensor<1>, options: Options) -> Tensor<5> {
    if is_cpu(&x.device()) {
        return Tensor::from_dispatch(Dispatch::conv3d_channels_last(
            x.into_dispatch(),
            weight.into_dispatch(),
            bias.into_dispatch(),
            options,
        ));
    }
    composed(x, weight, bias, options)
}

/// The same, of Burn's own operations.
fn composed(x: Tensor<5>, weight: Tensor<5>, bias: Tensor<1>, options: Options) -> Tensor<5> {
    let [rows, columns] = options.steps.padding;
    let y = module::conv3d(
        x.permute([0, 4, 1, 2, 3]),
        weight.permute([4, 3, 0, 1, 2]),
        Some(bias),
        ConvOptions::new(options.steps.stride, [0, rows, columns], [1; 3], 1),
    )
    .permute([0, 2, 3, 4, 1]);
    match options.activation {
        Activation::None => y,
        Activation::GeluTanh => activation::gelu_approximate(y),
        Activation::Silu => activation::silu(y),
    }
}

/// Where and how the products are computed, and what follows them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    steps: ConvSteps,
    activation: Activation,
    precision: Precision,
}

#[backend_extension(Flex, Autodiff)]
pub(crate) trait Conv3dOps: Backend {
    /// Forward pass.
    fn conv3d_channels_last(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        options: Options,
    ) -> FloatTensor<Self>;

    /// Gradients of `x`, `weight` and `bias`. The pre-activation is computed again.
    fn conv3d_channels_last_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        options: Options,
        input_grad: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

fn shape_of(x: &FloatTensor<Flex>, weight: &FloatTensor<Flex>, steps: ConvSteps) -> Conv3dShape {
    let (x, w) = (x.shape(), weight.shape());
    Conv3dShape {
        batch: x[0],
        frames_in: x[1],
        frames_before: 0,
        height: x[2],
        width: x[3],
        channels_in: x[4],
        channels_out: w[4],
        kernel: [w[0], w[1], w[2]],
        stride: steps.stride,
        padding: steps.padding,
    }
}

impl Conv3dOps for Flex {
    fn conv3d_channels_last(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        options: Options,
    ) -> FloatTensor<Self> {
        let [x, weight, bias] = [x, weight, bias].map(|t| t.to_contiguous());
        let shape = shape_of(&x, &weight, options.steps);
        let [frames, height, width] = shape.size_out();
        let sizes = [shape.batch, frames, height, width, shape.channels_out];
        let mut out = overwritten(sizes.iter().product());
        cpu::conv3d_forward(
            shape,
            floats(&x),
            floats(&weight),
            Some(floats(&bias)),
            options.activation,
            &mut out,
            options.precision,
        );
        tensor(out, sizes)
    }

    fn conv3d_channels_last_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        options: Options,
        input_grad: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let [x, weight, bias, grad] = [x, weight, bias, grad].map(|t| t.to_contiguous());
        let grad = match options.activation {
            Activation::None => grad,
            activation => {
                let plain = Options {
                    activation: Activation::None,
                    ..options
                };
                let before =
                    Self::conv3d_channels_last(x.clone(), weight.clone(), bias.clone(), plain);
                let mut through = overwritten(floats(&grad).len());
                cpu::activation_backward(activation, floats(&before), floats(&grad), &mut through);
                tensor(through, grad.shape())
            }
        };
        let shape = shape_of(&x, &weight, options.steps);
        let mut d_x = overwritten(if input_grad { floats(&x).len() } else { 0 });
        let mut d_weight = overwritten(floats(&weight).len());
        let mut d_bias = vec![0.0; shape.channels_out];
        let g = floats(&grad);
        if input_grad {
            cpu::conv3d_backward_input(shape, floats(&weight), g, &mut d_x, options.precision);
        }
        cpu::conv3d_backward_weight(shape, floats(&x), g, &mut d_weight, options.precision);
        cpu::sum_rows(g, shape.channels_out, &mut d_bias);
        let d_x = if input_grad {
            tensor(d_x, x.shape())
        } else {
            tensor(d_x, [0])
        };
        (
            d_x,
            tensor(d_weight, weight.shape()),
            tensor(d_bias, bias.shape()),
        )
    }
}

#[derive(Debug)]
struct Conv3dBackward;

#[derive(Debug, Clone)]
struct Conv3dState<B: Conv3dOps> {
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: FloatTensor<B>,
    options: Options,
}

impl<B: Conv3dOps> Backward<B, 3> for Conv3dBackward {
    type State = Conv3dState<B>;

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let [x, weight, bias] = ops.parents;
        let grad = grads.consume::<B>(&ops.node);
        let s = ops.state;
        let (d_x, d_weight, d_bias) =
            B::conv3d_channels_last_backward(s.x, s.weight, s.bias, grad, s.options, x.is_some());
        for (node, grad) in [(x, d_x), (weight, d_weight), (bias, d_bias)] {
            if let Some(node) = node {
                grads.register::<B>(node.id, grad);
            }
        }
    }
}

impl<B: Conv3dOps, C: CheckpointStrategy> Conv3dOps for Autodiff<B, C> {
    fn conv3d_channels_last(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        options: Options,
    ) -> FloatTensor<Self> {
        let (x, x_node) = x.into_parts();
        let (weight, weight_node) = weight.into_parts();
        let (bias, bias_node) = bias.into_parts();
        match Conv3dBackward
            .prepare::<C>([x_node, weight_node, bias_node])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => {
                let out = B::conv3d_channels_last(x.clone(), weight.clone(), bias.clone(), options);
                let state = Conv3dState {
                    x,
                    weight,
                    bias,
                    options,
                };
                prep.finish(state, out)
            }
            OpsKind::UnTracked(prep) => {
                prep.finish(B::conv3d_channels_last(x, weight, bias, options))
            }
        }
    }

    fn conv3d_channels_last_backward(
        _x: FloatTensor<Self>,
        _weight: FloatTensor<Self>,
        _bias: FloatTensor<Self>,
        _grad: FloatTensor<Self>,
        _options: Options,
        _input_grad: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        panic!("the kernels differentiate once: no gradient of a gradient")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_same, random};

    fn check(x: [usize; 5], kernel: [usize; 3], options: Options) {
        let [kt, kh, kw] = kernel;
        let (x, w, b) = (random(x), random([kt, kh, kw, x[4], 4]), random([4]));
        let ours = convolve(x.clone(), w.clone(), b.clone(), options);
        let plain = composed(x.clone(), w.clone(), b.clone(), options);
        assert_eq!(ours.dims(), plain.dims());
        assert_same(ours, plain, |grads| {
            vec![
                x.grad(grads).map(|g| g.into_data()),
                w.grad(grads).map(|g| g.into_data()),
                b.grad(grads).map(|g| g.into_data()),
            ]
        });
    }

    #[test]
    fn agrees_with_composition() {
        for (taps, activation) in [(1, Activation::Silu), (2, Activation::None)] {
            let options = Options {
                steps: ConvSteps {
                    stride: [1; 3],
                    padding: [1; 2],
                },
                activation,
                precision: Precision::F32,
            };
            check([2, 3, 5, 7, 6], [taps, 3, 3], options);
        }
    }

    #[test]
    fn strides_agree_with_composition() {
        for (kernel, stride, padding) in [
            ([1, 3, 3], [1, 2, 2], [0; 2]),
            ([3, 1, 1], [2, 1, 1], [0; 2]),
            ([2, 3, 3], [1, 2, 3], [1; 2]),
        ] {
            let options = Options {
                steps: ConvSteps { stride, padding },
                activation: Activation::None,
                precision: Precision::F32,
            };
            check([2, 5, 6, 7, 3], kernel, options);
        }
    }

    #[test]
    fn unit_steps_are_the_plain_convolution() {
        let (x, w, b) = (
            random([1, 3, 4, 5, 2]),
            random([2, 3, 3, 2, 3]),
            random([3]),
        );
        let plain = conv3d(
            x.clone(),
            w.clone(),
            b.clone(),
            Activation::None,
            Precision::F32,
        );
        let steps = ConvSteps {
            stride: [1; 3],
            padding: [1; 2],
        };
        let strided = conv3d_strided(x, w, b, steps, Precision::F32);
        assert_eq!(plain.dims(), [1, 2, 4, 5, 3]);
        crate::testing::assert_close(strided.into_data(), plain.into_data());
    }
}
