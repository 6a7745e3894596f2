//! Trains the text encoder and the denoiser together, as a rectified flow with a noise
//! level of its own for each latent frame.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use kinora_data::{Labels, Pack, Split};
use kinora_models::VideoModel;
use kinora_models::mini::air::Weathers;
use kinora_models::mini::autoencoder::Autoencoder;
use kinora_models::mini::backdrops::Backdrops;
use kinora_models::mini::lexicon::Lexicon;
use kinora_models::mini::styles::Styles;
use kinora_models::mini::text::{TextEncoder, Tokens};
use kinora_models::mini::transformer::Transformer;
use kinora_models::mini::{Director, Mini, MiniConfig, MiniNetworks, MiniParts, plate_condition};
use kinora_models::weights;
use kinora_pipeline::{Generation, Sampling, generate};
use kinora_sampling::{GuidanceKind, shift};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use tokenizers::Tokenizer;

use crate::corpus::{ClipBatch, Corpus, FRAMES_PER_SECOND, Shape};
use crate::descent::{self, Course, Descent, Slope};
use crate::drift::Drift;
use crate::flow::{Flow, clock, gaussian};
use crate::given::Shares;
use crate::readings::Readings;
use crate::run::Run;
use crate::tokenizer::tokenize_clipped;
use crate::{
    Error, TransformerRun, autoencoder, growth, lexicon, places, styles, tokenizer, weathers,
};

/// By how much the noise levels near to noise are shifted: half of them are above 0.99. A look is the same in all of a window's
/// tokens, so together they show it through less noise than that, and only above are the words needed.
const NEAR_NOISE: f32 = 100.0;

/// How often windows are near to noise, of how often single frames are: a look is seen in one frame, and a step sees more of them.
const WINDOWS_NEAR_NOISE: f32 = 0.3;

/// Prompts of the sample sheets.
const SAMPLE_PROMPTS: [&str; 8] = [
    "a koala waves on a beach at sunset",
    "a red car drives to the right through a city",
    "a soccer ball bounces on a meadow",
    "an owl flies across the night sky",
    "a robot stands in the snow",
    "a tropical fish swims under water",
    "a pizza falls onto the ground in the desert",
    "一只狐狸在森林里走",
];
/// Frames of a sample: one window.
const SAMPLE_FRAMES: usize = 17;

#[derive(Module, Debug)]
struct Trained {
    text: TextEncoder,
    transformer: Transformer,
    readings: Readings,
}

/// What stays as it is during the run.
struct Fixed {
    config: MiniConfig,
    autoencoder: Autoencoder,
    /// Of the model that the run starts from, or a fresh one.
    director: Director,
    tokenizer: Tokenizer,
    /// Of the finished model.
    lexicon: Lexicon,
    backdrops: Backdrops,
    weathers: Weathers,
    styles: Styles,
    device: Device,
}

