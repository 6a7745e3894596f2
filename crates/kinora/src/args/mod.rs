//! What was typed. Values are read here; what they mean for a clip is resolved in [`crate::generate`].

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::generate::values;
use crate::models::ModelsArgs;

mod data;
mod finish;
mod lora;
mod make;
mod parts;
mod resume;
mod tasks;
mod train;

pub(crate) use data::{DataCommand, ListArgs, PackArgs, RenderArgs};
pub(crate) use finish::{FinishArgs, InterpolateArgs, UpscaleArgs};
pub(crate) use lora::Lora;
pub(crate) use make::MakeArgs;
pub(crate) use parts::PartArgs;
pub(crate) use resume::ResumeArgs;
pub(crate) use tasks::{
    BlendArgs, ExtendArgs, FillArgs, GenerateArgs, ImageArgs, LoopArgs, ReferenceArgs, RemixArgs,
    StoryboardArgs,
};
pub(crate) use train::{EvaluateArgs, TrainArgs, TrainTarget};

const ABOUT: &str = "An open, self-hosted Sora: a sentence in, a video out";

const LONG_ABOUT: &str = "\
Kinora makes videos from sentences, on your own machine. The model is part of the program: there is \
nothing to download and nothing leaves the machine. Larger open models can be fetched: see `kinora \
models --help`.";

const EXAMPLES: &str = "\
EXAMPLES:
  kinora generate \"a koala waves on a beach at sunset\"
  kinora generate \"a fox runs through a snowy forest\" -o fox.mp4 --seconds 6
  kinora extend fox.mp4 \"the fox sits down\" --seconds 3
  kinora interpolate fox.mp4 --fps 60
  kinora inspect fox.mp4

ENVIRONMENT:
  KINORA_CPU             lowers the instruction level: portable, neon, neonbf16, avx2, avx512,
                         avx512bf16 or amx
  HF_HOME, HF_HUB_CACHE  where fetched models lie, as for all tools of Hugging Face
  HF_ENDPOINT, HF_TOKEN  another hub than huggingface.co, and who asks
  KINORA_ENHANCE_KEY     who asks the server of --enhance-url; else OPENAI_API_KEY";

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
    /// Make a video from a sentence, and from pictures that it passes through.
    #[command(long_about = tasks::GENERATE_LONG_ABOUT)]
    Generate(GenerateArgs),
    /// Make a picture from a sentence.
    Image(ImageArgs),
    /// Make a clip longer, at its end or before its beginning.
    #[command(long_about = tasks::EXTEND_LONG_ABOUT)]
    Extend(ExtendArgs),
    /// Make a part of a clip anew: a time, or a region.
    #[command(long_about = tasks::FILL_LONG_ABOUT)]
    Fill(FillArgs),
    /// Change a clip or a picture by words.
    #[command(long_about = tasks::REMIX_LONG_ABOUT)]
    Remix(RemixArgs),
    /// Make a clip repeat without a cut.
    #[command(long_about = tasks::LOOP_LONG_ABOUT)]
    Loop(LoopArgs),
    /// Make one clip turn into another.
    #[command(long_about = tasks::BLEND_LONG_ABOUT)]
    Blend(BlendArgs),
    /// Make a video of several shots.
    #[command(long_about = tasks::STORYBOARD_LONG_ABOUT)]
    Storyboard(StoryboardArgs),
    /// Make a clip or a picture larger, sharper than a filter does.
    #[command(long_about = finish::UPSCALE_LONG_ABOUT)]
    Upscale(UpscaleArgs),
    /// Make a clip smoother: frames are made between its frames.
    #[command(long_about = finish::INTERPOLATE_LONG_ABOUT)]
    Interpolate(InterpolateArgs),
    /// List what was cut off, and go on with it.
    #[command(long_about = resume::LONG_ABOUT)]
    Resume(ResumeArgs),
    /// Tell what a clip holds, and what it was made from.
    Inspect(InspectArgs),
    /// Make and look at training data.
    Data {
        /// What to do.
        #[command(subcommand)]
        command: DataCommand,
    },
    /// Train a model on a pack of subjects, or go on with a training.
    #[command(long_about = train::LONG_ABOUT)]
    Train(TrainArgs),
    /// Measure a model: autoencoder, judged clips, and a sheet to look at.
    Evaluate(EvaluateArgs),
    /// List the models that are there, fetch others, remove them.
    #[command(long_about = crate::models::LONG_ABOUT)]
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

impl Command {
    /// The settings of a verb that makes something.
    pub(crate) fn make_mut(&mut self) -> Option<&mut MakeArgs> {
        match self {
            Self::Generate(args) => Some(&mut args.make),
            Self::Image(args) => Some(&mut args.make),
            Self::Extend(args) => Some(&mut args.make),
            Self::Fill(args) => Some(&mut args.make),
            Self::Remix(args) => Some(&mut args.make),
            Self::Loop(args) => Some(&mut args.make),
            Self::Blend(args) => Some(&mut args.make),
            Self::Storyboard(args) => Some(&mut args.make),
            _ => None,
        }
    }
}

const COMPLETIONS_EXAMPLES: &str = "\
EXAMPLES:
  kinora completions bash > ~/.local/share/bash-completion/completions/kinora
  kinora completions fish > ~/.config/fish/completions/kinora.fish";

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
