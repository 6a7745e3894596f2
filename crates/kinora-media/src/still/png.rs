//! PNG, with the recipe as its comment.

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::Path;

use png::{BitDepth, ColorType, Decoder, Encoder, EncodingError, SrgbRenderingIntent};
use serde_json::Value;

use crate::Frame;

/// One of the words that PNG foresees (11.3.3.2 of the standard).
const KEYWORD: &str = "Comment";

pub(super) fn write(to: impl Write, frame: &Frame, recipe: Option<&Value>) -> io::Result<()> {
    let io_error = |error| match error {
        EncodingError::IoError(error) => error,
        other => io::Error::other(other),
    };
    let mut encoder = Encoder::new(to, frame.width(), frame.height());
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_source_srgb(SrgbRenderingIntent::Perceptual);
    if let Some(recipe) = recipe {
        encoder
            .add_itxt_chunk(KEYWORD.into(), recipe.to_string())
            .map_err(io_error)?;
    }
    let mut writer = encoder.write_header().map_err(io_error)?;
    writer.write_image_data(frame.pixels()).map_err(io_error)?;
    writer.finish().map_err(io_error)
}

/// The recipe in the comment of a PNG.
pub(super) fn recipe(path: &Path) -> Option<Value> {
    let reader = Decoder::new(BufReader::new(File::open(path).ok()?))
        .read_info()
        .ok()?;
    let info = reader.info();
    let comments = info.utf8_text.iter().filter(|text| text.keyword == KEYWORD);
    comments
        .filter_map(|text| serde_json::from_str(&text.get_text().ok()?).ok())
        .find(Value::is_object)
}
