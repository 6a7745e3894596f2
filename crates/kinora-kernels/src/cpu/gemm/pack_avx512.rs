//! Packing with 512-bit vectors: a tile of 16 lanes × 16 words passes through 16 registers, transposed where the
//! source runs the other way.

use std::arch::x86_64::{
    __m512bh, __m512i, _MM_HINT_T1, _mm_prefetch, _mm512_castps_si512, _mm512_cvtne2ps_pbh,
    _mm512_load_si512, _mm512_maskz_loadu_epi16, _mm512_maskz_loadu_ps, _mm512_permutexvar_epi16,
    _mm512_setzero_si512, _mm512_shuffle_i32x4, _mm512_store_si512, _mm512_unpackhi_epi32,
    _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};

use super::engine::STRIP;
use super::pack::{Direct, Form};

macro_rules! tile {
    ($(#[$doc:meta])* $name:ident, $region:ident, $features:literal, $by_lane:ident, $by_word:ident, $per_word:literal) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// `from` has `lanes × len` elements, one of its strides is 1, and `dst` has room for the form.
        #[inline]
        #[target_feature(enable = $features)]
        pub(super) unsafe fn $name(from: Direct, lanes: usize, len: usize, form: Form, dst: *mut u32) {
            // SAFETY: the callers' promise; vectors beyond the source are zero.
            unsafe {
                if from.k_stride == 1 {
                    let lane = |i: usize| if i < lanes { $by_lane(from, i, len) } else { _mm512_setzero_si512() };
                    match form {
                        Form::Rows { .. } => write(form, dst, lane),
                        Form::Lanes => write(form, dst, transposed(lane)),
                    }
                } else {
                    let words = len.div_ceil($per_word);
                    let word = |i: usize| if i < words { $by_word(from, i, lanes, len) } else { _mm512_setzero_si512() };
                    match form {
                        Form::Rows { .. } => write(form, dst, transposed(word)),
                        Form::Lanes => write(form, dst, word),
                    }
                }
            }
        }

        /// A whole region of such tiles: groups of 16 lanes lie `stride` words apart.
        ///
        /// # Safety
        /// As above.
        #[target_feature(enable = $features)]
        pub(super) unsafe fn $region(from: Direct, lanes: usize, len: usize, form: Form, dst: *mut u32, stride: usize) {
            const LEN: usize = STRIP * $per_word;
            let tile_words = match form {
                Form::Lanes => STRIP * STRIP,
                Form::Rows { panel, .. } => panel * STRIP,
            };
            let (groups, tiles) = (lanes.div_ceil(STRIP), len.div_ceil(LEN));
            let visit = |group: usize, tile: usize| {
                let (lane, k) = (group * STRIP, tile * LEN);
                let from = Direct {
                    ptr: from.ptr.wrapping_add(lane * from.lane_stride + k * from.k_stride),
                    ..from
                };
                let dst = dst.wrapping_add(group * stride + tile * tile_words);
                // SAFETY: the tile lies inside the region.
                unsafe {
                    if lanes - lane >= STRIP && len - k >= LEN {
                        $name(from, STRIP, LEN, form, dst);
                    } else {
                        $name(from, STRIP.min(lanes - lane), LEN.min(len - k), form, dst);
                    }
                }
            };
            // In the order in which the source lies in memory.
            if from.k_stride == 1 {
                (0..groups).for_each(|group| (0..tiles).for_each(|tile| visit(group, tile)));
            } else {
                (0..tiles).for_each(|tile| (0..groups).for_each(|group| visit(group, tile)));
            }
        }
    };
}

tile!(
    /// A tile of f32 words.
    tile_f32,
    region_f32,
    "avx512f,avx512bw,avx512vl",
    lane_f32,
    word_f32,
    1
);

tile!(
    /// A tile of bf16 pairs.
    tile_bf16,
    region_bf16,
    "avx512f,avx512bw,avx512vl,avx512bf16",
    lane_bf16,
    word_bf16,
    2
);

/// The words of lane `i`.
///
/// # Safety
/// The lane has `len ≤ 16` neighbouring elements.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn lane_f32(from: Direct, i: usize, len: usize) -> __m512i {
    // SAFETY: the mask covers elements that exist.
    _mm512_castps_si512(unsafe {
        _mm512_maskz_loadu_ps(mask16(len), from.ptr.add(i * from.lane_stride))
    })
}

