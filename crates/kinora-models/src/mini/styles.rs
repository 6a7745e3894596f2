//! The styles that the model knows by name. A plate is restyled as scenes are in training.

use std::ops::Range;

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

    /// The style that `prompt` names first. A word for a style may be said of something else, as of a black and white cow.
    pub fn find(&self, prompt: &str) -> Option<Style> {
        let text: Vec<char> = normalise(prompt).chars().collect();
        let found = self.phrases.read(&text);
        let mut styles = found
            .into_iter()
            .filter(|(_, place)| is_of_all(&text, place.clone()));
        styles.next().map(|(&style, _)| style)
    }
}

/// Whether a phrase is said of the whole picture: it begins its clause or follows a word such as "in", and ends its clause or says
/// of what it is a picture. Chinese phrases say it by themselves.
fn is_of_all(text: &[char], place: Range<usize>) -> bool {
    const ARTICLES: [&str; 3] = ["a", "an", "the"];
    const BEFORE: [&str; 5] = ["in", "as", "of", "like", "style"];
    const BEHIND: [&str; 8] = [
        "of",
        "style",
        "animation",
        "film",
        "movie",
        "picture",
        "video",
        "with",
    ];
    let ends = |c: char| ",.;:!?，。；：！？、".contains(c);
    if text[place.clone()].iter().any(|c| !c.is_ascii()) {
        return true;
    }
    let before: String = text[..place.start].iter().collect();
    let clause = before.rsplit(ends).next().unwrap_or_default();
    let mut words = clause.split_whitespace().rev().peekable();
    words.next_if(|word| ARTICLES.contains(word));
    let begins = words.next().is_none_or(|word| BEFORE.contains(&word));
    let behind: String = text[place.end..].iter().collect();
    let clause = behind.split(ends).next().unwrap_or_default();
    let next = clause.split_whitespace().next();
    begins && next.is_none_or(|word| BEHIND.contains(&word))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_style_may_be_said_of_something_else() {
        let named = |style, phrases: &[&str]| NamedStyle {
            style,
            phrases: phrases.iter().map(|&phrase| phrase.into()).collect(),
        };
        let styles = Styles::new(vec![
            named(Style::Monochrome, &["black and white", "黑白电影"]),
            named(Style::Sketch, &["sketch", "pencil sketch"]),
            named(Style::Neon, &["neon style", "in neon"]),
        ]);
        for (prompt, style) in [
            ("a koala waves, black and white", Some(Style::Monochrome)),
            ("A pencil sketch of a koala", Some(Style::Sketch)),
            ("a koala in the style of a sketch", Some(Style::Sketch)),
            ("一只考拉，黑白电影", Some(Style::Monochrome)),
            ("sketch", Some(Style::Sketch)),
            ("a black and white cow in a meadow", None),
            ("an artist with a sketch", None),
            ("a street in neon light", None),
        ] {
            assert_eq!(styles.find(prompt), style, "{prompt}");
        }
    }
}
