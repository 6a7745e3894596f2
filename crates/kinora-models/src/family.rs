//! The seam between the pipeline and a model family.

use burn::tensor::Tensor;
use kinora_sampling::{GuidanceBelow, Sampler};

use crate::Error;
use crate::upscaler::Source;

/// What the pipeline needs to know of a model before it lays out a timeline.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// Name and version, such as `kinora-mini-v1`.
    pub name: String,
    /// SHA-256 of the weight file, in hexadecimal.
    pub hash: String,
    /// Channels of a latent.
    pub latent_channels: usize,
    /// Pixels per latent, in each direction.
    pub spatial_stride: usize,
    /// Frames per latent frame; the first latent frame holds a single frame.
    pub temporal_stride: usize,
    /// Latent frames that are sampled together.
    pub window: usize,
    /// Latent frames of the window before that each window sees.
    pub overlap: usize,
    /// Frames per second that the model makes.
    pub frames_per_second: usize,
    /// Sizes that the model makes.
    pub sizes: Sizes,
    /// Frames of the longest clip; `None` where windows may follow one another for ever.
    pub max_frames: Option<usize>,
    /// Which latent frames may be given.
    pub known_frames: KnownFrames,
    /// Whether [`VideoModel::told`] says what a step is told, so that steps may be left out.
    pub tells_steps: bool,
    /// Whether a window may see an [anchor](Anchor).
    pub anchored: bool,
    /// Whether [`VideoModel::decode_step_of`] looks at the text.
    pub decodes_with_text: bool,
    /// What its frames are to the upscaler.
    pub frames: Source,
    /// What is taken where nothing is said.
    pub defaults: Defaults,
}

/// Sizes that a model makes, `[width, height]` in pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sizes {
    /// These alone.
    Listed(Vec<[usize; 2]>),
    /// Any shape.
    Multiples {
        /// What both sides are multiples of.
        of: usize,
        /// Pixels of a frame at most.
        area: usize,
    },
}

/// Which latent frames of a clip a model lets be given; the others it makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KnownFrames {
    /// None: all of a clip is at one noise level.
    None,
    /// The first.
    First,
    /// Any, each at its own noise level.
    Any,
    /// These. They are shown to the model beside the latents, all of which it makes: [`VideoModel::show`].
    Shown(Shown),
}

/// Given frames that a model sees beside the latents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// The first, without which it makes nothing.
    First,
    /// The first, without which it makes nothing, and the last where there is one.
    FirstAndMaybeLast,
    /// The first and the last, without which it makes nothing.
    FirstAndLast,
    /// Any, whole or in a region, and pictures of what is to be seen.
    Any,
}

/// A frame that is given beside the latents.
#[derive(Debug, Clone)]
pub struct GivenFrame {
    /// `[1, 3, 1, height, width]`, −1 to 1.
    pub picture: Tensor<5>,
    /// Where it is made anew, `[1, 1, 1, height, width]`: 1 is to be made, 0 stays. `None` where nothing is, and in a changed clip
    /// where all of it is.
    pub made: Option<Tensor<5>>,
}

/// A latent frame that is changed, as a whole or in a region.
#[derive(Debug, Clone, Copy)]
pub struct Changed<'a> {
    /// What is to be seen.
    pub prompt: &'a str,
    /// The whole clip.
    pub clip: ClipShape,
    /// The clip that the frames are cut from, where the same model made it.
    pub origin: Option<&'a Origin>,
    /// Index in the whole clip.
    pub latent_frame: usize,
    /// The given frames, each with its region if it has one.
    pub frames: &'a [GivenFrame],
}

/// What is given of a clip beside its latents.
pub struct GivenClip<'a> {
    /// Pixels, `[width, height]`.
    pub size: [usize; 2],
    /// Frames of the clip: as many as its latent frames hold.
    pub frames: usize,
    /// The given frame at a place, if there is one.
    pub frame: &'a dyn Fn(usize) -> Option<GivenFrame>,
    /// Pictures of what is to be seen, `[1, 3, 1, height, width]`. Each has a latent frame of its own before those of the
    /// clip, of which nothing is shown.
    pub references: Vec<Tensor<5>>,
}

/// The settings at which a model was made to be used.
#[derive(Debug, Clone, PartialEq)]
pub struct Defaults {
    /// How the flow is solved.
    pub sampler: Sampler,
    /// Steps of the sampler.
    pub steps: usize,
    /// Strength of classifier-free guidance.
    pub guidance: f32,
    /// Its strength where little noise is left, of models that have another network there.
    pub guidance_below: Option<GuidanceBelow>,
    /// Noise level below which nothing guides any more.
    pub guidance_above: f32,
    /// Shift of the noise levels.
    pub shift: f32,
    /// What is not to be seen.
    pub negative: String,
    /// Size of the file, `[width, height]` in pixels.
    pub size: [usize; 2],
    /// Frames of a clip.
    pub frames: usize,
    /// Frames per second of the file; where it is not the model's own rate, frames between are made.
    pub frames_per_second: usize,
}

