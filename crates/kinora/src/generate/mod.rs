//! `kinora generate`: the main job.

mod clip;
mod pace;
mod plan;
mod recipe;
mod report;
mod request;
pub(crate) mod values;

use std::time::Instant;

use anyhow::Result;
use kinora_models::VideoModel;
use kinora_pipeline::Generation;

use crate::args::{GenerateArgs, Global};
use crate::error::Stopped;
use crate::progress::Progress;
use crate::{interrupt, output, weights};

use clip::Clip;
use pace::Pace;
use plan::Plan;
use report::Outcome;
use request::Request;

/// Makes a clip and tells what was made.
pub(crate) fn run(args: GenerateArgs, global: &Global) -> Result<()> {
    let started = Instant::now();
    let as_json = args.json;
    let request = Request::resolve(args)?;
    interrupt::install()?;
    let mut progress = Progress::start(global, "loading");
    let device = request.device.open()?;
    let model = weights::load(&request.model, &device)?;
    let load_time = started.elapsed();
    interrupt::check()?;

    let about = model.description();
    let plan = Plan::new(&request, about)?;
    tracing::info!(model = about.name, native_size = ?plan.native_size, frames = plan.frames, "generating");
    let generation = Generation {
        prompt: &request.prompt,
        negative: &request.negative,
        size: plan.native_size,
        frames: plan.frames,
        sampling: request.sampling.clone(),
    };
    let mut clip = Clip::open(&request, &plan, about)?;
    let mut pace = Pace::new(plan.frames);
    let made = kinora_pipeline::generate(
        &model,
        &generation,
        None,
        &device,
        |event| {
            let (stage, fraction, left) = pace.update(event);
            progress.show(stage, fraction, left);
            !interrupt::requested()
        },
        |frame| Ok(clip.push(&frame)?),
    );
    let made = made.map_err(|error| match error {
        kinora_pipeline::Error::Stopped => Stopped.into(),
        error => anyhow::Error::from(error),
    })?;
    progress.show("writing", 1.0, None);
    let written = clip.finish()?;
    drop(progress);

    let outcome = Outcome {
        request: &request,
        plan: &plan,
        about,
        written: &written,
        load_time,
        stage_times: made.times,
        total_time: started.elapsed(),
    };
    match (as_json, global.quiet) {
        (true, _) => output::print(&outcome.to_json().to_string()),
        (false, false) => output::print(&outcome.to_text()),
        (false, true) => Ok(()),
    }
}
