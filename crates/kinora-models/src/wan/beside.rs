//! What is given of a clip, as the transformers take it beside the latents.
//!
//! | model | what it sees | upstream |
//! | --- | --- | --- |
//! | I2V, FLF2V | channels after those of the noise: a mask of frames, and latents of the given frames in grey; tokens of the image encoder | diffusers 0.42, `pipelines/wan/pipeline_wan_i2v.py` |
//! | VACE | a clip in a second branch: latents of what stays and of what changes, and a mask of pixels | diffusers 0.42, `pipelines/wan/pipeline_wan_vace.py` |

use burn::tensor::{Device, Tensor, TensorData};

use super::autoencoder::{Autoencoder, EncodeState};
use crate::{Error, GivenClip};

/// Channels or a clip, `[1, channels, latent_frames, height, width]`, and an image.
#[derive(Debug, Clone)]
pub(super) enum Beside {
    /// They follow the channels of the noise.
    Channels {
        /// Mask and latents.
        channels: Tensor<5>,
        /// `[images, tokens, image_dim]`, of transformers that see one.
        image: Option<Box<Tensor<3>>>,
    },
    /// What stays, what changes, and the mask between them.
    Control(Tensor<5>),
}

/// The autoencoder with the statistics of its latents.
pub(super) struct Encoder<'a> {
    pub(super) autoencoder: &'a Autoencoder,
    /// `[1, z_dim, 1, 1, 1]`
    pub(super) mean: Tensor<5>,
    /// `[1, z_dim, 1, 1, 1]`
    pub(super) deviation: Tensor<5>,
}

impl Encoder<'_> {
    /// Latents of a clip that comes in pieces of whole latent frames, so that memory holds few of its frames.
    fn encode(
        &self,
        frames: usize,
        frame: impl Fn(usize) -> Tensor<5>,
    ) -> Result<Tensor<5>, Error> {
        let stride = self.stride();
        let mut state = EncodeState::default();
        let mut latents = Vec::new();
        let mut start = 0;
        while start < frames {
            let end = if start == 0 { 1 } else { start + stride };
            let piece = Tensor::cat((start..end).map(&frame).collect(), 2);
            latents.push(self.autoencoder.encode_step(piece, &mut state)?);
            start = end;
        }
        let latents = Tensor::cat(latents, 2);
        Ok((latents - self.mean.clone()) / self.deviation.clone())
    }

    fn stride(&self) -> usize {
        self.autoencoder.config().temporal_stride()
    }

    /// Mask and latents of the given frames: `[1, stride + z_dim, latent_frames, height, width]`.
    pub(super) fn channels(&self, given: &GivenClip<'_>) -> Result<Tensor<5>, Error> {
        let grey = self.grey(given);
        let latents = self.encode(given.frames, |place| {
            (given.frame)(place).map_or_else(|| grey.clone(), |frame| frame.picture)
        })?;
        let [_, _, latent_frames, height, width] = latents.dims();
        let stride = self.stride();
        // The first frame stands for a whole latent frame.
        let is_given = |place: usize| (given.frame)(place.saturating_sub(stride - 1)).is_some();
        let values: Vec<f32> = (0..stride)
            .flat_map(|channel| (0..latent_frames).map(move |latent| latent * stride + channel))
            .map(|place| f32::from(u8::from(is_given(place))))
            .collect();
        let mask = TensorData::new(values, [1, stride, latent_frames, 1, 1]);
        let mask = Tensor::<5>::from_data(mask, &latents.device()).expand([
            1,
            stride,
            latent_frames,
            height,
            width,
        ]);
        Ok(Tensor::cat(vec![mask, latents], 1))
    }

    /// What stays, what changes and the mask between them, after the references:
    /// `[1, 2 · z_dim + spatial_stride², references + latent_frames, height, width]`.
    pub(super) fn control(&self, given: &GivenClip<'_>) -> Result<Tensor<5>, Error> {
        let grey = self.grey(given);
        let part = |stays: bool| {
            self.encode(given.frames, |place| {
                let Some(frame) = (given.frame)(place) else {
                    return grey.clone();
                };
                match (stays, frame.made) {
                    (true, None) => frame.picture,
                    (true, Some(made)) => frame.picture * (made * -1.0 + 1.0),
                    (false, None) => grey.clone(),
                    (false, Some(made)) => frame.picture * made,
                }
            })
        };
        let clip = Tensor::cat(vec![part(true)?, part(false)?], 1);
        let [_, _, latent_frames, height, width] = clip.dims();
        let mask = self.control_mask(given, latent_frames, &clip.device());
        let mut frames = vec![Tensor::cat(vec![clip, mask], 1)];
        for reference in &given.references {
            let latents = self.encode(1, |_| reference.clone())?;
            let [_, channels, ..] = frames[0].dims();
            let [_, z_dim, ..] = latents.dims();
            let rest = Tensor::zeros([1, channels - z_dim, 1, height, width], &latents.device());
            // Upstream puts each before those that came before it.
            frames.insert(0, Tensor::cat(vec![latents, rest], 1));
        }
        Ok(Tensor::cat(frames, 2))
    }

    /// The pixels of a latent as channels, of one frame for each latent frame.
    fn control_mask(
        &self,
        given: &GivenClip<'_>,
        latent_frames: usize,
        device: &Device,
    ) -> Tensor<5> {
        let side = self.autoencoder.config().spatial_stride();
        let [width, height] = given.size.map(|pixels| pixels / side);
        // The nearest frame, in f32 as upstream (`nearest-exact`).
        let scale = given.frames as f32 / latent_frames as f32;
        let nearest = |latent: usize| ((latent as f32 + 0.5) * scale) as usize;
        let frames = (0..latent_frames).map(|latent| {
            let frame = (given.frame)(nearest(latent).min(given.frames - 1));
            let made = match frame {
                None => pixels(given, 1.0, device),
                Some(frame) => frame.made.unwrap_or_else(|| pixels(given, 0.0, device)),
            };
            made.reshape([height, side, width, side])
                .permute([1, 3, 0, 2])
                .reshape([1, side * side, 1, height, width])
        });
        Tensor::cat(frames.collect(), 2)
    }

    /// A frame of which nothing is known.
    fn grey(&self, given: &GivenClip<'_>) -> Tensor<5> {
        let [width, height] = given.size;
        Tensor::zeros([1, 3, 1, height, width], &self.mean.device())
    }
}

/// `[1, 1, 1, height, width]`
fn pixels(given: &GivenClip<'_>, value: f32, device: &Device) -> Tensor<5> {
    let [width, height] = given.size;
    Tensor::full([1, 1, 1, height, width], value, device)
}
