//! The networks of the family together, and the seam to the pipeline.

use std::ops::Range;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use kinora_sampling::Sampler;
use tokenizers::Tokenizer;

use super::air::Weathers;
use super::autoencoder::{Autoencoder, DecodeState};
use super::backdrops::Backdrops;
use super::config::{DirectorConfig, MiniConfig};
use super::director::Director;
use super::enhance::enhance;
use super::evenness::{Beyond, Evenness};
use super::layout::SLOTS;
use super::lexicon::Lexicon;
use super::plate::{COVERAGE, Plate, PlateSize};
use super::stage::Stage;
use super::styles::Styles;
use super::text::{TextEncoder, tokenize};
use super::transformer::{Channels, Context, Moments, PreparedContext, Transformer};
use crate::upscaler::Source;
use crate::weights::floats;
use crate::{
    Changed, ClipShape, Defaults, Description, Error, Known, KnownFrames, Sizes, VideoModel, Window,
};

/// Shift of the noise levels at which the family is sampled best.
const SHIFT: f32 = 4.0;
/// Noise level below which nothing guides where nothing is said: there guidance makes patches under subjects lighter by night.
const GUIDANCE_ABOVE: f32 = 0.7;
/// Steps where nothing is said. The subjects and the place are shown to the network: eight of a second-order solver look like twenty-four
/// of Euler's.
const STEPS: usize = 10;
/// Rate of a file where nothing is said.
const FILE_FRAMES_PER_SECOND: usize = 24;
/// Length of a clip where nothing is said.
const SECONDS: usize = 4;

/// The latest latent frame of a scene at which a window begins in training. Later ones are told this time: by then
/// a scene only goes on.
pub const LATEST_WINDOW: usize = 12;

/// What is taken where nothing is said.
fn defaults(frames_per_second: usize) -> Defaults {
    Defaults {
        sampler: Sampler::DpmPlusPlus,
        steps: STEPS,
        guidance: 2.5,
        guidance_below: None,
        guidance_above: GUIDANCE_ABOVE,
        shift: SHIFT,
        negative: String::new(),
        size: [1280, 720],
        frames: SECONDS * frames_per_second,
        frames_per_second: FILE_FRAMES_PER_SECOND,
    }
}

/// All that gradient descent trains.
#[derive(Module, Debug)]
pub struct MiniNetworks {
    /// Pixels ⇄ latents.
    pub autoencoder: Autoencoder,
    /// Words → context.
    pub text: TextEncoder,
    /// The denoiser of latents.
    pub transformer: Transformer,
    /// Words → paths.
    pub director: Director,
}

impl MiniNetworks {
    /// Fresh networks.
    pub fn new(config: &MiniConfig, device: &Device) -> Self {
        Self {
            autoencoder: Autoencoder::new(&config.autoencoder, device),
            text: TextEncoder::new(&config.text, device),
            transformer: Self::transformer(config, device),
            director: Director::new(config, device),
        }
    }

    /// A fresh denoiser of latents; beside each it is given the [plate](plate_condition).
    pub fn transformer(config: &MiniConfig, device: &Device) -> Transformer {
        let channels = Channels {
            latents: config.autoencoder.latent_channels,
            condition: config.autoencoder.latent_channels + COVERAGE,
            context: config.text.width,
        };
        Transformer::new(&config.transformer, channels, device)
    }
}

/// What the denoiser is given of plates that all have the same size: their latents and their coverage.
///
/// # Shapes
///
/// - `grid`: latent frames, rows and columns of a plate
/// - output: `[plates, latent_channels + COVERAGE, latent_frames, rows, columns]`
pub fn plate_condition(
    autoencoder: &Autoencoder,
    plates: &[Plate],
    grid: [usize; 3],
    device: &Device,
) -> Tensor<5> {
    let [frames, rows, columns] = grid;
    let gather = |part: fn(&Plate) -> &Vec<f32>| -> Tensor<5> {
        let values: Vec<f32> = plates.iter().flat_map(part).copied().collect();
        let channels = values.len() / (plates.len() * frames * rows * columns);
        let shape = [plates.len(), frames, rows, columns, channels];
        Tensor::from_data(TensorData::new(values, shape), device)
    };
    let latents = autoencoder.encode_tokens(gather(|plate| &plate.patches));
    let coverage = gather(|plate| &plate.coverage);
    Tensor::cat(vec![latents, coverage], 4).permute([0, 4, 1, 2, 3])
}

