//! Scenes in words: short and long, English and Chinese. Every fact of a scene can be said.

mod en;
mod en_words;
mod undirected;
mod zh;

pub use undirected::undirected;

use serde::{Deserialize, Serialize};

use crate::camera::Camera;
use crate::index::Entry;
use crate::named::named_enum;
use crate::pack::Pack;
use crate::rng::Rng;
use crate::scene::{SceneSpec, Speed, Style, TimeOfDay, Weather};

named_enum! {
    /// A fact of a scene that a caption can say.
    Fact {
        /// Who or what.
        Subject = "subject",
        /// Who stands by.
        Companion = "companion",
        /// Where.
        Background = "background",
        /// When.
        Time = "time",
        /// What the subject does.
        Motion = "motion",
        /// How fast.
        Speed = "speed",
        /// In which weather.
        Weather = "weather",
        /// What the camera does.
        Camera = "camera",
        /// In which style.
        Style = "style",
    }
}

named_enum! {
    /// The language of a caption.
    Language {
        /// English.
        English = "en",
        /// Chinese.
        Chinese = "zh",
    }
}

/// The English words by which captions tell what the camera does; the plainest come first.
pub fn camera_words(camera: Camera) -> &'static [&'static str] {
    en_words::camera(camera)
}

/// The English words by which captions tell a style; the plainest come first, and the natural one needs none.
pub fn style_words(style: Style) -> &'static [&'static str] {
    en_words::style(style)
}

/// One sentence or a few, and what they say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caption {
    /// The words.
    pub text: String,
    /// The facts that the words say, in the order of [`Fact::ALL`].
    pub facts: Vec<Fact>,
    /// Their language.
    pub language: Language,
}

/// The captions of a scene.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Captions {
    /// A short English one that leaves facts out at random.
    pub short_en: Caption,
    /// An English one that says everything.
    pub long_en: Caption,
    /// A short Chinese one that leaves facts out at random.
    pub short_zh: Caption,
    /// A Chinese one that says everything.
    pub long_zh: Caption,
}

impl Captions {
    /// One of them for training: short English half of the time, long English 30 %, Chinese 20 %.
    pub fn sample(&self, rng: &mut Rng) -> &Caption {
        match rng.weighted(&[0.5, 0.3, 0.13, 0.07]) {
            0 => &self.short_en,
            1 => &self.long_en,
            2 => &self.short_zh,
            _ => &self.long_zh,
        }
    }
}

/// Says a scene in words; another `seed` chooses other words and leaves out other facts.
///
/// # Panics
/// If the scene's subject is not in the pack.
pub fn captions(spec: &SceneSpec, pack: &Pack, seed: u64) -> Captions {
    let mut rng = Rng::derived(seed, 0xCA97);
    let caption = |text: String, mut facts: Vec<Fact>, language| {
        facts.sort_by_key(|fact| fact.index());
        Caption {
            text,
            facts,
            language,
        }
    };
    let brief = Telling {
        spec,
        entry: &pack.entries()[spec.subject],
        companion: companion(spec, pack),
        facts: choose_facts(spec, &mut rng),
    };
    let full = Telling {
        facts: all_facts(spec),
        ..brief.clone()
    };
    let brief_zh = Telling {
        facts: choose_facts(spec, &mut rng),
        ..brief.clone()
    };
    Captions {
        short_en: caption(en::short(&brief, &mut rng), brief.facts, Language::English),
        long_en: caption(
            en::long(&full, &mut rng),
            full.facts.clone(),
            Language::English,
        ),
        short_zh: caption(
            zh::short(&brief_zh, &mut rng),
            brief_zh.facts,
            Language::Chinese,
        ),
        long_zh: caption(zh::long(&full, &mut rng), full.facts, Language::Chinese),
    }
}

/// What English captions call a subject beside its name: "car" for an automobile.
pub fn everyday_names(entry: &Entry) -> impl Iterator<Item = &'static str> {
    en_words::EVERYDAY
        .iter()
        .filter(|(name, _)| *name == entry.name_en)
        .map(|(_, everyday)| *everyday)
}

