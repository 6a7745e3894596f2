//! The chunks of a RIFF file: four bytes of type, four of size, the payload, a byte of padding where the size is odd.

use std::io::{self, Read, Seek, SeekFrom};

use serde_json::Value;

use super::xmp;

/// The most words that we take from a file.
const MAX_XMP_BYTES: u32 = 1 << 20;

/// What can be known of a WebP from its headers.
pub(crate) struct Scan {
    pub(crate) animated: bool,
    pub(crate) frames: u64,
    /// How long it plays, in milliseconds.
    pub(crate) duration_ms: u64,
    pub(crate) recipe: Option<Value>,
}

/// How long a frame with this duration is shown, in milliseconds. Browsers slow down the fastest.
pub(super) fn shown_ms(duration_ms: u32) -> u64 {
    if duration_ms <= 10 {
        100
    } else {
        u64::from(duration_ms)
    }
}

/// Walks the chunks of a WebP whose file has `length` bytes.
pub(crate) fn scan(mut file: impl Read + Seek, length: u64) -> io::Result<Scan> {
    let mut scan = Scan {
        animated: false,
        frames: 0,
        duration_ms: 0,
        recipe: None,
    };
    let riff: [u8; 12] = take(&mut file)?;
    let promised = u64::from(u32::from_le_bytes([riff[4], riff[5], riff[6], riff[7]])) + 8;
    if promised > length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut at = 12;
    while at + 8 <= promised {
        file.seek(SeekFrom::Start(at))?;
        let head: [u8; 8] = take(&mut file)?;
        let size = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
        if u64::from(size) > promised - at - 8 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match &head[..4] {
            b"ANIM" => scan.animated = true,
            b"ANMF" if size >= 16 => {
                let frame: [u8; 16] = take(&mut file)?;
                scan.frames += 1;
                scan.duration_ms +=
                    shown_ms(u32::from_le_bytes([frame[12], frame[13], frame[14], 0]));
            }
            b"VP8 " | b"VP8L" => scan.frames = 1,
            b"XMP " if size <= MAX_XMP_BYTES => {
                let mut packet = vec![0; size as usize];
                file.read_exact(&mut packet)?;
                scan.recipe = xmp::recipe(&packet);
            }
            _ => {}
        }
        at += 8 + u64::from(size) + u64::from(size % 2);
    }
    Ok(scan)
}

fn take<const N: usize>(file: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// The chunks of a WebP in memory, as type and payload.
pub(super) fn chunks(webp: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    let mut bytes = webp.get(12..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (kind, rest) = bytes.split_first_chunk::<4>()?;
        let (size, rest) = rest.split_first_chunk::<4>()?;
        let size = u32::from_le_bytes(*size) as usize;
        let (payload, rest) = rest.split_at_checked(size)?;
        bytes = rest.get(size % 2..).unwrap_or_default();
        Some((*kind, payload))
    })
}

/// A chunk with its header and padding.
pub(super) fn chunk(kind: &[u8; 4], payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len()).expect("a chunk is below 4 GiB");
    let mut bytes = [kind, &size.to_le_bytes()[..], payload].concat();
    bytes.extend((payload.len() % 2 == 1).then_some(0));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_come_back() {
        let webp = [
            b"RIFF\0\0\0\0WEBP".to_vec(),
            chunk(b"ODD ", &[1, 2, 3]),
            chunk(b"EVEN", &[4, 5]),
        ]
        .concat();
        let found: Vec<_> = chunks(&webp).collect();
        assert_eq!(found, [(*b"ODD ", &[1, 2, 3][..]), (*b"EVEN", &[4, 5])]);
        assert_eq!(chunks(&webp[..webp.len() - 1]).count(), 1);
        assert_eq!(chunks(b"short").count(), 0);
    }
}
