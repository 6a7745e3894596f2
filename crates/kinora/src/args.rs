//! What was typed. Values are read here; what they mean for a clip is resolved in [`crate::generate`].

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};
use clap_complete::Shell;
use kinora_media::FrameRate;

use crate::device::DeviceChoice;
use crate::generate::values;
use crate::weights::ModelSource;

/// Shift of the noise levels at which the mini family is sampled best.
const SHIFT: f32 = 4.0;

const ABOUT: &str = "An open, self-hosted Sora: a sentence in, a video out";

const LONG_ABOUT: &str = "\
Kinora makes videos from sentences, on your own machine. The model is part of the program: there is \
nothing to download and nothing leaves the machine.";

const EXAMPLES: &str = "\
EXAMPLES:
  kinora generate \"a koala waves on a beach at sunset\"
  kinora generate \"a fox runs through a snowy forest\" -o fox.gif --seconds 6
  kinora inspect fox.gif

ENVIRONMENT:
  KINORA_CPU  lowers the instruction level: portable, neon, avx2, avx512, avx512bf16 or amx";

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "kinora", version, about = ABOUT, long_about = LONG_ABOUT, after_help = EXAMPLES)]
#[command(arg_required_else_help = true, max_term_width = 100)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) global: Global,
}

/// What every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Every command")]
pub(crate) struct Global {
    /// Say more of what happens; twice for details.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Say nothing but errors and what was asked for with --json.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Processor threads to work with; all of them by default.
    #[arg(long, global = true, value_name = "N", value_parser = values::threads)]
    pub(crate) threads: Option<usize>,
    /// Write progress as lines when stderr is no terminal.
    #[arg(long, global = true, conflicts_with = "quiet")]
    pub(crate) progress: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a video from a sentence.
    #[command(long_about = GENERATE_LONG_ABOUT)]
    Generate(GenerateArgs),
    /// Tell what a clip holds, and what it was made from.
    Inspect(InspectArgs),
    /// Make and look at training data.
    Data {
        /// What to do.
        #[command(subcommand)]
        command: DataCommand,
    },
    /// Train a model on a pack of subjects, or go on with a training.
    #[command(long_about = TRAIN_LONG_ABOUT)]
    Train(TrainArgs),
    /// Measure a model: autoencoder, judged clips, and a sheet to look at.
    Evaluate(EvaluateArgs),
    /// List the models that this program knows.
    Models(ModelsArgs),
    /// Tell what the machine offers: processor level, threads, memory, devices.
    Info,
    /// Write the completions of a shell.
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// The shell.
        shell: Shell,
    },
}

const COMPLETIONS_EXAMPLES: &str = "\
EXAMPLES:
  kinora completions bash > ~/.local/share/bash-completion/completions/kinora
  kinora completions fish > ~/.config/fish/completions/kinora.fish";

const GENERATE_LONG_ABOUT: &str = "\
Make a video from a sentence.

Without --output the file is named after the prompt and written into the current folder. The same \
prompt, settings and seed give the same file on the same machine, bit for bit; the recipe travels \
inside the file, where `kinora inspect` finds it.";

const GENERATE_EXAMPLES: &str = "\
EXAMPLES:
  kinora generate \"a koala waves on a beach at sunset\"
  kinora generate \"a rocket flies through space\" -o rocket.gif --size 512x512 --seconds 2
  kinora generate \"a penguin slides over the ice\" --seed 7 --steps 40 --negative \"night\"
  kinora generate \"a red car in the city\" -o frames/ --fps 24 --preview
  kinora generate \"an owl at night\" --json --quiet | jq .file";

/// What `kinora generate` takes.
#[derive(Debug, Args)]
#[command(after_help = GENERATE_EXAMPLES, allow_negative_numbers = true)]
pub(crate) struct GenerateArgs {
    /// What is to be seen.
    #[arg(value_parser = values::prompt)]
    pub(crate) prompt: String,

    /// Where to write; the ending says the format: .mp4, .gif, .webp, .png (one picture per frame),
    /// .jpg (a single picture), or a folder with / at its end (PNG frames).
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Replace the output if it exists.
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Also write NAME-preview.png, a contact sheet of the clip.
    #[arg(long)]
    pub(crate) preview: bool,

    /// Size in pixels; even sides from 64 to 4096. The nearest shape that the model makes is fitted
    /// to it.
    #[arg(help_heading = "Clip", long, value_name = "WxH", default_value = "704x384", value_parser = values::size)]
    pub(crate) size: [u32; 2],
    /// Length in seconds, 0.1 to 600 [default: 4]
    #[arg(help_heading = "Clip", long, value_name = "SECONDS", value_parser = values::seconds)]
    pub(crate) seconds: Option<f64>,
    /// Frames per second of the file, 1 to 120. The model has a rate of its own, 12 for kinora-mini;
    /// at another rate its frames are repeated or dropped by time [default: the model's]
    #[arg(help_heading = "Clip", long, value_name = "FPS", value_parser = values::frame_rate)]
    pub(crate) fps: Option<FrameRate>,
    /// Quality of lossy formats, from 1 (smallest file) to 100 (best picture).
    #[arg(help_heading = "Clip", long, value_name = "N", default_value_t = 85, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) quality: u32,

