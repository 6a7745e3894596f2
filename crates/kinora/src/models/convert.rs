//! `kinora models convert`: weights in fewer bits, or with adapters merged into them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use kinora_models::wan::weights::{Adapter, convert};
use kinora_models::wan::{AdapterFile, Checkpoint, Experts, Folder, Network};

use super::args::ConvertArgs;
use crate::args::{Global, PartArgs};
use crate::error::Stopped;
use crate::progress::Progress;
use crate::weights::{self, Place};
use crate::{interrupt, output};

/// What a whole model holds beside its networks.
const BESIDE: [&str; 3] = ["model_index.json", "scheduler", "tokenizer"];
/// What those that see pictures hold too.
const EYES: &str = "image_processor";

/// A network to be written.
struct Job {
    checkpoint: Checkpoint,
    file: PathBuf,
}

/// Writes a file, or a folder.
pub(super) fn run(args: &ConvertArgs, global: &Global) -> Result<()> {
    interrupt::install()?;
    let target = &args.target;
    let Place::Wan { path, .. } = weights::find(&args.source)? else {
        bail!(
            "weights of Wan are converted, and these are none: `kinora models` lists what is there"
        );
    };
    if target.exists() {
        if weights_are_in(&path, target) {
            bail!(
                "{} would replace what it is made from: choose another name",
                target.display()
            );
        }
        if !args.force {
            bail!(
                "{} exists: choose another name, or add --force to replace it",
                target.display()
            );
        }
    }
    match path.is_dir() {
        true => folder(&path, args, global)?,
        false => file(&path, args, global)?,
    }
    if global.quiet {
        return Ok(());
    }
    output::print(&format!(
        "{}, {}",
        target.display(),
        output::bytes(size(target)?)
    ))
}

fn file(path: &Path, args: &ConvertArgs, global: &Global) -> Result<()> {
    let target = &args.target;
    if target
        .extension()
        .is_none_or(|ending| ending != "safetensors")
        || target.is_dir()
    {
        bail!(
            "{} is to be a file of safetensors: end its name with .safetensors",
            target.display()
        );
    }
    let checkpoint = Checkpoint::open(path)?;
    let takes_adapters = matches!(
        checkpoint.network(),
        Some(Network::Transformer | Network::Vace)
    );
    if !args.lora.is_empty() && !takes_adapters {
        bail!(
            "{} is no transformer, and --lora changes transformers alone",
            path.display()
        );
    }
    let adapter = |AdapterFile {
                       path,
                       strength,
                       experts,
                   }: &AdapterFile| match experts {
        Experts::All => Ok(Adapter::open(path, *strength)?),
        _ => bail!("a file holds one transformer: leave out high: and low:"),
    };
    let adapters: Vec<Adapter> = args
        .lora
        .iter()
        .map(|lora| adapter(&lora.0))
        .collect::<Result<_>>()?;
    let checkpoint = checkpoint.with_adapters(&adapters)?;
    let file = target.clone();
    write(&[Job { checkpoint, file }], args, global)
}

/// A whole model: text encoder and transformers are converted, all else is copied.
fn folder(path: &Path, args: &ConvertArgs, global: &Global) -> Result<()> {
    if !path.join(BESIDE[0]).is_file() {
        bail!(
            "{} is no folder in the layout of diffusers: convert the weight files in it one by one",
            path.display()
        );
    }
    if args.target.is_file() {
        bail!(
            "{} is a file, and a whole model becomes a folder",
            args.target.display()
        );
    }
    let parts = PartArgs {
        lora: args.lora.clone(),
        ..PartArgs::default()
    };
    let model = weights::wan(path, &parts)?;
    let temporary = beside(&args.target, "tmp");
    if temporary.exists() {
        fs::remove_dir_all(&temporary).with_context(|| failed(&temporary))?;
    }
    let made = whole(&model, path, &temporary, args, global)
        .and_then(|()| replace(&temporary, &args.target));
    if made.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_dir_all(&temporary);
    }
    made
}

