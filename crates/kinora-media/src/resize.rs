//! Frames of another size, by Lanczos3.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};

use crate::{Error, Frame, Result};

/// `frame` at `width` × `height`, stretched to it.
///
/// # Errors
///
/// [`Error::FrameSize`] if a side is 0 or too large.
pub fn resize(frame: &Frame, width: u32, height: u32) -> Result<Frame> {
    resize_with(frame, width, height, lanczos3())
}

/// `frame` at `width` × `height` without a change of shape: scaled until it covers the size, and what stands over is cut off evenly.
///
/// # Errors
///
/// [`Error::FrameSize`] if a side is 0 or too large.
pub fn resize_to_cover(frame: &Frame, width: u32, height: u32) -> Result<Frame> {
    resize_with(
        frame,
        width,
        height,
        lanczos3().fit_into_destination(Some((0.5, 0.5))),
    )
}

fn lanczos3() -> ResizeOptions {
    ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3))
        .use_alpha(false)
}

fn resize_with(frame: &Frame, width: u32, height: u32, options: ResizeOptions) -> Result<Frame> {
    let bytes = Frame::byte_len(width, height)?;
    if frame.size() == (width, height) {
        return Ok(frame.clone());
    }
    let failed = |error: &dyn std::fmt::Display| Error::encoder("resize", error);
    // Of one pixel type: the general call brings the filters of all of them into the program, two minutes of its build.
    let from = TypedImageRef::<U8x3>::from_buffer(frame.width(), frame.height(), frame.pixels())
        .map_err(|error| failed(&error))?;
    let mut pixels = vec![0; bytes];
    let mut to = TypedImage::<U8x3>::from_buffer(width, height, &mut pixels)
        .map_err(|error| failed(&error))?;
    Resizer::new()
        .resize_typed(&from, &mut to, &options)
        .map_err(|error| failed(&error))?;
    Frame::new(width, height, pixels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flat_colour_stays() {
        let frame = Frame::filled(64, 48, [10, 120, 250]).unwrap();
        for (width, height) in [(32, 24), (100, 75), (1, 1), (7, 200)] {
            let resized = resize(&frame, width, height).unwrap();
            assert_eq!(
                resized,
                Frame::filled(width, height, [10, 120, 250]).unwrap()
            );
        }
        assert!(matches!(
            resize(&frame, 0, 10),
            Err(Error::FrameSize { .. })
        ));
    }

    #[test]
    fn a_smooth_picture_survives_down_and_up() {
        let smooth = Frame::from_fn(64, 64, |x, y| [(x * 3) as u8, (y * 3) as u8, 90]).unwrap();
        let back = resize(&resize(&smooth, 32, 32).unwrap(), 64, 64).unwrap();
        for y in 8..56 {
            for x in 8..56 {
                let (a, b) = (smooth.pixel(x, y).unwrap(), back.pixel(x, y).unwrap());
                assert!(
                    a.iter().zip(b).all(|(&a, b)| a.abs_diff(b) <= 2),
                    "{x},{y}: {a:?} {b:?}"
                );
            }
        }
    }

    #[test]
    fn covering_keeps_the_shape() {
        // A circle stays as wide as it is high when a wide picture becomes a tall one.
        let disc = |x: u32, y: u32| (f64::from(x) - 79.5).hypot(f64::from(y) - 39.5) < 20.0;
        let frame =
            Frame::from_fn(160, 80, |x, y| if disc(x, y) { [255; 3] } else { [0; 3] }).unwrap();
        let tall = resize_to_cover(&frame, 60, 120).unwrap();
        let lit = |x, y| tall.pixel(x, y).unwrap()[0] > 127;
        let across = (0..60).filter(|&x| lit(x, 60)).count();
        let down = (0..120).filter(|&y| lit(30, y)).count();
        assert!(
            across.abs_diff(down) <= 2 && across.abs_diff(60) <= 2,
            "{across} x {down}"
        );
    }
}
