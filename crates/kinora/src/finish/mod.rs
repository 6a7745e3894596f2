//! `kinora upscale` and `kinora interpolate`: clips with more pixels, or with more frames.

mod report;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use burn::tensor::Device;
use kinora_media::{
    Container, Frame, FrameRate, Quality, SinkOptions, VideoSink, open_sink, open_source,
};
use kinora_pipeline::{Finish, Fit, Smooth, fit_given};

use crate::args::{FinishArgs, Global, InterpolateArgs, UpscaleArgs};
use crate::error::Stopped;
use crate::generate::{Given, Heard, Sound, sound_of, values};
use crate::progress::Progress;
use crate::{interrupt, weights};

use report::{Network, Outcome};

/// Pixels along the shorter side of what nobody gave a size.
const SHORTER_SIDE: u32 = 1080;
/// Rate of files whose clip has none.
const FRAMES_PER_SECOND: u32 = 12;

/// A clip that is to become another one.
struct Job {
    verb: &'static str,
    clip: Given,
    output: PathBuf,
    /// Of the file: width and height in pixels.
    size: [u32; 2],
    fps: FrameRate,
    /// Frames of the file, about.
    frames: u64,
    settings: FinishArgs,
    network: Network,
}

/// Makes a clip larger.
pub(crate) fn upscale(args: UpscaleArgs, global: &Global) -> Result<()> {
    let started = Instant::now();
    interrupt::install()?;
    let clip = Given::open(args.clip)?;
    let size = match args.size {
        Some(size) => size,
        None => default_size(&clip)?,
    };
    let own = clip.size();
    if size[0] < own[0] && size[1] < own[1] {
        bail!(
            "{} is {}x{}, larger than --size {}x{}: give a size that it can grow to",
            clip.path.display(),
            own[0],
            own[1],
            size[0],
            size[1]
        );
    }
    let fps = match clip.fps() {
        Some(fps) => fps,
        None => FrameRate::whole(FRAMES_PER_SECOND)?,
    };
    let progress = Progress::start(global, "loading");
    let device = args.finish.device.open()?;
    let upscaler = weights::upscaler(&device)?;
    let job = Job {
        verb: "upscale",
        output: args.output.unwrap_or_else(|| {
            let ending = match clip.info.container {
                _ if clip.is_picture() => "png",
                Container::Gif => "gif",
                Container::WebP => "webp",
                _ => "mp4",
            };
            named(&clip.path, "upscaled", ending)
        }),
        size,
        fps,
        frames: frames_at(&clip, fps),
        settings: args.finish,
        network: Network::new(upscaler.name(), upscaler.hash()),
        clip,
    };
    let finish = Finish {
        upscaler: Some(upscaler),
        ..Finish::plain(&device)
    };
    let given = open_source(&job.clip.path)?.frames_at(fps);
    let frames = given.map(|frame| {
        let frame = fit_given(&frame?, own)?;
        Ok(finish.fitted(&frame, size, Fit::Cover)?)
    });
    job.run(frames, progress, started, global)
}

/// Makes a clip smoother.
pub(crate) fn interpolate(args: InterpolateArgs, global: &Global) -> Result<()> {
    let started = Instant::now();
    interrupt::install()?;
    let clip = Given::open_clip(args.clip)?;
    let progress = Progress::start(global, "loading");
    let device: Device = args.finish.device.open()?;
    let interpolator = weights::interpolator(&device)?;
    let (size, fps) = (clip.size(), args.fps);
    let job = Job {
        verb: "interpolate",
        output: args.output.unwrap_or_else(|| {
            let rate = fps.to_string().replace('/', "-");
            named(&clip.path, &format!("{rate}fps"), "mp4")
        }),
        size,
        fps,
        frames: frames_at(&clip, fps),
        settings: args.finish,
        network: Network::new(interpolator.name(), interpolator.hash()),
        clip,
    };
    let given = open_source(&job.clip.path)?;
    let frames =
        Smooth::new(given, fps, &interpolator, &device).map(|frame| Ok(fit_given(&frame?, size)?));
    job.run(frames, progress, started, global)
}

