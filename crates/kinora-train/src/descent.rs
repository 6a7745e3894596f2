//! The loop that every run goes through: draw, differentiate, step, record, save.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kinora_kernels::{Precision, cpu};
use kinora_models::weights::{self, TensorMap};

use crate::run::{Run, StepMetrics};
use crate::{Error, Optimizer, OptimizerConfig};

/// The processor's peak is measured for so long.
const PEAK_TIME: Duration = Duration::from_millis(100);

/// What a run trains, and how it is shown.
pub(crate) trait Course {
    /// The network that descends.
    type Network: Module;
    /// What a step learns from.
    type Batch;

    /// The loss of a batch.
    ///
    /// # Errors
    ///
    /// A batch that cannot be used.
    fn slope(&self, network: &Self::Network, batch: Self::Batch, step: u32)
    -> Result<Slope, Error>;

    /// Shows how far the run has come; `finished` is the last time.
    ///
    /// # Errors
    ///
    /// Files that cannot be written.
    fn report(
        &self,
        run: &mut Run,
        descent: &Descent<Self::Network>,
        finished: bool,
    ) -> Result<(), Error>;
}

/// `fresh` with the parameters of the model file that a run starts from, if one is named, where they have the same name and size.
///
/// # Errors
///
/// A file that cannot be read, or that has none of them.
pub(crate) fn begin<M: Module>(from: Option<&Path>, fresh: M) -> Result<M, Error> {
    let Some(path) = from else { return Ok(fresh) };
    let bytes = std::fs::read(path).map_err(|source| Error::Io {
        path: path.to_owned(),
        source,
    })?;
    let (tensors, _) = weights::from_bytes(&bytes)?;
    let names = weights::collect(&fresh, "model");
    match names.keys().find(|&name| tensors.contains_key(name)) {
        Some(_) => taking(fresh, &tensors),
        None => Err(Error::Model(kinora_models::Error::Format(format!(
            "{} has nothing that this run trains",
            path.display()
        )))),
    }
}

/// `fresh` with the parameters of `trained` that have the same name and size there.
///
/// # Errors
///
/// None that can be foreseen: what is taken fits.
pub(crate) fn taking<M: Module>(fresh: M, trained: &TensorMap) -> Result<M, Error> {
    let mut first = weights::collect(&fresh, "model");
    for (name, values) in &mut first {
        match trained.get(name) {
            Some(known) if known.shape == values.shape => *values = known.clone(),
            _ => {}
        }
    }
    Ok(weights::assign(fresh, "model", &first)?)
}

/// The loss of one step, and what it takes.
pub(crate) struct Slope {
    pub(crate) loss: Tensor<1>,
    /// Latent tokens of the batch.
    pub(crate) tokens: usize,
    /// Multiply-adds of the network's products for each of them.
    pub(crate) products_per_token: usize,
}

/// A network on its way down.
pub(crate) struct Descent<M> {
    pub(crate) network: M,
    pub(crate) optimizer: Optimizer,
    /// Steps taken.
    pub(crate) step: u32,
}

impl<M: Module> Descent<M> {
    /// Goes on from the run's checkpoint with `fresh` as its frame, or begins with what `first` makes
    /// of it.
    ///
    /// # Errors
    ///
    /// A checkpoint of other sizes, and those of `first`.
    pub(crate) fn open(
        run: &mut Run,
        fresh: M,
        first: impl FnOnce(&Run, M) -> Result<M, Error>,
    ) -> Result<Self, Error> {
        if fresh
            .devices()
            .iter()
            .all(|device| *device == Device::flex())
        {
            run.measure_against(cpu::peak_gflops(Precision::Bf16, PEAK_TIME));
        }
        let Some((step, tensors)) = run.resume()? else {
            return Ok(Self {
                network: first(run, fresh)?,
                optimizer: Optimizer::default(),
                step: 0,
            });
        };
        let network = weights::assign(fresh, "model", &tensors)?;
        Ok(Self {
            optimizer: Optimizer::from_tensors(&network, step, &tensors),
            network,
            step,
        })
    }

    /// The network with the moving average of its weights, for use.
    pub(crate) fn averaged(&self) -> M {
        self.optimizer.averaged(self.network.valid())
    }

    /// Writes a checkpoint.
    ///
    /// # Errors
    ///
    /// A disk that is full or cannot be written.
    pub(crate) fn save(&self, run: &Run) -> Result<(), Error> {
        let mut tensors = self.optimizer.to_tensors();
        tensors.extend(weights::collect(&self.network, "model"));
        run.checkpoint(self.step, &tensors)
    }

    /// Takes the steps that are left of the run.
    ///
    /// # Errors
    ///
    /// A loss that is not a number, a disk that cannot be written, and [`Error::Stopped`] after a
    /// checkpoint when `stop` is set.
    pub(crate) fn follow<C: Course<Network = M>>(
        mut self,
        course: &C,
        run: &mut Run,
        settings: &OptimizerConfig,
        batches: &Receiver<C::Batch>,
        stop: &AtomicBool,
    ) -> Result<Self, Error> {
        while run.progress(self.step) < 1.0 {
            let batch = batches.recv().expect("the renderer draws every step");
            self.step += 1;
            let slope = course.slope(&self.network, batch, self.step)?;
            let loss = slope.loss.clone().into_scalar::<f32>();
            let grads = slope.loss.backward();
            let learning_rate = settings.learning_rate_at(self.step, run.progress(self.step));
            let (network, gradient_norm) =
                self.optimizer
                    .step(self.network, &grads, settings, learning_rate);
            self.network = network;
            // Forward, and backward for inputs and weights: each a multiplication and an addition.
            let flops = 6.0 * slope.tokens as f64 * slope.products_per_token as f64;
            run.record(StepMetrics {
                step: self.step,
                loss,
                gradient_norm,
                learning_rate,
                tokens: slope.tokens,
                flops,
            })?;
            let (checkpoint, report) = run.due(self.step);
            let stopping = stop.load(Ordering::Relaxed);
            if checkpoint || stopping {
                self.save(run)?;
            }
            if stopping {
                return Err(Error::Stopped);
            }
            if report {
                course.report(run, &self, false)?;
            }
        }
        self.save(run)?;
        course.report(run, &self, true)?;
        run.finish();
        Ok(self)
    }
}
