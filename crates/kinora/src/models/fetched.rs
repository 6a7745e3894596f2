//! Models from a hub.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::confirm;
use crate::args::Global;
use crate::error::Paused;
use crate::hub::api::Hub;
use crate::hub::cache::Cached;
use crate::hub::{Cache, Repository, pull};
use crate::progress::Progress;
use crate::{interrupt, output, setup};

/// Fetches a model after its licence was shown.
pub(super) fn pull(repository: &Repository, accept_licence: bool, global: &Global) -> Result<()> {
    let settings = setup::hub()?;
    if settings.is_offline {
        bail!("HF_HUB_OFFLINE forbids the network: unset it to fetch {repository}");
    }
    interrupt::install()?;
    let hub = Hub::new(&settings.endpoint, settings.token);
    let cache = Cache::new(settings.cache);
    let offer = pull::offer(&hub, repository)?;
    let (files, total) = (offer.files.len(), offer.bytes());
    let licence = offer
        .about
        .licence
        .as_deref()
        .unwrap_or("none that it names");
    let terms = format!(
        "{repository}\n  licence  {}\n  terms    {}/{repository}\n  size     {} in {files} files\n  to       {}",
        output::harmless(licence),
        settings.endpoint.trim_end_matches('/'),
        output::bytes(total),
        cache.folder(repository).display()
    );
    if !global.quiet || !accept_licence {
        eprintln!("{terms}");
    }
    if !accept_licence && !confirm("Fetch it under this licence?", "--accept-licence")? {
        bail!("nothing was fetched");
    }

    let mut progress = Progress::start(global, "fetching");
    let started = Instant::now();
    let (mut done, mut came) = (0, 0);
    let folder = pull::pull(&hub, &cache, repository, &offer, |bytes| {
        // What an earlier try left is told at once and is no measure of the network.
        done += bytes;
        came += if started.elapsed() < Duration::from_millis(50) {
            0
        } else {
            bytes
        };
        let left = (total.saturating_sub(done)) as f64 * started.elapsed().as_secs_f64();
        let left = (came > 0).then(|| Duration::from_secs_f64(left / came as f64));
        progress.show("fetching", done as f64 / total.max(1) as f64, left);
        match interrupt::requested() {
            true => Err(Paused.into()),
            false => Ok(()),
        }
    })?;
    drop(progress);
    match global.quiet {
        true => Ok(()),
        false => output::print(&format!(
            "{}\n  {} is there: kinora generate \"a koala waves\" --model {repository}",
            folder.display(),
            output::bytes(total)
        )),
    }
}

/// Removes a model after it was asked for twice.
pub(super) fn remove(repository: &Repository, yes: bool) -> Result<()> {
    let cache = Cache::new(setup::hub()?.cache);
    let found = cache
        .list()?
        .into_iter()
        .find(|cached| cached.repository == *repository);
    if let Some(found) = &found {
        let question = format!(
            "Remove {repository} ({}) from {}?",
            output::bytes(found.bytes),
            cache.root().display()
        );
        if !yes && !confirm(&question, "--yes")? {
            bail!("nothing was removed");
        }
    }
    cache.remove(repository)?;
    let freed = found.map_or(0, |found| found.bytes);
    output::print(&format!("removed {repository}, {}", output::bytes(freed)))
}

/// What is in the cache, for programs.
pub(super) fn to_json(cached: &Cached) -> Value {
    json!({
        "name": cached.repository.to_string(),
        "bytes": cached.bytes,
        "complete": cached.snapshot.is_some(),
        "folder": cached.snapshot.as_ref().map(|folder| folder.display().to_string()),
    })
}

/// What is in the cache, for people.
pub(super) fn to_text(cached: &Cached) -> String {
    let Cached {
        repository, bytes, ..
    } = cached;
    let bytes = output::bytes(*bytes);
    match &cached.snapshot {
        Some(folder) => format!(
            "{repository}\n  size        {bytes}\n  folder      {}",
            folder.display()
        ),
        None => format!(
            "{repository}\n  size        {bytes}, not complete: `kinora models pull {repository}` goes on"
        ),
    }
}
