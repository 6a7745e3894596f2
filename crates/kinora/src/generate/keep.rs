//! Sessions: what keeps finished windows until the file is done, and how unfinished work is found again.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use directories::ProjectDirs;
use kinora_kernels::cpu;
use kinora_models::Description;
use kinora_models::weights::sha256;
use kinora_pipeline::{Found, Session, sessions};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::plan::Plan;
use super::recipe::{decimal, rate};
use super::request::{Enhancer, Request};

/// Letters of a session's name.
const ID_LETTERS: usize = 16;

/// What a session says of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct About {
    /// Hash of all that decides the clip but the seed.
    pub(crate) family: String,
    pub(crate) seed: u64,
    /// Whether the seed was drawn, so that the same command without a seed means this clip.
    pub(crate) seed_is_drawn: bool,
    pub(crate) verb: String,
    pub(crate) prompt: String,
    /// What a server completed to it.
    #[serde(default)]
    pub(crate) asked: Option<String>,
    pub(crate) output: PathBuf,
    /// What was typed, without the program's name.
    pub(crate) command: Vec<String>,
    /// Where it was typed.
    pub(crate) folder: PathBuf,
}

/// The session of a clip that is being made.
pub(crate) struct Kept {
    pub(crate) id: String,
    /// The same, as `kinora resume` has to be told.
    pub(crate) told: String,
    pub(crate) session: Session,
}

/// Where sessions are kept when nothing is said.
pub(crate) fn default_dir() -> Result<PathBuf> {
    let dirs = ProjectDirs::from("", "", "kinora").context(
        "this system names no folder for the user's data: choose one with --session-dir",
    )?;
    Ok(dirs.data_dir().join("sessions"))
}

/// What a session in `found` says of itself; `None` if another version wrote it.
pub(crate) fn about(found: &Found) -> Option<About> {
    serde_json::from_str(&found.about).ok()
}

/// Opens the session of `request`, and settles its seed: where any would do and a session of the same command is
/// unfinished, its seed is taken. `None`, with a warning, where the folder for the user's data takes no files.
///
/// # Errors
///
/// A session that another process works on, and a folder of `--session-dir` that takes no files.
pub(crate) fn open(
    request: &mut Request,
    plan: &Plan,
    about: &Description,
    task: &Value,
) -> Result<Option<Kept>> {
    let family = family(request, plan, about, task);
    let opened = match &request.session_dir {
        Some(folder) => {
            let folder = folder.clone();
            let kept = open_in(&folder, request, family)?;
            // Elsewhere it would not be found.
            Kept {
                told: format!("{} --session-dir {}", kept.id, folder.display()),
                ..kept
            }
        }
        None => match default_dir().and_then(|folder| open_in(&folder, request, family)) {
            Err(error) if is_unwritable(&error) => {
                tracing::warn!("{error:#}; without it a cut-off run begins anew");
                return Ok(None);
            }
            opened => opened?,
        },
    };
    Ok(Some(opened))
}

fn is_unwritable(error: &anyhow::Error) -> bool {
    match error.downcast_ref() {
        Some(kinora_pipeline::Error::Session { .. }) => true,
        Some(_) => false,
        None => true,
    }
}

fn open_in(folder: &Path, request: &mut Request, family: String) -> Result<Kept> {
    if request.seed_is_drawn {
        let unfinished = |found: Found| {
            let about = about(&found)?;
            let fits = about.family == family && about.seed_is_drawn && !found.is_open;
            fits.then_some(about.seed)
        };
        if let Some(seed) = sessions(folder)?.into_iter().find_map(unfinished) {
            request.sampling.seed = seed;
        }
    }
    let seed = request.sampling.seed;
    let id = sha256(format!("{family} {seed}").as_bytes())[..ID_LETTERS].to_owned();
    if let Some(expected) = request.session.as_ref().filter(|expected| **expected != id) {
        bail!(
            "session {expected} was begun with another model, version, device or input: its windows cannot be used; \
             remove it with `kinora resume --remove {expected}` and give its command again"
        );
    }
    let about = About {
        family,
        seed,
        seed_is_drawn: request.seed_is_drawn,
        verb: request.task.name().to_owned(),
        prompt: request.prompt.clone(),
        asked: request.asked.clone(),
        output: request.output.clone(),
        command: std::env::args_os()
            .skip(1)
            .map(|argument| argument.to_string_lossy().into_owned())
            .collect(),
        folder: std::env::current_dir().context("the current folder is gone")?,
    };
    let session = Session::open(folder, &id, &serde_json::to_string_pretty(&about)?)?
        .keeping_every(request.save_every);
    Ok(Kept {
        told: id.clone(),
        id,
        session,
    })
}

