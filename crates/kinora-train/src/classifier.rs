//! Trains the judges that evaluation applies to generated clips: which subject, which background,
//! which motion, which camera, and in what light, weather and style.
//!
//! They learn from rendered scenes in the autoencoder's linear code, with a little noise on it, and from what moves in them.
//! Every other step shows single pictures instead of clips, as many tokens for far less rendering:
//! motion and camera are learned from clips alone, all else from both.

mod held_out;
mod judges;
mod loss;
mod movement;
mod network;
mod sight;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use burn::tensor::{Device, Distribution, Tensor};
use kinora_data::{Pack, Split, Style};
use kinora_models::weights;

use held_out::held_out_shares;
pub use judges::{Judges, Predictions};
pub(crate) use loss::cross_entropy;
use loss::loss;
pub use network::JudgesConfig;
use network::Network;
use sight::{Seen, Sight};

use crate::corpus::{ClipBatch, Corpus, Shape};
use crate::descent::{self, Course, Descent, Slope};
use crate::run::Run;
use crate::{ClassifierRun, Error, autoencoder};

/// Name of the judges' file in the folder of their run.
const MODEL: &str = "model.safetensors";
/// Deviation of the noise on the latents: decoded clips are not quite like rendered ones.
const LATENT_NOISE: f64 = 0.1;
/// Batches of a held-out check while training.
const CHECK_BATCHES: u32 = 4;
/// Batches of the last one.
const FINAL_BATCHES: u32 = 24;

/// Runs or resumes a training. Stops with a checkpoint when `stop` is set. Instead of sample sheets
/// it logs the accuracy on held-out scenes. The judges are `model.safetensors` in the folder.
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
    let (autoencoder, autoencoder_config) = autoencoder::load(&config.autoencoder, device)?;
    let sight = Sight::of(&autoencoder, &autoencoder_config, device)?;
    let corpus = Corpus::new(pack, Split::Train, config.run.seed, &autoencoder_config)
        .with_even_share(config.even_share);
    fit(config, run, &corpus, sight, device, stop).map(|_| ())
}

/// Judges from their file, or from the folder of the run that trained them.
///
/// # Errors
///
/// A file that is missing or damaged, or one of something else.
pub fn load(path: &Path, device: &Device) -> Result<Judges, Error> {
    let file = match path.is_dir() {
        true => path.join(MODEL),
        false => path.to_owned(),
    };
    let bytes = std::fs::read(&file).map_err(|source| Error::Io { path: file, source })?;
    Judges::from_bytes(&bytes, device)
}

/// The steps of a run.
fn fit(
    config: &ClassifierRun,
    mut run: Run,
    corpus: &Corpus,
    sight: Sight,
    device: &Device,
    stop: &AtomicBool,
) -> Result<Judges, Error> {
    device.seed(config.run.seed);
    let fresh = Network::new(
        config.network,
        sight.code.weight.dims()[1],
        (corpus.pack().len(), Style::ALL.len()),
        &device.clone().autodiff(),
    );
    let descent = Descent::open(&mut run, fresh, |_, fresh| {
        descent::begin(config.from.as_deref(), fresh)
    })?;

    let clips = clips(config);
    let pictures = Shape {
        batch: clips.batch * clips.latent_frames,
        latent_frames: 1,
        anywhere: true,
        anchored: false,
    };
    let shape = move |step: u32| {
        if step.is_multiple_of(2) {
            clips
        } else {
            pictures
        }
    };
    let batches = corpus.stream(descent.step..config.run.steps, move |corpus, step| {
        corpus.batch(step, shape(step))
    });
    let course = ClassifierCourse {
        config,
        corpus,
        sight: &sight,
        device,
    };
    let descent = descent.follow(&course, &mut run, &config.optimizer, &batches, stop)?;
    Ok(course.judges(&descent))
}

struct ClassifierCourse<'a> {
    config: &'a ClassifierRun,
    corpus: &'a Corpus,
    sight: &'a Sight,
    device: &'a Device,
}

impl ClassifierCourse<'_> {
    fn judges(&self, descent: &Descent<Network>) -> Judges {
        Judges {
            sight: self.sight.clone(),
            network: descent.averaged(),
            sizes: self.config.network,
        }
    }
}

impl Course for ClassifierCourse<'_> {
    type Network = Network;
    type Batch = ClipBatch;

    fn slope(&self, network: &Network, batch: ClipBatch, step: u32) -> Result<Slope, Error> {
        self.device.seed(self.config.run.seed ^ u64::from(step));
        let Seen { latents, movement } = self.sight.look(batch.patches(self.device));
        let noise = latents.random_like(Distribution::Normal(0.0, LATENT_NOISE));
        let latents = latents + noise;
        let tokens = latents.dims()[..4].iter().product();
        let moving = latents.dims()[1] > 1;
        let verdict = network.forward(Seen {
            latents: Tensor::from_inner(latents),
            movement: Tensor::from_inner(movement),
        });
        Ok(Slope {
            loss: loss(verdict, &batch.labels, moving, self.device),
            tokens,
            products_per_token: network.products_per_token(),
        })
    }

    fn report(
        &self,
        run: &mut Run,
        descent: &Descent<Network>,
        finished: bool,
    ) -> Result<(), Error> {
        let batches = if finished {
            FINAL_BATCHES
        } else {
            CHECK_BATCHES
        };
        let judges = self.judges(descent);
        weights::write_atomically(&run.folder().join(MODEL), &judges.to_bytes()?)?;
        let shares = held_out_shares(
            &judges,
            self.corpus,
            clips(self.config),
            batches,
            self.device,
        );
        held_out::report(
            run,
            descent.step,
            shares,
            batches as usize * self.config.batch,
        )
    }
}

fn clips(config: &ClassifierRun) -> Shape {
    Shape {
        batch: config.batch,
        latent_frames: config.network.latent_frames,
        anywhere: false,
        anchored: false,
    }
}

#[cfg(test)]
pub(crate) mod tests;
