//! What a GIF says of itself, without decoding a picture.

use std::io::{self, Read};

use serde_json::Value;

/// The shape of an animation: what can be known from its headers.
pub(crate) struct Scan {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) frames: u64,
    /// How long it plays, in milliseconds.
    pub(crate) duration_ms: u64,
    pub(crate) recipe: Option<Value>,
}

/// How long a frame with this delay (in hundredths of a second) is shown, in milliseconds. Browsers slow down the fastest.
pub(crate) fn shown_ms(delay: u16) -> u64 {
    if delay <= 1 {
        100
    } else {
        10 * u64::from(delay)
    }
}

/// Walks the blocks of a GIF.
pub(crate) fn scan(mut file: impl Read) -> io::Result<Scan> {
    let file = &mut file;
    let header: [u8; 13] = take(file)?;
    let side = |at: usize| u32::from(u16::from_le_bytes([header[at], header[at + 1]]));
    let mut scan = Scan {
        width: side(6),
        height: side(8),
        frames: 0,
        duration_ms: 0,
        recipe: None,
    };
    skip_palette(file, header[10])?;
    let mut delay = 0;
    loop {
        match take(file)? {
            [b'!'] => match take(file)? {
                [0xf9] => {
                    let control = sub_blocks(file)?;
                    delay = control
                        .get(1..3)
                        .map_or(0, |d| u16::from_le_bytes([d[0], d[1]]));
                }
                [0xfe] => {
                    let recipe = serde_json::from_slice(&sub_blocks(file)?).ok();
                    scan.recipe = scan.recipe.or(recipe.filter(Value::is_object));
                }
                _ => drop(sub_blocks(file)?),
            },
            [b','] => {
                let descriptor: [u8; 9] = take(file)?;
                skip_palette(file, descriptor[8])?;
                let _: [u8; 1] = take(file)?;
                sub_blocks(file)?;
                scan.frames += 1;
                scan.duration_ms += shown_ms(delay);
                delay = 0;
            }
            [b';'] => return Ok(scan),
            _ => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "a block of unknown kind",
                ));
            }
        }
    }
}

fn take<const N: usize>(file: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn skip_palette(file: &mut impl Read, flags: u8) -> io::Result<()> {
    if flags & 0x80 != 0 {
        file.read_exact(&mut vec![0; 3 << ((flags & 7) + 1)])?;
    }
    Ok(())
}

/// The first mebibyte of a run of sub-blocks; the rest is passed over.
fn sub_blocks(file: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut block = [0; 255];
    loop {
        let [length] = take(file)?;
        if length == 0 {
            return Ok(bytes);
        }
        let block = &mut block[..usize::from(length)];
        file.read_exact(block)?;
        if bytes.len() < 1 << 20 {
            bytes.extend_from_slice(block);
        }
    }
}
