//! Trains the interpolator on scenes that are rendered at several rates.

mod triples;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use burn::tensor::{Device, Tensor};
use kinora_data::Pack;
use kinora_media::Frame;
use kinora_models::interpolator::{Interpolator, InterpolatorNetwork, halved};
use kinora_models::weights;
use kinora_pipeline::{frames_from_tensor, tensor_from_frames};
use serde_json::json;

use crate::corpus::ahead;
use crate::descent::{Course, Descent, Slope, begin};
use crate::quality::{mean_ssim, psnr_db};
use crate::run::Run;
use crate::shelf::Shelf;
use crate::{Error, InterpolatorRun};
use triples::{Footage, TripleTensors, Triples, Window};

/// Brings squared errors to where the optimiser's epsilon is nothing.
const LOSS_SCALE: f32 = 100.0;
/// Scenes of the held-out evaluation: on the way, and at the end.
const EVALUATION_SCENES: u32 = 24;
const FINAL_SCENES: u32 = 96;
/// From the model's rate to 24 and to 60 frames a second.
const EVALUATION_PARTS: [usize; 2] = [2, 5];
/// Scenes on a sample sheet.
const SAMPLES: u32 = 8;

/// Runs or resumes a training. Stops with a checkpoint when `stop` is set. The finished network is
/// `model.safetensors` in the folder.
///
/// # Errors
///
/// Files that cannot be used, a loss that is not a number, [`Error::Stopped`].
pub fn train(
    config: &InterpolatorRun,
    folder: &Path,
    device: &Device,
    stop: &AtomicBool,
) -> Result<(), Error> {
    let mut run = Run::open(folder, &config.run, config)?;
    let footage = Arc::new(Footage {
        pack: Arc::new(Pack::open(&config.run.pack)?),
        seed: config.run.seed,
    });
    device.seed(config.run.seed);
    let fresh = InterpolatorNetwork::new(&config.model, &device.clone().autodiff());
    let fresh = begin(config.from.as_deref(), fresh)?;
    let descent = Descent::open(&mut run, fresh, |_, fresh| Ok(fresh))?;

    let mut shelf = Shelf::new(config.scenes);
    let shape = [config.batch, config.crop];
    let renders = footage.clone();
    let batches = ahead(descent.step..config.run.steps, move |step| {
        Triples::draw(&renders, &mut shelf, step, shape)
    });
    let course = InterpolatorCourse {
        config,
        footage: &footage,
        device,
    };
    descent.follow(&course, &mut run, &config.optimizer, &batches, stop)?;
    Ok(())
}

struct InterpolatorCourse<'a> {
    config: &'a InterpolatorRun,
    footage: &'a Footage,
    device: &'a Device,
}

impl Course for InterpolatorCourse<'_> {
    type Network = InterpolatorNetwork;
    type Batch = Triples;

    fn slope(
        &self,
        network: &InterpolatorNetwork,
        batch: Triples,
        _step: u32,
    ) -> Result<Slope, Error> {
        let batch = batch.tensors(self.device);
        Ok(Slope {
            tokens: batch.between.dims().iter().product::<usize>() / 3,
            products_per_token: network.products_per_pixel(),
            loss: loss(network, batch, self.config.level_weights),
        })
    }

    fn report(
        &self,
        run: &mut Run,
        descent: &Descent<InterpolatorNetwork>,
        finished: bool,
    ) -> Result<(), Error> {
        let config = self.config.model.clone();
        let network = descent.averaged();
        let model = Interpolator::new(&self.config.name, String::new(), config, network);
        let bytes = model.to_bytes()?;
        weights::write_atomically(&run.folder().join("model.safetensors"), &bytes)?;
        // What is measured is what is in the file.
        let model = Interpolator::from_bytes(&bytes, self.device)?;
        let scenes = if finished {
            FINAL_SCENES
        } else {
            EVALUATION_SCENES
        };
        for parts in EVALUATION_PARTS {
            let [ours, blend] = self.evaluate(&model, scenes, parts)?;
            run.say(&format!(
                "step {}: held-out, {parts} times as many frames: {:.2} dB, SSIM {:.4}; blended {:.2} dB, SSIM {:.4}; {:+.2} dB",
                descent.step,
                ours.psnr_db,
                ours.ssim,
                blend.psnr_db,
                blend.ssim,
                ours.psnr_db - blend.psnr_db
            ));
            run.log(&json!({
                "step": descent.step,
                "parts": parts,
                "held_out_scenes": scenes,
                "psnr_db": ours.psnr_db,
                "ssim": ours.ssim,
                "blend_psnr_db": blend.psnr_db,
                "blend_ssim": blend.ssim,
            }))?;
        }
        self.sheet(run, &model, descent.step)
    }
}

