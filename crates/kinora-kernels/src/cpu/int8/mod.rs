//! Products in 8 bits: weights with a scale for each channel, activations with a scale for each row, found when they come.
//!
//! A number `x` becomes `round(127·x / m)`, where `m` is the largest magnitude of its channel or row. Sums of products are exact in `i32`,
//! so every level gives the same ones: `c[i, j] = activation(Σ · sₐ[i] · s_b[j] + bias[j])`.
//!
//! Both operands are packed as those of [`super::gemm`] are, with four numbers to a word. The weight is packed once, in a quarter of the
//! bytes of f32, and that is all that is kept of it.

mod block;
mod matrix;
mod rows;
#[cfg(test)]
mod tests;

pub use matrix::Int8Matrix;

use block::{Block, Engine, TILE};
use rows::Rows;

#[cfg(target_arch = "x86_64")]
use super::gemm::amx::{self, Finishing};
#[cfg(target_arch = "x86_64")]
use super::gemm::block::Out;
use super::gemm::{Ahead, Epilogue, finish_row};
use super::level::{Level, level};
use super::math::per_level;
use super::matrix::MatRef;
use super::parallel::{Shared, for_each};
use super::scratch::Scratch;

/// Numbers in a word.
const PER_WORD: usize = 4;

/// Rows and columns that a run of lanes holds, and words along the summed axis in a tile.
const STRIP: usize = 16;

/// Rows of a task at most: with 2 KiB each they stay in the second-level cache.
const ROWS: usize = 192;

/// Tiles along the summed axis after which strips are left for the next rows: a pair of strips takes 32 KiB of the first-level cache.
const PIECE: usize = 16;

/// The longest sum: beyond, 255·127 times its length leaves `i32`.
const LONGEST: usize = 1 << 16;

/// Bytes of `C` beyond which it is written past the caches: it would not be there any more when it is read.
const STREAMED: usize = 40 << 20;

/// Whether rows of `n` begin at cache lines and have whole blocks.
fn whole_lines(c: &[f32], n: usize) -> bool {
    (c.as_ptr() as usize).is_multiple_of(64) && n.is_multiple_of(TILE)
}

/// Tiles along the summed axis that `k` elements take.
const fn tiles(k: usize) -> usize {
    k.div_ceil(PER_WORD * STRIP)
}

/// `c = act(a·b + bias)` in 8 bits; `c` is row-major and contiguous. A row of `a` with a NaN or an infinity gives a row of NaN.
///
/// # Shapes
/// `a [m, k]`, `b [k, n]`, `c [m, n]`, `bias [n]`.
///
/// # Panics
/// When the shapes do not fit together, or rows of `a` are not contiguous.
pub fn gemm_int8(a: MatRef<'_>, b: &Int8Matrix, c: &mut [f32], epilogue: Epilogue<'_>) {
    gemm_int8_at(level(), a, b, c, epilogue);
}

/// [`gemm_int8`] with the instructions of `level`, which must be available.
pub(crate) fn gemm_int8_at(
    level: Level,
    a: MatRef<'_>,
    b: &Int8Matrix,
    c: &mut [f32],
    mut epilogue: Epilogue<'_>,
) {
    let (m, k, n) = (a.rows(), a.cols(), b.cols());
    assert_eq!(k, b.rows(), "a has {k} columns and b {} rows", b.rows());
    assert_eq!(c.len(), m * n, "a {m}×{n} product");
    assert!(!epilogue.accumulate, "8-bit products overwrite");
    epilogue.check(m, n);
    if m == 0 || n == 0 {
        return;
    }
    let engine = Engine::new(level);
    let rows = Rows::round(level, engine, a);
    let threads = rayon::current_num_threads();
    let row_block = m
        .div_ceil(2 * threads)
        .clamp(TILE, ROWS)
        .next_multiple_of(TILE);
    let row_blocks = m.div_ceil(row_block);
    let col_block = n
        .div_ceil((2 * threads).div_ceil(row_blocks))
        .next_multiple_of(TILE);
    let col_blocks = n.div_ceil(col_block);
    let streamed = size_of_val(c) > STREAMED && whole_lines(c, n);
    let (c, before) = (
        Shared::new(c),
        epilogue.preactivation.take().map(Shared::new),
    );
    let cost = (m * n).saturating_mul(k.max(1)) >> engine.cost_shift();
    for_each(row_blocks * col_blocks, cost, |task| {
        let (row0, col0) = (task / col_blocks * row_block, task % col_blocks * col_block);
        let (count, cols) = (row_block.min(m - row0), col_block.min(n - col0));
        let finish = |block: &mut Block, row: usize, col: usize| {
            let (lines, cols) = (TILE.min(m - row), TILE.min(n - col));
            let columns = Columns::new(b, col, cols, engine.offset());
            let mut scales = [0.0; TILE];
            (0..lines).for_each(|line| scales[line] = rows.scale(row + line));
            scale_block(level, block, &scales, &columns);
            let bias = epilogue.bias.map(|bias| &bias[col..][..cols]);
            let at = row * n + col;
            #[cfg(target_arch = "x86_64")]
            if level >= Level::Avx512 {
                let finishing = Finishing {
                    out: Out {
                        c: c.get().wrapping_add(at),
                        ldc: n,
                        rows: lines,
                        cols,
                        accumulate: false,
                    },
                    bias,
                    before: before.map(|before| before.get().wrapping_add(at)),
                    activation: epilogue.activation,
                    streamed,
                };
                // SAFETY: this tile belongs to this task alone, and the machine has AVX-512.
                unsafe { amx::finish(block.sums(), 0, finishing) };
                return;
            }
            let _ = streamed;
            for line in 0..lines {
                let at = at + line * n;
                // SAFETY: this tile belongs to this task alone.
                let (target, before) = unsafe {
                    (
                        c.slice(at, cols),
                        before.map(|before| before.slice(at, cols)),
                    )
                };
                target.copy_from_slice(&block.line(line)[..cols]);
                finish_row(level, target, bias, before, epilogue.activation);
            }
        };
        multiply(engine, &rows, b, (row0, count), (col0, cols), finish);
    });
}

