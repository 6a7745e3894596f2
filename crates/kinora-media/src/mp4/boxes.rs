//! The nesting of boxes: four bytes of size, four of type, and what is inside.

use std::io::{self, Read, Seek, SeekFrom};

/// The most that an index may take: a day of video at 60 frames/s has about 100 MB.
const MAX_INDEX_BYTES: u64 = 256 << 20;

/// A box in memory.
pub(super) struct Mp4Box<'a> {
    pub(super) kind: [u8; 4],
    /// What is inside.
    pub(super) payload: &'a [u8],
}

/// The boxes that stand side by side in `bytes`, up to the first broken one.
pub(super) fn boxes(mut bytes: &[u8]) -> impl Iterator<Item = Mp4Box<'_>> {
    std::iter::from_fn(move || {
        let (kind, header, size) = header(bytes)?;
        let size = if size == 0 {
            bytes.len()
        } else {
            usize::try_from(size).ok()?
        };
        let whole = bytes.get(..size)?;
        bytes = &bytes[size..];
        Some(Mp4Box {
            kind,
            payload: &whole[header..],
        })
    })
}

/// The first box of this kind.
pub(super) fn find<'a>(bytes: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    boxes(bytes)
        .find(|found| found.kind == *kind)
        .map(|found| found.payload)
}

/// A box of `kind` around `payload`.
pub(super) fn wrap(kind: &[u8; 4], payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len() + 8).expect("metadata is below 4 GiB");
    [&size.to_be_bytes()[..], kind, payload].concat()
}

/// Type, bytes of header, and size with header (0: to the end) of the box that `bytes` begin with.
fn header(bytes: &[u8]) -> Option<([u8; 4], usize, u64)> {
    let (size, rest) = bytes.split_first_chunk::<4>()?;
    let (kind, rest) = rest.split_first_chunk::<4>()?;
    let (header, size) = match u32::from_be_bytes(*size) {
        1 => (16, u64::from_be_bytes(*rest.first_chunk::<8>()?)),
        size => (8, u64::from(size)),
    };
    (size == 0 || size >= header as u64).then_some((*kind, header, size))
}

/// What stands at the top of a file.
pub(super) struct TopLevel {
    /// The payload of the index, if there is one.
    pub(super) moov: Option<Vec<u8>>,
    /// Whether the index comes before the pictures.
    pub(super) index_first: bool,
    /// Whether the pictures come in fragments.
    pub(super) fragmented: bool,
    /// Whether it says that it is QuickTime, or is so old that it says nothing.
    pub(super) quicktime: bool,
}

/// Walks the boxes at the top of a file of `length` bytes and reads its index.
pub(super) fn read_top_level(file: &mut (impl Read + Seek), length: u64) -> io::Result<TopLevel> {
    let mut top = TopLevel {
        moov: None,
        index_first: false,
        fragmented: false,
        quicktime: true,
    };
    let mut seen_pictures = false;
    let mut at = 0;
    while at < length {
        let mut head = [0; 16];
        file.seek(SeekFrom::Start(at))?;
        let available = head.len().min((length - at) as usize);
        file.read_exact(&mut head[..available])?;
        let Some((kind, header, size)) = header(&head[..available]) else {
            break;
        };
        let size = if size == 0 { length - at } else { size };
        match &kind {
            b"moov" if size > length - at || size > MAX_INDEX_BYTES => break,
            b"moov" => {
                let mut payload = vec![0; size as usize - header];
                file.seek(SeekFrom::Start(at + header as u64))?;
                file.read_exact(&mut payload)?;
                top.index_first = !seen_pictures;
                top.moov.get_or_insert(payload);
            }
            b"ftyp" => top.quicktime = head.get(8..12) == Some(b"qt  "),
            b"mdat" => seen_pictures = true,
            b"moof" => top.fragmented = true,
            _ => {}
        }
        at = at.saturating_add(size);
    }
    Ok(top)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_nest() {
        let inner = wrap(b"cmt ", b"hello");
        let bytes = [wrap(b"free", &[]), wrap(b"udta", &inner)].concat();
        let kinds: Vec<_> = boxes(&bytes).map(|found| found.kind).collect();
        assert_eq!(kinds, [*b"free", *b"udta"]);
        let udta = find(&bytes, b"udta").unwrap();
        assert_eq!(find(udta, b"cmt "), Some(&b"hello"[..]));
        assert!(find(udta, b"none").is_none());
    }

    #[test]
    fn broken_sizes_end_the_walk() {
        for bytes in [
            &[0, 0, 0, 7, b'f', b'r', b'e', b'e'][..],
            &[0, 0, 1, 0, b'f', b'r', b'e', b'e'],
            &[1, 2],
        ] {
            assert_eq!(boxes(bytes).count(), 0);
        }
        let endless = [
            0, 0, 0, 1, b'm', b'o', b'o', b'v', 255, 255, 255, 255, 255, 255, 255, 255,
        ];
        assert_eq!(boxes(&endless).count(), 0);
        let top = read_top_level(&mut io::Cursor::new(endless), 16).unwrap();
        assert!(top.moov.is_none());
    }
}