/// An encoded prompt, and where its camera and subjects are once that is settled.
#[derive(Debug)]
pub struct Script {
    context: PreparedContext,
    stage: Option<Stage>,
}

impl Script {
    /// What the denoiser is shown of some latent frames; `None` where nothing is planned.
    pub fn plate(&self, latent_frames: Range<usize>) -> Option<Plate> {
        self.stage.as_ref()?.plate_of(latent_frames)
    }
}

/// What decoding one latent frame leaves for the next.
#[derive(Debug, Clone, Default)]
pub struct Decoding {
    decoder: DecodeState,
    evenness: Evenness,
}

/// What a trained model consists of.
#[derive(Debug, Clone)]
pub struct MiniParts {
    /// Sizes.
    pub config: MiniConfig,
    /// Weights.
    pub networks: MiniNetworks,
    /// From words to tokens.
    pub tokenizer: Tokenizer,
    /// What named subjects look like.
    pub lexicon: Lexicon,
    /// What named places look like.
    pub backdrops: Backdrops,
    /// What named weathers look like.
    pub weathers: Weathers,
    /// What named styles do.
    pub styles: Styles,
}

/// A trained model.
#[derive(Debug, Clone)]
pub struct Mini {
    pub(super) parts: MiniParts,
    description: Description,
    device: Device,
}

impl Mini {
    /// `name` is shown to people, `hash` identifies the weights.
    pub fn new(name: &str, hash: String, parts: MiniParts, device: &Device) -> Self {
        let config = &parts.config;
        let description = Description {
            name: name.to_owned(),
            hash,
            latent_channels: config.autoencoder.latent_channels,
            spatial_stride: config.autoencoder.patch,
            temporal_stride: config.autoencoder.patch_frames,
            window: config.window,
            overlap: 1,
            frames_per_second: config.frames_per_second,
            sizes: Sizes::Listed(config.sizes.clone()),
            max_frames: None,
            known_frames: KnownFrames::Any,
            tells_steps: false,
            anchored: config.anchored,
            decodes_with_text: parts.networks.autoencoder.sees_plates(),
            frames: Source::Decoded,
            defaults: defaults(config.frames_per_second),
        };
        Self {
            parts,
            description,
            device: device.clone(),
        }
    }

    /// The networks.
    pub fn networks(&self) -> &MiniNetworks {
        &self.parts.networks
    }

    /// The same model with other networks of the same sizes.
    pub fn with_networks(self, networks: MiniNetworks) -> Self {
        let description = Description {
            hash: String::new(),
            ..self.description
        };
        let parts = MiniParts {
            networks,
            ..self.parts
        };
        Self {
            parts,
            description,
            ..self
        }
    }

    /// The same model under another name, with another director of its own sizes.
    pub fn with_director(self, name: &str, config: DirectorConfig, director: Director) -> Self {
        let parts = MiniParts {
            config: MiniConfig {
                director: config,
                ..self.parts.config
            },
            networks: MiniNetworks {
                director,
                ..self.parts.networks
            },
            ..self.parts
        };
        Self::new(name, String::new(), parts, &self.device)
    }

    pub(super) fn device(&self) -> &Device {
        &self.device
    }

