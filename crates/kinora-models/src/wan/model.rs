//! The family behind the seam to the pipeline: Wan 2.1 and 2.2 from words, from pictures (TI2V, I2V, FLF2V) and from clips
//! with masks (VACE).
//!
//! Follows `WanPipeline`, `WanImageToVideoPipeline` and `WanVACEPipeline` of diffusers 0.42, `pipelines/wan/`. The networks
//! are loaded when they are asked for, and of the large ones (text encoder, image encoder, transformers) never two at a
//! time: memory holds the largest stage, not their sum.

use std::sync::{Mutex, MutexGuard};

use burn::tensor::{Device, Tensor, TensorData};
use kinora_kernels::Precision;

use super::autoencoder::Autoencoder;
use super::beside::{Beside, Encoder};
use super::conditioning::Conditioning;
use super::denoiser::{Denoiser, DenoiserContext};
use super::folder::Folder;
use super::image::ImageEncoder;
use super::memory;
use super::picture::for_image_encoder;
use super::prompt::{PromptTokenizer, TEXT_TOKENS};
use super::text::TextEncoder;
use super::tiles::{self, ClipState};
use crate::upscaler::Source;
use crate::{Description, Error, GivenClip, Shown, StageMemory, VideoModel, Window};

/// What a network calls pure noise.
const NOISE: f64 = 1000.0;

/// An encoded prompt.
#[derive(Debug)]
pub struct WanText {
    /// `[1, TEXT_TOKENS, d_model]`, zeros after the prompt's end.
    embedding: Tensor<3>,
    /// What was shown of the clip.
    beside: Option<Beside>,
    /// Of the transformer that was asked last: it has keys and values for every block, which all steps share.
    context: Mutex<Option<(Expert, DenoiserContext)>>,
}

/// Which of at most two transformers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expert {
    /// The only one, or the one for high noise levels.
    First,
    /// The one for low noise levels.
    Second,
}

/// The one large network that is in memory.
#[derive(Debug)]
enum Large {
    Text(Box<(PromptTokenizer, TextEncoder)>),
    Image(Box<ImageEncoder>),
    Denoiser(Expert, Box<Denoiser>),
}

/// A folder with Wan's weights, see the [module](self).
#[derive(Debug)]
pub struct WanModel {
    folder: Folder,
    description: Description,
    device: Device,
    precision: Precision,
    /// Bytes that are free for all stages, where that is known.
    free: Option<u64>,
    large: Mutex<Option<Large>>,
    autoencoder: Mutex<Option<Autoencoder>>,
}

impl WanModel {
    /// Opens a folder; weights are read when they are needed. `name` is shown to people. Products of the text encoder
    /// and the transformer are made in `precision`, those of autoencoder and image encoder in f32, as upstream advises.
    pub fn new(folder: Folder, name: &str, device: &Device, precision: Precision) -> Self {
        let temporal_stride = folder.autoencoder.temporal_stride();
        let description = Description {
            name: name.to_owned(),
            hash: folder.mark.clone(),
            latent_channels: folder.autoencoder.z_dim,
            spatial_stride: folder.autoencoder.spatial_stride(),
            temporal_stride,
            window: 1 + (folder.max_frames() - 1).div_ceil(temporal_stride),
            // Given frames that are seen beside what is made: VACE takes a second of them.
            overlap: match folder.conditioning {
                Conditioning::Control(_) => 4,
                _ => 1,
            },
            frames_per_second: folder.frames_per_second(),
            sizes: folder.sizes(),
            max_frames: Some(folder.max_frames()),
            known_frames: folder.known_frames(),
            tells_steps: true,
            anchored: false,
            decodes_with_text: false,
            frames: Source::Clean,
            defaults: folder.defaults(),
        };
        Self {
            folder,
            description,
            device: device.clone(),
            precision,
            free: None,
            large: Mutex::default(),
            autoencoder: Mutex::default(),
        }
    }

