//! JPEG, with the recipe as its comment.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;
use serde_json::Value;

use crate::sink::Quality;
use crate::{Error, Frame, Result};

const START: [u8; 2] = [0xff, 0xd8];
const COMMENT: u8 = 0xfe;

/// A segment counts its bytes with 16 bits, two of which are the count.
const MAX_COMMENT: usize = 65_533;

/// Fails if `recipe` does not fit into a JPEG.
pub(super) fn check_recipe(recipe: Option<&Value>) -> Result<()> {
    let got = recipe.map_or(0, |recipe| recipe.to_string().len());
    match got > MAX_COMMENT {
        true => Err(Error::RecipeTooLong {
            format: "JPEG",
            got,
            max: MAX_COMMENT,
        }),
        false => Ok(()),
    }
}

pub(super) fn write(
    mut to: impl Write,
    frame: &Frame,
    quality: Quality,
    recipe: Option<&Value>,
) -> io::Result<()> {
    let mut picture = Vec::new();
    JpegEncoder::new_with_quality(&mut picture, quality.get())
        .encode(
            frame.pixels(),
            frame.width(),
            frame.height(),
            ExtendedColorType::Rgb8,
        )
        .map_err(io::Error::other)?;
    to.write_all(&START)?;
    // JFIF wants its own segment first; the comment follows it.
    let jfif = 4 + segment_length(&picture[2..]);
    to.write_all(&picture[2..jfif])?;
    if let Some(text) = recipe.map(Value::to_string) {
        let length = text.len() as u16 + 2;
        to.write_all(&[0xff, COMMENT])?;
        to.write_all(&length.to_be_bytes())?;
        to.write_all(text.as_bytes())?;
    }
    to.write_all(&picture[jfif..])
}

/// Bytes of the segment that begins here, without its marker.
fn segment_length(bytes: &[u8]) -> usize {
    bytes.get(2..4).map_or(0, |length| {
        usize::from(u16::from_be_bytes([length[0], length[1]]))
    })
}

/// The recipe in the comment of a JPEG.
pub(super) fn recipe(path: &Path) -> Option<Value> {
    let mut file = BufReader::new(File::open(path).ok()?);
    let mut start = [0; 2];
    file.read_exact(&mut start).ok()?;
    loop {
        let mut head = [0; 4];
        file.read_exact(&mut head).ok()?;
        let [0xff, marker, high, low] = head else {
            return None;
        };
        let length = usize::from(u16::from_be_bytes([high, low])).checked_sub(2)?;
        let mut segment = vec![0; length];
        file.read_exact(&mut segment).ok()?;
        let found = match marker {
            COMMENT => serde_json::from_slice(&segment)
                .ok()
                .filter(Value::is_object),
            // The picture itself begins.
            0xda => return None,
            _ => None,
        };
        if found.is_some() {
            return found;
        }
    }
}
