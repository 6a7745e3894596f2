//! How a model is meant to be used, where its folder says so and where only its sizes tell.

use std::path::Path;

use kinora_sampling::Sampler;
use serde::Deserialize;

use super::conditioning::{Conditioning, Networks};
use super::folder::read;
use crate::{Error, Shown};

/// Networks narrower than this are those that were trained at 480p.
pub(super) const WIDE: usize = 2048;

/// `scheduler/scheduler_config.json`, as far as it matters.
#[derive(Deserialize)]
struct Scheduler {
    #[serde(rename = "_class_name")]
    class: String,
    #[serde(default)]
    flow_shift: Option<f32>,
    #[serde(default)]
    shift: Option<f32>,
}

/// How a model is meant to be used.
#[derive(Debug, Clone)]
pub(super) struct Usage {
    pub(super) boundary: Option<f32>,
    pub(super) sampler: Sampler,
    pub(super) shift: f32,
}

impl Usage {
    /// What Wan's own scripts do with networks of these sizes (`generate.py` of Wan 2.1, `wan/configs` of Wan 2.2), but at
    /// 480p the shift of diffusers' folders, so that a model makes the same clip whatever its files.
    pub(super) fn of(networks: &Networks, conditioning: &Conditioning, has_second: bool) -> Self {
        let is_narrow = networks.denoiser.transformer().width() < WIDE;
        let (boundary, shift) = match (conditioning, has_second) {
            (Conditioning::Pictures(_), true) => (0.9, 5.0),
            (_, true) => (0.875, 12.0),
            (Conditioning::Control(_) | Conditioning::Pictures(Shown::FirstAndLast), false) => {
                (1.0, 16.0)
            }
            (Conditioning::Words | Conditioning::Pictures(_), false) if is_narrow => (1.0, 3.0),
            (_, false) => (1.0, 5.0),
        };
        Self {
            boundary: has_second.then_some(boundary),
            sampler: Sampler::UniPc,
            shift,
        }
    }
}

/// Steps of Wan's own scripts.
pub(super) fn steps(conditioning: &Conditioning, has_second: bool) -> usize {
    match conditioning {
        Conditioning::Pictures(Shown::First | Shown::FirstAndMaybeLast) => 40,
        _ if has_second => 40,
        _ => 50,
    }
}

/// Guidance of Wan's own scripts, of models of two networks that of the one for much noise.
pub(super) fn guidance(conditioning: &Conditioning, has_second: bool) -> f32 {
    match (conditioning, has_second) {
        (Conditioning::Pictures(_), true) => 3.5,
        (_, true) => 4.0,
        _ => 5.0,
    }
}

/// Guidance of the network for little noise.
pub(super) fn guidance_low(conditioning: &Conditioning) -> f32 {
    match conditioning {
        Conditioning::Pictures(_) => 3.5,
        _ => 3.0,
    }
}

/// The sampler that a folder was saved with, and its shift.
pub(super) fn scheduler(path: &Path) -> Result<(Sampler, f32), Error> {
    let scheduler: Scheduler = read(path)?;
    let (sampler, shift) = match scheduler.class.as_str() {
        "UniPCMultistepScheduler" => (Sampler::UniPc, scheduler.flow_shift),
        "FlowMatchEulerDiscreteScheduler" => (Sampler::Euler, scheduler.shift),
        other => {
            return Err(Error::Config {
                path: path.to_owned(),
                reason: format!(
                    "is of a {other}; known are UniPCMultistepScheduler and FlowMatchEulerDiscreteScheduler"
                ),
            });
        }
    };
    match shift.unwrap_or(1.0) {
        shift if (0.1..=100.0).contains(&shift) => Ok((sampler, shift)),
        other => Err(Error::Config {
            path: path.to_owned(),
            reason: format!("its shift is {other}, expected 0.1 to 100"),
        }),
    }
}