/// Word `i` of all lanes.
///
/// # Safety
/// The lanes are neighbours and have a word `i`.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn word_f32(from: Direct, i: usize, lanes: usize, _len: usize) -> __m512i {
    let row = from.ptr.wrapping_add(i * from.k_stride);
    ahead(row, STRIP * from.k_stride);
    // SAFETY: the mask covers elements that exist.
    _mm512_castps_si512(unsafe { _mm512_maskz_loadu_ps(mask16(lanes), row) })
}

/// The pairs of lane `i`.
///
/// # Safety
/// The lane has `len ≤ 32` neighbouring elements.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn lane_bf16(from: Direct, i: usize, len: usize) -> __m512i {
    let row = from.ptr.wrapping_add(i * from.lane_stride);
    let (low, high) = (mask16(len), mask16(len.saturating_sub(STRIP)));
    ahead(row, AHEAD);
    ahead(row, AHEAD + STRIP);
    // SAFETY: the masks cover elements that exist.
    let (a, b) = unsafe {
        (
            _mm512_maskz_loadu_ps(low, row),
            _mm512_maskz_loadu_ps(high, row.wrapping_add(STRIP)),
        )
    };
    // SAFETY: both are 64 bytes of plain bits.
    unsafe { std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(b, a)) }
}

/// Pair `i` of all lanes.
///
/// # Safety
/// The lanes are neighbours and have an element `2·i`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn word_bf16(from: Direct, i: usize, lanes: usize, len: usize) -> __m512i {
    let row = from.ptr.wrapping_add(2 * i * from.k_stride);
    let mask = mask16(lanes);
    let second = if 2 * i + 1 < len { mask } else { 0 };
    ahead(row, 2 * STRIP * from.k_stride);
    ahead(row, (2 * STRIP + 1) * from.k_stride);
    // SAFETY: the masks cover elements that exist, the table is 64 aligned bytes, and a vector of bf16 is plain bits.
    unsafe {
        let a = _mm512_maskz_loadu_ps(mask, row);
        let b = _mm512_maskz_loadu_ps(second, row.wrapping_add(from.k_stride));
        let apart = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(b, a));
        paired(apart)
    }
}

/// A strip of lanes that are in bf16 already, `len` elements of each.
///
/// # Safety
/// There are at most 16 lanes, and `dst` has room for whole tiles, 64-byte aligned.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) unsafe fn strip_of_bf16(lanes: &[&[u16]], len: usize, dst: *mut u32) {
    for start in (0..len).step_by(2 * STRIP) {
        let present = (len - start).min(2 * STRIP);
        let mask = u32::MAX >> (2 * STRIP - present);
        let mut tile = [_mm512_setzero_si512(); STRIP];
        for (words, lane) in tile.iter_mut().zip(lanes) {
            let lane = &lane[start..start + present];
            ahead(lane.as_ptr().cast(), AHEAD);
            // SAFETY: the mask covers what there is.
            *words = unsafe { _mm512_maskz_loadu_epi16(mask, lane.as_ptr().cast()) };
        }
        transpose(&mut tile);
        for (word, lanes) in tile.into_iter().enumerate() {
            // SAFETY: tiles are 16 cache lines.
            unsafe {
                _mm512_store_si512(dst.add(start / 2 * STRIP + word * STRIP).cast(), lanes);
            }
        }
    }
}

/// Elements ahead in a lane that are asked for: sixteen lanes at once are more streams than the processor follows well.
const AHEAD: usize = 256;

/// Asks for the same lanes of the next tile: their rows are too far apart for the processor to guess.
#[inline(always)]
fn ahead(row: *const f32, distance: usize) {
    // SAFETY: a prefetch reads nothing, whatever the address.
    unsafe { _mm_prefetch::<_MM_HINT_T1>(row.wrapping_add(distance).cast()) };
}

