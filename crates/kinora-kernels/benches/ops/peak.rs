//! What the processor can do at most: multiply-adds in registers, without memory, on all threads.

use std::hint::black_box;
use std::time::Instant;

use kinora_kernels::{Level, Precision};

/// Rounds of one measurement, about a millisecond; the best of [`TRIES`] counts, since others use the machine too.
const ROUNDS: usize = 300_000;
const TRIES: usize = 300;

/// Peaks in GFLOP/s; `None` where the level has no measurement here.
pub(crate) struct Peaks {
    f32: Option<f64>,
    bf16: Option<f64>,
    int8: Option<f64>,
}

/// Runs so many rounds and answers how many operations that were.
type Kernel = fn(usize) -> u64;

impl Peaks {
    pub(crate) fn measure(level: Level) -> Self {
        Self {
            f32: kernel(level, Precision::F32).map(measure),
            bf16: kernel(level, Precision::Bf16).map(measure),
            int8: int8_kernel(level).map(measure),
        }
    }

    /// Of products in 8 bits.
    pub(crate) fn of_int8(&self) -> Option<f64> {
        self.int8
    }

    pub(crate) fn of(&self, precision: Precision) -> Option<f64> {
        match precision {
            Precision::F32 => self.f32,
            Precision::Bf16 => self.bf16,
        }
    }

    pub(crate) fn describe(&self) -> String {
        let text = |peak: Option<f64>| {
            peak.map_or("not measured".into(), |peak| format!("{peak:.0} GFLOP/s"))
        };
        let (f32, bf16, int8) = (text(self.f32), text(self.bf16), text(self.int8));
        format!("f32 {f32}, bf16 {bf16}, int8 {int8}")
    }
}

fn measure(kernel: Kernel) -> f64 {
    let once = || {
        let start = Instant::now();
        let operations: u64 = rayon::broadcast(|_| kernel(ROUNDS)).into_iter().sum();
        operations as f64 / start.elapsed().as_secs_f64() / 1e9
    };
    (0..TRIES).map(|_| once()).fold(0.0, f64::max)
}

fn kernel(level: Level, precision: Precision) -> Option<Kernel> {
    match (level, precision) {
        #[cfg(target_arch = "x86_64")]
        (Level::Avx2, Precision::F32) => Some(x86::avx2),
        #[cfg(target_arch = "x86_64")]
        (Level::Avx512 | Level::Avx512Bf16 | Level::Amx, Precision::F32) => Some(x86::avx512),
        #[cfg(target_arch = "x86_64")]
        (Level::Avx512Bf16, Precision::Bf16) => Some(x86::avx512bf16),
        #[cfg(target_arch = "x86_64")]
        (Level::Amx, Precision::Bf16) => Some(x86::amx),
        (Level::Portable | Level::Neon, Precision::F32) => Some(portable),
        _ => None,
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

    /// Chains of multiply-adds that hide each other's latency: 5 cycles at two a cycle need 10.
    const CHAINS: usize = 12;

    pub(super) fn avx2(rounds: usize) -> u64 {
        // SAFETY: `kernel` names it only for a level that was detected.
        unsafe { run_avx2(rounds) };
        (rounds * CHAINS * 8 * 2) as u64
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
        let mut sums = [_mm256_set1_ps(0.5); CHAINS];
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
