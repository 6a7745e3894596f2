//! Which micro-kernel multiplies, and the layout that it wants.

use crate::cpu::level::{Level, Precision};

/// Columns in a strip of the right operand, and words along the summed axis in a tile of the left one.
pub(crate) const STRIP: usize = 16;

/// A micro-kernel with its operand layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    /// Arrays that the compiler vectorises; f32.
    Portable,
    /// 128-bit FMA of aarch64; f32.
    Neon,
    /// `bfdot`; bf16 in, f32 sums.
    NeonBf16,
    /// 256-bit FMA; f32.
    Avx2,
    /// 512-bit FMA; f32.
    Avx512,
    /// `vdpbf16ps`; bf16 in, f32 sums.
    Avx512Bf16,
    /// `tdpbf16ps`; bf16 in, f32 sums.
    AmxBf16,
}

impl Engine {
    /// The engine of a level and precision.
    ///
    /// # Panics
    /// When the machine lacks the level: running it would be undefined.
    pub(crate) fn new(level: Level, precision: Precision) -> Self {
        assert!(
            level.is_available(),
            "this machine lacks the level {}",
            level.name()
        );
        match (level, precision) {
            (Level::Portable, _) => Self::Portable,
            (Level::NeonBf16, Precision::Bf16) => Self::NeonBf16,
            (Level::Neon | Level::NeonBf16, _) => Self::Neon,
            (Level::Avx2, _) => Self::Avx2,
            (Level::Amx, Precision::Bf16) => Self::AmxBf16,
            (Level::Avx512Bf16, Precision::Bf16) => Self::Avx512Bf16,
            (Level::Avx512 | Level::Avx512Bf16 | Level::Amx, _) => Self::Avx512,
        }
    }

    /// Whether a word holds two bf16.
    pub(crate) const fn is_bf16(self) -> bool {
        matches!(self, Self::NeonBf16 | Self::Avx512Bf16 | Self::AmxBf16)
    }

    /// Elements along the summed axis in a word.
    pub(crate) const fn per_word(self) -> usize {
        if self.is_bf16() { 2 } else { 1 }
    }

    /// Words that `k` elements take.
    pub(crate) const fn words(self, k: usize) -> usize {
        k.div_ceil(self.per_word())
    }

    /// Words that `k` elements take in packed form: whole tiles.
    pub(crate) const fn padded_words(self, k: usize) -> usize {
        self.words(k).next_multiple_of(STRIP)
    }

    /// Rows of the left operand in a tile.
    pub(crate) const fn tile_rows(self) -> usize {
        match self {
            Self::Portable => 4,
            Self::Neon | Self::NeonBf16 | Self::Avx2 => 6,
            Self::Avx512 | Self::Avx512Bf16 => 8,
            Self::AmxBf16 => 16,
        }
    }

    /// Strips of the right operand that a micro-kernel takes at once.
    pub(crate) const fn strips(self) -> usize {
        match self {
            Self::Portable | Self::Neon | Self::NeonBf16 | Self::Avx2 => 1,
            Self::Avx512 | Self::Avx512Bf16 => 3,
            Self::AmxBf16 => 2,
        }
    }

    /// Words along the summed axis between two visits of a tile of `C`.
    pub(crate) const fn depth(self) -> usize {
        match self {
            // A strip of B and a panel of A then just fill a first-level cache of 32 KiB: a tenth faster than 256 on an AMD EPYC.
            Self::Avx2 => 384,
            // The same layout; first-level caches have 32 to 128 KiB there.
            Self::Neon | Self::NeonBf16 => 384,
            // Three strips of it fill more than a first-level cache, and the second feeds them in time: fewer visits of `C` are worth more.
            Self::Avx512 | Self::Avx512Bf16 => 384,
            Self::Portable | Self::AmxBf16 => 256,
        }
    }

    /// Elementary products per 2²⁰ that one core does in about the same time, to judge what is worth a thread.
    pub(crate) const fn cost_shift(self) -> u32 {
        match self {
            Self::Portable => 2,
            Self::Neon => 3,
            Self::NeonBf16 | Self::Avx2 | Self::Avx512 => 4,
            Self::Avx512Bf16 => 5,
            Self::AmxBf16 => 6,
        }
    }
}
