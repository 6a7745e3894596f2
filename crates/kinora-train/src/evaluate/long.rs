//! What a long clip does to colours and subjects: its first seconds beside its last.

use burn::tensor::Device;
use kinora_data::{Fact, captions};
use kinora_media::Frame;
use kinora_models::mini::plate::Plate;
use kinora_models::{ClipShape, Known, VideoModel};
use kinora_pipeline::{Generation, Sampling, generate};
use serde::{Deserialize, Serialize};

use super::clips::{clip_frames, clip_seed, judge, wide};
use super::continuity::{Drift, Look};
use super::report::Accuracies;
use super::{EvaluateOptions, Judged, facts, scene};
use crate::Error;

/// What moves little by itself: only drift changes its colours.
const DRIFT_PROMPT: &str = "a koala stands on a meadow by day, static camera";
/// What is looked at of either end; of a clip that is too short for that, its halves.
const END_SECS: f64 = 4.0;

/// What has to be seen of a subject at the end, as a part of what was seen of it.
const SEEN: f32 = 0.5;

/// Whether the subjects of long clips stay what they are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LongClips {
    /// Length of each.
    pub seconds: f64,
    /// Of them those whose subject goes away, as was planned: they are not judged.
    #[serde(default)]
    pub gone: usize,
    /// The judges on the first frames.
    pub first: Accuracies,
    /// On the last ones.
    pub last: Accuracies,
    /// How they drift, on the mean.
    #[serde(default)]
    pub drift: Option<Drift>,
}

/// How colours drift in a clip of `options.drift_secs`; `None` where that is too short.
pub(super) fn drift(
    options: &EvaluateOptions<'_>,
    device: &Device,
    report: impl FnMut() -> Result<(), Error>,
) -> Result<Option<Drift>, Error> {
    let seed = options.sampling.seed;
    match ends(options, DRIFT_PROMPT, seed, device, report)? {
        Some(made) => {
            let planned = planned(&made, options, DRIFT_PROMPT, seed)?;
            Ok(drift_of(&made, planned.as_ref(), options))
        }
        None => Ok(None),
    }
}

/// What the judges say of the subjects of `options.long_clips` clips of that length; `None` of none, and where their ends are shorter than
/// what the judges see. `report` is told how many are done.
pub(super) fn subjects(
    options: &EvaluateOptions<'_>,
    device: &Device,
    mut report: impl FnMut(usize) -> Result<(), Error>,
) -> Result<Option<LongClips>, Error> {
    let count = clip_frames(options);
    let (mut first, mut last) = (Judged::default(), Judged::default());
    let mut gone = 0;
    let mut drifts = Vec::new();
    for index in 0..options.long_clips {
        let (spec, seed) = (scene(options, index), clip_seed(options, index));
        let caption = captions(&spec, options.pack, seed).short_en;
        let made = ends(options, &caption.text, seed, device, || report(index))?;
        let Some(made) = made.filter(|made| made.first.len() >= count) else {
            return Ok(None);
        };
        let planned = planned(&made, options, &caption.text, seed)?;
        drifts.extend(drift_of(&made, planned.as_ref(), options));
        if planned.as_ref().is_some_and(goes_away) {
            gone += 1;
            continue;
        }
        let wanted = facts(&spec.labels(), options.pack);
        let from = made.last.len() - count;
        for (judged, frames) in [
            (&mut first, &made.first[..count]),
            (&mut last, &made.last[from..]),
        ] {
            let predictions = judge(options, frames, device);
            judged.add(predictions, &wanted, &[Fact::Subject], options.pack);
        }
    }
    Ok((options.long_clips > 0).then_some(LongClips {
        seconds: options.drift_secs,
        gone,
        first: first.accuracies,
        last: last.accuracies,
        drift: Drift::mean_of(&drifts),
    }))
}

/// How a clip drifted, and how far beyond what was planned.
fn drift_of(
    made: &Ends,
    planned: Option<&[Plate; 2]>,
    options: &EvaluateOptions<'_>,
) -> Option<Drift> {
    let looks = Look::of(&made.first).zip(Look::of(&made.last))?;
    let planned = planned.and_then(|[first, last]| {
        let looks = Look::of_plate(first).zip(Look::of_plate(last))?;
        Some(looks.into())
    });
    Some(Drift::of(looks.into(), planned, options.drift_secs))
}

/// Whether a plan leads the subjects away: little of them is seen at the end.
fn goes_away([first, last]: &[Plate; 2]) -> bool {
    let seen = |plate: &Plate| plate.coverage.iter().sum::<f32>();
    seen(last) < SEEN * seen(first)
}

/// What is planned for the first and for the last frames of a clip; `None` where nothing is.
fn planned(
    made: &Ends,
    options: &EvaluateOptions<'_>,
    prompt: &str,
    seed: u64,
) -> Result<Option<[Plate; 2]>, Error> {
    let model = options.model;
    let stride = model.description().temporal_stride;
    let latent_frames = frames(options).div_ceil(stride);
    let end = made.first.len() / stride;
    let clip = ClipShape {
        size: wide(),
        latent_frames,
        seed,
    };
    let script = model.encode_text(prompt)?;
    let script = model.plan(prompt, script, clip, Known::default())?;
    let plates = (script.plate(0..end)).zip(script.plate(latent_frames - end..latent_frames));
    Ok(plates.map(Into::into))
}

/// Frames of a long clip.
fn frames(options: &EvaluateOptions<'_>) -> usize {
    let fps = options.model.description().frames_per_second;
    (options.drift_secs * fps as f64).round() as usize
}

/// Frames of either end of a clip.
struct Ends {
    first: Vec<Frame>,
    last: Vec<Frame>,
}

/// Makes a clip of `options.drift_secs` and keeps its ends; `None` where it has less than a second for each.
fn ends(
    options: &EvaluateOptions<'_>,
    prompt: &str,
    seed: u64,
    device: &Device,
    mut report: impl FnMut() -> Result<(), Error>,
) -> Result<Option<Ends>, Error> {
    let fps = options.model.description().frames_per_second;
    let frames = frames(options);
    if frames < 2 * fps {
        return Ok(None);
    }
    let end = (frames / 2).min((END_SECS * fps as f64) as usize);
    let request = Generation {
        prompt,
        negative: "",
        size: wide(),
        frames,
        sampling: Sampling {
            seed,
            ..options.sampling.clone()
        },
    };
    let (mut first, mut last) = (Vec::new(), Vec::new());
    let mut place = 0;
    let mut going = Ok(());
    let go_on = |_| {
        going = report();
        going.is_ok()
    };
    let made = generate(options.model, &request, None, device, go_on, |frame| {
        if place < end {
            first.push(frame);
        } else if place + end >= frames {
            last.push(frame);
        }
        place += 1;
        Ok(())
    });
    going?;
    made?;
    Ok(Some(Ends { first, last }))
}
