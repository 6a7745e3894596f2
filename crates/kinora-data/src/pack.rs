//! One file that holds all subjects: `KINOPACK`, version, length of the index, JSON index, frames.

use std::collections::HashMap;
use std::path::Path;

use image::codecs::webp::{WebPDecoder, WebPEncoder};
use image::{DynamicImage, ExtendedColorType};

use crate::error::{Error, Result};
use crate::index::{Entry, Index};

pub(crate) const MAGIC: &[u8; 8] = b"KINOPACK";
pub(crate) const VERSION: u32 = 1;
const HEADER_LEN: usize = 8 + 4 + 8;

pub(crate) fn compress(pixels: &[u8], size: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let height = pixels.len() / (size * 4);
    WebPEncoder::new_lossless(&mut bytes)
        .encode(pixels, size as u32, height as u32, ExtendedColorType::Rgba8)
        .map_err(|source| Error::Picture {
            what: "sprite strip".into(),
            source,
        })?;
    Ok(bytes)
}

/// An open pack: the index and all frames in memory.
#[derive(Debug)]
pub struct Pack {
    sprite_size: usize,
    entries: Vec<Entry>,
    /// Premultiplied RGBA8 frames; the first `data_start` bytes are the header.
    data: Vec<u8>,
    /// Where each subject's first frame starts in `data`.
    starts: Vec<usize>,
    by_word: HashMap<String, usize>,
}

impl Pack {
    /// Reads a pack into memory.
    ///
    /// # Errors
    /// The file cannot be read, or is not a whole pack of this version.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|source| Error::Read {
            path: path.into(),
            source,
        })?;
        Self::from_bytes(bytes).map_err(|reason| Error::CorruptPack {
            path: path.into(),
            reason,
        })
    }

    /// The small pack that stands in the repository: a dozen subjects, for tests and first looks.
    ///
    /// # Panics
    /// If the built-in pack is damaged, which a test excludes.
    pub fn sample() -> Self {
        match Self::from_bytes(include_bytes!("../assets/sample.pack").to_vec()) {
            Ok(pack) => pack,
            Err(reason) => panic!("the built-in sample pack is damaged: {reason}"),
        }
    }

    fn from_bytes(bytes: Vec<u8>) -> std::result::Result<Self, String> {
        if bytes.len() < HEADER_LEN || &bytes[..8] != MAGIC {
            return Err("it does not start with KINOPACK".into());
        }
        let version = u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
        if version != VERSION {
            return Err(format!(
                "it is of version {version}, and this program reads version {VERSION}"
            ));
        }
        let index_len = bytes[12..20]
            .iter()
            .rev()
            .fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
        let frames_start = usize::try_from(index_len)
            .ok()
            .and_then(|len| len.checked_add(HEADER_LEN))
            .filter(|end| *end <= bytes.len());
        let frames_start = frames_start.ok_or("it ends within its index")?;
        let index: Index = serde_json::from_slice(&bytes[HEADER_LEN..frames_start])
            .map_err(|e| format!("its index does not parse: {e}"))?;
        if !(1..=1024).contains(&index.sprite_size) || index.entries.is_empty() {
            return Err("its index holds no usable sprites".into());
        }
        let frame_len = index.sprite_size * index.sprite_size * 4;
        let mut starts = Vec::with_capacity(index.entries.len());
        let mut decoded = Vec::new();
        for entry in &index.entries {
            let stored = stored_range(entry, frames_start, bytes.len())
                .ok_or_else(|| format!("it ends before the frames of {}", entry.name_en))?;
            let whole_len = entry.frames.checked_mul(frame_len).filter(|len| *len > 0);
            let whole_len = whole_len.ok_or_else(|| format!("{} has no frames", entry.name_en))?;
            if index.compressed {
                starts.push(decoded.len());
                decoded.extend(decompress(&bytes[stored], &entry.name_en)?);
            } else {
                starts.push(stored.start);
            }
            let held = if index.compressed {
                decoded.len() - starts[starts.len() - 1]
            } else {
                entry.length as usize
            };
            if held != whole_len {
                return Err(format!(
                    "{} should have {whole_len} bytes of frames and has {held}",
                    entry.name_en
                ));
            }
        }
        let data = if index.compressed { decoded } else { bytes };
        let by_word = words(&index.entries);
        Ok(Self {
            sprite_size: index.sprite_size,
            entries: index.entries,
            data,
            starts,
            by_word,
        })
    }

    /// The subjects. A subject's index here is its label.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// How many subjects there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none; never true for a pack that opened.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Side of the square sprites in pixels.
    pub fn sprite_size(&self) -> usize {
        self.sprite_size
    }

    /// Premultiplied RGBA8 of one frame, `sprite_size × sprite_size × 4`; frames wrap round.
    ///
    /// # Panics
    /// If there is no such subject.
    pub fn frame(&self, subject: usize, frame: usize) -> &[u8] {
        let len = self.sprite_size * self.sprite_size * 4;
        &self.data[self.starts[subject] + frame % self.entries[subject].frames * len..][..len]
    }

    /// The subject with this id, English name or Chinese name, in any case.
    ///
    /// # Errors
    /// There is none.
    pub fn find(&self, word: &str) -> Result<usize> {
        let key = word.trim().to_lowercase();
        self.by_word
            .get(&key)
            .copied()
            .ok_or_else(|| Error::UnknownSubject { got: word.into() })
    }
}

