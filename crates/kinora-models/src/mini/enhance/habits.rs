//! Where subjects are found and what they do, in the words of captions.

use crate::mini::backdrops::{Backdrops, NamedPlace};
use crate::mini::lexicon::Entry;

use super::Words;

/// A place in words.
#[derive(Debug)]
pub(super) struct Setting {
    /// As the model names it.
    pub(super) name: &'static str,
    pub(super) words: Words,
}

const SETTINGS: [Setting; 13] = [
    setting(
        "meadow",
        &["in a meadow", "on a green meadow"],
        &["草地上", "绿色的草地上"],
    ),
    setting(
        "beach",
        &["on a beach", "on a sandy beach"],
        &["海滩上", "沙滩上"],
    ),
    setting(
        "sea",
        &["on the sea", "on the water"],
        &["海面上", "大海上"],
    ),
    setting(
        "desert",
        &["in a desert", "in the desert"],
        &["沙漠里", "沙漠中"],
    ),
    setting(
        "snow",
        &["in the snow", "in a snowy field"],
        &["雪地里", "雪地上"],
    ),
    setting(
        "forest",
        &["in a forest", "in the forest"],
        &["森林里", "树林里"],
    ),
    setting(
        "mountains",
        &["in the mountains", "in front of mountains"],
        &["群山前", "山里"],
    ),
    setting(
        "city",
        &["in a city", "on a city street"],
        &["城市里", "城市的街道上"],
    ),
    setting(
        "room",
        &["in a room", "in a living room"],
        &["房间里", "客厅里"],
    ),
    setting("stage", &["on a stage", "on stage"], &["舞台上"]),
    setting(
        "underwater",
        &["under water", "underwater"],
        &["水下", "海底"],
    ),
    setting(
        "space",
        &["in space", "in outer space"],
        &["太空中", "宇宙中"],
    ),
    setting("sky", &["in the sky", "high in the sky"], &["天空中"]),
];

const fn setting(
    name: &'static str,
    english: &'static [&'static str],
    chinese: &'static [&'static str],
) -> Setting {
    Setting {
        name,
        words: Words { english, chinese },
    }
}

pub(super) const DAYLIGHT: Words = Words {
    english: &["by day", "in daylight", "during the day"],
    chinese: &["白天"],
};

/// Mostly still: a camera that nobody asked for should not be noticed.
pub(super) const CAMERA: Words = Words {
    english: &[
        "static camera",
        "the camera stands still",
        "the camera slowly zooms in",
    ],
    chinese: &["镜头静止", "固定镜头", "镜头拉近"],
};

/// Captions tell the time of day there.
pub(super) fn has_light(place: &str) -> bool {
    !matches!(place, "underwater" | "space" | "stage")
}

/// Rain, snow and fog reach it.
pub(super) fn has_weather(place: &str) -> bool {
    has_light(place) && !matches!(place, "room" | "sky")
}

/// What is known of a kind of subject.
#[derive(Debug)]
pub(super) struct Habit {
    /// Words of a name that belong to it.
    names: &'static [&'static str],
    /// Tags that belong to it.
    tags: &'static [&'static str],
    /// Where it is found; nothing is anywhere.
    pub(super) places: &'static [&'static str],
    /// What it does; nothing is told where it just is.
    pub(super) doing: &'static Words,
    /// It brings its own light or time of day.
    pub(super) shines: bool,
}

impl Habit {
    const fn new(
        names: &'static [&'static str],
        tags: &'static [&'static str],
        places: &'static [&'static str],
        doing: &'static Words,
    ) -> Self {
        Self {
            names,
            tags,
            places,
            doing,
            shines: false,
        }
    }
}

const RESTING: Words = Words {
    english: &["standing", "standing still"],
    chinese: &["立着", "静静地待着"],
};
const STANDING: Words = Words {
    english: &["standing", "looking around"],
    chinese: &["站着", "看着镜头"],
};
const WALKING: Words = Words {
    english: &[
        "standing",
        "looking around",
        "walking to the right",
        "walking to the left",
    ],
    chinese: &["站着", "看着镜头", "向右走", "向左走"],
};
const FLYING: Words = Words {
    english: &["flying to the right", "flying to the left"],
    chinese: &["向右飞", "向左飞"],
};
const SWIMMING: Words = Words {
    english: &["swimming to the right", "swimming to the left"],
    chinese: &["向右游", "向左游"],
};
const GLIDING: Words = Words {
    english: &["gliding to the right", "gliding to the left"],
    chinese: &["向右游", "向左游"],
};
const DRIVING: Words = Words {
    english: &["driving to the right", "driving to the left"],
    chinese: &["向右开", "向左开"],
};
const FLOATING: Words = Words {
    english: &["floating", "drifting"],
    chinese: &["漂浮", "飘着"],
};
const NOTHING: Words = Words {
    english: &[],
    chinese: &[],
};

