//! The sound of an MP4 or MOV as it is stored: described, and cut out without being decoded.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::boxes::{self, wrap};
use super::description::{self, Sound};
use super::edits::Timeline;
use super::index;
use super::samples::{self, Sample};
use super::track::{self, Track};
use crate::{Error, Result};

/// What a clip sounds like, as far as its index says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AudioInfo {
    /// The codec's name, such as `AAC`.
    pub codec: String,
    /// How many channels it has.
    pub channels: u16,
    /// Samples per second.
    pub sample_rate: u32,
    /// How long it lasts, in seconds; 0 if the file does not say.
    pub duration_secs: f64,
    /// Whether [`copy_audio`](crate::VideoSink::copy_audio) takes it.
    pub can_be_copied: bool,
}

/// The sound that a player would choose; `None` if there is none.
pub(super) fn info(moov: &[u8]) -> Option<AudioInfo> {
    let (track, sound) = first(moov)?;
    Some(AudioInfo {
        codec: sound.codec,
        channels: sound.channels,
        sample_rate: sound.sample_rate,
        duration_secs: track.duration as f64 / f64::from(track.clocks.track),
        can_be_copied: sound.aac.is_some(),
    })
}

fn first(moov: &[u8]) -> Option<(Track<'_>, Sound)> {
    let track = track::first(moov, b"soun")?;
    let sound = description::sound(&track.descriptions().next()?)?;
    Some((track, sound))
}

/// A stretch of AAC that is copied packet by packet. All times are in ticks of the sound.
pub(super) struct Cut {
    path: PathBuf,
    file: BufReader<File>,
    /// The line for the codec table: a whole `mp4a`.
    pub(super) entry: Vec<u8>,
    pub(super) ticks_per_sec: u32,
    pub(super) packets: Vec<Sample>,
    /// What is decoded before the first tick that is heard: AAC needs the packet before, too.
    pub(super) lead: u64,
    /// Silence before it.
    pub(super) pause: u64,
    /// How long it is heard.
    pub(super) heard: u64,
}

impl Cut {
    /// The sound of `path` between two moments of the clip.
    ///
    /// # Errors
    ///
    /// [`Error::Sound`] if there is none, or it is not AAC.
    pub(super) fn open(path: &Path, secs: Range<f64>) -> Result<Self> {
        let refused = |what: &str| Error::Sound {
            path: path.into(),
            what: what.into(),
        };
        let (mut file, file_bytes) = index::open(path)?;
        let top = boxes::read_top_level(&mut file, file_bytes)
            .map_err(|error| Error::reading(path, error))?;
        let moov = top.moov.ok_or_else(|| refused("it is no MP4"))?;
        let (track, sound) = first(&moov).ok_or_else(|| refused("it has none"))?;
        let entry = match &sound.aac {
            Some(descriptor) => sample_entry(&sound, descriptor),
            None => return Err(refused(&format!("it is {}", sound.codec))),
        };
        let samples = samples::read(track.table, file_bytes).map_err(refused)?;
        let end = samples.last().map_or(0, packet_end);
        let timeline = Timeline::new(&track.edits, track.clocks, 0..end)
            .ok_or_else(|| refused("its edit list jumps"))?;
        let ticks = |secs: f64| (secs * f64::from(track.clocks.track)).round() as i64;
        let wanted = ticks(secs.start)..ticks(secs.end);
        let (media, begins) = timeline.media(wanted.clone()).ok_or_else(|| {
            refused(&format!(
                "it has none from {} to {} s",
                secs.start, secs.end
            ))
        })?;
        let first = samples.partition_point(|packet| packet_end(packet) <= media.start);
        let after = samples.partition_point(|packet| packet.decode_at < media.end);
        let packets = &samples[first.saturating_sub(1).min(after)..after];
        let Some(start) = packets.first() else {
            return Err(refused("its packets are missing there"));
        };
        let span = |from: i64, to: i64| u64::try_from(to.saturating_sub(from)).unwrap_or(0);
        Ok(Self {
            path: path.into(),
            entry,
            ticks_per_sec: track.clocks.track,
            lead: span(start.decode_at, media.start),
            pause: span(wanted.start, begins),
            heard: span(media.start, media.end),
            packets: packets.to_vec(),
            file,
        })
    }

    /// Leaves out what is heard after `secs`.
    pub(super) fn end_at(&mut self, secs: f64) {
        let ticks = (secs * f64::from(self.ticks_per_sec)).round() as u64;
        self.heard = self.heard.min(ticks.saturating_sub(self.pause));
        let needed = self.lead.saturating_add(self.heard);
        let mut until = 0u64;
        let enough = self.packets.iter().position(|packet| {
            let begins = until;
            until += u64::from(packet.duration);
            begins >= needed
        });
        if let Some(enough) = enough {
            self.packets.truncate(enough);
        }
    }

    /// The bytes of packet `number`.
    pub(super) fn read(&mut self, number: usize) -> Result<Vec<u8>> {
        let packet = &self.packets[number];
        let mut bytes = vec![0; packet.size as usize];
        self.file
            .seek(SeekFrom::Start(packet.offset))
            .and_then(|_| self.file.read_exact(&mut bytes))
            .map_err(|error| Error::reading(&self.path, error))?;
        Ok(bytes)
    }
}

fn packet_end(packet: &Sample) -> i64 {
    packet.decode_at + i64::from(packet.duration)
}

/// An `mp4a` of MP4: what QuickTime adds is left out.
fn sample_entry(sound: &Sound, descriptor: &[u8]) -> Vec<u8> {
    // A rate beyond 16 bits stands in the descriptor alone.
    let rate = u16::try_from(sound.sample_rate).unwrap_or(0);
    let head: [&[u8]; 6] = [
        &[0, 0, 0, 0, 0, 0, 0, 1],
        &[0; 8],
        &sound.channels.to_be_bytes(),
        &[0, 16, 0, 0, 0, 0],
        &rate.to_be_bytes(),
        &[0, 0],
    ];
    wrap(
        b"mp4a",
        &[head.concat(), wrap(b"esds", descriptor)].concat(),
    )
}
