//! `kinora models`: what this program can draw with.

use anyhow::Result;
use burn::module::Module;
use burn::tensor::Device;
use kinora_models::VideoModel;
use kinora_models::mini::Mini;
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
            "subjects": model.lexicon().entries().len(),
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
        model.lexicon().entries().len(),
        about.hash,
    ))
}

/// Lists what the model knows by name, one a line.
fn subjects(model: &Mini, json: bool) -> Result<()> {
    let entries = model.lexicon().entries();
    if json {
        return output::print(&serde_json::to_string_pretty(entries)?);
    }
    let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    output::print(&names.join("\n"))
}
