//! Micro-kernels with AMX tiles: 32 rows × 32 columns, four tiles of sums, and what becomes of them.
//!
//! The intrinsics are not stable, so the instructions stand in inline assembly. Every row of a tile that is loaded is one
//! aligned cache line: unaligned rows would halve the rate.

use std::arch::asm;
use std::arch::x86_64::{
    __m512, _MM_HINT_T1, _mm_prefetch, _mm512_add_ps, _mm512_load_ps, _mm512_mask_storeu_ps,
    _mm512_maskz_loadu_ps, _mm512_set1_ps, _mm512_stream_ps,
};
use std::mem::MaybeUninit;

use super::block::Out;
use super::engine::STRIP;
use super::epilogue::Activation;
use crate::cpu::math::{gelu_tanh, silu};

/// What [`probe`] found.
pub(crate) enum Probe {
    /// The processor or the system has no AMX.
    Absent,
    /// A small product came out right.
    Works,
    /// Announced, but not to be used.
    Refused(String),
}

/// Whether AMX is there, the system lets this process use it, and it computes what it should.
pub(crate) fn probe() -> Probe {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    const TILE: u32 = 1 << 24;
    const BF16: u32 = 1 << 22;
    let announced = __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx & (TILE | BF16) == TILE | BF16;
    if !announced {
        return Probe::Absent;
    }
    // SAFETY: a processor with AMX has xgetbv, and `OSXSAVE` is set where AVX-512 was found usable.
    let enabled = unsafe { std::arch::x86_64::_xgetbv(0) } >> 17 & 0b11 == 0b11;
    if !enabled {
        return Probe::Refused("the operating system does not save tile registers".into());
    }
    if let Err(code) = request_permission() {
        return Probe::Refused(format!("the system refused tile registers (code {code})"));
    }
    if self_test() {
        Probe::Works
    } else {
        Probe::Refused("a test product came out wrong".into())
    }
}

