//! Trains the director of a model, on paths alone: they cost no pixels, so a step sees many more of them than one that
//! renders.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use kinora_data::{Pack, Split};
use kinora_models::mini::layout::{DIRECTOR_CONDITIONS, FRAME_VALUES, director_condition};
use kinora_models::mini::{DIRECTOR_FRAMES, DIRECTOR_OVERLAP, Director, Mini, MiniConfig};
use kinora_models::{VideoModel, weights};
use kinora_sampling::shift;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use crate::corpus::{Corpus, LayoutBatch};
use crate::descent::{self, Course, Descent, Slope};
use crate::evaluate::Accuracy;
use crate::flow::{Flow, clock, gaussian};
use crate::given::Shares;
use crate::run::Run;
use crate::tokenizer::tokenize_clipped;
use crate::{DirectorRun, Error, Layouts, lexicon, path_judge};

/// Layouts that are to be learned carry at least this much noise.
const LEAST_NOISE: f32 = 0.05;
/// Share of the layouts whose noise levels are shifted by [`NEAR_NOISE`]; those of the others are even, for paths to go smoothly.
/// A path is dozens of numbers that tell the same, so it shows through all but the most noise, and only there are the words needed.
const NEAR_NOISE_SHARE: f64 = 0.75;
/// See [`NEAR_NOISE_SHARE`].
const NEAR_NOISE: f32 = 24.0;
/// Held-out prompts whose paths are judged on the way.
const CHECK_PATHS: usize = 96;
/// The same when a run is finished.
const FINAL_PATHS: usize = 384;

/// Runs or resumes a training. Stops with a checkpoint when `stop` is set. The model with its new director
/// is `model.safetensors` in the folder.
///
/// # Errors
///
/// Files that cannot be used, a loss that is not a number, [`Error::Stopped`].
pub fn train(
    config: &DirectorRun,
    folder: &Path,
    device: &Device,
    stop: &AtomicBool,
) -> Result<(), Error> {
    let mut run = Run::open(folder, &config.run, config)?;
    let pack = Arc::new(Pack::open(&config.run.pack)?);
    let bytes = std::fs::read(&config.model).map_err(|source| Error::Io {
        path: config.model.clone(),
        source,
    })?;
    let model = Mini::from_bytes(&bytes, device)?;
    let lexicon = lexicon::lexicon(&pack);
    let autoencoder = &model.config().autoencoder;
    let corpus = Corpus::new(pack, Split::Train, config.run.seed, autoencoder).with_staging(
        lexicon,
        model.backdrops().clone(),
        Shares::default(),
    );
    let corpus = corpus.with_even_share(config.even_share);

    let sizes = MiniConfig {
        director: (config.director.as_ref())
            .unwrap_or(&model.config().director)
            .clone(),
        ..model.config().clone()
    };
    sizes.validate().map_err(|reason| Error::Config {
        path: folder.join("config.toml"),
        reason,
    })?;
    device.seed(config.run.seed);
    let fresh = Director::new(&sizes, &device.clone().autodiff());
    let trained = weights::collect(&model.networks().director, "model");
    let descent = Descent::open(&mut run, fresh, |_, fresh| descent::taking(fresh, &trained))?;
    let count = config.batch;
    let batches = corpus.stream(descent.step..config.run.steps, move |corpus, step| {
        corpus.layouts(step, count)
    });
    let course = DirectorCourse {
        config,
        sizes,
        pack: corpus.pack(),
        model: &model,
        device,
    };
    descent.follow(&course, &mut run, &config.optimizer, &batches, stop)?;
    Ok(())
}

struct DirectorCourse<'a> {
    config: &'a DirectorRun,
    /// With those of the director that is trained.
    sizes: MiniConfig,
    pack: &'a Pack,
    model: &'a Mini,
    device: &'a Device,
}