    /// The same model where so many bytes are free: what would need more is done in a way that needs less, if there is one,
    /// as [`memory`](VideoModel::memory) says.
    pub fn within(self, free: Option<u64>) -> Self {
        Self { free, ..self }
    }

    /// Configurations and files.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Does something with the text encoder, which is loaded if it is not there.
    fn with_text<T>(
        &self,
        work: impl FnOnce(&PromptTokenizer, &TextEncoder) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut large = lock(&self.large);
        if !matches!(&*large, Some(Large::Text(_))) {
            // Whatever else was there goes first.
            *large = None;
            let files = self.folder.files();
            let vocabulary = self.folder.text.vocab_size;
            let tokenizer = PromptTokenizer::read(&files.tokenizer, vocabulary)?;
            let encoder = TextEncoder::load(&files.text_encoder, &self.device, self.precision)?;
            *large = Some(Large::Text(Box::new((tokenizer, encoder))));
        }
        match &*large {
            Some(Large::Text(text)) => work(&text.0, &text.1),
            _ => unreachable!("the text encoder was loaded above"),
        }
    }

    /// Does something with a transformer, which is loaded if it is not there.
    fn with_denoiser<T>(
        &self,
        expert: Expert,
        work: impl FnOnce(&Denoiser) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut large = lock(&self.large);
        if !matches!(&*large, Some(Large::Denoiser(loaded, _)) if *loaded == expert) {
            *large = None;
            let is_second = expert == Expert::Second;
            let denoiser = Denoiser::load(&self.folder, is_second, &self.device, self.precision)?;
            *large = Some(Large::Denoiser(expert, Box::new(denoiser)));
        }
        match &*large {
            Some(Large::Denoiser(_, denoiser)) => work(denoiser),
            _ => unreachable!("the transformer was loaded above"),
        }
    }

    /// Tokens of pictures, `[pictures, tokens, channels]`. The image encoder is loaded for them and goes at once.
    fn encode_pictures(&self, pictures: &[Tensor<5>]) -> Result<Option<Tensor<3>>, Error> {
        let Some(path) = &self.folder.files().image_encoder else {
            return Ok(None);
        };
        let mut large = lock(&self.large);
        *large = None;
        // In f32, as upstream advises.
        let encoder = ImageEncoder::load(path, &self.device, Precision::F32)?;
        let size = encoder.config().image_size;
        *large = Some(Large::Image(Box::new(encoder)));
        let Some(Large::Image(encoder)) = &*large else {
            unreachable!("the image encoder was loaded above")
        };
        let prepared = pictures
            .iter()
            .map(|picture| for_image_encoder(picture, size));
        let tokens = encoder.forward(Tensor::cat(prepared.collect(), 0))?;
        *large = None;
        Ok(Some(tokens))
    }

    /// Does something with the autoencoder, which is small and stays once it was loaded.
    fn with_autoencoder<T>(
        &self,
        work: impl FnOnce(&Autoencoder) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut autoencoder = lock(&self.autoencoder);
        if autoencoder.is_none() {
            let vae = &self.folder.files().vae;
            *autoencoder = Some(Autoencoder::load(vae, &self.device, self.precision)?);
        }
        match &*autoencoder {
            Some(autoencoder) => work(autoencoder),
            None => unreachable!("the autoencoder was loaded above"),
        }
    }

    /// One number for each latent channel.
    fn per_channel(&self, values: &[f32]) -> Tensor<5> {
        let data = TensorData::new(values.to_vec(), [1, values.len(), 1, 1, 1]);
        Tensor::from_data(data, &self.device)
    }

    fn mean(&self) -> Tensor<5> {
        self.per_channel(&self.folder.autoencoder.latents_mean)
    }

    fn deviation(&self) -> Tensor<5> {
        self.per_channel(&self.folder.autoencoder.latents_std)
    }

    /// Latents as the autoencoder has them.
    fn as_coded(&self, latents: &Tensor<5>) -> Tensor<5> {
        latents.clone() * self.deviation() + self.mean()
    }