#[cfg(target_os = "linux")]
fn request_permission() -> Result<(), i64> {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: u64 = 0x1023;
    const XTILEDATA: u64 = 18;
    let result: i64;
    // SAFETY: this system call takes two integers and touches no memory of ours.
    unsafe {
        asm!("syscall", inlateout("rax") ARCH_PRCTL => result, in("rdi") ARCH_REQ_XCOMP_PERM, in("rsi") XTILEDATA,
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    if result == 0 { Ok(()) } else { Err(result) }
}

#[cfg(not(target_os = "linux"))]
fn request_permission() -> Result<(), i64> {
    Err(-1)
}

/// Multiplies 32×64 by 64×32 small integers, which bf16 and f32 hold exactly.
fn self_test() -> bool {
    #[repr(align(64))]
    struct Words([u32; 32 * 32]);
    let left = |row: usize, k: usize| ((row * 7 + k * 3) % 13) as f32 - 6.0;
    let right = |k: usize, col: usize| ((k * 5 + col * 11) % 17) as f32 - 8.0;
    let pair = |low: f32, high: f32| low.to_bits() >> 16 | high.to_bits() & 0xffff_0000;
    let (mut a, mut b) = (Words([0; 1024]), Words([0; 1024]));
    for word in 0..32 {
        for lane in 0..32 {
            // A: two panels of two tiles of [16 rows][16 words]; B: two strips of [32 words][16 columns].
            a.0[lane / 16 * 512 + word / 16 * 256 + lane % 16 * 16 + word % 16] =
                pair(left(lane, 2 * word), left(lane, 2 * word + 1));
            b.0[lane / 16 * 512 + word * 16 + lane % 16] =
                pair(right(2 * word, lane), right(2 * word + 1, lane));
        }
    }
    let mut sums = Sums::new();
    // SAFETY: the system granted tiles; the panels are packed and aligned.
    let sums = unsafe {
        let _tiles = TileConfig::load();
        let (a, b) = (a.0.as_ptr(), b.0.as_ptr());
        let pair = |run: *const u32| [run, run.wrapping_add(512)];
        let ahead = &mut Ahead::default();
        multiply(
            Streamed::Neither,
            2,
            pair(a),
            pair(b),
            None,
            sums.as_mut_ptr(),
            ahead,
        );
        std::slice::from_raw_parts(sums.as_ptr(), 32 * 32)
    };
    (0..32).all(|row| {
        (0..32).all(|col| {
            let want: f32 = (0..64).map(|k| left(row, k) * right(k, col)).sum();
            sums[row * 32 + col] == want
        })
    })
}

/// The tile shapes of the current thread: eight tiles of 16 rows × 64 bytes. Released when dropped.
pub(crate) struct TileConfig(());

impl TileConfig {
    /// # Safety
    /// The machine has AMX and the process may use it.
    pub(crate) unsafe fn load() -> Self {
        #[repr(align(64))]
        struct Config([u8; 64]);
        let mut config = Config([0; 64]);
        config.0[0] = 1; // palette
        for tile in 0..8 {
            config.0[16 + 2 * tile] = 64; // bytes in a row
            config.0[48 + tile] = 16; // rows
        }
        // SAFETY: the configuration is 64 bytes and valid for palette 1.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) config.0.as_ptr(), options(nostack, preserves_flags, readonly))
        };
        Self(())
    }
}

impl Drop for TileConfig {
    fn drop(&mut self) {
        // SAFETY: tiles were configured by `load`; nothing is kept in them between kernels.
        unsafe { asm!("tilerelease", options(nostack, preserves_flags, nomem)) };
    }
}

/// Sums of a tile of `C`, 32 × 32.
#[repr(C, align(64))]
pub(crate) struct Sums([MaybeUninit<f32>; 32 * 32]);

impl Sums {
    pub(crate) const fn new() -> Self {
        Self([const { MaybeUninit::uninit() }; 32 * 32])
    }

    pub(crate) const fn as_ptr(&self) -> *const f32 {
        self.0.as_ptr().cast()
    }

    pub(crate) const fn as_mut_ptr(&mut self) -> *mut f32 {
        self.0.as_mut_ptr().cast()
    }
}

/// Memory that is asked for while tiles are multiplied, so many cache lines a step.
#[derive(Clone, Copy)]
pub(crate) struct Ahead {
    next: *const u8,
    end: *const u8,
    lines: usize,
}

impl Default for Ahead {
    fn default() -> Self {
        Self {
            next: std::ptr::null(),
            end: std::ptr::null(),
            lines: 0,
        }
    }
}

impl Ahead {
    /// `bytes` from `start` on, spread over `steps`.
    pub(crate) fn new(start: *const u8, bytes: usize, steps: usize) -> Self {
        Self {
            next: start,
            end: start.wrapping_add(bytes),
            lines: bytes.div_ceil(64).div_ceil(steps.max(1)),
        }
    }

    #[inline(always)]
    fn step(&mut self) {
        for _ in 0..self.lines {
            if self.next >= self.end {
                self.lines = 0;
                return;
            }
            // SAFETY: a prefetch reads nothing, whatever the address.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(self.next.cast()) };
            self.next = self.next.wrapping_add(64);
        }
    }
}

/// How operands lie in the first-level cache.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Streamed {
    /// As they come.
    Neither,
    /// The right one stays, while the left one comes from the second level and is not wanted again soon. It is loaded with a hint that
    /// keeps it from driving out the other, which makes products of long sums a quarter faster.
    Left,
}

/// Adds the products of two tiles of `A` and two of `B`, aligned and packed; `t1` marks a left operand that is streamed.
macro_rules! multiply_add {
    ($left:literal, $a0:expr, $a1:expr, $b0:expr, $b1:expr) => {
        asm!(
            concat!("tileloadd", $left, " tmm4, [{a0} + {line}*1]"),
            "tileloadd tmm6, [{b0} + {line}*1]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{b1} + {line}*1]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            concat!("tileloadd", $left, " tmm5, [{a1} + {line}*1]"),
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            a0 = in(reg) $a0, a1 = in(reg) $a1, b0 = in(reg) $b0, b1 = in(reg) $b1, line = in(reg) 64usize,
            options(nostack, preserves_flags, readonly),
        )
    };
}

