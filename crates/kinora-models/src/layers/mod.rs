//! Layers that more than one network uses.

mod attention;
mod linear;
mod norm;
mod position;
mod weight;

pub use attention::{CrossAttention, KeyValue, SelfAttention};
pub use linear::{Linear, Mlp};
pub use norm::{LayerNorm, RmsNorm};
pub use position::{fourier_features, rotary_3d};
pub use weight::Weight;
