//! A picture from a file.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};
use serde_json::Value;

use super::{jpeg, png};
use crate::source::BACKGROUND;
use crate::{Error, Frame, MAX_PIXELS, MAX_SIDE, Result};

/// What can be known of a picture from its headers.
pub(crate) struct StillInfo {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) recipe: Option<Value>,
}

/// The picture in `path`, turned as its camera says, transparent parts on white.
pub(crate) fn read(path: &Path, format: ImageFormat) -> Result<Frame> {
    let failed = |error| failed(path, error);
    let mut decoder = reader(path, format)?.into_decoder().map_err(failed)?;
    let (width, height) = decoder.dimensions();
    Frame::byte_len(width, height)?;
    let orientation = decoder.orientation().map_err(failed)?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(failed)?;
    picture.apply_orientation(orientation);
    let (width, height) = (picture.width(), picture.height());
    if picture.color().has_alpha() {
        Frame::from_rgba(width, height, &picture.into_rgba8(), BACKGROUND)
    } else {
        Frame::new(width, height, picture.into_rgb8().into_raw())
    }
}

/// The size of the picture in `path` as [`read`] gives it, and its recipe.
pub(crate) fn scan(path: &Path, format: ImageFormat) -> Result<StillInfo> {
    use image::metadata::Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    let failed = |error| failed(path, error);
    let mut decoder = reader(path, format)?.into_decoder().map_err(failed)?;
    let (width, height) = decoder.dimensions();
    let turned = matches!(
        decoder.orientation().map_err(failed)?,
        Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH
    );
    let (width, height) = if turned {
        (height, width)
    } else {
        (width, height)
    };
    let recipe = match format {
        ImageFormat::Png => png::recipe(path),
        ImageFormat::Jpeg => jpeg::recipe(path),
        _ => None,
    };
    Ok(StillInfo {
        width,
        height,
        recipe,
    })
}

fn reader(path: &Path, format: ImageFormat) -> Result<ImageReader<BufReader<File>>> {
    let file = File::open(path).map_err(|error| Error::reading(path, error))?;
    let mut reader = ImageReader::with_format(BufReader::new(file), format);
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    // Sixteen bits in four channels.
    limits.max_alloc = Some(8 * MAX_PIXELS);
    reader.limits(limits);
    Ok(reader)
}

fn failed(path: &Path, error: ImageError) -> Error {
    match error {
        ImageError::IoError(error) => Error::reading(path, error),
        ImageError::Limits(limit) => Error::unsupported(
            path,
            limit.to_string(),
            format!("shrink it to at most {MAX_SIDE} pixels a side"),
        ),
        ImageError::Unsupported(what) => {
            Error::unsupported(path, what.to_string(), "save it as an ordinary PNG or JPEG")
        }
        other => Error::corrupt(path, other),
    }
}