const fn mask16(count: usize) -> u16 {
    if count >= 16 {
        u16::MAX
    } else {
        (1 << count) - 1
    }
}

/// Brings two runs of 16 halves, one after the other, together as pairs.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(crate) fn paired(halves: __m512i) -> __m512i {
    // SAFETY: the table is 64 aligned bytes.
    _mm512_permutexvar_epi16(
        unsafe { _mm512_load_si512(PAIRS.0.as_ptr().cast()) },
        halves,
    )
}

#[repr(align(64))]
struct Pairs([u16; 32]);

/// 0, 16, 1, 17, …
static PAIRS: Pairs = {
    let mut order = [0; 32];
    let mut i = 0;
    while i < 16 {
        order[2 * i] = i as u16;
        order[2 * i + 1] = i as u16 + 16;
        i += 1;
    }
    Pairs(order)
};

/// Writes the 16 vectors of a tile as its form has them.
///
/// # Safety
/// `dst` has room for the form.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn write(form: Form, dst: *mut u32, vector: impl Fn(usize) -> __m512i) {
    match form {
        Form::Lanes => {
            for word in 0..STRIP {
                // SAFETY: packed tiles are 64-byte aligned and have 16 rows of 16 words.
                unsafe { _mm512_store_si512(dst.add(word * STRIP).cast(), vector(word)) };
            }
        }
        Form::Rows {
            panel,
            chunk,
            stride,
        } => {
            for lane in 0..chunk {
                // A chunk is one panel or two.
                let at = if lane < panel {
                    lane * STRIP
                } else {
                    stride + (lane - panel) * STRIP
                };
                // SAFETY: the tile has `chunk` rows of 16 words.
                unsafe { _mm512_store_si512(dst.add(at).cast(), vector(lane)) };
            }
        }
    }
}

/// The vectors of a tile turned.
#[inline]
#[target_feature(enable = "avx512f")]
fn transposed(vector: impl Fn(usize) -> __m512i) -> impl Fn(usize) -> __m512i {
    let mut tile: [__m512i; STRIP] = std::array::from_fn(vector);
    transpose(&mut tile);
    move |i| tile[i]
}

/// Transposes 16 × 16 words.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn transpose(tile: &mut [__m512i; STRIP]) {
    let mut pairs = *tile;
    for i in 0..8 {
        pairs[2 * i] = _mm512_unpacklo_epi32(tile[2 * i], tile[2 * i + 1]);
        pairs[2 * i + 1] = _mm512_unpackhi_epi32(tile[2 * i], tile[2 * i + 1]);
    }
    let mut quads = pairs;
    for i in 0..4 {
        for half in 0..2 {
            let (a, b) = (pairs[4 * i + half], pairs[4 * i + 2 + half]);
            quads[4 * i + 2 * half] = _mm512_unpacklo_epi64(a, b);
            quads[4 * i + 2 * half + 1] = _mm512_unpackhi_epi64(a, b);
        }
    }
    // quads[4·i + j] holds, in its 128-bit part p, column 4·p + j of rows 4·i … 4·i + 3.
    for j in 0..4 {
        let (a, b, c, d) = (quads[j], quads[4 + j], quads[8 + j], quads[12 + j]);
        let (ab_even, ab_odd) = (
            _mm512_shuffle_i32x4::<0x88>(a, b),
            _mm512_shuffle_i32x4::<0xdd>(a, b),
        );
        let (cd_even, cd_odd) = (
            _mm512_shuffle_i32x4::<0x88>(c, d),
            _mm512_shuffle_i32x4::<0xdd>(c, d),
        );
        tile[j] = _mm512_shuffle_i32x4::<0x88>(ab_even, cd_even);
        tile[8 + j] = _mm512_shuffle_i32x4::<0xdd>(ab_even, cd_even);
        tile[4 + j] = _mm512_shuffle_i32x4::<0x88>(ab_odd, cd_odd);
        tile[12 + j] = _mm512_shuffle_i32x4::<0xdd>(ab_odd, cd_odd);
    }
}
