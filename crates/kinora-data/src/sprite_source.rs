//! From an animated picture to the frames of a sprite: even times, tight crop, bottom aligned, premultiplied.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use fast_image_resize as fir;
use fast_image_resize::pixels::U8x4;
use image::codecs::webp::WebPDecoder;
use image::{AnimationDecoder, DynamicImage, ImageDecoder, RgbaImage};

use crate::error::{Error, Result};

/// The frames of one subject, ready for a pack.
#[derive(Debug)]
pub(crate) struct SpriteFrames {
    /// Premultiplied RGBA8, `frames × size × size × 4`.
    pub(crate) pixels: Vec<u8>,
    /// How many frames.
    pub(crate) frames: usize,
    /// Frames per second.
    pub(crate) fps: f32,
}

/// The decoded pictures with the time in seconds at which each starts, and the whole length.
struct Animation {
    frames: Vec<RgbaImage>,
    starts_secs: Vec<f32>,
    duration_secs: f32,
}

/// Reads a WebP and makes the sprite: at most `max_frames` over the whole loop, at most `fps` of them a second.
pub(crate) fn load(path: &Path, size: usize, max_frames: usize, fps: f32) -> Result<SpriteFrames> {
    let animation = decode(path)?;
    let count = if animation.frames.len() == 1 {
        1
    } else {
        ((animation.duration_secs * fps).round() as usize).clamp(2, max_frames.max(2))
    };
    let chosen: Vec<&RgbaImage> = (0..count)
        .map(|index| {
            let time = (index as f32 + 0.5) / count as f32 * animation.duration_secs;
            let at = animation
                .starts_secs
                .partition_point(|start| *start <= time)
                .saturating_sub(1);
            &animation.frames[at]
        })
        .collect();
    let crop = bounding_square(&chosen);
    let mut pixels = Vec::with_capacity(count * size * size * 4);
    for frame in chosen {
        pixels.extend(resize(frame, crop, size).map_err(|reason| Error::Resize {
            what: path.display().to_string(),
            reason,
        })?);
    }
    let fps = if count == 1 {
        1.0
    } else {
        count as f32 / animation.duration_secs
    };
    Ok(SpriteFrames {
        pixels,
        frames: count,
        fps,
    })
}

fn decode(path: &Path) -> Result<Animation> {
    let picture_error = |source| Error::Picture {
        what: path.display().to_string(),
        source,
    };
    let file = File::open(path).map_err(|source| Error::Read {
        path: path.into(),
        source,
    })?;
    let decoder = WebPDecoder::new(BufReader::new(file)).map_err(picture_error)?;
    if !decoder.has_animation() {
        let (width, height) = decoder.dimensions();
        let still = DynamicImage::from_decoder(decoder)
            .map_err(picture_error)?
            .to_rgba8();
        debug_assert_eq!(still.dimensions(), (width, height));
        return Ok(Animation {
            frames: vec![still],
            starts_secs: vec![0.0],
            duration_secs: 1.0,
        });
    }
    let (mut frames, mut starts_secs, mut duration_secs) = (Vec::new(), Vec::new(), 0.0);
    for frame in decoder.into_frames() {
        let frame = frame.map_err(picture_error)?;
        let (numerator, denominator) = frame.delay().numer_denom_ms();
        starts_secs.push(duration_secs);
        duration_secs += (numerator as f32 / denominator.max(1) as f32 / 1000.0).max(0.01);
        frames.push(frame.into_buffer());
    }
    Ok(Animation {
        frames,
        starts_secs,
        duration_secs,
    })
}

/// A square crop in source pixels; may reach outside the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Crop {
    left: f64,
    top: f64,
    side: f64,
}

/// The smallest square around what is seen in any frame: centred across, standing on its lower edge.
fn bounding_square(frames: &[&RgbaImage]) -> Crop {
    let (mut left, mut right, mut top, mut bottom) = (u32::MAX, 0, u32::MAX, 0);
    for frame in frames {
        for (x, y, pixel) in frame.enumerate_pixels() {
            if pixel.0[3] > 24 {
                left = left.min(x);
                right = right.max(x + 1);
                top = top.min(y);
                bottom = bottom.max(y + 1);
            }
        }
    }
    if left >= right {
        let side = frames
            .first()
            .map_or(1, |frame| frame.width().max(frame.height()));
        return Crop {
            left: 0.0,
            top: 0.0,
            side: f64::from(side),
        };
    }
    let side = f64::from((right - left).max(bottom - top));
    Crop {
        left: f64::from(left + right) / 2.0 - side / 2.0,
        top: f64::from(bottom) - side,
        side,
    }
}

/// Cuts the square out, with premultiplied alpha, and resizes it.
fn resize(frame: &RgbaImage, crop: Crop, size: usize) -> std::result::Result<Vec<u8>, String> {
    let side = (crop.side.round() as usize).max(1);
    let (left, top) = (crop.left.round() as i64, crop.top.round() as i64);
    let mut square = vec![0_u8; side * side * 4];
    for y in 0..side {
        for x in 0..side {
            let (from_x, from_y) = (left + x as i64, top + y as i64);
            if from_x < 0
                || from_y < 0
                || from_x >= i64::from(frame.width())
                || from_y >= i64::from(frame.height())
            {
                continue;
            }
            let [r, g, b, a] = frame.get_pixel(from_x as u32, from_y as u32).0;
            let premultiply = |value: u8| ((u32::from(value) * u32::from(a) + 127) / 255) as u8;
            square[(y * side + x) * 4..][..4].copy_from_slice(&[
                premultiply(r),
                premultiply(g),
                premultiply(b),
                a,
            ]);
        }
    }
    let source = fir::images::TypedImageRef::<U8x4>::from_buffer(side as u32, side as u32, &square)
        .map_err(|e| e.to_string())?;
    let mut pixels = vec![0; size * size * 4];
    let mut target =
        fir::images::TypedImage::<U8x4>::from_buffer(size as u32, size as u32, &mut pixels)
            .map_err(|e| e.to_string())?;
    let options = fir::ResizeOptions::new()
        .resize_alg(fir::ResizeAlg::Convolution(fir::FilterType::Hamming))
        .use_alpha(false);
    fir::Resizer::new()
        .resize_typed(&source, &mut target, &options)
        .map_err(|e| e.to_string())?;
    Ok(pixels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crop_is_square_and_stands_on_the_subject() {
        let mut picture = RgbaImage::new(64, 64);
        for y in 10..30 {
            for x in 40..50 {
                picture.put_pixel(x, y, image::Rgba([255, 0, 0, 255]));
            }
        }
        assert_eq!(
            bounding_square(&[&picture]),
            Crop {
                left: 35.0,
                top: 10.0,
                side: 20.0
            }
        );
    }

    #[test]
    fn an_empty_picture_keeps_its_size() {
        assert_eq!(
            bounding_square(&[&RgbaImage::new(32, 16)]),
            Crop {
                left: 0.0,
                top: 0.0,
                side: 32.0
            }
        );
    }
}
