//! From a prompt, pictures and clips to a stream of frames.
//!
//! A [`Layout`] says of each latent frame whether it is known, to be changed or free; [`generate`] and [`make`] fill it window by
//! window and hand the frames over as they are decoded, so memory does not grow with the length. [`tasks`] lays out timelines,
//! a [`Reel`] shows given frames as they are beside those that were made, and a [`Session`] keeps finished windows. [`Finish`] makes
//! frames larger and more on their way into the file, [`Smooth`] does so for any clip. Nothing
//! here knows which model family it drives.

mod behind;
mod beside;
mod carried;
mod cut;
mod error;
mod finish;
mod frames;
mod generate;
mod limits;
mod order;
mod rates;
mod reel;
mod region;
mod seam;
mod session;
mod smooth;
mod take;
pub mod tasks;
mod timeline;
mod window;

pub use beside::{Beside, Shown, reference};
pub use error::Error;
pub use finish::Finish;
pub use frames::{frames_from_tensor, tensor_from_frames};
pub use generate::{Film, Generation, Progress, Report, StageTimes, generate, latent_frames, make};
pub use rates::{Rates, Way};
pub use reel::{Fit, Piece, Reel, fit_given};
pub use region::{Mask, Region};
pub use session::{Found, Session, sessions};
pub use smooth::Smooth;
pub use take::Take;
pub use timeline::{Kind, LatentFrame, Layout, Timeline};
pub use window::{Sampling, noise};