    /// The transformer for a window whose noisiest frame is told this timestep.
    fn expert(&self, noisiest: f32) -> Expert {
        match self.folder.boundary {
            Some(boundary) if noisiest < boundary => Expert::Second,
            _ => Expert::First,
        }
    }

    /// Timesteps as the transformer takes them: one where all frames agree, else one for each frame.
    fn timesteps(&self, parts: &[f32]) -> Result<Tensor<2>, Error> {
        let is_even = parts.iter().all(|part| part == &parts[0]);
        if !is_even && self.folder.conditioning != Conditioning::Timesteps {
            return Err(Error::Inputs(
                "this model has one noise level for all frames; Wan-AI/Wan2.2-TI2V-5B-Diffusers takes a first picture, \
                 Wan-AI/Wan2.1-VACE-1.3B-diffusers any frames",
            ));
        }
        let told = if is_even { &parts[..1] } else { parts };
        // In f64, so that whole timesteps stay whole.
        let told: Vec<f32> = told
            .iter()
            .map(|&part| (f64::from(part) * NOISE) as f32)
            .collect();
        let shape = [1, told.len()];
        Ok(Tensor::from_data(
            TensorData::new(told, shape),
            &self.device,
        ))
    }
}

/// A prompt's `[1, tokens, channels]` with zeros up to [`TEXT_TOKENS`].
fn padded(text: Tensor<3>) -> Tensor<3> {
    let [_, tokens, channels] = text.dims();
    match TEXT_TOKENS - tokens {
        0 => text,
        missing => {
            let zeros = Tensor::zeros([1, missing, channels], &text.device());
            Tensor::cat(vec![text, zeros], 1)
        }
    }
}