impl Job {
    /// Writes `frames`, and tells what was made.
    fn run(
        self,
        frames: impl Iterator<Item = Result<Frame>>,
        mut progress: Progress,
        started: Instant,
        global: &Global,
    ) -> Result<()> {
        let mut sink = self.open()?;
        let sound = self.sound(&mut sink, &progress, global)?;
        let load_time = started.elapsed();
        let begun = Instant::now();
        for frame in frames {
            if interrupt::requested() {
                return Err(Stopped.into());
            }
            sink.push(&frame?)?;
            let (fraction, left) = pace(sink.frames(), self.frames, begun.elapsed());
            progress.show(self.verb, fraction, Some(left));
        }
        progress.show("writing", 1.0, None);
        let written = sink.finish()?;
        drop(progress);
        Outcome {
            job: &self,
            written: &written,
            sound: sound.as_ref(),
            load_time,
            total_time: started.elapsed(),
        }
        .tell(global)
    }

    /// The file; what can be refused is refused before the work.
    fn open(&self) -> Result<VideoSink> {
        let [width, height] = self.size;
        let canonical = |path: &Path| std::fs::canonicalize(path).ok();
        if canonical(&self.output).is_some_and(|output| Some(output) == canonical(&self.clip.path))
        {
            bail!(
                "{} would replace itself: give the output another name",
                self.output.display()
            );
        }
        let options = SinkOptions {
            overwrite: self.settings.force,
            recipe: Some(self.recipe()?),
            quality: Quality::new(self.settings.quality)?,
            ..SinkOptions::new(width, height, self.fps)
        };
        Ok(open_sink(&self.output, &options)?)
    }

    /// Gives the file the sound of the clip, if it can have it.
    fn sound(
        &self,
        sink: &mut VideoSink,
        progress: &Progress,
        global: &Global,
    ) -> Result<Option<Sound>> {
        if self.settings.sound.no_audio {
            return Ok(None);
        }
        match sound_of(&self.clip, &self.output, 0.0, self.fps) {
            Heard::Kept(sound) => {
                sink.copy_audio(&sound.clip, sound.secs.clone())?;
                Ok(Some(sound))
            }
            Heard::Left(reason) => {
                progress.note(global, &format!("the sound is left out: {reason}"));
                Ok(None)
            }
            Heard::Nothing => Ok(None),
        }
    }
}

/// A size with [`SHORTER_SIDE`] pixels along the shorter side.
///
/// # Errors
///
/// A clip that is as large already, or whose longer side would be too long.
fn default_size(clip: &Given) -> Result<[u32; 2]> {
    let [width, height] = clip.size();
    let name = clip.path.display();
    if width.min(height) >= SHORTER_SIDE {
        bail!("{name} is {width}x{height} already: say with --size how large it is to become");
    }
    let scale = f64::from(SHORTER_SIDE) / f64::from(width.min(height));
    let size = [width, height].map(|side| 2 * (f64::from(side) * scale / 2.0).round() as u32);
    let most = *values::SIDES.end();
    if size[0].max(size[1]) > most {
        bail!(
            "{name} would become {}x{}, and sides go up to {most} pixels: say a smaller size with --size",
            size[0],
            size[1]
        );
    }
    Ok(size)
}

/// Frames of a file that shows the clip at `fps`.
fn frames_at(clip: &Given, fps: FrameRate) -> u64 {
    ((clip.info.duration_secs * fps.as_f64()).round() as u64).max(1)
}

/// `clip-WHAT.ENDING` in the current folder, for `folder/clip.mov`.
fn named(clip: &Path, what: &str, ending: &str) -> PathBuf {
    let mut name = clip.file_stem().unwrap_or_default().to_owned();
    name.push(format!("-{what}.{ending}"));
    name.into()
}

/// The part of the work that is done, and how long the rest takes.
fn pace(done: u64, all: u64, spent: Duration) -> (f64, Duration) {
    let all = all.max(done);
    let left = spent.mul_f64((all - done) as f64 / done.max(1) as f64);
    (done as f64 / all.max(1) as f64, left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_after_their_clip() {
        let name = |path: &str| named(Path::new(path), "60fps", "mp4");
        assert_eq!(name("clips/a.b.mov"), Path::new("a.b-60fps.mp4"));
        assert_eq!(name("sea"), Path::new("sea-60fps.mp4"));
    }

    #[test]
    fn the_rest_takes_as_long_as_what_was_done() {
        let (fraction, left) = pace(3, 12, Duration::from_secs(6));
        assert_eq!((fraction, left), (0.25, Duration::from_secs(18)));
        assert_eq!(pace(13, 12, Duration::from_secs(6)), (1.0, Duration::ZERO));
    }
}