/// One window of latents to be denoised, each latent frame at its own timestep.
#[derive(Debug)]
pub struct Window<'a> {
    /// `[1, latent_channels, latent_frames, height, width]`
    pub latents: Tensor<5>,
    /// Of each latent frame: 0 = clean (known), 1 = noise.
    pub timesteps: &'a [f32],
    /// Index in the whole clip of the window's first latent frame.
    pub first_latent_frame: usize,
    /// A clean latent frame from elsewhere in the clip, where the model looks at one ([`Description::anchored`]).
    pub anchor: Option<Anchor<'a>>,
}

/// A clean latent frame that holds a long clip to how it began: each window sees it beside its own, so small errors do not add up
/// from one to the next.
#[derive(Debug, Clone, Copy)]
pub struct Anchor<'a> {
    /// `[1, latent_channels, 1, height, width]`
    pub latents: &'a Tensor<5>,
    /// Index in the whole clip.
    pub latent_frame: usize,
}

/// The clip that a prompt is for, as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClipShape {
    /// Pixels, `[width, height]`.
    pub size: [usize; 2],
    /// Latent frames.
    pub latent_frames: usize,
    /// Same seed, same clip.
    pub seed: u64,
}

/// What a clip goes on from.
#[derive(Debug, Clone, Copy, Default)]
pub struct Known<'a> {
    /// The latent frames beside those that are to be made, `[1, channels, 1, height, width]`, by their place in the clip.
    pub beside: &'a [(usize, Tensor<5>)],
    /// Whether the first latent frame of the clip is to be made.
    pub begins_free: bool,
    /// The clip that the known frames are cut from, where the same model made it.
    pub origin: Option<&'a Origin>,
    /// Whether that clip is changed as a whole: what is named takes the place of what was.
    pub changes: bool,
}

/// A clip of the model's own that another goes on from: what was settled for it still holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Its prompt.
    pub prompt: String,
    /// Its seed.
    pub seed: u64,
    /// Which of its frames is the first of the clip that goes on.
    pub first_frame: usize,
}

/// What one stage of the work holds in memory at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageMemory {
    /// Name of the stage, such as `text`, `sampling` or `decode`.
    pub stage: &'static str,
    /// Bytes of weights.
    pub weights: u64,
    /// Bytes of everything else, estimated.
    pub working: u64,
}

impl StageMemory {
    /// Bytes in all.
    pub fn total(&self) -> u64 {
        self.weights.saturating_add(self.working)
    }
}

/// A family of text-to-video models.
pub trait VideoModel {
    /// An encoded prompt.
    type Text;
    /// What decoding carries from one piece of a clip to the next.
    type DecodeState: Default;

    /// Strides, sizes and rates.
    fn description(&self) -> &Description;

    /// What each stage of a clip of this size (`[width, height]` in pixels) and so many frames holds at most, where that
    /// is worth a thought. By default it is not.
    fn memory(&self, size: [usize; 2], frames: usize) -> Vec<StageMemory> {
        let _ = (size, frames);
        Vec::new()
    }

    /// A fuller caption than `prompt`, as those that the model was trained on: all words of the prompt stay, and what they
    /// leave open is said, the same for the same seed. `None`, the default, where there is nothing to add.
    fn enhance(&self, prompt: &str, seed: u64) -> Option<String> {
        let _ = (prompt, seed);
        None
    }

    /// Encodes a prompt; the empty prompt is the unconditional one.
    ///
    /// # Errors
    ///
    /// A prompt that is longer than the model takes.
    fn encode_text(&self, prompt: &str) -> Result<Self::Text, Error>;

    /// Encodes a prompt and, where there is one, what is not to be seen; together, where that takes less time. By default it
    /// does not.
    ///
    /// # Errors
    ///
    /// As [`encode_text`](Self::encode_text).
    fn encode_texts(
        &self,
        prompt: &str,
        negative: Option<&str>,
    ) -> Result<(Self::Text, Option<Self::Text>), Error> {
        let text = self.encode_text(prompt)?;
        let negative = negative.map(|negative| self.encode_text(negative));
        Ok((text, negative.transpose()?))
    }

