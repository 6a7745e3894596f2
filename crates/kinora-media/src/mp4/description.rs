//! What the codec table of a track says: `stsd` (ISO 14496-12, 8.5.2; QuickTime File Format for sound of its own).

use super::boxes::{Mp4Box, boxes, find};
use super::fields::Fields;
use crate::Colour;
use crate::geometry::PixelAspect;
use crate::h264::Sps;

/// The first line of a table of pictures.
pub(super) struct Pictures {
    /// The codec's name for people.
    pub(super) codec: String,
    pub(super) width: u32,
    pub(super) height: u32,
    /// `None` if the file does not say, or says nonsense.
    pub(super) aspect: Option<PixelAspect>,
    pub(super) colour: Option<Colour>,
    pub(super) bit_depth: u8,
    /// How H.264 is stored, if it is that.
    pub(super) avc: Option<Avc>,
    /// What is not said here and matters: the first parameter set of H.264.
    pub(super) sps: Option<Sps>,
    pub(super) encrypted: bool,
}

/// How H.264 is stored (`avcC`, ISO 14496-15, 5.3.3).
pub(crate) struct Avc {
    /// Bytes of the length before each NAL unit.
    pub(super) length_size: usize,
    /// NAL units, without start codes.
    pub(super) parameter_sets: Vec<Vec<u8>>,
}

/// The codec table of a track from the payload of its `stsd`: one box for each line.
pub(super) fn lines(payload: &[u8]) -> impl Iterator<Item = Mp4Box<'_>> {
    boxes(payload.get(8..).unwrap_or_default())
}

/// Reads a line of a table of pictures; `None` if it is cut short.
pub(super) fn pictures(line: &Mp4Box) -> Option<Pictures> {
    let mut fields = Fields::new(line.payload);
    fields.skip(24)?;
    let (width, height) = (u32::from(fields.u16()?), u32::from(fields.u16()?));
    fields.skip(50)?;
    let inside = fields.rest();
    let avc = find(inside, b"avcC").and_then(read_avc);
    let sps = avc
        .as_ref()
        .and_then(|avc| avc.parameter_sets.iter().find_map(|unit| Sps::parse(unit)));
    let stored = find(inside, b"colr").and_then(read_colour);
    let colour = match (&sps, stored) {
        (Some(sps), Some(stored)) => Some(stored.or_from(sps.colour)),
        (Some(sps), None) => Some(sps.colour),
        (None, stored) => stored.or_else(|| find(inside, b"vpcC").and_then(vp_colour)),
    };
    let bit_depth = match &sps {
        Some(sps) => sps.bit_depth.min(64) as u8,
        None => foreign_bit_depth(inside).unwrap_or(8),
    };
    let aspect = match find(inside, b"pasp") {
        Some(payload) => {
            let mut fields = Fields::new(payload);
            PixelAspect::new(fields.u32()?, fields.u32()?)
        }
        None => sps.as_ref().map_or(Some(PixelAspect::SQUARE), |sps| {
            PixelAspect::new(sps.pixel_aspect.0, sps.pixel_aspect.1)
        }),
    };
    Some(Pictures {
        codec: match &sps {
            Some(sps) => format!("H.264 {}", sps.profile_name()),
            None => codec_name(&line.kind),
        },
        width: sps.as_ref().map_or(width, |sps| sps.width),
        height: sps.as_ref().map_or(height, |sps| sps.height),
        aspect,
        colour,
        bit_depth,
        encrypted: line.kind == *b"encv",
        avc: avc.filter(|_| matches!(&line.kind, b"avc1" | b"avc3") && sps.is_some()),
        sps,
    })
}

/// The name by which people know a codec.
fn codec_name(kind: &[u8; 4]) -> String {
    let name = match kind {
        b"avc1" | b"avc3" => "H.264",
        b"hvc1" | b"hev1" => "HEVC",
        b"dvh1" | b"dvhe" => "HEVC (Dolby Vision)",
        b"vvc1" | b"vvi1" => "VVC",
        b"av01" => "AV1",
        b"vp08" => "VP8",
        b"vp09" => "VP9",
        b"apco" | b"apcs" | b"apcn" | b"apch" | b"ap4h" | b"ap4x" => "ProRes",
        b"mp4v" => "MPEG-4 Part 2",
        b"mjpa" | b"mjpb" | b"jpeg" => "Motion JPEG",
        b"s263" | b"h263" => "H.263",
        b"AVdn" | b"AVdh" => "DNxHD",
        b"encv" => "encrypted",
        other => return String::from_utf8_lossy(other).into_owned(),
    };
    name.to_owned()
}

