//! What a model is given of a clip beside words, told by the sizes of its networks.

use super::config::{AutoencoderConfig, ImageConfig, TextConfig, TransformerConfig, VaceConfig};
use super::weights::Network;
use crate::{KnownFrames, Shown};

/// Frames of a latent frame in every autoencoder of the family, each of which has a channel in the mask of I2V.
const MASK_CHANNELS: usize = 4;

/// What a model is given of a clip, and how.
#[derive(Debug, Clone, PartialEq)]
pub enum Conditioning {
    /// Words alone (T2V).
    Words,
    /// Known latent frames, each at its own timestep (TI2V).
    Timesteps,
    /// Pictures in channels beside the latents (I2V, FLF2V).
    Pictures(Shown),
    /// A clip with masks in a second branch (VACE).
    Control(VaceConfig),
}

/// Sizes of the networks of a model.
pub(super) struct Networks {
    pub(super) denoiser: DenoiserConfig,
    pub(super) autoencoder: AutoencoderConfig,
    pub(super) text: TextConfig,
    pub(super) image: Option<ImageConfig>,
}

/// Sizes of a transformer of either kind.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum DenoiserConfig {
    Plain(TransformerConfig),
    Vace(VaceConfig),
}

impl DenoiserConfig {
    /// The branch that all of them have.
    pub(super) fn transformer(&self) -> &TransformerConfig {
        match self {
            Self::Plain(config) => config,
            Self::Vace(config) => &config.transformer,
        }
    }

    /// What its weights are of.
    pub(super) fn network(&self) -> Network {
        match self {
            Self::Plain(_) => Network::Transformer,
            Self::Vace(_) => Network::Vace,
        }
    }

    /// What the transformer alone tells, before any other part of its model is there.
    ///
    /// # Errors
    ///
    /// A kind that this program does not run, with one that it does.
    pub(super) fn shown(&self) -> Result<Option<Shown>, String> {
        let config = self.transformer();
        let latents = config.channels_out();
        let beside = config.in_channels.checked_sub(latents);
        match (self, beside, config.image_dim, config.pos_embed_seq_len) {
            (Self::Vace(_), Some(0), None, _) => Ok(Some(Shown::Any)),
            (Self::Plain(_), Some(0), None, _) => Ok(None),
            (Self::Plain(_), Some(channels), image, positions)
                if channels == MASK_CHANNELS + latents =>
            {
                Ok(Some(match (image, positions) {
                    (None, _) => Shown::FirstAndMaybeLast,
                    (Some(_), None) => Shown::First,
                    (Some(_), Some(_)) => Shown::FirstAndLast,
                }))
            }
            _ => Err(format!(
                "takes {} channels and gives {latents}, which is no kind of Wan that Kinora runs: \
                 Wan-AI/Wan2.1-VACE-1.3B-diffusers takes any frames and regions, Wan-AI/Wan2.1-T2V-1.3B-Diffusers words",
                config.in_channels
            )),
        }
    }
}

impl Conditioning {
    /// What the networks are made for. `timestep_per_frame` is what the model's folder says, or its autoencoder tells.
    ///
    /// # Errors
    ///
    /// Networks that do not fit together, or of a kind that this program does not run.
    pub(super) fn of(networks: &Networks, timestep_per_frame: bool) -> Result<Self, String> {
        let shown = networks.denoiser.shown()?;
        check_fit(networks)?;
        match (&networks.denoiser, shown, timestep_per_frame) {
            (DenoiserConfig::Plain(_), None, false) => Ok(Self::Words),
            (DenoiserConfig::Plain(_), None, true) => Ok(Self::Timesteps),
            (DenoiserConfig::Plain(_), Some(shown), false) => Ok(Self::Pictures(shown)),
            (DenoiserConfig::Vace(config), _, false) => Ok(Self::Control(config.clone())),
            (_, _, true) => Err(
                "the model gives each latent frame a timestep of its own, but its transformer takes what is given in other \
                 channels: they belong to different models"
                    .into(),
            ),
        }
    }

    /// What may be given of a clip.
    pub fn known_frames(&self) -> KnownFrames {
        match self {
            Self::Words => KnownFrames::None,
            Self::Timesteps => KnownFrames::First,
            Self::Pictures(shown) => KnownFrames::Shown(*shown),
            Self::Control(_) => KnownFrames::Shown(Shown::Any),
        }
    }
}

fn check_fit(networks: &Networks) -> Result<(), String> {
    let transformer = networks.denoiser.transformer();
    let channels = networks.autoencoder.z_dim;
    let parts = |what: &str| Err(format!("{what}: they belong to different models"));
    if transformer.channels_out() != channels {
        return parts(&format!(
            "the transformer takes {} channels and gives {}, but the autoencoder has {channels}",
            transformer.in_channels,
            transformer.channels_out()
        ));
    }
    if transformer.in_channels != channels
        && networks.autoencoder.temporal_stride() != MASK_CHANNELS
    {
        return parts(&format!(
            "the transformer takes a mask of {MASK_CHANNELS} frames, but the autoencoder joins {}",
            networks.autoencoder.temporal_stride()
        ));
    }
    if let DenoiserConfig::Vace(config) = &networks.denoiser {
        let stride = networks.autoencoder.spatial_stride();
        let required = 2 * channels + stride * stride;
        if config.vace_in_channels != required {
            return parts(&format!(
                "the transformer is shown {} channels, but the autoencoder's latents and masks have {required}",
                config.vace_in_channels
            ));
        }
    }
    let (wanted, image) = (transformer.image_dim, networks.image.as_ref());
    match (wanted, image) {
        (None, None) => {}
        (None, Some(_)) => {
            return parts("the transformer sees no pictures, but there is an image encoder");
        }
        (Some(_), None) => {
            return parts("the transformer sees a picture, but there is no image encoder");
        }
        (Some(wanted), Some(image)) if wanted == image.hidden_size => {}
        (Some(wanted), Some(image)) => {
            return parts(&format!(
                "the transformer takes images of {wanted} channels, but the image encoder gives {}",
                image.hidden_size
            ));
        }
    }
    if let (Some(both), Some(image)) = (transformer.pos_embed_seq_len, image)
        && both != 2 * (1 + image.side() * image.side())
    {
        return parts(&format!(
            "the transformer takes {both} tokens of two pictures, but the image encoder gives {} of each",
            1 + image.side() * image.side()
        ));
    }
    if transformer.text_dim != networks.text.d_model {
        return parts(&format!(
            "the transformer takes text of {} channels, but the text encoder gives {}",
            transformer.text_dim, networks.text.d_model
        ));
    }
    if transformer.patch_size[0] != 1 {
        return Err("the transformer joins latent frames, which no pipeline of Wan does".into());
    }
    Ok(())
}
