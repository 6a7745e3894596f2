//! What named things look like: for each subject that the model knows by name, a picture of it, or an animation.
//!
//! Retrieval-augmented diffusion (Re-Imagen, Chen et al., 2022): the denoiser is shown the picture, so
//! it need not store hundreds of appearances in its weights, and a user's own picture can stand in the
//! same place.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::phrases::Phrases;
use super::pictures::Pictures;
use super::plate::Figure;
use super::text::normalise;
use crate::Error;

/// Pixels of a picture in each direction.
pub const PICTURE_SIZE: usize = 64;
/// Pixels of a picture.
pub const PICTURE_PIXELS: usize = PICTURE_SIZE * PICTURE_SIZE;
/// Values of a picture: premultiplied RGBA.
pub const PICTURE_VALUES: usize = PICTURE_PIXELS * 4;
/// Frames of an entry's animation at most.
pub const MOST_FRAMES: usize = 256;

/// A subject that can be named.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The name shown to people.
    pub name: String,
    /// Every phrase that means it and nothing else, in any language; mostly its name is among them.
    pub phrases: Vec<String>,
    /// Words that belong to it, though perhaps to others too.
    pub tags: Vec<String>,
    /// Frames of its animation, a loop.
    #[serde(default)]
    pub animation: Animation,
}

/// How an entry's pictures follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Animation {
    /// Pictures of a loop.
    pub frames: usize,
    /// How many are seen in a second.
    pub fps: f32,
}

impl Default for Animation {
    /// A still picture.
    fn default() -> Self {
        Self {
            frames: 1,
            fps: 0.0,
        }
    }
}

impl Animation {
    /// The picture that is seen after so many seconds.
    pub fn frame_at(self, secs: f32) -> usize {
        (secs * self.fps).max(0.0) as usize % self.frames.max(1)
    }
}

/// Names and pictures.
#[derive(Debug, Clone)]
pub struct Lexicon {
    entries: Vec<Entry>,
    pictures: Pictures,
    /// The entry of each phrase.
    named: Phrases<usize>,
    /// The entries of each tag.
    tagged: Phrases<Vec<usize>>,
}

impl Lexicon {
    /// # Panics
    ///
    /// If there are not pictures of each entry.
    pub fn new(entries: Vec<Entry>, pictures: Pictures) -> Self {
        assert_eq!(pictures.len(), entries.len(), "pictures of each entry");
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

    /// All pictures.
    pub fn pictures(&self) -> &Pictures {
        &self.pictures
    }

    /// What an entry looks like, frame by frame.
    ///
    /// # Errors
    ///
    /// [`Error::Format`] where the file's pictures of it are damaged.
    ///
    /// # Panics
    ///
    /// If there is no such entry.
    pub fn figure(&self, entry: usize) -> Result<Figure, Error> {
        let Entry {
            name, animation, ..
        } = &self.entries[entry];
        let pictures = self.pictures.of(entry, animation.frames);
        let pictures = pictures
            .ok_or_else(|| Error::Format(format!("its pictures of '{name}' are damaged")))?;
        Ok(Figure::new(pictures.chunks_exact(PICTURE_VALUES)))
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
        let said = normalise(prompt);
        let said: Vec<&str> = said.split(|c: char| !c.is_alphanumeric()).collect();
        let is_said = |word: &&str| said.contains(word);
        // A laughing face is a face before it is a cat with one.
        let named = |id: usize| self.entries[id].name.split(' ').filter(is_said).count();
        let best = counts
            .into_iter()
            .max_by_key(|&(id, count)| (count, named(id), Reverse(id)));
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
            animation: Animation::default(),
        };
        let entries = vec![
            entry("koala", &["考拉", "marsupial"]),
            entry("bear", &["熊"]),
            entry("teddy bear", &["泰迪熊"]),
            entry("car", &["汽车"]),
        ];
        let pictures = vec![0; entries.len() * PICTURE_VALUES];
        Lexicon::new(entries, Pictures::plain(pictures))
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
    fn animations_run_in_loops() {
        let animation = Animation {
            frames: 3,
            fps: 6.0,
        };
        let at = |frame: usize| animation.frame_at(frame as f32 / 12.0);
        let seen: Vec<usize> = (0..8).map(at).collect();
        assert_eq!(seen, [0, 0, 1, 1, 2, 2, 0, 0]);
        assert_eq!(Animation::default().frame_at(7.0), 0);
    }

    #[test]
    fn guesses_by_tags_what_is_not_named() {
        let lexicon = lexicon();
        assert_eq!(lexicon.find("something furry"), [] as [usize; 0]);
        assert_eq!(lexicon.guess("something furry"), Some(0));
        assert_eq!(lexicon.guess("furry, a kind of car"), Some(3));
        // Both bears are furry; one is called by a word of the prompt.
        assert_eq!(lexicon.guess("a furry teddy"), Some(2));
        assert_eq!(lexicon.guess("nothing of the sort"), None);
    }
}
