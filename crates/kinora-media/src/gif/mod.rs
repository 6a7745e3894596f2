//! GIF 89a.

mod palette;
mod reader;
mod scan;
mod writer;

pub(crate) use reader::GifFrames;
pub(crate) use scan::scan;
pub(crate) use writer::GifSink;
