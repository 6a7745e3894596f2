//! The latent frames of a clip: known, to be changed, or free.

use burn::tensor::Tensor;
use kinora_models::GivenFrame;

use crate::Error;

/// One latent frame of the finished clip.
#[derive(Debug, Clone)]
pub enum LatentFrame {
    /// Given and clean: `[1, channels, 1, height, width]`.
    Known(Tensor<5>),
    /// Given, to be changed.
    Noised {
        /// `[1, channels, 1, height, width]`
        latents: Tensor<5>,
        /// 0 keeps it, 1 replaces it.
        strength: f32,
        /// Where it changes, `[1, 1, 1, height, width]`: 1 is to be made, 0 stays; `None` is everywhere.
        region: Option<Box<Tensor<5>>>,
        /// The given frames that it was encoded from.
        frames: Vec<GivenFrame>,
    },
    /// To be made.
    Free,
}

/// What is told of a latent frame before it is asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// [`LatentFrame::Known`]
    Known,
    /// [`LatentFrame::Noised`] everywhere, by this strength.
    Noised(f32),
    /// [`LatentFrame::Noised`] in a region, by this strength.
    InRegion(f32),
    /// [`LatentFrame::Free`]
    Free,
}

impl Kind {
    /// The highest noise level that such a frame takes part in.
    pub(crate) fn strength(self) -> f32 {
        match self {
            Self::Known => 0.0,
            Self::Noised(strength) | Self::InRegion(strength) => strength,
            Self::Free => 1.0,
        }
    }
}

/// What is known of a clip: a task is a layout, never a sampler.
pub trait Layout {
    /// Latent frames of the clip.
    fn len(&self) -> usize;

    /// Whether there is nothing at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What latent frame `index` is.
    fn kind(&self, index: usize) -> Kind;

    /// Latent frame `index`. Frames that are to be made are asked for once and, where all of them are given, in order: so
    /// a layout can read a clip as it is needed.
    ///
    /// # Errors
    ///
    /// Whatever hinders reading it.
    fn latent_frame(&mut self, index: usize) -> Result<LatentFrame, Error>;
}

/// A layout that is held in memory.
#[derive(Debug, Clone)]
pub struct Timeline {
    latent_frames: Vec<LatentFrame>,
}

impl Timeline {
    /// A clip of which nothing is known.
    pub fn free(latent_frames: usize) -> Self {
        Self {
            latent_frames: vec![LatentFrame::Free; latent_frames],
        }
    }

    /// A clip with the given latent frames.
    pub fn new(latent_frames: Vec<LatentFrame>) -> Self {
        Self { latent_frames }
    }
}

impl Layout for Timeline {
    fn len(&self) -> usize {
        self.latent_frames.len()
    }

    fn kind(&self, index: usize) -> Kind {
        match &self.latent_frames[index] {
            LatentFrame::Known(_) => Kind::Known,
            LatentFrame::Noised {
                strength, region, ..
            } => match region {
                Some(_) => Kind::InRegion(*strength),
                None => Kind::Noised(*strength),
            },
            LatentFrame::Free => Kind::Free,
        }
    }

    fn latent_frame(&mut self, index: usize) -> Result<LatentFrame, Error> {
        Ok(self.latent_frames[index].clone())
    }
}
