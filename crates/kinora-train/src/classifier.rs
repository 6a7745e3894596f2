//! Trains the judges that evaluation applies to generated clips: which subject, which background,
//! which motion, which camera.
//!
//! They learn from rendered scenes in the autoencoder's linear code, with a little noise on it.
//! Every other step shows single pictures instead of clips, as many tokens for far less rendering:
//! subject and background are learned from both, motion and camera from clips alone.

mod code;
mod held_out;
mod judges;
mod loss;
mod network;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::module::Module;
use burn::tensor::{Device, Distribution, Tensor};
use kinora_data::{Pack, Split};
use kinora_models::layers::Linear;
use kinora_models::weights;

use code::{linear_code, linear_of};
use held_out::report;
pub use judges::{Judges, Predictions};
use loss::loss;
use network::{Network, Sizes};

use crate::corpus::{Corpus, Shape};
use crate::run::{Run, StepMetrics};
use crate::{ClassifierRun, Error, Optimizer, autoencoder};

/// Deviation of the noise on the latents: decoded clips are not quite like rendered ones.
const LATENT_NOISE: f64 = 0.1;
/// Batches of a held-out check while training.
const CHECK_BATCHES: u32 = 4;
/// Batches of the last one.
const FINAL_BATCHES: u32 = 24;

/// Runs or resumes a training. Stops with a checkpoint when `stop` is set. Instead of sample sheets
/// it logs the accuracy on held-out scenes.
///
/// # Errors
///
/// Files that cannot be used, a loss that is not a number, [`Error::Stopped`].
pub fn train(
    config: &ClassifierRun,
    folder: &Path,
    device: &Device,
    stop: &AtomicBool,
) -> Result<(), Error> {
    let run = Run::open(folder, &config.run, config)?;
    let pack = Arc::new(Pack::open(&config.run.pack)?);
    let (autoencoder, autoencoder_run) = autoencoder::load(&config.autoencoder, device)?;
    let code = linear_code(&autoencoder, device)?;
    let corpus = Corpus::new(pack, Split::Train, config.run.seed, &autoencoder_run.model);
    fit(config, run, &corpus, code, device, stop).map(|_| ())
}

/// The averaged judges of a run.
///
/// # Errors
///
/// A folder without a checkpoint, or with one of other sizes.
pub fn load(folder: &Path, device: &Device) -> Result<Judges, Error> {
    let config: ClassifierRun = crate::config::read(&folder.join("config.toml"))?;
    let mut run = Run::open(folder, &config.run, &config)?;
    let Some((step, tensors)) = run.resume()? else {
        return Err(Error::Config {
            path: folder.to_owned(),
            reason: "it has no checkpoint; train the classifier first".into(),
        });
    };
    let code = linear_of(&tensors, "code", device)?;
    let subjects = linear_of(&tensors, "model.subject", device)?.weight.dims()[1];
    let fresh = Network::new(&sizes(&config, &code, subjects), device);
    let network = weights::assign(fresh, "model", &tensors)?;
    let optimizer = Optimizer::from_tensors(&network, step, &tensors);
    Ok(Judges {
        code,
        network: optimizer.averaged(network),
        latent_frames: config.latent_frames,
    })
}

/// The steps of a run.
fn fit(
    config: &ClassifierRun,
    mut run: Run,
    corpus: &Corpus,
    code: Linear,
    device: &Device,
    stop: &AtomicBool,
) -> Result<Judges, Error> {
    device.seed(config.run.seed);
    let sizes = sizes(config, &code, corpus.pack().len());
    let fresh = Network::new(&sizes, &device.clone().autodiff());
    let (mut network, mut optimizer, mut step) = match run.resume()? {
        Some((step, tensors)) => {
            let network = weights::assign(fresh, "model", &tensors)?;
            let optimizer = Optimizer::from_tensors(&network, step, &tensors);
            (network, optimizer, step)
        }
        None => (fresh, Optimizer::default(), 0),
    };
    let judges = |network: &Network, optimizer: &Optimizer| Judges {
        code: code.clone(),
        network: optimizer.averaged(network.valid()),
        latent_frames: config.latent_frames,
    };

    let clips = clips(config);
    let pictures = Shape {
        batch: clips.batch * clips.latent_frames,
        latent_frames: 1,
        anywhere: true,
    };
    let shape = move |step: u32| {
        if step.is_multiple_of(2) {
            clips
        } else {
            pictures
        }
    };
    let batches = corpus.stream(step..config.run.steps, shape);
    while step < config.run.steps && run.progress(step) < 1.0 {
        let Ok(batch) = batches.recv() else { break };
        step += 1;
        device.seed(config.run.seed ^ u64::from(step));
        let latents = code.forward(batch.patches(device));
        let noise = latents.random_like(Distribution::Normal(0.0, LATENT_NOISE));
        let latents = latents + noise;
        let tokens: usize = latents.dims()[..4].iter().product();
        let moving = latents.dims()[1] > 1;
        let flops = 6.0 * tokens as f64 * network.products_per_token() as f64;
        let verdict = network.forward(Tensor::from_inner(latents));
        let loss = loss(verdict, &batch.labels, moving, device);
        let value = loss.clone().into_scalar::<f32>();
        let grads = loss.backward();
        let learning_rate = config.optimizer.learning_rate_at(step, run.progress(step));
        let (next, gradient_norm) =
            optimizer.step(network, &grads, &config.optimizer, learning_rate);
        network = next;
        run.record(StepMetrics {
            step,
            loss: value,
            gradient_norm,
            learning_rate,
            tokens,
            flops,
        })?;
        let (checkpoint, samples) = run.due(step);
        let stopping = stop.load(Ordering::Relaxed);
        if checkpoint || stopping {
            save(&run, step, &network, &code, &optimizer)?;
        }
        if stopping {
            return Err(Error::Stopped);
        }
        if samples {
            let judges = judges(&network, &optimizer);
            report(
                &mut run,
                step,
                &judges,
                corpus,
                config,
                CHECK_BATCHES,
                device,
            )?;
        }
    }
    save(&run, step, &network, &code, &optimizer)?;
    let judges = judges(&network, &optimizer);
    report(
        &mut run,
        step,
        &judges,
        corpus,
        config,
        FINAL_BATCHES,
        device,
    )?;
    run.finish();
    Ok(judges)
}

fn clips(config: &ClassifierRun) -> Shape {
    Shape {
        batch: config.batch,
        latent_frames: config.latent_frames,
        anywhere: false,
    }
}

fn sizes(config: &ClassifierRun, code: &Linear, subjects: usize) -> Sizes {
    Sizes {
        latent_channels: code.weight.dims()[1],
        subjects,
        width: config.width,
        depth: config.depth,
        heads: config.heads,
    }
}

fn save(
    run: &Run,
    step: u32,
    network: &Network,
    code: &Linear,
    optimizer: &Optimizer,
) -> Result<(), Error> {
    let mut tensors = optimizer.to_tensors();
    tensors.extend(weights::collect(network, "model"));
    tensors.extend(weights::collect(code, "code"));
    run.checkpoint(step, &tensors)
}

#[cfg(test)]
pub(crate) mod tests;
