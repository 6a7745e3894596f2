//! Tasks: each lays out a timeline, and says which frames of the finished clip are given and which are made.
//!
//! | task | layout |
//! | --- | --- |
//! | text to video, a picture | [`Timeline::free`](crate::Timeline::free) |
//! | first, last and key pictures | [`stills`] |
//! | extend, fill a time, loop, blend | [`bridge`] |
//! | remix, fill a region | [`Revision`] |
//! | fill a region with a model that is shown the clip | [`repaint`] |

mod bridge;
mod encode;
mod repaint;
mod revision;
mod stills;
mod survey;

pub use bridge::{Bridge, bridge, frames_after, frames_before};
pub use repaint::{Repaint, repaint};
pub use revision::{Change, Revision};
pub use stills::{Stills, latent_frame_of, lead, stills};
pub use survey::{Look, Survey, survey};
