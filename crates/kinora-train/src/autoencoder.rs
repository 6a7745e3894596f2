//! Fits the linear code in closed form, then trains the decoder by gradient descent.

mod basis;
mod beside;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kinora_data::{Pack, Split};
use kinora_models::mini::Mini;
use kinora_models::mini::autoencoder::{Autoencoder, DecodeState};
use kinora_models::mini::config::AutoencoderConfig;
use kinora_models::weights;
use serde_json::json;

use basis::Basis;
use beside::{Degrading, lost};

use crate::corpus::{ClipBatch, Corpus, Shape};
use crate::descent::{Course, Descent, Slope};
use crate::evaluate::AutoencoderQuality;
use crate::given::Shares;
use crate::quality::mean_ssim;
use crate::run::Run;
use crate::transformer::open_model;
use crate::{AutoencoderRun, Error, Optimizer, lexicon, places};

/// Where a model file holds its autoencoder.
const MODEL_PREFIX: &str = "model.autoencoder";
/// And there what looks at plates.
const GATES_PREFIX: &str = "model.autoencoder.reference.";
/// Scenes of the held-out evaluation: the figures of sets of 24 differ by 3 dB, as sketches and fast subjects are many or few.
const EVALUATION_SCENES: u32 = 96;

/// Runs or resumes a training. Stops with a checkpoint when `stop` is set.
///
/// # Errors
///
/// Files that cannot be used, a loss that is not a number, [`Error::Stopped`].
pub fn train(
    config: &AutoencoderRun,
    folder: &Path,
    device: &Device,
    stop: &AtomicBool,
) -> Result<(), Error> {
    let mut run = Run::open(folder, &config.run, config)?;
    let pack = Arc::new(Pack::open(&config.run.pack)?);
    let corpus = Corpus::new(pack.clone(), Split::Train, config.run.seed, &config.model)
        .with_even_share(config.even_share);
    let denoiser = denoiser(config, folder, device)?;
    let corpus = if config.model.gate_channels.is_some() || denoiser.is_some() {
        let shares = Shares {
            given: config.given_share,
            remixed: config.remix_share,
            regions: config.region_share,
        };
        staged(corpus, shares)
    } else {
        corpus
    };
    let shape = Shape {
        batch: config.batch,
        latent_frames: config.latent_frames,
        anywhere: true,
        anchored: false,
    };
    device.seed(config.run.seed);
    let training_device = device.clone().autodiff();
    let fresh = Autoencoder::new(&config.model, &training_device).freeze_basis();

    let descent = Descent::open(&mut run, fresh, |run, fresh| {
        Ok(first_model(config, fresh, run, &corpus, device)?.freeze_basis())
    })?;
    if descent.step == 0 {
        // The linear code is settled: from here on other runs can build on it.
        descent.save(&run)?;
        let found = evaluate(&descent.network.valid(), &corpus, device);
        run.say(&format!("held-out before training: {found}"));
    }
    // The linear code stays.
    let code = descent.network.valid();
    let course = AutoencoderCourse {
        degrading: Degrading {
            config,
            code: &code,
            denoiser: denoiser.as_ref(),
            device,
        },
        corpus: &corpus,
    };
    let batches = corpus.stream(descent.step..config.run.steps, move |corpus, step| {
        corpus.batch(step, shape)
    });
    descent.follow(&course, &mut run, &config.optimizer, &batches, stop)?;
    Ok(())
}

/// The model whose denoiser makes what the decoder learns from, if there is one.
fn denoiser(
    config: &AutoencoderRun,
    folder: &Path,
    device: &Device,
) -> Result<Option<Mini>, Error> {
    if config.denoised_share == 0.0 {
        return Ok(None);
    }
    let refused = |reason: &str| Error::Config {
        path: folder.join("config.toml"),
        reason: reason.into(),
    };
    let from = config.from.as_deref();
    let from =
        from.ok_or_else(|| refused("denoised_share needs a denoiser: name its model in from"))?;
    let model = open_model(from, device)?;
    if model.config().autoencoder.latent_channels != config.model.latent_channels {
        return Err(refused(
            "the denoiser of from has other latent channels: leave denoised_share out",
        ));
    }
    Ok(Some(model))
}