/// Runs or resumes a training. Stops with a checkpoint when `stop` is set. The finished model is
/// `model.safetensors` in the folder.
///
/// # Errors
///
/// Files that cannot be used, a loss that is not a number, [`Error::Stopped`].
pub fn train(
    config: &TransformerRun,
    folder: &Path,
    device: &Device,
    stop: &AtomicBool,
) -> Result<(), Error> {
    let mut run = Run::open(folder, &config.run, config)?;
    let pack = Arc::new(Pack::open(&config.run.pack)?);
    let (autoencoder, model) = autoencoder::load(&config.autoencoder, device)?;
    let from = config
        .from
        .as_deref()
        .map(|path| open_model(path, device))
        .transpose()?;
    run.say("building tokenizer, lexicon and backdrops");
    let shown = lexicon::lexicon(&pack);
    let model_config = MiniConfig::new(
        model.clone(),
        config.text.clone(),
        config.transformer.clone(),
        config.director.clone(),
    )
    .with_window(config.window)
    .with_anchored(config.anchor_share > 0.0)
    .with_frames_per_second(FRAMES_PER_SECOND);
    let fixed = Fixed {
        director: match &from {
            Some(from) if from.config().director == config.director => {
                from.networks().director.clone()
            }
            _ => Director::new(&model_config, device),
        },
        tokenizer: match &from {
            Some(from) => from.tokenizer().clone(),
            None => tokenizer_of(&run, &pack, config.text.vocabulary)?,
        },
        backdrops: places::backdrops(&pack, &model_config.sizes),
        weathers: weathers::weathers(&model_config.sizes),
        styles: styles::styles(),
        lexicon: match &config.lexicon {
            Some(path) => lexicon::animated_lexicon(&Pack::open(path)?),
            None => lexicon::animated_lexicon(&pack),
        },
        config: model_config,
        autoencoder,
        device: device.clone(),
    };
    let corpus = Corpus::new(pack, Split::Train, config.run.seed, &model).with_staging(
        shown,
        fixed.backdrops.clone(),
        Shares {
            given: config.given_share,
            remixed: config.remix_share,
            regions: config.region_share,
        },
    );
    let corpus = corpus.with_even_share(config.even_share);

    device.seed(config.run.seed);
    let training_device = device.clone().autodiff();
    let fresh = Trained {
        text: TextEncoder::new(&config.text, &training_device),
        transformer: MiniNetworks::transformer(&fixed.config, &training_device),
        readings: Readings::new(config.text.width, &training_device),
    };
    let descent = Descent::open(&mut run, fresh, |_, fresh| match &from {
        Some(from) => {
            let channels = [from.config(), &fixed.config].map(|it| it.autoencoder.latent_channels);
            let mut trained = weights::collect(from.networks(), "model");
            growth::make_room(&mut trained, channels);
            descent::taking(fresh, &trained)
        }
        None => Ok(fresh),
    })?;

    let (seed, picture_share, anchor_share) =
        (config.run.seed, config.picture_share, config.anchor_share);
    let windows = Shape {
        batch: config.batch,
        latent_frames: config.window,
        anywhere: true,
        anchored: false,
    };
    let anchored = Shape {
        anchored: true,
        ..windows
    };
    let pictures = Shape {
        batch: config.picture_batch,
        latent_frames: 1,
        anywhere: true,
        anchored: false,
    };
    let shape = move |step: u32| {
        // A low-discrepancy sequence spreads pictures and anchors evenly over the steps.
        let place = (f64::from(step) + seed as f64) * 0.618_033_988_749_895;
        let place = place.fract() as f32;
        if place < picture_share {
            pictures
        } else if place < picture_share + (1.0 - picture_share) * anchor_share {
            anchored
        } else {
            windows
        }
    };
    let batches = corpus.stream(descent.step..config.run.steps, move |corpus, step| {
        corpus.batch(step, shape(step))
    });
    let course = TransformerCourse {
        config,
        fixed: &fixed,
    };
    descent.follow(&course, &mut run, &config.optimizer, &batches, stop)?;
    Ok(())
}

struct TransformerCourse<'a> {
    config: &'a TransformerRun,
    fixed: &'a Fixed,
}

impl Course for TransformerCourse<'_> {
    type Network = Trained;
    type Batch = ClipBatch;

    fn slope(&self, networks: &Trained, batch: ClipBatch, _step: u32) -> Result<Slope, Error> {
        let example = Example::draw(batch, self.config, self.fixed)?;
        Ok(Slope {
            tokens: example.tokens(),
            products_per_token: networks.transformer.products_per_token(),
            loss: example.loss(networks),
        })
    }

    fn report(
        &self,
        run: &mut Run,
        descent: &Descent<Trained>,
        _finished: bool,
    ) -> Result<(), Error> {
        export(run, descent, self.fixed, self.config)
    }
}

pub(crate) fn open_model(path: &Path, device: &Device) -> Result<Mini, Error> {
    let bytes = std::fs::read(path).map_err(|source| Error::Io {
        path: path.to_path_buf(),
        source,
    })?;
    Ok(Mini::from_bytes(&bytes, device)?)
}

/// The run's tokenizer: trained once, then kept beside the checkpoint.
fn tokenizer_of(run: &Run, pack: &Pack, vocabulary: usize) -> Result<Tokenizer, Error> {
    let path = run.folder().join("tokenizer.json");
    let error = |error: tokenizers::Error| kinora_models::Error::Tokenizer(error.to_string());
    if path.exists() {
        return Ok(Tokenizer::from_file(&path).map_err(error)?);
    }
    let tokenizer = tokenizer::train(pack, vocabulary)?;
    let json = tokenizer.to_string(false).map_err(error)?;
    weights::write_atomically(&path, json.as_bytes())?;
    Ok(tokenizer)
}

