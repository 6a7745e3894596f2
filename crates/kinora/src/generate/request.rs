//! What is to be made: names chosen, defaults filled in, the place for the output proven.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use kinora_media::{FrameRate, Quality, SinkOptions, open_sink};
use kinora_models::{Description, VideoModel};
use kinora_pipeline::Sampling;
use kinora_sampling::GuidanceBelow;
use serde_json::Value;

use super::given::Given;
use super::plan::shaped;
use super::script;
use super::service::Service;
use super::task::{Length, Task, inputs_recipe};
use super::words;
use crate::args::{
    BlendArgs, ExtendArgs, FillArgs, GenerateArgs, ImageArgs, LoopArgs, Lora, MakeArgs, PartArgs,
    ReferenceArgs, RemixArgs, StoryboardArgs,
};
use crate::device::DeviceChoice;
use crate::name;
use crate::weights::ModelSource;

/// A clip to be made.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) task: Task,
    /// Pictures of what is to be seen.
    pub(crate) references: Vec<PathBuf>,
    /// What the model is told.
    pub(crate) prompt: String,
    /// What was asked for, where the model is told more.
    pub(crate) asked: Option<String>,
    /// Who says what the prompt leaves open.
    pub(crate) enhancer: Enhancer,
    pub(crate) negative: String,
    pub(crate) output: PathBuf,
    pub(crate) preview: Option<PathBuf>,
    pub(crate) overwrite: bool,
    /// Whether the sound of a given clip is wanted.
    pub(crate) keeps_sound: bool,
    /// Of the file: width and height in pixels.
    pub(crate) size: [u32; 2],
    /// Of the file; the model's own where nothing was said and no clip is given.
    pub(crate) fps: Option<FrameRate>,
    /// Whether the upscaler enlarges what is made.
    pub(crate) upscales: bool,
    /// Whether frames are made between those of the model.
    pub(crate) interpolates: bool,
    pub(crate) quality: Quality,
    pub(crate) sampling: Sampling,
    /// What changes the model.
    pub(crate) loras: Vec<Lora>,
    /// Whether nothing was said of the seed, so that any will do.
    pub(crate) seed_is_drawn: bool,
    pub(crate) device: DeviceChoice,
    pub(crate) session_dir: Option<PathBuf>,
    /// How long a window is denoised before its state is kept.
    pub(crate) save_every: Duration,
    /// The session that is to be gone on with.
    pub(crate) session: Option<String>,
    pub(crate) json: bool,
    /// What the user should know before the work begins.
    pub(crate) note: Option<String>,
}

/// Who says what a prompt leaves open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Enhancer {
    Nobody,
    /// The model that makes the clip.
    Model,
    /// A language model on a server.
    Service(Service),
}

/// What a verb asks for, before the model that will do it is known.
#[derive(Debug)]
pub(crate) struct Asked {
    task: Task,
    references: Vec<PathBuf>,
    prompt: String,
    note: Option<String>,
    enhancer: Enhancer,
    /// Whether the sound of a given clip is wanted.
    keeps_sound: bool,
    /// What the file is called where nothing is said: of words, without an ending.
    name: String,
    make: MakeArgs,
}

impl Asked {
    /// `kinora generate`
    ///
    /// # Errors
    ///
    /// An output that could not be written later, inputs that cannot be read, and settings that contradict each other.
    pub(crate) fn generate(args: GenerateArgs) -> Result<Self> {
        let length = length(args.make.output.as_deref(), args.seconds)?;
        let pictures = Task::pictures(args.image, args.keyframe, args.last_image, length)?;
        Ok(Self {
            references: pictures_of(args.references)?,
            enhancer: match (args.words.enhance.enhancer(), pictures.is_empty()) {
                (enhancer, true) => enhancer,
                // A place that somebody else thought of would contradict the pictures.
                (Enhancer::Nobody | Enhancer::Model, false) => Enhancer::Nobody,
                (Enhancer::Service(_), false) => bail!(
                    "--enhance-url would add what the given pictures may contradict: leave out one of them"
                ),
            },
            task: Task::Generate { length, pictures },
            name: args.words.prompt.clone(),
            prompt: args.words.prompt,
            note: None,
            keeps_sound: false,
            make: args.make,
        })
    }

