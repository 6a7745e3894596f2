//! What was made, for people and for programs.

use std::time::Duration;

use kinora_media::Written;
use kinora_models::Description;
use kinora_pipeline::{Finish, StageTimes};
use serde_json::{Value, json};

use super::plan::Plan;
use super::recipe::{decimal, rate};
use super::request::Request;
use super::sound::Sound;
use crate::{memory, output};

/// A clip that was made.
pub(crate) struct Outcome<'a> {
    pub(crate) request: &'a Request,
    pub(crate) plan: &'a Plan,
    pub(crate) about: &'a Description,
    pub(crate) finish: &'a Finish,
    pub(crate) written: &'a Written,
    pub(crate) sound: Option<&'a Sound>,
    pub(crate) load_time: Duration,
    pub(crate) stage_times: StageTimes,
    pub(crate) total_time: Duration,
}

impl Outcome<'_> {
    /// Each stage with the time that it took.
    fn times(&self) -> [(&'static str, Duration); 8] {
        [
            ("load", self.load_time),
            ("text", self.stage_times.text),
            ("sampling", self.stage_times.sampling),
            ("decode", self.stage_times.decode),
            ("between", self.stage_times.between),
            ("enlarge", self.stage_times.enlarge),
            ("output", self.stage_times.output),
            ("total", self.total_time),
        ]
    }

    fn duration_secs(&self) -> f64 {
        self.plan.rates.file.duration_secs(self.written.frames)
    }

    /// One object that holds everything.
    pub(crate) fn to_json(&self) -> Value {
        let Self {
            request,
            plan,
            about,
            finish,
            written,
            ..
        } = self;
        let times: serde_json::Map<String, Value> = self
            .times()
            .into_iter()
            .map(|(stage, time)| {
                (
                    stage.to_owned(),
                    json!((time.as_secs_f64() * 1e3).round() / 1e3),
                )
            })
            .collect();
        json!({
            "file": written.path.display().to_string(),
            "preview": request.preview.as_ref().map(|preview| preview.display().to_string()),
            "bytes": written.bytes,
            "task": request.task.name(),
            "prompt": request.prompt,
            "asked": request.asked.as_ref().unwrap_or(&request.prompt),
            "negative": request.negative,
            "seed": request.sampling.seed,
            "sampler": request.sampling.sampler.name(),
            "steps": request.sampling.steps,
            "guidance": decimal(request.sampling.guidance),
            "guidance_2": request.sampling.guidance_below.map(|below| decimal(below.guidance)),
            "shift": decimal(request.sampling.shift),
            "size": request.size,
            "native_size": plan.native_size,
            "native_fps": rate(plan.rates.model),
            "upscaler": finish.upscaler.as_ref().map(|network| network.name()),
            "interpolator": finish.interpolator.as_ref().map(|network| network.name()),
            "fps": rate(plan.rates.file),
            "frames": written.frames,
            "seconds": self.duration_secs(),
            "sound": self.sound.map(|sound| sound.clip.display().to_string()),
            "model": about.name,
            "model_hash": about.hash,
            "times_secs": times,
            "peak_memory_bytes": memory::peak_bytes(),
        })
    }

    /// A few lines.
    pub(crate) fn to_text(&self) -> String {
        let Self {
            request,
            plan,
            written,
            ..
        } = self;
        let [width, height] = request.size;
        let [native_width, native_height] = plan.native_size;
        let times: Vec<String> = self
            .times()
            .into_iter()
            .map(|(stage, time)| format!("{stage} {:.1} s", time.as_secs_f64()))
            .collect();
        let peak = memory::peak_bytes().map_or_else(String::new, |peak| {
            format!("; peak memory {}", output::bytes(peak))
        });
        let preview = request
            .preview
            .as_ref()
            .map_or_else(String::new, |preview| {
                format!("\n  preview  {}", preview.display())
            });
        let sound = self.sound.map_or_else(String::new, |sound| {
            format!("\n  sound    of {}", sound.clip.display())
        });
        format!(
            "{}\n  clip     {:.2} s, {} frames at {} frames/s, {width}x{height} (from {native_width}x{native_height} at {}), {}\
             {sound}{preview}\n  seed     {} (--seed {} makes it again)\n  times    {}{peak}",
            written.path.display(),
            self.duration_secs(),
            written.frames,
            plan.rates.file,
            plan.rates.model,
            output::bytes(written.bytes),
            request.sampling.seed,
            request.sampling.seed,
            times.join(", "),
        )
    }
}
