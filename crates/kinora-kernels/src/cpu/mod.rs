//! Slice-level CPU kernels: matrix products, attention, fused row operations and convolution.
//!
//! Everything here works on plain `&[f32]` and knows no tensor library. One ordered [`Level`] is detected once;
//! each operation has a scalar reference in `reference` and is tested against it on every level of the machine.
//!
//! Work is spread over the current rayon pool by tiles of the output, never over the summed axis, so results do not
//! depend on the number of threads.
//!
//! # How close to the hardware
//!
//! The best of calls one after another, threads pinned, on two cores with AMX-BF16, 2 MiB of second-level and 48 KiB of first-level cache
//! each; inputs and outputs are f32. Single calls after a pause, as `cargo bench` makes them, take 10 to 90 % longer. The
//! limits, both cores: 7,400 GFLOP/s of bf16 products from registers, 6,100 where both operands lie in the first-level cache, 4,000 where
//! both come from the second (43 bytes a cycle), 470 GFLOP/s of f32; 56 GB/s from the third-level cache, 35 from memory.
//!
//! | operation, bf16 | GFLOP/s | of the peak | what holds back the rest |
//! | --- | --- | --- | --- |
//! | linear 4096×1536×8960 | 3,400 | 46 % | operands from the second level; 280 MB of f32 read and written |
//! | linear 1280×1536×1536 | 2,900 | 39 % | the same, and rounding both operands: a quarter of the time |
//! | linear 512×384×1536 | 2,200 | 30 % | waking the second thread and rounding the weight, a third of the time |
//! | linear 8448×192×768 | 2,600 | 35 % | writing 26 MB of outputs, 0.5 ms of 0.95 |
//! | its gradient for the input; for the weight | 1,900; 1,400 | 25; 19 % | reading 26 and 33 MB of f32 at the rate of the third level |
//! | attention, 12 heads × 128, 1280 tokens | 2,000 | 27 % | powers of two in vectors, 6 cycles for 16 scores: tiles and vectors do not overlap |
//! | its gradient | 1,800 | 24 % | the same, and seven packed forms of the inputs |
//! | attention, 24 heads × 64, 1056 tokens; its gradient | 1,450; 1,700 | 20; 23 % | the same: half the products for each power |
//! | conv3d 3×3×3, 96 channels, 5×128×128 | 2,800 | 38 % | pixels and weight from the second level; rounding the clip, a tenth |
//! | conv3d 3×3×3, 384 channels, 5×32×32 | 2,900 | 39 % | the same; a weight of 8 MB from the third level |
//! | their gradient for the input | 2,600 | 35 % | the same |
//!
//! Taken later, in time of the thread, on one busy core of the same kind whose peaks were then 2,700 GFLOP/s of bf16 and 5,400 of int8:
//!
//! | operation | GFLOP/s | of the peak | what holds back the rest |
//! | --- | --- | --- | --- |
//! | gradient for the weight of the same convolutions | 800; 920 | 30; 34 % | clip and gradients from beyond the second level; making the two images of the clip, a quarter for 96 channels |
//! | linear 1280×1536×1536, weight packed before; in 8 bits | 1,010; 1,360 | 37; 25 % | as above; half the steps in 8 bits, but as much to round and to write |
//! | linear 330×256×256, weight packed before; in 8 bits | 900; 890 | 33; 16 % | rounding 0.3 MB of rows and writing as much, two thirds of the time |
//!
//! Scores and softmax were also made with the products of the block before between their rows, step by step (attention, forward). That was a
//! third slower than leaving the order to the processor.
//!
//! On aarch64 nothing was timed. Counted in the compiled code, the products in f32 and bf16 make 96 multiply-adds for 22 registers that are
//! loaded, and those in 8 bits 64 for 16; sums stay in registers.
//!
//! On two cores of an AMD EPYC (Zen 5: AVX-512 with BF16, no tile registers, 1 MiB of second-level cache each), turn by turn with PyTorch 2.15
//! as `cargo bench -- --peer` does, the second call of each turn. The limits: 1,030 GFLOP/s of bf16, 514 of f32, 2,085 GOP/s of 8 bits. PyTorch's
//! products in bf16 reach 70 to 88 % of them there and its convolutions in bf16 90 to 95 %, so little is left to be won; its products in f32
//! reach 35 to 40 %, and its attention in bf16 18 %.
//!
//! | operation | bf16: of the peak; against PyTorch | f32 | what holds back the rest |
//! | --- | --- | --- | --- |
//! | linear 1280×1536×1536 and ×8960, 4096×1536×8960 | 78 to 86 %; 0.98 to 1.20 | 81 to 88 %; 2.2 to 2.3 | packing the weight, a tenth; f32 read and written |
//! | linear 512×384×1536 | 54 to 76 %; 0.90 to 0.97 | 68 %; 1.8 | 3 MB written in 0.7 ms; waking the second thread |
//! | the same with the weight packed before; its gradients | 83 to 90 %, 76 to 81 %; 1.02 to 1.08, 0.98 to 1.03 | 86 to 92 %, 81 %; 2.1 to 2.5 | operands of gradients are turned while they are packed |
//! | linear in 8 bits | 71 to 81 % | | sums of 32 × 32 go through memory between visits; rounding rows |
//! | attention, 12 heads × 128, 1280 and 4096 tokens; its gradient | 67 to 69 %; 70 %; 3.7 to 3.9, 2.3 | 80 %; 2.1 to 2.3 | powers of two, between products |
//! | conv3d 3×3×3, 96 and 384 channels | 80 to 92 %; 0.84 to 0.97 | 87 to 93 %; 0.92 to 0.97 | windows, 4 to 7 % of the time; f32 read and written, 75 MB for 96 channels |
//! | their gradients | 69 to 80 %; 0.97 to 0.98 | 76 %; 0.98 to 1.21 | the clip is gathered for each tap again for that of the weight |
//! | norm and modulation, norm and rotary positions, GELU, 1280×1536 | | 2.0 to 3.8, 6.5 to 8.7 for rotary positions | memory |
//!
//! With tile registers a product in f32 reaches about 65 % of its peak at 512 bits. Norms, modulation, rotary positions and activations run at 18 to 25 GB/s
//! of what they read and write.

