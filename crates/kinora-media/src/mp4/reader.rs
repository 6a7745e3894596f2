//! An MP4 to frames, one at a time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::index::{self, Index};
use crate::colour::Planes;
use crate::geometry::check_video_size;
use crate::h264::{Decoder, Refused, unit_type};
use crate::source::TimedFrame;
use crate::{Colour, Error, Frame, Result};

/// The most frames that H.264 lets wait for earlier ones.
const MAX_REORDER: usize = 16;

/// The frames of an MP4 in the order in which they are shown.
pub(crate) struct Mp4Frames {
    path: PathBuf,
    file: BufReader<File>,
    index: Index,
    decoder: Decoder,
    length_size: usize,
    /// How much earlier than its decoding time a frame may be shown, in ticks.
    earliest: i64,
    next: usize,
    /// Decoded frames that wait for earlier ones: by time, then by number.
    waiting: BTreeMap<(i64, usize), Planes>,
    buffer: Vec<u8>,
}

impl Mp4Frames {
    /// # Errors
    ///
    /// [`Error::NeedsFfmpeg`] if the decoder in here does not take it.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let mut index = Index::read(path)?;
        check_video_size(index.stored)?;
        check_video_size(index.size())?;
        if let Some(what) = index.foreign.take() {
            return Err(Error::needs_ffmpeg(path, what));
        }
        let avc = index.avc.take();
        let avc = avc.ok_or_else(|| Error::corrupt(path, "its index names no codec"))?;
        let decoder = Decoder::new(&avc.parameter_sets).map_err(|refused| refused.at(path))?;
        let (file, _) = index::open(path)?;
        let mut frames = Self {
            path: path.into(),
            file,
            decoder,
            length_size: avc.length_size,
            earliest: index
                .samples
                .iter()
                .map(|s| s.show_at.saturating_sub(s.decode_at))
                .min()
                .unwrap_or(0),
            next: 0,
            waiting: BTreeMap::new(),
            buffer: Vec::new(),
            index,
        };
        // What the decoder does not take mostly shows in the first frame.
        frames.decode_next()?;
        Ok(frames)
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    /// Goes on at the last place before `secs` where decoding may begin.
    pub(crate) fn seek(&mut self, secs: f64) -> Result<()> {
        let ticks = (secs * f64::from(self.index.ticks_per_sec)) as i64;
        let is_before = |number: &usize| {
            let shown = &self.index.shown[*number];
            self.index.samples[*number].sync && !shown.is_empty() && shown.start <= ticks
        };
        let candidates: Vec<usize> = (self.next..self.index.samples.len())
            .filter(is_before)
            .collect();
        for number in candidates.into_iter().rev() {
            // Frames after another kind of key frame may still refer to what lies before it.
            self.load(number)?;
            let units = length_prefixed_units(&self.buffer, self.length_size).unwrap_or_default();
            if units.iter().any(|unit| unit_type(unit) == 5) {
                self.waiting.clear();
                self.next = number;
                break;
            }
        }
        Ok(())
    }

    /// The next frame that ends after `from_secs`; `None` at the end.
    pub(crate) fn next_frame(&mut self, from_secs: f64) -> Result<Option<TimedFrame>> {
        loop {
            while !self.earliest_is_due() {
                self.decode_next()?;
            }
            let Some(((_, number), planes)) = self.waiting.pop_first() else {
                return Ok(None);
            };
            let shown = &self.index.shown[number];
            let (start, end) = (self.index.secs(shown.start), self.index.secs(shown.end));
            if shown.is_empty() || end <= from_secs {
                continue;
            }
            return Ok(Some(TimedFrame {
                frame: self.show(&planes)?,
                time_secs: start,
                duration_secs: end - start,
            }));
        }
    }

    /// Colours, square pixels, upright.
    fn show(&self, planes: &Planes) -> Result<Frame> {
        let colour = self.index.colour.unwrap_or(Colour::UNSPECIFIED);
        let frame = self.index.aspect.apply(planes.to_frame(colour)?)?;
        self.index.orientation.apply(frame)
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

    fn decode_next(&mut self) -> Result<()> {
        let number = self.next;
        self.next += 1;
        self.load(number)?;
        let units = length_prefixed_units(&self.buffer, self.length_size)
            .ok_or_else(|| Error::corrupt(&self.path, format!("frame {number} is garbled")))?;
        // Messages and delimiters carry no picture.
        let units = units
            .into_iter()
            .filter(|unit| matches!(unit_type(unit), 1..=5 | 7 | 8));
        let decoded = self
            .decoder
            .decode(units)
            .map_err(|refused| refused.at(&self.path))?;
        if let Some(planes) = decoded {
            self.waiting
                .insert((self.index.samples[number].show_at, number), planes);
        }
        Ok(())
    }

    /// Reads a sample into the buffer.
    fn load(&mut self, number: usize) -> Result<()> {
        let sample = &self.index.samples[number];
        self.buffer.resize(sample.size as usize, 0);
        let read = self
            .file
            .seek(SeekFrom::Start(sample.offset))
            .and_then(|_| self.file.read_exact(&mut self.buffer));
        read.map_err(|error| Error::reading(&self.path, error))
    }
}

impl Refused {
    fn at(self, path: &Path) -> Error {
        match self {
            Refused::Corrupt(what) => Error::corrupt(path, what),
            Refused::Unsupported(what) => Error::needs_ffmpeg(path, what),
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
