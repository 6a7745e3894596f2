//! Pictures of places, as a weight file holds them.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use rayon::prelude::*;

/// Bytes of a pixel's colours.
const COLOURS: usize = 3;

/// The looks of all places for one size: of each the depth of every pixel and then, in each light, its red, green and blue. Each look
/// is deflated by itself, as differences from pixel to pixel: a few times smaller than plain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Looks {
    pub(super) streams: Vec<u8>,
    /// Bytes of each look's stream.
    pub(super) lengths: Vec<usize>,
}

impl Looks {
    /// From the bytes of each look of a place after another.
    pub fn new(looks: &[Vec<u8>]) -> Self {
        Self::deflated(looks, Compression::best())
    }

    /// The same, quickly and not smaller than they are.
    pub(super) fn stored(looks: &[Vec<u8>]) -> Self {
        Self::deflated(looks, Compression::none())
    }

    fn deflated(looks: &[Vec<u8>], level: Compression) -> Self {
        let deflate = |look: &Vec<u8>| {
            let mut differences = look.clone();
            for i in (COLOURS..look.len()).rev() {
                differences[i] = differences[i].wrapping_sub(look[i - COLOURS]);
            }
            let mut encoder = ZlibEncoder::new(Vec::new(), level);
            let stream = encoder
                .write_all(&differences)
                .and_then(|()| encoder.finish());
            stream.expect("memory can be written to")
        };
        let streams: Vec<Vec<u8>> = looks.par_iter().map(deflate).collect();
        Self {
            lengths: streams.iter().map(Vec::len).collect(),
            streams: streams.concat(),
        }
    }

    /// How many they are.
    pub(super) fn len(&self) -> usize {
        self.lengths.len()
    }

    /// A look of `bytes`; `None` where the stream holds more or fewer, or is damaged.
    pub(super) fn of(&self, index: usize, bytes: usize) -> Option<Vec<u8>> {
        let start: usize = self.lengths[..index].iter().sum();
        let stream = &self.streams[start..][..self.lengths[index]];
        let mut look = Vec::new();
        // One more than there should be: a longer stream is told by it.
        let mut limited = ZlibDecoder::new(stream).take(bytes as u64 + 1);
        limited.read_to_end(&mut look).ok()?;
        for i in COLOURS..look.len() {
            look[i] = look[i].wrapping_add(look[i - COLOURS]);
        }
        (look.len() == bytes).then_some(look)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_come_back_and_streams_of_other_lengths_do_not() {
        let ramp = |step: usize| (0..900).map(|i| (i * step / 7) as u8).collect::<Vec<u8>>();
        let looks = [ramp(1), ramp(5)];
        for mut packed in [Looks::new(&looks), Looks::stored(&looks)] {
            assert_eq!(packed.len(), 2);
            for (index, look) in looks.iter().enumerate() {
                assert_eq!(packed.of(index, 900).as_ref(), Some(look));
                assert_eq!(packed.of(index, 899), None);
                assert_eq!(packed.of(index, 901), None);
            }
            packed.streams[2] ^= 0xff;
            assert_eq!(packed.of(0, 900), None);
        }
        assert!(Looks::new(&looks).streams.len() < 900);
    }
}
