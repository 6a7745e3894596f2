//! A folder with weights of Wan.

use kinora_models::wan::{Folder, memory};
use kinora_models::{KnownFrames, Shown, Sizes, StageMemory};
use serde_json::{Value, json};

use crate::generate::memory_plan;
use crate::output;

/// What each stage of a clip as long as it makes needs here.
fn stages(folder: &Folder) -> Vec<StageMemory> {
    let defaults = folder.defaults();
    let free = memory_plan::free_for_models();
    memory::stages(folder, defaults.size, defaults.frames, free)
}

/// What a folder makes, for programs.
pub(super) fn to_json(name: &str, folder: &Folder) -> Value {
    let defaults = folder.defaults();
    let parts: serde_json::Map<String, Value> = folder
        .parts
        .iter()
        .map(|part| {
            let about = json!({ "parameters": part.elements, "bytes": part.bytes });
            (part.name.to_owned(), about)
        })
        .collect();
    let stages = stages(folder);
    let stages: Vec<Value> = stages
        .iter()
        .map(|stage| {
            json!({ "stage": stage.stage, "weights": stage.weights, "working": stage.working })
        })
        .collect();
    json!({
        "name": name,
        "mark": folder.mark,
        "parts": parts,
        "fps": folder.frames_per_second(),
        "max_frames": folder.max_frames(),
        "takes": takes(folder),
        "sampler": defaults.sampler.name(),
        "steps": defaults.steps,
        "guidance": defaults.guidance,
        "shift": defaults.shift,
        "size": defaults.size,
        "memory": stages,
    })
}

/// What may be given of a clip.
fn takes(folder: &Folder) -> &'static str {
    match folder.known_frames() {
        KnownFrames::None => "words",
        KnownFrames::First => "words, or words and a first picture",
        KnownFrames::Any => "words, and any frames",
        KnownFrames::Shown(Shown::First) => "words and a first picture",
        KnownFrames::Shown(Shown::FirstAndMaybeLast) => {
            "words and a first picture, or a first and a last"
        }
        KnownFrames::Shown(Shown::FirstAndLast) => "words, a first picture and a last",
        KnownFrames::Shown(Shown::Any) => "words, any frames, regions and reference pictures",
    }
}

/// What a folder makes, for people.
pub(super) fn to_text(name: &str, folder: &Folder) -> String {
    let defaults = folder.defaults();
    let [width, height] = defaults.size;
    let sizes = match folder.sizes() {
        Sizes::Multiples { of, area } => {
            format!(
                "sides that are multiples of {of}, up to {area} pixels; {width}x{height} if nothing is said"
            )
        }
        Sizes::Listed(sizes) => format!("{sizes:?}"),
    };
    let parts: Vec<String> = folder
        .parts
        .iter()
        .map(|part| {
            format!(
                "{} {:.2} billion ({})",
                part.name,
                part.elements as f64 / 1e9,
                output::bytes(part.bytes)
            )
        })
        .collect();
    let fps = folder.frames_per_second();
    let stages = stages(folder);
    format!(
        "{name}\n  parameters  {}\n  makes       up to {} frames at {fps} frames/s ({:.1} s), {sizes}\n  takes       {}\n  settings    {}, {} \
         steps, guidance {}, shift {}\n  memory      {}\n              for a clip as long as it makes, at {width}x{height}; {}\n  mark        {}",
        parts.join(", "),
        folder.max_frames(),
        folder.max_frames() as f64 / fps as f64,
        takes(folder),
        defaults.sampler,
        defaults.steps,
        defaults.guidance,
        defaults.shift,
        memory_plan::to_text(&stages),
        memory_plan::verdict(&stages),
        folder.mark,
    )
}