/// The scenes with their plates.
pub(crate) fn staged(corpus: Corpus, shares: Shares) -> Corpus {
    let pack = corpus.pack().clone();
    // Its pictures are of no use: each scene's place has its own look.
    corpus.with_staging(
        lexicon::lexicon(&pack),
        places::backdrops(&pack, &[]),
        shares,
    )
}

struct AutoencoderCourse<'a> {
    degrading: Degrading<'a>,
    corpus: &'a Corpus,
}

impl Course for AutoencoderCourse<'_> {
    type Network = Autoencoder;
    type Batch = ClipBatch;

    fn slope(&self, network: &Autoencoder, batch: ClipBatch, step: u32) -> Result<Slope, Error> {
        let Degrading {
            config,
            code,
            device,
            ..
        } = self.degrading;
        device.seed(config.run.seed ^ u64::from(step));
        let (latents, shown) = self.degrading.latents(&batch)?;
        let lost = lost(code, &batch, device).map(|lost| lost * shown);
        let decoded =
            network.decode_tokens(Tensor::from_inner(latents), lost.map(Tensor::from_inner));
        let patches = batch.patches(device);
        Ok(Slope {
            tokens: patches.dims()[..4].iter().product(),
            products_per_token: network.decoder_products_per_token(),
            loss: loss(decoded - Tensor::from_inner(network.valid().unpatchify(patches))),
        })
    }

    fn report(
        &self,
        run: &mut Run,
        descent: &Descent<Autoencoder>,
        _finished: bool,
    ) -> Result<(), Error> {
        report(run, descent, self.corpus, self.degrading.device)
    }
}

/// What a run starts with: the autoencoder of a model file, to which channels are added where it has fewer, or a fresh network around
/// a fitted code.
fn first_model(
    config: &AutoencoderRun,
    fresh: Autoencoder,
    run: &Run,
    corpus: &Corpus,
    device: &Device,
) -> Result<Autoencoder, Error> {
    if let Some(path) = &config.from {
        let bytes = std::fs::read(path).map_err(|source| Error::Io {
            path: path.clone(),
            source,
        })?;
        let (mut tensors, _) = weights::from_bytes(&bytes)?;
        let known = Basis::of_tensors(&tensors, config, device)?;
        let known_channels = known.channels();
        if known_channels < config.model.latent_channels {
            let basis = Basis::fit(config, Some(known), corpus, device);
            say_kept(run, &basis);
            let fitted = basis.within(fresh.clone());
            basis::grow(&mut tensors, &fitted, known_channels);
        }
        // Gates that the model has none of begin closed.
        let gates = weights::collect(&fresh, MODEL_PREFIX).into_iter();
        for (name, values) in gates.filter(|(name, _)| name.starts_with(GATES_PREFIX)) {
            tensors.entry(name).or_insert(values);
        }
        return Ok(weights::assign(fresh, MODEL_PREFIX, &tensors)?);
    }
    let basis = Basis::fit(config, None, corpus, device);
    say_kept(run, &basis);
    Ok(basis.within(fresh))
}

fn say_kept(run: &Run, basis: &Basis) {
    run.say(&format!(
        "linear code: {} channels keep {:.2} % of the variance",
        basis.channels(),
        basis.kept * 100.0
    ));
}

