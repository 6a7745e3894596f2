//! The AdamW step in one pass over memory.

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
    let s = settings;
    let grad = grad * s.grad_scale;
    let moment_1 = moment_1 * s.beta_1 + grad.clone() * (1.0 - s.beta_1);
    let moment_2 = moment_2 * s.beta_2 + grad.square() * (1.0 - s.beta_2);
    let [correction_1, correction_2] = corrections(&s);
    let update = moment_1.clone() / correction_1
        / ((moment_2.clone() / correction_2).sqrt() + s.epsilon);
    let params = params * (1.0 - s.learning_rate * s.weight_decay) - update * s.learning_rate;
    (params, moment_1, moment_2)
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
}
