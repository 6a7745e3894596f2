//! What every command that makes something takes.

use std::path::PathBuf;

use clap::Args;
use kinora_media::FrameRate;
use kinora_sampling::{GuidanceKind, Sampler};

use super::parts::PartArgs;
use crate::device::DeviceChoice;
use crate::generate::{Enhancer, Service, values, words};
use crate::weights::ModelSource;

/// Shared by `generate`, `extend`, `fill` and their like.
#[derive(Debug, Args)]
pub(crate) struct MakeArgs {
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

    /// Size in pixels; even sides from 64 to 4096 [default: that of the given clip or picture, else
    /// the model's, 1280x720 for kinora-mini, 704x384 for a GIF]. The nearest shape that the model
    /// makes is enlarged and fitted to it.
    #[arg(help_heading = "Clip", long, value_name = "WxH", value_parser = values::size)]
    pub(crate) size: Option<[u32; 2]>,
    /// Shape: 16:9, 9:16, 1:1, 4:3, 3:4, 21:9 or another, with as many pixels as the size would have.
    /// Where the model makes another shape, its frames are cut and never stretched.
    #[arg(help_heading = "Clip", long, value_name = "W:H", conflicts_with = "size", value_parser = values::aspect)]
    pub(crate) aspect: Option<[u32; 2]>,
    /// Frames per second of the file, 1 to 120 [default: that of the given clip, else the model's, 24
    /// for kinora-mini, 12 for a GIF]. The model has a rate of its own, 12 for kinora-mini; for another
    /// rate frames are made between those of the model.
    #[arg(help_heading = "Clip", long, value_name = "FPS", value_parser = values::frame_rate)]
    pub(crate) fps: Option<FrameRate>,
    /// Enlarge what is made by a plain filter instead of the upscaler.
    #[arg(help_heading = "Clip", long)]
    pub(crate) no_upscale: bool,
    /// Make no frames between those of the model: they are repeated or left out by time. The file then
    /// has the model's own rate, if no other is asked for.
    #[arg(help_heading = "Clip", long)]
    pub(crate) no_interpolate: bool,
    /// Quality of lossy formats, from 1 (smallest file) to 100 (best picture).
    #[arg(help_heading = "Clip", long, value_name = "N", default_value_t = 85, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) quality: u32,

    /// What the camera does: static, pan-left, pan-right, tilt-up, tilt-down, zoom-in, zoom-out, orbit,
    /// handheld; with a speed as in pan-left:slow or zoom-in:fast; or in several words of your own. It
    /// is said at the end of the prompt.
    #[arg(help_heading = "Look", long, value_name = "MOVE", value_parser = words::camera)]
    pub(crate) camera: Option<String>,
    /// How it looks: natural, flat, pixel, sketch, watercolor, neon, monochrome, clay, or in several words
    /// of your own. It is said at the end of the prompt.
    #[arg(help_heading = "Look", long, value_name = "STYLE", value_parser = words::style)]
    pub(crate) style: Option<String>,

