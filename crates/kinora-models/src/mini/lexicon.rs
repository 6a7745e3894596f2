//! What named things look like: for each subject that the model knows by name, a picture of it.
//!
//! Retrieval-augmented diffusion (Re-Imagen, Chen et al., 2022): the denoiser is shown the picture, so
//! it need not store hundreds of appearances in its weights, and a user's own picture can stand in the
//! same place.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

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
    /// Every phrase that means it, in any language.
    pub phrases: Vec<String>,
}

/// Names and pictures.
#[derive(Debug, Clone)]
pub struct Lexicon {
    entries: Vec<Entry>,
    /// `entries · PICTURE_VALUES`
    pictures: Vec<u8>,
    phrases: HashMap<String, usize>,
    longest: usize,
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
            pictures,
            phrases,
            longest,
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
    }
}
