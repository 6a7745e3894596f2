//! Schedules, samplers and guidance: functions over a denoiser, which know nothing of models.
//!
//! Throughout, latents `x(σ) = (1 − σ) · x₀ + σ · noise` follow a rectified flow (Liu et al., 2022;
//! Lipman et al., 2022) and the denoiser predicts the velocity `dx/dσ = noise − x₀`.

mod guidance;
mod sampler;
mod schedule;
mod unipc;

pub use guidance::guide;
pub use sampler::{Step, euler, steps};
pub use schedule::{Schedule, euler_schedule, shift, shifted_sigmas, unipc_schedule};
pub use unipc::UniPc;
