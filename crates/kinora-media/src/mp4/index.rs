//! The index of an MP4 or MOV: what its pictures are, where they lie and when they are shown.

use std::fs::File;
use std::io::BufReader;
use std::ops::Range;
use std::path::Path;

use serde_json::Value;

use super::audio::{self, AudioInfo};
use super::description::{self, Avc, Pictures};
use super::edits::Timeline;
use super::samples::{self, Sample};
use super::track::{self, Track};
use super::{boxes, metadata};
use crate::geometry::{Orientation, PixelAspect};
use crate::{Colour, DynamicRange, Error, FrameRate, Result};

/// What the index says about the film and its first track of pictures.
pub(crate) struct Index {
    pub(crate) quicktime: bool,
    /// Width and height of a stored picture.
    pub(crate) stored: (u32, u32),
    pub(crate) orientation: Orientation,
    pub(crate) aspect: PixelAspect,
    pub(crate) fps: FrameRate,
    pub(crate) duration_secs: f64,
    /// How many frames are shown.
    pub(crate) frames: u64,
    pub(crate) codec: String,
    pub(crate) bit_depth: u8,
    pub(crate) interlaced: bool,
    pub(crate) colour: Option<Colour>,
    pub(crate) audio: Option<AudioInfo>,
    pub(crate) recipe: Option<Value>,
    pub(crate) index_first: bool,
    pub(crate) samples: Vec<Sample>,
    /// When each sample is shown, in ticks; empty if it is not.
    pub(crate) shown: Vec<Range<i64>>,
    pub(crate) ticks_per_sec: u32,
    /// Present if the track is H.264.
    pub(crate) avc: Option<Avc>,
    /// Why the decoder in here cannot read it, if so.
    pub(crate) foreign: Option<String>,
}

impl Index {
    /// # Errors
    ///
    /// [`Error::NeedsFfmpeg`] for fragments, whose frames no index lists; [`Error::Corrupt`] and [`Error::Io`] as for any file.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let corrupt = |what: &str| Error::corrupt(path, what);
        let (mut file, file_bytes) = open(path)?;
        let top = boxes::read_top_level(&mut file, file_bytes)
            .map_err(|error| Error::reading(path, error))?;
        let moov = top.moov.ok_or_else(|| corrupt("it has no index"))?;
        let track = track::first(&moov, b"vide").ok_or_else(|| corrupt("it has no video track"))?;
        let lists_frames =
            boxes::find(track.table, b"stsz").is_some_and(|list| list.get(8..12) != Some(&[0; 4]));
        if !lists_frames && (top.fragmented || boxes::find(&moov, b"mvex").is_some()) {
            return Err(Error::needs_ffmpeg(path, "a fragmented MP4"));
        }
        let line = track.descriptions().next();
        let pictures = line.as_ref().and_then(description::pictures);
        let pictures = pictures.ok_or_else(|| corrupt("its index names no codec"))?;
        if pictures.encrypted {
            let hint = "it can only be played where it was bought";
            return Err(Error::unsupported(path, "it is encrypted", hint));
        }
        let samples = samples::read(track.table, file_bytes).map_err(corrupt)?;
        let ticks_per_sec = track.clocks.track;
        let mut foreign = foreign(&pictures, &samples, &track);
        let shown = match shown(&samples, &track) {
            Some(shown) => shown,
            None => {
                foreign = foreign.or_else(|| Some("its edit list jumps".into()));
                samples
                    .iter()
                    .map(|sample| sample.show_at..end(sample))
                    .collect()
            }
        };
        let shown_ticks = shown
            .iter()
            .map(|span| span.end.saturating_sub(span.start).max(0) as u64);
        let ticks = shown_ticks.fold(0u64, u64::saturating_add);
        let frames = shown.iter().filter(|span| !span.is_empty()).count() as u64;
        if frames == 0 {
            return Err(corrupt("its edit list shows no frame"));
        }
        let fps = FrameRate::from_average(frames, ticks, u64::from(ticks_per_sec))
            .map_err(|error| Error::corrupt(path, error))?;
        let last = shown
            .iter()
            .filter(|span| !span.is_empty())
            .map(|span| span.end)
            .max();
        Ok(Self {
            quicktime: top.quicktime,
            stored: (pictures.width, pictures.height),
            orientation: Orientation::from_matrix(track.matrix).unwrap_or_default(),
            aspect: pictures
                .aspect
                .ok_or_else(|| corrupt("its pixels have no possible shape"))?,
            fps,
            duration_secs: last.unwrap_or(0) as f64 / f64::from(ticks_per_sec),
            frames,
            bit_depth: pictures.bit_depth,
            interlaced: pictures.sps.as_ref().is_some_and(|sps| !sps.progressive),
            colour: pictures.colour,
            audio: audio::info(&moov),
            recipe: metadata::recipe(&moov),
            index_first: top.index_first,
            shown,
            samples,
            ticks_per_sec,
            avc: pictures.avc,
            codec: pictures.codec,
            foreign,
        })
    }

    /// The size at which it is shown.
    pub(crate) fn size(&self) -> (u32, u32) {
        self.orientation
            .shown_size(self.aspect.squared(self.stored))
    }

    /// The same moment in seconds.
    pub(crate) fn secs(&self, ticks: i64) -> f64 {
        ticks as f64 / f64::from(self.ticks_per_sec)
    }
}

