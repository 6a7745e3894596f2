//! The sound of given clips: kept where it fits to the pictures in time.

use std::ops::Range;
use std::path::{Path, PathBuf};

use kinora_media::FrameRate;

use super::given::Given;
use super::plan::Plan;
use super::request::Request;
use super::task::Task;

/// A stretch of a clip's sound that is heard from the first frame of the file on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sound {
    pub(crate) clip: PathBuf,
    /// In seconds of the clip; before its beginning it is silent.
    pub(crate) secs: Range<f64>,
}

/// What becomes of the sound of what is given.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Heard {
    /// There is none.
    Nothing,
    /// It goes into the file.
    Kept(Sound),
    /// It is left out, for this reason.
    Left(&'static str),
}

/// What becomes of the sound of what is given for `request`.
pub(crate) fn keep(request: &Request, plan: &Plan) -> Heard {
    if !request.keeps_sound {
        return Heard::Nothing;
    }
    let task = &request.task;
    let clip = match task {
        Task::Generate { .. } | Task::Storyboard(_) => return Heard::Nothing,
        Task::Blend { first, second, .. } => {
            return match first.info.audio.is_some() || second.info.audio.is_some() {
                true => Heard::Left("the joint would cut it"),
                false => Heard::Nothing,
            };
        }
        Task::Extend { clip, .. }
        | Task::FillTime { clip, .. }
        | Task::FillRegion { clip, .. }
        | Task::Remix { clip, .. }
        | Task::Loop { clip, .. } => clip,
    };
    let silence_secs = silence_secs(task, plan);
    sound_of(clip, &request.output, silence_secs, plan.rates.file)
}

/// What becomes of the sound of a clip whose frames are in the file `output`, which has this rate, from `silence_secs` on.
pub(crate) fn sound_of(clip: &Given, output: &Path, silence_secs: f64, fps: FrameRate) -> Heard {
    match &clip.info.audio {
        None => Heard::Nothing,
        Some(_) if !holds_sound(output) => {
            Heard::Left("the format of the file holds none, .mp4 does")
        }
        Some(audio) if !audio.can_be_copied => {
            Heard::Left("only AAC in an MP4 or MOV can be copied")
        }
        Some(_) => Heard::Kept(Sound {
            clip: clip.path.clone(),
            // What is heard after the last picture of a clip would be heard with pictures that were made.
            secs: -silence_secs..clip.info.duration_secs.max(fps.duration_secs(1)),
        }),
    }
}

fn holds_sound(output: &Path) -> bool {
    let ending = output.extension().map(|ending| ending.to_ascii_lowercase());
    ending.is_some_and(|ending| ending == "mp4" || ending == "m4v")
}

/// Seconds of made frames before the clip.
fn silence_secs(task: &Task, plan: &Plan) -> f64 {
    match task {
        Task::Extend { secs, before, .. } if *before => {
            plan.rates.file.duration_secs(plan.file_frames(*secs))
        }
        _ => 0.0,
    }
}
