//! The lexicon: what the subjects are called, and how they look.
//!
//! A word in a prompt must not call for a subject that nobody meant: "at night" names no star, though the
//! star is tagged with it. So a phrase names a subject if it is its name or a tag of it alone, and if the
//! captions of scenes do not say it of anything else.

use std::collections::{HashMap, HashSet};

use color_quant::NeuQuant;
use kinora_data::{Entry as Subject, Pack, SceneSpec, Split, captions, everyday_names};
use kinora_models::mini::lexicon::{Animation, Entry, Lexicon, PICTURE_SIZE, PICTURE_VALUES};
use kinora_models::mini::pictures::{COLOURS, Indexed, Pictures};
use kinora_models::mini::text::normalise;
use rayon::prelude::*;

/// Scenes whose captions tell what words are used for.
const SCENES: u64 = 2000;
/// Words of the longest phrase that is looked for in captions, and characters where words are not spaced.
const LONGEST_WORDS: usize = 4;
const LONGEST_CHARACTERS: usize = 6;

/// Builds the lexicon of a pack, with a still picture of each subject.
pub(crate) fn lexicon(pack: &Pack) -> Lexicon {
    let pictures = (0..pack.len()).flat_map(|subject| picture(pack, subject, 0));
    let stills = Pictures::plain(pictures.collect());
    let mut entries = entries(pack, &said_elsewhere(pack));
    for entry in &mut entries {
        entry.animation = Animation::default();
    }
    Lexicon::new(entries, stills)
}

/// Builds the lexicon of a pack, with all frames of each subject in at most 256 colours.
pub(crate) fn animated_lexicon(pack: &Pack) -> Lexicon {
    let subjects = (0..pack.len()).into_par_iter();
    let indexed: Vec<Indexed> = subjects.map(|subject| indexed(pack, subject)).collect();
    let entries = entries(pack, &said_elsewhere(pack));
    Lexicon::new(entries, Pictures::indexed(indexed))
}

/// One of each so many pixels decides on the colours (NeuQuant, Dekker, 1994).
const COLOUR_SAMPLES: i32 = 10;

fn indexed(pack: &Pack, subject: usize) -> Indexed {
    let frames = 0..pack.entries()[subject].frames;
    let pixels: Vec<u8> = frames
        .flat_map(|frame| picture(pack, subject, frame))
        .collect();
    let colours = NeuQuant::new(COLOUR_SAMPLES, COLOURS, &pixels);
    Indexed {
        palette: colours.color_map_rgba(),
        indices: pixels
            .chunks_exact(4)
            .map(|pixel| colours.index_of(pixel) as u8)
            .collect(),
    }
}

fn entries(pack: &Pack, elsewhere: &HashSet<String>) -> Vec<Entry> {
    let tags: Vec<Vec<String>> = pack
        .entries()
        .iter()
        .map(|subject| {
            let all = subject.synonyms_en.iter().chain(&subject.synonyms_zh);
            let mut tags: Vec<String> = all.map(|tag| normalise(tag)).collect();
            tags.sort();
            tags.dedup();
            tags.retain(|tag| !elsewhere.contains(tag));
            tags
        })
        .collect();
    let mut owners: HashMap<&str, usize> = HashMap::new();
    for tag in tags.iter().flatten() {
        *owners.entry(tag).or_default() += 1;
    }
    let mut taken: HashSet<String> = pack.entries().iter().flat_map(names).collect();
    pack.entries()
        .iter()
        .zip(&tags)
        .map(|(subject, tags)| {
            let mut phrases: Vec<String> = names(subject)
                .filter(|name| !elsewhere.contains(name))
                .collect();
            let own = tags.iter().filter(|tag| owners[tag.as_str()] == 1);
            phrases.extend(own.filter(|tag| taken.insert((*tag).clone())).cloned());
            Entry {
                name: subject.name_en.clone(),
                phrases,
                tags: tags.clone(),
                animation: Animation {
                    frames: subject.frames,
                    fps: subject.fps,
                },
            }
        })
        .collect()
}

/// What captions call a subject.
fn names(subject: &Subject) -> impl Iterator<Item = String> {
    [&subject.name_en, &subject.name_zh]
        .map(|name| normalise(name))
        .into_iter()
        .chain(everyday_names(subject).map(normalise))
}

