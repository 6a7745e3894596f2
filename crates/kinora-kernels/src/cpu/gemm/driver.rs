//! Blocking: which part of `C` a task makes, and what it packs for it.

use super::block::{Out, Packed, multiply};
use super::engine::{Engine, STRIP};
use super::epilogue::{Activation, Epilogue, finish_row, vector_level};
use super::pack::{Source, lanes_len, pack_lanes_parallel, pack_rows, rows_len};
use crate::cpu::parallel::{Shared, for_each};
use crate::cpu::scratch::Scratch;

/// The right operand.
#[derive(Clone, Copy)]
pub(crate) enum Operand<'a> {
    /// Columns as lanes, still to be packed.
    Source(&'a dyn Source),
    /// Strips as [`super::pack`] lays them out.
    Packed(*const u32),
}

/// Rows of `A` that a task packs at most: with 512 bytes to 2 KiB a row it stays in the second-level cache.
const BLOCK_ROWS: usize = 192;

/// Elements of `C` that a task goes over in one step of the summed axis: they stay in the second-level cache until the next step.
/// Otherwise each step reads and writes the task's whole part of `C` in memory.
const KEPT_OUTPUTS: usize = 40 << 10;

/// The largest left operand that a task packs at once, in words: several steps need all of it for each part of `C`.
const KEPT_WORDS: usize = 1 << 20;

/// How `C` is cut into tasks.
struct Cut {
    rows: usize,
    cols: usize,
    row_blocks: usize,
    col_blocks: usize,
}

impl Cut {
    /// About four tasks for each thread, so that a thread that is held up does not hold up the others.
    fn new(engine: Engine, m: usize, n: usize) -> Self {
        let threads = rayon::current_num_threads();
        // Whole tiles, and at 512 bits whole packing chunks of 16.
        let (step, group) = match engine {
            Engine::Avx512 | Engine::Avx512Bf16 => (16, 48),
            _ => (engine.tile_rows(), 48),
        };
        let rows = m
            .div_ceil(4 * threads)
            .clamp(32, BLOCK_ROWS)
            .next_multiple_of(step);
        let row_blocks = m.div_ceil(rows);
        // Each block of columns packs its rows of A again, so only as many as the threads need.
        let col_blocks = (2 * threads)
            .div_ceil(row_blocks)
            .min(n.div_ceil(4 * group))
            .max(1);
        let cols = n.div_ceil(col_blocks).next_multiple_of(group);
        Self {
            rows,
            cols,
            row_blocks,
            col_blocks: n.div_ceil(cols),
        }
    }
}

/// `c = epilogue(a·b)` where `a` has `m` rows as lanes and `b` has `n` columns as lanes, both over `k`.
#[allow(clippy::too_many_arguments)]
pub(crate) fn product(
    engine: Engine,
    a: &dyn Source,
    m: usize,
    k: usize,
    n: usize,
    b: Operand<'_>,
    c: &mut [f32],
    epilogue: Epilogue<'_>,
) {
    let all = Columns { first: 0, all: n };
    product_of_columns(engine, a, m, k, n, b, c, all, epilogue);
}

/// Which columns of a wider `C` a product makes.
#[derive(Clone, Copy)]
pub(crate) struct Columns {
    /// The first of them.
    pub(crate) first: usize,
    /// Columns of `C`.
    pub(crate) all: usize,
}