    /// `kinora image`
    ///
    /// # Errors
    ///
    /// As [`generate`](Self::generate).
    pub(crate) fn image(args: ImageArgs) -> Result<Self> {
        let task = Task::Generate {
            length: Length::Picture,
            pictures: Vec::new(),
        };
        Ok(Self {
            references: pictures_of(args.references)?,
            task,
            enhancer: args.words.enhance.enhancer(),
            name: args.words.prompt.clone(),
            prompt: args.words.prompt,
            note: None,
            keeps_sound: false,
            make: args.make,
        })
    }

    /// `kinora extend`
    ///
    /// # Errors
    ///
    /// As [`generate`](Self::generate).
    pub(crate) fn extend(args: ExtendArgs) -> Result<Self> {
        let clip = Given::open_clip(args.given.clip)?;
        let (prompt, note) = prompt(args.given.prompt, &[&clip]);
        Ok(Self {
            references: pictures_of(args.references)?,
            name: format!("{} extended", clip.stem()),
            task: Task::Extend {
                clip,
                secs: args.seconds,
                before: args.before,
            },
            prompt,
            note,
            enhancer: Enhancer::Nobody,
            keeps_sound: !args.given.sound.no_audio,
            make: args.make,
        })
    }

    /// `kinora fill`
    ///
    /// # Errors
    ///
    /// As [`generate`](Self::generate).
    pub(crate) fn fill(args: FillArgs) -> Result<Self> {
        let clip = Given::open_clip(args.given.clip)?;
        let (prompt, note) = prompt(args.given.prompt, &[&clip]);
        let name = format!("{} filled", clip.stem());
        let task = match (args.from, args.to, args.mask) {
            (Some(from), Some(to), None) => Task::fill_time(clip, from, to)?,
            (None, None, Some(mask)) => Task::FillRegion {
                clip,
                mask: Given::open(mask)?.path,
            },
            _ => bail!("say what is to be filled: --from and --to, or --mask"),
        };
        Ok(Self {
            references: pictures_of(args.references)?,
            name,
            task,
            prompt,
            note,
            enhancer: Enhancer::Nobody,
            keeps_sound: !args.given.sound.no_audio,
            make: args.make,
        })
    }

    /// `kinora remix`
    ///
    /// # Errors
    ///
    /// As [`generate`](Self::generate).
    pub(crate) fn remix(args: RemixArgs) -> Result<Self> {
        let clip = Given::open(args.clip)?;
        Ok(Self {
            references: Vec::new(),
            name: format!("{} remixed", clip.stem()),
            task: Task::Remix {
                clip,
                strength: args.strength,
            },
            prompt: args.prompt,
            note: None,
            enhancer: Enhancer::Nobody,
            keeps_sound: !args.sound.no_audio,
            make: args.make,
        })
    }

    /// `kinora loop`
    ///
    /// # Errors
    ///
    /// As [`generate`](Self::generate).
    pub(crate) fn loop_clip(args: LoopArgs) -> Result<Self> {
        let clip = Given::open_clip(args.given.clip)?;
        let (prompt, note) = prompt(args.given.prompt, &[&clip]);
        Ok(Self {
            references: Vec::new(),
            name: format!("{} loop", clip.stem()),
            task: Task::Loop {
                clip,
                secs: args.joint.seconds,
            },
            prompt,
            note,
            enhancer: Enhancer::Nobody,
            keeps_sound: !args.given.sound.no_audio,
            make: args.make,
        })
    }

