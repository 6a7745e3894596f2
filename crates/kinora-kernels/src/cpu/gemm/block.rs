//! The product of two packed blocks, on whichever engine.

use super::engine::{Engine, STRIP};

/// Where a block product goes: `rows × cols` of `c`, rows `ldc` elements apart.
#[derive(Clone, Copy)]
pub(crate) struct Out {
    pub(crate) c: *mut f32,
    pub(crate) ldc: usize,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    /// Adds to `c` instead of overwriting it.
    pub(crate) accumulate: bool,
}

impl Out {
    /// The part that starts at `(row, col)` and has at most `rows × cols` elements.
    pub(crate) fn part(self, row: usize, col: usize, rows: usize, cols: usize) -> Self {
        Self {
            c: self.c.wrapping_add(row * self.ldc + col),
            ldc: self.ldc,
            rows: rows.min(self.rows - row),
            cols: cols.min(self.cols - col),
            accumulate: self.accumulate,
        }
    }
}

/// A packed operand: tiles or strips `stride` words apart.
#[derive(Clone, Copy)]
pub(crate) struct Packed {
    pub(crate) ptr: *const u32,
    /// Words from one panel (of `tile_rows` rows, or of 16 columns) to the next.
    pub(crate) stride: usize,
}

/// Strips per step so that `total` is covered in groups of at most `most`, without a lonely narrow one.
fn group(most: usize, left: usize) -> usize {
    if left > most && left < 2 * most {
        left.div_ceil(2)
    } else {
        left.min(most)
    }
}

/// `C (+)= A·B` over `words` packed words; `after(tile)` runs on each finished tile while it is in the cache.
///
/// # Safety
/// - The machine has the engine.
/// - `a` holds ⌈rows / tile rows⌉ panels and `b` ⌈cols / 16⌉ strips, each `words` rounded up to 16 long and padded
///   with zeros; both are 64-byte aligned.
/// - `out` is writable and nobody else touches it.
pub(crate) unsafe fn multiply(
    engine: Engine,
    words: usize,
    a: Packed,
    b: Packed,
    out: Out,
    mut after: impl FnMut(Out, usize, usize),
) {
    let panel_rows = engine.tile_rows();
    let strips = out.cols.div_ceil(STRIP);
    let mut strip = 0;
    while strip < strips {
        let count = group(engine.strips(), strips - strip);
        let b_strips = b.ptr.wrapping_add(strip * b.stride);
        let mut row = 0;
        while row < out.rows {
            let tile = out.part(row, strip * STRIP, panel_rows, count * STRIP);
            let a_panel = a.ptr.wrapping_add(row / panel_rows * a.stride);
            // SAFETY: the panels and strips exist and the tile lies inside `out`; the machine has the engine.
            unsafe {
                match engine {
                    Engine::Portable => super::portable::kernel(words, a_panel, b_strips, tile),
                    #[cfg(target_arch = "aarch64")]
                    Engine::Neon => super::neon::kernel_f32(words, a_panel, b_strips, tile),
                    #[cfg(target_arch = "aarch64")]
                    Engine::NeonBf16 => super::neon::kernel_bf16(words, a_panel, b_strips, tile),
                    #[cfg(target_arch = "x86_64")]
                    Engine::Avx2 => super::avx2::kernel(words, a_panel, b_strips, tile),
                    #[cfg(target_arch = "x86_64")]
                    Engine::Avx512 => {
                        super::avx512::kernel_f32(count, words, a_panel, b_strips, b.stride, tile)
                    }
                    #[cfg(target_arch = "x86_64")]
                    Engine::Avx512Bf16 => {
                        super::avx512::kernel_bf16(count, words, a_panel, b_strips, b.stride, tile)
                    }
                    #[cfg(target_arch = "x86_64")]
                    Engine::AmxBf16 => unreachable!("tile registers have products of their own"),
                    _ => unreachable!("engines of another architecture are never chosen"),
                }
            }
            after(tile, row, strip * STRIP);
            row += panel_rows;
        }
        strip += count;
    }
}