/// Phrases that captions say of something other than their subjects.
fn said_elsewhere(pack: &Pack) -> HashSet<String> {
    let mut said = HashSet::new();
    for seed in 0..SCENES {
        let spec = SceneSpec::sample(seed, pack, Split::Train);
        let companion = spec.companion.map(|companion| companion.subject);
        let mut own: Vec<String> = std::iter::once(spec.subject)
            .chain(companion)
            .flat_map(|subject| names(&pack.entries()[subject]))
            .collect();
        // The longest first: "teddy bear" before "bear".
        own.sort_by_key(|name| std::cmp::Reverse(name.len()));
        let told = captions(&spec, pack, seed);
        for text in [told.short_en, told.long_en, told.short_zh, told.long_zh] {
            let mut text = normalise(&text.text);
            for name in &own {
                text = text.replace(name.as_str(), ".");
            }
            collect_phrases(&text, &mut said);
        }
    }
    said
}

/// Every run of a few words, in the singular too, and of a few characters that are not spaced.
fn collect_phrases(text: &str, phrases: &mut HashSet<String>) {
    let is_spaced = |c: char| c.is_ascii();
    let clauses = text.split(|c: char| !c.is_alphanumeric() && !matches!(c, ' ' | '-'));
    for clause in clauses {
        let words: Vec<&str> = clause.split(' ').filter(|word| !word.is_empty()).collect();
        for length in 1..=LONGEST_WORDS {
            for run in words.windows(length) {
                let phrase = run.join(" ");
                if let Some(singular) = phrase.strip_suffix('s') {
                    phrases.insert(singular.to_owned());
                }
                phrases.insert(phrase);
            }
        }
        let characters: Vec<char> = clause.chars().filter(|&c| !is_spaced(c)).collect();
        for length in 1..=LONGEST_CHARACTERS {
            phrases.extend(
                characters
                    .windows(length)
                    .map(|run| run.iter().collect::<String>()),
            );
        }
    }
}

/// A frame of a subject, scaled to `PICTURE_SIZE²` pixels of premultiplied RGBA.
pub(crate) fn picture(pack: &Pack, subject: usize, frame: usize) -> Vec<u8> {
    let side = pack.sprite_size();
    let sprite = pack.frame(subject, frame);
    let scale = side as f32 / PICTURE_SIZE as f32;
    let mut pixels = Vec::with_capacity(PICTURE_VALUES);
    let span = |i: usize| {
        let start = i as f32 * scale;
        let end = start + scale;
        (start as usize..(end.ceil() as usize).min(side)).map(move |p| {
            let overlap = (p as f32 + 1.0).min(end) - (p as f32).max(start);
            (p, overlap / scale)
        })
    };
    for y in 0..PICTURE_SIZE {
        for x in 0..PICTURE_SIZE {
            let mut rgba = [0.0; 4];
            for (sy, wy) in span(y) {
                for (sx, wx) in span(x) {
                    let source = &sprite[(sy * side + sx) * 4..][..4];
                    for (sum, &byte) in rgba.iter_mut().zip(source) {
                        *sum += f32::from(byte) * wy * wx;
                    }
                }
            }
            pixels.extend(rgba.map(|value: f32| value.round() as u8));
        }
    }
    pixels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_call_for_what_they_name() {
        let pack = Pack::sample();
        let lexicon = lexicon(&pack);
        let called = |prompt: &str| -> Vec<&str> {
            let found = lexicon.find(prompt);
            found
                .iter()
                .map(|&id| lexicon.entries()[id].name.as_str())
                .collect()
        };
        assert_eq!(
            called("a koala stands on a beach at night in the snow"),
            ["koala"]
        );
        assert_eq!(called("一只考拉在海滩上"), ["koala"]);
        assert_eq!(called("the camera moves to the left over the sea"), [""; 0]);
        for entry in lexicon.entries() {
            assert_eq!(
                called(&format!("a {} waits", entry.name)),
                [entry.name.as_str()]
            );
        }
    }

    #[test]
    fn phrases_end_where_a_clause_does() {
        let mut phrases = HashSet::new();
        collect_phrases("beside . walks at night, 在海滩", &mut phrases);
        for said in ["walk", "walks", "at night", "海滩"] {
            assert!(phrases.contains(said), "{said}");
        }
        assert!(!phrases.contains("beside walks") && !phrases.contains("night 在"));
    }
}
