//! Sizes of the interpolator, as data that travels with the weights.

use burn::config::Config;

/// Resolutions that the network works at, each half of the one before.
pub(super) const LEVELS: usize = 4;

/// Interpolator sizes, at half of a frame's resolution first.
#[derive(Config, Debug, PartialEq)]
pub struct InterpolatorConfig {
    /// Channels that describe a frame.
    #[config(default = "[16, 32, 48, 64]")]
    pub features: [usize; LEVELS],
    /// Channels of the layers that find motion.
    #[config(default = "[32, 48, 64, 96]")]
    pub width: [usize; LEVELS],
    /// Channels that each resolution hands to the next finer one, beside motion.
    #[config(default = 8)]
    pub carried: usize,
}

impl InterpolatorConfig {
    /// # Errors
    ///
    /// Sizes that no file of this family has.
    pub(super) fn validate(&self) -> Result<(), String> {
        let mut widths = self.features.iter().chain(&self.width);
        if widths.all(|width| (1..=1024).contains(width)) && self.carried <= 256 {
            Ok(())
        } else {
            Err(format!("an interpolator of {self:?} is out of range"))
        }
    }
}
