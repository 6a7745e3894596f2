//! Guidance: two predictions, with the prompt and with what is to be kept away from, become one.
//!
//! What is made of a clip as a whole (a product, a norm) is made for each item of the batch.

use std::fmt;
use std::str::FromStr;

use burn::tensor::Tensor;

/// Steps from pure noise that CFG-Zero* leaves out: diffusers 0.42, `guiders/classifier_free_zero_star_guidance.py`.
pub const ZERO_INIT_STEPS: usize = 1;
/// Keeps divisions by zero away, as upstream.
const TINY: f32 = 1e-8;

/// Another strength of guidance where little noise is left: models of two networks have one for each.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GuidanceBelow {
    /// The noise level (1 = noise) below which it counts.
    pub level: f32,
    /// The strength; 1 is none.
    pub guidance: f32,
}

/// Ways of guidance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GuidanceKind {
    /// [`guide`].
    #[default]
    Cfg,
    /// [`cfg_zero`], and no velocity in the first [`ZERO_INIT_STEPS`].
    CfgZero,
    /// [`apg`] of the clean latents.
    Apg,
}

impl GuidanceKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Cfg, Self::CfgZero, Self::Apg];

    /// As it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cfg => "cfg",
            Self::CfgZero => "cfg-zero",
            Self::Apg => "apg",
        }
    }
}

impl fmt::Display for GuidanceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for GuidanceKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == text);
        found.ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            format!("unknown guidance '{text}': known are {known}")
        })
    }
}

/// Classifier-free guidance, `negative + scale · (positive − negative)` (Ho and Salimans, 2022); a scale of 1 is no guidance.
pub fn guide<const D: usize>(
    positive: Tensor<D>,
    negative: Tensor<D>,
    guidance_scale: f32,
) -> Tensor<D> {
    negative.clone() + (positive - negative) * guidance_scale
}

/// CFG-Zero* (Fan et al., 2025): [`guide`] from `s · negative`, where `s = ⟨positive, negative⟩ / ‖negative‖²` makes the two as
/// alike as a factor can.
pub fn cfg_zero<const D: usize>(
    positive: Tensor<D>,
    negative: Tensor<D>,
    guidance_scale: f32,
) -> Tensor<D> {
    let product = item_sum(positive.clone() * negative.clone());
    let square = item_sum(negative.clone() * negative.clone());
    let scaled = negative * (product / (square + TINY));
    guide(positive, scaled, guidance_scale)
}

/// How [`apg`] treats what guidance adds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Apg {
    /// `β`: how much of the steps before comes to it; negative pushes on from them.
    pub momentum: f32,
    /// Longest that it may be; `None` is any length.
    pub norm_threshold: Option<f32>,
    /// `η`: how much of its part along the prediction is kept, which is what oversaturates.
    pub eta: f32,
}

impl Default for Apg {
    /// `η` and `β` of the paper. Its thresholds are for pictures of one size each, so there is none here.
    fn default() -> Self {
        Self {
            momentum: -0.5,
            norm_threshold: None,
            eta: 0.0,
        }
    }
}

/// Adaptive projected guidance (Sadat et al., 2024): `positive + (scale − 1) · update`, where the update is
/// `positive − negative` with momentum, no longer than a threshold, and without its part along `positive`. `average` is what it
/// carries from step to step. The paper means predictions of what is clean.
///
/// As `normalized_guidance` of diffusers 0.42, `guiders/adaptive_projected_guidance.py`, in the original formulation.
pub fn apg<const D: usize>(
    positive: Tensor<D>,
    negative: Tensor<D>,
    guidance_scale: f32,
    settings: Apg,
    average: &mut Option<Tensor<D>>,
) -> Tensor<D> {
    let difference = positive.clone() - negative;
    let mut update = match average.take() {
        None => difference,
        Some(before) => difference + before * settings.momentum,
    };
    *average = Some(update.clone());
    if let Some(threshold) = settings.norm_threshold {
        let norm = item_sum(update.clone() * update.clone()).sqrt();
        update = update * (norm.recip() * threshold).clamp_max(1.0);
    }
    let along = item_sum(update.clone() * positive.clone());
    let square = item_sum(positive.clone() * positive.clone());
    let parallel = positive.clone() * (along / (square + TINY));
    let update = update - parallel * (1.0 - settings.eta);
    positive + update * (guidance_scale - 1.0)
}

/// Sum over all axes but the first, which all stay.
fn item_sum<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    (1..D).fold(x, |sum, axis| sum.sum_dim(axis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for kind in GuidanceKind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        let error = "cfg++".parse::<GuidanceKind>().unwrap_err();
        assert!(error.contains("cfg, cfg-zero, apg"), "{error}");
    }
}
