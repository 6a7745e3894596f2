//! Schedules, samplers, guidance and step caching: functions over a denoiser, which know nothing of models.
//!
//! Throughout, latents `x(σ) = (1 − σ) · x₀ + σ · noise` follow a rectified flow (Liu et al., 2022;
//! Lipman et al., 2022) and the denoiser predicts the velocity `dx/dσ = noise − x₀`.

mod dpm;
mod guidance;
mod sampler;
mod schedule;
mod solver;
mod step_cache;
mod unipc;

pub use dpm::DpmPlusPlus;
pub use guidance::{Apg, GuidanceBelow, GuidanceKind, ZERO_INIT_STEPS, apg, cfg_zero, guide};
pub use sampler::{Step, euler, steps};
pub use schedule::{Schedule, dpm_schedule, euler_schedule, shift, shifted_sigmas, unipc_schedule};
pub use solver::{History, Levels, Sampler, Solver};
pub use step_cache::{Drift, serves_again};
pub use unipc::UniPc;
