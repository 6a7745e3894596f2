//! What a sequence parameter set says about the pictures (H.264, 7.3.2.1.1 and annex E).

use super::bits::BitReader;
use crate::Colour;

/// A sequence parameter set, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sps {
    pub(crate) profile: u8,
    /// Width in pixels, after cropping.
    pub(crate) width: u32,
    /// Height in pixels, after cropping.
    pub(crate) height: u32,
    pub(crate) colour: Colour,
    /// Width and height of a pixel; zeros if it does not say.
    pub(crate) pixel_aspect: (u32, u32),
    /// 1 is 4:2:0.
    pub(crate) chroma_format: u32,
    /// Bits of a luma sample.
    pub(crate) bit_depth: u32,
    /// Whether all pictures are whole frames, not fields.
    pub(crate) progressive: bool,
}

impl Sps {
    /// Reads a NAL unit of type 7; `None` if it is broken.
    pub(crate) fn parse(unit: &[u8]) -> Option<Self> {
        let reader = &mut BitReader::new(unit.get(1..)?);
        let profile = reader.bits(8)? as u8;
        reader.bits(16)?; // constraint flags, level
        reader.ue()?; // id
        let (mut chroma_format, mut bit_depth) = (1, 8);
        if matches!(
            profile,
            100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135
        ) {
            chroma_format = reader.ue()?;
            if chroma_format == 3 {
                reader.bit()?; // separate planes
            }
            bit_depth = reader.ue()?.checked_add(8)?;
            reader.ue()?; // bit depth of chroma
            reader.bit()?; // lossless bypass
            skip_scaling_lists(reader, chroma_format)?;
        }
        reader.ue()?; // log2 of the largest frame number
        skip_picture_order(reader)?;
        reader.ue()?; // reference frames
        reader.bit()?; // gaps in frame numbers
        let width_in_blocks = reader.ue()?.checked_add(1)?;
        let height_in_units = reader.ue()?.checked_add(1)?;
        let progressive = reader.bit()?;
        if !progressive {
            reader.bit()?; // adaptive frame/field
        }
        reader.bit()?; // direct 8x8 inference
        let height_in_blocks = height_in_units.checked_mul(if progressive { 1 } else { 2 })?;
        let (width, height) = (
            width_in_blocks.checked_mul(16)?,
            height_in_blocks.checked_mul(16)?,
        );
        let (mut crop_width, mut crop_height) = (0, 0);
        if reader.bit()? {
            let unit_x = if matches!(chroma_format, 1 | 2) { 2 } else { 1 };
            let unit_y = if chroma_format == 1 { 2 } else { 1 } * if progressive { 1 } else { 2 };
            crop_width = reader
                .ue()?
                .checked_add(reader.ue()?)?
                .checked_mul(unit_x)?;
            crop_height = reader
                .ue()?
                .checked_add(reader.ue()?)?
                .checked_mul(unit_y)?;
        }
        // A broken description after the sizes says nothing; the pictures can still be decoded.
        let mut usability = Usability::default();
        let _ = usability.read(reader);
        Some(Self {
            profile,
            width: width.checked_sub(crop_width).filter(|&width| width > 0)?,
            height: height
                .checked_sub(crop_height)
                .filter(|&height| height > 0)?,
            colour: usability.colour,
            pixel_aspect: usability.pixel_aspect,
            chroma_format,
            bit_depth,
            progressive,
        })
    }

    /// The profile's name in the standard.
    pub(crate) fn profile_name(&self) -> &'static str {
        match self.profile {
            66 => "Baseline",
            77 => "Main",
            88 => "Extended",
            100 => "High",
            110 => "High 10",
            122 => "High 4:2:2",
            244 => "High 4:4:4",
            _ => "other",
        }
    }
}

fn skip_scaling_lists(reader: &mut BitReader, chroma_format: u32) -> Option<()> {
    if !reader.bit()? {
        return Some(());
    }
    for list in 0..if chroma_format == 3 { 12 } else { 8 } {
        if !reader.bit()? {
            continue;
        }
        let (mut last, mut next) = (8, 8);
        for _ in 0..if list < 6 { 16 } else { 64 } {
            if next != 0 {
                next = (last + reader.se()?).rem_euclid(256);
            }
            last = if next == 0 { last } else { next };
        }
    }
    Some(())
}

fn skip_picture_order(reader: &mut BitReader) -> Option<()> {
    match reader.ue()? {
        0 => {
            reader.ue()?;
        }
        1 => {
            reader.bit()?;
            reader.se()?;
            reader.se()?;
            for _ in 0..reader.ue()? {
                reader.se()?;
            }
        }
        _ => {}
    }
    Some(())
}

/// Shapes of pixels by their number (H.264, table E-1).
const PIXEL_ASPECTS: [(u32, u32); 17] = [
    (0, 0),
    (1, 1),
    (12, 11),
    (10, 11),
    (16, 11),
    (40, 33),
    (24, 11),
    (20, 11),
    (32, 11),
    (80, 33),
    (18, 11),
    (15, 11),
    (64, 33),
    (160, 99),
    (4, 3),
    (3, 2),
    (2, 1),
];

/// The beginning of the video usability information, as far as it could be read.
struct Usability {
    pixel_aspect: (u32, u32),
    colour: Colour,
}

impl Default for Usability {
    fn default() -> Self {
        Self {
            pixel_aspect: (0, 0),
            colour: Colour::UNSPECIFIED,
        }
    }
}

impl Usability {
    fn read(&mut self, reader: &mut BitReader) -> Option<()> {
        if !reader.bit()? {
            return Some(());
        }
        if reader.bit()? {
            self.pixel_aspect = match reader.bits(8)? {
                255 => (reader.bits(16)?, reader.bits(16)?),
                known => PIXEL_ASPECTS.get(known as usize).copied().unwrap_or((0, 0)),
            };
        }
        if reader.bit()? {
            reader.bit()?; // overscan
        }
        if reader.bit()? {
            reader.bits(3)?; // video format
            self.colour.full_range = reader.bit()?;
            if reader.bit()? {
                self.colour.primaries = reader.bits(8)? as u8;
                self.colour.transfer = reader.bits(8)? as u8;
                self.colour.matrix = reader.bits(8)? as u8;
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by x264 for 1280×720, High, BT.709 limited.
    const X264_720P: [u8; 27] = [
        0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xba, 0x6a, 0x02, 0x02, 0x02, 0x80,
        0x00, 0x00, 0x03, 0x00, 0x80, 0x00, 0x00, 0x18, 0x07, 0x8c, 0x18, 0xcb,
    ];

    #[test]
    fn a_set_of_x264_is_read() {
        let sps = Sps::parse(&X264_720P).unwrap();
        assert_eq!(
            (sps.profile_name(), sps.width, sps.height),
            ("High", 1280, 720)
        );
        assert_eq!(
            (sps.chroma_format, sps.bit_depth, sps.progressive),
            (1, 8, true)
        );
        assert_eq!(sps.colour, Colour::BT709);
        assert_eq!(sps.pixel_aspect, (0, 0));
    }

    #[test]
    fn broken_sets_are_none() {
        for length in 0..8 {
            assert_eq!(Sps::parse(&X264_720P[..length]), None);
        }
        assert_eq!(Sps::parse(&[0; 64]), None);
    }
}
