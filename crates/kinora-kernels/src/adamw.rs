//! What an optimiser does to each parameter, each in one pass over memory: the AdamW step, the moving
//! average, and the norm of a gradient.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::Tensor;

use crate::cpu;
use crate::flex::{floats, is_cpu};

/// Settings of one step of AdamW (Loshchilov and Hutter, 2019).
#[derive(Debug, Clone, Copy)]
pub struct AdamW {
    /// Step size.
    pub learning_rate: f32,
    /// Decay of the first moment.
    pub beta_1: f32,
    /// Decay of the second moment.
    pub beta_2: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// Number of this step, from 1: the bias corrections follow from it.
    pub step: u32,
    /// The gradient is multiplied by this first (gradient clipping).
    pub grad_scale: f32,
}

/// One step: returns the new parameters and moments. In place where the tensors are not shared.
///
/// # Shapes
///
/// All four tensors have the same shape.
pub fn adamw<const D: usize>(
    params: Tensor<D>,
    moment_1: Tensor<D>,
    moment_2: Tensor<D>,
    grad: Tensor<D>,
    settings: AdamW,
) -> (Tensor<D>, Tensor<D>, Tensor<D>) {
    if is_cpu(&params.device()) {
        let (params, moment_1, moment_2) = Dispatch::adamw(
            params.into_dispatch(),
            moment_1.into_dispatch(),
            moment_2.into_dispatch(),
            grad.into_dispatch(),
            settings,
        );
        return (
            Tensor::from_dispatch(params),
            Tensor::from_dispatch(moment_1),
            Tensor::from_dispatch(moment_2),
        );
    }
    composed(params, moment_1, moment_2, grad, settings)
}

/// The same, of Burn's own operations.
fn composed<const D: usize>(
    params: Tensor<D>,
    moment_1: Tensor<D>,
    moment_2: Tensor<D>,
    grad: Tensor<D>,
    s: AdamW,
) -> (Tensor<D>, Tensor<D>, Tensor<D>) {
    let grad = grad * s.grad_scale;
    let moment_1 = moment_1 * s.beta_1 + grad.clone() * (1.0 - s.beta_1);
    let moment_2 = moment_2 * s.beta_2 + grad.square() * (1.0 - s.beta_2);
    let [correction_1, correction_2] = corrections(&s);
    let update =
        moment_1.clone() / correction_1 / ((moment_2.clone() / correction_2).sqrt() + s.epsilon);
    let params = params * (1.0 - s.learning_rate * s.weight_decay) - update * s.learning_rate;
    (params, moment_1, moment_2)
}

/// `average + (1 − decay) · (params − average)`, in place where `average` is not shared.
pub fn moving_average<const D: usize>(
    average: Tensor<D>,
    params: Tensor<D>,
    decay: f32,
) -> Tensor<D> {
    if is_cpu(&params.device()) {
        let (average, params) = (average.into_dispatch(), params.into_dispatch());
        return Tensor::from_dispatch(Dispatch::moving_average(average, params, decay));
    }
    average.clone() + (params - average) * (1.0 - decay)
}

/// Sum of the squares of all elements, in f64.
pub fn squared_norm<const D: usize>(tensor: Tensor<D>) -> f64 {
    if is_cpu(&tensor.device()) {
        let halves = Dispatch::squared_norm(tensor.into_dispatch());
        let halves: Vec<f32> = Tensor::<1>::from_dispatch(halves)
            .into_data()
            .try_into_vec()
            .expect("the kernel gives f32");
        return f64::from(halves[0]) + f64::from(halves[1]);
    }
    f64::from(tensor.square().sum().into_scalar::<f32>())
}

fn corrections(s: &AdamW) -> [f32; 2] {
    [s.beta_1, s.beta_2].map(|beta| (1.0 - f64::from(beta).powi(s.step as i32)) as f32)
}

#[backend_extension(Flex)]
pub(crate) trait AdamWOps: Backend {
    /// One step, see [`adamw`].
    fn adamw(
        params: FloatTensor<Self>,
        moment_1: FloatTensor<Self>,
        moment_2: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        settings: AdamW,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// See [`moving_average`].
    fn moving_average(
        average: FloatTensor<Self>,
        params: FloatTensor<Self>,
        decay: f32,
    ) -> FloatTensor<Self>;

    /// See [`squared_norm`]: `[2]`, the sum rounded to f32 and what the rounding left.
    fn squared_norm(tensor: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl AdamWOps for Flex {
    fn adamw(
        params: FloatTensor<Self>,
        moment_1: FloatTensor<Self>,
        moment_2: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        settings: AdamW,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let grad = grad.to_contiguous();
        let [mut params, mut moment_1, mut moment_2] =
            [params, moment_1, moment_2].map(|t| t.to_contiguous());
        let [bias_correction_1, bias_correction_2] = corrections(&settings);
        let elements = params.shape().num_elements();
        cpu::adamw_step(
            &mut params.storage_mut::<f32>()[..elements],
            &mut moment_1.storage_mut::<f32>()[..elements],
            &mut moment_2.storage_mut::<f32>()[..elements],
            floats(&grad),
            cpu::AdamWStep {
                learning_rate: settings.learning_rate,
                beta_1: settings.beta_1,
                beta_2: settings.beta_2,
                epsilon: settings.epsilon,
                weight_decay: settings.weight_decay,
                bias_correction_1,
                bias_correction_2,
                grad_scale: settings.grad_scale,
            },
        );
        (params, moment_1, moment_2)
    }

    fn moving_average(
        average: FloatTensor<Self>,
        params: FloatTensor<Self>,
        decay: f32,
    ) -> FloatTensor<Self> {
        let (mut average, params) = (average.to_contiguous(), params.to_contiguous());
        let elements = params.shape().num_elements();
        let target = &mut average.storage_mut::<f32>()[..elements];
        cpu::ema_update(target, floats(&params), decay);
        average
    }

    fn squared_norm(tensor: FloatTensor<Self>) -> FloatTensor<Self> {
        let sum = cpu::squared_norm(floats(&tensor.to_contiguous()));
        let rounded = sum as f32;
        crate::flex::tensor(vec![rounded, (sum - f64::from(rounded)) as f32], [2])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, random};

    #[test]
    fn agrees_with_composition() {
        let values = || random::<2>([5, 33]).inner();
        let (params, first, second, grad) = (values(), values(), values().abs(), values());
        let settings = AdamW {
            learning_rate: 1e-2,
            beta_1: 0.9,
            beta_2: 0.99,
            epsilon: 1e-8,
            weight_decay: 0.1,
            step: 3,
            grad_scale: 0.5,
        };
        let state = || (params.clone(), first.clone(), second.clone());
        let (p, m, v) = state();
        let ours = adamw(p, m, v, grad.clone(), settings);
        let (p, m, v) = state();
        let plain = composed(p, m, v, grad, settings);
        for (ours, plain) in [(ours.0, plain.0), (ours.1, plain.1), (ours.2, plain.2)] {
            assert_close(ours.into_data(), plain.into_data());
        }
    }
}
