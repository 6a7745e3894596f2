//! Ways to convolve, each with a packed form of its own for the weight.

use super::clip::Clip;
use super::patches::Patches;
use super::walk::{Ending, Walk};
#[cfg(target_arch = "x86_64")]
use super::{amx, direct};
use crate::cpu::gemm::pack::{Source, lanes_len, pack_lanes_parallel};
use crate::cpu::gemm::{Engine, Epilogue, Operand, product};

/// A way, which the engine, taps, channels and steps decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Tile registers walk over a padded clip.
    #[cfg(target_arch = "x86_64")]
    Tiles,
    /// Vectors of 512 bits walk over a window of it.
    #[cfg(target_arch = "x86_64")]
    Window,
    /// A product with patches that are gathered while they are packed.
    Patches,
}

impl Way {
    #[cfg(target_arch = "x86_64")]
    pub(super) fn of(engine: Engine, walk: &Walk) -> Self {
        if engine == Engine::AmxBf16 && walk.suits_tiles() {
            Self::Tiles
        } else if direct::suits(engine) {
            Self::Window
        } else {
            Self::Patches
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    pub(super) fn of(_engine: Engine, _walk: &Walk) -> Self {
        Self::Patches
    }

    /// Words that [`pack`](Self::pack) may write.
    pub(super) fn packed_len(self, engine: Engine, walk: &Walk) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Tiles => amx::packed_len(walk),
            #[cfg(target_arch = "x86_64")]
            Self::Window => direct::packed_len(engine, walk),
            Self::Patches => lanes_len(engine, walk.channels_out, walk.summed()),
        }
    }

    /// Packs a weight whose lanes are channels that come out; summed are `[taps, channels_in]` in the order of the forward pass. `to` has
    /// room for [`packed_len`](Self::packed_len) words, 64-byte aligned.
    pub(super) fn pack(self, engine: Engine, walk: &Walk, weight: &dyn Source, to: *mut u32) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Tiles => amx::pack(walk, weight, to),
            #[cfg(target_arch = "x86_64")]
            Self::Window => direct::pack(engine, walk, weight, to),
            Self::Patches => {
                pack_lanes_parallel(engine, weight, walk.channels_out, walk.summed(), to);
            }
        }
    }

    /// `out = activation(conv(x, weight) + bias)`, for patches of a forward pass alone.
    pub(super) fn convolve(
        self,
        engine: Engine,
        walk: Walk,
        x: Clip<'_>,
        weight: *const u32,
        ending: Ending<'_>,
        out: &mut [f32],
    ) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Tiles => amx::convolve(walk, &x, weight, ending, out),
            #[cfg(target_arch = "x86_64")]
            Self::Window => direct::convolve(engine, walk, &x, weight, ending, out),
            Self::Patches => {
                debug_assert!(!walk.reverse, "patches of a gradient meet another weight");
                let (m, n) = (walk.pixels_out(), walk.channels_out);
                let epilogue = Epilogue {
                    bias: ending.bias,
                    activation: ending.activation,
                    ..Epilogue::default()
                };
                let decoded = x.decoded();
                let patches = Patches::of_walk(&walk, x.in_f32(&decoded));
                let right = Operand::Packed(weight);
                product(engine, &patches, m, walk.summed(), n, right, out, epilogue);
            }
        }
    }
}