/// What is to be told.
#[derive(Debug, Clone)]
struct Telling<'a> {
    spec: &'a SceneSpec,
    entry: &'a Entry,
    companion: Option<&'a Entry>,
    facts: Vec<Fact>,
}

impl Telling<'_> {
    fn says(&self, fact: Fact) -> bool {
        self.facts.contains(&fact)
    }
}

fn companion<'a>(spec: &SceneSpec, pack: &'a Pack) -> Option<&'a Entry> {
    spec.companion.map(|other| &pack.entries()[other.subject])
}

/// All facts that a scene has.
fn all_facts(spec: &SceneSpec) -> Vec<Fact> {
    Fact::ALL
        .iter()
        .copied()
        .filter(|fact| match fact {
            Fact::Companion => spec.companion.is_some(),
            Fact::Time => spec.background.has_time(),
            Fact::Speed => spec.speed != Speed::Normal,
            Fact::Weather => spec.weather != Weather::Clear,
            Fact::Style => spec.style != Style::Natural,
            Fact::Subject | Fact::Background | Fact::Motion | Fact::Camera => true,
        })
        .collect()
}

/// The subject always, the rest at random: what is special more often than what goes without saying.
fn choose_facts(spec: &SceneSpec, rng: &mut Rng) -> Vec<Fact> {
    let mut facts = all_facts(spec);
    facts.retain(|fact| {
        rng.chance(match fact {
            Fact::Subject => 1.0,
            Fact::Background => 0.88,
            Fact::Motion => 0.90,
            Fact::Companion => 0.75,
            Fact::Time => {
                if spec.time == TimeOfDay::Day {
                    0.25
                } else {
                    0.75
                }
            }
            Fact::Speed => 0.6,
            Fact::Weather => 0.75,
            Fact::Camera => {
                if spec.camera == Camera::Static {
                    0.06
                } else {
                    0.55
                }
            }
            Fact::Style => 0.80,
        })
    });
    if !facts.contains(&Fact::Motion) {
        facts.retain(|fact| *fact != Fact::Speed);
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Background, Split};

    #[test]
    fn captions_say_their_facts() {
        let pack = Pack::sample();
        for seed in 0..3000 {
            let spec = SceneSpec::sample(seed, &pack, Split::Train);
            let entry = &pack.entries()[spec.subject];
            let told = captions(&spec, &pack, seed);
            for caption in [&told.short_en, &told.long_en, &told.short_zh, &told.long_zh] {
                assert!(
                    !caption.text.contains("  ") && !caption.text.contains(" ,"),
                    "{}",
                    caption.text
                );
                for fact in Fact::ALL {
                    let words = match caption.language {
                        Language::English => {
                            en::words_for(*fact, &spec, entry, companion(&spec, &pack))
                        }
                        Language::Chinese => {
                            zh::words_for(*fact, &spec, entry, companion(&spec, &pack))
                        }
                    };
                    let said = words
                        .iter()
                        .any(|word| caption.text.to_lowercase().contains(&word.to_lowercase()));
                    if caption.facts.contains(fact) {
                        assert!(
                            said,
                            "{fact:?} is missing in {:?}; any of {words:?}",
                            caption.text
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn long_captions_say_everything() {
        let pack = Pack::sample();
        let spec = SceneSpec {
            background: Background::Beach,
            time: TimeOfDay::Sunset,
            weather: Weather::Rain,
            style: Style::Pixel,
            ..SceneSpec::sample(5, &pack, Split::Train)
        };
        let facts = captions(&spec, &pack, 1).long_en.facts;
        for fact in [
            Fact::Subject,
            Fact::Background,
            Fact::Time,
            Fact::Motion,
            Fact::Weather,
            Fact::Camera,
            Fact::Style,
        ] {
            assert!(facts.contains(&fact));
        }
    }

    #[test]
    fn seeds_vary_the_words_and_repeat_them() {
        let pack = Pack::sample();
        let spec = SceneSpec::sample(8, &pack, Split::Train);
        assert_eq!(captions(&spec, &pack, 4), captions(&spec, &pack, 4));
        let texts: std::collections::HashSet<String> = (0..50)
            .map(|seed| captions(&spec, &pack, seed).short_en.text)
            .collect();
        assert!(texts.len() > 20, "{}", texts.len());
    }
}