/// The averaged network of a run's folder, or that of a model file.
///
/// # Errors
///
/// A folder without a checkpoint, or with one of other sizes; a file that is no model.
pub fn load(path: &Path, device: &Device) -> Result<(Autoencoder, AutoencoderConfig), Error> {
    if path.is_file() {
        let model = crate::transformer::open_model(path, device)?;
        let config = model.config().autoencoder.clone();
        return Ok((model.networks().autoencoder.clone(), config));
    }
    let folder = path;
    let config: AutoencoderRun = crate::config::read(&folder.join("config.toml"))?;
    let mut run = Run::open(folder, &config.run, &config)?;
    let fresh = Autoencoder::new(&config.model, device);
    let Some((step, tensors)) = run.resume()? else {
        return Err(Error::Config {
            path: folder.to_owned(),
            reason: "it has no checkpoint; train the autoencoder first".into(),
        });
    };
    let model = weights::assign(fresh, "model", &tensors)?;
    let optimizer = Optimizer::from_tensors(&model, step, &tensors);
    Ok((optimizer.averaged(model), config.model))
}

/// Absolute plus squared error of a decoded clip.
fn loss(difference: Tensor<5>) -> Tensor<1> {
    difference.clone().abs().mean() + difference.square().mean() * 4.0
}

/// Quality of held-out clips at native size, decoded as a stream, beside their plates where the corpus has them.
pub fn evaluate(model: &Autoencoder, corpus: &Corpus, device: &Device) -> AutoencoderQuality {
    let held_out = corpus.held_out();
    let (mut squared, mut decibels, mut ssim) = (0.0, 0.0, 0.0);
    for step in 0..EVALUATION_SCENES {
        let shape = Shape {
            batch: 1,
            latent_frames: 5,
            anywhere: false,
            anchored: false,
        };
        let batch = held_out.batch(step, shape);
        let patches = batch.patches(device);
        let latents = model
            .encode_tokens(patches.clone())
            .permute([0, 4, 1, 2, 3]);
        let lost = lost(model, &batch, device);
        let decoded = model.decode_step(latents, lost, &mut DecodeState::default());
        let frames = decoded.dims()[2];
        let video = model.unpatchify(patches);
        let padding = video.dims()[2] - frames;
        let video = video.narrow(2, padding, frames);
        let decoded = decoded.clamp(-1.0, 1.0);
        // Of values that span two.
        let error = (decoded.clone() - video.clone())
            .square()
            .mean()
            .into_scalar::<f32>()
            / 4.0;
        squared += error;
        decibels -= 10.0 * error.max(1e-10).log10();
        ssim += mean_ssim(decoded, video);
    }
    let n = EVALUATION_SCENES as f32;
    AutoencoderQuality {
        psnr_db: decibels / n,
        pooled_psnr_db: -10.0 * (squared / n).log10(),
        ssim: ssim / n,
    }
}

fn report(
    run: &mut Run,
    descent: &Descent<Autoencoder>,
    corpus: &Corpus,
    device: &Device,
) -> Result<(), Error> {
    let (averaged, step) = (descent.averaged(), descent.step);
    let found = evaluate(&averaged, corpus, device);
    run.say(&format!("step {step}: held-out {found}"));
    run.log(&json!({"step": step, "held_out": found}))?;

    let held_out = corpus.held_out();
    let mut frames = Vec::new();
    for scene in 0..8 {
        let shape = Shape {
            batch: 1,
            latent_frames: 2,
            anywhere: false,
            anchored: false,
        };
        let batch = held_out.batch(scene, shape);
        let patches = batch.patches(device);
        let latents = averaged
            .encode_tokens(patches.clone())
            .permute([0, 4, 1, 2, 3]);
        let lost = lost(&averaged, &batch, device);
        let decoded = averaged.decode_step(latents, lost, &mut DecodeState::default());
        let last = decoded.dims()[2] - 1;
        let video = averaged.unpatchify(patches);
        let end = video.dims()[2] - 1;
        for clip in [video.narrow(2, end, 1), decoded.narrow(2, last, 1)] {
            frames.extend(kinora_pipeline::frames_from_tensor(clip)?);
        }
    }
    let sheet = kinora_media::contact_sheet(&frames, &kinora_media::SheetOptions::new(4))?;
    kinora_media::write_picture(run.sample_path(step), &sheet, true)?;
    Ok(())
}
