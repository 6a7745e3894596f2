//! What a rectified flow with a noise level of its own for each frame is trained on (Diffusion Forcing, Chen et al., 2024).

use burn::tensor::{Device, Tensor, TensorData};
use kinora_models::mini::LATEST_WINDOW;
use kinora_models::mini::transformer::{Context, Moments, Transformer};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::corpus::FRAMES_PER_SECOND;

/// Frames to be denoised, with their noise and what lies beside them.
pub(crate) struct Flow {
    /// `[batch, channels, frames, height, width]`
    pub(crate) clean: Tensor<5>,
    pub(crate) noise: Tensor<5>,
    pub(crate) condition: Tensor<5>,
    /// Noise level of each frame, `batch · frames`.
    pub(crate) sigmas: Vec<f32>,
    /// 1 for a frame that is to be learned, 0 for one that is known.
    pub(crate) made: Vec<f32>,
    pub(crate) clock_secs: Vec<f32>,
    /// Whether the first frame of each is an anchor.
    pub(crate) anchored: bool,
}

impl Flow {
    /// Mean squared error of the velocity over the frames that are not known.
    pub(crate) fn loss(self, network: &Transformer, context: &Context) -> Tensor<1> {
        let device = self.clean.device();
        let [batch, _, frames, _, _] = self.clean.dims();
        let per_frame = |values: Vec<f32>| -> Tensor<5> {
            Tensor::from_data(TensorData::new(values, [batch, 1, frames, 1, 1]), &device)
        };
        let sigmas = per_frame(self.sigmas.clone());
        let noised =
            self.clean.clone() * (sigmas.clone() * -1.0 + 1.0) + self.noise.clone() * sigmas;
        let velocity = self.noise - self.clean;
        let share = self.made.iter().sum::<f32>() / self.made.len() as f32;

        let predicted = network.forward(
            Tensor::from_inner(noised),
            Tensor::from_inner(self.condition),
            Moments {
                timesteps: &self.sigmas,
                clock_secs: &self.clock_secs,
                anchored: self.anchored,
            },
            &network.prepare(context),
        );
        let error = (predicted - Tensor::from_inner(velocity)).square();
        (error * Tensor::from_inner(per_frame(self.made))).mean() / share.max(1e-6)
    }
}

/// Seconds since the scene began, of the anchor of each clip, where it has one, and of each of its latent frames.
pub(crate) fn clock(
    (firsts, anchors): (&[usize], &[usize]),
    frames: usize,
    frames_per_latent: usize,
) -> Vec<f32> {
    let secs = |frame: usize| (frame * frames_per_latent) as f32 / FRAMES_PER_SECOND as f32;
    let told = |(clip, &first): (usize, &usize)| {
        let anchor = anchors.get(clip).map(|&anchor| anchor.min(LATEST_WINDOW));
        anchor.into_iter().chain(first..first + frames).map(secs)
    };
    firsts.iter().enumerate().flat_map(told).collect()
}

/// Standard normal values.
pub(crate) fn gaussian(shape: [usize; 5], rng: &mut ChaCha8Rng, device: &Device) -> Tensor<5> {
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|_| StandardNormal.sample(rng))
        .collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}
