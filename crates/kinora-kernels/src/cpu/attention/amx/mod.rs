//! Attention on tile registers. The products of a block of scores are given out before the rows of the block before are softened: the
//! processor makes both at once, as far as its window reaches.

mod backward;
mod forward;
mod operand;
mod packed;
mod softmax;
mod turned_scores;
mod vector;

pub(super) use backward::{Saved, backward};
pub(super) use forward::forward;

use crate::cpu::gemm::Engine;
use crate::cpu::gemm::amx::Lanes;
use crate::cpu::gemm::engine::STRIP;

const ENGINE: Engine = Engine::AmxBf16;

/// Rows and columns of a block of scores.
const TILE: usize = 2 * STRIP;

/// Elements of a block of scores or sums.
const BLOCK: usize = TILE * TILE;

/// The smallest even cut of `len` into pieces of at most `most`, in whole blocks.
fn even(len: usize, most: usize) -> usize {
    len.div_ceil(len.div_ceil(most).max(1))
        .next_multiple_of(TILE)
}
