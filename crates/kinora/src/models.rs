//! `kinora models`: what this program can draw with.

use anyhow::Result;
use burn::module::Module;
use burn::tensor::Device;
use kinora_models::VideoModel;
use serde_json::json;

use crate::args::ModelsArgs;
use crate::output;
use crate::weights::{self, MINI, MINI_LICENCE, ModelSource};

/// Lists the models.
pub(crate) fn run(args: &ModelsArgs) -> Result<()> {
    let model = weights::load(&ModelSource::Embedded, &Device::flex())?;
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
        "{MINI} ({})\n  parameters  {:.1} million\n  makes       {} at {} frames/s\n  licence     {MINI_LICENCE}\n  sha256      {}",
        about.name,
        parameters as f64 / 1e6,
        sizes.join(", "),
        about.frames_per_second,
        about.hash,
    ))
}
