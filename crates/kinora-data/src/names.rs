//! Names of the subjects from emojibase, and the choice of those that make good subjects.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::index::Class;

/// What emojibase knows of one emoji.
#[derive(Debug, Deserialize)]
struct Emoji {
    label: String,
    hexcode: String,
    #[serde(default)]
    tags: Vec<String>,
    group: Option<u32>,
    subgroup: Option<u32>,
}

#[derive(Debug, Deserialize)]
struct Groups {
    groups: BTreeMap<u32, String>,
    subgroups: BTreeMap<u32, String>,
}

/// A subject before it has pictures.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    pub(crate) id: String,
    pub(crate) hexcode: String,
    pub(crate) name_en: String,
    pub(crate) synonyms_en: Vec<String>,
    pub(crate) name_zh: String,
    pub(crate) synonyms_zh: Vec<String>,
    pub(crate) group: String,
    pub(crate) subgroup: String,
    pub(crate) class: Class,
    pub(crate) can_fly: bool,
    pub(crate) can_swim: bool,
}

/// Code points in lower case without variation selectors: file names and hexcodes meet in it.
pub(crate) fn normal_id(hexcode: &str) -> String {
    let lower = hexcode.to_ascii_lowercase();
    lower
        .split('-')
        .filter(|point| *point != "fe0f")
        .collect::<Vec<_>>()
        .join("-")
}

/// Reads all names under an `emojibase-data` folder and keeps the good subjects, each name once, sorted by id.
pub(crate) fn read(folder: &Path) -> Result<Vec<Named>> {
    let english: Vec<Emoji> = read_json(&folder.join("en/data.json"))?;
    let chinese: Vec<Emoji> = read_json(&folder.join("zh/data.json"))?;
    let groups: Groups = read_json(&folder.join("meta/groups.json"))?;
    let mut chinese: HashMap<String, Emoji> = chinese
        .into_iter()
        .map(|emoji| (emoji.hexcode.clone(), emoji))
        .collect();

    let mut named = Vec::new();
    let (mut used_en, mut used_zh) = (HashSet::new(), HashSet::new());
    for emoji in english {
        let group = emoji.group.and_then(|id| groups.groups.get(&id));
        let subgroup = emoji.subgroup.and_then(|id| groups.subgroups.get(&id));
        let (Some(group), Some(subgroup)) = (group, subgroup) else {
            continue;
        };
        let Some(class) = class_of(subgroup) else {
            continue;
        };
        if DROPPED.contains(&emoji.label.as_str()) || emoji.label.starts_with("family") {
            continue;
        }
        let Some(zh) = chinese.remove(&emoji.hexcode) else {
            continue;
        };
        let name_en = plain_english(&emoji.label);
        let name_zh = plain_chinese(&zh.label);
        if used_en.contains(&name_en) || used_zh.contains(&name_zh) {
            continue;
        }
        used_en.insert(name_en.clone());
        used_zh.insert(name_zh.clone());
        let (can_fly, can_swim) = abilities(subgroup, &name_en);
        named.push(Named {
            id: normal_id(&emoji.hexcode),
            hexcode: emoji.hexcode,
            synonyms_en: emoji
                .tags
                .into_iter()
                .filter(|tag| *tag != name_en)
                .collect(),
            synonyms_zh: zh.tags.into_iter().filter(|tag| *tag != name_zh).collect(),
            name_en,
            name_zh,
            group: group.clone(),
            subgroup: subgroup.clone(),
            class,
            can_fly,
            can_swim,
        });
    }
    named.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(named)
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = std::fs::read(path).map_err(|source| Error::Read {
        path: path.into(),
        source,
    })?;
    serde_json::from_slice(&bytes).map_err(|source| Error::Names {
        path: path.into(),
        source,
    })
}

/// Emoji that make poor or unfit subjects although their subgroup is good.
const DROPPED: &[&str] = &[
    "middle finger",
    "speaking head",
    "bust in silhouette",
    "busts in silhouette",
    "footprints",
    "kiss",
    "couple with heart",
    "kiss: woman, man",
    "kiss: man, man",
    "kiss: woman, woman",
    "couple with heart: woman, man",
    "couple with heart: man, man",
    "couple with heart: woman, woman",
    "breast-feeding",
    "person taking bath",
    "person in bed",
    "cigarette",
    "hundred points",
    "ZZZ",
    "hole",
    "bell with slash",
    "non-potable water",
];

