//! The upscaler: frames at four times their size, sharper than any filter makes them.
//!
//! A small residual network that works on folded frames (each 2 × 2 pixels are one place, so that products are wide and the
//! view is twice as large for the same cost), and one sub-pixel convolution at its end (ESPCN, Shi et al., 2016). It adds
//! what bicubic enlargement lacks; its last layer is another one for decoded frames than for clean ones, since the former want to be
//! smoothed and the latter sharpened. Frames are enlarged one by one. MIT or
//! Apache-2.0.

mod config;
mod model;
mod network;

pub use config::UpscalerConfig;
pub use model::Upscaler;
pub use network::{SCALE, Source, UpscalerNetwork};