    /// From words to tokens.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.parts.tokenizer
    }

    /// What named things look like.
    pub fn lexicon(&self) -> &Lexicon {
        &self.parts.lexicon
    }

    /// What named places look like.
    pub fn backdrops(&self) -> &Backdrops {
        &self.parts.backdrops
    }

    /// What named weathers look like.
    pub fn weathers(&self) -> &Weathers {
        &self.parts.weathers
    }

    /// What named styles do.
    pub fn styles(&self) -> &Styles {
        &self.parts.styles
    }

    /// Sizes.
    pub fn config(&self) -> &MiniConfig {
        &self.parts.config
    }

    fn context(&self, prompt: &str) -> Result<Context, Error> {
        let tokens = tokenize(self.tokenizer(), &self.config().text, &[prompt])?;
        Ok(self.networks().text.forward(&tokens, &self.device))
    }

    /// Entries of the lexicon that get a place in a clip of this prompt, in the order of their slots.
    pub(super) fn cast(&self, prompt: &str) -> Vec<usize> {
        let mut named = self.lexicon().find(prompt);
        if named.is_empty() {
            named.extend(self.lexicon().guess(prompt));
        }
        named.truncate(SLOTS);
        named
    }

    /// Sizes of the plates of a clip of `frame` pixels.
    pub(super) fn plate_size(&self, frame: [usize; 2]) -> PlateSize {
        let config = &self.config().autoencoder;
        PlateSize {
            frame,
            patch: config.patch,
            patch_frames: config.patch_frames,
        }
    }

    /// What the denoiser is given beside the latents of a window, `[1, channels, frames, rows, columns]` with its anchor before them.
    fn condition(
        &self,
        stage: Option<&Stage>,
        window: &Window<'_>,
        latents: &Tensor<5>,
    ) -> Tensor<5> {
        let anchor = window.anchor.map(|anchor| anchor.latent_frame);
        let first = window.first_latent_frame;
        let seen = first..first + window.timesteps.len();
        let [_, _, _, rows, columns] = latents.dims();
        let autoencoder = &self.networks().autoencoder;
        let shown = stage.and_then(|stage| {
            stage.condition(autoencoder, (anchor, seen), [rows, columns], &self.device)
        });
        shown.unwrap_or_else(|| self.uncovered(latents.zeros_like()))
    }

    /// Velocities of windows of the same sizes, as a batch.
    fn batch_velocity(&self, asked: &[(Window<'_>, &Script)]) -> Tensor<5> {
        let frame_secs =
            self.config().autoencoder.patch_frames as f32 / self.config().frames_per_second as f32;
        let (mut timesteps, mut clock_secs) = (Vec::new(), Vec::new());
        let (mut latents, mut conditions) = (Vec::new(), Vec::new());
        for (window, script) in asked {
            let told = window.first_latent_frame.min(LATEST_WINDOW);
            let mut frames: Vec<usize> = (told..told + window.timesteps.len()).collect();
            let mut seen = window.latents.clone();
            if let Some(anchor) = window.anchor {
                // However late both are, what lies before is told to be before.
                let latest = match anchor.latent_frame < window.first_latent_frame {
                    true => told.saturating_sub(1),
                    false => LATEST_WINDOW,
                };
                frames.insert(0, anchor.latent_frame.min(latest));
                timesteps.push(0.0);
                seen = Tensor::cat(vec![anchor.latents.clone(), seen], 2);
            }
            timesteps.extend_from_slice(window.timesteps);
            clock_secs.extend(frames.iter().map(|&frame| frame as f32 * frame_secs));
            conditions.push(self.condition(script.stage.as_ref(), window, &seen));
            latents.push(seen);
        }
        let contexts: Vec<&PreparedContext> =
            asked.iter().map(|(_, script)| &script.context).collect();
        let anchored = asked.iter().any(|(window, _)| window.anchor.is_some());
        let moments = Moments {
            timesteps: &timesteps,
            clock_secs: &clock_secs,
            anchored,
        };
        let velocity = self.networks().transformer.forward(
            Tensor::cat(latents, 0),
            Tensor::cat(conditions, 0),
            moments,
            &PreparedContext::stack(&contexts),
        );
        let anchors = usize::from(anchored);
        let frames = velocity.dims()[2] - anchors;
        velocity.narrow(2, anchors, frames)
    }

    /// The condition of a plate with these latents before which no subject stands.
    fn uncovered(&self, latents: Tensor<5>) -> Tensor<5> {
        let mut shape = latents.dims();
        shape[1] = COVERAGE;
        Tensor::cat(vec![latents, Tensor::zeros(shape, &self.device)], 1)
    }
}

impl VideoModel for Mini {
    type Text = Script;
    type DecodeState = Decoding;

    fn description(&self) -> &Description {
        &self.description
    }

    fn enhance(&self, prompt: &str, seed: u64) -> Option<String> {
        let fits = |text: &str| tokenize(self.tokenizer(), &self.config().text, &[text]).is_ok();
        enhance(prompt, seed, (self.lexicon(), self.backdrops()), fits)
    }

    fn encode_text(&self, prompt: &str) -> Result<Script, Error> {
        Ok(Script {
            context: self.networks().transformer.prepare(&self.context(prompt)?),
            stage: None,
        })
    }

    fn plan(
        &self,
        prompt: &str,
        text: Script,
        clip: ClipShape,
        known: Known<'_>,
    ) -> Result<Script, Error> {
        let stage = self.settle(prompt, clip, known)?;
        Ok(Script {
            stage: Some(stage),
            ..text
        })
    }

    fn see(&self, text: &mut Script, changed: &Changed<'_>) -> Result<Option<Tensor<5>>, Error> {
        let stage = match &mut text.stage {
            Some(stage) => stage,
            none => none.insert(self.settle_seen(changed)?),
        };
        self.see_change(stage, changed);
        // What changes as a whole begins as what is shown of it: in the light and the style that it is to have, or as what was planned.
        let is_whole = changed.frames.iter().all(|frame| frame.made.is_none());
        let first = changed.latent_frame;
        let plate = stage.plate_of(first..first + 1).filter(|_| is_whole);
        let config = &self.config().autoencoder;
        let [columns, rows] = changed.clip.size.map(|side| side / config.patch);
        let latents = plate.map(|plate| {
            let autoencoder = &self.networks().autoencoder;
            let shown = plate_condition(autoencoder, &[plate], [1, rows, columns], &self.device);
            shown.narrow(1, 0, config.latent_channels)
        });
        Ok(latents)
    }

    fn velocity(&self, window: Window<'_>, text: &Script) -> Result<Tensor<5>, Error> {
        Ok(self.batch_velocity(&[(window, text)]))
    }

    fn velocities(&self, asked: Vec<(Window<'_>, &Script)>) -> Result<Vec<Tensor<5>>, Error> {
        Ok(self.batch_velocity(&asked).chunk(asked.len(), 0))
    }

    fn encode_frames(&self, video: Tensor<5>) -> Result<Tensor<5>, Error> {
        Ok(self.networks().autoencoder.encode(video))
    }

    fn decode_step(&self, latents: Tensor<5>, state: &mut Decoding) -> Result<Tensor<5>, Error> {
        let autoencoder = &self.networks().autoencoder;
        Ok(autoencoder.decode_step(latents, None, &mut state.decoder))
    }

    fn decode_step_of(
        &self,
        latents: Tensor<5>,
        (first, script): (usize, &Script),
        state: &mut Decoding,
    ) -> Result<Tensor<5>, Error> {
        let autoencoder = &self.networks().autoencoder;
        let [_, _, frames, rows, columns] = latents.dims();
        let stage = script.stage.as_ref().filter(|_| autoencoder.sees_plates());
        let plate = stage.and_then(|stage| stage.plate_of(first..first + frames));
        let Some(plate) = plate else {
            return self.decode_step(latents, state);
        };
        let latents = match stage.is_some_and(Stage::is_placed) {
            true => {
                let seen = floats(autoencoder.linear(latents.clone().permute([0, 2, 3, 4, 1])));
                let beyond = Beyond::of(&seen, &plate);
                let held = state.evenness.hold(first, beyond);
                // Latents are linear in pixels, but for what black has.
                let flat = |colour| autoencoder.flat(colour, &self.device);
                let moved = flat(held.colour) - flat([0.0; 3]);
                latents * held.contrast + flat(held.middle) * (1.0 - held.contrast) + moved
            }
            false => latents,
        };
        let values = plate.patches.len() / (frames * rows * columns);
        let patches = TensorData::new(plate.patches, [1, frames, rows, columns, values]);
        let lost = autoencoder.lost(Tensor::from_data(patches, &self.device));
        Ok(autoencoder.decode_step(latents, Some(lost), &mut state.decoder))
    }
}