/// [`product`] with `n` columns of a wider `c`; `epilogue` is of these columns alone.
#[allow(clippy::too_many_arguments)]
pub(crate) fn product_of_columns(
    engine: Engine,
    a: &dyn Source,
    m: usize,
    k: usize,
    n: usize,
    b: Operand<'_>,
    c: &mut [f32],
    columns: Columns,
    mut epilogue: Epilogue<'_>,
) {
    let Columns { first, all } = columns;
    assert_eq!(
        c.len(),
        m * all,
        "a {m}×{all} product needs {} elements, not {}",
        m * all,
        c.len()
    );
    assert!(
        first + n <= all,
        "columns {first} to {} of {all}",
        first + n
    );
    epilogue.check(m, n);
    assert!(
        epilogue.preactivation.is_none() || n == all,
        "the pre-activation is of all columns"
    );
    if m == 0 || n == 0 {
        return;
    }
    #[cfg(target_arch = "x86_64")]
    if engine == Engine::AmxBf16 {
        let job = Product {
            a,
            m,
            k,
            n,
            first,
            all,
            preactivation: epilogue.preactivation.take().map(Shared::new),
            bias: epilogue.bias,
            activation: epilogue.activation,
            accumulate: epilogue.accumulate,
            c: Shared::new(c),
        };
        super::amx_product::product(&job, b);
        return;
    }
    let cost = (m * n).saturating_mul(k.max(1)) >> engine.cost_shift();
    let mut packed;
    let b = match b {
        Operand::Packed(ptr) => ptr,
        Operand::Source(source) => {
            packed = Scratch::take(lanes_len(engine, n, k));
            pack_lanes_parallel(engine, source, n, k, packed.as_mut_ptr());
            packed.as_ptr()
        }
    };
    let b = SharedWords(b);
    let b_stride = engine.padded_words(k) * STRIP;
    let cut = Cut::new(engine, m, n);
    let c = Shared::new(c);
    let preactivation = epilogue.preactivation.take().map(Shared::new);
    let (bias, activation, accumulate) = (epilogue.bias, epilogue.activation, epilogue.accumulate);
    let finishes = bias.is_some() || preactivation.is_some() || activation != Activation::None;
    let depth = engine.depth() * engine.per_word();
    let steps = k.div_ceil(depth).max(1);
    let depth = k
        .div_ceil(steps)
        .next_multiple_of(STRIP * engine.per_word());

    for_each(cut.row_blocks * cut.col_blocks, cost, |task| {
        let (row0, col0) = (
            task / cut.col_blocks * cut.rows,
            task % cut.col_blocks * cut.cols,
        );
        let (rows, cols) = (cut.rows.min(m - row0), cut.cols.min(n - col0));
        let panels = rows.next_multiple_of(engine.tile_rows());
        let keeps = steps > 1
            && rows * cols > KEPT_OUTPUTS
            && panels * engine.padded_words(k) <= KEPT_WORDS;
        let part = if keeps { part_cols(rows, cols) } else { cols };
        let packed_at_once = if keeps { k } else { depth.min(k) };
        let mut block = Scratch::take(rows_len(engine, rows, packed_at_once));
        let mut pack = |k0: usize, len: usize| {
            debug_assert!(
                block.len() >= panels * engine.padded_words(len),
                "whole panels of {rows} rows do not fit {} words",
                block.len()
            );
            // SAFETY: the block has room for whole panels.
            unsafe { pack_rows(engine, a, row0, rows, k0, len, block.as_mut_ptr()) };
            block.as_ptr()
        };
        let kept = keeps.then(|| pack(0, k));
        for part0 in (0..cols).step_by(part) {
            let (col0, cols) = (col0 + part0, part.min(cols - part0));
            for step in 0..steps {
                let k0 = step * depth;
                let len = depth.min(k - k0.min(k));
                let left = match kept {
                    Some(ptr) => Packed {
                        ptr: ptr.wrapping_add(k0 / engine.per_word() * engine.tile_rows()),
                        stride: engine.padded_words(k) * engine.tile_rows(),
                    },
                    None => Packed {
                        ptr: pack(k0, len),
                        stride: engine.padded_words(len) * engine.tile_rows(),
                    },
                };
                let right = Packed {
                    ptr: b
                        .get()
                        .wrapping_add(col0 / STRIP * b_stride + k0 / engine.per_word() * STRIP),
                    stride: b_stride,
                };
                let out = Out {
                    c: c.get().wrapping_add(row0 * all + first + col0),
                    ldc: all,
                    rows,
                    cols,
                    accumulate: accumulate || step > 0,
                };
                let last = step + 1 == steps && finishes;
                let finish = |tile: Out, row: usize, col: usize| {
                    if !last {
                        return;
                    }
                    for i in 0..tile.rows {
                        let start = (row0 + row + i) * all + first + col0 + col;
                        // SAFETY: this tile belongs to this task alone.
                        let (target, before) = unsafe {
                            (
                                c.slice(start, tile.cols),
                                preactivation.map(|before| before.slice(start, tile.cols)),
                            )
                        };
                        let bias = bias.map(|bias| &bias[col0 + col..][..tile.cols]);
                        finish_row(vector_level(engine), target, bias, before, activation);
                    }
                };
                // SAFETY: the operands are packed for this engine, the block of `c` belongs to this task alone.
                unsafe { multiply(engine, engine.words(len), left, right, out, finish) };
            }
        }
    });
}

/// A product for [`super::amx_product`].
#[cfg(target_arch = "x86_64")]
pub(super) struct Product<'a> {
    pub(super) a: &'a dyn Source,
    pub(super) m: usize,
    pub(super) k: usize,
    pub(super) n: usize,
    c: Shared<f32>,
    /// The first column of `C` that is made.
    first: usize,
    /// Columns of `C`.
    all: usize,
    bias: Option<&'a [f32]>,
    activation: Activation,
    accumulate: bool,
    preactivation: Option<Shared<f32>>,
}

#[cfg(target_arch = "x86_64")]
impl Product<'_> {
    /// Whether `C` is larger than `bytes` and made of whole cache lines.
    pub(super) fn streams(&self, bytes: usize) -> bool {
        let whole = (self.c.get() as usize).is_multiple_of(64)
            && [self.first, self.all, self.n]
                .iter()
                .all(|columns| columns.is_multiple_of(STRIP));
        whole && self.n.is_multiple_of(2 * STRIP) && self.m * self.n * size_of::<f32>() > bytes
    }

    /// What becomes of `rows × cols` sums from `(row, col)` on.
    pub(super) fn finishing(
        &self,
        row: usize,
        col: usize,
        rows: usize,
        cols: usize,
        streamed: bool,
    ) -> super::amx::Finishing<'_> {
        let at = row * self.all + self.first + col;
        super::amx::Finishing {
            out: Out {
                c: self.c.get().wrapping_add(at),
                ldc: self.all,
                rows,
                cols,
                accumulate: self.accumulate,
            },
            bias: self.bias.map(|bias| &bias[col..][..cols]),
            before: self
                .preactivation
                .map(|before| before.get().wrapping_add(at)),
            activation: self.activation,
            streamed,
        }
    }
}

/// Columns of a part of `C` with `rows` rows that stays in the cache: whole groups of three strips, as the widest kernels take.
fn part_cols(rows: usize, cols: usize) -> usize {
    (KEPT_OUTPUTS / rows.max(1))
        .next_multiple_of(3 * STRIP)
        .min(cols)
}

/// Packed words that tasks only read.
#[derive(Clone, Copy)]
pub(crate) struct SharedWords(pub(crate) *const u32);

// SAFETY: the words are not written while tasks read them.
unsafe impl Send for SharedWords {}
// SAFETY: as above.
unsafe impl Sync for SharedWords {}

impl SharedWords {
    pub(crate) const fn get(self) -> *const u32 {
        self.0
    }
}