/// What is kept of a clip, in words; `None` where that is nothing.
pub(crate) fn progress(windows: usize, steps: usize) -> Option<String> {
    let some = |count: usize, what: &str| match count {
        1 => format!("1 finished {what}"),
        count => format!("{count} finished {what}s"),
    };
    match (windows, steps) {
        (0, 0) => None,
        (windows, 0) => Some(some(windows, "window")),
        (0, steps) => Some(some(steps, "step")),
        (windows, steps) => Some(format!(
            "{} and {} of the next",
            some(windows, "window"),
            some(steps, "step")
        )),
    }
}

/// Raised whenever the same model makes other latents of the same request, so that no session goes on with what an older program began.
const SAMPLING: u32 = 3;

/// Hash of all that decides the latents of a clip but its seed.
fn family(request: &Request, plan: &Plan, about: &Description, task: &Value) -> String {
    let decides = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "sampling": SAMPLING,
        "task": task,
        "prompt": request.prompt,
        "enhances": request.enhancer == Enhancer::Model,
        "negative": request.negative,
        "sampler": request.sampling.sampler.name(),
        "steps": request.sampling.steps,
        "guidance": decimal(request.sampling.guidance),
        "guidance_2": request.sampling.guidance_below.map(|below| decimal(below.guidance)),
        "guidance_kind": request.sampling.guidance_kind.name(),
        "guidance_above": decimal(request.sampling.guidance_above),
        "step_cache": request.sampling.step_cache.map(decimal),
        "shift": decimal(request.sampling.shift),
        "size": request.size,
        "native_size": plan.native_size,
        "fps": rate(plan.rates.file),
        "seconds": format!("{:?}", request.task.length()),
        "model": about.hash,
        "device": format!("{:?}", request.device),
        "processor": cpu::level().name(),
    });
    sha256(decides.to_string().as_bytes())
}

/// The session in `found` whose name begins with `id`.
///
/// # Errors
///
/// None of this name, or several.
pub(crate) fn find(found: Vec<Found>, id: &str) -> Result<Found> {
    let mut fitting = found
        .into_iter()
        .filter(|found| !id.is_empty() && found.id.starts_with(id));
    match (fitting.next(), fitting.next()) {
        (Some(found), None) => Ok(found),
        (Some(_), Some(_)) => bail!("several sessions begin with '{id}': give more letters"),
        (None, _) => bail!("no session begins with '{id}': `kinora resume` lists them"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_said_in_words() {
        assert_eq!(progress(0, 0), None);
        assert_eq!(progress(1, 0).unwrap(), "1 finished window");
        assert_eq!(progress(0, 7).unwrap(), "7 finished steps");
        assert_eq!(
            progress(2, 1).unwrap(),
            "2 finished windows and 1 finished step of the next"
        );
    }

    #[test]
    fn the_first_letters_are_enough_if_they_are_no_others() {
        let found = |id: &str| Found {
            id: id.into(),
            about: String::new(),
            windows: 1,
            steps: 0,
            is_open: false,
        };
        let all = || vec![found("abc1"), found("abd2")];
        assert_eq!(find(all(), "abd").unwrap().id, "abd2");
        for (id, reason) in [("ab", "several"), ("x", "no session"), ("", "no session")] {
            assert!(
                find(all(), id).unwrap_err().to_string().contains(reason),
                "{id}"
            );
        }
    }
}
