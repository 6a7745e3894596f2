//! An MP4 to frames, one at a time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde_json::Value;
use shiguredo_mp4::aux::SampleTableAccessor;
use shiguredo_mp4::boxes::{AvccBox, HdlrBox, SampleEntry, StblBox, TrakBox};
use shiguredo_mp4::{BaseBox, Decode};

use super::{boxes, metadata};
use crate::h264::{Decoder, Refused, Sps, unit_type};
use crate::source::TimedFrame;
use crate::{Colour, Error, Frame, FrameRate, Result};

/// What would help with a file that cannot be read.
const CONVERT: &str =
    "convert it first, for example with `ffmpeg -i IN -c:v libx264 -pix_fmt yuv420p OUT.mp4`";

/// The most frames that H.264 lets wait for earlier ones.
const MAX_REORDER: usize = 16;

/// What the index of an MP4 says about its first video track.
pub(crate) struct Index {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) fps: FrameRate,
    pub(crate) duration_secs: f64,
    pub(crate) codec: String,
    pub(crate) colour: Option<Colour>,
    pub(crate) recipe: Option<Value>,
    pub(crate) index_first: bool,
    pub(crate) samples: Vec<Sample>,
    ticks_per_sec: u32,
    /// Present if the track is H.264.
    avc: Option<AvccBox>,
}

/// One coded frame. Times are in ticks of the track.
pub(crate) struct Sample {
    offset: u64,
    size: u32,
    duration: u32,
    decode_at: i64,
    show_at: i64,
}

impl Index {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let (mut file, length) = open(path)?;
        let top = boxes::read_top_level(&mut file, length)
            .map_err(|error| Error::reading(path, error))?;
        let moov = top
            .moov
            .ok_or_else(|| Error::corrupt(path, "it has no index"))?;
        let trak = video_track(path, &moov)?;
        let timescale = trak.mdia_box.mdhd_box.timescale.get();
        let table = trak.mdia_box.minf_box.stbl_box;
        let listed = table
            .stts_box
            .entries
            .iter()
            .any(|run| run.sample_count > 0);
        if !listed && (top.fragmented || boxes::find(&moov, b"mvex").is_some()) {
            let hint = "join the fragments first, for example with `ffmpeg -i IN -c copy OUT.mp4`";
            return Err(Error::unsupported(path, "a fragmented MP4", hint));
        }
        let entry = table.stsd_box.entries.first().cloned();
        let entry = entry.ok_or_else(|| Error::corrupt(path, "its index names no codec"))?;
        let samples = samples(path, table, length)?;
        let ticks: u64 = samples
            .iter()
            .map(|sample| u64::from(sample.duration))
            .sum();
        let fps = FrameRate::from_average(samples.len() as u64, ticks, u64::from(timescale))
            .map_err(|error| Error::corrupt(path, error))?;
        let (avc, sps, (width, height)) = describe(&entry);
        Ok(Self {
            width: sps.as_ref().map_or(width, |sps| sps.width),
            height: sps.as_ref().map_or(height, |sps| sps.height),
            fps,
            duration_secs: ticks as f64 / f64::from(timescale),
            codec: match &sps {
                Some(sps) => format!("H.264 {}", sps.profile_name()),
                None => String::from_utf8_lossy(entry.box_type().as_bytes()).into_owned(),
            },
            colour: sps.map(|sps| sps.colour),
            recipe: metadata::recipe(&moov),
            index_first: top.index_first,
            samples,
            ticks_per_sec: timescale,
            avc,
        })
    }
}

fn open(path: &Path) -> Result<(BufReader<File>, u64)> {
    let file = File::open(path).map_err(|error| Error::reading(path, error))?;
    let length = file
        .metadata()
        .map_err(|error| Error::reading(path, error))?
        .len();
    Ok((BufReader::new(file), length))
}

/// The first track that holds pictures. Tracks of other kinds may be as strange as they like.
fn video_track(path: &Path, moov: &[u8]) -> Result<TrakBox> {
    for track in boxes::boxes(moov).filter(|found| found.kind == *b"trak") {
        let handler = boxes::find(track.payload, b"mdia")
            .and_then(|mdia| boxes::find(mdia, b"hdlr"))
            .and_then(|handler| handler.get(8..12));
        if handler == Some(&HdlrBox::HANDLER_TYPE_VIDE) {
            let decoded = TrakBox::decode(track.whole);
            return decoded
                .map(|(trak, _)| trak)
                .map_err(|error| Error::corrupt(path, error));
        }
    }
    Err(Error::corrupt(path, "it has no video track"))
}

/// The frames of the track, all inside the file of `length` bytes.
fn samples(path: &Path, table: StblBox, length: u64) -> Result<Vec<Sample>> {
    let table = SampleTableAccessor::new(table).map_err(|error| Error::corrupt(path, error))?;
    // A frame takes at least a byte, so a broken count cannot make us allocate more than the file's own size.
    if table.sample_count() == 0 {
        return Err(Error::corrupt(path, "it has no frames"));
    }
    if u64::from(table.sample_count()) > length {
        return Err(Error::corrupt(
            path,
            "its index lists more frames than it has bytes",
        ));
    }
    table
        .samples()
        .map(|sample| {
            let (offset, size) = (sample.data_offset(), sample.data_size());
            if offset
                .checked_add(u64::from(size))
                .is_none_or(|end| end > length)
            {
                return Err(Error::corrupt(path, "its index points beyond its end"));
            }
            let decode_at = i64::try_from(sample.timestamp()).unwrap_or(i64::MAX);
            let delay = sample.composition_time_offset().unwrap_or(0);
            let show_at = decode_at.saturating_add(delay);
            Ok(Sample {
                offset,
                size,
                duration: sample.duration(),
                decode_at,
                show_at,
            })
        })
        .collect()
}