fn read_avc(payload: &[u8]) -> Option<Avc> {
    let mut fields = Fields::new(payload);
    fields.skip(4)?;
    let length_size = usize::from(fields.u8()? & 3) + 1;
    let mut parameter_sets = Vec::new();
    for count_mask in [31, 255] {
        for _ in 0..fields.u8()? & count_mask {
            let length = usize::from(fields.u16()?);
            parameter_sets.push(fields.bytes(length)?.to_vec());
        }
    }
    Some(Avc {
        length_size,
        parameter_sets,
    })
}

/// A `colr` box with code points: `nclx`, or `nclc` of QuickTime, which does not say the range.
fn read_colour(payload: &[u8]) -> Option<Colour> {
    let mut fields = Fields::new(payload);
    let kind = fields.bytes(4)?;
    if kind != b"nclx" && kind != b"nclc" {
        return None;
    }
    let mut code = || fields.u16().map(|code| u8::try_from(code).unwrap_or(2));
    let (primaries, transfer, matrix) = (code()?, code()?, code()?);
    Some(Colour {
        primaries,
        transfer,
        matrix,
        full_range: kind == b"nclx" && fields.u8()? & 0x80 != 0,
    })
}

fn vp_colour(payload: &[u8]) -> Option<Colour> {
    let mut fields = Fields::new(payload);
    fields.skip(6)?;
    let full_range = fields.u8()? & 1 == 1;
    Some(Colour {
        primaries: fields.u8()?,
        transfer: fields.u8()?,
        matrix: fields.u8()?,
        full_range,
    })
}

/// Bits of a sample of HEVC, AV1 or VP9.
fn foreign_bit_depth(inside: &[u8]) -> Option<u8> {
    if let Some(hevc) = find(inside, b"hvcC") {
        return Some((hevc.get(17)? & 7) + 8);
    }
    if let Some(av1) = find(inside, b"av1C") {
        return Some(match av1.get(2)? >> 5 & 3 {
            0 | 1 => 8,
            2 => 10,
            _ => 12,
        });
    }
    find(inside, b"vpcC").and_then(|vp9| Some(vp9.get(6)? >> 4))
}

/// The first line of a table of sound.
pub(super) struct Sound {
    pub(super) codec: String,
    pub(super) channels: u16,
    pub(super) sample_rate: u32,
    /// The descriptor of AAC (the payload of `esds`), if it is that.
    pub(super) aac: Option<Vec<u8>>,
}

/// Reads a line of a table of sound; `None` if it is cut short.
pub(super) fn sound(line: &Mp4Box) -> Option<Sound> {
    let mut fields = Fields::new(line.payload);
    fields.skip(8)?;
    let version = fields.u16()?;
    fields.skip(6)?;
    let mut channels = fields.u16()?;
    fields.skip(6)?;
    let mut sample_rate = fields.u32()? >> 16;
    match version {
        1 => fields.skip(16)?,
        2 => {
            fields.skip(4)?;
            sample_rate = f64::from_bits(fields.u64()?) as u32;
            channels = u16::try_from(fields.u32()?).ok()?;
            fields.skip(20)?;
        }
        _ => {}
    }
    let inside = fields.rest();
    // QuickTime puts the descriptor into a box of its own.
    let descriptor = find(inside, b"esds").or_else(|| find(find(inside, b"wave")?, b"esds"));
    let object_type = descriptor.and_then(|payload| object_type(payload.get(4..)?));
    let aac = descriptor
        .filter(|_| line.kind == *b"mp4a" && matches!(object_type, Some(0x40 | 0x66..=0x68)));
    Some(Sound {
        codec: match &line.kind {
            b"mp4a" if aac.is_some() => "AAC".to_owned(),
            b"mp4a" if matches!(object_type, Some(0x69 | 0x6b)) => "MP3".to_owned(),
            b"Opus" => "Opus".to_owned(),
            b"ac-3" => "AC-3".to_owned(),
            b"ec-3" => "E-AC-3".to_owned(),
            b"alac" => "ALAC".to_owned(),
            b"fLaC" => "FLAC".to_owned(),
            b"sowt" | b"twos" | b"lpcm" | b"in24" | b"fl32" | b"ipcm" => "PCM".to_owned(),
            other => String::from_utf8_lossy(other).into_owned(),
        },
        channels,
        sample_rate,
        aac: aac.map(<[u8]>::to_vec),
    })
}