    /// `kinora blend`
    ///
    /// # Errors
    ///
    /// As [`generate`](Self::generate).
    pub(crate) fn blend(args: BlendArgs) -> Result<Self> {
        let first = Given::open_clip(args.first)?;
        let second = Given::open_clip(args.second)?;
        let (prompt, note) = prompt(args.prompt, &[&first, &second]);
        Ok(Self {
            references: Vec::new(),
            name: format!("{} {}", first.stem(), second.stem()),
            task: Task::Blend {
                first,
                second,
                secs: args.joint.seconds,
            },
            prompt,
            note,
            enhancer: Enhancer::Nobody,
            keeps_sound: true,
            make: args.make,
        })
    }

    /// `kinora storyboard`
    ///
    /// # Errors
    ///
    /// As [`generate`](Self::generate).
    pub(crate) fn storyboard(args: StoryboardArgs) -> Result<Self> {
        let shots = script::read(&args.script)?;
        let stem = args
            .script
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy();
        let prompts: Vec<&str> = shots.iter().map(|shot| shot.prompt.as_str()).collect();
        Ok(Self {
            references: Vec::new(),
            name: stem.into_owned(),
            prompt: prompts.join(" / "),
            task: Task::Storyboard(shots),
            note: None,
            enhancer: Enhancer::Nobody,
            keeps_sound: true,
            make: args.make,
        })
    }

    /// The model that is asked.
    pub(crate) fn model(&self) -> &ModelSource {
        &self.make.model
    }

    /// Parts of the model that were named.
    pub(crate) fn parts(&self) -> &PartArgs {
        &self.make.parts
    }

    /// Where it is to compute.
    pub(crate) fn device(&self) -> DeviceChoice {
        self.make.device
    }

    /// Whether the work begins however little memory there is.
    pub(crate) fn ignores_memory(&self) -> bool {
        self.make.ignore_memory
    }
}

/// Longest name of an output in bytes: a frame's number may be added to it.
const LONGEST_NAME: usize = 240;

impl Request {
    /// What was asked means this to the model.
    ///
    /// # Errors
    ///
    /// An output that could not be written later, and settings that contradict each other.
    pub(crate) fn resolve(asked: Asked, about: &Description) -> Result<Self> {
        let Asked {
            mut task,
            references,
            prompt,
            note,
            enhancer,
            keeps_sound,
            name,
            make,
        } = asked;
        let output = match make.output {
            Some(output) => output,
            None => name::from_prompt(Path::new(""), &name, ending(&task), make.preview),
        };
        if !task.is_picture() && is_jpeg(&output) {
            bail!(
                "{} is a single picture, and a clip is made: end the name with .mp4, .gif, .webp or .png",
                output.display()
            );
        }
        let complete =
            |prompt: &str| words::complete(prompt, make.camera.as_deref(), make.style.as_deref());
        if let Task::Storyboard(shots) = &mut task {
            shots
                .iter_mut()
                .for_each(|shot| shot.prompt = complete(&shot.prompt));
        }
        let defaults = &about.defaults;
        if let Task::Generate { length, .. } = &mut task
            && *length == Length::Default
        {
            let secs = defaults.frames as f64 / about.frames_per_second as f64;
            *length = Length::Seconds(secs);
        }
        let size = make.size.or_else(|| given_size(&task));
        let size = size.unwrap_or(match is_gif(&output) {
            true => GIF_SIZE,
            false => defaults.size.map(|side| side as u32),
        });
        let guidance_below = match (defaults.guidance_below, make.guidance_2) {
            (Some(below), second) => Some(GuidanceBelow {
                guidance: second.or(make.guidance).unwrap_or(below.guidance),
                ..below
            }),
            (None, None) => None,
            (None, Some(_)) => bail!(
                "{} has one network for all noise levels, so --guidance-2 says nothing: use --guidance",
                about.name
            ),
        };
        // A clip without a steady rate gets the model's own; a picture has none.
        let fps = match task.main_clip() {
            _ if task.is_picture() => None,
            _ if make.fps.is_some() => make.fps,
            Some(clip) => clip.fps(),
            None if make.no_interpolate || is_gif(&output) => None,
            None => Some(FrameRate::whole(defaults.frames_per_second as u32)?),
        };
        let request = Self {
            asked: make.caption.is_some().then(|| complete(&prompt)),
            prompt: make.caption.clone().unwrap_or_else(|| complete(&prompt)),
            enhancer,
            size: make.aspect.map_or(size, |aspect| shaped(size, aspect)),
            fps,
            upscales: !make.no_upscale,
            interpolates: !make.no_interpolate,
            preview: make.preview.then(|| name::preview_of(&output)),
            output,
            note,
            task,
            references,
            negative: make.negative.unwrap_or_else(|| defaults.negative.clone()),
            overwrite: make.force,
            keeps_sound,
            quality: Quality::new(make.quality)?,
            seed_is_drawn: make.seed.is_none(),
            sampling: Sampling {
                // Short enough to be typed again.
                seed: make.seed.unwrap_or_else(|| rand::random::<u32>().into()),
                sampler: make.sampler.unwrap_or(defaults.sampler),
                steps: make.steps.unwrap_or(defaults.steps),
                guidance: make.guidance.unwrap_or(defaults.guidance),
                guidance_below,
                guidance_kind: make.guidance_kind,
                guidance_above: make.guidance_above.unwrap_or(defaults.guidance_above),
                step_cache: make.step_cache.filter(|threshold| *threshold > 0.0),
                shift: make.shift.unwrap_or(defaults.shift),
            },
            loras: make.parts.lora,
            device: make.device,
            session_dir: make.session_dir,
            save_every: Duration::from_secs_f64(make.save_every),
            session: make.session,
            json: make.json,
        };
        request.prove_output()?;
        Ok(request)
    }

