//! One picture.

use crate::{Error, Result};

/// The longest side of a frame, in pixels.
pub const MAX_SIDE: u32 = 16_384;

/// The most pixels in a frame: a limit on what a hostile file can make us allocate.
pub const MAX_PIXELS: u64 = 100_000_000;

/// A picture in RGB, 8 bits a channel, rows from the top, no padding: byte `3 * (y * width + x) + channel`.
///
/// Values are gamma-encoded with BT.709 primaries (sRGB), as screens show them. The sides are at least 1 and the buffer always
/// has the right length.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    width: u32,
    height: u32,
    pixels: Vec<u8>,
}

impl Frame {
    /// A frame from its bytes.
    ///
    /// # Errors
    ///
    /// [`Error::FrameSize`] if a side is 0 or too large; [`Error::FrameBytes`] if `pixels` is not `3 * width * height` long.
    pub fn new(width: u32, height: u32, pixels: Vec<u8>) -> Result<Self> {
        let required = Self::byte_len(width, height)?;
        if pixels.len() != required {
            return Err(Error::FrameBytes {
                width,
                height,
                got: pixels.len(),
                required,
            });
        }
        Ok(Self {
            width,
            height,
            pixels,
        })
    }

    /// A frame of one colour.
    ///
    /// # Errors
    ///
    /// [`Error::FrameSize`] if a side is 0 or too large.
    pub fn filled(width: u32, height: u32, rgb: [u8; 3]) -> Result<Self> {
        let pixels = rgb.repeat(Self::byte_len(width, height)? / 3);
        Ok(Self {
            width,
            height,
            pixels,
        })
    }

    /// A frame whose pixel at column `x` and row `y` is `colour(x, y)`.
    ///
    /// # Errors
    ///
    /// [`Error::FrameSize`] if a side is 0 or too large.
    pub fn from_fn(
        width: u32,
        height: u32,
        mut colour: impl FnMut(u32, u32) -> [u8; 3],
    ) -> Result<Self> {
        let mut pixels = Vec::with_capacity(Self::byte_len(width, height)?);
        for y in 0..height {
            for x in 0..width {
                pixels.extend_from_slice(&colour(x, y));
            }
        }
        Ok(Self {
            width,
            height,
            pixels,
        })
    }

    /// A frame from RGBA bytes (straight alpha), laid over `background`.
    ///
    /// # Errors
    ///
    /// [`Error::FrameSize`] if a side is 0 or too large; [`Error::FrameBytes`] if `rgba` is not `4 * width * height` long.
    pub fn from_rgba(width: u32, height: u32, rgba: &[u8], background: [u8; 3]) -> Result<Self> {
        let required = Self::byte_len(width, height)?;
        if rgba.len() != required / 3 * 4 {
            return Err(Error::FrameBytes {
                width,
                height,
                got: rgba.len() / 4 * 3,
                required,
            });
        }
        let mut pixels = Vec::with_capacity(required);
        for pixel in rgba.chunks_exact(4) {
            let alpha = u32::from(pixel[3]);
            for channel in 0..3 {
                let over = u32::from(pixel[channel]) * alpha
                    + u32::from(background[channel]) * (255 - alpha);
                pixels.push(((over + 127) / 255) as u8);
            }
        }
        Ok(Self {
            width,
            height,
            pixels,
        })
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// The bytes: `3 * width * height` of them, interleaved RGB.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The bytes, to be changed in place.
    pub fn pixels_mut(&mut self) -> &mut [u8] {
        &mut self.pixels
    }

    /// The bytes, taken out.
    pub fn into_pixels(self) -> Vec<u8> {
        self.pixels
    }

    /// The colour at column `x` and row `y`; `None` outside.
    pub fn pixel(&self, x: u32, y: u32) -> Option<[u8; 3]> {
        if x >= self.width || y >= self.height {
            return None;
        }
        let at = 3 * (y as usize * self.width as usize + x as usize);
        Some([self.pixels[at], self.pixels[at + 1], self.pixels[at + 2]])
    }

    /// Bytes of a row.
    pub(crate) fn stride(&self) -> usize {
        3 * self.width as usize
    }

    /// Bytes of a frame of this size, if it is one that we take.
    pub(crate) fn byte_len(width: u32, height: u32) -> Result<usize> {
        let in_range = |side| (1..=MAX_SIDE).contains(&side);
        if !in_range(width)
            || !in_range(height)
            || u64::from(width) * u64::from(height) > MAX_PIXELS
        {
            return Err(Error::FrameSize { width, height });
        }
        Ok(3 * width as usize * height as usize)
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Frame({}x{})", self.width, self.height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_must_fit_the_size() {
        assert!(Frame::new(2, 3, vec![0; 18]).is_ok());
        assert!(matches!(
            Frame::new(2, 3, vec![0; 17]),
            Err(Error::FrameBytes {
                required: 18,
                got: 17,
                ..
            })
        ));
        assert!(matches!(
            Frame::new(0, 3, vec![]),
            Err(Error::FrameSize { .. })
        ));
        assert!(matches!(
            Frame::filled(MAX_SIDE + 1, 1, [0; 3]),
            Err(Error::FrameSize { .. })
        ));
        assert!(matches!(
            Frame::filled(MAX_SIDE, MAX_SIDE, [0; 3]),
            Err(Error::FrameSize { .. })
        ));
    }

    #[test]
    fn alpha_lies_over_the_background() {
        let rgba = [255, 0, 0, 255, 255, 0, 0, 0, 255, 0, 0, 128];
        let frame = Frame::from_rgba(3, 1, &rgba, [0, 0, 255]).unwrap();
        assert_eq!(frame.pixel(0, 0), Some([255, 0, 0]));
        assert_eq!(frame.pixel(1, 0), Some([0, 0, 255]));
        assert_eq!(frame.pixel(2, 0), Some([128, 0, 127]));
        assert_eq!(frame.pixel(3, 0), None);
    }
}
