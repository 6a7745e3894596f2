//! What an index says about one track, whatever it holds.

use super::boxes::{Mp4Box, boxes, find};
use super::description::lines;
use super::edits::{self, Clocks, Edit};
use super::fields::Fields;

/// A track of an index in memory.
pub(super) struct Track<'a> {
    /// `vide`, `soun`, …
    pub(super) handler: [u8; 4],
    pub(super) enabled: bool,
    /// `[a, b, c, d]` of the display matrix, in 16.16.
    pub(super) matrix: [i64; 4],
    pub(super) clocks: Clocks,
    /// How long it lasts, in ticks of the track.
    pub(super) duration: u64,
    pub(super) edits: Vec<Edit>,
    /// The payload of `stbl`.
    pub(super) table: &'a [u8],
}

/// The readable tracks in the payload of a `moov`. Tracks of other kinds may be as strange as they like.
pub(super) fn tracks(moov: &[u8]) -> impl Iterator<Item = Track<'_>> {
    let film = find(moov, b"mvhd").and_then(film_clock);
    boxes(moov)
        .filter(|found| found.kind == *b"trak")
        .filter_map(move |found| Track::read(found.payload, film?))
}

/// The track that a player would show first, of those with this handler.
pub(super) fn first<'a>(moov: &'a [u8], handler: &[u8; 4]) -> Option<Track<'a>> {
    let of_kind = || tracks(moov).filter(|track| track.handler == *handler);
    of_kind()
        .find(|track| track.enabled)
        .or_else(|| of_kind().next())
}

/// Ticks per second of the film, and its matrix.
type FilmClock = (u32, [i64; 4]);

fn film_clock(payload: &[u8]) -> Option<FilmClock> {
    let mut fields = Fields::new(payload);
    let wide = fields.u32()? >> 24 == 1;
    fields.skip(if wide { 16 } else { 8 })?;
    let ticks_per_sec = fields.u32().filter(|&ticks| ticks > 0)?;
    fields.u32_or_u64(wide)?;
    fields.skip(16)?; // rate, volume, reserved
    Some((ticks_per_sec, matrix(&mut fields)?))
}

/// The part of a matrix that turns: `[a, b, c, d]` of `a b u c d v x y w`. Some programs leave it empty.
fn matrix(fields: &mut Fields) -> Option<[i64; 4]> {
    let mut entries = [0; 9];
    for entry in &mut entries {
        *entry = i64::from(fields.i32()?);
    }
    let [a, b, _, c, d, ..] = entries;
    match [a, b, c, d] {
        [0, 0, 0, 0] => Some([1 << 16, 0, 0, 1 << 16]),
        matrix => Some(matrix),
    }
}

impl<'a> Track<'a> {
    fn read(trak: &'a [u8], (movie, film_matrix): FilmClock) -> Option<Self> {
        let media = find(trak, b"mdia")?;
        let handler = *find(media, b"hdlr")?.get(8..)?.first_chunk::<4>()?;
        let table = find(find(media, b"minf")?, b"stbl")?;

        let mut header = Fields::new(find(trak, b"tkhd")?);
        let flags = header.u32()?;
        header.skip(if flags >> 24 == 1 { 32 } else { 20 })?;
        header.skip(16)?;
        let matrix = product(matrix(&mut header)?, film_matrix);

        let mut header = Fields::new(find(media, b"mdhd")?);
        let wide = header.u32()? >> 24 == 1;
        header.skip(if wide { 16 } else { 8 })?;
        let track = header.u32().filter(|&ticks| ticks > 0)?;
        let duration = header.u32_or_u64(wide)?;

        let edits = match find(trak, b"edts").and_then(|edts| find(edts, b"elst")) {
            Some(payload) => edits::read(payload)?,
            None => Vec::new(),
        };
        Some(Self {
            handler,
            enabled: flags & 1 == 1,
            matrix,
            clocks: Clocks { movie, track },
            duration,
            edits,
            table,
        })
    }

    /// The lines of its codec table.
    pub(super) fn descriptions(&self) -> impl Iterator<Item = Mp4Box<'a>> {
        lines(find(self.table, b"stsd").unwrap_or_default())
    }
}

/// First by `track`, then by `film`; the size of the entries does not matter.
fn product(track: [i64; 4], film: [i64; 4]) -> [i64; 4] {
    let [a, b, c, d] = track;
    let [e, f, g, h] = film;
    // Each product of two 32-bit numbers fits; two of them might not.
    let entry = |x: i64, y: i64| x.saturating_add(y);
    [
        entry(a * e, b * g),
        entry(a * f, b * h),
        entry(c * e, d * g),
        entry(c * f, d * h),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Orientation;

    #[test]
    fn two_turns_add_up() {
        let quarter = [0, 1 << 16, -(1 << 16), 0];
        let half = Orientation::from_matrix(product(quarter, quarter)).unwrap();
        assert_eq!(half.clockwise_degrees, 180);
        let extreme = [i64::from(i32::MIN); 4];
        let _ = product(extreme, extreme);
    }

    #[test]
    fn garbage_has_no_tracks() {
        assert_eq!(tracks(b"garbage that is no box").count(), 0);
        assert!(first(&[], b"vide").is_none());
    }
}
