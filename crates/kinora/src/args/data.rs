//! `kinora data`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// What `kinora data` does.
#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// Pack the fetched emoji packages into one file.
    Pack(PackArgs),
    /// Render captioned scenes of a pack onto a sheet, to look at them.
    Render(RenderArgs),
    /// List the subjects of a pack.
    List(ListArgs),
}

const PACK_EXAMPLES: &str = "\
EXAMPLES:
  scripts/fetch-emoji.sh
  kinora data pack data/emoji data/emoji.pack
  kinora data pack data/emoji small.pack --sprite-size 64 --compress";

/// What `kinora data pack` takes.
#[derive(Debug, Args)]
#[command(after_help = PACK_EXAMPLES)]
pub(crate) struct PackArgs {
    /// Folder with the unpacked packages.
    pub(crate) source_dir: PathBuf,
    /// The pack to write.
    pub(crate) out_file: PathBuf,
    /// Replace the pack if it exists.
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Side of the square sprites in pixels, 16 to 256.
    #[arg(long, value_name = "PIXELS", default_value_t = 96)]
    pub(crate) sprite_size: usize,
    /// Most frames of a subject's own animation, 1 to 128.
    #[arg(long, value_name = "N", default_value_t = 24)]
    pub(crate) max_frames: usize,
    /// Most frames per second of a subject's own animation, 1 to 60.
    #[arg(long, value_name = "FPS", default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..=60))]
    pub(crate) fps: u16,
    /// Also take subjects that have a still but no animation.
    #[arg(long)]
    pub(crate) stills: bool,
    /// Compress the sprites: a smaller file that is slower to open.
    #[arg(long)]
    pub(crate) compress: bool,
}

const RENDER_EXAMPLES: &str = "\
EXAMPLES:
  kinora data render -o sheet.png
  kinora data render --pack data/emoji.pack --seed 100 --count 12 -o sheet.png";

/// What `kinora data render` takes.
#[derive(Debug, Args)]
#[command(after_help = RENDER_EXAMPLES)]
pub(crate) struct RenderArgs {
    /// The pack; the small one inside the program by default.
    #[arg(long, value_name = "FILE")]
    pub(crate) pack: Option<PathBuf>,
    /// Seed of the first scene; the next ones follow.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    /// How many scenes, 1 to 64; each fills a row.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=64))]
    pub(crate) count: u64,
    /// Only combinations that training never sees.
    #[arg(long)]
    pub(crate) held_out: bool,
    /// Where to write the sheet, .png or .jpg.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// Replace the sheet if it exists.
    #[arg(short, long)]
    pub(crate) force: bool,
}

/// What `kinora data list` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "EXAMPLES:\n  kinora data list\n  kinora data list --pack data/emoji.pack | grep bear"
)]
pub(crate) struct ListArgs {
    /// The pack; the small one inside the program by default.
    #[arg(long, value_name = "FILE")]
    pub(crate) pack: Option<PathBuf>,
}
