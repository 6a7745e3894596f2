//! Matrix products on tile registers: what is packed when, and what stays in which cache.
//!
//! A tile of `C`, 32 × 32, takes 64 cycles of products and 64 cache lines of loads for each 32 elements of the summed axis. Operands
//! that lie in the second-level cache feed it as fast as those in the first, so only the second level is planned for: either all of
//! `B` is there and rows of `A` pass by, or a block of `A` is there and strips of `B` pass by. What is needed next is asked for while
//! tiles are multiplied.

use super::Ahead;
use super::amx::{Lanes, Streamed, Sums, TileConfig, finish, multiply};
use super::driver::{Operand, Product, SharedWords};
use super::engine::{Engine, STRIP};
use super::pack::{
    lanes_len, pack_lanes, pack_lanes_parallel, pack_rows, pack_rows_parallel, rows_len,
};
use crate::cpu::parallel::for_each;
use crate::cpu::scratch::Scratch;

const ENGINE: Engine = Engine::AmxBf16;

/// Rows and columns of a tile of `C`.
const TILE: usize = 2 * STRIP;

/// Words of `A`, or of all of `B`, that a task keeps: half of a second-level cache of 2 MiB.
const KEPT: usize = 1 << 18;

/// Words along the summed axis that are multiplied at once at most.
const DEPTH: usize = 1152;

/// Steps of 16 words after which an operand is left for the next part of the other: a pair of panels or strips takes 32 KiB of
/// the first-level cache.
const PIECE: usize = 16;

/// Sums that wait for the rest of the summed axis, in a task.
const WAITING: usize = 160 << 10;

/// Bytes of `C` beyond which it is written past the caches: it would not be there any more when it is read.
const STREAMED: usize = 40 << 20;

/// How a product is cut.
#[derive(Clone, Copy, Debug)]
struct Plan {
    rows: usize,
    cols: usize,
    /// Words along the summed axis in a step.
    depth: usize,
    steps: usize,
    order: Order,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// `B` is packed for all and small: rows of `A` pass by.
    Rows,
    /// `B` is packed for all: its strips pass by a block of `A`.
    Strips,
    /// A long sum for a few rows, with `A` packed for all: each task packs its own columns of `B`, piece by piece.
    Deep,
}

impl Plan {
    fn new(m: usize, k: usize, n: usize, packed: bool) -> Self {
        let threads = rayon::current_num_threads();
        let words = ENGINE.padded_words(k);
        let even = |words: usize, most: usize| {
            let steps = words.div_ceil(most).max(1);
            (words.div_ceil(steps).next_multiple_of(STRIP), steps)
        };
        if words * n <= KEPT && words <= 2 * DEPTH {
            // Small tasks: the last one that a thread waits for is short.
            let rows = m
                .div_ceil(6 * threads)
                .clamp(TILE, 4 * TILE)
                .next_multiple_of(TILE);
            return Self {
                rows,
                cols: n,
                depth: words,
                steps: 1,
                order: Order::Rows,
            };
        }
        if !packed && words > DEPTH && m * n <= 1 << 20 {
            let tasks = (2 * threads).max((m * n).div_ceil(WAITING));
            let part = |len: usize| len.div_ceil(tasks).next_multiple_of(TILE);
            let (rows, cols, order) = if m > n {
                (part(m), n, Order::Strips)
            } else {
                (m, part(n), Order::Deep)
            };
            let (depth, steps) = even(words, (KEPT / (rows + cols)).max(64));
            return Self {
                rows,
                cols,
                depth,
                steps,
                order,
            };
        }
        let (depth, steps) = even(words, if words <= 2 * DEPTH { words } else { DEPTH });
        let most = (KEPT * 3 / 4 / depth).clamp(TILE, 8 * TILE);
        let rounds = m.div_ceil(most * threads);
        let rows = m
            .div_ceil(rounds * threads)
            .next_multiple_of(TILE)
            .min(most.next_multiple_of(TILE));
        // Rows that are too few for all threads leave columns to share.
        let blocks = (2 * threads).div_ceil(m.div_ceil(rows));
        let most = if steps > 1 { WAITING / rows } else { n };
        let cols = n
            .div_ceil(blocks)
            .min(most)
            .max(TILE)
            .next_multiple_of(TILE);
        Self {
            rows,
            cols,
            depth,
            steps,
            order: Order::Strips,
        }
    }
}