fn describe(entry: &SampleEntry) -> (Option<AvccBox>, Option<Sps>, (u32, u32)) {
    match entry {
        SampleEntry::Avc1(avc) => {
            let config = avc.avcc_box.clone();
            let sps = config.sps_list.iter().find_map(|unit| Sps::parse(unit));
            (
                Some(config),
                sps,
                (u32::from(avc.visual.width), u32::from(avc.visual.height)),
            )
        }
        other => (
            None,
            None,
            other
                .video_resolution()
                .map_or((0, 0), |(w, h)| (u32::from(w), u32::from(h))),
        ),
    }
}

/// The frames of an MP4 in the order in which they are shown.
pub(crate) struct Mp4Frames {
    path: PathBuf,
    file: BufReader<File>,
    index: Index,
    decoder: Decoder,
    length_size: usize,
    /// How much earlier than its decoding time a frame may be shown, in ticks.
    earliest: i64,
    first_shown: i64,
    next: usize,
    /// Decoded frames that wait for earlier ones: by time, then by number.
    waiting: BTreeMap<(i64, usize), Frame>,
    buffer: Vec<u8>,
}

impl Mp4Frames {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let mut index = Index::read(path)?;
        let avc = index.avc.take();
        let avc = avc.ok_or_else(|| {
            Error::unsupported(path, format!("its codec is {}", index.codec), CONVERT)
        })?;
        let parameter_sets = [avc.sps_list, avc.pps_list].concat();
        let decoder = Decoder::new(&parameter_sets).map_err(|refused| refused.at(path))?;
        let (file, _) = open(path)?;
        let shown = index.samples.iter().map(|sample| sample.show_at);
        Ok(Self {
            path: path.into(),
            file,
            decoder,
            length_size: usize::from(avc.length_size_minus_one.get()) + 1,
            earliest: index
                .samples
                .iter()
                .map(|s| s.show_at.saturating_sub(s.decode_at))
                .min()
                .unwrap_or(0),
            first_shown: shown.min().unwrap_or(0),
            next: 0,
            waiting: BTreeMap::new(),
            buffer: Vec::new(),
            index,
        })
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    /// The next frame; `None` at the end.
    pub(crate) fn next_frame(&mut self) -> Result<Option<TimedFrame>> {
        while !self.earliest_is_due() {
            let number = self.next;
            self.next += 1;
            if let Some(frame) = self.decode(number)? {
                self.waiting
                    .insert((self.index.samples[number].show_at, number), frame);
            }
        }
        Ok(self.waiting.pop_first().map(|((show_at, number), frame)| {
            let secs = |ticks: i64| ticks as f64 / f64::from(self.index.ticks_per_sec);
            TimedFrame {
                frame,
                time_secs: secs(show_at.saturating_sub(self.first_shown)),
                duration_secs: secs(i64::from(self.index.samples[number].duration)),
            }
        }))
    }

    /// Whether no frame that is still to be decoded is shown before the first that waits.
    fn earliest_is_due(&self) -> bool {
        let Some(coming) = self.index.samples.get(self.next) else {
            return true;
        };
        let Some((&(show_at, _), _)) = self.waiting.first_key_value() else {
            return false;
        };
        self.waiting.len() > MAX_REORDER
            || show_at <= coming.decode_at.saturating_add(self.earliest)
    }

    fn decode(&mut self, number: usize) -> Result<Option<Frame>> {
        let sample = &self.index.samples[number];
        self.buffer.resize(sample.size as usize, 0);
        let read = self
            .file
            .seek(SeekFrom::Start(sample.offset))
            .and_then(|_| self.file.read_exact(&mut self.buffer));
        read.map_err(|error| Error::reading(&self.path, error))?;
        let units = length_prefixed_units(&self.buffer, self.length_size)
            .ok_or_else(|| Error::corrupt(&self.path, format!("frame {number} is garbled")))?;
        // Messages and delimiters carry no picture.
        let units = units
            .into_iter()
            .filter(|unit| matches!(unit_type(unit), 1..=5 | 7 | 8));
        self.decoder
            .decode(units)
            .map_err(|refused| refused.at(&self.path))
    }
}

impl Refused {
    fn at(self, path: &Path) -> Error {
        match self {
            Refused::Corrupt(what) => Error::corrupt(path, what),
            Refused::Unsupported(what) => Error::unsupported(path, what, CONVERT),
        }
    }
}

/// The NAL units of a sample, each after its length in `length_size` bytes.
fn length_prefixed_units(mut bytes: &[u8], length_size: usize) -> Option<Vec<&[u8]>> {
    let mut units = Vec::new();
    while !bytes.is_empty() {
        let (prefix, rest) = bytes.split_at_checked(length_size)?;
        let length = prefix
            .iter()
            .fold(0usize, |length, &byte| length << 8 | usize::from(byte));
        let (unit, rest) = rest.split_at_checked(length)?;
        units.push(unit);
        bytes = rest;
    }
    Some(units)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_follow_their_lengths() {
        let bytes = [0, 2, 7, 8, 0, 1, 9];
        assert_eq!(
            length_prefixed_units(&bytes, 2),
            Some(vec![&[7, 8][..], &[9]])
        );
        assert_eq!(length_prefixed_units(&bytes[..6], 2), None);
        assert_eq!(length_prefixed_units(&[0, 0, 0], 4), None);
        assert_eq!(length_prefixed_units(&[], 4), Some(vec![]));
    }
}
