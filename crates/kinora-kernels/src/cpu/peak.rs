//! What the processor can do at most: multiply-adds in registers, without memory, on all threads of the pool.

use std::hint::black_box;
use std::time::{Duration, Instant};

use super::level::{Level, Precision, level};

/// Rounds of one measurement, a few milliseconds: waking the threads is nothing beside it.
const ROUNDS: usize = 1_000_000;

/// Runs so many rounds and answers how many operations that were.
type Kernel = fn(usize) -> u64;

/// Floating-point operations a second that products of `precision` cannot exceed at the [`level`] in use, in GFLOP/s. Measured for
/// `time`; the best few milliseconds count, since others use the machine too.
#[must_use]
pub fn peak_gflops(precision: Precision, time: Duration) -> f64 {
    measure(kernel(level(), precision), time)
}

/// The same of products of 8-bit integers, where the level has them.
#[must_use]
pub fn peak_int8_gops(time: Duration) -> Option<f64> {
    int8_kernel(level()).map(|kernel| measure(kernel, time))
}

fn measure(kernel: Kernel, time: Duration) -> f64 {
    let begin = Instant::now();
    let mut best: f64 = 0.0;
    loop {
        let start = Instant::now();
        let operations: u64 = rayon::broadcast(|_| kernel(ROUNDS)).into_iter().sum();
        best = best.max(operations as f64 / start.elapsed().as_secs_f64() / 1e9);
        if begin.elapsed() >= time {
            return best;
        }
    }
}

fn kernel(level: Level, precision: Precision) -> Kernel {
    match (level, precision) {
        #[cfg(target_arch = "x86_64")]
        (Level::Avx2, _) => x86::avx2,
        #[cfg(target_arch = "x86_64")]
        (Level::Avx512, _) | (Level::Avx512Bf16 | Level::Amx, Precision::F32) => x86::avx512,
        #[cfg(target_arch = "x86_64")]
        (Level::Avx512Bf16, Precision::Bf16) => x86::avx512bf16,
        #[cfg(target_arch = "x86_64")]
        (Level::Amx, Precision::Bf16) => x86::amx,
        #[cfg(target_arch = "aarch64")]
        (Level::Neon, _) | (Level::NeonBf16, Precision::F32) => aarch64::neon,
        #[cfg(target_arch = "aarch64")]
        (Level::NeonBf16, Precision::Bf16) => aarch64::bf16,
        _ => portable,
    }
}

fn int8_kernel(level: Level) -> Option<Kernel> {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::__cpuid_count;
        if level >= Level::Amx && __cpuid_count(7, 0).edx >> 25 & 1 == 1 {
            return Some(x86::amx_int8);
        }
        if level >= Level::Avx512 && is_x86_feature_detected!("avx512vnni") {
            return Some(x86::vnni);
        }
    }
    #[cfg(target_arch = "aarch64")]
    if level >= Level::Neon && std::arch::is_aarch64_feature_detected!("dotprod") {
        return Some(aarch64::dot);
    }
    let _ = level;
    None
}

