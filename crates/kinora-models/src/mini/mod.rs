//! The mini family: the model that Kinora trains itself, small enough for two processor cores.
//!
//! The [`Director`], a [`text`] encoder and a [`transformer`] over [`layout`]s, settles where the camera is, and the
//! subjects that the [`lexicon`] knows; their pictures drawn there before the [`backdrops`] of the place are the [`plate`].
//! A second, larger [`transformer`] with a [`text`] encoder of its own denoises latents beside the plate, and the
//! [`autoencoder`] turns latents into frames. MIT or Apache-2.0, like the rest of the house.

pub mod air;
pub mod autoencoder;
pub mod backdrop;
pub mod backdrops;
mod bilinear;
mod camera;
mod changes;
pub mod config;
mod director;
mod enhance;
mod evenness;
mod file;
mod given;
pub mod layout;
pub mod lexicon;
pub mod looks;
mod model;
mod older;
mod phrases;
pub mod pictures;
mod planning;
pub mod plate;
mod reference;
pub mod region;
mod relief;
pub mod search;
mod stage;
pub mod still;
pub mod styles;
pub mod text;
pub mod transformer;

pub use config::MiniConfig;
pub use director::{DIRECTOR_FRAMES, DIRECTOR_LATEST, DIRECTOR_OVERLAP, Director};
pub use model::{Decoding, LATEST_WINDOW, Mini, MiniNetworks, MiniParts, Script, plate_condition};