    /// Lets the server complete the prompt, if one is to.
    ///
    /// # Errors
    ///
    /// What [`Service::complete`] refuses.
    pub(crate) fn ask_service(&mut self) -> Result<()> {
        if let (Enhancer::Service(service), None) = (&self.enhancer, &self.asked) {
            let fuller = service.complete(&self.prompt, self.sampling.seed)?;
            self.asked = Some(std::mem::replace(&mut self.prompt, fuller));
        }
        Ok(())
    }

    /// Lets the model complete the prompt, if it is to and knows how; the seed is settled.
    pub(crate) fn enhance<M: VideoModel>(&mut self, model: &M) {
        if self.enhancer != Enhancer::Model {
            return;
        }
        if let Some(fuller) = model.enhance(&self.prompt, self.sampling.seed) {
            self.asked = Some(std::mem::replace(&mut self.prompt, fuller));
        }
    }

    /// What the recipe says of the task, beside prompt and settings.
    ///
    /// # Errors
    ///
    /// What cannot be read.
    pub(crate) fn task_recipe(&self) -> Result<Value> {
        let mut recipe = self.task.recipe()?;
        if !self.references.is_empty() {
            recipe["references"] = inputs_recipe(&self.references)?;
        }
        Ok(recipe)
    }

    /// Whether nothing but a prompt says what is made.
    pub(crate) fn is_text_alone(&self) -> bool {
        self.task.is_text_alone() && self.references.is_empty()
    }

    /// How the file is written, at `fps`.
    pub(crate) fn sink_options(&self, fps: FrameRate) -> SinkOptions {
        let [width, height] = self.size;
        SinkOptions {
            overwrite: self.overwrite,
            quality: self.quality,
            ..SinkOptions::new(width, height, fps)
        }
    }

