//! The main job: whatever the verb, a film is laid out, made and written.

mod clip;
mod film;
mod given;
mod keep;
pub(crate) mod memory_plan;
mod pace;
mod plan;
mod recipe;
mod report;
mod request;
mod script;
mod service;
mod sound;
mod task;
pub(crate) mod values;
pub(crate) mod words;

pub(crate) use given::{Given, sha256};
pub(crate) use keep::{About, about, default_dir, find, progress as kept_progress};
pub(crate) use recipe::rate;
pub(crate) use request::{Asked, Enhancer};
pub(crate) use service::Service;
pub(crate) use sound::{Heard, Sound, sound_of};

use std::time::Instant;

use anyhow::Result;
use burn::tensor::Device;
use kinora_models::{Description, VideoModel};
use kinora_pipeline::Finish;

use crate::args::Global;
use crate::device::DeviceChoice;
use crate::error::{Stopped, StoppedInSession};
use crate::progress::Progress;
use crate::weights::Model;
use crate::{interrupt, output, weights};

use clip::Clip;
use film::Stage;
use keep::Kept;
use pace::Pace;
use plan::Plan;
use report::Outcome;
use request::Request;

/// Makes a clip and tells what was made.
pub(crate) fn run(asked: Asked, global: &Global) -> Result<()> {
    let started = Instant::now();
    interrupt::install()?;
    let progress = Progress::start(global, "loading");
    let device = asked.device().open()?;
    let model = weights::open(asked.model(), asked.parts(), &device)?;
    let run = Run {
        global,
        device: &device,
        progress,
        started,
    };
    match model {
        Model::Mini(model) => make(&*model, asked, run),
        Model::Wan(model) => make(&*model, asked, run),
    }
}

/// What a clip is made with, whatever the model.
struct Run<'a> {
    global: &'a Global,
    device: &'a Device,
    progress: Progress,
    started: Instant,
}

fn make<M: VideoModel>(model: &M, asked: Asked, run: Run<'_>) -> Result<()> {
    let Run {
        global,
        device,
        mut progress,
        started,
    } = run;
    let about = model.description();
    // What a GPU has is not known here.
    let minds_memory = !asked.ignores_memory() && matches!(asked.device(), DeviceChoice::Cpu);
    let mut request = Request::resolve(asked, about)?;
    let load_time = started.elapsed();
    progress.show("prompt", 0.0, None);
    request.ask_service()?;
    interrupt::check()?;

    let plan = Plan::new(&request, about)?;
    let task = request.task_recipe()?;
    let mut kept = keep::open(&mut request, &plan, about, &task)?;
    if let Some(note) = &request.note {
        progress.note(global, note);
    }
    if let Some(Kept { id, session, .. }) = &kept
        && let Some(done) = keep::progress(session.windows(), session.steps())
    {
        let seed = request.sampling.seed;
        progress.note(
            global,
            &format!("going on with session {id}, seed {seed}: {done}"),
        );
    }
    request.enhance(model);
    if request.asked.is_some() {
        progress.note(
            global,
            &format!("prompt: {}", output::harmless(&request.prompt)),
        );
    }
    let sound = match sound::keep(&request, &plan) {
        Heard::Kept(sound) => Some(sound),
        Heard::Left(reason) => {
            progress.note(global, &format!("the sound is left out: {reason}"));
            None
        }
        Heard::Nothing => None,
    };
    let request = request;
    tracing::info!(model = about.name, native_size = ?plan.native_size, verb = request.task.name(), "making");

    let finish = finish(&request, &plan, about, device)?;
    progress.show("reading", 0.0, None);
    let made = (|| {
        let stage = Stage {
            model,
            request: &request,
            plan: &plan,
            device,
            finish: finish.clone(),
            go_on: || !interrupt::requested(),
        };
        let film = stage.film()?;
        if minds_memory {
            let longest = film.takes.iter().map(|take| take.frames).max();
            memory_plan::check(model, &plan, longest.unwrap_or(0))?;
        }
        let frames = film.reel.frames();
        let recipe = recipe::recipe(&request, &plan, about, &finish, &task, &film);
        let mut clip = Clip::open(&request, plan.rates.file, frames, recipe, sound.as_ref())?;
        let mut pace = Pace::new(film.takes.iter().map(|take| take.frames).sum());
        let made = kinora_pipeline::make(
            model,
            film,
            device,
            kept.as_mut().map(|kept| &mut kept.session),
            |event| {
                let (stage, fraction, left) = pace.update(event);
                progress.show(stage, fraction, left);
                !interrupt::requested()
            },
            |frame| match interrupt::requested() {
                true => Err(kinora_pipeline::Error::Stopped),
                false => Ok(clip.push(frame)?),
            },
        )?;
        progress.show("writing", 1.0, None);
        Ok((made, clip.finish()?))
    })();
    drop(progress);
    let (made, written) = match made {
        Ok(made) => made,
        Err(error) => return Err(cut_off(kept, error, global)),
    };
    if let Some(kept) = kept {
        kept.session.remove()?;
    }

    let outcome = Outcome {
        request: &request,
        plan: &plan,
        about,
        finish: &finish,
        written: &written,
        sound: sound.as_ref(),
        load_time,
        stage_times: made.times,
        total_time: started.elapsed(),
    };
    match (request.json, global.quiet) {
        (true, _) => output::print(&outcome.to_json().to_string()),
        (false, false) => output::print(&outcome.to_text()),
        (false, true) => Ok(()),
    }
}

/// The networks that made frames go through on their way into the file: those that have something to do.
fn finish(request: &Request, plan: &Plan, about: &Description, device: &Device) -> Result<Finish> {
    let pixels = |[width, height]: [usize; 2]| width * height;
    let grows = pixels(request.size.map(|side| side as usize)) > pixels(plan.native_size);
    let upscales = request.upscales && grows;
    let interpolates =
        request.interpolates && !request.task.is_picture() && plan.rates.model != plan.rates.file;
    Ok(Finish {
        upscaler: upscales.then(|| weights::upscaler(device)).transpose()?,
        source: about.frames,
        interpolator: interpolates
            .then(|| weights::interpolator(device))
            .transpose()?,
        device: device.clone(),
    })
}

/// What becomes of a session when the work ends with an error: finished windows are kept, unless they would lead to the
/// same error again.
fn cut_off(kept: Option<Kept>, error: anyhow::Error, global: &Global) -> anyhow::Error {
    use kinora_pipeline::Error as Pipeline;
    let pipeline = error.downcast_ref::<Pipeline>();
    let stopped = matches!(pipeline, Some(Pipeline::Stopped));
    let hopeless = matches!(
        pipeline,
        Some(Pipeline::NotANumber { .. } | Pipeline::FlatFrame { .. })
    );
    let Some(Kept { told, session, .. }) = kept else {
        return if stopped { Stopped.into() } else { error };
    };
    let done = keep::progress(session.windows(), session.steps()).filter(|_| !hopeless);
    let Some(done) = done else {
        // The first error is the one to tell.
        let _ = session.remove();
        return if stopped { Stopped.into() } else { error };
    };
    if stopped {
        return StoppedInSession { told, done }.into();
    }
    let is_damaged = matches!(pipeline, Some(Pipeline::SessionDamaged { .. }));
    if !global.quiet && !is_damaged {
        eprintln!(
            "kept: {done}; the same command goes on from there, as does `kinora resume {told}`"
        );
    }
    error
}