/// The first that fits is taken.
const HABITS: [Habit; 17] = [
    Habit::new(
        &["rice", "cake", "soup", "sushi", "pie", "egg"],
        &[
            "food",
            "fruit",
            "dessert",
            "drink",
            "restaurant",
            "vegetable",
            "hotdog",
        ],
        &["room", "meadow"],
        &RESTING,
    ),
    Habit {
        shines: true,
        ..Habit::new(
            &["rocket", "satellite", "saucer", "comet"],
            &[],
            &["space"],
            &FLYING,
        )
    },
    Habit {
        shines: true,
        ..Habit::new(
            &["astronaut", "alien", "planet", "star", "moon"],
            &[],
            &["space"],
            &FLOATING,
        )
    },
    Habit {
        shines: true,
        ..Habit::new(
            &[
                "sun",
                "rainbow",
                "cloud",
                "fireworks",
                "lightning",
                "tornado",
                "kite",
                "parachute",
            ],
            &[],
            &["sky"],
            &FLOATING,
        )
    },
    Habit::new(
        &["boat", "ship", "ferry", "sailboat", "speedboat", "canoe"],
        &["yacht"],
        &["sea"],
        &GLIDING,
    ),
    Habit::new(
        &[
            "fish",
            "blowfish",
            "shark",
            "octopus",
            "squid",
            "jellyfish",
            "lobster",
            "shrimp",
            "mermaid",
            "merman",
            "merperson",
        ],
        &[],
        &["underwater"],
        &SWIMMING,
    ),
    Habit::new(&["coral"], &[], &["underwater"], &RESTING),
    Habit::new(
        &[
            "dolphin", "whale", "seal", "swan", "duck", "swimming", "surfing",
        ],
        &[],
        &["sea"],
        &SWIMMING,
    ),
    Habit::new(&["penguin", "polar", "claus"], &[], &["snow"], &STANDING),
    Habit::new(
        &[
            "snowman",
            "snowboarder",
            "skier",
            "sled",
            "skis",
            "snowflake",
        ],
        &[],
        &["snow"],
        &RESTING,
    ),
    Habit::new(&["camel", "cactus", "scorpion"], &[], &["desert"], &RESTING),
    Habit::new(
        &[
            "airplane",
            "helicopter",
            "balloon",
            "eagle",
            "dove",
            "dragon",
            "butterfly",
            "honeybee",
            "bird",
            "owl",
            "parrot",
            "bat",
        ],
        &[],
        &["sky", "meadow", "mountains", "forest"],
        &FLYING,
    ),
    Habit::new(
        &[
            "automobile",
            "car",
            "bus",
            "taxi",
            "truck",
            "tram",
            "train",
            "motorcycle",
            "scooter",
            "ambulance",
            "lorry",
            "minibus",
            "trolleybus",
            "locomotive",
        ],
        &["vehicle"],
        &["city"],
        &DRIVING,
    ),
    Habit::new(
        &[
            "drum",
            "guitar",
            "violin",
            "saxophone",
            "trumpet",
            "microphone",
        ],
        &["instrument"],
        &["stage"],
        &RESTING,
    ),
    Habit::new(
        &["dog", "cat", "hamster"],
        &["pet"],
        &["meadow", "room"],
        &WALKING,
    ),
    Habit::new(
        &["man", "woman", "person", "boy", "girl", "child"],
        &[],
        &["city", "beach", "meadow"],
        &WALKING,
    ),
    Habit::new(&[], &["animal", "animals"], &["forest", "meadow"], &WALKING),
];

/// What is known of what nothing is known of.
const ANYTHING: Habit = Habit::new(&[], &[], &[], &NOTHING);

/// What is known of a subject.
pub(super) fn habit(subject: &Entry) -> &'static Habit {
    let lower = subject.name.to_lowercase();
    let is_named = |names: &[&str]| lower.split([' ', '.']).any(|word| names.contains(&word));
    let is_tagged = |tags: &[&str]| subject.tags.iter().any(|tag| tags.contains(&tag.as_str()));
    let known = HABITS
        .iter()
        .find(|habit| is_named(habit.names) || is_tagged(habit.tags));
    known.unwrap_or(&ANYTHING)
}

/// What is said of those of the model's places that are `meant`.
pub(super) fn settings(
    backdrops: &Backdrops,
    meant: impl Fn(&NamedPlace) -> bool,
) -> Vec<&'static Setting> {
    let places: Vec<&NamedPlace> = backdrops
        .places()
        .iter()
        .filter(|place| meant(place))
        .collect();
    let is_meant = |setting: &&Setting| places.iter().any(|place| place.name == setting.name);
    SETTINGS.iter().filter(is_meant).collect()
}
