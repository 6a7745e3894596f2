//! `kinora evaluate`: a model in figures and pictures.

use std::sync::Arc;

use anyhow::Result;
use kinora_data::Pack;
use kinora_models::VideoModel;
use kinora_pipeline::Sampling;
use kinora_sampling::GuidanceKind;
use kinora_train::classifier;
use kinora_train::evaluate::{EVERYDAY_PROMPTS, EvaluateOptions, EvaluateProgress, evaluate};

use crate::args::{EvaluateArgs, Global};
use crate::error::Stopped;
use crate::progress::Progress;
use crate::{interrupt, output, weights};

/// Share of the work that is done when a stage begins, and its name.
const STAGES: [(f64, &str); 6] = [
    (0.0, "pixels"),
    (0.05, "judges"),
    (0.1, "paths"),
    (0.2, "clips"),
    (0.5, "given frames"),
    (0.85, "sheet"),
];

/// Measures the model and writes the report.
pub(crate) fn run(args: &EvaluateArgs, global: &Global) -> Result<()> {
    let device = args.device.open()?;
    interrupt::install()?;
    let model = weights::load_mini(&args.model, &device)?;
    let judges = classifier::load(&args.judges, &device)?;
    let pack = Arc::new(Pack::open(&args.pack)?);
    let defaults = &model.description().defaults;
    let options = EvaluateOptions {
        model: &model,
        judges: &judges,
        pack: &pack,
        clips: args.clips as usize,
        task_clips: args.task_clips as usize,
        paths: args.paths as usize,
        drift_secs: args.drift_seconds,
        long_clips: args.long_clips as usize,
        prompts: &EVERYDAY_PROMPTS,
        sampling: Sampling {
            sampler: defaults.sampler,
            seed: args.seed,
            steps: args.steps.unwrap_or(defaults.steps),
            guidance: args.guidance.unwrap_or(defaults.guidance),
            guidance_below: None,
            guidance_kind: GuidanceKind::Cfg,
            guidance_above: args.guidance_above.unwrap_or(defaults.guidance_above),
            step_cache: None,
            shift: args.shift.unwrap_or(defaults.shift),
        },
        out: &args.out,
    };
    let mut progress = Progress::start(global, STAGES[0].1);
    let report = evaluate(&options, &device, |at| {
        let (stage, done, total) = match at {
            EvaluateProgress::Autoencoder => (0, 0, 1),
            EvaluateProgress::Ceiling { done, total } => (1, done, total),
            EvaluateProgress::Paths => (2, 0, 1),
            EvaluateProgress::Clips { done, total } => (3, done, total),
            EvaluateProgress::Tasks { done, total } => (4, done, total),
            EvaluateProgress::Sheet { done, total } => (5, done, total),
        };
        let (from, name) = STAGES[stage];
        let to = STAGES.get(stage + 1).map_or(1.0, |next| next.0);
        let within = done as f64 / total.max(1) as f64;
        progress.show(name, from + (to - from) * within, None);
        !interrupt::requested()
    });
    drop(progress);
    let report = match report {
        Err(kinora_train::Error::Stopped) => return Err(Stopped.into()),
        other => other?,
    };
    if args.json {
        return output::print(&serde_json::to_string_pretty(&report)?);
    }
    output::print(&report.to_markdown())
}
