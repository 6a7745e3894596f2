//! What a model cannot make is refused before anything is encoded.

use kinora_models::{Description, KnownFrames};

use crate::timeline::Kind;
use crate::{Error, Layout};

/// # Errors
///
/// [`Error::TooLong`], [`Error::KnownFrames`].
pub(crate) fn check(about: &Description, layout: &dyn Layout, frames: usize) -> Result<(), Error> {
    if let Some(most) = about.max_frames
        && frames > most
    {
        return Err(Error::TooLong {
            model: about.name.clone(),
            frames,
            most,
        });
    }
    let refuse = |takes, other| {
        Err(Error::KnownFrames {
            model: about.name.clone(),
            takes,
            other,
        })
    };
    let kinds: Vec<Kind> = match about.known_frames {
        KnownFrames::Any => return Ok(()),
        _ => (0..layout.len()).map(|index| layout.kind(index)).collect(),
    };
    match about.known_frames {
        KnownFrames::First if !is_even(kinds.get(1..).unwrap_or(&[])) => refuse(
            "can be given the first picture of a clip and no others",
            "kinora-mini",
        ),
        KnownFrames::None if !is_even(&kinds) => refuse(
            "makes clips from words alone",
            "Wan-AI/Wan2.2-TI2V-5B-Diffusers for a first picture, or kinora-mini",
        ),
        _ => Ok(()),
    }
}

/// Whether all frames are noised alike, and none is known.
fn is_even(kinds: &[Kind]) -> bool {
    !kinds.contains(&Kind::Known)
        && kinds
            .windows(2)
            .all(|pair| pair[0].strength() == pair[1].strength())
}
