//! What named things look like: for each subject that the model knows by name, a picture of it.
//!
//! Retrieval-augmented diffusion (Re-Imagen, Chen et al., 2022): the denoiser is shown the picture, so
//! it need not store hundreds of appearances in its weights, and a user's own picture can stand in the
//! same place.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::phrases::Phrases;
use super::text::normalise;

/// Pixels of a picture in each direction.
pub const PICTURE_SIZE: usize = 64;
/// Values of a picture: premultiplied RGBA.
pub const PICTURE_VALUES: usize = PICTURE_SIZE * PICTURE_SIZE * 4;

/// A subject that can be named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The name shown to people.
    pub name: String,
    /// Every phrase that means it and nothing else, in any language; mostly its name is among them.
    pub phrases: Vec<String>,
    /// Words that belong to it, though perhaps to others too.
    pub tags: Vec<String>,
}

/// Names and pictures.
#[derive(Debug, Clone)]
pub struct Lexicon {
    entries: Vec<Entry>,
    /// `entries · PICTURE_VALUES`
    pictures: Vec<u8>,
    /// The entry of each phrase.
    named: Phrases<usize>,
    /// The entries of each tag.
    tagged: Phrases<Vec<usize>>,
}

impl Lexicon {
    /// # Panics
    ///
    /// If there is not one picture for each entry.
    pub fn new(entries: Vec<Entry>, pictures: Vec<u8>) -> Self {
        assert_eq!(
            pictures.len(),
            entries.len() * PICTURE_VALUES,
            "one picture for each entry"
        );
        let mut named = Phrases::default();
        let mut tagged: Phrases<Vec<usize>> = Phrases::default();
        for (id, entry) in entries.iter().enumerate() {
            let said = |phrase: &&String| !normalise(phrase).is_empty();
            for phrase in entry.phrases.iter().filter(said) {
                named.entry(phrase, id);
            }
            for tag in entry.tags.iter().filter(said) {
                tagged.entry(tag, Vec::new()).push(id);
            }
        }
        Self {
            entries,
            pictures,
            named,
            tagged,
        }
    }

    /// Every entry, in order of its id.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// All pictures, entry after entry.
    pub fn pictures(&self) -> &[u8] {
        &self.pictures
    }

    /// Premultiplied RGBA of an entry, [`PICTURE_SIZE`] squared.
    ///
    /// # Panics
    ///
    /// If there is no such entry.
    pub fn picture(&self, entry: usize) -> &[u8] {
        &self.pictures[entry * PICTURE_VALUES..][..PICTURE_VALUES]
    }

    /// Ids of the subjects that `prompt` names, in order, longest phrase first at each place.
    pub fn find(&self, prompt: &str) -> Vec<usize> {
        let mut found = Vec::new();
        for &id in self.named.matches(prompt) {
            if !found.contains(&id) {
                found.push(id);
            }
        }
        found
    }

    /// Where the subjects that `prompt` names stand in it, in characters of its [normalised](normalise) form.
    pub(super) fn places(&self, prompt: &str) -> Vec<Range<usize>> {
        self.named.places(prompt)
    }

    /// What `prompt` says beside the subjects that it names: a mountain railway need not be in the mountains.
    pub fn rest(&self, prompt: &str) -> String {
        self.named.rest(prompt)
    }

    /// The subject with the most tags in `prompt`, for one that names none: "a laughing face" is likely the
    /// face that is tagged with both words.
    pub fn guess(&self, prompt: &str) -> Option<usize> {
        let mut counts: HashMap<usize, usize> = HashMap::new();
        for id in self.tagged.matches(prompt).into_iter().flatten() {
            *counts.entry(*id).or_default() += 1;
        }
        let best = counts
            .into_iter()
            .max_by_key(|&(id, count)| (count, Reverse(id)));
        best.map(|(id, _)| id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lexicon() -> Lexicon {
        let entry = |name: &str, others: &[&str]| Entry {
            name: name.into(),
            phrases: [&[name], others]
                .concat()
                .iter()
                .map(|p| p.to_string())
                .collect(),
            tags: vec![format!("a kind of {name}"), "furry".into()],
        };
        let entries = vec![
            entry("koala", &["考拉", "marsupial"]),
            entry("bear", &["熊"]),
            entry("teddy bear", &["泰迪熊"]),
            entry("car", &["汽车"]),
        ];
        let pictures = vec![0; entries.len() * PICTURE_VALUES];
        Lexicon::new(entries, pictures)
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
        assert_eq!(lexicon.rest("A teddy bear in two Cars"), "a . in two .");
    }

    #[test]
    fn guesses_by_tags_what_is_not_named() {
        let lexicon = lexicon();
        assert_eq!(lexicon.find("something furry"), [] as [usize; 0]);
        assert_eq!(lexicon.guess("something furry"), Some(0));
        assert_eq!(lexicon.guess("furry, a kind of car"), Some(3));
        assert_eq!(lexicon.guess("nothing of the sort"), None);
    }
}