/// Mean squared error at all resolutions: where nothing moves, the sign of an error is that of rounding.
fn loss(network: &InterpolatorNetwork, batch: TripleTensors, weights: [f32; 4]) -> Tensor<1> {
    let TripleTensors {
        first,
        second,
        between,
        times,
    } = batch;
    let mut frames = [first, second, between].map(Tensor::from_inner);
    let times = Tensor::from_inner(times);
    let motions = network.motion(frames[0].clone(), frames[1].clone(), &times);
    let mut total = None;
    for (motion, weight) in motions.iter().rev().zip(weights) {
        let [first, second, between] = frames.clone();
        let difference = motion.between(first, second, &times) - between;
        let loss = difference.square().mean() * (LOSS_SCALE * weight);
        total = Some(match total {
            None => loss,
            Some(total) => total + loss,
        });
        frames = frames.map(halved);
    }
    total.expect("the network has resolutions")
}

/// Means over frames.
#[derive(Debug, Clone, Copy, Default)]
struct Quality {
    psnr_db: f32,
    ssim: f32,
}

impl InterpolatorCourse<'_> {
    /// Of the network, and of a blend. Frames that do not change count as 60 dB.
    fn evaluate(
        &self,
        model: &Interpolator,
        scenes: u32,
        parts: usize,
    ) -> Result<[Quality; 2], Error> {
        const MOST_DB: f32 = 60.0;
        let mut sums = [Quality::default(); 2];
        let frames = scenes as f32 * (parts - 1) as f32;
        for number in 0..scenes {
            let window = self.footage.held_out(number, parts)?;
            let made = self.made(model, &window)?;
            for (part, made) in (1..parts).zip(made) {
                let truth = tensor_from_frames(&window.frames[part..=part], self.device);
                let blend = blended(&window, part)?;
                for (frame, sum) in [made, blend].into_iter().zip(&mut sums) {
                    let frame = tensor_from_frames(&[frame], self.device);
                    let psnr = psnr_db(frame.clone(), truth.clone()).min(MOST_DB);
                    sum.psnr_db += psnr / frames;
                    sum.ssim += mean_ssim(frame, truth.clone()) / frames;
                }
            }
        }
        Ok(sums)
    }

    /// The frames between the first and the last.
    fn made(&self, model: &Interpolator, window: &Window) -> Result<Vec<Frame>, Error> {
        let parts = window.parts();
        let end = |index: usize| tensor_from_frames(&window.frames[index..=index], self.device);
        let times: Vec<f32> = (1..parts).map(|part| part as f32 / parts as f32).collect();
        let made = model.between(end(0), end(parts), &times);
        let mut frames = Vec::with_capacity(made.len());
        for frame in made {
            frames.extend(frames_from_tensor(frame)?);
        }
        Ok(frames)
    }

    /// Rows of: first frame, blend, made, as it should be, last frame.
    fn sheet(&self, run: &Run, model: &Interpolator, step: u32) -> Result<(), Error> {
        let mut frames = Vec::new();
        for number in 0..SAMPLES {
            let window = self.footage.held_out(number, 2)?;
            let made = self.made(model, &window)?.remove(0);
            let blend = blended(&window, 1)?;
            let [first, between, last] = [0, 1, 2].map(|index| window.frames[index].clone());
            frames.extend([first, blend, made, between, last]);
        }
        let sheet = kinora_media::contact_sheet(&frames, &kinora_media::SheetOptions::new(5))?;
        kinora_media::write_picture(run.sample_path(step), &sheet, true)?;
        Ok(())
    }
}

/// The first and the last frame, one over the other.
fn blended(window: &Window, part: usize) -> Result<Frame, Error> {
    let (first, last) = (&window.frames[0], &window.frames[window.parts()]);
    let share = part as f32 / window.parts() as f32;
    let pixels = first.pixels().iter().zip(last.pixels());
    let mixed =
        pixels.map(|(&a, &b)| (f32::from(a) * (1.0 - share) + f32::from(b) * share).round() as u8);
    Ok(Frame::new(first.width(), first.height(), mixed.collect())?)
}
