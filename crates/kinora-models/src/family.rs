//! The seam between the pipeline and a model family.

use burn::tensor::Tensor;

use crate::Error;

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
    /// Sizes that the model makes, `[width, height]` in pixels.
    pub sizes: Vec<[usize; 2]>,
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

/// A family of text-to-video models.
pub trait VideoModel {
    /// An encoded prompt.
    type Text;
    /// What decoding carries from one piece of a clip to the next.
    type DecodeState: Default;

    /// Strides, sizes and rates.
    fn description(&self) -> &Description;

    /// Encodes a prompt; the empty prompt is the unconditional one.
    ///
    /// # Errors
    ///
    /// A prompt that is longer than the model takes.
    fn encode_text(&self, prompt: &str) -> Result<Self::Text, Error>;

    /// Settles what spans all windows of a clip, such as where its subjects go, before the first of
    /// them is sampled. By default there is nothing to settle.
    ///
    /// # Errors
    ///
    /// [`Error::NotANumber`] where the weights lead to no usable plan.
    fn plan(&self, prompt: &str, text: Self::Text, clip: ClipShape) -> Result<Self::Text, Error> {
        let _ = (prompt, clip);
        Ok(text)
    }

    /// Velocity of the rectified flow, `noise − latents`, shaped as the latents.
    fn velocity(&self, window: Window<'_>, text: &Self::Text) -> Tensor<5>;

    /// Latents of a clip `[1, 3, frames, height, width]` of pixels in −1 to 1.
    fn encode_frames(&self, video: Tensor<5>) -> Tensor<5>;

    /// Frames `[1, 3, frames, height, width]` of the next latent frames of a clip.
    fn decode_step(&self, latents: Tensor<5>, state: &mut Self::DecodeState) -> Tensor<5>;
}