    /// Settles what spans all windows of a clip, such as where its subjects go, before the first of
    /// them is sampled. By default there is nothing to settle.
    ///
    /// # Errors
    ///
    /// [`Error::NotANumber`] where the weights lead to no usable plan.
    fn plan(
        &self,
        prompt: &str,
        text: Self::Text,
        clip: ClipShape,
        known: Known<'_>,
    ) -> Result<Self::Text, Error> {
        let _ = (prompt, clip, known);
        Ok(text)
    }

    /// Shows what is given of a clip beside its latents to a model that takes it so ([`KnownFrames::Shown`]), before the
    /// first window is sampled. `texts` are all texts that its windows will be asked with. By default nothing is looked at.
    ///
    /// # Errors
    ///
    /// A size or frames that the model does not take, and weights that cannot be read.
    fn show(&self, texts: &mut [&mut Self::Text], given: &GivenClip<'_>) -> Result<(), Error> {
        let _ = (texts, given);
        Ok(())
    }

    /// Shows frames that are changed: those of one latent frame after the other, before it is sampled and before it is
    /// decoded. Answers the latents to begin from in place of theirs, `[1, channels, 1, height, width]`, where the model knows some
    /// that are nearer to what is wanted. By default nothing is looked at.
    ///
    /// # Errors
    ///
    /// As [`plan`](Self::plan).
    fn see(
        &self,
        text: &mut Self::Text,
        changed: &Changed<'_>,
    ) -> Result<Option<Tensor<5>>, Error> {
        let _ = (text, changed);
        Ok(None)
    }

    /// Velocity of the rectified flow, `noise − latents`, shaped as the latents.
    ///
    /// # Errors
    ///
    /// A window that the model does not take, and weights that cannot be read where they are read when they are needed.
    fn velocity(&self, window: Window<'_>, text: &Self::Text) -> Result<Tensor<5>, Error>;

    /// [`velocity`](Self::velocity) of several windows, each with its own text, which may cost less than one after another: the
    /// prompt, and what to keep away from. All have the same sizes and timesteps.
    ///
    /// # Errors
    ///
    /// As [`velocity`](Self::velocity).
    fn velocities(&self, asked: Vec<(Window<'_>, &Self::Text)>) -> Result<Vec<Tensor<5>>, Error> {
        let ask = |(window, text)| self.velocity(window, text);
        asked.into_iter().map(ask).collect()
    }

    /// What a network makes of a step's timesteps before it looks at any latents, and which network that is: where it hardly
    /// changes from step to step, neither does the velocity. By default, and where [`Description::tells_steps`] is not set,
    /// nothing is told.
    ///
    /// # Errors
    ///
    /// As [`velocity`](Self::velocity).
    fn told(&self, timesteps: &[f32]) -> Result<Option<(usize, Vec<f32>)>, Error> {
        let _ = timesteps;
        Ok(None)
    }

    /// Tells that no window will be sampled any more: what only [`velocity`](Self::velocity) needs may be freed, so that
    /// decoding has the memory. By default nothing is freed.
    fn end_sampling(&self) {}

    /// Latents of a clip `[1, 3, frames, height, width]` of pixels in −1 to 1.
    ///
    /// # Errors
    ///
    /// A size that the model does not take, and weights that cannot be read.
    fn encode_frames(&self, video: Tensor<5>) -> Result<Tensor<5>, Error>;

    /// Begins to decode a clip whose latent frames, each `[1, latent_channels, 1, height, width]`, are all there, and of which
    /// nothing will be decoded but these: they may be looked at together where that saves memory.
    /// [`decode_step`](Self::decode_step) is then called with one after the other all the same. By default nothing is done yet.
    ///
    /// # Errors
    ///
    /// As [`decode_step`](Self::decode_step).
    fn begin_decode(&self, latents: &[Tensor<5>]) -> Result<Self::DecodeState, Error> {
        let _ = latents;
        Ok(Self::DecodeState::default())
    }

    /// Frames `[1, 3, frames, height, width]` of the next latent frames of a clip.
    ///
    /// # Errors
    ///
    /// A size that the model does not take, and weights that cannot be read.
    fn decode_step(
        &self,
        latents: Tensor<5>,
        state: &mut Self::DecodeState,
    ) -> Result<Tensor<5>, Error>;

    /// [`decode_step`](Self::decode_step) of latent frames from `first` on of the clip that `text` was [planned](Self::plan) for, where
    /// the model's decoder looks at more than latents ([`Description::decodes_with_text`]). By default it does not.
    ///
    /// # Errors
    ///
    /// As [`decode_step`](Self::decode_step).
    fn decode_step_of(
        &self,
        latents: Tensor<5>,
        (first, text): (usize, &Self::Text),
        state: &mut Self::DecodeState,
    ) -> Result<Tensor<5>, Error> {
        let _ = (first, text);
        self.decode_step(latents, state)
    }
}