    /// Opens the outputs and drops them: what can be refused is refused before the work and not after it.
    fn prove_output(&self) -> Result<()> {
        for output in [Some(&self.output), self.preview.as_ref()]
            .into_iter()
            .flatten()
        {
            let name = output.file_name().unwrap_or_default();
            if name.len() > LONGEST_NAME {
                bail!(
                    "the name of the output has {} bytes, and file systems take 255 with what is added to it: choose one of at most \
                     {LONGEST_NAME}",
                    name.len()
                );
            }
        }
        let options = self.sink_options(self.fps.unwrap_or(FrameRate::whole(12)?));
        drop(open_sink(&self.output, &options)?);
        if let Some(preview) = &self.preview {
            drop(open_sink(preview, &options).context("cannot write the preview")?);
        }
        // A clip is read while the file is written, and replaced only after that; but it would be gone.
        let same = |input: &&PathBuf| {
            let output = std::fs::canonicalize(&self.output);
            output
                .is_ok_and(|output| std::fs::canonicalize(input).is_ok_and(|input| input == output))
        };
        let inputs = self.task.inputs().into_iter().chain(&self.references);
        match inputs.into_iter().find(same) {
            Some(input) => bail!(
                "{} would replace itself: give the output another name",
                input.display()
            ),
            None => Ok(()),
        }
    }
}

/// Pictures that can be read.
fn pictures_of(args: ReferenceArgs) -> Result<Vec<PathBuf>> {
    let open = |path: PathBuf| Given::open(path).map(|given| given.path);
    args.reference.into_iter().map(open).collect()
}

/// The prompt that was given, else those of the recipes; and what to tell where there is none.
fn prompt(given: Option<String>, clips: &[&Given]) -> (String, Option<String>) {
    if let Some(prompt) = given {
        return (prompt, None);
    }
    let mut prompts: Vec<&str> = clips.iter().filter_map(|clip| clip.prompt()).collect();
    prompts.dedup();
    let note = match prompts.is_empty() {
        true => {
            "no prompt was given, and no recipe holds one: what is made follows the frames alone"
                .to_owned()
        }
        false => format!(
            "prompt from the recipe: {}",
            crate::output::harmless(&prompts.join(", "))
        ),
    };
    (prompts.join(", "), Some(note))
}

/// The ending of the file where nothing is said.
fn ending(task: &Task) -> &'static str {
    use kinora_media::Container;
    if task.is_picture() {
        return "png";
    }
    match task.main_clip().map(|clip| clip.info.container) {
        Some(Container::Gif) => "gif",
        Some(Container::WebP) => "webp",
        _ => "mp4",
    }
}

fn given_size(task: &Task) -> Option<[u32; 2]> {
    match task {
        Task::Generate { pictures, .. } => {
            pictures.first().map(|(_, picture)| picture.video_size())
        }
        task => task.main_clip().map(Given::size),
    }
}

/// What nobody gave a size or a rate is small in a format that hardly compresses.
const GIF_SIZE: [u32; 2] = [704, 384];

fn is_gif(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("gif"))
}

fn is_jpeg(path: &Path) -> bool {
    path.extension().is_some_and(|extension| {
        extension.eq_ignore_ascii_case("jpg") || extension.eq_ignore_ascii_case("jpeg")
    })
}

/// The name of the output and `--seconds` together say how long a new clip is.
fn length(output: Option<&Path>, seconds: Option<f64>) -> Result<Length> {
    match (output.filter(|output| is_jpeg(output)), seconds) {
        (Some(_), None) => Ok(Length::Picture),
        (Some(output), Some(_)) => bail!(
            "{} is a single picture, which has no length: leave out --seconds, or end the name with .png for one \
             picture per frame",
            output.display()
        ),
        (None, seconds) => Ok(seconds.map_or(Length::Default, Length::Seconds)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jpeg_is_one_picture() {
        let length = |name: &'static str, seconds| length(Some(Path::new(name)), seconds);
        assert_eq!(length("a.JPG", None).unwrap(), Length::Picture);
        assert_eq!(length("a.mp4", None).unwrap(), Length::Default);
        assert_eq!(length("a.png", Some(2.0)).unwrap(), Length::Seconds(2.0));
        let error = length("a.jpg", Some(2.0)).unwrap_err().to_string();
        assert!(error.contains("leave out --seconds"), "{error}");
    }
}
