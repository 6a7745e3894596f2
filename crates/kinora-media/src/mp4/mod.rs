//! MP4 (ISO 14496-12, -14 and -15).

mod boxes;
mod metadata;
mod moov;
mod reader;
mod writer;

pub(crate) use reader::{Index, Mp4Frames};
pub(crate) use writer::Mp4Sink;
