//! `kinora models`: what this program can draw with.

mod args;
mod folder;
mod shipped;

use anyhow::{Result, bail};
use serde_json::{Value, to_string_pretty};

pub(crate) use args::ModelsArgs;

use args::ModelsCommand;

use crate::output;
use crate::weights::{self, ModelSource};

/// Does what was asked for.
pub(crate) fn run(args: &ModelsArgs) -> Result<()> {
    match &args.command {
        None if args.subjects => shipped::subjects(&shipped::load()?, args.json),
        None => list(args.json),
        Some(ModelsCommand::List { json }) => list(*json),
        Some(ModelsCommand::Info { model, json }) => info(model, *json),
    }
}

/// The model that ships.
fn list(json: bool) -> Result<()> {
    let model = shipped::load()?;
    if json {
        let models = Value::Array(vec![shipped::to_json(&model)]);
        return output::print(&to_string_pretty(&models)?);
    }
    output::print(&shipped::to_text(&model))
}

fn info(source: &ModelSource, json: bool) -> Result<()> {
    let (name, path) = match source {
        ModelSource::Path(path) if path.is_dir() => (path.display().to_string(), path.clone()),
        ModelSource::Path(path) if !path.exists() => {
            bail!("there is no model {}: check the name", path.display())
        }
        ModelSource::Path(path) => bail!(
            "{} is a file of kinora-mini: `kinora models info kinora-mini` tells what those make",
            path.display()
        ),
        ModelSource::Embedded => {
            let model = shipped::load()?;
            return match json {
                true => output::print(&to_string_pretty(&shipped::to_json(&model))?),
                false => output::print(&shipped::to_text(&model)),
            };
        }
    };
    let opened = weights::wan_folder(&path)?;
    match json {
        true => output::print(&to_string_pretty(&folder::to_json(&name, &opened))?),
        false => output::print(&folder::to_text(&name, &opened)),
    }
}
