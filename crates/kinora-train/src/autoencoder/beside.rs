//! What the decoder learns from beside pixels: what its code loses of their plates, and latents as a denoiser leaves them.

use burn::tensor::{Device, Distribution, Tensor, TensorData};
use kinora_models::mini::autoencoder::Autoencoder;
use kinora_models::mini::transformer::Moments;
use kinora_models::mini::{Mini, plate_condition};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::corpus::ClipBatch;
use crate::flow::{clock, gaussian};
use crate::tokenizer::tokenize_clipped;
use crate::{AutoencoderRun, Error};

/// Noise that a denoiser takes away in one step: as much as it is left with before its last one, and more.
const DENOISED: std::ops::Range<f32> = 0.1..0.7;

/// What the code loses of the plates of a batch, `[batch, latent_frames, height, width, patch_values]`; `None` of a corpus without
/// them.
pub(super) fn lost(code: &Autoencoder, batch: &ClipBatch, device: &Device) -> Option<Tensor<5>> {
    let staging = batch.staging.as_ref()?;
    let plates = staging.plates.iter().flat_map(|plate| &plate.patches);
    let plates = TensorData::new(plates.copied().collect::<Vec<f32>>(), batch.shape());
    Some(code.lost(Tensor::from_data(plates, device)))
}

/// Makes of latents what the decoder will be given instead of them.
pub(super) struct Degrading<'a> {
    pub(super) config: &'a AutoencoderRun,
    /// Whose linear code it is.
    pub(super) code: &'a Autoencoder,
    /// Whose denoiser leaves its marks, if one does.
    pub(super) denoiser: Option<&'a Mini>,
    pub(super) device: &'a Device,
}

impl Degrading<'_> {
    /// Latents of the batch with errors, and 1 for each clip whose plate is shown, 0 for the others.
    ///
    /// # Errors
    ///
    /// A caption that cannot be read.
    pub(super) fn latents(&self, batch: &ClipBatch) -> Result<(Tensor<5>, Tensor<5>), Error> {
        let mut rng = batch.rng.clone();
        let latents = self.code.encode_tokens(batch.patches(self.device));
        let [clips, ..] = latents.dims();
        let shown: Vec<f32> = (0..clips)
            .map(|_| f32::from(u8::from(rng.random::<f32>() >= self.config.no_plate_share)))
            .collect();
        let shown = Tensor::from_data(TensorData::new(shown, [clips, 1, 1, 1, 1]), self.device);
        let latents = match self.denoiser {
            Some(model) if rng.random::<f32>() < self.config.denoised_share => {
                self.denoised(model, batch, latents, shown.clone(), &mut rng)?
            }
            _ => noised(latents, self.config.latent_noise),
        };
        Ok((latents, shown))
    }

    /// What the denoiser takes for the latents when it sees them through noise.
    fn denoised(
        &self,
        model: &Mini,
        batch: &ClipBatch,
        latents: Tensor<5>,
        shown: Tensor<5>,
        rng: &mut ChaCha8Rng,
    ) -> Result<Tensor<5>, Error> {
        let clean = latents.permute([0, 4, 1, 2, 3]);
        let [clips, _, frames, rows, columns] = clean.dims();
        let staging =
            (batch.staging.as_ref()).expect("denoised latents are those of staged scenes");
        let grid = [frames, rows, columns];
        let condition = plate_condition(self.code, &staging.plates, grid, self.device) * shown;
        let captions: Vec<&str> = batch.captions.iter().map(String::as_str).collect();
        let tokens = tokenize_clipped(model.tokenizer(), &model.config().text, &captions)?;
        let networks = model.networks();
        let context = networks.text.forward(&tokens, self.device);

        let sigmas: Vec<f32> = (0..clips).map(|_| rng.random_range(DENOISED)).collect();
        let sigma: Tensor<5> = Tensor::from_data(
            TensorData::new(sigmas.clone(), [clips, 1, 1, 1, 1]),
            self.device,
        );
        let noise = gaussian(clean.dims(), rng, self.device);
        let noised = clean * (sigma.clone() * -1.0 + 1.0) + noise * sigma.clone();
        let per_frame: Vec<f32> = sigmas
            .iter()
            .flat_map(|&sigma| vec![sigma; frames])
            .collect();
        let firsts = &batch.first_latent_frames;
        let clock_secs = clock((firsts, &[]), frames, self.config.model.patch_frames);
        let velocity = networks.transformer.forward(
            noised.clone(),
            condition,
            Moments {
                timesteps: &per_frame,
                clock_secs: &clock_secs,
                anchored: false,
            },
            &networks.transformer.prepare(&context),
        );
        Ok((noised - velocity * sigma).permute([0, 2, 3, 4, 1]))
    }
}

/// Latents with errors that differ from patch to patch, so that the decoder learns to look at a patch's neighbours too.
pub(super) fn noised(latents: Tensor<5>, most: f32) -> Tensor<5> {
    let mut per_clip = [1; 5];
    per_clip[0] = latents.dims()[0];
    let most = Distribution::Uniform(0.0, f64::from(most));
    let level = Tensor::<5>::random(per_clip, most, &latents.device());
    let noise = latents.random_like(Distribution::Normal(0.0, 1.0)) * level;
    latents + noise
}
