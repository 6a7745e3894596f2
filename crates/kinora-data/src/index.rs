//! The index of a pack: what each subject is called, what it is, and where its frames lie.

use serde::{Deserialize, Serialize};

/// What kind of thing a subject is. Decides where it can be and what it can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// A person, real or imagined.
    Person,
    /// A round face with an expression.
    Face,
    /// A hand or another part of the body.
    Hand,
    /// An animal.
    Animal,
    /// A plant.
    Plant,
    /// Food or drink.
    Food,
    /// A vehicle.
    Vehicle,
    /// A place or a building.
    Place,
    /// Sun, moon, stars, clouds, fire.
    Sky,
    /// A thing of a game, a sport or a party.
    Activity,
    /// A thing.
    Object,
    /// A heart or a sign.
    Symbol,
}

/// One subject of a pack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Code points in lower-case hex, joined by `-`, without variation selectors: `1f428`.
    pub id: String,
    /// The code points as emojibase writes them: `1F428`.
    pub hexcode: String,
    /// English name, unique in the pack: `koala`.
    pub name_en: String,
    /// English words that mean it or belong to it.
    pub synonyms_en: Vec<String>,
    /// Chinese name, unique in the pack: `考拉`.
    pub name_zh: String,
    /// Chinese words that mean it or belong to it.
    pub synonyms_zh: Vec<String>,
    /// Unicode group, such as `animals-nature`.
    pub group: String,
    /// Unicode subgroup, such as `animal-mammal`.
    pub subgroup: String,
    /// What kind of thing it is.
    pub class: Class,
    /// It can be in the air by itself.
    pub can_fly: bool,
    /// It can be in the water by itself.
    pub can_swim: bool,
    /// Frames of its own animation, a loop.
    pub frames: usize,
    /// Frames per second of that loop.
    pub fps: f32,
    /// Where its first frame starts, in bytes from the first frame of the pack. In a compressed pack: where its strip starts.
    pub offset: u64,
    /// Bytes of all its frames as stored.
    pub length: u64,
}

impl Entry {
    /// It is a living thing that moves by itself.
    pub fn is_alive(&self) -> bool {
        matches!(self.class, Class::Person | Class::Face | Class::Animal)
    }
}

/// The JSON header of a pack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Index {
    /// Side of the square sprites, in pixels.
    pub(crate) sprite_size: usize,
    /// Each subject's frames are one lossless WebP strip, stacked from top to bottom.
    pub(crate) compressed: bool,
    /// The subjects, sorted by id.
    pub(crate) entries: Vec<Entry>,
}
