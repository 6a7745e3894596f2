//! Wan 2.1 and 2.2, the open video models of the Wan team (Wan et al., 2025; Apache-2.0): networks that read
//! weights as people have them (see [`weights`]) and give what diffusers gives, and [`WanModel`], which puts them
//! together.
//!
//! | network | upstream |
//! | --- | --- |
//! | [`transformer`] | diffusers 0.42, `models/transformers/transformer_wan.py` |
//! | [`vace`] | diffusers 0.42, `models/transformers/transformer_wan_vace.py` |
//! | [`autoencoder`] | diffusers 0.42, `models/autoencoders/autoencoder_kl_wan.py` |
//! | [`text`] | transformers 5.24, `models/umt5/modeling_umt5.py` |
//! | [`image`] | transformers 5.24, `models/clip/modeling_clip.py` |
//! | [`model`], [`prompt`] | diffusers 0.42, `pipelines/wan/pipeline_wan.py`, `pipeline_wan_i2v.py`, `pipeline_wan_vace.py` |
//!
//! `bench/parity/` makes small checkpoints with these libraries; the tests compare with what they gave.

pub mod adapters;
mod attention;
pub mod autoencoder;
mod beside;
mod condition;
pub mod conditioning;
pub mod config;
mod denoiser;
pub mod files;
pub mod folder;
pub mod image;
pub mod memory;
pub mod model;
pub mod parts;
mod picture;
pub mod prompt;
mod relative;
pub mod search;
pub mod text;
mod tiles;
pub mod transformer;
mod usage;
pub mod vace;
pub mod weights;

pub use adapters::{AdapterFile, Experts};
pub use autoencoder::{Autoencoder, DecodeState, EncodeState};
pub use conditioning::Conditioning;
pub use config::{AutoencoderConfig, ImageConfig, TextConfig, TransformerConfig, VaceConfig};
pub use files::{Files, NamedParts};
pub use folder::Folder;
pub use image::ImageEncoder;
pub use model::{WanModel, WanText};
pub use parts::Part;
pub use prompt::{PromptTokenizer, TEXT_TOKENS};
pub use text::TextEncoder;
pub use tiles::ClipState;
pub use transformer::{Context, Transformer};
pub use vace::{Control, VaceContext, VaceTransformer};
pub use weights::{Adapter, Checkpoint, Network, Storage};
