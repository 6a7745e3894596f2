//! The verbs that make something: each is a layout of the timeline.

use std::path::PathBuf;

use clap::Args;

use super::make::{EnhanceArgs, MakeArgs};
use crate::generate::values::{self, Keyframe};

/// A new clip or picture in words.
#[derive(Debug, Args)]
pub(crate) struct WordsArgs {
    /// What is to be seen.
    #[arg(value_parser = values::prompt)]
    pub(crate) prompt: String,
    #[command(flatten)]
    pub(crate) enhance: EnhanceArgs,
}

/// A given clip, and what is to be seen in what is made beside it.
#[derive(Debug, Args)]
pub(crate) struct GivenArgs {
    /// The clip.
    pub(crate) clip: PathBuf,
    /// What is to be seen.
    #[arg(value_parser = values::prompt)]
    pub(crate) prompt: Option<String>,
    #[command(flatten)]
    pub(crate) sound: SoundArgs,
}

/// Pictures of what is to be seen.
#[derive(Debug, Args)]
pub(crate) struct ReferenceArgs {
    /// A picture of a subject or a place that is to be seen, for models that look at such (Wan 2.1 VACE);
    /// may be given several times.
    #[arg(help_heading = "Pictures", long, value_name = "FILE")]
    pub(crate) reference: Vec<PathBuf>,
}

/// What becomes of a given clip's sound.
#[derive(Debug, Args)]
pub(crate) struct SoundArgs {
    /// Leave out the sound of the clip. Otherwise it is kept where its pictures are; what is made is silent.
    #[arg(help_heading = "Clip", long)]
    pub(crate) no_audio: bool,
}

/// What leads from the end of a clip to a beginning.
#[derive(Debug, Args)]
pub(crate) struct JointArgs {
    /// Seconds of the joint, 0.1 to 600.
    #[arg(help_heading = "Clip", long, value_name = "SECONDS", default_value_t = 1.0, value_parser = values::seconds)]
    pub(crate) seconds: f64,
}

pub(super) const GENERATE_LONG_ABOUT: &str = "\
Make a video from a sentence, and from pictures that it passes through.

Without --output the file is named after the prompt and written into the current folder. The same \
prompt, settings and seed give the same file on the same machine, bit for bit; the recipe travels \
inside the file, where `kinora inspect` finds it.";

const GENERATE_EXAMPLES: &str = "\
EXAMPLES:
  kinora generate \"a koala waves on a beach at sunset\"
  kinora generate \"a rocket flies through space\" -o rocket.gif --size 512x512 --seconds 2
  kinora generate \"a penguin slides over the ice\" --seed 7 --steps 40 --negative \"night\"
  kinora generate \"the sun sets\" --image day.png --last-image night.png --seconds 6
  kinora generate \"a dog runs\" --image start.jpg --keyframe 2.5=jump.png
  kinora generate \"a red car in the city\" -o frames/ --fps 24 --preview
  kinora generate \"an owl at night\" --json --quiet | jq .file";

/// What `kinora generate` takes.
#[derive(Debug, Args)]
#[command(after_help = GENERATE_EXAMPLES, allow_negative_numbers = true)]
pub(crate) struct GenerateArgs {
    #[command(flatten)]
    pub(crate) words: WordsArgs,
    /// Length in seconds, 0.1 to 600 [default: 4]
    #[arg(help_heading = "Clip", long, value_name = "SECONDS", value_parser = values::seconds)]
    pub(crate) seconds: Option<f64>,
    /// The first frame: a PNG, JPEG or WebP picture, or the first frame of a clip.
    #[arg(help_heading = "Pictures", long, value_name = "FILE")]
    pub(crate) image: Option<PathBuf>,
    /// The last frame.
    #[arg(help_heading = "Pictures", long, value_name = "FILE")]
    pub(crate) last_image: Option<PathBuf>,
    /// A frame in between, such as 2.5=mid.png; may be given several times.
    #[arg(help_heading = "Pictures", long, value_name = "SECONDS=FILE", value_parser = values::keyframe)]
    pub(crate) keyframe: Vec<Keyframe>,
    #[command(flatten)]
    pub(crate) references: ReferenceArgs,
    #[command(flatten)]
    pub(crate) make: MakeArgs,
}

