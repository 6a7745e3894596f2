//! English sentences.

use super::en_words::{
    PROPER, adverbs, background, camera, style, time, verbs, weather, weather_sentence,
};
use super::{Fact, Telling, everyday_names};
use crate::camera::Camera;
use crate::index::Entry;
use crate::rng::Rng;
#[cfg(test)]
use crate::scene::SceneSpec;
use crate::scene::Side;

/// One sentence without a full stop: "a koala walks to the right across a meadow at sunset".
pub(super) fn short(telling: &Telling, rng: &mut Rng) -> String {
    let spec = telling.spec;
    let is_noun_phrase = rng.chance(0.35) || telling.says(Fact::Style) && rng.chance(0.4);
    let mut text = subject(telling.entry, rng);
    if let (Some(other), true) = (
        telling.companion,
        telling.says(Fact::Companion) && rng.chance(0.4),
    ) {
        push(&mut text, &format!("with {}", subject(other, rng)));
    } else if let (Some(other), true) = (telling.companion, telling.says(Fact::Companion)) {
        text = format!("{text} beside {}", subject(other, rng));
    }
    if telling.says(Fact::Motion) {
        let form = if is_noun_phrase {
            Form::Participle
        } else if rng.chance(0.3) {
            Form::Progressive
        } else {
            Form::Present
        };
        push(&mut text, &action(telling, form, rng));
    }
    let mut places = Vec::new();
    if telling.says(Fact::Background) {
        places.push(rng.pick(background(spec.background)));
    }
    if telling.says(Fact::Time) {
        places.push(rng.pick(time(spec.time)));
    }
    if telling.says(Fact::Weather) {
        places.push(rng.pick(weather(spec.weather)));
    }
    for place in places {
        push(&mut text, place);
    }
    if telling.says(Fact::Camera) {
        let link = if rng.chance(0.5) && spec.camera != Camera::Static {
            " while "
        } else {
            ", "
        };
        text = format!("{text}{link}{}", rng.pick(camera(spec.camera)));
    }
    if telling.says(Fact::Style) {
        let name = rng.pick(style(spec.style));
        text = if is_noun_phrase && rng.chance(0.7) {
            format!("{} of {text}", with_article(name))
        } else {
            format!("{text}, {name}")
        };
    }
    text
}

/// A few sentences that say everything.
pub(super) fn long(telling: &Telling, rng: &mut Rng) -> String {
    let spec = telling.spec;
    let mut text = subject(telling.entry, rng);
    let form = if rng.chance(0.5) {
        Form::Progressive
    } else {
        Form::Present
    };
    push(&mut text, &action(telling, form, rng));
    let place = rng.pick(background(spec.background));
    let when = if telling.says(Fact::Time) {
        rng.pick(time(spec.time))
    } else {
        ""
    };
    let mut sentences = vec![if rng.chance(0.4) {
        let setting = format!("{place} {when}");
        format!("{}, {text}", setting.trim())
    } else {
        push(&mut text, place);
        push(&mut text, when);
        text
    }];
    if let (Some(other), Some(companion)) = (telling.companion, spec.companion) {
        let side = if companion.side == Side::Left {
            "on the left"
        } else {
            "on the right"
        };
        let verb = if is_plural(other) { "stand" } else { "stands" };
        let nearby = rng.pick(&["nearby", "next to it", "beside it"]);
        sentences.push(format!("{} {verb} {nearby} {side}", subject(other, rng)));
    }
    if telling.says(Fact::Weather) {
        sentences.push(rng.pick(weather_sentence(spec.weather)).to_owned());
    }
    sentences.push(rng.pick(camera(spec.camera)).to_owned());
    if telling.says(Fact::Style) {
        let name = with_article(rng.pick(style(spec.style)));
        let form = rng.below(3);
        sentences.push(match form {
            0 => name,
            1 => format!("it looks like {name}"),
            _ => format!("in the style of {name}"),
        });
    } else if rng.chance(0.15) {
        sentences.push(
            rng.pick(&[
                "a 3D animation",
                "a smooth 3D render",
                "a clean cartoon look",
            ])
            .to_owned(),
        );
    }
    sentences
        .iter()
        .map(|sentence| format!("{}.", capitalised(sentence)))
        .collect::<Vec<_>>()
        .join(" ")
}

