//! Which instructions the machine has, detected once.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

/// Instruction levels in rising order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Level {
    /// Plain Rust for whatever the target guarantees.
    Portable,
    /// 128-bit vectors on aarch64.
    Neon,
    /// The same with bf16 dot products.
    NeonBf16,
    /// 256-bit vectors with fused multiply-add.
    Avx2,
    /// 512-bit vectors (F, BW, VL, DQ).
    Avx512,
    /// 512-bit vectors with bf16 dot products.
    Avx512Bf16,
    /// Tile registers with bf16 products.
    Amx,
}

/// How the inputs of a product are read; sums are always f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Precision {
    /// Products of f32.
    #[default]
    F32,
    /// Inputs rounded to bf16 on levels that multiply bf16 ([`Level::has_bf16`]), f32 on the others.
    Bf16,
}

impl Level {
    /// All levels, lowest first.
    pub const ALL: [Self; 7] = [
        Self::Portable,
        Self::Neon,
        Self::NeonBf16,
        Self::Avx2,
        Self::Avx512,
        Self::Avx512Bf16,
        Self::Amx,
    ];

    /// The name that [`Level::from_name`] reads.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Neon => "neon",
            Self::NeonBf16 => "neonbf16",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Avx512Bf16 => "avx512bf16",
            Self::Amx => "amx",
        }
    }

    /// The level called `name`, in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|level| level.name().eq_ignore_ascii_case(name.trim()))
    }

    /// Whether the level multiplies bf16: [`Precision::Bf16`] is f32 on the others.
    #[must_use]
    pub const fn has_bf16(self) -> bool {
        matches!(self, Self::NeonBf16 | Self::Avx512Bf16 | Self::Amx)
    }

    /// Whether this machine can run the level.
    #[must_use]
    pub fn is_available(self) -> bool {
        self == Self::Portable || (self <= detection().level && self.fits_architecture())
    }

    const fn fits_architecture(self) -> bool {
        match self {
            Self::Portable => true,
            Self::Neon | Self::NeonBf16 => cfg!(target_arch = "aarch64"),
            _ => cfg!(target_arch = "x86_64"),
        }
    }
}

static LIMIT: AtomicU8 = AtomicU8::new(Level::Amx as u8);

/// The level that operations use: the machine's, or the one [`limit_level`] lowered it to.
#[must_use]
pub fn level() -> Level {
    let limit = LIMIT.load(Ordering::Relaxed);
    let detected = detection().level;
    if limit >= detected as u8 {
        return detected;
    }
    // A limit that belongs to another architecture means the next one below that this machine has.
    Level::ALL
        .into_iter()
        .rev()
        .find(|level| *level as u8 <= limit && level.is_available())
        .unwrap_or(Level::Portable)
}

/// Lowers the level for the whole process. Never raises it above what the machine has.
pub fn limit_level(limit: Level) {
    LIMIT.store(limit as u8, Ordering::Relaxed);
}

/// One line on what was detected, and why a level that the processor announces is not used.
#[must_use]
pub fn level_report() -> String {
    let found = detection();
    let used = level();
    let lowered = if used == found.level {
        String::new()
    } else {
        format!(" (the machine has {})", found.level.name())
    };
    match &found.note {
        None => format!("{}{lowered}", used.name()),
        Some(note) => format!("{}{lowered}; {note}", used.name()),
    }
}

struct Detection {
    level: Level,
    note: Option<String>,
}

fn detection() -> &'static Detection {
    static FOUND: OnceLock<Detection> = OnceLock::new();
    FOUND.get_or_init(detect)
}

#[cfg(target_arch = "x86_64")]
fn detect() -> Detection {
    let plain = |level| Detection { level, note: None };
    if !(is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")) {
        return plain(Level::Portable);
    }
    let avx512 = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512dq");
    if !avx512 {
        return plain(Level::Avx2);
    }
    if !is_x86_feature_detected!("avx512bf16") {
        return plain(Level::Avx512);
    }
    match super::gemm::amx::probe() {
        super::gemm::amx::Probe::Absent => plain(Level::Avx512Bf16),
        super::gemm::amx::Probe::Works => plain(Level::Amx),
        super::gemm::amx::Probe::Refused(reason) => Detection {
            level: Level::Avx512Bf16,
            note: Some(format!("amx is not used: {reason}")),
        },
    }
}

#[cfg(target_arch = "aarch64")]
fn detect() -> Detection {
    let level = if std::arch::is_aarch64_feature_detected!("bf16") {
        Level::NeonBf16
    } else {
        Level::Neon
    };
    Detection { level, note: None }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn detect() -> Detection {
    Detection {
        level: Level::Portable,
        note: None,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The levels that this machine can test; says which it skips.
    pub(crate) fn testable_levels(test: &str) -> Vec<Level> {
        let (run, skipped): (Vec<_>, Vec<_>) = Level::ALL
            .into_iter()
            .partition(|level| level.is_available());
        if !skipped.is_empty() {
            let names: Vec<_> = skipped.iter().map(|level| level.name()).collect();
            eprintln!("{test}: SKIPPED on this machine: {}", names.join(", "));
        }
        run
    }

    #[test]
    fn names_round_trip_and_order_rises() {
        for level in Level::ALL {
            assert_eq!(Level::from_name(&level.name().to_uppercase()), Some(level));
        }
        assert!(Level::ALL.is_sorted());
        assert_eq!(Level::from_name("sse9"), None);
    }

    #[test]
    fn the_detected_level_is_available_and_reported() {
        assert!(level().is_available());
        assert!(level_report().starts_with(level().name()));
    }
}
