//! Packing operands into words.
//!
//! - The **left** operand: panels of `tile_rows` rows; in a panel one tile after another along the summed axis, each
//!   `[tile_rows][16 words]`.
//! - The **right** operand: strips of 16 columns; in a strip `[words][16 columns]`.
//!
//! Both see their source as *lanes* (rows of `A`, columns of `B`) over the summed axis, and both pad with zeros.

use super::engine::{Engine, STRIP};
use crate::cpu::matrix::MatRef;
use crate::cpu::parallel::{Shared, for_each};

/// Elements along the summed axis in a tile of 16 words: 16 or 32.
pub(crate) const STAGE: usize = 2 * STRIP;

/// 16 lanes × 32 elements on their way into a tile.
pub(crate) type Stage = [[f32; STAGE]; STRIP];

/// A place in a plain strided source.
#[derive(Clone, Copy)]
pub(crate) struct Direct {
    pub(crate) ptr: *const f32,
    pub(crate) lane_stride: usize,
    pub(crate) k_stride: usize,
}

/// Something that can be packed.
pub(crate) trait Source: Sync {
    /// The element `(lane, k)` and its strides, when the source is a plain matrix for the next `lanes` and `len`; one
    /// of the strides must be 1.
    fn direct(&self, lane: usize, lanes: usize, k: usize, len: usize) -> Option<Direct>;

    /// Whether neighbours in memory are neighbours along the lanes: then packing walks the lanes first.
    fn lanes_first(&self) -> bool;

    /// Copies `lanes ≤ 16` by `len ≤ 32` elements from `(lane, k)` on; the rest of the stage is unspecified.
    fn fetch(&self, lane: usize, lanes: usize, k: usize, len: usize, stage: &mut Stage);
}

/// A matrix with its rows as lanes.
impl Source for MatRef<'_> {
    fn lanes_first(&self) -> bool {
        self.row_stride() < self.col_stride()
    }

    fn direct(&self, lane: usize, _lanes: usize, k: usize, _len: usize) -> Option<Direct> {
        let (lane_stride, k_stride) = (self.row_stride(), self.col_stride());
        let ptr = self
            .as_ptr()
            .wrapping_add(lane * lane_stride + k * k_stride);
        (lane_stride == 1 || k_stride == 1).then_some(Direct {
            ptr,
            lane_stride,
            k_stride,
        })
    }

    fn fetch(&self, lane: usize, lanes: usize, k: usize, len: usize, stage: &mut Stage) {
        for (i, row) in stage.iter_mut().enumerate().take(lanes) {
            for (j, value) in row.iter_mut().enumerate().take(len) {
                *value = self.at(lane + i, k + j);
            }
        }
    }
}

/// Words that [`pack_lanes_parallel`] writes.
pub(crate) fn lanes_len(engine: Engine, lanes: usize, k: usize) -> usize {
    lanes.div_ceil(STRIP) * engine.padded_words(k) * STRIP
}

/// Words that [`pack_rows`] may touch.
pub(crate) fn rows_len(engine: Engine, lanes: usize, k: usize) -> usize {
    (lanes.next_multiple_of(32) + 16) * engine.padded_words(k)
}

/// Packs a right operand, on several threads when it is large.
pub(crate) fn pack_lanes_parallel(
    engine: Engine,
    source: &dyn Source,
    lanes: usize,
    k: usize,
    dst: *mut u32,
) {
    const WORDS: usize = 512;
    let strips = lanes.div_ceil(STRIP);
    // Wide groups read long runs of a row; narrow ones keep all threads busy.
    let group_strips = strips
        .div_ceil(2 * rayon::current_num_threads())
        .clamp(4, 16);
    let words = engine.padded_words(k);
    let pieces = words.div_ceil(WORDS);
    let dst = Shared::from_ptr(dst);
    for_each(strips.div_ceil(group_strips) * pieces, lanes * k, |task| {
        let (group, piece) = (task / pieces, task % pieces);
        let (lane0, k0) = (
            group * group_strips * STRIP,
            piece * WORDS * engine.per_word(),
        );
        let lanes = (group_strips * STRIP).min(lanes - lane0);
        let len = (WORDS * engine.per_word()).min(k - k0);
        let target = dst
            .get()
            .wrapping_add(group * group_strips * words * STRIP + piece * WORDS * STRIP);
        // SAFETY: each task writes its own strips and words, all inside `lanes_len`.
        unsafe { pack_lanes(engine, source, lane0, lanes, k0, len, target, words * STRIP) };
    });
}