/// Makes a product, for which the machine must have tile registers.
pub(super) fn product(job: &Product<'_>, b: Operand<'_>) {
    let (m, k, n) = (job.m, job.k, job.n);
    let packed_before = matches!(b, Operand::Packed(_));
    let plan = Plan::new(m, k, n, packed_before);
    let mut packed_rows;
    let mut left = None;
    if plan.order == Order::Deep {
        packed_rows = Scratch::take(rows_len(ENGINE, m, k));
        pack_rows_parallel(ENGINE, job.a, m, k, packed_rows.as_mut_ptr());
        left = Some(SharedWords(packed_rows.as_ptr()));
    }
    let mut packed;
    let right = match b {
        Operand::Packed(ptr) => Right::Packed(SharedWords(ptr)),
        Operand::Source(source) if plan.order == Order::Deep => Right::Source(source),
        Operand::Source(source) => {
            packed = Scratch::take(lanes_len(ENGINE, n, k));
            pack_lanes_parallel(ENGINE, source, n, k, packed.as_mut_ptr());
            Right::Packed(SharedWords(packed.as_ptr()))
        }
    };
    let (row_blocks, col_blocks) = (m.div_ceil(plan.rows), n.div_ceil(plan.cols));
    let cost = (m * n).saturating_mul(k.max(1)) >> ENGINE.cost_shift();
    for_each(row_blocks * col_blocks, cost, |task| {
        let (row, col) = (task / col_blocks * plan.rows, task % col_blocks * plan.cols);
        let part = Part {
            job,
            plan,
            row,
            rows: plan.rows.min(m - row),
            col,
            cols: plan.cols.min(n - col),
            streamed: job.streams(STREAMED),
        };
        part.make(left, right);
    });
}

/// The right operand of all tasks.
#[derive(Clone, Copy)]
enum Right<'a> {
    Packed(SharedWords),
    Source(&'a dyn super::pack::Source),
}

/// The part of `C` that a task makes.
struct Part<'a> {
    job: &'a Product<'a>,
    plan: Plan,
    row: usize,
    rows: usize,
    col: usize,
    cols: usize,
    streamed: bool,
}

