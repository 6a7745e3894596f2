//! Pictures of what can be named, as a weight file holds them.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use rayon::prelude::*;

use super::lexicon::{PICTURE_PIXELS, PICTURE_VALUES};

/// Colours of an entry's pictures at most.
pub const COLOURS: usize = 256;
/// Bytes of an entry's colours: premultiplied RGBA.
pub(super) const PALETTE_BYTES: usize = COLOURS * 4;

/// The pictures of one entry: the frames of its animation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Indexed {
    /// At most [`COLOURS`] times premultiplied RGBA.
    pub palette: Vec<u8>,
    /// The colour of each pixel, row by row, frame after frame.
    pub indices: Vec<u8>,
}

/// The pictures of all entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pictures(pub(super) Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// One picture of each, premultiplied RGBA.
    Plain(Vec<u8>),
    /// Colours by number, frame after frame, each entry's deflated by itself: about a kilobyte a frame, of which a plain one takes
    /// sixteen.
    Indexed {
        palettes: Vec<u8>,
        streams: Vec<u8>,
        /// Bytes of each entry's stream.
        lengths: Vec<usize>,
    },
}

impl Pictures {
    /// One still picture of each entry, [`PICTURE_VALUES`] of premultiplied RGBA.
    ///
    /// # Panics
    ///
    /// If they are no whole pictures.
    pub fn plain(pictures: Vec<u8>) -> Self {
        assert!(
            pictures.len().is_multiple_of(PICTURE_VALUES),
            "whole pictures"
        );
        Self(Kind::Plain(pictures))
    }

    /// The frames of each entry.
    ///
    /// # Panics
    ///
    /// If an entry has more than [`COLOURS`] colours or no whole frames.
    pub fn indexed(entries: Vec<Indexed>) -> Self {
        let deflated: Vec<(Vec<u8>, Vec<u8>)> = entries.into_par_iter().map(deflate).collect();
        Self(Kind::Indexed {
            palettes: deflated
                .iter()
                .flat_map(|(palette, _)| palette)
                .copied()
                .collect(),
            streams: deflated
                .iter()
                .flat_map(|(_, stream)| stream)
                .copied()
                .collect(),
            lengths: deflated.iter().map(|(_, stream)| stream.len()).collect(),
        })
    }

    /// How many entries they are of.
    pub(super) fn len(&self) -> usize {
        match &self.0 {
            Kind::Plain(pictures) => pictures.len() / PICTURE_VALUES,
            Kind::Indexed { lengths, .. } => lengths.len(),
        }
    }

    /// `frames` pictures of an entry, [`PICTURE_VALUES`] each; `None` where the stream holds others.
    pub(super) fn of(&self, entry: usize, frames: usize) -> Option<Vec<u8>> {
        match &self.0 {
            Kind::Plain(pictures) => {
                let picture = &pictures[entry * PICTURE_VALUES..][..PICTURE_VALUES];
                (frames == 1).then(|| picture.to_vec())
            }
            Kind::Indexed {
                palettes,
                streams,
                lengths,
            } => {
                let palette = &palettes[entry * PALETTE_BYTES..][..PALETTE_BYTES];
                let start: usize = lengths[..entry].iter().sum();
                let stream = &streams[start..][..lengths[entry]];
                let pixels = frames * PICTURE_PIXELS;
                let mut indices = Vec::new();
                // One more than there should be: a longer stream is told by it.
                let mut limited = ZlibDecoder::new(stream).take(pixels as u64 + 1);
                limited.read_to_end(&mut indices).ok()?;
                let colour = |&index: &u8| &palette[usize::from(index) * 4..][..4];
                let is_whole = indices.len() == pixels;
                is_whole.then(|| indices.iter().flat_map(colour).copied().collect())
            }
        }
    }
}

/// A whole palette, and the stream.
fn deflate(entry: Indexed) -> (Vec<u8>, Vec<u8>) {
    let Indexed {
        mut palette,
        indices,
    } = entry;
    assert!(palette.len() <= PALETTE_BYTES, "{COLOURS} colours at most");
    assert!(
        indices.len().is_multiple_of(PICTURE_PIXELS),
        "whole pictures"
    );
    palette.resize(PALETTE_BYTES, 0);
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    let stream = encoder.write_all(&indices).and_then(|()| encoder.finish());
    (palette, stream.expect("memory can be written to"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_and_streams_of_other_lengths_do_not() {
        let entry = |frames: usize, first: u8| Indexed {
            palette: (0..COLOURS)
                .flat_map(|i| [i as u8, first, 7, 255])
                .collect(),
            indices: (0..frames * PICTURE_PIXELS)
                .map(|i| (i * i % 251) as u8)
                .collect(),
        };
        let pictures = Pictures::indexed(vec![entry(3, 1), entry(1, 2)]);
        assert_eq!(pictures.len(), 2);
        let both = pictures.of(0, 3).unwrap();
        assert_eq!(both.len(), 3 * PICTURE_VALUES);
        assert_eq!(both[20..24], [25, 1, 7, 255]);
        assert_eq!(pictures.of(1, 1).unwrap()[1], 2);
        for wrong in [1, 2, 4] {
            assert_eq!(pictures.of(0, wrong), None);
        }
        let Pictures(Kind::Indexed {
            palettes,
            mut streams,
            lengths,
        }) = pictures
        else {
            unreachable!("made so above")
        };
        streams[lengths[0] / 2] ^= 0xff;
        let damaged = Pictures(Kind::Indexed {
            palettes,
            streams,
            lengths,
        });
        assert_eq!(damaged.of(0, 3), None);
        assert!(damaged.of(1, 1).is_some());
    }

    #[test]
    fn plain_pictures_stand_still() {
        let pictures = Pictures::plain([vec![1; PICTURE_VALUES], vec![2; PICTURE_VALUES]].concat());
        assert_eq!(pictures.of(1, 1), Some(vec![2; PICTURE_VALUES]));
        assert_eq!(pictures.of(1, 2), None);
    }
}