/// What the compiler makes of plain multiply-adds for the target as it is.
fn portable(rounds: usize) -> u64 {
    const LANES: usize = 64;
    let mut sums = [0.5f32; LANES];
    let (factor, addend) = (black_box(0.999f32), black_box(0.001f32));
    for _ in 0..rounds / 4 {
        for sum in &mut sums {
            *sum = *sum * factor + addend;
        }
    }
    black_box(sums);
    (rounds / 4 * LANES * 2) as u64
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::asm;
    use std::arch::x86_64::{
        __m512bh, __m512i, _mm256_fmadd_ps, _mm256_set1_ps, _mm512_dpbf16_ps, _mm512_dpbusd_epi32,
        _mm512_fmadd_ps, _mm512_set1_epi32, _mm512_set1_ps,
    };
    use std::hint::black_box;

    /// Chains of multiply-adds that hide each other's latency: 5 cycles at two a cycle need 10, and some need more for bf16 than for f32.
    const CHAINS: usize = 16;
    /// With 256 bits there are but 16 registers.
    const CHAINS_AVX2: usize = 12;

    pub(super) fn avx2(rounds: usize) -> u64 {
        // SAFETY: `kernel` names it only for a level that was detected.
        unsafe { run_avx2(rounds) };
        (rounds * CHAINS_AVX2 * 8 * 2) as u64
    }

    pub(super) fn avx512(rounds: usize) -> u64 {
        // SAFETY: as above.
        unsafe { run_avx512(rounds) };
        (rounds * CHAINS * 16 * 2) as u64
    }

    pub(super) fn avx512bf16(rounds: usize) -> u64 {
        // SAFETY: as above.
        unsafe { run_avx512bf16(rounds) };
        (rounds * CHAINS * 32 * 2) as u64
    }

    macro_rules! run_amx {
        ($dot:literal, $rounds:expr) => {{
        #[repr(align(64))]
        struct Config([u8; 64]);
        let rounds = $rounds / 16;
        let mut config = Config([0; 64]);
        config.0[0] = 1;
        for tile in 0..8 {
            config.0[16 + 2 * tile] = 64;
            config.0[48 + tile] = 16;
        }
        // SAFETY: the level was detected, so the system lets this process use tiles; all are configured before they are used and
        // released after. Configuring clears them.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) config.0.as_ptr(), options(nostack, readonly));
            for _ in 0..rounds {
                asm!(
                    concat!($dot, " tmm0, tmm4, tmm6"),
                    concat!($dot, " tmm1, tmm4, tmm7"),
                    concat!($dot, " tmm2, tmm5, tmm6"),
                    concat!($dot, " tmm3, tmm5, tmm7"),
                    options(nostack, nomem),
                );
            }
            asm!("tilerelease", options(nostack, nomem));
        }
        }};
    }

    /// Products of 16 × 32 by 32 × 16 into four tiles of sums.
    pub(super) fn amx(rounds: usize) -> u64 {
        run_amx!("tdpbf16ps", rounds);
        (rounds / 16 * 4 * 16 * 16 * 32 * 2) as u64
    }

    /// Products of 16 × 64 by 64 × 16.
    pub(super) fn amx_int8(rounds: usize) -> u64 {
        run_amx!("tdpbssd", rounds);
        (rounds / 16 * 4 * 16 * 16 * 64 * 2) as u64
    }

    pub(super) fn vnni(rounds: usize) -> u64 {
        // SAFETY: the caller asked for the feature.
        unsafe { run_vnni(rounds) };
        (rounds * CHAINS * 64 * 2) as u64
    }

    #[target_feature(enable = "avx512f,avx512vnni")]
    fn run_vnni(rounds: usize) {
        let (left, right) = (
            _mm512_set1_epi32(black_box(0x0101_0101)),
            _mm512_set1_epi32(black_box(0x0102_0102)),
        );
        let mut sums = [_mm512_set1_epi32(1); CHAINS];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm512_dpbusd_epi32(*sum, left, right);
            }
        }
        black_box(sums);
    }

    #[target_feature(enable = "avx512f,avx512bf16")]
    fn run_avx512bf16(rounds: usize) {
        // SAFETY: both are 64 bytes of plain bits.
        let pairs = |bits: i32| unsafe {
            std::mem::transmute::<__m512i, __m512bh>(_mm512_set1_epi32(black_box(bits)))
        };
        let (left, right) = (pairs(0x3c00_3c00), pairs(0x3c00_3c00));
        let mut sums = [_mm512_set1_ps(0.5); CHAINS];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm512_dpbf16_ps(*sum, left, right);
            }
        }
        black_box(sums);
    }

    #[target_feature(enable = "avx2,fma")]
    fn run_avx2(rounds: usize) {
        let (factor, addend) = (
            _mm256_set1_ps(black_box(0.999)),
            _mm256_set1_ps(black_box(0.001)),
        );
        let mut sums = [_mm256_set1_ps(0.5); CHAINS_AVX2];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(*sum, factor, addend);
            }
        }
        black_box(sums);
    }

    #[target_feature(enable = "avx512f")]
    fn run_avx512(rounds: usize) {
        let (factor, addend) = (
            _mm512_set1_ps(black_box(0.999)),
            _mm512_set1_ps(black_box(0.001)),
        );
        let mut sums = [_mm512_set1_ps(0.5); CHAINS];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(*sum, factor, addend);
            }
        }
        black_box(sums);
    }
}

