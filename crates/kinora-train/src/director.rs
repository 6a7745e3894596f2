//! Trains the director of a model further, on paths alone: they cost no pixels, so a step sees many more of them
//! than one that renders.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use burn::tensor::{Device, Tensor, TensorData};
use kinora_data::{Pack, Split};
use kinora_models::mini::layout::{DIRECTOR_CONDITIONS, FRAME_VALUES, director_condition};
use kinora_models::mini::text::TextEncoder;
use kinora_models::mini::transformer::{Context, Transformer};
use kinora_models::mini::{DIRECTOR_FRAMES, DIRECTOR_OVERLAP, DIRECTOR_SHIFT, Mini, MiniNetworks};
use kinora_models::weights;
use kinora_sampling::shift;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::corpus::{Corpus, LayoutBatch};
use crate::descent::{Course, Descent, Slope};
use crate::flow::{Flow, clock, gaussian};
use crate::given::Shares;
use crate::run::Run;
use crate::tokenizer::tokenize_clipped;
use crate::{DirectorRun, Error, Layouts, lexicon};

/// Layouts that are to be learned carry at least this much noise.
const LEAST_NOISE: f32 = 0.05;

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

    let trained = weights::collect(&model.networks().director, "model");
    let fresh = MiniNetworks::director(model.config(), &device.clone().autodiff());
    let descent = Descent::open(&mut run, fresh, |_, fresh| {
        Ok(weights::assign(fresh, "model", &trained)?)
    })?;
    let count = config.batch;
    let batches = corpus.stream(descent.step..config.run.steps, move |corpus, step| {
        corpus.layouts(step, count)
    });
    let course = DirectorCourse {
        config,
        model: &model,
        device,
    };
    descent.follow(&course, &mut run, &config.optimizer, &batches, stop)?;
    Ok(())
}

struct DirectorCourse<'a> {
    config: &'a DirectorRun,
    model: &'a Mini,
    device: &'a Device,
}

impl Course for DirectorCourse<'_> {
    type Network = Transformer;
    type Batch = LayoutBatch;

    fn slope(&self, director: &Transformer, batch: LayoutBatch, _: u32) -> Result<Slope, Error> {
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
        let config = self.model.config();
        let tokens = tokenize_clipped(self.model.tokenizer(), &config.text, &captions)?;
        let context = constant(&self.model.networks().text, &tokens, self.device);
        let frames_per_latent = config.autoencoder.patch_frames;
        let flow = layout_flow(&layouts, frames_per_latent, &mut rng, self.device);
        Ok(Slope {
            loss: flow.loss(director, &context),
            tokens: captions.len() * DIRECTOR_FRAMES,
            products_per_token: director.products_per_token(),
        })
    }

    fn report(
        &self,
        run: &mut Run,
        descent: &Descent<Transformer>,
        _finished: bool,
    ) -> Result<(), Error> {
        let networks = MiniNetworks {
            director: descent.averaged(),
            ..self.model.networks().clone()
        };
        let bytes = self.model.clone().with_networks(networks).to_bytes()?;
        Ok(weights::write_atomically(
            &run.folder().join("model.safetensors"),
            &bytes,
        )?)
    }
}

/// The context of captions, through which no gradient flows.
fn constant(
    text: &TextEncoder,
    tokens: &kinora_models::mini::text::Tokens,
    device: &Device,
) -> Context {
    let Context {
        tokens,
        bias,
        pooled,
    } = text.forward(tokens, device);
    Context {
        tokens: Tensor::from_inner(tokens),
        bias: Tensor::from_inner(bias),
        pooled: Tensor::from_inner(pooled),
    }
}

/// Layouts to be denoised: the beginning of a scene, or a part that goes on from known frames.
pub(crate) fn layout_flow(
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
        // Spread over all levels: the first glance decides where the subject is, the last how smoothly it goes.
        let sigma = shift(rng.random_range(0.0..1.0), DIRECTOR_SHIFT).max(LEAST_NOISE);
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
        clock_secs: clock(
            &layouts.first_latent_frames,
            DIRECTOR_FRAMES,
            frames_per_latent,
        ),
    }
}
