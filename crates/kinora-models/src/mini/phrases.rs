//! Phrases that mean something, looked for in a prompt.

use std::collections::HashMap;

use super::text::normalise;

/// Phrases to look for in a text, and what each stands for.
#[derive(Debug, Clone)]
pub(super) struct Phrases<T> {
    meanings: HashMap<String, T>,
    /// Characters of the longest phrase.
    longest: usize,
}

impl<T> Default for Phrases<T> {
    fn default() -> Self {
        Self {
            meanings: HashMap::new(),
            longest: 0,
        }
    }
}

impl<T> Phrases<T> {
    /// What `phrase` stands for; `new` if it has not been there.
    pub(super) fn entry(&mut self, phrase: &str, new: T) -> &mut T {
        let phrase = normalise(phrase);
        self.longest = self.longest.max(phrase.chars().count());
        self.meanings.entry(phrase).or_insert(new)
    }

    /// Meanings of the phrases in `text`, in order, the longest at each place.
    pub(super) fn matches(&self, text: &str) -> Vec<&T> {
        self.read(text).0
    }

    /// What `text` says beside the phrases; each leaves a full stop.
    pub(super) fn rest(&self, text: &str) -> String {
        self.read(text).1
    }

    fn read(&self, text: &str) -> (Vec<&T>, String) {
        let text: Vec<char> = normalise(text).chars().collect();
        let (mut found, mut rest) = (Vec::new(), String::new());
        let mut start = 0;
        while start < text.len() {
            match self.match_at(&text, start) {
                Some((meaning, length)) => {
                    found.push(meaning);
                    rest.push('.');
                    start += length;
                }
                None => {
                    rest.push(text[start]);
                    start += 1;
                }
            }
        }
        (found, rest)
    }

    /// The longest phrase that starts at `start` and ends at a word's end, and its length.
    fn match_at(&self, text: &[char], start: usize) -> Option<(&T, usize)> {
        let inside_word = |c: char| c.is_alphanumeric() && c.is_ascii();
        if start > 0 && inside_word(text[start - 1]) && inside_word(text[start]) {
            return None;
        }
        // A letter more, for the plural.
        let end = text.len().min(start + self.longest + 1);
        (start + 1..=end).rev().find_map(|stop| {
            if stop < text.len() && inside_word(text[stop - 1]) && inside_word(text[stop]) {
                return None;
            }
            let phrase: String = text[start..stop].iter().collect();
            let singular = phrase.strip_suffix('s');
            self.meanings
                .get(&phrase)
                .or_else(|| singular.and_then(|singular| self.meanings.get(singular)))
                .map(|meaning| (meaning, stop - start))
        })
    }
}
