//! `kinora models`: what this program can draw with.

mod args;
mod convert;
mod fetched;
mod file;
mod folder;
mod shipped;

use std::io::{BufRead, IsTerminal, Write};

use anyhow::{Context, Result, bail};
use serde_json::{Value, to_string_pretty};

pub(crate) use args::{LONG_ABOUT, ModelsArgs};

use args::ModelsCommand;

use crate::args::{Global, PartArgs};
use crate::hub::Cache;
use crate::weights::{self, ModelSource, Place};
use crate::{output, setup};

/// Does what was asked for.
pub(crate) fn run(args: ModelsArgs, global: &Global) -> Result<()> {
    match args.command {
        None if args.subjects => shipped::subjects(&shipped::load()?, args.json),
        None => list(args.json),
        Some(ModelsCommand::List { json }) => list(json),
        Some(ModelsCommand::Info { model, parts, json }) => info(&model, &parts, json),
        Some(ModelsCommand::Convert(args)) => convert::run(&args, global),
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

fn info(source: &ModelSource, parts: &PartArgs, json: bool) -> Result<()> {
    let (about, text) = match (source, weights::find(source)?) {
        (_, Place::Wan { path, name }) if path.is_dir() || parts.first_flag().is_some() => {
            let opened = weights::wan(&path, parts)?;
            (
                folder::to_json(&name, &opened),
                folder::to_text(&name, &opened),
            )
        }
        (_, Place::Wan { path, .. }) => {
            let networks = file::networks(&path)?;
            (
                file::to_json(&path, &networks),
                file::to_text(&path, &networks),
            )
        }
        (ModelSource::Embedded, Place::Mini) => {
            let model = shipped::load()?;
            (shipped::to_json(&model), shipped::to_text(&model))
        }
        (ModelSource::Path(path), Place::Mini) if path.exists() => bail!(
            "{} holds no network of Wan; if it is a file of kinora-mini, `kinora models info kinora-mini` tells what those make",
            path.display()
        ),
        (ModelSource::Path(path), Place::Mini) => {
            bail!("there is no model {}: check the name", path.display())
        }
    };
    match json {
        true => output::print(&to_string_pretty(&about)?),
        false => output::print(&text),
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
