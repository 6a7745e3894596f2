//! MP4 (ISO 14496-12, -14 and -15) and QuickTime.

mod audio;
mod boxes;
mod description;
mod edits;
mod fields;
mod index;
mod layout;
mod metadata;
mod moov;
mod reader;
mod samples;
mod sound_track;
mod track;
mod writer;

pub use audio::AudioInfo;
pub(crate) use index::Index;
pub(crate) use reader::Mp4Frames;
pub(crate) use writer::Mp4Sink;