/// Makes the sums of rows and columns, block by block, and hands them over.
fn multiply(
    engine: Engine,
    rows: &Rows,
    b: &Int8Matrix,
    (row0, count): (usize, usize),
    (col0, cols): (usize, usize),
    finish: impl Fn(&mut Block, usize, usize),
) {
    let tiles = tiles(b.rows());
    let pieces = tiles.div_ceil(PIECE).max(1);
    let words = tiles * STRIP * STRIP;
    let blocks = count.div_ceil(TILE);
    let mut waiting = Scratch::take(blocks * TILE * TILE);
    let waiting = Block::all(&mut waiting, blocks);
    let _ready = engine.prepare();
    for col in (col0..col0 + cols).step_by(TILE) {
        // The next strips come from beyond the second-level cache: each visit asks for some of them.
        let next = b.pair(col + TILE, 0);
        let ask = |visit: usize, steps: usize| {
            if col + TILE >= col0 + cols {
                return Ahead::default();
            }
            let part = |visit: usize| visit * 2 * words / (pieces * blocks);
            let (from, to) = (part(visit), part(visit + 1));
            let start = next[from / words].wrapping_add(from % words);
            Ahead::new(start.cast(), (to - from) * 4, steps)
        };
        for piece in 0..pieces {
            let first = piece * PIECE;
            let steps = PIECE.min(tiles - first);
            for (index, block) in waiting.iter_mut().enumerate() {
                let row = row0 + index * TILE;
                let (left, right) = (rows.pair(row, first), b.pair(col, first));
                let ahead = &mut ask(piece * blocks + index, steps);
                // SAFETY: the operands are packed for whole tiles, and the machine has the engine.
                unsafe { engine.multiply(steps, left, right, piece > 0, block, ahead) };
                if piece + 1 == pieces {
                    finish(block, row, col);
                }
            }
        }
    }
}

/// What the columns of a block have in common.
#[repr(align(64))]
struct Columns {
    scales: [f32; TILE],
    /// What the offset of the left operand added to their sums.
    added: [i32; TILE],
}

impl Columns {
    fn new(b: &Int8Matrix, first: usize, count: usize, offset: i32) -> Self {
        let mut columns = Self {
            scales: [0.0; TILE],
            added: [0; TILE],
        };
        columns.scales[..count].copy_from_slice(&b.scales()[first..][..count]);
        for (added, sum) in columns.added.iter_mut().zip(&b.sums()[first..][..count]) {
            *added = offset * sum;
        }
        columns
    }
}

per_level! {
    /// Sums become what they stand for.
    fn scale_block / scale_block_body(block: &mut Block, scales: &[f32; TILE], columns: &Columns)
}

#[inline(always)]
fn scale_block_body<const FMA: bool>(block: &mut Block, scales: &[f32; TILE], columns: &Columns) {
    for (scale, row) in scales.iter().zip(block.rows()) {
        for (index, sum) in row.iter_mut().enumerate() {
            let value = (*sum - columns.added[index]) as f32 * (scale * columns.scales[index]);
            *sum = value.to_bits().cast_signed();
        }
    }
}
