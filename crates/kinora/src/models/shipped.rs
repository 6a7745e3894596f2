//! The model inside the program.

use anyhow::Result;
use burn::module::Module;
use burn::tensor::Device;
use kinora_models::VideoModel;
use kinora_models::mini::Mini;
use kinora_models::mini::lexicon::Entry;
use serde_json::{Value, json};

use crate::output;
use crate::weights::{self, MINI, MINI_LICENCE, ModelSource};

/// The model, after its hash was checked.
pub(super) fn load() -> Result<Mini> {
    weights::load_mini(&ModelSource::Embedded, &Device::flex())
}

/// What it is, for programs.
pub(super) fn to_json(model: &Mini) -> Value {
    let about = model.description();
    json!({
        "name": MINI,
        "version": about.name,
        "sha256": about.hash,
        "sizes": model.config().sizes,
        "fps": about.frames_per_second,
        "parameters": model.networks().num_params(),
        "subjects": nameable(model).count(),
        "licence": MINI_LICENCE,
    })
}

/// What it is, for people.
pub(super) fn to_text(model: &Mini) -> String {
    let about = model.description();
    let sizes = model.config().sizes.iter();
    let sizes: Vec<String> = sizes.map(|[w, h]| format!("{w}x{h}")).collect();
    format!(
        "{MINI} ({})\n  parameters  {:.1} million\n  makes       {} at {} frames/s\n  knows       {} subjects by name\n  licence     {MINI_LICENCE}\n  sha256      {}",
        about.name,
        model.networks().num_params() as f64 / 1e6,
        sizes.join(", "),
        about.frames_per_second,
        nameable(model).count(),
        about.hash,
    )
}

/// Lists what the model knows by name, one a line.
pub(super) fn subjects(model: &Mini, json: bool) -> Result<()> {
    if json {
        let entries: Vec<&Entry> = nameable(model).collect();
        return output::print(&serde_json::to_string_pretty(&entries)?);
    }
    let names: Vec<&str> = nameable(model).map(|entry| entry.name.as_str()).collect();
    output::print(&names.join("\n"))
}

/// Subjects that a prompt can call by their own name: "beach" is a place and no umbrella.
fn nameable(model: &Mini) -> impl Iterator<Item = &Entry> {
    let lexicon = model.lexicon();
    let is_called = |(id, entry): &(usize, &Entry)| lexicon.find(&entry.name) == [*id];
    let entries = lexicon.entries().iter().enumerate();
    entries.filter(is_called).map(|(_, entry)| entry)
}