/// 32 × 32 sums over `steps` tiles of 16 words, from zero or from `start`, into `to`; both are blocks with 32 columns.
///
/// # Safety
/// Panels and strips are packed and 64-byte aligned, the blocks are there, and a [`TileConfig`] is loaded on this thread.
#[inline]
pub(crate) unsafe fn multiply(
    streamed: Streamed,
    steps: usize,
    a: [*const u32; 2],
    b: [*const u32; 2],
    start: Option<*const f32>,
    to: *mut f32,
    ahead: &mut Ahead,
) {
    // SAFETY: promised by the caller; tile registers are ours from one end of this function to the other.
    unsafe {
        match start {
            Some(start) => load(start),
            None => zero(),
        }
        let at = |run: *const u32, step: usize| run.wrapping_add(step * STRIP * STRIP);
        match streamed {
            Streamed::Left => {
                for step in 0..steps {
                    multiply_add!(
                        "t1",
                        at(a[0], step),
                        at(a[1], step),
                        at(b[0], step),
                        at(b[1], step)
                    );
                    ahead.step();
                }
            }
            Streamed::Neither => {
                for step in 0..steps {
                    multiply_add!(
                        "",
                        at(a[0], step),
                        at(a[1], step),
                        at(b[0], step),
                        at(b[1], step)
                    );
                    ahead.step();
                }
            }
        }
        store(to);
    }
}

/// [`multiply`] where the rows of `A` are not packed: its tile of step `i` begins `offsets[i]` bytes behind `a`, its rows are `stride`
/// bytes apart, 64-byte aligned. They are streamed as [`Streamed::Left`] says.
///
/// # Safety
/// As for [`multiply`]; 32 rows can be read at each offset.
#[inline]
pub(crate) unsafe fn multiply_rows(
    offsets: &[usize],
    a: *const u8,
    stride: usize,
    b: [*const u32; 2],
    start: Option<*const f32>,
    to: *mut f32,
    ahead: &mut Ahead,
) {
    // SAFETY: promised by the caller.
    unsafe {
        match start {
            Some(start) => load(start),
            None => zero(),
        }
        for (step, offset) in offsets.iter().enumerate() {
            let a0 = a.wrapping_add(*offset);
            let at = step * STRIP * STRIP;
            asm!(
                "tileloaddt1 tmm4, [{a0} + {stride}*1]",
                "tileloadd tmm6, [{b0} + {line}*1]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b1} + {line}*1]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloaddt1 tmm5, [{a1} + {stride}*1]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                a0 = in(reg) a0, a1 = in(reg) a0.wrapping_add(STRIP * stride), stride = in(reg) stride,
                b0 = in(reg) b[0].wrapping_add(at), b1 = in(reg) b[1].wrapping_add(at), line = in(reg) 64usize,
                options(nostack, preserves_flags, readonly),
            );
            ahead.step();
        }
        store(to);
    }
}

/// Clears the tiles of sums.
///
/// # Safety
/// Tiles are configured.
#[inline(always)]
unsafe fn zero() {
    // SAFETY: promised by the caller.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            options(nostack, preserves_flags, nomem)
        );
    }
}

/// Reads the tiles of sums from a block of 32 × 32.
///
/// # Safety
/// Tiles are configured, and the block is there.
#[inline(always)]
unsafe fn load(from: *const f32) {
    // SAFETY: promised by the caller.
    unsafe {
        asm!(
            "tileloadd tmm0, [{c} + {line}*1]",
            "tileloadd tmm1, [{c} + {line}*1 + 64]",
            "tileloadd tmm2, [{c} + {line}*1 + 2048]",
            "tileloadd tmm3, [{c} + {line}*1 + 2112]",
            c = in(reg) from, line = in(reg) 128usize,
            options(nostack, preserves_flags, readonly),
        );
    }
}

/// Writes the tiles of sums as a block of 32 × 32.
///
/// # Safety
/// Tiles are configured, and the block is writable.
#[inline(always)]
unsafe fn store(to: *mut f32) {
    // SAFETY: promised by the caller.
    unsafe {
        asm!(
            "tilestored [{c} + {line}*1], tmm0",
            "tilestored [{c} + {line}*1 + 64], tmm1",
            "tilestored [{c} + {line}*1 + 2048], tmm2",
            "tilestored [{c} + {line}*1 + 2112], tmm3",
            c = in(reg) to, line = in(reg) 128usize,
            options(nostack, preserves_flags),
        );
    }
}