/// The type of stream in an elementary stream descriptor (ISO 14496-1, 7.2.6).
fn object_type(bytes: &[u8]) -> Option<u8> {
    let mut fields = Fields::new(bytes);
    descriptor_head(&mut fields, 3)?;
    fields.skip(2)?;
    let flags = fields.u8()?;
    if flags & 0x80 != 0 {
        fields.skip(2)?;
    }
    if flags & 0x40 != 0 {
        let url = usize::from(fields.u8()?);
        fields.skip(url)?;
    }
    if flags & 0x20 != 0 {
        fields.skip(2)?;
    }
    descriptor_head(&mut fields, 4)?;
    fields.u8()
}

/// The tag and the length, of one to four bytes.
fn descriptor_head(fields: &mut Fields, tag: u8) -> Option<()> {
    (fields.u8()? == tag).then_some(())?;
    for _ in 0..4 {
        if fields.u8()? & 0x80 == 0 {
            return Some(());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::boxes::wrap;
    use super::*;

    fn line(kind: &[u8; 4], head: usize, inside: &[Vec<u8>]) -> Vec<u8> {
        let mut payload = vec![0; head];
        payload.extend(inside.concat());
        wrap(kind, &payload)
    }

    fn first(bytes: &[u8]) -> Mp4Box<'_> {
        boxes(bytes).next().unwrap()
    }

    #[test]
    fn hdr_hevc_is_described_without_a_decoder() {
        let mut hevc = vec![0; 23];
        hevc[17] = 0xf8 | 2;
        let colour = [b"nclx".as_slice(), &[0, 9, 0, 18, 0, 9, 0]].concat();
        let aspect = [0, 0, 0, 4, 0, 0, 0, 3];
        let inside = [
            wrap(b"hvcC", &hevc),
            wrap(b"colr", &colour),
            wrap(b"pasp", &aspect),
        ];
        let bytes = line(b"hvc1", 78, &inside);
        let told = pictures(&first(&bytes)).unwrap();
        assert_eq!((told.codec.as_str(), told.bit_depth), ("HEVC", 10));
        assert_eq!(told.colour.unwrap().transfer, 18);
        assert_eq!(told.aspect, PixelAspect::new(4, 3));
        assert!(told.avc.is_none());
        for cut in 0..78 {
            assert!(pictures(&first(&line(b"hvc1", cut, &[]))).is_none());
        }
    }

    #[test]
    fn aac_is_found_where_quicktime_hides_it() {
        let mut descriptor = vec![0, 0, 0, 0, 3, 0x80, 0x80, 0x80, 25, 0, 1, 0, 4, 17, 0x40];
        descriptor.extend([0; 12]);
        let esds = wrap(b"esds", &descriptor);
        let plain = line(b"mp4a", 28, std::slice::from_ref(&esds));
        let told = sound(&first(&plain)).unwrap();
        assert_eq!(
            (told.codec.as_str(), told.aac),
            ("AAC", Some(descriptor.clone()))
        );
        let mut hidden = line(b"mp4a", 28 + 16, &[wrap(b"wave", &esds)]);
        hidden[8 + 9] = 1; // version
        assert_eq!(
            sound(&first(&hidden)).unwrap().aac,
            Some(descriptor.clone())
        );
        descriptor[14] = 0x6b;
        let mp3 = line(b"mp4a", 28, &[wrap(b"esds", &descriptor)]);
        assert_eq!(sound(&first(&mp3)).unwrap().codec, "MP3");
        assert!(sound(&first(&mp3)).unwrap().aac.is_none());
    }
}
