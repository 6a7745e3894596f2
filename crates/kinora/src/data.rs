//! `kinora data`: packs of subjects, and scenes rendered from them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use kinora_data::{Pack, PackOptions, SceneSpec, Split, contact_sheet};

use crate::args::{DataCommand, Global, ListArgs, PackArgs, RenderArgs};
use crate::output;
use crate::progress::Progress;

/// Frames of each scene on a sheet, and the time between them.
const COLUMNS: usize = 6;
const STEP_SECS: f32 = 0.5;
/// Widest and highest frame on a sheet, in pixels.
const FRAME_SIDE: usize = 176;

/// Does what was asked for.
pub(crate) fn run(command: &DataCommand, global: &Global) -> Result<()> {
    match command {
        DataCommand::Pack(args) => pack(args, global),
        DataCommand::Render(args) => render(args, global),
        DataCommand::List(args) => list(args),
    }
}

fn pack(args: &PackArgs, global: &Global) -> Result<()> {
    refuse_existing(&args.out_file, args.force)?;
    let options = PackOptions {
        sprite_size: args.sprite_size,
        max_frames: args.max_frames,
        fps: args.fps.into(),
        stills: args.stills,
        compress: args.compress,
        only: Vec::new(),
    };
    let mut progress = Progress::start(global, "packing");
    let summary = kinora_data::pack(&args.source_dir, &args.out_file, &options, |done, total| {
        progress.show("packing", done as f64 / total.max(1) as f64, None);
    })?;
    drop(progress);
    tell(global, || {
        let (file, size) = (args.out_file.display(), output::bytes(summary.bytes));
        format!(
            "{file}\n  {} subjects, {} frames, {size}",
            summary.subjects, summary.frames
        )
    })
}

fn render(args: &RenderArgs, global: &Global) -> Result<()> {
    refuse_existing(&args.output, args.force)?;
    let split = if args.held_out {
        Split::HeldOut
    } else {
        Split::Train
    };
    let pack = open(args.pack.as_deref())?;
    let seeds = (0..args.count).map(|i| args.seed.wrapping_add(i));
    let scenes: Vec<SceneSpec> = seeds
        .map(|seed| SceneSpec::sample(seed, &pack, split))
        .collect();
    let progress = Progress::start(global, "rendering");
    write_whole(&args.output, |path| {
        Ok(contact_sheet(
            &pack, &scenes, COLUMNS, STEP_SECS, FRAME_SIDE, path,
        )?)
    })?;
    drop(progress);
    tell(global, || args.output.display().to_string())
}

fn list(args: &ListArgs) -> Result<()> {
    let pack = open(args.pack.as_deref())?;
    let lines: Vec<String> = pack
        .entries()
        .iter()
        .map(|entry| format!("{}\t{}\t{}", entry.id, entry.name_en, entry.name_zh))
        .collect();
    output::print(&lines.join("\n"))
}

fn open(path: Option<&Path>) -> Result<Pack> {
    Ok(path.map_or_else(|| Ok(Pack::sample()), Pack::open)?)
}

fn tell(global: &Global, text: impl Fn() -> String) -> Result<()> {
    if global.quiet {
        Ok(())
    } else {
        output::print(&text())
    }
}

fn refuse_existing(path: &Path, force: bool) -> Result<()> {
    if path.exists() && !force {
        bail!(
            "{} already exists: choose another name, or pass --force to replace it",
            path.display()
        );
    }
    Ok(())
}

/// Lets `write` fill a hidden file beside `path`, which takes its name once it is whole.
fn write_whole(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let extension = path
        .extension()
        .map(|extension| extension.to_ascii_lowercase());
    if !extension
        .is_some_and(|extension| extension == "png" || extension == "jpg" || extension == "jpeg")
    {
        bail!(
            "cannot write {}: end the name with .png or .jpg",
            path.display()
        );
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let hidden: PathBuf = path.with_file_name(format!(".kinora-part-{name}"));
    let written = write(&hidden).and_then(|()| {
        std::fs::rename(&hidden, path).with_context(|| format!("cannot write {}", path.display()))
    });
    if written.is_err() {
        // What is left of it is of no use; that it was never made is fine.
        let _ = std::fs::remove_file(&hidden);
    }
    written
}