/// Packs lanes as strips `stride` words apart.
///
/// # Safety
/// `dst` has room for ⌈lanes / 16⌉ strips, each padded to whole tiles.
#[allow(clippy::too_many_arguments)]
pub(crate) unsafe fn pack_lanes(
    engine: Engine,
    source: &dyn Source,
    lane0: usize,
    lanes: usize,
    k0: usize,
    len: usize,
    dst: *mut u32,
    stride: usize,
) {
    #[cfg(target_arch = "x86_64")]
    if engine_is_512(engine)
        && let Some(from) = source.direct(lane0, lanes, k0, len)
    {
        // SAFETY: the source has these elements, `dst` the room, and the machine the engine.
        unsafe { pack_region(engine, from, lanes, len, Form::Lanes, dst, stride) };
        return;
    }
    let per_tile = STRIP * engine.per_word();
    let strips = lanes.div_ceil(STRIP);
    let tiles = engine.padded_words(len) / STRIP;
    walk(source.lanes_first(), strips, tiles, |strip, tile| {
        let (lane, k) = (strip * STRIP, tile * per_tile);
        let piece = Piece {
            lane: lane0 + lane,
            lanes: STRIP.min(lanes - lane),
            k: k0 + k,
            len: per_tile.min(len - k),
        };
        let target = dst.wrapping_add(strip * stride + tile * STRIP * STRIP);
        // SAFETY: the tile lies inside `dst`.
        unsafe { piece.write(engine, source, Form::Lanes, target) };
    });
}

/// Visits all `(lane group, tile)`, in the order in which the source lies in memory.
fn walk(lanes_first: bool, groups: usize, tiles: usize, mut visit: impl FnMut(usize, usize)) {
    if lanes_first {
        (0..tiles).for_each(|tile| (0..groups).for_each(|group| visit(group, tile)));
    } else {
        (0..groups).for_each(|group| (0..tiles).for_each(|tile| visit(group, tile)));
    }
}

/// Packs rows as panels of `tile_rows`, each padded to whole tiles and following the one before.
///
/// # Safety
/// `dst` has room for [`rows_len`] words.
pub(crate) unsafe fn pack_rows(
    engine: Engine,
    source: &dyn Source,
    lane0: usize,
    lanes: usize,
    k0: usize,
    len: usize,
    dst: *mut u32,
) {
    let stride = engine.tile_rows() * engine.padded_words(len);
    // SAFETY: passed on.
    unsafe { pack_panels(engine, source, lane0, lanes, k0, len, dst, stride) };
}

/// Packs a left operand as [`pack_rows`] would, on several threads.
#[cfg(target_arch = "x86_64")]
pub(super) fn pack_rows_parallel(
    engine: Engine,
    source: &dyn Source,
    lanes: usize,
    k: usize,
    dst: *mut u32,
) {
    const WORDS: usize = 128;
    let stride = engine.tile_rows() * engine.padded_words(k);
    let dst = Shared::from_ptr(dst);
    for_each(engine.words(k).div_ceil(WORDS), lanes * k, |piece| {
        let k0 = piece * WORDS * engine.per_word();
        let len = (WORDS * engine.per_word()).min(k - k0);
        let target = dst.get().wrapping_add(piece * WORDS * engine.tile_rows());
        // SAFETY: each task writes its own words of each panel, all inside `rows_len`.
        unsafe { pack_panels(engine, source, 0, lanes, k0, len, target, stride) };
    });
}

/// Packs rows as panels `stride` words apart.
///
/// # Safety
/// `dst` has room for the panels, whose rows are rounded up to 16.
#[allow(clippy::too_many_arguments)]
unsafe fn pack_panels(
    engine: Engine,
    source: &dyn Source,
    lane0: usize,
    lanes: usize,
    k0: usize,
    len: usize,
    dst: *mut u32,
    stride: usize,
) {
    let panel = engine.tile_rows();
    let words = engine.padded_words(len);
    let per_tile = STRIP * engine.per_word();
    let chunk = if panel * 2 <= STRIP && STRIP.is_multiple_of(panel) && engine_is_512(engine) {
        STRIP
    } else {
        panel
    };
    let form = Form::Rows {
        panel,
        chunk,
        stride,
    };
    #[cfg(target_arch = "x86_64")]
    if chunk == STRIP
        && engine_is_512(engine)
        && let Some(from) = source.direct(lane0, lanes, k0, len)
    {
        // SAFETY: as in `pack_lanes`.
        unsafe { pack_region(engine, from, lanes, len, form, dst, chunk / panel * stride) };
        return;
    }
    walk(
        source.lanes_first(),
        lanes.div_ceil(chunk),
        words / STRIP,
        |group, tile| {
            let (lane, k) = (group * chunk, tile * per_tile);
            let piece = Piece {
                lane: lane0 + lane,
                lanes: chunk.min(lanes - lane),
                k: k0 + k,
                len: per_tile.min(len - k),
            };
            let target = dst.wrapping_add(lane / panel * stride + tile * panel * STRIP);
            // SAFETY: the tile lies inside `dst`, whose rows are rounded up to whole chunks.
            unsafe { piece.write(engine, source, form, target) };
        },
    );
}

