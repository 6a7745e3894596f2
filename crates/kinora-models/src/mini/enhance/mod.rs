//! From a few words to the caption that they would have had in training: the user's words, and what they leave open.
//!
//! Captions tell who does what where, when, and what the camera does. A prompt such as "a rocket" leaves most of it open, and
//! the model then draws a place that suits many subjects and perhaps not this one. What is added is said in the words of
//! captions, behind the user's own, which all stay; what the user said is said by nobody else.

mod chinese;
mod english;
mod habits;
mod said;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::backdrops::Backdrops;
use super::lexicon::Lexicon;
use habits::{Habit, habit, has_light, settings};
use said::Said;

/// Keeps the choice of words apart from what else is drawn from a seed.
const WORDS_STREAM: u64 = 1 << 42;

/// What is added to a prompt. What was said already is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Additions {
    motion: Option<&'static str>,
    place: Option<&'static str>,
    light: Option<&'static str>,
    camera: Option<&'static str>,
}

/// The fuller caption of `prompt`; `None` where it names no subject, or says already who does what where. `fits` tells whether
/// the model takes a prompt of this length: what matters least is left out first.
pub(super) fn enhance(
    prompt: &str,
    seed: u64,
    (lexicon, backdrops): (&Lexicon, &Backdrops),
    fits: impl Fn(&str) -> bool,
) -> Option<String> {
    let said = Said::read(prompt, lexicon, backdrops)?;
    if said.place.is_some() && said.motion {
        return None;
    }
    let subjects = lexicon.find(prompt);
    let subject = &lexicon.entries()[*subjects.first()?];
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(WORDS_STREAM);
    let (additions, motions) = choose(&said, habit(subject), backdrops, &mut rng);
    let shorter = [
        additions,
        Additions {
            camera: None,
            ..additions
        },
        Additions {
            camera: None,
            light: None,
            ..additions
        },
        Additions {
            place: additions.place,
            ..Additions::default()
        },
    ];
    // "A woman walking" may be the name of another subject than "a woman".
    let others = |additions: Additions| {
        let motions = motions.iter().map(move |&motion| Additions {
            motion: additions.motion.and(Some(motion)),
            ..additions
        });
        std::iter::once(additions).chain(motions)
    };
    let written = shorter
        .into_iter()
        .flat_map(others)
        .map(|additions| match said.language {
            Language::English => english::write(&said, &additions),
            Language::Chinese => chinese::write(&said, &additions),
        });
    let keeps_its_meaning = |text: &String| lexicon.find(text) == subjects;
    written
        .filter(|text| text.as_str() != said.text())
        .find(|text| keeps_its_meaning(text) && fits(text))
}

/// Draws what `said` leaves open; and all that the subject may do.
fn choose(
    said: &Said,
    habit: &Habit,
    backdrops: &Backdrops,
    rng: &mut impl Rng,
) -> (Additions, &'static [&'static str]) {
    let suiting = settings(backdrops, |place| {
        habit.places.contains(&place.name.as_str()) && said.allows(&place.name)
    });
    let common = settings(backdrops, |place| {
        place.is_common && said.allows(&place.name)
    });
    let places = if suiting.is_empty() { common } else { suiting };
    // All is drawn, whatever was said: another word in the prompt changes no other addition.
    let motions = habit.doing.of(said.language);
    let motion = pick(motions, rng);
    let setting = pick(&places, rng);
    let place = setting.and_then(|setting| pick(setting.words.of(said.language), rng));
    let light = pick(habits::DAYLIGHT.of(said.language), rng);
    let camera = pick(habits::CAMERA.of(said.language), rng);

    let found = setting.map(|setting| setting.name);
    let found = said.place.as_deref().or(found);
    let is_dark = said.light || habit.shines || !found.is_some_and(has_light);
    let additions = Additions {
        motion: motion.filter(|_| !said.motion),
        place: place.filter(|_| said.place.is_none()),
        light: light.filter(|_| !is_dark),
        camera: camera.filter(|_| !said.camera),
    };
    (additions, motions)
}

fn pick<T: Copy>(all: &[T], rng: &mut impl Rng) -> Option<T> {
    (!all.is_empty()).then(|| all[rng.random_range(0..all.len())])
}

/// The languages of captions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    English,
    Chinese,
}

/// The same in both languages.
#[derive(Debug)]
struct Words {
    english: &'static [&'static str],
    chinese: &'static [&'static str],
}

impl Words {
    fn of(&self, language: Language) -> &'static [&'static str] {
        match language {
            Language::English => self.english,
            Language::Chinese => self.chinese,
        }
    }
}