#[cfg(target_arch = "aarch64")]
mod aarch64 {
    use std::arch::aarch64::{vdupq_n_f32, vdupq_n_s32, vdupq_n_u32, vfmaq_f32};
    use std::arch::asm;
    use std::hint::black_box;

    /// Chains of multiply-adds that hide each other's latency: 4 cycles at four a cycle need 16.
    const CHAINS: usize = 20;

    pub(super) fn neon(rounds: usize) -> u64 {
        // SAFETY: vectors are part of the target.
        unsafe { run_neon(rounds) };
        (rounds * CHAINS * 4 * 2) as u64
    }

    pub(super) fn bf16(rounds: usize) -> u64 {
        // SAFETY: `kernel` names it only for a level that was detected.
        unsafe { run_bf16(rounds) };
        (rounds * CHAINS * 8 * 2) as u64
    }

    pub(super) fn dot(rounds: usize) -> u64 {
        // SAFETY: the caller asked for the feature.
        unsafe { run_dot(rounds) };
        (rounds * CHAINS * 16 * 2) as u64
    }

    #[target_feature(enable = "neon")]
    fn run_neon(rounds: usize) {
        let (left, right) = (vdupq_n_f32(black_box(0.999)), vdupq_n_f32(black_box(0.001)));
        let mut sums = black_box([vdupq_n_f32(0.5); CHAINS]);
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = vfmaq_f32(*sum, left, right);
            }
        }
        black_box(sums);
    }

    #[target_feature(enable = "neon,bf16")]
    fn run_bf16(rounds: usize) {
        let pairs = vdupq_n_u32(black_box(0x3c00_3c00));
        let mut sums = black_box([vdupq_n_f32(0.5); CHAINS]);
        for _ in 0..rounds {
            for sum in &mut sums {
                // SAFETY: the instruction reads and writes these registers alone.
                unsafe {
                    asm!("bfdot {sum:v}.4s, {pairs:v}.8h, {pairs:v}.8h", sum = inout(vreg) *sum, pairs = in(vreg) pairs,
                        options(nomem, nostack));
                }
            }
        }
        black_box(sums);
    }

    #[target_feature(enable = "neon,dotprod")]
    fn run_dot(rounds: usize) {
        let numbers = vdupq_n_s32(black_box(0x0102_0102));
        let mut sums = black_box([vdupq_n_s32(1); CHAINS]);
        for _ in 0..rounds {
            for sum in &mut sums {
                // SAFETY: the instruction reads and writes these registers alone.
                unsafe {
                    asm!("sdot {sum:v}.4s, {numbers:v}.16b, {numbers:v}.16b", sum = inout(vreg) *sum, numbers = in(vreg) numbers,
                        options(nomem, nostack, preserves_flags));
                }
            }
        }
        black_box(sums);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_millis(20);
    /// Others use the machine too, and may take a core from one measurement and not from the next.
    const TRIES: usize = 30;

    #[test]
    fn narrow_types_are_never_the_slower_ones() {
        let (mut wide, mut narrow) = (0.0, 0.0);
        for _ in 0..TRIES {
            let of = |precision| peak_gflops(precision, TIME);
            wide = of(Precision::F32);
            // A processor of any kind multiplies a hundred million times a second, and none a quadrillion times.
            assert!((0.1..1e6).contains(&wide), "{wide}");
            narrow = of(Precision::Bf16).min(peak_int8_gops(TIME).unwrap_or(f64::MAX));
            if narrow > 0.5 * wide {
                return;
            }
        }
        panic!("{narrow} against {wide}");
    }
}