impl Course for DirectorCourse<'_> {
    type Network = Director;
    type Batch = LayoutBatch;

    fn slope(&self, director: &Director, batch: LayoutBatch, _: u32) -> Result<Slope, Error> {
        let LayoutBatch {
            layouts,
            captions,
            mut rng,
        } = batch;
        let captions: Vec<&str> = captions
            .iter()
            .map(|caption| {
                let unconditional = rng.random::<f32>() < self.config.unconditional_share;
                if unconditional { "" } else { caption.as_str() }
            })
            .collect();
        let text = &self.sizes.director.text;
        let tokens = tokenize_clipped(self.model.tokenizer(), text, &captions)?;
        let context = director.text.forward(&tokens, &director.text.devices()[0]);
        let frames_per_latent = self.sizes.autoencoder.patch_frames;
        let flow = layout_flow(&layouts, frames_per_latent, &mut rng, self.device);
        Ok(Slope {
            loss: flow.loss(&director.paths, &context),
            tokens: captions.len() * DIRECTOR_FRAMES,
            products_per_token: director.paths.products_per_token(),
        })
    }

    fn report(
        &self,
        run: &mut Run,
        descent: &Descent<Director>,
        finished: bool,
    ) -> Result<(), Error> {
        let name = self.config.name.as_deref();
        let model = self.model.clone().with_director(
            name.unwrap_or(&self.model.description().name),
            self.sizes.director.clone(),
            descent.averaged(),
        );
        let paths = if finished { FINAL_PATHS } else { CHECK_PATHS };
        let found = path_judge::measure(&model, self.pack, paths, self.config.run.seed)?;
        let percent = |accuracy: Accuracy| accuracy.share().unwrap_or(0.0) * 100.0;
        run.say(&format!(
            "step {}: of {paths} held-out prompts' paths, motion {:.1} % (rendered {:.1} %), camera {:.1} % (rendered {:.1} %)",
            descent.step,
            percent(found.motion),
            percent(found.rendered_motion),
            percent(found.camera),
            percent(found.rendered_camera),
        ));
        run.log(&json!({ "step": descent.step, "held_out_paths": found }))?;
        let bytes = model.to_bytes()?;
        Ok(weights::write_atomically(
            &run.folder().join("model.safetensors"),
            &bytes,
        )?)
    }
}

/// Layouts to be denoised: the beginning of a scene, or a part that goes on from known frames.
fn layout_flow(
    layouts: &Layouts,
    frames_per_latent: usize,
    rng: &mut ChaCha8Rng,
    device: &Device,
) -> Flow {
    let count = layouts.subjects.len();
    let shape = [
        count,
        DIRECTOR_FRAMES,
        1,
        1,
        frames_per_latent * FRAME_VALUES,
    ];
    let clean = Tensor::<5>::from_data(TensorData::new(layouts.values.clone(), shape), device)
        .permute([0, 4, 1, 2, 3]);
    let mut sigmas = Vec::with_capacity(count * DIRECTOR_FRAMES);
    let mut made = Vec::with_capacity(count * DIRECTOR_FRAMES);
    let mut condition = Vec::with_capacity(count * DIRECTOR_CONDITIONS);
    for (&subjects, &first) in layouts.subjects.iter().zip(&layouts.first_latent_frames) {
        let known = if first > 0 { DIRECTOR_OVERLAP } else { 0 };
        sigmas.extend(std::iter::repeat_n(0.0, known));
        let spread = if rng.random_bool(NEAR_NOISE_SHARE) {
            NEAR_NOISE
        } else {
            1.0
        };
        let sigma = shift(rng.random_range(0.0..1.0), spread).max(LEAST_NOISE);
        sigmas.extend(std::iter::repeat_n(sigma, DIRECTOR_FRAMES - known));
        made.extend((0..DIRECTOR_FRAMES).map(|i| f32::from(u8::from(i >= known))));
        condition.extend(director_condition(subjects, layouts.size));
    }
    let condition = TensorData::new(condition, [count, DIRECTOR_CONDITIONS, 1, 1, 1]);
    Flow {
        noise: gaussian(clean.dims(), rng, device),
        clean,
        condition: Tensor::from_data(condition, device).repeat_dim(2, DIRECTOR_FRAMES),
        sigmas,
        made,
        anchored: false,
        clock_secs: clock(
            (&layouts.first_latent_frames, &[]),
            DIRECTOR_FRAMES,
            frames_per_latent,
        ),
    }
}
