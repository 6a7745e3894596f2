//! Slice-level CPU kernels: matrix products, attention, fused row operations and convolution.
//!
//! Everything here works on plain `&[f32]` and knows no tensor library. One ordered [`Level`] is detected once;
//! each operation has a scalar reference in `reference` and is tested against it on every level of the machine.
//!
//! Work is spread over the current rayon pool by tiles of the output, never over the summed axis, so results do not
//! depend on the number of threads.

#![deny(unsafe_op_in_unsafe_fn)]

mod activation;
mod attention;
mod conv;
mod gemm;
mod level;
mod math;
mod matrix;
mod norm;
mod optimizer;
mod parallel;
#[cfg(test)]
mod reference;
mod residual;
mod rope;
mod rows;
mod scratch;
mod warp;

pub use activation::{activation_backward, activation_forward};
pub use attention::{
    AttentionShape, attention_backward, attention_backward_at, attention_forward,
    attention_forward_at,
};
pub use conv::{Conv3dShape, conv3d_backward_input, conv3d_backward_weight, conv3d_forward};
pub use gemm::{
    Activation, Epilogue, PackedMatrix, StoredMatrix, gemm, gemm_at, gemm_packed, gemm_stored,
};
pub use level::{Level, Precision, level, level_report, limit_level};
pub use matrix::MatRef;
pub use norm::{norm_modulate_backward, norm_modulate_forward};
pub use optimizer::{AdamWStep, adamw_step, ema_update, squared_norm};
pub use residual::{gate_residual_backward, gate_residual_forward};
pub use rope::{HeadsShape, rms_norm_rope_backward, rms_norm_rope_forward};
pub use rows::{GroupedRows, sum_rows};
pub use warp::{WarpShape, warp_backward, warp_forward};
