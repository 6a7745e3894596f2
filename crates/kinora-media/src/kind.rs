//! What a file is, by its first bytes.

use std::io::Read;
use std::path::Path;

use image::ImageFormat;

use crate::ffmpeg::Demuxer;
use crate::probe::{open, scan_webp};
use crate::{Error, Result};

/// What would help with a file of no known kind.
const HINT: &str = "Kinora reads MP4, MOV, GIF, WebP, PNG and JPEG, and with FFmpeg also WebM, Matroska, AVI and MPEG-TS; \
    convert it first, for example with `ffmpeg -i IN OUT.mp4`";

/// How a file is to be read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Mp4,
    Gif,
    AnimatedWebp,
    Still(ImageFormat),
    /// A container that only FFmpeg opens, and its name.
    Foreign(Demuxer, &'static str),
}

impl Kind {
    /// Tells by the first bytes of `path`.
    pub(crate) fn of(path: &Path) -> Result<Self> {
        let mut head = Vec::new();
        open(path)?
            .take(400)
            .read_to_end(&mut head)
            .map_err(|error| Error::reading(path, error))?;
        match Sniffed::of(&head) {
            Sniffed::Kind(kind) => Ok(kind),
            Sniffed::Webp if scan_webp(path)?.animated => Ok(Kind::AnimatedWebp),
            Sniffed::Webp => Ok(Kind::Still(ImageFormat::WebP)),
            Sniffed::Empty => Err(Error::corrupt(path, "it is empty")),
            Sniffed::Unknown(what) => Err(Error::unsupported(path, what, HINT)),
        }
    }

    /// How FFmpeg opens it, if it is a clip that it may be asked for.
    pub(crate) fn demuxer(self) -> Option<Demuxer> {
        match self {
            Kind::Mp4 => Some(Demuxer::Mp4),
            Kind::Foreign(demuxer, _) => Some(demuxer),
            Kind::Gif | Kind::AnimatedWebp | Kind::Still(_) => None,
        }
    }
}

#[derive(Debug, PartialEq)]
enum Sniffed {
    Kind(Kind),
    /// Only its further bytes say whether it moves.
    Webp,
    Empty,
    Unknown(&'static str),
}

impl Sniffed {
    fn of(head: &[u8]) -> Self {
        let at = |start: usize, bytes: &[u8]| head.get(start..start + bytes.len()) == Some(bytes);
        let any_at = |start: usize, kinds: &[&[u8; 4]]| kinds.iter().any(|kind| at(start, *kind));
        let foreign = |demuxer, name| Self::Kind(Kind::Foreign(demuxer, name));
        if head.is_empty() {
            Self::Empty
        } else if at(4, b"ftyp")
            && any_at(
                8,
                &[
                    b"avif", b"avis", b"heic", b"heix", b"heim", b"mif1", b"msf1",
                ],
            )
        {
            Self::Unknown("an AVIF or HEIC picture")
        } else if any_at(
            4,
            &[
                b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"moof", b"styp",
            ],
        ) {
            // QuickTime of old begins with any of its boxes.
            Self::Kind(Kind::Mp4)
        } else if at(0, b"GIF8") {
            Self::Kind(Kind::Gif)
        } else if at(0, b"RIFF") && at(8, b"WEBP") {
            Self::Webp
        } else if at(0, b"RIFF") && at(8, b"AVI ") {
            foreign(Demuxer::Avi, "AVI")
        } else if at(0, b"\x89PNG") {
            Self::Kind(Kind::Still(ImageFormat::Png))
        } else if at(0, &[0xff, 0xd8, 0xff]) {
            Self::Kind(Kind::Still(ImageFormat::Jpeg))
        } else if at(0, &[0x1a, 0x45, 0xdf, 0xa3]) {
            foreign(Demuxer::Matroska, "Matroska or WebM")
        } else if [(0, 188), (4, 192)].iter().any(|&(start, step)| {
            // Packets of 188 bytes, in camcorders with four bytes before each.
            at(start, b"G") && at(start + step, b"G")
        }) {
            foreign(Demuxer::MpegTs, "an MPEG transport stream")
        } else {
            Self::Unknown("its first bytes are of no known format")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_first_bytes() {
        let mut stream = vec![0; 400];
        (stream[0], stream[188]) = (b'G', b'G');
        let mut camcorder = vec![0; 400];
        (camcorder[4], camcorder[196]) = (b'G', b'G');
        let clip = |demuxer, name| Sniffed::Kind(Kind::Foreign(demuxer, name));
        for (head, expected) in [
            (&b"\0\0\0\x14ftypqt  "[..], Sniffed::Kind(Kind::Mp4)),
            (b"\0\0\x40\0moov\0\0", Sniffed::Kind(Kind::Mp4)),
            (
                b"\0\0\0\x20ftypavif",
                Sniffed::Unknown("an AVIF or HEIC picture"),
            ),
            (b"RIFF\0\0\0\0AVI LIST", clip(Demuxer::Avi, "AVI")),
            (b"RIFF\0\0\0\0WEBPVP8X", Sniffed::Webp),
            (
                b"RIFF",
                Sniffed::Unknown("its first bytes are of no known format"),
            ),
            (&stream, clip(Demuxer::MpegTs, "an MPEG transport stream")),
            (
                &camcorder,
                clip(Demuxer::MpegTs, "an MPEG transport stream"),
            ),
            (
                b"#EXTM3U\nhttp://",
                Sniffed::Unknown("its first bytes are of no known format"),
            ),
            (b"", Sniffed::Empty),
        ] {
            assert_eq!(Sniffed::of(head), expected);
        }
    }
}