/// A lock that a panic elsewhere does not spoil: what it guards is whole or absent.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl VideoModel for WanModel {
    type Text = WanText;
    type DecodeState = ClipState;

    fn description(&self) -> &Description {
        &self.description
    }

    fn memory(&self, size: [usize; 2], frames: usize) -> Vec<StageMemory> {
        memory::stages(&self.folder, size, frames, self.free)
    }

    fn encode_text(&self, prompt: &str) -> Result<WanText, Error> {
        self.encode_texts(prompt, None).map(|(text, _)| text)
    }

    /// Together: the encoder's weights, which are gigabytes, are read once.
    fn encode_texts(
        &self,
        prompt: &str,
        negative: Option<&str>,
    ) -> Result<(WanText, Option<WanText>), Error> {
        let (embedded, lengths) = self.with_text(|tokenizer, encoder| {
            let prompts = std::iter::once(prompt).chain(negative);
            let mut ids: Vec<Vec<u32>> = prompts
                .map(|prompt| tokenizer.tokenize(prompt))
                .collect::<Result<_, _>>()?;
            // Padding is not looked at, so no more of it is computed than the longer one needs.
            let lengths: Vec<usize> = ids.iter().map(Vec::len).collect();
            let longest = lengths.iter().copied().max().unwrap_or(0);
            let counts = |&length| (0..longest).map(|token| token < length).collect();
            let mask: Vec<Vec<bool>> = lengths.iter().map(counts).collect();
            ids.iter_mut().for_each(|ids| ids.resize(longest, 0));
            Ok((encoder.forward(&ids, &mask)?, lengths))
        })?;
        let text = |index: usize| WanText {
            embedding: padded(
                embedded
                    .clone()
                    .narrow(0, index, 1)
                    .narrow(1, 0, lengths[index]),
            ),
            beside: None,
            context: Mutex::default(),
        };
        Ok((text(0), negative.map(|_| text(1))))
    }

    fn show(&self, texts: &mut [&mut WanText], given: &GivenClip<'_>) -> Result<(), Error> {
        let with_encoder = |work: &dyn Fn(&Encoder<'_>) -> Result<Tensor<5>, Error>| {
            self.with_autoencoder(|autoencoder| {
                work(&Encoder {
                    autoencoder,
                    mean: self.mean(),
                    deviation: self.deviation(),
                })
            })
        };
        let beside = match &self.folder.conditioning {
            Conditioning::Words | Conditioning::Timesteps => return Ok(()),
            Conditioning::Pictures(shown) => {
                let picture = |place| (given.frame)(place).map(|frame| frame.picture);
                let mut pictures: Vec<Tensor<5>> = picture(0).into_iter().collect();
                if *shown == Shown::FirstAndLast {
                    pictures.extend(picture(given.frames - 1));
                }
                // The encoder of pictures goes before that of latents works.
                let image = self.encode_pictures(&pictures)?.map(Box::new);
                let channels = with_encoder(&|encoder| encoder.channels(given))?;
                Beside::Channels { channels, image }
            }
            Conditioning::Control(_) => {
                *lock(&self.large) = None;
                Beside::Control(with_encoder(&|encoder| encoder.control(given))?)
            }
        };
        for text in texts {
            text.beside = Some(beside.clone());
        }
        Ok(())
    }

    fn velocity(&self, window: Window<'_>, text: &WanText) -> Result<Tensor<5>, Error> {
        let timesteps = self.timesteps(window.timesteps)?;
        let noisiest = window.timesteps.iter().copied().fold(0.0, f32::max);
        let expert = self.expert(noisiest);
        let mut context = lock(&text.context);
        // Freed before the next transformer comes.
        context.take_if(|(of, _)| *of != expert);
        let beside = text.beside.as_ref();
        self.with_denoiser(expert, |denoiser| {
            let (_, context) = match &mut *context {
                Some(context) => context,
                empty => {
                    let prepared = denoiser.prepare(text.embedding.clone(), beside)?;
                    empty.insert((expert, prepared))
                }
            };
            denoiser.forward(window.latents, &timesteps, beside, context)
        })
    }

    fn told(&self, timesteps: &[f32]) -> Result<Option<(usize, Vec<f32>)>, Error> {
        let expert = self.expert(timesteps.iter().copied().fold(0.0, f32::max));
        let timesteps = self.timesteps(timesteps)?;
        let told = self.with_denoiser(expert, |denoiser| Ok(denoiser.modulation(&timesteps)))?;
        Ok(Some((usize::from(expert == Expert::Second), told)))
    }

    fn end_sampling(&self) {
        *lock(&self.large) = None;
    }

    /// Frames that do not fill the last latent frame are filled up with the last of them.
    fn encode_frames(&self, video: Tensor<5>) -> Result<Tensor<5>, Error> {
        let [_, _, frames, ..] = video.dims();
        let stride = self.description.temporal_stride;
        let missing = (stride - frames.saturating_sub(1) % stride) % stride;
        let video = match missing {
            0 => video,
            _ => {
                let last = video.clone().narrow(2, frames - 1, 1);
                Tensor::cat(vec![video, last.repeat_dim(2, missing)], 2)
            }
        };
        let latents = self.with_autoencoder(|autoencoder| autoencoder.encode(video))?;
        Ok((latents - self.mean()) / self.deviation())
    }

    fn begin_decode(&self, latents: &[Tensor<5>]) -> Result<ClipState, Error> {
        let mut state = ClipState::default();
        let Some([.., height, width]) = latents.first().map(Tensor::dims) else {
            return Ok(state);
        };
        let size = [width, height].map(|side| side * self.description.spatial_stride);
        if let Some(tiling) = memory::tiling(&self.folder, size, self.free) {
            let latents: Vec<Tensor<5>> =
                latents.iter().map(|latent| self.as_coded(latent)).collect();
            state.ready =
                self.with_autoencoder(|autoencoder| tiles::decode(autoencoder, &latents, &tiling))?;
        }
        Ok(state)
    }

    fn decode_step(&self, latents: Tensor<5>, state: &mut ClipState) -> Result<Tensor<5>, Error> {
        if let Some(frames) = state.ready.pop_front() {
            return Ok(frames);
        }
        let latents = self.as_coded(&latents);
        self.with_autoencoder(|autoencoder| autoencoder.decode_step(latents, &mut state.whole))
    }
}