/// The class of a subgroup; `None` where its emoji make poor subjects.
fn class_of(subgroup: &str) -> Option<Class> {
    Some(match subgroup {
        "cat-face" | "monkey-face" => Class::Face,
        face if face.starts_with("face-") => Class::Face,
        "heart" | "emotion" => Class::Symbol,
        "hand-fingers-open"
        | "hand-fingers-partial"
        | "hand-single-finger"
        | "hand-fingers-closed"
        | "hands"
        | "hand-prop"
        | "body-parts" => Class::Hand,
        "family" | "person-symbol" => Class::Person,
        person if person == "person" || person.starts_with("person-") => Class::Person,
        animal if animal.starts_with("animal-") => Class::Animal,
        plant if plant.starts_with("plant-") => Class::Plant,
        food if food.starts_with("food-") => Class::Food,
        "drink" | "dishware" => Class::Food,
        "place-geographic" | "place-building" | "place-religious" | "place-other" => Class::Place,
        vehicle if vehicle.starts_with("transport-") && vehicle != "transport-sign" => {
            Class::Vehicle
        }
        "sky-weather" => Class::Sky,
        "event" | "award-medal" | "sport" | "game" | "arts-crafts" => Class::Activity,
        "clothing" | "music" | "musical-instrument" | "phone" | "computer" | "light-video"
        | "book-paper" | "money" | "mail" | "writing" | "office" | "lock" | "tool" | "science"
        | "medical" | "household" | "other-object" | "hotel" => Class::Object,
        "sound" => Class::Object,
        _ => return None,
    })
}

const FLYERS: &[&str] = &[
    "bat",
    "dragon",
    "fairy",
    "man fairy",
    "woman fairy",
    "superhero",
    "man superhero",
    "woman superhero",
    "baby angel",
    "ghost",
    "flying saucer",
    "kite",
    "balloon",
    "red balloon",
    "butterfly",
    "honeybee",
    "fly",
    "mosquito",
    "lady beetle",
    "rocket",
    "airplane",
    "helicopter",
    "small airplane",
    "satellite",
    "parachute",
    "cloud",
    "sun",
    "genie",
    "man genie",
    "woman genie",
    "alien monster",
    "person in suit levitating",
    "parrot",
    "dove",
    "eagle",
    "owl",
    "bird",
    "duck",
    "swan",
    "flamingo",
    "alien",
    "money with wings",
];

const SWIMMERS: &[&str] = &[
    "duck",
    "swan",
    "penguin",
    "frog",
    "turtle",
    "crocodile",
    "otter",
    "beaver",
    "hippopotamus",
    "polar bear",
    "merperson",
    "merman",
    "mermaid",
    "person swimming",
    "man swimming",
    "woman swimming",
    "person surfing",
    "man surfing",
    "woman surfing",
    "seal",
];

/// Whether something flies and swims by itself.
fn abilities(subgroup: &str, name: &str) -> (bool, bool) {
    let grounded_bird = matches!(
        name,
        "penguin"
            | "chicken"
            | "rooster"
            | "turkey"
            | "dodo"
            | "hatching chick"
            | "baby chick"
            | "peacock"
    );
    let fly = FLYERS.contains(&name)
        || subgroup == "transport-air" && name != "seat"
        || subgroup == "sky-weather"
            && !matches!(
                name,
                "umbrella" | "snowman" | "snowman without snow" | "fire" | "water wave"
            )
        || subgroup == "heart"
        || subgroup == "animal-bird" && !grounded_bird;
    let swim = SWIMMERS.contains(&name)
        || subgroup == "animal-marine" && name != "spiral shell"
        || subgroup == "transport-water" && name != "anchor";
    (fly, swim)
}

/// Everyday English for a label: `person: blond hair` becomes `person with blond hair`.
fn plain_english(label: &str) -> String {
    let label = label.replace(['“', '”'], "").replace('’', "'");
    let Some((who, what)) = label.split_once(": ") else {
        return label;
    };
    match what {
        "bald" => format!("bald {who}"),
        "beard" => format!("{who} with a beard"),
        _ => format!("{who} with {what}"),
    }
}

/// A Chinese label without the colon form: `男人: 红发` becomes `红发的男人`.
fn plain_chinese(label: &str) -> String {
    let label = label.replace(['“', '”', ' '], "");
    for colon in [':', '：'] {
        if let Some((who, what)) = label.split_once(colon) {
            return format!("{what}的{who}");
        }
    }
    label
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_lose_their_variation_selectors() {
        assert_eq!(normal_id("1F575-FE0F-200D-2642-FE0F"), "1f575-200d-2642");
    }

    #[test]
    fn colon_labels_become_plain_words() {
        assert_eq!(plain_english("man: bald"), "bald man");
        assert_eq!(plain_english("woman: red hair"), "woman with red hair");
        assert_eq!(plain_english("woman: beard"), "woman with a beard");
        assert_eq!(plain_chinese("男人: 红发"), "红发的男人");
    }

    #[test]
    fn signs_and_flags_are_no_subjects() {
        for poor in [
            "arrow",
            "keycap",
            "country-flag",
            "time",
            "zodiac",
            "transport-sign",
        ] {
            assert_eq!(class_of(poor), None);
        }
        assert_eq!(class_of("animal-mammal"), Some(Class::Animal));
    }
}