/// Whether tiles pass through vectors of 512 bits.
pub(crate) const fn engine_is_512(engine: Engine) -> bool {
    matches!(
        engine,
        Engine::Avx512 | Engine::Avx512Bf16 | Engine::AmxBf16
    )
}

/// Packs `lanes × len` elements of a plain matrix, groups of 16 lanes `stride` words apart.
///
/// # Safety
/// The machine has the engine, the source the elements, and `dst` the room.
#[cfg(target_arch = "x86_64")]
unsafe fn pack_region(
    engine: Engine,
    from: Direct,
    lanes: usize,
    len: usize,
    form: Form,
    dst: *mut u32,
    stride: usize,
) {
    // SAFETY: promised by the caller.
    unsafe {
        if engine.is_bf16() {
            super::pack_avx512::region_bf16(from, lanes, len, form, dst, stride);
        } else {
            super::pack_avx512::region_f32(from, lanes, len, form, dst, stride);
        }
    }
}

/// How a tile is laid out.
#[derive(Clone, Copy)]
pub(super) enum Form {
    /// `[16 words][16 lanes]`.
    Lanes,
    /// `chunk` rows of 16 words, `panel` to a panel, panels `stride` words apart.
    Rows {
        panel: usize,
        chunk: usize,
        stride: usize,
    },
}

/// At most 16 lanes by 16 words of a source.
#[derive(Clone, Copy)]
struct Piece {
    lane: usize,
    lanes: usize,
    k: usize,
    len: usize,
}

impl Piece {
    /// # Safety
    /// `dst` has room for the form.
    unsafe fn write(self, engine: Engine, source: &dyn Source, form: Form, dst: *mut u32) {
        let mut stage;
        let from = match source.direct(self.lane, self.lanes, self.k, self.len) {
            Some(from) => from,
            None => {
                stage = [[0.0; STAGE]; STRIP];
                source.fetch(self.lane, self.lanes, self.k, self.len, &mut stage);
                Direct {
                    ptr: stage.as_ptr().cast(),
                    lane_stride: STAGE,
                    k_stride: 1,
                }
            }
        };
        #[cfg(target_arch = "x86_64")]
        if engine_is_512(engine) {
            // SAFETY: the source has these elements, `dst` the room, and the machine the engine.
            unsafe {
                if engine.is_bf16() {
                    super::pack_avx512::tile_bf16(from, self.lanes, self.len, form, dst);
                } else {
                    super::pack_avx512::tile_f32(from, self.lanes, self.len, form, dst);
                }
            }
            return;
        }
        // SAFETY: as above.
        unsafe {
            if engine.is_bf16() {
                super::pack_bf16::tile(from, self.lanes, self.len, form, dst);
            } else {
                tile_portable(from, self.lanes, self.len, form, dst);
            }
        }
    }
}

/// A tile of f32 words. Runs that lie in the source as they will in the tile are copied whole: four of the six
/// operands of a training step.
///
/// # Safety
/// `from` has `lanes × len` elements and `dst` the room for the form.
unsafe fn tile_portable(from: Direct, lanes: usize, len: usize, form: Form, dst: *mut u32) {
    let dst = dst.cast::<f32>();
    match form {
        Form::Lanes => {
            for word in 0..STRIP {
                // SAFETY: the tile has 16 rows of 16 words.
                let row = unsafe { std::slice::from_raw_parts_mut(dst.add(word * STRIP), STRIP) };
                let present = if word < len { lanes } else { 0 };
                let start = from.ptr.wrapping_add(word * from.k_stride);
                // SAFETY: these lanes are inside the source.
                unsafe { fill_row(row, present, start, from.lane_stride) };
            }
        }
        Form::Rows {
            panel,
            chunk,
            stride,
        } => {
            for lane in 0..chunk {
                let at = lane / panel * stride + lane % panel * STRIP;
                // SAFETY: the tile has `chunk` rows of 16 words.
                let row = unsafe { std::slice::from_raw_parts_mut(dst.add(at), STRIP) };
                let present = if lane < lanes { len } else { 0 };
                let start = from.ptr.wrapping_add(lane * from.lane_stride);
                // SAFETY: these words are inside the source.
                unsafe { fill_row(row, present, start, from.k_stride) };
            }
        }
    }
}

/// `row` becomes `present` elements `stride` apart, then zeros.
///
/// # Safety
/// The elements are there.
#[inline(always)]
unsafe fn fill_row(row: &mut [f32], present: usize, start: *const f32, stride: usize) {
    if present == STRIP && stride == 1 {
        // SAFETY: promised by the caller.
        row.copy_from_slice(unsafe { std::slice::from_raw_parts(start, STRIP) });
        return;
    }
    for (i, target) in row[..present].iter_mut().enumerate() {
        // SAFETY: promised by the caller.
        *target = unsafe { *start.add(i * stride) };
    }
    row[present..].fill(0.0);
}