const IMAGE_EXAMPLES: &str = "\
EXAMPLES:
  kinora image \"a koala on a beach at sunset\"
  kinora image \"an owl at night\" -o owl.jpg --size 512x512 --seed 3";

/// What `kinora image` takes.
#[derive(Debug, Args)]
#[command(after_help = IMAGE_EXAMPLES, allow_negative_numbers = true)]
pub(crate) struct ImageArgs {
    #[command(flatten)]
    pub(crate) words: WordsArgs,
    #[command(flatten)]
    pub(crate) references: ReferenceArgs,
    #[command(flatten)]
    pub(crate) make: MakeArgs,
}

pub(super) const EXTEND_LONG_ABOUT: &str = "\
Make a clip longer, at its end or before its beginning.

The given frames keep their pixels, size and rate. Without a prompt that of the clip's recipe is taken, if \
Kinora made it.";

const EXTEND_EXAMPLES: &str = "\
EXAMPLES:
  kinora extend clip.mp4 \"the koala walks away\" --seconds 4
  kinora extend clip.mp4 --before --seconds 2 -o longer.mp4";

/// What `kinora extend` takes.
#[derive(Debug, Args)]
#[command(after_help = EXTEND_EXAMPLES, allow_negative_numbers = true)]
pub(crate) struct ExtendArgs {
    #[command(flatten)]
    pub(crate) given: GivenArgs,
    /// Seconds to be made, 0.1 to 600.
    #[arg(help_heading = "Clip", long, value_name = "SECONDS", default_value_t = 4.0, value_parser = values::seconds)]
    pub(crate) seconds: f64,
    /// Make what happens before the clip instead of what happens after it.
    #[arg(help_heading = "Clip", long)]
    pub(crate) before: bool,
    #[command(flatten)]
    pub(crate) references: ReferenceArgs,
    #[command(flatten)]
    pub(crate) make: MakeArgs,
}

pub(super) const FILL_LONG_ABOUT: &str = "\
Make a part of a clip anew: a time (--from, --to), or a region (--mask).

All else keeps its pixels. A mask is a picture or a clip of the clip's shape: white is made, black is kept. Without \
a prompt that of the clip's recipe is taken, if Kinora made it.";

const FILL_EXAMPLES: &str = "\
EXAMPLES:
  kinora fill clip.mp4 --from 1.2 --to 2.0
  kinora fill clip.mp4 --mask mask.png \"a red balloon\"
  kinora fill clip.mp4 --mask mask.mp4 \"a meadow\" -o clean.mp4
  kinora fill clip.mp4 --mask mask.png \"a teddy bear\" --reference bear.png --model Wan-AI/Wan2.1-VACE-1.3B-diffusers";

/// What `kinora fill` takes.
#[derive(Debug, Args)]
#[command(after_help = FILL_EXAMPLES, allow_negative_numbers = true)]
pub(crate) struct FillArgs {
    #[command(flatten)]
    pub(crate) given: GivenArgs,
    /// Second at which the part begins.
    #[arg(help_heading = "Part", long, value_name = "SECONDS", requires = "to", value_parser = values::time)]
    pub(crate) from: Option<f64>,
    /// Second at which it ends.
    #[arg(help_heading = "Part", long, value_name = "SECONDS", requires = "from", value_parser = values::time)]
    pub(crate) to: Option<f64>,
    /// Region: white is made, black is kept.
    #[arg(help_heading = "Part", long, value_name = "FILE", conflicts_with_all = ["from", "to"])]
    pub(crate) mask: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) references: ReferenceArgs,
    #[command(flatten)]
    pub(crate) make: MakeArgs,
}

pub(super) const REMIX_LONG_ABOUT: &str = "\
Change a clip or a picture by words.

The strength says how much of it is made anew: a little keeps shapes and changes light and surfaces, much keeps \
little more than where things are.";

