//! The operations that carry Kinora's cost, with their gradients, as a Burn backend extension.
//!
//! On Burn's CPU backend each operation runs the kernels in [`cpu`] (AMX, AVX-512 with BF16,
//! AVX-512, AVX2, NEON with or without BF16, or portable, chosen once at start); on every other device it is composed of
//! Burn's own operations, which differentiate themselves.
//!
//! | operation | what it fuses |
//! | --- | --- |
//! | [`linear`] | product, bias, activation |
//! | [`linear_packed`], [`linear_stored`], [`linear_int8`] | the same; weights packed once, decoded as they are packed, or 8-bit products |
//! | [`attention`] | scores, bias, softmax, weighted sum; no score matrix in memory |
//! | [`conv3d`] | gather, product, bias, activation, channels last |
//! | [`conv3d_kept`] | the same; weights packed once, frames where they lie |
//! | [`norm_modulate`] | layer norm, scale, shift per group |
//! | [`gate_residual`] | gate per group, residual |
//! | [`rms_norm_rope`] | per-head RMS norm, rotary positions |
//! | [`warp`] | four gathers, linear weights |
//! | [`adamw`] | the whole optimiser step, in place |
//!
//! This is the only crate of the house that may hold `unsafe`, so [`MappedFile`] and [`keep_freed_memory`] stand here too.

pub mod cpu;

mod adamw;
mod allocator;
mod attention;
mod conv3d;
mod conv3d_kept;
mod flex;
mod linear;
mod linear_kept;
mod mapped;
mod norm_modulate;
mod residual;
mod rms_norm_rope;
#[cfg(test)]
mod testing;
mod warp;

pub use adamw::{AdamW, adamw, moving_average, squared_norm};
pub use allocator::{Allocator, MEMORY_KEPT, keep_freed_memory};
pub use attention::attention;
pub use conv3d::{ConvSteps, conv3d, conv3d_strided};
pub use conv3d_kept::conv3d_kept;
pub use cpu::{Activation, Int8Matrix, Level, PackedOnce, Precision, StoredMatrix};
pub use flex::overwritten;
pub use linear::linear;
pub use linear_kept::{linear_int8, linear_packed, linear_stored, takes_stored};
pub use mapped::MappedFile;
pub use norm_modulate::norm_modulate;
pub use residual::gate_residual;
pub use rms_norm_rope::{Rotary, rms_norm_rope};
pub use warp::warp;
