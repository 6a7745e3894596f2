//! The verbs that give a clip more pixels or more frames.

use std::path::PathBuf;

use clap::Args;
use kinora_media::FrameRate;

use super::tasks::SoundArgs;
use crate::device::DeviceChoice;
use crate::generate::values;

/// Shared by both.
#[derive(Debug, Args)]
pub(crate) struct FinishArgs {
    #[command(flatten)]
    pub(crate) sound: SoundArgs,
    /// Replace the output if it exists.
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Quality of lossy formats, from 1 (smallest file) to 100 (best picture).
    #[arg(help_heading = "Clip", long, value_name = "N", default_value_t = 85, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) quality: u32,
    /// Where to compute: cpu, cuda, cuda:N, vulkan or metal.
    #[arg(
        help_heading = "Machine",
        long,
        value_name = "DEVICE",
        default_value = "cpu"
    )]
    pub(crate) device: DeviceChoice,
    /// Print one JSON object at the end instead of a report.
    #[arg(long)]
    pub(crate) json: bool,
}

pub(super) const UPSCALE_LONG_ABOUT: &str = "\
Make a clip or a picture larger, sharper than a filter does.

All frames are kept, one after the other at the clip's mean rate, and so is the sound. A network enlarges each frame four times; a filter brings it from there to \
the size. A clip of any kind that Kinora reads is taken.";

const UPSCALE_EXAMPLES: &str = "\
EXAMPLES:
  kinora upscale clip.mp4
  kinora upscale clip.mp4 --size 1280x720 -o large.mp4
  kinora upscale photo.jpg -o photo-large.png";

/// What `kinora upscale` takes.
#[derive(Debug, Args)]
#[command(after_help = UPSCALE_EXAMPLES)]
pub(crate) struct UpscaleArgs {
    /// The clip or picture.
    pub(crate) clip: PathBuf,
    /// Where to write; the ending says the format, as for `generate` [default: CLIP-upscaled]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Size in pixels; even sides from 64 to 4096 [default: 1080 pixels along the shorter side]. What
    /// has another shape is cut and never stretched.
    #[arg(help_heading = "Clip", long, value_name = "WxH", value_parser = values::size)]
    pub(crate) size: Option<[u32; 2]>,
    #[command(flatten)]
    pub(crate) finish: FinishArgs,
}

pub(super) const INTERPOLATE_LONG_ABOUT: &str = "\
Make a clip smoother: frames are made between its frames.

Frames that are due stay as they are, and the sound is kept. Nothing is made across a cut, nor between pictures that stand for more \
than 0.3 seconds. A clip of any kind that Kinora reads is taken, also one of a variable rate.";

const INTERPOLATE_EXAMPLES: &str = "\
EXAMPLES:
  kinora interpolate clip.mp4
  kinora interpolate clip.mp4 --fps 24 -o film.mp4
  kinora interpolate sticker.gif --fps 30";

/// What `kinora interpolate` takes.
#[derive(Debug, Args)]
#[command(after_help = INTERPOLATE_EXAMPLES, allow_negative_numbers = true)]
pub(crate) struct InterpolateArgs {
    /// The clip.
    pub(crate) clip: PathBuf,
    /// Where to write; the ending says the format, as for `generate` [default: CLIP-60fps.mp4, by the rate]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Frames per second of the file, 1 to 120.
    #[arg(help_heading = "Clip", long, value_name = "FPS", default_value = "60", value_parser = values::frame_rate)]
    pub(crate) fps: FrameRate,
    #[command(flatten)]
    pub(crate) finish: FinishArgs,
}
