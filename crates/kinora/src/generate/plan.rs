//! What the model is asked for, and how its frames become those of the file.

use anyhow::{Context, Result};
use kinora_media::FrameRate;
use kinora_models::Description;
use kinora_pipeline::Rates;

use super::request::Request;

/// How a request is met by a model.
#[derive(Debug, PartialEq)]
pub(crate) struct Plan {
    /// What the model makes: width and height in pixels.
    pub(crate) native_size: [usize; 2],
    pub(crate) rates: Rates,
}

impl Plan {
    pub(crate) fn new(request: &Request, about: &Description) -> Result<Self> {
        let model = FrameRate::whole(about.frames_per_second as u32)?;
        Ok(Self {
            native_size: nearest_shape(&about.sizes, request.size).with_context(|| {
                format!("the model {} says no sizes: it cannot be used", about.name)
            })?,
            rates: Rates {
                model,
                file: request.fps.unwrap_or(model),
            },
        })
    }

    /// Frames that the model makes for this time, at least one.
    pub(crate) fn model_frames(&self, secs: f64) -> usize {
        ((secs * self.rates.model.as_f64()).round() as usize).max(1)
    }

    /// Frames of the file in this time, at least one.
    pub(crate) fn file_frames(&self, secs: f64) -> u64 {
        ((secs * self.rates.file.as_f64()).round() as u64).max(1)
    }
}

/// The size whose shape is nearest to `size`; of two as near the larger one.
fn nearest_shape(sizes: &[[usize; 2]], size: [u32; 2]) -> Option<[usize; 2]> {
    let shape = |width: f64, height: f64| (width / height).ln();
    let wanted = shape(size[0].into(), size[1].into());
    let distance =
        |[width, height]: [usize; 2]| (shape(width as f64, height as f64) - wanted).abs();
    sizes.iter().copied().min_by(|&a, &b| {
        let area = |[width, height]: [usize; 2]| width * height;
        distance(a)
            .total_cmp(&distance(b))
            .then(area(b).cmp(&area(a)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_shape_is_taken() {
        let sizes = [[176, 96], [128, 128], [96, 176], [352, 192]];
        assert_eq!(nearest_shape(&sizes, [1280, 720]), Some([352, 192]));
        assert_eq!(nearest_shape(&sizes, [512, 480]), Some([128, 128]));
        assert_eq!(nearest_shape(&sizes, [64, 4096]), Some([96, 176]));
        assert_eq!(nearest_shape(&[], [64, 64]), None);
    }
}
