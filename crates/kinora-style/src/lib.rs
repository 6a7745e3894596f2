//! Styles: what happens to a finished frame so that it looks drawn, painted or modelled.
//!
//! Training scenes are restyled so, and a model's plates are too, so that both are the same to the last bit.

mod filters;
mod noise;

use serde::{Deserialize, Serialize};

pub use noise::{mix, noise_2d};

/// How a picture is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Style {
    /// As a camera sees it.
    Natural,
    /// Few flat colours.
    Flat,
    /// Large square pixels.
    Pixel,
    /// Pencil lines on paper.
    Sketch,
    /// Soft washed colours.
    Watercolor,
    /// Bright lines in the dark.
    Neon,
    /// Shades of grey.
    Monochrome,
    /// Modelling clay in a soft light.
    Clay,
}

impl Style {
    /// All of them, in the order of their [`index`](Self::index).
    pub const ALL: &'static [Self] = &[
        Self::Natural,
        Self::Flat,
        Self::Pixel,
        Self::Sketch,
        Self::Watercolor,
        Self::Neon,
        Self::Monochrome,
        Self::Clay,
    ];

    /// Its name, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Natural => "natural",
            Self::Flat => "flat",
            Self::Pixel => "pixel",
            Self::Sketch => "sketch",
            Self::Watercolor => "watercolor",
            Self::Neon => "neon",
            Self::Monochrome => "monochrome",
            Self::Clay => "clay",
        }
    }

    /// Its number, which is its label in evaluation.
    pub fn index(self) -> usize {
        self as usize
    }

    /// The style of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|style| style.name() == name)
    }

    /// Restyles a frame of `width · height` pixels of RGB, in place. What has a grain has that of the seed.
    ///
    /// # Panics
    ///
    /// If there are more or fewer pixels.
    pub fn apply(self, pixels: &mut [u8], [width, height]: [usize; 2], seed: u64) {
        assert_eq!(
            pixels.len(),
            width * height * 3,
            "three bytes for each pixel"
        );
        let frame = &mut filters::Frame {
            pixels,
            width,
            height,
        };
        filters::apply(self, frame, seed);
    }
}
