//! What the decoders in here do not read goes through the system's FFmpeg, if it is there.
//!
//! It runs as a process of its own with fixed arguments, never through a shell. The container is named to it, so that no file can
//! pose as a playlist, and only this one file is open to it. Frames come over a pipe, which holds it back until they are taken.

mod frames;
mod report;
mod tools;

pub(crate) use frames::FfmpegFrames;
pub(crate) use report::describe;
pub(crate) use tools::Tools;

/// A kind of file that FFmpeg opens for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Demuxer {
    Mp4,
    Matroska,
    Avi,
    MpegTs,
}

impl Demuxer {
    /// Its name on FFmpeg's command line.
    fn name(self) -> &'static str {
        match self {
            Demuxer::Mp4 => "mov",
            Demuxer::Matroska => "matroska",
            Demuxer::Avi => "avi",
            Demuxer::MpegTs => "mpegts",
        }
    }
}
