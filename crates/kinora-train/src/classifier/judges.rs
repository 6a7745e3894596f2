//! Trained judges and what they say.

use burn::tensor::Tensor;
use kinora_models::layers::Linear;
use kinora_models::mini::config::AutoencoderConfig;
use kinora_models::weights::floats;

use super::network::Network;
use crate::Error;

/// Guesses at the subject that are kept.
const TOP: usize = 5;

/// Judges of subject, background, motion and camera. They carry the linear code that they learned
/// from, so that they judge any model's pixels alike.
#[derive(Debug, Clone)]
pub struct Judges {
    pub(super) code: Linear,
    pub(super) network: Network,
    pub(super) latent_frames: usize,
}

/// What the judges see in each clip of a batch.
#[derive(Debug, Clone)]
pub struct Predictions {
    /// Index of the subject in the pack.
    pub subject: Vec<usize>,
    /// The five likeliest subjects, best first.
    pub subject_top_5: Vec<Vec<usize>>,
    /// Index in [`kinora_data::Background::ALL`].
    pub background: Vec<usize>,
    /// Index in [`kinora_data::Motion::ALL`].
    pub motion: Vec<usize>,
    /// Index in [`kinora_data::Camera::ALL`].
    pub camera: Vec<usize>,
    /// Pooled features, `[batch, width]`.
    pub features: Tensor<2>,
}

impl Judges {
    /// Latent frames of the clips that the judges learned from.
    pub fn latent_frames(&self) -> usize {
        self.latent_frames
    }

    /// Whether the judges can read patches of this autoencoder's size.
    ///
    /// # Errors
    ///
    /// Patches of another size.
    pub fn accept(&self, config: &AutoencoderConfig) -> Result<(), Error> {
        let [required, channels] = self.code.weight.dims();
        if config.patch_values() == required {
            return Ok(());
        }
        Err(Error::Model(kinora_models::Error::TensorShape {
            name: "the judges' linear code".into(),
            got: vec![config.patch_values(), channels],
            required: vec![required, channels],
        }))
    }

    /// Judges clips from their beginning.
    ///
    /// # Shapes
    ///
    /// - `patches`: `[batch, latent_frames, height, width, patch_values]`, pixels in −1 to 1 grouped
    ///   by patch; [`latent_frames`](Self::latent_frames) of them, or one for a picture
    pub fn predict(&self, patches: Tensor<5>) -> Predictions {
        let verdict = self.network.forward(self.code.forward(patches));
        let best = |scores| -> Vec<usize> {
            ranked(scores, 1)
                .into_iter()
                .map(|classes| classes[0])
                .collect()
        };
        let subject_top_5 = ranked(verdict.subject, TOP);
        Predictions {
            subject: subject_top_5.iter().map(|classes| classes[0]).collect(),
            subject_top_5,
            background: best(verdict.background),
            motion: best(verdict.motion),
            camera: best(verdict.camera),
            features: verdict.features,
        }
    }
}

/// The `count` likeliest classes of each row, best first.
fn ranked(scores: Tensor<2>, count: usize) -> Vec<Vec<usize>> {
    let [_, classes] = scores.dims();
    floats(scores)
        .chunks(classes)
        .map(|row| {
            let mut order: Vec<usize> = (0..classes).collect();
            order.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
            order.truncate(count);
            order
        })
        .collect()
}
