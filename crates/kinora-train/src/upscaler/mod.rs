//! Trains the upscaler on scenes that are rendered at two sizes.

mod pairs;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use burn::tensor::{Device, Tensor};
use kinora_data::Pack;
use kinora_media::{Frame, resize, resize_to_cover};
use kinora_models::mini::Mini;
use kinora_models::upscaler::{SCALE, Source, Upscaler, UpscalerNetwork};
use kinora_models::weights;
use kinora_pipeline::{frames_from_tensor, tensor_from_frames};
use serde_json::json;

use crate::corpus::ahead;
use crate::descent::{Course, Descent, Slope, begin};
use crate::given::Shares;
use crate::quality::{mean_ssim, psnr_db};
use crate::run::Run;
use crate::shelf::Shelf;
use crate::staging::StageBuilder;
use crate::{Error, UpscalerRun, lexicon};
pub(crate) use pairs::cut;
use pairs::{Crops, Example, Studio};

/// Brings squared errors to where the optimiser's epsilon is nothing.
const LOSS_SCALE: f32 = 100.0;
/// Scenes of the held-out evaluation: on the way, and at the end.
const EVALUATION_SCENES: u32 = 24;
const FINAL_SCENES: u32 = 96;
/// Scenes on a sample sheet.
const SAMPLES: u32 = 6;

/// Runs or resumes a training. Stops with a checkpoint when `stop` is set. The finished network is
/// `model.safetensors` in the folder.
///
/// # Errors
///
/// Files that cannot be used, a loss that is not a number, [`Error::Stopped`].
pub fn train(
    config: &UpscalerRun,
    folder: &Path,
    device: &Device,
    stop: &AtomicBool,
) -> Result<(), Error> {
    let mut run = Run::open(folder, &config.run, config)?;
    let pack = Arc::new(Pack::open(&config.run.pack)?);
    let studio = Arc::new(studio(config, pack, device)?);
    device.seed(config.run.seed);
    let fresh = UpscalerNetwork::new(&config.model, &device.clone().autodiff());
    let fresh = begin(config.from.as_deref(), fresh)?;
    let descent = Descent::open(&mut run, fresh, |_, fresh| Ok(fresh))?;

    let mut shelf = Shelf::new(config.scenes);
    let (shape, share) = ([config.batch, config.crop], config.degraded_share);
    let renders = studio.clone();
    let batches = ahead(descent.step..config.run.steps, move |step| {
        Crops::draw(&renders, &mut shelf, step, shape, share)
    });
    let course = UpscalerCourse {
        config,
        studio: &studio,
        device,
    };
    descent.follow(&course, &mut run, &config.optimizer, &batches, stop)?;
    Ok(())
}

fn studio(config: &UpscalerRun, pack: Arc<Pack>, device: &Device) -> Result<Studio, Error> {
    let bytes = std::fs::read(&config.degraded_by).map_err(|source| Error::Io {
        path: config.degraded_by.clone(),
        source,
    })?;
    let model = Mini::from_bytes(&bytes, device)?;
    let autoencoder = model.networks().autoencoder.clone();
    let stage = autoencoder.sees_plates().then(|| {
        let backdrops = model.backdrops().clone();
        StageBuilder::new(lexicon::lexicon(&pack), backdrops, Shares::default())
    });
    Ok(Studio {
        pack,
        autoencoder,
        stage,
        latent_noise: config.latent_noise,
        autoencoder_sizes: model.config().autoencoder.clone(),
        seed: config.run.seed,
        device: device.clone(),
    })
}

struct UpscalerCourse<'a> {
    config: &'a UpscalerRun,
    studio: &'a Studio,
    device: &'a Device,
}