//! # How exact
//!
//! Errors against f64 as the root of their mean square over that of the result, `cargo bench -p kinora-kernels -- --accuracy`; PyTorch 2.15 in bf16
//! on the same inputs also rounds what comes out.
//!
//! | operation | bf16 | PyTorch's bf16 |
//! | --- | --- | --- |
//! | linear; its gradient for the input | 2.0e-3 to 2.2e-3; 2.1e-3 | 2.6e-3 to 2.7e-3; 2.7e-3 |
//! | attention, 12 heads × 128, 1280 tokens; 4096; gradient for queries at 1280 | 2.9e-3; 6.2e-3; 3.1e-3 | 3.3e-3; 6.4e-3; 3.9e-3 |
//! | conv3d 3×3×3, 96 and 384 channels; gradient for the input | 2.1e-3; 2.1e-3 | 2.6e-3; 2.7e-3 |
//! | linear in 8 bits | 5.5e-3 to 5.7e-3 | |
//!
//! With the 87 matrices of the shipped transformer and normal inputs, against f32: 8 bits 1.0e-2, at most 1.3e-2; bf16, in which they are stored,
//! 1.7e-3.

#![deny(unsafe_op_in_unsafe_fn)]

mod activation;
mod attention;
mod conv;
mod gemm;
mod int8;
mod level;
mod math;
mod matrix;
mod norm;
mod optimizer;
mod parallel;
mod peak;
#[cfg(test)]
mod reference;
mod residual;
mod resize;
mod rope;
mod rounding;
mod rows;
mod scratch;
mod warp;

pub use activation::{activation_backward, activation_forward};
pub use attention::{
    AttentionShape, attention_backward, attention_backward_at, attention_forward,
    attention_forward_at,
};
pub use conv::{
    ClipSize, Conv3dShape, Frames, PackedConv, conv3d_backward_input, conv3d_backward_weight,
    conv3d_forward,
};
pub use gemm::{
    Activation, Epilogue, PackedMatrix, PackedOnce, StoredMatrix, gemm, gemm_at, gemm_packed,
    gemm_stored, limit_packed,
};
pub use int8::{Int8Matrix, gemm_int8};
pub use level::{Level, Precision, level, level_report, limit_level};
pub use matrix::MatRef;
pub use norm::{norm_modulate_backward, norm_modulate_forward};
pub use optimizer::{AdamWStep, adamw_step, ema_update, squared_norm};
pub use peak::{peak_gflops, peak_int8_gops};
pub use residual::{gate_residual_backward, gate_residual_forward};
pub use resize::{CubicShape, Pixel, cubic_to_bytes};
pub use rope::{HeadsShape, rms_norm_rope_backward, rms_norm_rope_forward};
pub use rounding::round_to_bf16;
pub use rows::{GroupedRows, sum_rows};
pub use warp::{WarpShape, warp_backward, warp_forward};
