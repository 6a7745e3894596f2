//! Whether this process may use tile registers.

use std::arch::asm;

use super::{Streamed, Sums, TileConfig, multiply};
use crate::cpu::gemm::Ahead;

/// What [`probe`] found.
pub(crate) enum Probe {
    /// The processor or the system has no AMX.
    Absent,
    /// A small product came out right.
    Works,
    /// Announced, but not to be used.
    Refused(String),
}

/// Whether tiles multiply 8-bit numbers too, on a machine where [`probe`] found that they work.
pub(crate) fn has_int8() -> bool {
    const INT8: u32 = 1 << 25;
    std::arch::x86_64::__cpuid_count(7, 0).edx & INT8 != 0
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
