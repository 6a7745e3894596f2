//! From a prompt and a timeline to a stream of frames.
//!
//! A [`Timeline`] says of each latent frame whether it is known, to be changed or free; [`generate`]
//! fills it window by window and hands the frames over as they are decoded, so memory does not
//! grow with the length. Nothing here knows which model family it drives.

mod error;
mod frames;
mod generate;
mod timeline;
mod window;

pub use error::Error;
pub use frames::{frames_from_tensor, tensor_from_frames};
pub use generate::{Generation, Progress, Report, Sampling, StageTimes, generate};
pub use timeline::{LatentFrame, Timeline};
