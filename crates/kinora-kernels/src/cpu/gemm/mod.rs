//! Matrix products `C = act(A·B + bias)`.
//!
//! Both operands are packed into 16-word strips (a word is an f32, or two bf16 neighbours along the summed axis), so
//! any strides cost the same and a transposed operand is never materialised. `B` is packed once and shared by the
//! threads; `A` is packed by each task into its own scratch while it is hot. Tile registers have a plan of their own
//! (`amx_product`). Each element of `C` is summed in one
//! fixed order, whatever the tiling or the number of threads.

mod ahead;
#[cfg(target_arch = "x86_64")]
pub(crate) mod amx;
#[cfg(target_arch = "x86_64")]
mod amx_product;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub(crate) mod block;
mod driver;
pub(crate) mod engine;
mod epilogue;
#[cfg(target_arch = "aarch64")]
mod neon;
pub(crate) mod pack;
#[cfg(target_arch = "x86_64")]
pub(crate) mod pack_avx512;
mod pack_bf16;
mod packed;
mod portable;
mod stored;
#[cfg(test)]
mod tests;

pub use epilogue::{Activation, Epilogue};
pub use packed::{PackedMatrix, PackedOnce, gemm_packed, limit_packed};
pub use stored::{StoredMatrix, gemm_stored};

pub(crate) use ahead::Ahead;
pub(crate) use driver::{Operand, SharedWords, product};
pub(crate) use engine::Engine;
pub(crate) use epilogue::{finish_row, vector_level};
pub(crate) use pack_bf16::rounded;

use super::level::{Level, Precision, level};
use super::matrix::MatRef;

/// `c = act(a·b + bias)`; `c` is row-major and contiguous.
///
/// # Shapes
/// `a [m, k]`, `b [k, n]`, `c [m, n]`, `bias [n]`.
///
/// # Panics
/// When the shapes do not fit together.
pub fn gemm(
    a: MatRef<'_>,
    b: MatRef<'_>,
    c: &mut [f32],
    epilogue: Epilogue<'_>,
    precision: Precision,
) {
    gemm_at(level(), a, b, c, epilogue, precision);
}

/// [`gemm`] with the instructions of `level`, which must be available.
///
/// # Panics
/// When the shapes do not fit together or the machine lacks the level.
pub fn gemm_at(
    level: Level,
    a: MatRef<'_>,
    b: MatRef<'_>,
    c: &mut [f32],
    epilogue: Epilogue<'_>,
    precision: Precision,
) {
    let engine = Engine::new(level, precision);
    assert_eq!(
        a.cols(),
        b.rows(),
        "a has {} columns and b {} rows",
        a.cols(),
        b.rows()
    );
    product(
        engine,
        &a,
        a.rows(),
        a.cols(),
        b.cols(),
        Operand::Source(&b.t()),
        c,
        epilogue,
    );
}
