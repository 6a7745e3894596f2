//! RGB to YUV 4:2:0 and back.

use serde::{Deserialize, Serialize};
use yuv::{
    BufferStoreMut, YuvConversionMode, YuvError, YuvPlanarImage, YuvPlanarImageMut, YuvRange,
    YuvStandardMatrix,
};

use crate::{Error, Frame, Result};

/// How the numbers in a video stand for colours: the code points of ITU-T H.273, where 1 is BT.709 and 2 is "not said".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Colour {
    /// Colour primaries.
    pub primaries: u8,
    /// Transfer characteristics.
    pub transfer: u8,
    /// Matrix coefficients.
    pub matrix: u8,
    /// Whether luma uses 0–255 (true) or 16–235.
    pub full_range: bool,
}

impl Colour {
    /// BT.709 in the limited range: what Kinora writes.
    pub const BT709: Self = Self {
        primaries: 1,
        transfer: 1,
        matrix: 1,
        full_range: false,
    };

    /// A stream that says nothing.
    pub const UNSPECIFIED: Self = Self {
        primaries: 2,
        transfer: 2,
        matrix: 2,
        full_range: false,
    };

    /// This description, and what it leaves open from another one. A range that either calls full is full: containers tend to
    /// leave it out.
    pub(crate) fn or_from(self, other: Self) -> Self {
        let either = |mine: u8, theirs: u8| if mine == 2 { theirs } else { mine };
        Self {
            primaries: either(self.primaries, other.primaries),
            transfer: either(self.transfer, other.transfer),
            matrix: either(self.matrix, other.matrix),
            full_range: self.full_range || other.full_range,
        }
    }

    /// Whether its matrix is one that [`Planes::to_frame`] knows. RGB, YCgCo and ICtCp are not.
    pub(crate) fn is_decodable(self) -> bool {
        matches!(self.matrix, 1..=7 | 9 | 10)
    }

    /// Whether it reaches beyond what screens show, and how.
    pub fn dynamic_range(self) -> DynamicRange {
        match self.transfer {
            16 => DynamicRange::Pq,
            18 => DynamicRange::Hlg,
            _ => DynamicRange::Standard,
        }
    }

    /// The matrix to decode with. An unsaid one is BT.601 below 720 lines and BT.709 from there, as browsers guess.
    pub(crate) fn decoding_matrix(self, height: u32) -> YuvStandardMatrix {
        match self.matrix {
            1 => YuvStandardMatrix::Bt709,
            4 => YuvStandardMatrix::Fcc,
            5 | 6 => YuvStandardMatrix::Bt601,
            7 => YuvStandardMatrix::Smpte240,
            9 | 10 => YuvStandardMatrix::Bt2020,
            _ if height < 720 => YuvStandardMatrix::Bt601,
            _ => YuvStandardMatrix::Bt709,
        }
    }

    fn range(self) -> YuvRange {
        if self.full_range {
            YuvRange::Full
        } else {
            YuvRange::Limited
        }
    }
}

/// How bright a clip may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DynamicRange {
    /// As bright as the screen's white.
    #[default]
    Standard,
    /// HDR with the perceptual quantiser (SMPTE ST 2084): HDR10, Dolby Vision.
    Pq,
    /// HDR with hybrid log-gamma (ARIB STD-B67): what phones record.
    Hlg,
}

/// Planes of 8-bit YUV 4:2:0 without padding.
#[derive(Default)]
pub(crate) struct Planes {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) y: Vec<u8>,
    pub(crate) u: Vec<u8>,
    pub(crate) v: Vec<u8>,
}

impl Planes {
    pub(crate) fn new(width: u32, height: u32) -> Self {
        let luma = width as usize * height as usize;
        let chroma = width.div_ceil(2) as usize * height.div_ceil(2) as usize;
        Self {
            width,
            height,
            y: vec![0; luma],
            u: vec![0; chroma],
            v: vec![0; chroma],
        }
    }

    /// Fills the planes from `frame` in BT.709, limited range. Chroma is the mean of each 2×2 block.
    pub(crate) fn fill_from(&mut self, frame: &Frame) -> Result<()> {
        let chroma_stride = self.width.div_ceil(2);
        let mut image = YuvPlanarImageMut {
            y_plane: BufferStoreMut::Borrowed(&mut self.y),
            y_stride: self.width,
            u_plane: BufferStoreMut::Borrowed(&mut self.u),
            u_stride: chroma_stride,
            v_plane: BufferStoreMut::Borrowed(&mut self.v),
            v_stride: chroma_stride,
            width: self.width,
            height: self.height,
        };
        yuv::rgb_to_yuv420(
            &mut image,
            frame.pixels(),
            3 * self.width,
            YuvRange::Limited,
            YuvStandardMatrix::Bt709,
            YuvConversionMode::Professional,
        )
        .map_err(refused)
    }

