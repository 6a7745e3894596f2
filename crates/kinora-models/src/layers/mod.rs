//! Layers that more than one network uses.

mod attention;
mod conv;
mod fresh;
mod linear;
mod norm;
mod pixels;
mod position;
mod weight;

pub use attention::{CrossAttention, KeyValue, SelfAttention};
pub use conv::Conv;
pub(crate) use fresh::normal;
pub use linear::{Linear, Mlp};
pub use norm::{LayerNorm, RmsNorm};
pub use pixels::{pixel_shuffle, pixel_unshuffle};
pub use position::{fourier_features, rotary_3d, rotary_at};
pub use weight::Weight;