impl Course for UpscalerCourse<'_> {
    type Network = UpscalerNetwork;
    type Batch = Crops;

    fn slope(&self, network: &UpscalerNetwork, batch: Crops, _step: u32) -> Result<Slope, Error> {
        let source = batch.source;
        let (small, large) = batch.tensors(self.device);
        let pixels = small.dims().iter().product::<usize>() / 3;
        let difference =
            network.forward(Tensor::from_inner(small), source) - Tensor::from_inner(large);
        Ok(Slope {
            tokens: pixels,
            products_per_token: network.products_per_pixel(),
            // Most of a picture is flat, and there the sign of an error is that of rounding.
            loss: difference.square().mean() * LOSS_SCALE,
        })
    }

    fn report(
        &self,
        run: &mut Run,
        descent: &Descent<UpscalerNetwork>,
        finished: bool,
    ) -> Result<(), Error> {
        let config = &self.config.model;
        let network = descent.averaged();
        let model = Upscaler::new(&self.config.name, String::new(), config.clone(), network);
        let bytes = model.to_bytes()?;
        weights::write_atomically(&run.folder().join("model.safetensors"), &bytes)?;
        // What is measured is what is in the file.
        let model = Upscaler::from_bytes(&bytes, self.device)?;
        let scenes = if finished {
            FINAL_SCENES
        } else {
            EVALUATION_SCENES
        };
        let measured = self.evaluate(&model, scenes)?;
        for (name, [ours, filter]) in [("clean", measured.clean), ("decoded", measured.degraded)] {
            run.say(&format!(
                "step {}: held-out, {name}: {:.2} dB, SSIM {:.4}; Lanczos {:.2} dB, SSIM {:.4}; {:+.2} dB",
                descent.step,
                ours.psnr_db,
                ours.ssim,
                filter.psnr_db,
                filter.ssim,
                ours.psnr_db - filter.psnr_db
            ));
            run.log(&json!({
                "step": descent.step,
                "input": name,
                "held_out_scenes": scenes,
                "psnr_db": ours.psnr_db,
                "ssim": ours.ssim,
                "lanczos_psnr_db": filter.psnr_db,
                "lanczos_ssim": filter.ssim,
            }))?;
        }
        self.sheet(run, &model, descent.step)
    }
}

/// Means over frames.
#[derive(Debug, Clone, Copy, Default)]
struct Quality {
    psnr_db: f32,
    ssim: f32,
}

/// Of the network, and of a filter.
struct Measured {
    clean: [Quality; 2],
    degraded: [Quality; 2],
}

impl UpscalerCourse<'_> {
    fn evaluate(&self, model: &Upscaler, scenes: u32) -> Result<Measured, Error> {
        let mut measured = Measured {
            clean: Default::default(),
            degraded: Default::default(),
        };
        for number in 0..scenes {
            let examples = self.studio.held_out(number)?;
            let Example {
                large,
                clean,
                degraded,
            } = &examples[0];
            let truth = tensor_from_frames(std::slice::from_ref(large), self.device);
            for (small, source, sums) in [
                (clean, Source::Clean, &mut measured.clean),
                (degraded, Source::Decoded, &mut measured.degraded),
            ] {
                let enlarged = [self.enlarged(model, small, source)?, filtered(small)?];
                for (frame, sum) in enlarged.into_iter().zip(sums) {
                    let frame = tensor_from_frames(&[frame], self.device);
                    sum.psnr_db += psnr_db(frame.clone(), truth.clone()) / scenes as f32;
                    sum.ssim += mean_ssim(frame, truth.clone()) / scenes as f32;
                }
            }
        }
        Ok(measured)
    }

    fn enlarged(&self, model: &Upscaler, small: &Frame, source: Source) -> Result<Frame, Error> {
        let small = tensor_from_frames(std::slice::from_ref(small), self.device);
        let mut frames = frames_from_tensor(model.upscale(small, source))?;
        Ok(frames.remove(0))
    }

    /// Rows of: decoded frame by Lanczos, by the network, as it should be.
    fn sheet(&self, run: &Run, model: &Upscaler, step: u32) -> Result<(), Error> {
        let mut frames = Vec::new();
        for number in 0..SAMPLES {
            let Example {
                large, degraded, ..
            } = self.studio.held_out(number)?.swap_remove(0);
            frames.extend([
                filtered(&degraded)?,
                self.enlarged(model, &degraded, Source::Decoded)?,
                large,
            ]);
        }
        let side = frames.iter().map(|frame| frame.width().min(frame.height()));
        let side = side.min().unwrap_or(1);
        for frame in &mut frames {
            *frame = resize_to_cover(frame, side, side)?;
        }
        let sheet = kinora_media::contact_sheet(&frames, &kinora_media::SheetOptions::new(3))?;
        kinora_media::write_picture(run.sample_path(step), &sheet, true)?;
        Ok(())
    }
}

fn filtered(small: &Frame) -> Result<Frame, Error> {
    let side = |side: u32| side * SCALE as u32;
    Ok(resize(small, side(small.width()), side(small.height()))?)
}
