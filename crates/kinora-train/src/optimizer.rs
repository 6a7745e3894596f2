//! AdamW over a module, gradient clipping and the moving average of the weights.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor, TensorData};
use kinora_kernels::{AdamW, adamw, moving_average, squared_norm};
use kinora_models::weights::{TensorMap, Values, floats};
use serde::{Deserialize, Serialize};

/// Settings of the optimiser.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimizerConfig {
    /// Peak step size.
    pub learning_rate: f32,
    /// Decay of the first moment.
    pub beta_1: f32,
    /// Decay of the second moment.
    pub beta_2: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// Decoupled weight decay of matrices; vectors do not decay.
    pub weight_decay: f32,
    /// Gradients with a larger norm are scaled down to this one.
    pub clip_norm: f32,
    /// Steps of linear warm-up.
    pub warmup_steps: u32,
    /// The last part of the run over which the step size falls to zero, 0 to 1.
    pub decay_share: f32,
    /// Decay of the moving average of the weights.
    pub ema_decay: f32,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self {
            learning_rate: 1e-3,
            beta_1: 0.9,
            beta_2: 0.99,
            epsilon: 1e-8,
            weight_decay: 0.01,
            clip_norm: 1.0,
            warmup_steps: 200,
            decay_share: 0.3,
            ema_decay: 0.999,
        }
    }
}

impl OptimizerConfig {
    /// Warm-up, plateau, then a linear decay to zero (trapezoidal schedule). `progress` is the part
    /// of the run that is done, 0 to 1.
    pub fn learning_rate_at(&self, step: u32, progress: f32) -> f32 {
        let warm = (step as f32 / self.warmup_steps.max(1) as f32).min(1.0);
        let decay = ((1.0 - progress) / self.decay_share.max(1e-6)).clamp(0.0, 1.0);
        self.learning_rate * warm * decay
    }
}

/// Moments and averages of every trained parameter, by its name.
#[derive(Debug, Clone, Default)]
pub struct Optimizer {
    moments: Vec<Moments>,
    /// Steps taken.
    pub step: u32,
}

/// State of one parameter, flat.
#[derive(Debug, Clone)]
struct Moments {
    name: String,
    first: Tensor<1>,
    second: Tensor<1>,
    average: Tensor<1>,
}

impl Optimizer {
    /// One step. Returns the new module and the norm of the gradient before clipping.
    pub fn step<M: Module>(
        &mut self,
        module: M,
        grads: &Gradients,
        config: &OptimizerConfig,
        learning_rate: f32,
    ) -> (M, f32) {
        self.step += 1;
        let norm = gradient_norm(&module, grads);
        let mut stepper = Stepper {
            walk: Walk::default(),
            moments: &mut self.moments,
            grads,
            // Averages of a young run follow it more closely.
            ema_decay: config
                .ema_decay
                .min((1 + self.step) as f32 / (10 + self.step) as f32),
            weight_decay: config.weight_decay,
            settings: AdamW {
                learning_rate,
                beta_1: config.beta_1,
                beta_2: config.beta_2,
                epsilon: config.epsilon,
                weight_decay: 0.0,
                step: self.step,
                grad_scale: (config.clip_norm / norm.max(1e-12)).min(1.0),
            },
        };
        (module.map(&mut stepper), norm)
    }

    /// `module` with the moving average of its trained parameters.
    pub fn averaged<M: Module>(&self, module: M) -> M {
        module.map(&mut Averager {
            walk: Walk::default(),
            moments: &self.moments,
        })
    }

    /// Everything that a resumed run needs, as named tensors.
    pub fn to_tensors(&self) -> TensorMap {
        let mut tensors = TensorMap::new();
        for moments in &self.moments {
            for (kind, tensor) in [
                ("first", &moments.first),
                ("second", &moments.second),
                ("average", &moments.average),
            ] {
                let values = Values {
                    shape: tensor.dims().to_vec(),
                    data: floats(tensor.clone()),
                };
                tensors.insert(format!("{kind}.{}", moments.name), values);
            }
        }
        tensors
    }

