//! Model families behind one small trait, the layers they share, and weight files in and out.
//!
//! A family knows nothing of tasks or files other than weights; the pipeline knows nothing of the
//! family behind [`VideoModel`].

mod checksum;
mod error;
mod family;
pub mod interpolator;
pub mod layers;
pub mod mini;
mod network_file;
pub mod upscaler;
pub mod wan;
pub mod weights;

pub use error::{Error, TensorProblems};
pub use family::{
    Anchor, Changed, ClipShape, Defaults, Description, GivenClip, GivenFrame, Known, KnownFrames,
    Origin, Shown, Sizes, StageMemory, VideoModel, Window,
};