    /// Seed; the same seed gives the same clip [default: random, and told at the end]
    #[arg(help_heading = "Sampling", long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Steps of the sampler, 1 to 200; more take longer and look better, up to a point.
    #[arg(help_heading = "Sampling", long, value_name = "N", default_value_t = 24, value_parser = values::steps)]
    pub(crate) steps: usize,
    /// How closely to follow the prompt, 0 to 30; 1 is no guidance.
    #[arg(help_heading = "Sampling", long, value_name = "X", default_value_t = 4.0, value_parser = values::guidance)]
    pub(crate) guidance: f32,
    /// Where the steps go, 0.1 to 100: above 1 more of them settle what is seen, below 1 its details.
    #[arg(help_heading = "Sampling", long, value_name = "X", default_value_t = SHIFT, value_parser = values::shift)]
    pub(crate) shift: f32,
    /// What is not to be seen.
    #[arg(help_heading = "Sampling", long, value_name = "TEXT", default_value = "", hide_default_value = true, value_parser = values::negative)]
    pub(crate) negative: String,

    /// The model: a name that `kinora models` lists, or a weight file.
    #[arg(help_heading = "Machine", long, value_name = "NAME|FILE", default_value = crate::weights::MINI)]
    pub(crate) model: ModelSource,
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

/// What `kinora inspect` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "EXAMPLES:\n  kinora inspect clip.mp4\n  kinora inspect clip.mp4 --json | jq .recipe.prompt"
)]
pub(crate) struct InspectArgs {
    /// The clip or picture.
    pub(crate) file: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `kinora models` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "EXAMPLES:\n  kinora models\n  kinora models --json | jq .[].sha256\n  kinora models --subjects | grep bear"
)]
pub(crate) struct ModelsArgs {
    /// List the subjects that a prompt can name instead.
    #[arg(long)]
    pub(crate) subjects: bool,
    /// Print a JSON array.
    #[arg(long)]
    pub(crate) json: bool,
}

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

const TRAIN_LONG_ABOUT: &str = "\
Train a model on a pack of subjects, or go on with a training.

A run lives in a folder: settings, checkpoint, metrics.jsonl, sample sheets. The same command goes on \
from the last checkpoint, to the bit. Ctrl-C writes a checkpoint first.";

const TRAIN_EXAMPLES: &str = "\
EXAMPLES:
  kinora train autoencoder --config configs/autoencoder.toml --run runs/autoencoder
  kinora train transformer --config configs/transformer.toml --run runs/transformer
  kinora train director --config configs/director.toml --run runs/director
  kinora train classifier --config configs/classifier.toml --run runs/classifier";

/// What `kinora train` trains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum TrainTarget {
    /// Pixels to latents and back; first.
    Autoencoder,
    /// Text encoder and denoisers, on the autoencoder's latents.
    Transformer,
    /// The denoiser of a finished model that says where subjects go, further and by itself.
    Director,
    /// The judges that `kinora evaluate` asks.
    Classifier,
}

/// What `kinora train` takes.
#[derive(Debug, Args)]
#[command(after_help = TRAIN_EXAMPLES)]
pub(crate) struct TrainArgs {
    /// What to train.
    pub(crate) target: TrainTarget,
    /// Settings, TOML.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Folder of the run; it is made where it is missing.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) run: PathBuf,
    /// Where to compute: cpu, cuda, cuda:N, vulkan or metal.
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub(crate) device: DeviceChoice,
}

const EVALUATE_EXAMPLES: &str = "\
EXAMPLES:
  kinora evaluate --judges runs/classifier --pack data/emoji.pack --out evaluation
  kinora evaluate --model runs/transformer/model.safetensors --judges runs/classifier \\
      --pack data/emoji.pack --clips 200 --out evaluation --json";

/// What `kinora evaluate` takes.
#[derive(Debug, Args)]
#[command(after_help = EVALUATE_EXAMPLES)]
pub(crate) struct EvaluateArgs {
    /// Run folder of the judges, see `kinora train classifier`.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) judges: PathBuf,
    /// The pack that model and judges were trained on.
    #[arg(long, value_name = "FILE")]
    pub(crate) pack: PathBuf,
    /// Folder of report.json, report.md and the pictures; it is made where it is missing.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) out: PathBuf,
    /// Clips to be judged, 1 to 10000.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) clips: u32,
    /// Seed of the first clip; the next ones follow.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Steps of the sampler, 1 to 200.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = values::steps)]
    pub(crate) steps: usize,
    /// How closely to follow the prompt, 0 to 30.
    #[arg(long, value_name = "X", default_value_t = 4.0, value_parser = values::guidance)]
    pub(crate) guidance: f32,
    /// Where the steps go, 0.1 to 100: above 1 more of them settle what is seen, below 1 its details.
    #[arg(long, value_name = "X", default_value_t = SHIFT, value_parser = values::shift)]
    pub(crate) shift: f32,
    /// The model: a name that `kinora models` lists, or a weight file.
    #[arg(long, value_name = "NAME|FILE", default_value = crate::weights::MINI)]
    pub(crate) model: ModelSource,
    /// Where to compute: cpu, cuda, cuda:N, vulkan or metal.
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub(crate) device: DeviceChoice,
    /// Print the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
