//! The styles that the model knows by name. A plate is restyled as scenes are in training.

use kinora_style::Style;
use serde::{Deserialize, Serialize};

use super::phrases::Phrases;
use super::plate::Scenery;
use super::text::normalise;

/// A style that can be named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedStyle {
    /// What it does.
    pub style: Style,
    /// Every phrase that means it, in any language.
    pub phrases: Vec<String>,
}

/// What can be named.
#[derive(Debug, Clone, Default)]
pub struct Styles {
    named: Vec<NamedStyle>,
    phrases: Phrases<Style>,
}

impl Styles {
    /// Of these names.
    pub fn new(named: Vec<NamedStyle>) -> Self {
        let mut phrases = Phrases::default();
        for NamedStyle {
            style,
            phrases: said,
        } in &named
        {
            for phrase in said.iter().filter(|said| !normalise(said).is_empty()) {
                phrases.entry(phrase, *style);
            }
        }
        Self { named, phrases }
    }

    /// All of them.
    pub fn named(&self) -> &[NamedStyle] {
        &self.named
    }

    /// The style that `prompt` names first.
    pub fn find(&self, prompt: &str) -> Option<Style> {
        self.phrases.matches(prompt).first().map(|&&style| style)
    }
}

/// A style with its grain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finish {
    /// What it does.
    pub style: Style,
    /// Of the grain, which stands still.
    pub seed: u64,
}

impl Finish {
    /// The frame in this style.
    pub(super) fn over(self, scenery: &Scenery, size: [usize; 2]) -> Scenery {
        let byte = |value: &f32| (value * 127.5 + 128.0) as u8;
        let mut pixels: Vec<u8> = scenery.iter().flatten().map(byte).collect();
        self.style.apply(&mut pixels, size, self.seed);
        let level = |byte: u8| f32::from(byte) / 127.5 - 1.0;
        let pixels = pixels.as_chunks::<3>().0.iter();
        pixels.map(|pixel| pixel.map(level)).collect()
    }
}
