//! The mini family: the model that Kinora trains itself, small enough for two processor cores.
//!
//! Text → [`text`] encoder and [`lexicon`] → context; [`transformer`] denoises latents under it;
//! [`autoencoder`] turns latents into frames. MIT or Apache-2.0, like the rest of the house.

pub mod autoencoder;
pub mod config;
pub mod lexicon;
mod model;
pub mod text;
pub mod transformer;

pub use config::MiniConfig;
pub use model::{Mini, MiniNetworks};