impl Part<'_> {
    fn make(&self, left: Option<SharedWords>, right: Right<'_>) {
        let Plan {
            depth,
            steps,
            order,
            ..
        } = self.plan;
        let k = self.job.k;
        let most = (2 * depth).min(k);
        let rows = if order == Order::Rows {
            TILE
        } else {
            self.rows
        };
        let mut panels = left
            .is_none()
            .then(|| Scratch::take(rows_len(ENGINE, rows, most)));
        let mut own = match right {
            Right::Source(_) => Some(Scratch::take(lanes_len(ENGINE, self.cols, most))),
            Right::Packed(_) => None,
        };
        let across = if steps > 1 {
            self.cols.div_ceil(TILE)
        } else {
            1
        };
        let tiles = self.rows.div_ceil(TILE) * across;
        let mut waiting = (order != Order::Rows).then(|| Scratch::take(tiles * TILE * TILE));
        let waiting = waiting.as_mut().map(Scratch::as_mut_ptr);
        // SAFETY: the engine is chosen only where the machine has tiles.
        let _tiles = unsafe { TileConfig::load() };
        for step in 0..steps {
            let first = (2 * depth * step).min(k);
            let len = (2 * depth).min(k - first);
            let strips = match (right, &mut own) {
                (Right::Source(source), Some(own)) => {
                    let stride = ENGINE.padded_words(len) * STRIP;
                    let target = own.as_mut_ptr();
                    // SAFETY: the scratch has the length that packing asks for.
                    unsafe {
                        pack_lanes(
                            ENGINE, source, self.col, self.cols, first, len, target, stride,
                        )
                    };
                    Lanes {
                        ptr: target,
                        stride,
                    }
                }
                (Right::Packed(words), _) => {
                    let stride = ENGINE.padded_words(k) * STRIP;
                    let start = self.col / STRIP * stride + first / 2 * STRIP;
                    Lanes {
                        ptr: words.get().wrapping_add(start),
                        stride,
                    }
                }
                (Right::Source(_), None) => unreachable!("a source is packed into its own scratch"),
            };
            let slice = Slice {
                first,
                len,
                strips,
                begins: step == 0,
                ends: step + 1 == steps,
                waiting,
            };
            match (left, &mut panels) {
                (Some(left), _) => {
                    let stride = ENGINE.padded_words(k) * STRIP;
                    let start = self.row / STRIP * stride + first / 2 * STRIP;
                    let ptr = left.get().wrapping_add(start);
                    self.pass_strips(&slice, Lanes { ptr, stride });
                }
                (None, Some(panels)) if order == Order::Rows => {
                    self.pass_rows(&slice, panels.as_mut_ptr());
                }
                (None, Some(panels)) => {
                    let panels = self.pack(&slice, 0, self.rows, panels.as_mut_ptr());
                    self.pass_strips(&slice, panels);
                }
                (None, None) => unreachable!("rows are packed for all or by the task"),
            }
        }
    }

    fn pack(&self, slice: &Slice, row: usize, rows: usize, target: *mut u32) -> Lanes {
        let source = self.job.a;
        // SAFETY: the scratch has room for these rows.
        unsafe {
            pack_rows(
                ENGINE,
                source,
                self.row + row,
                rows,
                slice.first,
                slice.len,
                target,
            )
        };
        Lanes {
            ptr: target,
            stride: ENGINE.padded_words(slice.len) * STRIP,
        }
    }

    /// Each 32 rows of `A` are packed and meet all strips.
    fn pass_rows(&self, slice: &Slice, left: *mut u32) {
        for row in (0..self.rows).step_by(TILE) {
            let panels = self.pack(slice, row, TILE.min(self.rows - row), left);
            let steps = slice.tiles() * self.cols.div_ceil(TILE);
            let mut ahead = match self.job.a.direct(self.row + row, 2 * TILE, 0, slice.len) {
                Some(from) if from.k_stride == 1 && row + TILE < self.rows => {
                    let (start, len) = (TILE * from.lane_stride, TILE * slice.len);
                    // Rows with gaps between them are asked for up to where the gaps begin.
                    Ahead::new(from.ptr.wrapping_add(start).cast(), len * 4, steps)
                }
                _ => Ahead::default(),
            };
            for col in (0..self.cols).step_by(TILE) {
                let a = panels.pair(0, self.rows - row);
                self.tile(slice, (0, slice.tiles()), a, row, col, &mut ahead);
            }
        }
    }

    /// All rows lie in `panels`, and each pair of strips meets them, a piece of the summed axis at a time that lies in the first-level cache.
    fn pass_strips(&self, slice: &Slice, panels: Lanes) {
        let row_tiles = self.rows.div_ceil(TILE);
        let pieces = slice.tiles().div_ceil(PIECE);
        let words = slice.tiles() * STRIP * STRIP;
        for col in (0..self.cols).step_by(TILE) {
            let next = slice.strips.pair(col + TILE, self.cols);
            let asks = col + TILE < self.cols && self.plan.order == Order::Strips;
            for piece in 0..pieces {
                let first = piece * PIECE;
                let steps = PIECE.min(slice.tiles() - first);
                for row in 0..row_tiles {
                    let mut ahead = Ahead::default();
                    if asks {
                        // The first half of the visits asks for one of the next strips, the second for the other.
                        let (visit, visits) = (piece * row_tiles + row, pieces * row_tiles);
                        let (from, to) =
                            (visit * 2 * words / visits, (visit + 1) * 2 * words / visits);
                        let start = next[from / words].wrapping_add(from % words);
                        ahead = Ahead::new(start.cast(), (to - from) * 4, steps);
                    }
                    let row = row * TILE;
                    let a = panels.pair(row, self.rows);
                    self.tile(slice, (first, steps), a, row, col, &mut ahead);
                }
            }
        }
    }

    /// Multiplies `steps` steps of a tile, and finishes it with the last.
    fn tile(
        &self,
        slice: &Slice,
        (first, steps): (usize, usize),
        a: [*const u32; 2],
        row: usize,
        col: usize,
        ahead: &mut Ahead,
    ) {
        let at = first * STRIP * STRIP;
        let a = a.map(|panel| panel.wrapping_add(at));
        let b = slice
            .strips
            .pair(col, self.cols)
            .map(|strip| strip.wrapping_add(at));
        let streamed = match self.plan.order {
            Order::Rows => Streamed::Neither,
            Order::Strips | Order::Deep => Streamed::Left,
        };
        let mut sums = Sums::new();
        let (begins, ends) = (
            slice.begins && first == 0,
            slice.ends && first + steps == slice.tiles(),
        );
        let kept = slice.waiting.map_or(std::ptr::null_mut(), |waiting| {
            let across = if self.plan.steps > 1 {
                self.cols.div_ceil(TILE)
            } else {
                1
            };
            let index = row / TILE * across + if across > 1 { col / TILE } else { 0 };
            waiting.wrapping_add(index * TILE * TILE).cast::<f32>()
        });
        let from = (!begins).then_some(kept.cast_const());
        let to = if ends { sums.as_mut_ptr() } else { kept };
        // SAFETY: the panels and strips hold whole tiles; sums that begin or end elsewhere wait in blocks of 32 × 32.
        unsafe { multiply(streamed, steps, a, b, from, to, ahead) };
        if ends {
            let finishing = self.job.finishing(
                self.row + row,
                self.col + col,
                TILE.min(self.rows - row),
                TILE.min(self.cols - col),
                self.streamed,
            );
            // SAFETY: this tile of `C` belongs to this task alone.
            unsafe { finish(&sums, 0, finishing) };
        }
    }
}

/// A piece of the summed axis.
struct Slice {
    first: usize,
    len: usize,
    strips: Lanes,
    /// Whether sums start with it.
    begins: bool,
    /// Whether they are complete after it.
    ends: bool,
    /// Where they wait in between: a block of 32 × 32 for each tile.
    waiting: Option<*mut u32>,
}

impl Slice {
    fn tiles(&self) -> usize {
        ENGINE.padded_words(self.len) / STRIP
    }
}