/// The words of which at least one says a fact.
#[cfg(test)]
pub(super) fn words_for(
    fact: Fact,
    spec: &SceneSpec,
    entry: &Entry,
    companion: Option<&Entry>,
) -> Vec<String> {
    let own = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    match fact {
        Fact::Subject => names(entry),
        Fact::Companion => companion.map(names).unwrap_or_default(),
        Fact::Background => own(background(spec.background)),
        Fact::Time => own(time(spec.time)),
        Fact::Motion => verbs(spec.motion, entry.class, spec.speed)
            .iter()
            .flat_map(|verb| [verb.base.into(), verb.ing.into(), third_person(verb.base)])
            .collect(),
        Fact::Speed => own(adverbs(spec.speed)),
        Fact::Weather => [weather(spec.weather), weather_sentence(spec.weather)]
            .concat()
            .iter()
            .map(|word| (*word).to_owned())
            .collect(),
        Fact::Camera => own(camera(spec.camera)),
        Fact::Style => own(style(spec.style)),
    }
}

fn push(text: &mut String, more: &str) {
    if !more.is_empty() {
        text.push(' ');
        text.push_str(more);
    }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

/// The name and, for some, more everyday words.
fn names(entry: &Entry) -> Vec<String> {
    let everyday = everyday_names(entry).map(str::to_owned);
    std::iter::once(entry.name_en.clone())
        .chain(everyday)
        .collect()
}

fn subject(entry: &Entry, rng: &mut Rng) -> String {
    let names = names(entry);
    let name = if rng.chance(0.5) {
        &names[names.len() - 1]
    } else {
        &names[0]
    };
    if is_plural(entry) || PROPER.contains(&entry.name_en.as_str()) {
        name.clone()
    } else {
        with_article(name)
    }
}

fn is_plural(entry: &Entry) -> bool {
    let name = entry.name_en.as_str();
    let first = name.split(' ').next().unwrap_or_default();
    let last = name.split(' ').next_back().unwrap_or_default();
    let head_first = [
        "people",
        "men",
        "women",
        "eyes",
        "clinking",
        "fireworks",
        "lungs",
    ]
    .contains(&first);
    let one_thing = [
        "glasses", "hands", "hearts", "droplets", "rings", "mugs", "springs", "notes", "flags",
        "legs", "fingers", "prints", "biceps",
    ]
    .contains(&last);
    head_first || one_thing && !name.contains(" with ") && !name.contains("face")
}

fn with_article(noun: &str) -> String {
    let lower = noun.to_lowercase();
    let sounds_open = lower.starts_with(['a', 'e', 'i', 'o', 'u'])
        && !["unic", "univ", "unif", "one", "eu", "ewe", "ufo", "ukulele"]
            .iter()
            .any(|start| lower.starts_with(start));
    let is_open = sounds_open
        || lower.starts_with("hourglass")
        || noun.starts_with("SUV")
        || noun.starts_with("X-ray");
    format!("{} {noun}", if is_open { "an" } else { "a" })
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Form {
    /// walks
    Present,
    /// is walking
    Progressive,
    /// walking
    Participle,
}

fn action(telling: &Telling, form: Form, rng: &mut Rng) -> String {
    let spec = telling.spec;
    let verbs = verbs(spec.motion, telling.entry.class, spec.speed);
    let verb = &verbs[rng.below(verbs.len())];
    let plural = is_plural(telling.entry);
    let mut text = match (form, plural) {
        (Form::Present, false) => third_person(verb.base),
        (Form::Present, true) => verb.base.to_owned(),
        (Form::Progressive, false) => format!("is {}", verb.ing),
        (Form::Progressive, true) => format!("are {}", verb.ing),
        (Form::Participle, _) => verb.ing.to_owned(),
    };
    if telling.says(Fact::Speed) {
        push(&mut text, rng.pick(adverbs(spec.speed)));
    }
    if !verb.after.is_empty() {
        push(&mut text, rng.pick(verb.after));
    }
    text
}

fn third_person(base: &str) -> String {
    if base.ends_with('y') && !base.ends_with("ay") {
        format!("{}ies", &base[..base.len() - 1])
    } else if ["ch", "sh", "s", "o"].iter().any(|end| base.ends_with(end)) {
        format!("{base}es")
    } else {
        format!("{base}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn articles_follow_the_sound() {
        for (noun, expected) in [
            ("koala", "a koala"),
            ("owl", "an owl"),
            ("unicorn", "a unicorn"),
            ("unamused face", "an unamused face"),
            ("ewe", "a ewe"),
        ] {
            assert_eq!(with_article(noun), expected);
        }
    }

    #[test]
    fn verbs_agree() {
        for (base, expected) in [
            ("walk", "walks"),
            ("fly", "flies"),
            ("approach", "approaches"),
            ("sway", "sways"),
            ("go", "goes"),
            ("hurry", "hurries"),
        ] {
            assert_eq!(third_person(base), expected);
        }
    }
}