fn stored_range(
    entry: &Entry,
    frames_start: usize,
    file_len: usize,
) -> Option<std::ops::Range<usize>> {
    let start = frames_start.checked_add(usize::try_from(entry.offset).ok()?)?;
    let end = start.checked_add(usize::try_from(entry.length).ok()?)?;
    (end <= file_len).then_some(start..end)
}

fn decompress(bytes: &[u8], name: &str) -> std::result::Result<Vec<u8>, String> {
    let decoder = WebPDecoder::new(std::io::Cursor::new(bytes))
        .map_err(|e| format!("the frames of {name} do not decode: {e}"))?;
    let picture = DynamicImage::from_decoder(decoder)
        .map_err(|e| format!("the frames of {name} do not decode: {e}"))?;
    Ok(picture.to_rgba8().into_raw())
}

fn words(entries: &[Entry]) -> HashMap<String, usize> {
    let mut words = HashMap::new();
    for (index, entry) in entries.iter().enumerate() {
        for word in [&entry.id, &entry.hexcode, &entry.name_en, &entry.name_zh] {
            words.insert(word.to_lowercase(), index);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_pack_says_what_to_do() {
        let whole = include_bytes!("../assets/sample.pack");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("damaged.pack");
        for len in [0, 7, 19, 200, whole.len() / 2, whole.len() - 1] {
            std::fs::write(&path, &whole[..len]).unwrap();
            let message = Pack::open(&path).unwrap_err().to_string();
            assert!(message.contains("kinora data pack"), "{message}");
        }
        let mut other_version = whole.to_vec();
        other_version[8] = 99;
        std::fs::write(&path, &other_version).unwrap();
        assert!(
            Pack::open(&path)
                .unwrap_err()
                .to_string()
                .contains("version 99")
        );
    }

    #[test]
    fn the_sample_has_a_koala() {
        let pack = Pack::sample();
        let koala = pack.find("Koala").unwrap();
        assert_eq!(pack.find("1f428").unwrap(), koala);
        assert!(pack.frame(koala, 0).chunks(4).any(|pixel| pixel[3] == 255));
        assert!(pack.find("no such thing").is_err());
    }

    #[test]
    fn pixels_are_premultiplied() {
        let pack = Pack::sample();
        for subject in 0..pack.len() {
            for pixel in pack.frame(subject, 0).chunks(4) {
                assert!(
                    pixel[..3]
                        .iter()
                        .all(|value| *value <= pixel[3].saturating_add(8)),
                    "{pixel:?}"
                );
            }
        }
    }

    #[test]
    fn compression_is_lossless() {
        let pixels: Vec<u8> = (0..16 * 32 * 4)
            .map(|value| (value * 7 % 256) as u8)
            .collect();
        let pixels: Vec<u8> = pixels
            .chunks(4)
            .flat_map(|p| [p[0], p[1], p[2], p[3].max(1)])
            .collect();
        assert_eq!(
            decompress(&compress(&pixels, 16).unwrap(), "test").unwrap(),
            pixels
        );
    }
}