/// Writes the averaged model and a sheet of samples.
fn export(
    run: &Run,
    descent: &Descent<Trained>,
    fixed: &Fixed,
    config: &TransformerRun,
) -> Result<(), Error> {
    let averaged = descent.averaged();
    let networks = MiniNetworks {
        // Its decoder may have been trained beside this run; the latents are the same.
        autoencoder: autoencoder::load(&config.autoencoder, &fixed.device)?.0,
        text: averaged.text,
        transformer: averaged.transformer,
        director: fixed.director.clone(),
    };
    let parts = MiniParts {
        config: fixed.config.clone(),
        networks,
        tokenizer: fixed.tokenizer.clone(),
        lexicon: fixed.lexicon.clone(),
        backdrops: fixed.backdrops.clone(),
        weathers: fixed.weathers.clone(),
        styles: fixed.styles.clone(),
    };
    let model = Mini::new(&config.name, String::new(), parts, &fixed.device);
    let path = run.folder().join("model.safetensors");
    weights::write_atomically(&path, &model.to_bytes()?)?;

    let mut frames = Vec::new();
    for (index, prompt) in SAMPLE_PROMPTS.iter().enumerate() {
        let request = Generation {
            prompt,
            negative: "",
            size: fixed.config.sizes[0],
            frames: SAMPLE_FRAMES,
            sampling: Sampling {
                sampler: model.description().defaults.sampler,
                seed: index as u64,
                steps: 16,
                guidance: model.description().defaults.guidance,
                guidance_below: None,
                guidance_kind: GuidanceKind::Cfg,
                guidance_above: model.description().defaults.guidance_above,
                step_cache: None,
                shift: config.shift,
            },
        };
        let mut clip = Vec::new();
        generate(
            &model,
            &request,
            None,
            &fixed.device,
            |_| true,
            |frame| {
                clip.push(frame);
                Ok(())
            },
        )?;
        frames.extend(clip.into_iter().step_by(4));
    }
    let columns = SAMPLE_FRAMES.div_ceil(4) as u32;
    let sheet = kinora_media::contact_sheet(&frames, &kinora_media::SheetOptions::new(columns))?;
    kinora_media::write_picture(run.sample_path(descent.step), &sheet, true)?;
    Ok(())
}

/// One step's latents and captions.
struct Example {
    latents: Flow,
    tokens: Tokens,
    /// What each clip shows.
    labels: Vec<Labels>,
}

impl Example {
    fn draw(mut batch: ClipBatch, config: &TransformerRun, fixed: &Fixed) -> Result<Self, Error> {
        let mut rng = batch.rng.clone();
        let device = &fixed.device;
        let [clips, frames, height, width, _] = batch.shape();
        let anchors = usize::from(!batch.anchors.is_empty());

        let mut sigmas = Vec::with_capacity(clips * frames);
        for clip in 0..clips {
            let staging = (batch.staging.as_ref()).expect("the corpus was made with staging");
            let known = staging.known[clip].as_deref();
            let first = batch.first_latent_frames[clip];
            let behind = batch
                .anchors
                .get(clip)
                .is_some_and(|&anchor| anchor > first);
            let goes_on = match (first, behind) {
                (_, true) => GoesOn::Backwards,
                (0, _) => GoesOn::No,
                _ => GoesOn::Forwards,
            };
            let window = (frames - anchors, goes_on);
            let near_share = match frames {
                1 => config.near_noise_share,
                _ => config.near_noise_share * WINDOWS_NEAR_NOISE,
            };
            let is_near = rng.random::<f32>() < near_share;
            let spread = if is_near { NEAR_NOISE } else { config.shift };
            let drawn = draw_sigmas(&mut rng, window, known, spread);
            // What is given is its own plate, in its own light.
            let has_own_light = anchors > 0 && known.is_none();
            if has_own_light && let Some(light) = Drift::draw_light(&mut rng) {
                batch.drift(clip, &light, |_| true);
            }
            // What was sampled drifts; what was given, and that a sampled window meets at its other end, does not.
            if has_own_light && let Some(drift) = Drift::draw(&mut rng) {
                let is_known = |frame: usize| drawn[frame] <= KNOWN_NOISE;
                let joins = is_known(0) && is_known(drawn.len() - 1);
                let drifting = drawn.len() - usize::from(joins);
                batch.drift(clip, &drift, |frame| {
                    (anchors..anchors + drifting).contains(&frame) && is_known(frame - anchors)
                });
            }
            sigmas.extend(std::iter::repeat_n(0.0, anchors).chain(drawn));
        }
        let latents = fixed
            .autoencoder
            .encode_tokens(batch.patches(device))
            .permute([0, 4, 1, 2, 3]);
        let staging = (batch.staging.as_ref()).expect("the corpus was made with staging");
        let mut captions = Vec::with_capacity(clips);
        let mut plates_shown = Vec::with_capacity(clips);
        for caption in &batch.captions {
            let unconditional = rng.random::<f32>() < config.unconditional_share;
            let no_plate = rng.random::<f32>() < config.no_plate_share;
            captions.push(if unconditional { "" } else { caption.as_str() });
            plates_shown.push(f32::from(u8::from(!unconditional && !no_plate)));
        }
        let grid = [frames, height, width];
        let per_latent = fixed.config.autoencoder.patch_frames;
        let plates = plate_condition(&fixed.autoencoder, &staging.plates, grid, device);
        let shown = TensorData::new(plates_shown, [clips, 1, 1, 1, 1]);
        Ok(Self {
            labels: batch.labels,
            tokens: tokenize_clipped(&fixed.tokenizer, &fixed.config.text, &captions)?,
            latents: Flow {
                noise: gaussian(latents.dims(), &mut rng, device),
                clean: latents,
                condition: plates * Tensor::from_data(shown, device),
                made: sigmas
                    .iter()
                    .map(|&sigma| f32::from(u8::from(sigma > KNOWN_NOISE)))
                    .collect(),
                sigmas,
                clock_secs: clock(
                    (&batch.first_latent_frames, &batch.anchors),
                    frames - anchors,
                    per_latent,
                ),
                anchored: anchors > 0,
            },
        })
    }