    /// The opposite of [`to_tensors`](Self::to_tensors), for the parameters of `module` that train.
    /// Parameters without saved moments start afresh.
    pub fn from_tensors<M: Module>(module: &M, step: u32, tensors: &TensorMap) -> Self {
        let mut restorer = Restorer {
            walk: Walk::default(),
            tensors,
            moments: Vec::new(),
        };
        module.visit(&mut restorer);
        Self {
            moments: restorer.moments,
            step,
        }
    }
}

/// Where in the module tree a visitor stands.
#[derive(Default)]
struct Walk(Vec<String>);

impl Walk {
    fn enter(&mut self, name: &str) {
        self.0.push(name.to_owned());
    }

    fn exit(&mut self) {
        self.0.pop();
    }

    fn name(&self) -> String {
        self.0.join(".")
    }
}

fn gradient_norm<M: Module>(module: &M, grads: &Gradients) -> f32 {
    struct Norm<'a> {
        grads: &'a Gradients,
        squared: f64,
    }
    impl ModuleVisitor for Norm<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(grad) = param.val().grad(self.grads) {
                self.squared += squared_norm(grad);
            }
        }
    }
    let mut norm = Norm {
        grads,
        squared: 0.0,
    };
    module.visit(&mut norm);
    norm.squared.sqrt() as f32
}

struct Stepper<'a> {
    walk: Walk,
    moments: &'a mut Vec<Moments>,
    grads: &'a Gradients,
    ema_decay: f32,
    weight_decay: f32,
    settings: AdamW,
}

impl ModuleMapper for Stepper<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.walk.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.walk.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(grad) = param.val().grad(self.grads) else {
            return param;
        };
        let name = self.walk.name();
        let shape = grad.dims();
        let count: usize = shape.iter().product();
        let settings = AdamW {
            weight_decay: if D > 1 { self.weight_decay } else { 0.0 },
            ..self.settings
        };
        let index = match self.moments.iter().position(|m| m.name == name) {
            Some(index) => index,
            None => {
                let zeros = Tensor::zeros([count], &grad.device());
                self.moments.push(Moments {
                    name,
                    first: zeros.clone(),
                    second: zeros,
                    average: param.val().inner().reshape([count]),
                });
                self.moments.len() - 1
            }
        };
        let moments = &mut self.moments[index];
        let empty = || Tensor::zeros([0], &grad.device());
        let first = std::mem::replace(&mut moments.first, empty());
        let second = std::mem::replace(&mut moments.second, empty());
        let ema_decay = self.ema_decay;
        param.map(|value| {
            let flat = value.inner().reshape([count]);
            let (new, first, second) =
                adamw(flat, first, second, grad.clone().reshape([count]), settings);
            moments.first = first;
            moments.second = second;
            let average = std::mem::replace(&mut moments.average, empty());
            moments.average = moving_average(average, new.clone(), ema_decay);
            Tensor::from_inner(new.reshape(shape)).require_grad()
        })
    }
}

struct Averager<'a> {
    walk: Walk,
    moments: &'a [Moments],
}

impl ModuleMapper for Averager<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.walk.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.walk.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.walk.name();
        let Some(moments) = self.moments.iter().find(|m| m.name == name) else {
            return param;
        };
        param.map(|value| {
            let average = moments.average.clone().reshape(value.dims());
            if value.is_autodiff() {
                Tensor::from_inner(average)
            } else {
                average
            }
        })
    }
}

struct Restorer<'a> {
    walk: Walk,
    tensors: &'a TensorMap,
    moments: Vec<Moments>,
}

impl ModuleVisitor for Restorer<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.walk.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.walk.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let name = self.walk.name();
        let device = param.val().inner().device();
        let saved = |kind: &str| {
            let values = self.tensors.get(&format!("{kind}.{name}"))?;
            let data = TensorData::new(values.data.clone(), values.shape.clone());
            Some(Tensor::from_data(data, &device))
        };
        if let (Some(first), Some(second), Some(average)) =
            (saved("first"), saved("second"), saved("average"))
        {
            self.moments.push(Moments {
                name: name.clone(),
                first,
                second,
                average,
            });
        }
    }
}
