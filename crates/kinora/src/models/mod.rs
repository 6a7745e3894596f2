//! `kinora models`: what this program can draw with.

mod args;
mod fetched;
mod folder;
mod shipped;

use std::io::{BufRead, IsTerminal, Write};

use anyhow::{Context, Result, bail};
use serde_json::{Value, to_string_pretty};

pub(crate) use args::{LONG_ABOUT, ModelsArgs};

use args::ModelsCommand;

use crate::args::Global;
use crate::hub::Cache;
use crate::weights::{self, ModelSource};
use crate::{output, setup};

/// Does what was asked for.
pub(crate) fn run(args: ModelsArgs, global: &Global) -> Result<()> {
    match args.command {
        None if args.subjects => shipped::subjects(&shipped::load()?, args.json),
        None => list(args.json),
        Some(ModelsCommand::List { json }) => list(json),
        Some(ModelsCommand::Info { model, json }) => info(&model, json),
        Some(ModelsCommand::Pull {
            repository,
            accept_licence,
        }) => fetched::pull(&repository, accept_licence, global),
        Some(ModelsCommand::Rm { repository, yes }) => fetched::remove(&repository, yes),
    }
}

/// The model that ships, then what was fetched.
fn list(json: bool) -> Result<()> {
    let model = shipped::load()?;
    let cached = Cache::new(setup::hub()?.cache).list()?;
    if json {
        let mut models = vec![shipped::to_json(&model)];
        models.extend(cached.iter().map(fetched::to_json));
        return output::print(&to_string_pretty(&Value::Array(models))?);
    }
    let mut models = vec![shipped::to_text(&model)];
    models.extend(cached.iter().map(fetched::to_text));
    output::print(&models.join("\n"))
}

fn info(source: &ModelSource, json: bool) -> Result<()> {
    let (name, path) = match source {
        ModelSource::Path(path) if path.is_dir() => (path.display().to_string(), path.clone()),
        ModelSource::Path(path) if !path.exists() => match weights::cached(path)? {
            Some((repository, folder)) => (repository.to_string(), folder),
            None => bail!("there is no model {}: check the name", path.display()),
        },
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

/// Asks on the terminal; without one, says which option answers.
fn confirm(question: &str, option: &str) -> Result<bool> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        bail!("{question} There is no terminal to ask on: add {option} to say yes");
    }
    eprint!("{question} [y/N] ");
    std::io::stderr().flush().context("cannot ask")?;
    let mut answer = String::new();
    stdin
        .lock()
        .read_line(&mut answer)
        .context("cannot read the answer")?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}