const REMIX_EXAMPLES: &str = "\
EXAMPLES:
  kinora remix clip.mp4 \"pixel art of a koala on a beach\" --strength 0.6
  kinora remix photo.jpg \"watercolor painting\" -o painted.png";

/// What `kinora remix` takes.
#[derive(Debug, Args)]
#[command(after_help = REMIX_EXAMPLES, allow_negative_numbers = true)]
pub(crate) struct RemixArgs {
    /// The clip or picture.
    pub(crate) clip: PathBuf,
    /// What is to be seen.
    #[arg(value_parser = values::prompt)]
    pub(crate) prompt: String,
    /// How much is made anew, 0.05 to 1.
    #[arg(help_heading = "Clip", long, value_name = "X", default_value_t = 0.6, value_parser = values::strength)]
    pub(crate) strength: f32,
    #[command(flatten)]
    pub(crate) sound: SoundArgs,
    #[command(flatten)]
    pub(crate) make: MakeArgs,
}

pub(super) const LOOP_LONG_ABOUT: &str = "\
Make a clip repeat without a cut: a joint is made that leads from its end back to its beginning.

Without a prompt that of the clip's recipe is taken, if Kinora made it.";

const LOOP_EXAMPLES: &str = "\
EXAMPLES:
  kinora loop clip.mp4
  kinora loop clip.gif \"waves on a beach\" --seconds 1.5 -o endless.gif";

/// What `kinora loop` takes.
#[derive(Debug, Args)]
#[command(after_help = LOOP_EXAMPLES, allow_negative_numbers = true)]
pub(crate) struct LoopArgs {
    #[command(flatten)]
    pub(crate) given: GivenArgs,
    #[command(flatten)]
    pub(crate) joint: JointArgs,
    #[command(flatten)]
    pub(crate) make: MakeArgs,
}

pub(super) const BLEND_LONG_ABOUT: &str = "\
Make one clip turn into another: a joint is made that leads from the end of the first to the beginning of the second.

The second clip is fitted to the size and rate of the first. The sound of both is left out: a joint would cut it. Without a prompt those of the clips' recipes are taken, \
if Kinora made them.";

const BLEND_EXAMPLES: &str = "\
EXAMPLES:
  kinora blend day.mp4 night.mp4
  kinora blend a.mp4 b.mp4 \"a car drives into the dark\" --seconds 2 -o both.mp4";

/// What `kinora blend` takes.
#[derive(Debug, Args)]
#[command(after_help = BLEND_EXAMPLES, allow_negative_numbers = true)]
pub(crate) struct BlendArgs {
    /// The clip that is seen first.
    pub(crate) first: PathBuf,
    /// The clip that it turns into.
    pub(crate) second: PathBuf,
    /// What is to be seen.
    #[arg(value_parser = values::prompt)]
    pub(crate) prompt: Option<String>,
    #[command(flatten)]
    pub(crate) joint: JointArgs,
    #[command(flatten)]
    pub(crate) make: MakeArgs,
}

pub(super) const STORYBOARD_LONG_ABOUT: &str = "\
Make a video of several shots, each with its own text.

The script is a TOML file with a [[shot]] for each:

  [[shot]]
  prompt = \"a koala waves on a beach at sunset\"
  seconds = 3

  [[shot]]
  prompt = \"a koala sleeps at night\"
  seconds = 2.5
  seed = 7                # optional; otherwise it follows from --seed
  camera = \"zoom-in\"      # optional, as --camera; style as --style
  transition = \"morph\"    # or \"cut\", the default

A cut begins anew; a morph goes on from the shot before while the text changes.";

const STORYBOARD_EXAMPLES: &str = "\
EXAMPLES:
  kinora storyboard script.toml
  kinora storyboard script.toml -o film.mp4 --seed 7 --preview";

/// What `kinora storyboard` takes.
#[derive(Debug, Args)]
#[command(after_help = STORYBOARD_EXAMPLES, allow_negative_numbers = true)]
pub(crate) struct StoryboardArgs {
    /// The script, TOML.
    pub(crate) script: PathBuf,
    #[command(flatten)]
    pub(crate) make: MakeArgs,
}
