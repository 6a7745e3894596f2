//! What a model cannot make is refused before anything is encoded.

use kinora_models::{Description, KnownFrames, Shown};

use crate::timeline::Kind;
use crate::{Beside, Error, Take};

/// Models that take what others do not.
const FILLS: &str =
    "kinora-mini or Wan-AI/Wan2.1-VACE-1.3B-diffusers, which take any frames and regions";
const ANIMATES: &str = "Wan-AI/Wan2.2-TI2V-5B-Diffusers for a first picture, Wan-AI/Wan2.1-VACE-1.3B-diffusers for any \
    frames, or kinora-mini";
const WORDS: &str = "Wan-AI/Wan2.1-T2V-1.3B-Diffusers for words alone, Wan-AI/Wan2.1-VACE-1.3B-diffusers for any frames, or \
    kinora-mini";

/// # Errors
///
/// [`Error::TooLong`], [`Error::KnownFrames`], [`Error::StepCache`].
pub(crate) fn check(about: &Description, take: &Take<'_>) -> Result<(), Error> {
    check_length(about, take.frames)?;
    let kinds: Vec<Kind> = match about.known_frames {
        KnownFrames::Any => Vec::new(),
        _ => (0..take.layout.len())
            .map(|index| take.layout.kind(index))
            .collect(),
    };
    check_kinds(about, &kinds)?;
    check_beside(about, &take.beside, take.layout.len())?;
    if take.sampling.step_cache.is_some() && !about.tells_steps {
        return Err(Error::StepCache {
            model: about.name.clone(),
        });
    }
    let one_level = matches!(
        about.known_frames,
        KnownFrames::None | KnownFrames::Shown(_)
    );
    match take.joined && one_level {
        true => Err(refused(
            about,
            "makes each shot anew and cannot morph from the one before",
            "kinora-mini, or begin the shot with a cut",
        )),
        false => Ok(()),
    }
}

/// # Errors
///
/// [`Error::TooLong`]
pub(crate) fn check_length(about: &Description, frames: usize) -> Result<(), Error> {
    match about.max_frames {
        Some(most) if frames > most => Err(Error::TooLong {
            model: about.name.clone(),
            frames,
            most,
        }),
        _ => Ok(()),
    }
}

/// Whether the model lets these latent frames be given.
///
/// # Errors
///
/// [`Error::KnownFrames`]
pub(crate) fn check_kinds(about: &Description, kinds: &[Kind]) -> Result<(), Error> {
    match about.known_frames {
        KnownFrames::First if !is_even(kinds.get(1..).unwrap_or(&[])) => Err(refused(
            about,
            "can be given the first picture of a clip and no others",
            FILLS,
        )),
        KnownFrames::None if !is_even(kinds) => {
            Err(refused(about, "makes clips from words alone", ANIMATES))
        }
        KnownFrames::Shown(_) if !is_even(kinds) => Err(refused(
            about,
            "makes all frames of a clip at one noise level",
            "kinora-mini",
        )),
        _ => Ok(()),
    }
}

/// Whether the model sees what is shown to it beside a clip of `latent_frames`, and all that it needs.
///
/// # Errors
///
/// [`Error::KnownFrames`]
pub(crate) fn check_beside(
    about: &Description,
    beside: &Beside,
    latent_frames: usize,
) -> Result<(), Error> {
    let KnownFrames::Shown(shown) = about.known_frames else {
        return match beside.is_empty() {
            true => Ok(()),
            false => Err(refused(
                about,
                "cannot be shown pictures of what is to be seen",
                "Wan-AI/Wan2.1-VACE-1.3B-diffusers",
            )),
        };
    };
    let last = latent_frames.saturating_sub(1) * about.temporal_stride;
    let before_last = last.saturating_sub(about.temporal_stride);
    let is_whole = beside.frames.values().all(|frame| frame.made.is_none());
    let has = |place: usize| beside.frames.contains_key(&place);
    // Pictures stand in the first latent frame, which is one frame, and at the end of the last.
    let at_ends = beside
        .frames
        .keys()
        .all(|&place| place == 0 || (before_last < place && place <= last));
    let fits = has(0) && is_whole && at_ends && beside.references.is_empty();
    let has_last = last > 0 && has(last);
    let is_one = beside.frames.len() == 1;
    let (takes, other) = match shown {
        Shown::First if !(fits && is_one) => (
            "makes clips from their first picture: it needs one, and takes nothing else",
            WORDS,
        ),
        Shown::FirstAndMaybeLast if !(fits && (is_one || has_last)) => (
            "makes clips from their first picture and, if there is one, their last: it needs the first, and takes nothing else",
            WORDS,
        ),
        Shown::FirstAndLast if !(fits && has_last) => (
            "makes clips from their first and their last picture: it needs both, and takes nothing else",
            WORDS,
        ),
        _ => return Ok(()),
    };
    Err(refused(about, takes, other))
}

fn refused(about: &Description, takes: &'static str, other: &'static str) -> Error {
    Error::KnownFrames {
        model: about.name.clone(),
        takes,
        other,
    }
}

/// Whether all frames are noised alike, and none is known.
fn is_even(kinds: &[Kind]) -> bool {
    !kinds.contains(&Kind::Known)
        && kinds
            .windows(2)
            .all(|pair| pair[0].strength() == pair[1].strength())
}