/// Panels or strips: runs of 16 lanes, `stride` words apart.
#[derive(Clone, Copy)]
pub(crate) struct Lanes {
    pub(crate) ptr: *const u32,
    pub(crate) stride: usize,
}

impl Lanes {
    /// The run that lane `lane` of `lanes` begins, and the one after it if there is one.
    #[inline(always)]
    pub(crate) fn pair(self, lane: usize, lanes: usize) -> [*const u32; 2] {
        let first = self.ptr.wrapping_add(lane / STRIP * self.stride);
        // A missing second run is replaced by the first; its sums are not used.
        let second = if lane + STRIP < lanes { self.stride } else { 0 };
        [first, first.wrapping_add(second)]
    }
}

/// Where a finished tile goes, and what is done with it on the way.
pub(crate) struct Finishing<'a> {
    pub(crate) out: Out,
    /// Of these columns.
    pub(crate) bias: Option<&'a [f32]>,
    /// Receives what the activation is applied to; rows as far apart as those of `out`.
    pub(crate) before: Option<*mut f32>,
    pub(crate) activation: Activation,
    /// Written past the caches: rows are whole and begin at cache lines.
    pub(crate) streamed: bool,
}

/// Writes sums, from row `first` on, as a tile of `C`.
///
/// # Safety
/// The sums are written, and the places of the tile are this thread's. The machine has AVX-512.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,fma")]
pub(crate) unsafe fn finish(sums: &Sums, first: usize, to: Finishing<'_>) {
    let Out {
        c,
        ldc,
        rows,
        cols,
        accumulate,
    } = to.out;
    let masks = [mask16(cols), mask16(cols.saturating_sub(STRIP))];
    let bias = match to.bias {
        // SAFETY: the masks cover the columns of the tile, which the bias has.
        Some(bias) => unsafe {
            [
                _mm512_maskz_loadu_ps(masks[0], bias.as_ptr()),
                _mm512_maskz_loadu_ps(masks[1], bias.as_ptr().wrapping_add(STRIP)),
            ]
        },
        // Adding −0 changes nothing, not even the sign of a zero.
        None => [_mm512_set1_ps(-0.0); 2],
    };
    for row in 0..rows {
        for half in 0..2 {
            let mask = masks[half];
            let at = row * ldc + half * STRIP;
            // SAFETY: the sums have 32 columns; the masks cover columns of the tile alone.
            unsafe {
                let mut value = _mm512_load_ps(
                    sums.0
                        .as_ptr()
                        .add((first + row) * 2 * STRIP + half * STRIP)
                        .cast(),
                );
                if accumulate {
                    value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(mask, c.wrapping_add(at)));
                }
                value = _mm512_add_ps(value, bias[half]);
                if let Some(before) = to.before {
                    _mm512_mask_storeu_ps(before.wrapping_add(at), mask, value);
                }
                value = activate(value, to.activation);
                if to.streamed {
                    _mm512_stream_ps(c.wrapping_add(at), value);
                } else {
                    _mm512_mask_storeu_ps(c.wrapping_add(at), mask, value);
                }
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,fma")]
fn activate(value: __m512, activation: Activation) -> __m512 {
    // SAFETY: both are 64 bytes of plain bits.
    let mut lanes = unsafe { std::mem::transmute::<__m512, [f32; STRIP]>(value) };
    match activation {
        Activation::None => return value,
        Activation::GeluTanh => lanes.iter_mut().for_each(|x| *x = gelu_tanh::<true>(*x)),
        Activation::Silu => lanes.iter_mut().for_each(|x| *x = silu::<true>(*x)),
    }
    // SAFETY: as above.
    unsafe { std::mem::transmute::<[f32; STRIP], __m512>(lanes) }
}

const fn mask16(count: usize) -> u16 {
    if count >= 16 {
        u16::MAX
    } else {
        (1 << count) - 1
    }
}
