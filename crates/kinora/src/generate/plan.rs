//! What the model is asked for, and how its frames become those of the file.

use anyhow::{Context, Result};
use kinora_media::FrameRate;
use kinora_models::{Description, Sizes};
use kinora_pipeline::Rates;

use super::request::Request;
use super::values::SIDES;

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
            native_size: native_size(&about.sizes, request.size).with_context(|| {
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

/// The size of this shape, exactly and with even sides, that is nearest to as many pixels as `size` has.
pub(crate) fn shaped(size: [u32; 2], aspect: [u32; 2]) -> [u32; 2] {
    let divisor = greatest_divisor(aspect[0], aspect[1]);
    let unit = aspect.map(|side| 2 * side / divisor);
    let pixels = |[width, height]: [u32; 2]| f64::from(width) * f64::from(height);
    let least = SIDES.start().div_ceil(unit[0].min(unit[1]));
    let most = SIDES.end() / unit[0].max(unit[1]);
    let times = (pixels(size) / pixels(unit)).sqrt().round() as u32;
    unit.map(|side| side * times.clamp(least, most.max(least)))
}

fn greatest_divisor(a: u32, b: u32) -> u32 {
    if b == 0 {
        a
    } else {
        greatest_divisor(b, a % b)
    }
}

/// What the model makes for a file of `size`.
fn native_size(sizes: &Sizes, size: [u32; 2]) -> Option<[usize; 2]> {
    match sizes {
        Sizes::Listed(sizes) => nearest_shape(sizes, size),
        Sizes::Multiples { of, area } => Some(fitting_multiple(size, *of, *area)),
    }
}

/// `size` with sides that are multiples, made smaller where it has more pixels than `area`.
fn fitting_multiple(size: [u32; 2], of: usize, area: usize) -> [usize; 2] {
    let size = size.map(f64::from);
    let shrink = (area as f64 / (size[0] * size[1])).sqrt().min(1.0);
    let multiple = |side: f64| ((side * shrink / of as f64).round() as usize).max(1) * of;
    let [mut width, mut height] = size.map(multiple);
    // Rounding up may have made it too large.
    while width * height > area && width.max(height) > of {
        match width >= height {
            true => width -= of,
            false => height -= of,
        }
    }
    [width, height]
}

/// How much less a cut of a frame's longer side counts than one of its shorter side, on which the size of subjects depends.
const LONGER_SIDE: f64 = 0.8;

/// The size of which least is lost when it is cut to the shape of `size`; of two as good the larger one.
fn nearest_shape(sizes: &[[usize; 2]], size: [u32; 2]) -> Option<[usize; 2]> {
    let shape = |width: f64, height: f64| (width / height).ln();
    let wanted = shape(size[0].into(), size[1].into());
    let loss = |[width, height]: [usize; 2]| {
        let own = shape(width as f64, height as f64);
        let cuts_the_longer = (own - wanted).signum() == own.signum() && width != height;
        (own - wanted).abs() * if cuts_the_longer { LONGER_SIDE } else { 1.0 }
    };
    sizes.iter().copied().min_by(|&a, &b| {
        let area = |[width, height]: [usize; 2]| width * height;
        let by_loss = loss(a).total_cmp(&loss(b));
        by_loss.then(area(b).cmp(&area(a)))
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

    #[test]
    fn shapes_are_exact_and_keep_the_number_of_pixels() {
        let sizes = [[176, 96], [128, 128], [96, 176]];
        for (aspect, size, native) in [
            ([16, 9], [704, 396], [176, 96]),
            ([9, 16], [396, 704], [96, 176]),
            ([1, 1], [520, 520], [128, 128]),
            ([4, 3], [600, 450], [176, 96]),
            ([3, 4], [450, 600], [96, 176]),
            ([5, 4], [580, 464], [128, 128]),
            ([21, 9], [798, 342], [176, 96]),
        ] {
            assert_eq!(shaped([704, 384], aspect), size);
            assert_eq!(nearest_shape(&sizes, size), Some(native), "{aspect:?}");
        }
        assert_eq!(shaped([64, 64], [4, 1]), [256, 64]);
        assert_eq!(shaped([4096, 4096], [1, 4]), [1024, 4096]);
    }

    #[test]
    fn any_shape_is_made_within_the_area() {
        let fit = |size| fitting_multiple(size, 16, 832 * 480);
        assert_eq!(fit([832, 480]), [832, 480]);
        assert_eq!(fit([1920, 1080]), [832, 480]);
        assert_eq!(fit([480, 832]), [480, 832]);
        assert_eq!(fit([256, 256]), [256, 256]);
        assert_eq!(fit([100, 70]), [96, 64]);
        for size in [[64, 4096], [4096, 64], [4096, 4096], [700, 698], [64, 64]] {
            let [width, height] = fit(size);
            assert!(width * height <= 832 * 480, "{size:?}: {width}x{height}");
            assert_eq!((width % 16, height % 16), (0, 0));
        }
    }
}
