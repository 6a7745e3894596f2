//! The interpolator: frames between two frames.
//!
//! From coarse to fine, a small network says for each pixel of the frame between where it was in the first frame, where it
//! will be in the second, and which of them shows it better; both frames are warped there and blended (as IFRNet, Kong et al., 2022,
//! and RIFE, Huang et al., 2022, a hundredth of their size). Nothing is painted: what is seen comes from the two frames, so
//! that frames between are as sharp as those beside them. A fresh network blends without moving. MIT or Apache-2.0.

mod config;
mod model;
mod network;

pub use config::InterpolatorConfig;
pub use model::Interpolator;
pub use network::{InterpolatorNetwork, Motion, STRIDE, halved};
