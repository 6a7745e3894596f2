//! Training data for Kinora: animated emoji packed into one file, and captioned scenes rendered from them.
//!
//! [`pack()`] makes the file, [`Pack`] opens it, [`SceneSpec`] says what happens in a scene, [`Renderer`] shows it and
//! [`captions()`] says it in words.

mod air;
mod backdrop;
mod background;
mod camera;
mod canvas;
mod caption;
mod error;
mod index;
mod layer;
mod layout;
mod light_words;
mod motion;
mod named;
mod names;
mod pack;
mod packing;
mod palette;
mod place_words;
mod preview;
mod render;
mod rng;
mod scene;
mod shot;
mod sprite;
mod sprite_source;
mod style_words;
mod vocabulary;
mod weather;

pub use air::air_loop;
pub use backdrop::{BackdropSize, backdrop};
pub use camera::{Camera, View};
pub use caption::{
    Caption, Captions, Fact, Language, camera_words, captions, everyday_names, style_words,
    undirected,
};
pub use error::{Error, Result};
pub use index::{Class, Entry};
pub use motion::{GRAVITY, Motion, RESTITUTION};
pub use pack::Pack;
pub use packing::{PackOptions, PackSummary, pack};
pub use preview::contact_sheet;
pub use render::{Clip, RenderOptions, Renderer};
pub use rng::Rng;
pub use scene::{Companion, Labels, SceneSpec, Split, is_held_out};
pub use shot::{Place, subject_light};
pub use style_words::style_names;
pub use vocabulary::{Aspect, Background, Side, Speed, Style, TimeOfDay, Weather};
