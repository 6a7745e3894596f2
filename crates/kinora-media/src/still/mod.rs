//! Single pictures, and runs of numbered ones.

mod jpeg;
mod png;
mod reader;
mod writer;

pub(crate) use reader::{read, scan};
pub(crate) use writer::{PictureFormat, PicturesSink};
