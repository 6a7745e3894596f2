//! What named things look like: for each subject that the model knows by name, the latents of a
//! picture of it.
//!
//! Retrieval-augmented diffusion (Re-Imagen, Chen et al., 2022): the denoiser looks at the picture's
//! latents beside the words, so it need not store hundreds of appearances in its weights, and a
//! user's own picture can stand in the same place.

use std::collections::HashMap;

use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::text::normalise;

/// Pixels of a reference picture in each direction.
pub const REFERENCE_SIZE: usize = 64;
/// Pixels from one reference patch to the next: half a patch, so that the denoiser finds each part
/// of the subject at an offset close to the one it needs.
pub const REFERENCE_STRIDE: usize = 8;
/// Patches along one side of a reference picture.
pub const REFERENCE_SIDE: usize = (REFERENCE_SIZE - 16) / REFERENCE_STRIDE + 1;
/// Tokens of one reference.
pub const REFERENCE_TOKENS: usize = REFERENCE_SIDE * REFERENCE_SIDE;
/// Subjects of one prompt that have a reference: the first ones named.
pub const REFERENCE_SLOTS: usize = 1;

/// A subject that can be named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The name shown to people.
    pub name: String,
    /// Every phrase that means it, in any language.
    pub phrases: Vec<String>,
}

/// Names and reference latents.
#[derive(Debug, Clone)]
pub struct Lexicon {
    entries: Vec<Entry>,
    /// `entries · REFERENCE_TOKENS · latent_channels`
    latents: Vec<f32>,
    phrases: HashMap<String, usize>,
    longest: usize,
}

impl Lexicon {
    /// # Panics
    ///
    /// If `latents` does not hold the same number of values for each entry.
    pub fn new(entries: Vec<Entry>, latents: Vec<f32>) -> Self {
        assert_eq!(
            latents.len() % (entries.len().max(1) * REFERENCE_TOKENS),
            0,
            "one reference for each entry"
        );
        let mut phrases = HashMap::new();
        // Names win over synonyms, earlier entries over later ones.
        for (id, entry) in entries.iter().enumerate() {
            phrases.entry(normalise(&entry.name)).or_insert(id);
        }
        for (id, entry) in entries.iter().enumerate() {
            for phrase in &entry.phrases {
                phrases.entry(normalise(phrase)).or_insert(id);
            }
        }
        let longest = phrases.keys().map(|p| p.chars().count()).max().unwrap_or(0);
        Self {
            entries,
            latents,
            phrases,
            longest,
        }
    }

    /// Every entry, in order of its id.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// All reference latents, entry after entry.
    pub fn latents(&self) -> &[f32] {
        &self.latents
    }

    /// Ids of the subjects that `prompt` names, in order, longest phrase first at each place.
    pub fn find(&self, prompt: &str) -> Vec<usize> {
        let text: Vec<char> = normalise(prompt).chars().collect();
        let mut found = Vec::new();
        let mut start = 0;
        while start < text.len() {
            match self.match_at(&text, start) {
                Some((id, length)) => {
                    if !found.contains(&id) {
                        found.push(id);
                    }
                    start += length;
                }
                None => start += 1,
            }
        }
        found
    }

    /// The longest phrase that starts at `start` and ends at a word's end.
    fn match_at(&self, text: &[char], start: usize) -> Option<(usize, usize)> {
        let inside_word = |c: char| c.is_alphanumeric() && c.is_ascii();
        if start > 0 && inside_word(text[start - 1]) && inside_word(text[start]) {
            return None;
        }
        let end = text.len().min(start + self.longest + 1);
        (start + 1..=end).rev().find_map(|stop| {
            if stop < text.len() && inside_word(text[stop - 1]) && inside_word(text[stop]) {
                return None;
            }
            let phrase: String = text[start..stop].iter().collect();
            let singular = phrase.strip_suffix('s');
            self.phrases
                .get(&phrase)
                .or_else(|| singular.and_then(|singular| self.phrases.get(singular)))
                .map(|&id| (id, stop - start))
        })
    }

    /// References of a batch, zero where a slot is empty, and how many slots each item fills.
    ///
    /// # Shapes
    ///
    /// `[batch, REFERENCE_SLOTS · REFERENCE_TOKENS, latent_channels]`
    pub fn references(&self, subjects: &[Vec<usize>], device: &Device) -> (Tensor<3>, Vec<usize>) {
        let size = self.latents.len() / self.entries.len().max(1);
        let mut values = vec![0.0; subjects.len() * REFERENCE_SLOTS * size];
        for (ids, slots) in subjects
            .iter()
            .zip(values.chunks_mut(REFERENCE_SLOTS * size))
        {
            for (&id, slot) in ids.iter().zip(slots.chunks_mut(size)) {
                slot.copy_from_slice(&self.latents[id * size..(id + 1) * size]);
            }
        }
        let counts = subjects
            .iter()
            .map(|s| s.len().min(REFERENCE_SLOTS))
            .collect();
        let shape = [
            subjects.len(),
            REFERENCE_SLOTS * REFERENCE_TOKENS,
            size / REFERENCE_TOKENS,
        ];
        (
            Tensor::from_data(TensorData::new(values, shape), device),
            counts,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lexicon() -> Lexicon {
        let entry = |name: &str, phrases: &[&str]| Entry {
            name: name.into(),
            phrases: phrases.iter().map(|p| p.to_string()).collect(),
        };
        let entries = vec![
            entry("koala", &["考拉", "marsupial"]),
            entry("bear", &["熊"]),
            entry("teddy bear", &["泰迪熊"]),
            entry("car", &["汽车"]),
        ];
        let latents = vec![0.0; entries.len() * REFERENCE_TOKENS * 2];
        Lexicon::new(entries, latents)
    }

    #[test]
    fn finds_longest_phrases_as_whole_words() {
        let lexicon = lexicon();
        assert_eq!(lexicon.find("A Koala waves"), [0]);
        assert_eq!(lexicon.find("a teddy bear and a bear"), [2, 1]);
        assert_eq!(lexicon.find("two koalas, a CAR"), [0, 3]);
        assert_eq!(lexicon.find("scarf carpet"), [] as [usize; 0]);
        assert_eq!(lexicon.find("一只考拉和泰迪熊"), [0, 2]);
        assert_eq!(lexicon.find(""), [] as [usize; 0]);
    }

    #[test]
    fn references_fill_slots_in_order() {
        let (references, counts) = lexicon().references(&[vec![1], vec![]], &Device::flex());
        assert_eq!(
            references.dims(),
            [2, REFERENCE_SLOTS * REFERENCE_TOKENS, 2]
        );
        assert_eq!(counts, [1, 0]);
    }
}