    /// Seed; the same seed gives the same clip [default: random, and told at the end]
    #[arg(help_heading = "Sampling", long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// How the flow is solved: euler, unipc or dpm++ [default: the model's]
    #[arg(help_heading = "Sampling", long, value_name = "NAME")]
    pub(crate) sampler: Option<Sampler>,
    /// Steps of the sampler, 1 to 200; more take longer and look better, up to a point [default: the
    /// model's, 10 for kinora-mini]
    #[arg(help_heading = "Sampling", long, value_name = "N", value_parser = values::steps)]
    pub(crate) steps: Option<usize>,
    /// How closely to follow the prompt, 0 to 30; 1 is no guidance [default: the model's]
    #[arg(help_heading = "Sampling", long, value_name = "X", value_parser = values::guidance)]
    pub(crate) guidance: Option<f32>,
    /// The same for the second network of models that have two, which settles details (Wan 2.2 A14B)
    /// [default: that of --guidance, else the model's]
    #[arg(help_heading = "Sampling", long, value_name = "X", value_parser = values::guidance)]
    pub(crate) guidance_2: Option<f32>,
    /// How it guides: cfg; cfg-zero, which fits the two predictions to each other and leaves out the first
    /// step; or apg, which leaves out what oversaturates, for high guidance.
    #[arg(
        help_heading = "Sampling",
        long,
        value_name = "KIND",
        default_value = "cfg"
    )]
    pub(crate) guidance_kind: GuidanceKind,
    /// Guide only above this noise level, 0 to 1: below it the words are heard already, and a step costs
    /// half [default: the model's]
    #[arg(help_heading = "Sampling", long, value_name = "LEVEL", value_parser = values::guidance_above)]
    pub(crate) guidance_above: Option<f32>,
    /// Leave out steps whose timestep has hardly changed since the network was last asked, by this much
    /// of it in all (models of Wan): 0 leaves out none, 0.1 to 0.3 a part of them, at a loss.
    #[arg(help_heading = "Sampling", long, value_name = "X", value_parser = values::step_cache)]
    pub(crate) step_cache: Option<f32>,
    /// Where the steps go, 0.1 to 100: above 1 more of them settle what is seen, below 1 its details
    /// [default: the model's]
    #[arg(help_heading = "Sampling", long, value_name = "X", value_parser = values::shift)]
    pub(crate) shift: Option<f32>,
    /// What is not to be seen [default: the model's, nothing for kinora-mini]
    #[arg(help_heading = "Sampling", long, value_name = "TEXT", value_parser = values::negative)]
    pub(crate) negative: Option<String>,

    /// The model: a name that `kinora models` lists, such as kinora-mini or one that was fetched, a
    /// weight file, or a folder with weights of Wan in the layout of diffusers, of Wan or of ComfyUI.
    /// Of Wan the file of a transformer is enough (.safetensors, .gguf), if the other parts lie around it
    /// or are named.
    #[arg(help_heading = "Machine", long, value_name = "NAME|PATH", default_value = crate::weights::MINI)]
    pub(crate) model: ModelSource,
    #[command(flatten)]
    pub(crate) parts: PartArgs,
    /// Where to compute: cpu, cuda, cuda:N, vulkan or metal.
    #[arg(
        help_heading = "Machine",
        long,
        value_name = "DEVICE",
        default_value = "cpu"
    )]
    pub(crate) device: DeviceChoice,
    /// Begin even if the model seems to need more memory than is free.
    #[arg(help_heading = "Machine", long)]
    pub(crate) ignore_memory: bool,
    /// Seconds of denoising that a run which is cut off loses at most; 0 keeps every step.
    #[arg(help_heading = "Machine", long, value_name = "SECONDS", default_value_t = 30.0, value_parser = values::interval)]
    pub(crate) save_every: f64,
    /// Where finished windows and steps are kept until the file is done, so that the same command goes on after
    /// it was cut off [default: a folder for the user's data]
    #[arg(help_heading = "Machine", long, value_name = "FOLDER")]
    pub(crate) session_dir: Option<PathBuf>,

    /// The session that `kinora resume` goes on with.
    #[arg(skip)]
    pub(crate) session: Option<String>,
    /// The prompt of that session, where a server completed it.
    #[arg(skip)]
    pub(crate) caption: Option<String>,

    /// Print one JSON object at the end instead of a report.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Shared by the verbs that make something of words alone.
#[derive(Debug, Args)]
pub(crate) struct EnhanceArgs {
    /// Say what the prompt leaves open, in the words that the model learned from: a place and a motion that suit
    /// the subject, light, camera. All words of the prompt stay; the same seed adds the same. This is the default
    /// where the model knows the subject by name and the prompt does not say both what happens and where.
    #[arg(help_heading = "Look", long, overrides_with = "no_enhance")]
    enhance: bool,
    /// Take the prompt as it is.
    #[arg(help_heading = "Look", long, overrides_with = "enhance")]
    no_enhance: bool,
    /// Let a language model do so: a server that offers chat completions as OpenAI does, such as
    /// http://localhost:11434. The prompt is sent there.
    #[arg(
        help_heading = "Look",
        long,
        value_name = "URL",
        requires = "enhance_model",
        conflicts_with = "no_enhance"
    )]
    enhance_url: Option<String>,
    /// The model that the server is to use.
    #[arg(
        help_heading = "Look",
        long,
        value_name = "NAME",
        requires = "enhance_url"
    )]
    enhance_model: Option<String>,
    /// Words of its caption at most, 5 to 200; kinora-mini takes about 25.
    #[arg(help_heading = "Look", long, value_name = "N", default_value_t = 25, value_parser = clap::value_parser!(u32).range(5..=200))]
    enhance_words: u32,
}

impl EnhanceArgs {
    /// Who says what the prompt leaves open.
    pub(crate) fn enhancer(self) -> Enhancer {
        match (self.enhance_url, self.enhance_model) {
            (Some(url), Some(model)) => Enhancer::Service(Service {
                url,
                model,
                words: self.enhance_words,
            }),
            _ if self.no_enhance => Enhancer::Nobody,
            _ => Enhancer::Model,
        }
    }
}
