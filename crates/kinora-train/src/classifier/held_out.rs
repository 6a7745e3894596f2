//! How often the judges are right on scenes that training never shows: the ceiling of evaluation.

use burn::tensor::Device;
use serde_json::json;

use super::Judges;
use crate::Error;
use crate::corpus::{Corpus, Shape};
use crate::run::Run;

/// Shares of held-out clips that are judged right.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Shares {
    pub(super) subject: f32,
    pub(super) subject_top_5: f32,
    pub(super) background: f32,
    pub(super) motion: f32,
    pub(super) camera: f32,
    pub(super) time: f32,
    pub(super) weather: f32,
    pub(super) style: f32,
}

/// Judges batches of held-out scenes.
pub(super) fn held_out_shares(
    judges: &Judges,
    corpus: &Corpus,
    shape: Shape,
    batches: u32,
    device: &Device,
) -> Shares {
    let held_out = corpus.held_out();
    let mut shares = Shares::default();
    let each = 1.0 / (batches as f32 * shape.batch as f32);
    for batch in held_out.stream(0..batches, move |corpus, step| corpus.batch(step, shape)) {
        let seen = judges.predict(batch.patches(device));
        for (i, labels) in batch.labels.iter().enumerate() {
            let add = |share: &mut f32, right: bool| *share += if right { each } else { 0.0 };
            add(&mut shares.subject, seen.subject[i] == labels.subject);
            add(
                &mut shares.subject_top_5,
                seen.subject_top_5[i].contains(&labels.subject),
            );
            add(
                &mut shares.background,
                seen.background[i] == labels.background,
            );
            add(&mut shares.motion, seen.motion[i] == labels.motion);
            add(&mut shares.camera, seen.camera[i] == labels.camera);
            add(&mut shares.time, seen.time[i] == labels.time);
            add(&mut shares.weather, seen.weather[i] == labels.weather);
            add(&mut shares.style, seen.style[i] == labels.style);
        }
    }
    shares
}

/// Says and logs the accuracy on `clips` held-out scenes.
pub(super) fn report(run: &mut Run, step: u32, shares: Shares, clips: usize) -> Result<(), Error> {
    run.say(&format!(
        "step {step}: held-out subject {:.1} % (top 5 {:.1} %), background {:.1} %, motion {:.1} %, \
         camera {:.1} %, time {:.1} %, weather {:.1} %, style {:.1} %",
        shares.subject * 100.0,
        shares.subject_top_5 * 100.0,
        shares.background * 100.0,
        shares.motion * 100.0,
        shares.camera * 100.0,
        shares.time * 100.0,
        shares.weather * 100.0,
        shares.style * 100.0,
    ));
    run.log(&json!({
        "step": step,
        "held_out_clips": clips,
        "held_out_subject": shares.subject,
        "held_out_subject_top_5": shares.subject_top_5,
        "held_out_background": shares.background,
        "held_out_motion": shares.motion,
        "held_out_camera": shares.camera,
        "held_out_time": shares.time,
        "held_out_weather": shares.weather,
        "held_out_style": shares.style,
    }))
}
