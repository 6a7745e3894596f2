//! `kinora resume`: what was cut off, and how to go on with it.

use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::Parser;
use kinora_pipeline::{Found, Session, sessions};
use serde_json::{Value, json};

use crate::args::{Cli, Global, ResumeArgs};
use crate::generate::{About, about, default_dir, find, kept_progress};
use crate::output;

/// Letters of a session's name that are shown.
const SHOWN_LETTERS: usize = 8;

/// Lists sessions, goes on with one, or removes one.
pub(crate) fn run(args: &ResumeArgs, global: &Global) -> Result<()> {
    let folder = match &args.session_dir {
        Some(folder) => std::path::absolute(folder).context("the current folder is gone")?,
        None => default_dir()?,
    };
    let found = sessions(&folder)?;
    match (&args.id, &args.remove) {
        (Some(id), _) => go_on(&find(found, id)?, &folder, global),
        (None, Some(id)) => {
            let found = find(found, id)?;
            Session::open(&folder, &found.id, "")?.remove()?;
            output::print(&format!("removed {}", found.id))
        }
        (None, None) if args.json => {
            let all: Vec<Value> = found.iter().map(to_json).collect();
            output::print(&serde_json::to_string_pretty(&all)?)
        }
        (None, None) if found.is_empty() => output::print("nothing was cut off"),
        (None, None) => {
            let all: Vec<String> = found.iter().map(to_text).collect();
            output::print(&all.join("\n"))
        }
    }
}

/// Runs the command of a session again, where it was typed, with its seed.
fn go_on(found: &Found, folder: &Path, global: &Global) -> Result<()> {
    let Some(about) = about(found) else {
        bail!(
            "session {0} is of another version of Kinora: give its command again, or remove it with \
             `kinora resume --remove {0}`",
            found.id
        );
    };
    std::env::set_current_dir(&about.folder).with_context(|| {
        format!(
            "cannot go to {}, where the clip was begun",
            about.folder.display()
        )
    })?;
    let program = std::iter::once("kinora".to_owned());
    let Cli { mut command, .. } = Cli::try_parse_from(program.chain(about.command))?;
    let make = command
        .make_mut()
        .with_context(|| format!("session {} holds no command that makes a clip", found.id))?;
    make.seed = Some(about.seed);
    make.caption = about.asked.is_some().then_some(about.prompt);
    make.output = Some(about.output);
    make.session_dir = Some(folder.to_owned());
    make.session = Some(found.id.clone());
    crate::dispatch(command, global)
}

fn to_text(found: &Found) -> String {
    let id = &found.id[..SHOWN_LETTERS.min(found.id.len())];
    let state = if found.is_open {
        ", being made now"
    } else {
        ""
    };
    match about(found) {
        Some(About {
            verb,
            prompt,
            output,
            ..
        }) => format!(
            "{id}  {verb}: {}\n          {} of {}{state}",
            output::harmless(&prompt),
            kept_progress(found.windows, found.steps).unwrap_or_else(|| "nothing".into()),
            output.display()
        ),
        None => format!("{id}  of another version of Kinora"),
    }
}

fn to_json(found: &Found) -> Value {
    let about = about(found);
    json!({
        "id": found.id,
        "windows": found.windows,
        "steps": found.steps,
        "is_open": found.is_open,
        "verb": about.as_ref().map(|about| &about.verb),
        "prompt": about.as_ref().map(|about| &about.prompt),
        "seed": about.as_ref().map(|about| about.seed),
        "file": about.as_ref().map(|about| about.folder.join(&about.output)),
        "command": about.as_ref().map(|about| &about.command),
    })
}
