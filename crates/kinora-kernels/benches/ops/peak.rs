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
}

/// Runs so many rounds and answers how many operations that were.
type Kernel = fn(usize) -> u64;

impl Peaks {
    pub(crate) fn measure(level: Level) -> Self {
        Self {
            f32: kernel(level, Precision::F32).map(measure),
            bf16: kernel(level, Precision::Bf16).map(measure),
        }
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
        format!("f32 {}, bf16 {}", text(self.f32), text(self.bf16))
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
        (Level::Portable | Level::Neon, Precision::F32) => Some(portable),
        _ => None,
    }
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
    use std::arch::x86_64::{_mm256_fmadd_ps, _mm256_set1_ps, _mm512_fmadd_ps, _mm512_set1_ps};
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