/// Gives a finished folder its name. What had that name goes only then, and comes back where that fails.
fn replace(finished: &Path, target: &Path) -> Result<()> {
    if !target.exists() {
        return fs::rename(finished, target).with_context(|| failed(target));
    }
    let old = beside(target, "old");
    fs::rename(target, &old).with_context(|| {
        format!(
            "cannot put {} aside: remove {} if it is there",
            target.display(),
            old.display()
        )
    })?;
    if let Err(error) = fs::rename(finished, target) {
        fs::rename(&old, target).with_context(|| {
            format!(
                "what was in {} is now in {}",
                target.display(),
                old.display()
            )
        })?;
        return Err(error).with_context(|| failed(target));
    }
    fs::remove_dir_all(&old).with_context(|| failed(&old))
}

fn whole(
    model: &Folder,
    from: &Path,
    to: &Path,
    args: &ConvertArgs,
    global: &Global,
) -> Result<()> {
    for name in BESIDE {
        copy(&from.join(name), &to.join(name))?;
    }
    if from.join(EYES).is_dir() {
        copy(&from.join(EYES), &to.join(EYES))?;
    }
    let mut jobs = Vec::new();
    for part in &model.parts {
        let (name, folder) = (part.name, to.join(part.name));
        let (checkpoint, stem) = match name {
            "vae" | "image_encoder" => {
                // Small, and run in f32.
                copy(&part.path, &folder)?;
                continue;
            }
            "text_encoder" => (
                Checkpoint::open_as(&part.path, Network::TextEncoder)?,
                "model",
            ),
            _ => (
                model.weights(name == "transformer_2")?,
                "diffusion_pytorch_model",
            ),
        };
        copy(&part.path.join("config.json"), &folder.join("config.json"))?;
        let file = folder.join(format!("{stem}.safetensors"));
        jobs.push(Job { checkpoint, file });
    }
    write(&jobs, args, global)
}

/// Writes each network, and shows how far it has come.
fn write(jobs: &[Job], args: &ConvertArgs, global: &Global) -> Result<()> {
    let mut progress = Progress::start(global, "converting");
    let started = Instant::now();
    let all: u64 = jobs.iter().map(|job| job.checkpoint.elements()).sum();
    let mut before = 0;
    for Job { checkpoint, file } in jobs {
        let own = checkpoint.elements();
        let converted = convert(checkpoint, args.dtype, file, |done, total| {
            let part = before as f64 + own as f64 * done as f64 / total.max(1) as f64;
            let fraction = part / all.max(1) as f64;
            let elapsed = started.elapsed().as_secs_f64();
            let left = (fraction > 0.01)
                .then(|| Duration::from_secs_f64(elapsed * (1.0 - fraction) / fraction));
            progress.show("converting", fraction, left);
            !interrupt::requested()
        });
        if interrupt::requested() {
            return Err(Stopped.into());
        }
        converted?;
        before += own;
    }
    Ok(())
}

/// Copies a file or a folder; links are followed.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let folder = if from.is_dir() { Some(to) } else { to.parent() };
    if let Some(folder) = folder {
        fs::create_dir_all(folder).with_context(|| failed(folder))?;
    }
    if !from.is_dir() {
        fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
        return Ok(());
    }
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry.with_context(|| format!("cannot read {}", from.display()))?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

/// `NAME.ending`, in the same folder.
fn beside(path: &Path, ending: &str) -> PathBuf {
    // `folder/` and `folder` are the same.
    let mut name = path.components().collect::<PathBuf>().into_os_string();
    name.push(format!(".{ending}"));
    name.into()
}

/// Whether the source is the target, or lies in it.
fn weights_are_in(source: &Path, target: &Path) -> bool {
    matches!((source.canonicalize(), target.canonicalize()), (Ok(source), Ok(target)) if source.starts_with(&target))
}

fn size(path: &Path) -> Result<u64> {
    let about = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    if !about.is_dir() {
        return Ok(about.len());
    }
    let entries = fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
    entries.map(|entry| size(&entry?.path())).sum()
}

fn failed(path: &Path) -> String {
    format!("cannot write {}", path.display())
}