pub(super) fn open(path: &Path) -> Result<(BufReader<File>, u64)> {
    let file = File::open(path).map_err(|error| Error::reading(path, error))?;
    let length = file
        .metadata()
        .map_err(|error| Error::reading(path, error))?
        .len();
    Ok((BufReader::new(file), length))
}

/// What the decoder in here does not take.
fn foreign(pictures: &Pictures, samples: &[Sample], track: &Track) -> Option<String> {
    let Some(sps) = pictures.sps.as_ref().filter(|_| pictures.avc.is_some()) else {
        return Some(format!("its codec is {}", pictures.codec));
    };
    let colour = pictures.colour.unwrap_or(Colour::UNSPECIFIED);
    if sps.bit_depth != 8 {
        Some(format!("H.264 with {} bits a sample", sps.bit_depth))
    } else if sps.chroma_format != 1 {
        Some("H.264 that is not 4:2:0".into())
    } else if !sps.progressive {
        Some("interlaced H.264".into())
    } else if colour.dynamic_range() != DynamicRange::Standard {
        Some("HDR".into())
    } else if !colour.is_decodable() {
        Some("colours of an unusual kind".into())
    } else if samples.iter().any(|sample| sample.description != 1) {
        Some("a film whose codec changes on the way".into())
    } else if Orientation::from_matrix(track.matrix).is_none() {
        Some("a film that is turned by an odd angle".into())
    } else {
        None
    }
}

/// When each sample is shown: until the next one in the order of showing, cut by the edit list. `None` if that jumps.
fn shown(samples: &[Sample], track: &Track) -> Option<Vec<Range<i64>>> {
    let mut order: Vec<u32> = (0..samples.len() as u32).collect();
    order.sort_by_key(|&number| samples[number as usize].show_at);
    let begin = samples[*order.first()? as usize].show_at;
    let last = &samples[*order.last()? as usize];
    let timeline = Timeline::new(&track.edits, track.clocks, begin..end(last))?;
    let mut shown = vec![0..0; samples.len()];
    for (place, &number) in order.iter().enumerate() {
        let sample = &samples[number as usize];
        let until = match order.get(place + 1) {
            Some(&next) => samples[next as usize].show_at,
            None => end(sample),
        };
        shown[number as usize] = timeline.shown(sample.show_at..until).unwrap_or(0..0);
    }
    Some(shown)
}

fn end(sample: &Sample) -> i64 {
    sample
        .show_at
        .saturating_add(i64::from(sample.duration.max(1)))
}
