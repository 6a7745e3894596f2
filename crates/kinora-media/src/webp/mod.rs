//! WebP, still and animated.

mod chunks;
mod reader;
mod writer;
mod xmp;

pub(crate) use chunks::{Scan, scan};
pub(crate) use reader::WebpFrames;
pub(crate) use writer::WebpSink;