    fn tokens(&self) -> usize {
        let [batch, _, frames, height, width] = self.latents.clean.dims();
        batch * frames * height * width
    }

    fn loss(self, networks: &Trained) -> Tensor<1> {
        let device = networks.text.devices()[0].clone();
        let context = networks.text.forward(&self.tokens, &device);
        networks.readings.loss(&context, &self.labels)
            + self.latents.loss(&networks.transformer, &context)
    }
}

/// Known frames carry up to this much noise, so that the denoiser forgives small errors in what
/// the window before left it.
const KNOWN_NOISE: f32 = 0.1;

/// Noise levels of the frames of a window. Mostly one level for all, the first
/// frame often known; sometimes each frame has its own (Diffusion Forcing). `known` says which are known where that is
/// settled.
fn draw_sigmas(
    rng: &mut ChaCha8Rng,
    (frames, goes_on): (usize, GoesOn),
    known: Option<&[bool]>,
    alpha: f32,
) -> Vec<f32> {
    // Even levels, moved towards noise: logit-normal ones (Esser et al., 2024) leave both ends out, but one
    // end is where the words decide and the other where the details do.
    let mut level = || shift(rng.random_range(0.0..1.0), alpha).max(KNOWN_NOISE + 1e-3);
    if frames == 1 {
        return vec![level()];
    }
    let shared = level();
    let own: Vec<f32> = (0..frames).map(|_| level()).collect();
    let known = match known {
        Some(known) => known.to_vec(),
        None if rng.random_bool(0.2) => return own,
        None => draw_known(rng, frames, goes_on),
    };
    let mut sigmas = vec![shared; frames];
    for (sigma, is_known) in sigmas.iter_mut().zip(known) {
        if is_known {
            let clean = rng.random_bool(0.5);
            *sigma = if clean {
                0.0
            } else {
                rng.random_range(0.0..KNOWN_NOISE)
            };
        }
    }
    sigmas
}

/// What a window goes on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum GoesOn {
    /// It begins its scene.
    No,
    Forwards,
    /// From what lies behind it, as when a clip is made towards its beginning.
    Backwards,
}

/// Which frames of a window are known: mostly its first or none, as when a clip goes on; sometimes its last, both, or
/// any, as when frames before, between or around given ones are to be made.
fn draw_known(rng: &mut ChaCha8Rng, frames: usize, goes_on: GoesOn) -> Vec<bool> {
    let mut known = vec![false; frames];
    let chance: f32 = rng.random();
    if chance < 0.12 {
        known[frames - 1] = true;
        known[0] = rng.random_bool(0.5);
    } else if chance < 0.20 {
        known.fill_with(|| rng.random_bool(0.4));
        // Something is left to be made.
        known[rng.random_range(0..frames)] = false;
    } else {
        let (at, share) = match goes_on {
            GoesOn::No => (0, 0.3),
            GoesOn::Forwards => (0, 0.7),
            GoesOn::Backwards => (frames - 1, 0.7),
        };
        known[at] = rng.random_bool(share);
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn every_kind_of_known_frame_is_drawn_and_something_is_left() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut seen = std::collections::HashSet::new();
        for draw in 0..2000 {
            let goes_on = [GoesOn::No, GoesOn::Forwards, GoesOn::Backwards][draw % 3];
            let known = draw_known(&mut rng, 5, goes_on);
            assert!(known.contains(&false));
            seen.insert(known);
        }
        let first = vec![true, false, false, false, false];
        let last = vec![false, false, false, false, true];
        let ends = vec![true, false, false, false, true];
        let middle = vec![false, false, true, false, false];
        for known in [first, last, ends, middle, vec![false; 5]] {
            assert!(seen.contains(&known), "{known:?}");
        }
    }
}
