//! `kinora models`: what this program can draw with.

use anyhow::Result;
use burn::module::Module;
use burn::tensor::Device;
use kinora_models::VideoModel;
use kinora_models::mini::Mini;
use kinora_models::mini::lexicon::Entry;
use serde_json::json;

use crate::args::ModelsArgs;
use crate::output;
use crate::weights::{self, MINI, MINI_LICENCE, ModelSource};

/// Lists the models.
pub(crate) fn run(args: &ModelsArgs) -> Result<()> {
    let model = weights::load(&ModelSource::Embedded, &Device::flex())?;
    if args.subjects {
        return subjects(&model, args.json);
    }
    let about = model.description();
    let parameters = model.networks().num_params();
    if args.json {
        let models = json!([{
            "name": MINI,
            "version": about.name,
            "sha256": about.hash,
            "sizes": about.sizes,
            "fps": about.frames_per_second,
            "parameters": parameters,
            "subjects": nameable(&model).count(),
            "licence": MINI_LICENCE,
        }]);
        return output::print(&serde_json::to_string_pretty(&models)?);
    }
    let sizes: Vec<String> = about
        .sizes
        .iter()
        .map(|[w, h]| format!("{w}x{h}"))
        .collect();
    output::print(&format!(
        "{MINI} ({})\n  parameters  {:.1} million\n  makes       {} at {} frames/s\n  knows       {} subjects by name\n  licence     {MINI_LICENCE}\n  sha256      {}",
        about.name,
        parameters as f64 / 1e6,
        sizes.join(", "),
        about.frames_per_second,
        nameable(&model).count(),
        about.hash,
    ))
}

/// Lists what the model knows by name, one a line.
fn subjects(model: &Mini, json: bool) -> Result<()> {
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