    /// The planes as a frame.
    pub(crate) fn to_frame(&self, colour: Colour) -> Result<Frame> {
        let mut pixels = vec![0; Frame::byte_len(self.width, self.height)?];
        let chroma_stride = self.width.div_ceil(2);
        let image = YuvPlanarImage {
            y_plane: &self.y,
            y_stride: self.width,
            u_plane: &self.u,
            u_stride: chroma_stride,
            v_plane: &self.v,
            v_stride: chroma_stride,
            width: self.width,
            height: self.height,
        };
        // Each chroma sample colours its 2×2 block, which is what the mean above inverts: a clip that is decoded and encoded again keeps
        // its colours. (The interpolating conversion of this library shifts colours by a pixel.)
        let matrix = colour.decoding_matrix(self.height);
        yuv::yuv420_to_rgb(&image, &mut pixels, 3 * self.width, colour.range(), matrix)
            .map_err(refused)?;
        Frame::new(self.width, self.height, pixels)
    }
}

fn refused(error: YuvError) -> Error {
    Error::encoder("YUV", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Limited range has 219 steps of luma for 256 levels and halves chroma once more: 2 is the rounding that is left.
    #[test]
    fn flat_colours_come_back_within_two() {
        let mut planes = Planes::new(16, 16);
        let mut worst = 0;
        let levels = (0..=255u8).step_by(15);
        for rgb in levels.clone().flat_map(|r| {
            let levels = levels.clone();
            levels
                .clone()
                .flat_map(move |g| levels.clone().map(move |b| [r, g, b]))
        }) {
            let frame = Frame::filled(16, 16, rgb).unwrap();
            planes.fill_from(&frame).unwrap();
            let back = planes.to_frame(Colour::BT709).unwrap();
            for (a, b) in frame.pixels().iter().zip(back.pixels()) {
                worst = worst.max(a.abs_diff(*b));
            }
        }
        assert!(worst <= 2, "{worst}");
    }

    /// Rounding costs at most half a step; more than one would be a wrong matrix, and a mean beside 0 a tint.
    #[test]
    fn luma_follows_the_standard() {
        let mut planes = Planes::new(4, 4);
        let (mut worst, mut sum, mut count) = (0.0f64, 0.0, 0.0);
        for rgb in (0..4096u32).map(|i| [i >> 8, i >> 4 & 15, i & 15].map(|level| level as u8 * 17))
        {
            planes
                .fill_from(&Frame::filled(4, 4, rgb).unwrap())
                .unwrap();
            let [r, g, b] = rgb.map(|channel| f64::from(channel) / 255.0);
            let error =
                f64::from(planes.y[0]) - (16.0 + 219.0 * (0.2126 * r + 0.7152 * g + 0.0722 * b));
            worst = worst.max(error.abs());
            sum += error;
            count += 1.0;
        }
        assert!(
            worst < 0.75 && (sum / count).abs() < 0.05,
            "worst {worst}, mean {}",
            sum / count
        );
    }

    #[test]
    fn black_and_white_are_16_and_235() {
        let mut planes = Planes::new(4, 4);
        planes
            .fill_from(&Frame::filled(4, 4, [0; 3]).unwrap())
            .unwrap();
        assert_eq!((planes.y[0], planes.u[0], planes.v[0]), (16, 128, 128));
        planes
            .fill_from(&Frame::filled(4, 4, [255; 3]).unwrap())
            .unwrap();
        assert_eq!((planes.y[0], planes.u[0], planes.v[0]), (235, 128, 128));
        // BT.709 red, from the standard's own formula.
        planes
            .fill_from(&Frame::filled(4, 4, [255, 0, 0]).unwrap())
            .unwrap();
        assert_eq!((planes.y[0], planes.u[0], planes.v[0]), (63, 102, 240));
    }

    #[test]
    fn colours_stay_where_they_are() {
        let frame = Frame::from_fn(32, 16, |x, y| match (x / 8 + y / 8) % 2 {
            0 => [250, 10, 20],
            _ => [0, 200, 255],
        });
        let frame = frame.unwrap();
        let mut planes = Planes::new(32, 16);
        planes.fill_from(&frame).unwrap();
        let back = planes.to_frame(Colour::BT709).unwrap();
        let worst = frame
            .pixels()
            .iter()
            .zip(back.pixels())
            .map(|(a, b)| a.abs_diff(*b))
            .max();
        assert!(worst <= Some(3), "{worst:?}");
    }

    #[test]
    fn small_and_odd_planes_decode() {
        for (width, height) in [(1, 1), (2, 2), (3, 5), (4, 4), (17, 9)] {
            let frame = Planes::new(width, height)
                .to_frame(Colour::UNSPECIFIED)
                .unwrap();
            assert_eq!(frame.size(), (width, height));
        }
    }
}
