//! Phrases that mean something, looked for in a prompt.

use std::collections::HashMap;
use std::ops::Range;

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
        let found = self.read(&letters(text));
        found.into_iter().map(|(meaning, _)| meaning).collect()
    }

    /// Where the phrases of `text` stand, in characters of its [normalised](normalise) form.
    pub(super) fn places(&self, text: &str) -> Vec<Range<usize>> {
        let found = self.read(&letters(text));
        found.into_iter().map(|(_, place)| place).collect()
    }

    /// What `text` says beside the phrases; each leaves a full stop.
    pub(super) fn rest(&self, text: &str) -> String {
        let text = letters(text);
        let mut rest = String::new();
        let mut from = 0;
        for (_, place) in self.read(&text) {
            rest.extend(&text[from..place.start]);
            rest.push('.');
            from = place.end;
        }
        rest.extend(&text[from..]);
        rest
    }

    /// The phrases of `text`, which is [normalised](normalise): what each stands for, and where it stands.
    pub(super) fn read(&self, text: &[char]) -> Vec<(&T, Range<usize>)> {
        let mut found = Vec::new();
        let mut start = 0;
        while start < text.len() {
            match self.match_at(text, start) {
                Some((meaning, length)) => {
                    found.push((meaning, start..start + length));
                    start += length;
                }
                None => start += 1,
            }
        }
        found
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

fn letters(text: &str) -> Vec<char> {
    normalise(text).chars().collect()
}
