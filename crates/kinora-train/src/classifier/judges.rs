//! Trained judges and what they say.

use std::collections::HashMap;

use burn::tensor::{Device, Tensor};
use kinora_data::Style;
use kinora_models::mini::config::AutoencoderConfig;
use kinora_models::weights::{self, Storage, floats};
use serde::{Deserialize, Serialize};

use super::network::{JudgesConfig, Network};
use super::sight::{PatchSize, Sight, linear_of};
use crate::Error;

/// Guesses at the subject that are kept.
const TOP: usize = 5;

/// Judges of what a clip shows. They carry the linear code that they learned
/// from, so that they judge any model's pixels alike.
#[derive(Debug, Clone)]
pub struct Judges {
    pub(super) sight: Sight,
    pub(super) network: Network,
    pub(super) sizes: JudgesConfig,
}

/// The one entry of the file's metadata: a [`Header`].
const METADATA: &str = "kinora-judges";

/// What the tensors of a file do not tell.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    network: JudgesConfig,
    patch: PatchSize,
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
    /// Index in [`kinora_data::TimeOfDay::ALL`].
    pub time: Vec<usize>,
    /// Index in [`kinora_data::Weather::ALL`].
    pub weather: Vec<usize>,
    /// Index in [`kinora_data::Style::ALL`].
    pub style: Vec<usize>,
    /// Pooled features, `[batch, width]`.
    pub features: Tensor<2>,
}

impl Judges {
    /// Reads a file of judges from memory.
    ///
    /// # Errors
    ///
    /// A damaged file, or one of something else.
    pub fn from_bytes(bytes: &[u8], device: &Device) -> Result<Self, Error> {
        let format = |reason: String| Error::Model(kinora_models::Error::Format(reason));
        let (tensors, metadata) = weights::from_bytes(bytes)?;
        let Header {
            network: sizes,
            patch,
        } = metadata
            .get(METADATA)
            .ok_or_else(|| format(format!("it has no '{METADATA}' entry: it holds no judges")))
            .and_then(|header| {
                serde_json::from_str(header)
                    .map_err(|error| format(format!("entry '{METADATA}': {error}")))
            })?;
        if sizes.heads == 0 || !sizes.width.is_multiple_of(sizes.heads) || sizes.latent_frames == 0
        {
            return Err(format(format!("its sizes fit no network: {sizes:?}")));
        }
        let code = linear_of(&tensors, "code", device)?;
        let subjects = linear_of(&tensors, "model.subject", device)?.weight.dims()[1];
        let [values, channels] = code.weight.dims();
        if !patch.is_possible() || patch.values() != values {
            return Err(format(format!(
                "its linear code reads {values} values, a patch is {patch:?}"
            )));
        }
        // Older judges do not know the latest styles.
        let styles = linear_of(&tensors, "model.style", device)?.weight.dims()[1];
        if styles > Style::ALL.len() {
            return Err(format(format!(
                "it tells {styles} styles apart, of which some are unknown"
            )));
        }
        let fresh = Network::new(sizes, channels, (subjects, styles), device);
        Ok(Self {
            network: weights::assign(fresh, "model", &tensors)?,
            sight: Sight { code, patch },
            sizes,
        })
    }

    /// Their file, in bfloat16. The same judges give the same bytes.
    ///
    /// # Errors
    ///
    /// [`kinora_models::Error::Format`] where it cannot be serialised.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        let mut tensors = weights::collect(&self.sight.code, "code");
        tensors.extend(weights::collect(&self.network, "model"));
        let header = Header {
            network: self.sizes,
            patch: self.sight.patch,
        };
        let header = serde_json::to_string(&header)
            .map_err(|error| kinora_models::Error::Format(error.to_string()))?;
        let metadata = HashMap::from([(METADATA.to_owned(), header)]);
        Ok(weights::to_bytes(&tensors, metadata, |_| Storage::Bf16)?)
    }

    /// Styles that they tell apart: the first of all.
    pub(crate) fn styles(&self) -> usize {
        self.network.styles()
    }

    /// Latent frames of the clips that the judges learned from.
    pub fn latent_frames(&self) -> usize {
        self.sizes.latent_frames
    }

    /// Whether the judges can read patches of this autoencoder's size, and learned from a pack of so many subjects.
    ///
    /// # Errors
    ///
    /// Patches of another size, or more or fewer subjects.
    pub fn accept(&self, config: &AutoencoderConfig, subjects: usize) -> Result<(), Error> {
        let known = self.network.subjects();
        if known != subjects {
            return Err(Error::OtherSubjects {
                known,
                got: subjects,
            });
        }
        if PatchSize::of(config) == self.sight.patch {
            return Ok(());
        }
        let [required, channels] = self.sight.code.weight.dims();
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
        let verdict = self.network.forward(self.sight.look(patches));
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
            time: best(verdict.time),
            weather: best(verdict.weather),
            style: best(verdict.style),
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
