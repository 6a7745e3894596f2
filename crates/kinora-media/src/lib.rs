//! Pictures and video in and out of Kinora, as streams of frames.
//!
//! Everything here works on [`Frame`]s: RGB pictures of 8 bits a channel. Tensors are not known here.
//!
//! * [`open_sink`] writes MP4 (H.264), GIF, animated WebP, or pictures, one [`VideoSink::push`] at a time. Memory does not grow
//!   with the length, and nothing appears under the final name before [`VideoSink::finish`].
//! * [`open_source`] reads clips and pictures frame by frame: MP4 and MOV with H.264, GIF, WebP, PNG and JPEG by itself, and what else
//!   people have (HEVC, HDR, WebM, AVI, …) through the system's FFmpeg. [`VideoSource::between`] and [`VideoSource::last`] read a part,
//!   [`VideoSource::frames_at`] another frame rate.
//! * [`VideoSink::copy_audio`] takes the sound of a clip over into an MP4, packet by packet.
//! * [`probe`] says what a file holds without decoding it, and [`read_recipe`] the recipe that it was made from.
//!
//! ```no_run
//! use kinora_media::{Frame, FrameRate, SinkOptions, open_sink};
//!
//! # fn main() -> kinora_media::Result<()> {
//! let options = SinkOptions::new(256, 144, FrameRate::whole(12)?);
//! let mut sink = open_sink("sea.mp4", &options)?;
//! for _ in 0..48 {
//!     sink.push(&Frame::filled(256, 144, [0, 90, 200])?)?;
//! }
//! let written = sink.finish()?;
//! println!("{} frames in {}", written.frames, written.path.display());
//! # Ok(())
//! # }
//! ```

mod atomic;
mod behind;
mod colour;
mod error;
mod ffmpeg;
mod frame;
mod geometry;
mod gif;
mod h264;
mod hdr;
mod kind;
mod mp4;
mod probe;
mod rate;
mod resample;
mod resize;
mod sheet;
mod sink;
mod source;
mod still;
mod webp;

pub use colour::{Colour, DynamicRange};
pub use error::{Error, Result};
pub use frame::{Frame, MAX_PIXELS, MAX_SIDE};
pub use geometry::{MAX_VIDEO_PIXELS, Orientation, PixelAspect};
pub use mp4::AudioInfo;
pub use probe::{Container, MediaInfo, Reader, probe, read_recipe};
pub use rate::FrameRate;
pub use resample::FramesAt;
pub use resize::{resize, resize_to_cover};
pub use sheet::{SheetOptions, contact_sheet};
pub use sink::{Quality, SinkOptions, VideoSink, Written, open_sink, write_picture};
pub use source::{TimedFrame, VideoSource, open_source, read_picture};
