//! How stored pictures stand to be shown: turned, mirrored, and with square pixels.

use serde::Serialize;

use crate::{Error, Frame, Result, resize};

/// How a stored picture is turned before it is shown: first mirrored, left to right, then turned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Orientation {
    /// 0, 90, 180 or 270 degrees, clockwise.
    pub clockwise_degrees: u16,
    /// Whether it is mirrored.
    pub mirrored: bool,
}

impl Orientation {
    /// As it is stored.
    pub const UPRIGHT: Self = Self {
        clockwise_degrees: 0,
        mirrored: false,
    };

    /// The orientation of a display matrix `[a, b, c, d]`: the pixel at `(x, y)` is shown at `(a·x + c·y, b·x + d·y)`
    /// (ISO 14496-12, 6.2.2). Only signs matter. `None` if it turns by another angle than a right one.
    pub(crate) fn from_matrix(matrix: [i64; 4]) -> Option<Self> {
        let (clockwise_degrees, mirrored) = match matrix.map(i64::signum) {
            [1, 0, 0, 1] => (0, false),
            [0, 1, -1, 0] => (90, false),
            [-1, 0, 0, -1] => (180, false),
            [0, -1, 1, 0] => (270, false),
            [-1, 0, 0, 1] => (0, true),
            [0, -1, -1, 0] => (90, true),
            [1, 0, 0, -1] => (180, true),
            [0, 1, 1, 0] => (270, true),
            _ => return None,
        };
        Some(Self {
            clockwise_degrees,
            mirrored,
        })
    }

    /// The size at which a picture of `width` × `height` is shown.
    pub(crate) fn shown_size(self, (width, height): (u32, u32)) -> (u32, u32) {
        match self.clockwise_degrees {
            90 | 270 => (height, width),
            _ => (width, height),
        }
    }

    /// `frame` as it is shown.
    pub(crate) fn apply(self, frame: Frame) -> Result<Frame> {
        if self == Self::UPRIGHT {
            return Ok(frame);
        }
        let (right, bottom) = (frame.width() - 1, frame.height() - 1);
        let (width, height) = self.shown_size(frame.size());
        Frame::from_fn(width, height, |x, y| {
            let (x, y) = match self.clockwise_degrees {
                90 => (y, bottom - x),
                180 => (right - x, bottom - y),
                270 => (right - y, x),
                _ => (x, y),
            };
            let x = if self.mirrored { right - x } else { x };
            frame.pixel(x, y).unwrap_or_default()
        })
    }
}

/// How wide a pixel is for its height.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PixelAspect {
    /// Its width.
    pub width: u32,
    /// Its height.
    pub height: u32,
}

impl PixelAspect {
    /// Square pixels.
    pub const SQUARE: Self = Self {
        width: 1,
        height: 1,
    };

    /// The aspect `width`:`height`. Zeros say nothing, and stand for a square. `None` beyond 4:1, which no camera makes.
    pub(crate) fn new(width: u32, height: u32) -> Option<Self> {
        if width == 0 || height == 0 || width == height {
            return Some(Self::SQUARE);
        }
        let (w, h) = (u64::from(width), u64::from(height));
        (w <= 4 * h && h <= 4 * w).then_some(Self { width, height })
    }

    /// The size with square pixels: the height stays.
    pub(crate) fn squared(self, (width, height): (u32, u32)) -> (u32, u32) {
        let (w, h) = (u64::from(self.width), u64::from(self.height));
        let squared = (u64::from(width) * w + h / 2) / h;
        (u32::try_from(squared).unwrap_or(u32::MAX).max(1), height)
    }

    /// `frame` with square pixels.
    pub(crate) fn apply(self, frame: Frame) -> Result<Frame> {
        if self == Self::SQUARE {
            return Ok(frame);
        }
        let (width, height) = self.squared(frame.size());
        resize(&frame, width, height)
    }
}

/// The most pixels in a frame of a clip: decoders keep up to 17 of them.
pub const MAX_VIDEO_PIXELS: u64 = 4096 * 4096;

/// Refuses clips whose frames are too large.
pub(crate) fn check_video_size((width, height): (u32, u32)) -> Result<()> {
    Frame::byte_len(width, height)?;
    if u64::from(width) * u64::from(height) > MAX_VIDEO_PIXELS {
        return Err(Error::VideoSize { width, height });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every orientation puts each pixel where its matrix says.
    #[test]
    fn pixels_go_where_the_matrix_sends_them() {
        let frame = Frame::from_fn(3, 2, |x, y| [x as u8, y as u8, 9]).unwrap();
        let matrices = [
            [1, 0, 0, 1],
            [0, 1, -1, 0],
            [-1, 0, 0, -1],
            [0, -1, 1, 0],
            [-1, 0, 0, 1],
            [0, -1, -1, 0],
            [1, 0, 0, -1],
            [0, 1, 1, 0],
        ];
        for matrix in matrices {
            let orientation = Orientation::from_matrix(matrix.map(|entry| entry * 65_536)).unwrap();
            let shown = orientation.apply(frame.clone()).unwrap();
            assert_eq!(shown.size(), orientation.shown_size((3, 2)));
            let [a, b, c, d] = matrix;
            let place = |x: i64, y: i64| (a * x + c * y, b * x + d * y);
            // The picture is moved back to where both coordinates begin at 0.
            let corners = [place(0, 0), place(2, 0), place(0, 1), place(2, 1)];
            let left = corners.iter().map(|corner| corner.0).min().unwrap();
            let top = corners.iter().map(|corner| corner.1).min().unwrap();
            for (x, y) in [(0, 0), (2, 0), (1, 1), (2, 1)] {
                let (to_x, to_y) = place(x, y);
                assert_eq!(
                    shown.pixel((to_x - left) as u32, (to_y - top) as u32),
                    frame.pixel(x as u32, y as u32),
                    "{matrix:?}"
                );
            }
        }
        assert_eq!(
            Orientation::from_matrix([46_341, 46_341, -46_341, 46_341]),
            None
        );
        assert_eq!(Orientation::from_matrix([0; 4]), None);
    }

    #[test]
    fn wide_pixels_make_wide_pictures() {
        let anamorphic = PixelAspect::new(4, 3).unwrap();
        assert_eq!(anamorphic.squared((1440, 1080)), (1920, 1080));
        assert_eq!(
            PixelAspect::new(8, 9).unwrap().squared((720, 480)),
            (640, 480)
        );
        assert_eq!(PixelAspect::new(0, 7), Some(PixelAspect::SQUARE));
        assert_eq!(PixelAspect::new(1, 65_535), None);
        assert_eq!(PixelAspect::new(1, 4).unwrap().squared((1, 1)), (1, 1));
    }

    #[test]
    fn eight_k_is_refused() {
        assert!(check_video_size((3840, 2160)).is_ok());
        let told = check_video_size((7680, 4320)).unwrap_err().to_string();
        assert!(told.contains("4096") && told.contains("scale"), "{told}");
        assert!(matches!(
            check_video_size((100_000, 2)),
            Err(Error::FrameSize { .. })
        ));
    }
}
