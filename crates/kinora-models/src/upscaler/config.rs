//! Sizes of the upscaler, as data that travels with the weights.

use burn::config::Config;

/// Upscaler sizes.
#[derive(Config, Debug, PartialEq)]
pub struct UpscalerConfig {
    /// Channels of a folded place.
    #[config(default = 64)]
    pub width: usize,
    /// Residual blocks of two convolutions.
    #[config(default = 2)]
    pub blocks: usize,
}

impl UpscalerConfig {
    /// # Errors
    ///
    /// Sizes that no file of this family has.
    pub(super) fn validate(&self) -> Result<(), String> {
        match (self.width, self.blocks) {
            (1..=1024, 0..=64) => Ok(()),
            (width, blocks) => Err(format!(
                "an upscaler of {width} channels and {blocks} blocks is out of range"
            )),
        }
    }
}
