//! Whether a clip fits into memory is settled before hours of work, not after them.

use anyhow::{Result, bail};
use kinora_models::{StageMemory, VideoModel};

use super::plan::Plan;
use crate::weights::MINI;
use crate::{memory, output};

/// What the system and this program need beside the model.
const RESERVE: u64 = 256 << 20;
/// Sides of the sizes that are tried, as parts of the one that was asked for.
const SMALLER: [f64; 6] = [0.85, 0.7, 0.6, 0.5, 0.4, 0.3];

/// Bytes that the stages of a model may take, where the system tells.
pub(crate) fn free_for_models() -> Option<u64> {
    memory::available_bytes().map(|free| free.saturating_sub(RESERVE))
}

/// # Errors
///
/// A stage needs more memory than is free; says what needs less.
pub(crate) fn check<M: VideoModel>(model: &M, plan: &Plan, frames: usize) -> Result<()> {
    let stages = model.memory(plan.native_size, frames);
    for stage in &stages {
        tracing::info!(
            stage = stage.stage,
            weights = output::bytes(stage.weights),
            working = output::bytes(stage.working),
            "memory"
        );
    }
    let Some(free) = memory::available_bytes() else {
        return Ok(());
    };
    let Some(largest) = largest(&stages) else {
        return Ok(());
    };
    if fits(largest, free) {
        // Half of what no stage needs may hold weights in the form that products take; the rest is for the pages of their files.
        let spare = free - largest.total() - RESERVE;
        kinora_kernels::cpu::limit_packed(usize::try_from(spare / 2).unwrap_or(usize::MAX));
        return Ok(());
    }
    bail!(
        "{} needs about {} of memory at the stage '{}', but {} are free: {}, or begin anyway with --ignore-memory",
        model.description().name,
        output::bytes(largest.total()),
        largest.stage,
        output::bytes(free),
        advice(model, plan, frames, free),
    )
}

/// A clip that fits.
fn advice<M: VideoModel>(model: &M, plan: &Plan, frames: usize, free: u64) -> String {
    let fitting = |size: [usize; 2], frames: usize| {
        let stages = model.memory(size, frames);
        stages.iter().all(|stage| fits(stage, free))
    };
    let stride = 2 * model.description().spatial_stride;
    let smaller = SMALLER.into_iter().find_map(|part| {
        let side = |side: usize| ((side as f64 * part) as usize / stride).max(1) * stride;
        let size = plan.native_size.map(side);
        fitting(size, frames).then_some(size)
    });
    match smaller {
        Some([width, height]) => format!("--size {width}x{height} fits, or fewer --seconds may"),
        None if fitting(plan.native_size, 1) => "a single picture fits (-o NAME.jpg)".to_owned(),
        None => format!("no clip of this model fits, {MINI} needs less than half a GiB"),
    }
}

fn largest(stages: &[StageMemory]) -> Option<&StageMemory> {
    stages.iter().max_by_key(|stage| stage.total())
}

fn fits(stage: &StageMemory, free: u64) -> bool {
    stage.total().saturating_add(RESERVE) <= free
}

/// Each stage on a line, for people.
pub(crate) fn to_text(stages: &[StageMemory]) -> String {
    let lines: Vec<String> = stages
        .iter()
        .map(|stage| {
            format!(
                "{:8} {} ({} of weights)",
                stage.stage,
                output::bytes(stage.total()),
                output::bytes(stage.weights)
            )
        })
        .collect();
    lines.join("\n              ")
}

/// Whether all fits, for people.
pub(crate) fn verdict(stages: &[StageMemory]) -> String {
    match (memory::available_bytes(), largest(stages)) {
        (Some(free), Some(stage)) if fits(stage, free) => {
            format!("{} are free: it fits", output::bytes(free))
        }
        (Some(free), Some(_)) => format!("{} are free: it does not fit", output::bytes(free)),
        _ => "this system does not tell what is free".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_stage_decides() {
        let stage = |stage, weights| StageMemory {
            stage,
            weights,
            working: 1 << 20,
        };
        let stages = [stage("text", 3 << 30), stage("sampling", 5 << 30)];
        let largest = largest(&stages).unwrap();
        assert_eq!(largest.stage, "sampling");
        assert!(fits(largest, 6 << 30) && !fits(largest, 5 << 30));
        assert!(to_text(&stages).contains("sampling 5.0 GiB (5.0 GiB of weights)"));
    }
}
