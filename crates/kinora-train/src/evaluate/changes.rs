//! Tasks that change a given clip, on rendered scenes: a region of it is made anew with another subject in it, or all of it becomes another
//! light, weather or style.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use kinora_data::{
    Camera, Fact, Motion, Renderer, SceneSpec, Style, TimeOfDay, Weather, captions, style_names,
};
use kinora_media::{Frame, FrameRate, SinkOptions, open_sink, write_picture};
use kinora_models::mini::plate::PlateSize;
use kinora_pipeline::tasks::{Change, Revision};
use kinora_pipeline::{Beside, Mask, Region};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::clips::{clip_frames, clip_seed, wide};
use super::tasks::{Asked, Laid, Shown, rate, render};
use super::{EvaluateOptions, facts, scene};
use crate::Error;
use crate::corpus::Window;
use crate::regions::{self, about_subject};
use crate::staging::Told;

/// Of a remix, as `kinora remix` has it where nothing else is said.
const STRENGTH: f32 = 0.6;
/// How much wider the region is than what the subject passes, in sides of the smaller frame edge.
const MARGIN: f32 = 0.08;
/// How far apart in the pack the subjects of clips with neighbouring seeds are looked for.
const SPREAD: usize = 101;

/// The given clip and its mask, while they are needed.
pub(super) struct Files {
    clip: PathBuf,
    mask: PathBuf,
}

impl Files {
    /// In this folder.
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            clip: folder.join("given.mp4"),
            mask: folder.join("mask.png"),
        }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        for path in [&self.clip, &self.mask] {
            // What was never written need not be removed.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Where the subject of a scene is seen, another one is asked for.
pub(super) fn region<'a>(
    options: &EvaluateOptions<'a>,
    index: usize,
    files: &Files,
    device: &Device,
) -> Result<Laid<'a>, Error> {
    let spec = SceneSpec {
        companion: None,
        ..scene(options, index)
    };
    let frames = render(options, &spec, clip_frames(options))?;
    let made = region_of(options, &spec);
    write_clip(options, &files.clip, &frames)?;
    let [width, height] = wide();
    let white = |x: u32, y: u32| [u8::from(made[y as usize * width + x as usize]) * 255; 3];
    write_picture(
        &files.mask,
        &Frame::from_fn(width as u32, height as u32, white)?,
        true,
    )?;
    let (prompt, wanted) = stranger(options, &spec, clip_seed(options, index));
    let size = [width as u32, height as u32];
    let fps = rate(options)?;
    let mask = || Mask::open(files.mask.clone(), size, fps);
    let over = Region::open(files.clip.clone(), mask()?, fps)?;
    let change = Change {
        mask: Some(mask()?),
        strength: 1.0,
        ..whole(files, frames.len(), fps)
    };
    let asked = Asked {
        seed: clip_seed(options, index),
        prompt,
        wanted: facts(&wanted.labels(), options.pack),
        told: vec![Fact::Subject, Fact::Background],
    };
    let shown = Shown::Region {
        given: frames,
        made,
        over: Box::new(over),
    };
    laid(options, change, (shown, asked), device)
}

/// Another style, light or weather is asked for, in turn.
pub(super) fn remix<'a>(
    options: &EvaluateOptions<'a>,
    index: usize,
    files: &Files,
    device: &Device,
) -> Result<Laid<'a>, Error> {
    let spec = scene(options, index);
    let frames = render(options, &spec, clip_frames(options))?;
    write_clip(options, &files.clip, &frames)?;
    let (prompt, wanted, changed) = otherwise(options, &spec, index);
    let change = whole(files, frames.len(), rate(options)?);
    let asked = Asked {
        seed: clip_seed(options, index),
        prompt,
        wanted: facts(&wanted.labels(), options.pack),
        told: vec![Fact::Subject, Fact::Background, changed],
    };
    laid(
        options,
        change,
        (Shown::Whole { given: frames }, asked),
        device,
    )
}

fn laid<'a>(
    options: &EvaluateOptions<'a>,
    change: Change,
    (shown, asked): (Shown, Asked),
    device: &Device,
) -> Result<Laid<'a>, Error> {
    Ok(Laid {
        frames: change.frames,
        unseen: 0,
        layout: Box::new(Revision::open(options.model, change, wide(), device)?),
        seams: BTreeMap::new(),
        beside: Beside::default(),
        shown,
        asked,
    })
}

/// The pixels where a scene's subject is seen, or the middle of the frame where it never is.
fn region_of(options: &EvaluateOptions<'_>, spec: &SceneSpec) -> Vec<bool> {
    let config = &options.model.config().autoencoder;
    let frame @ [width, height] = wide();
    let size = PlateSize {
        frame,
        patch: config.patch,
        patch_frames: config.patch_frames,
    };
    let told = Told {
        renderer: &Renderer::new(options.pack),
        spec,
        slots: &[spec.subject],
    };
    let window = Window {
        first: 0,
        latent_frames: options.judges.latent_frames(),
        width,
        height,
    };
    let middle = |length: usize, at: usize| (length / 4..3 * length / 4).contains(&at);
    about_subject(told, size, window, MARGIN).unwrap_or_else(|| {
        let is_middle = |i: usize| middle(width, i % width) && middle(height, i / width);
        (0..width * height).map(is_middle).collect()
    })
}

/// A prompt that names another subject and no place, and the scene with it; the same subject where no other can stand there.
fn stranger(options: &EvaluateOptions<'_>, spec: &SceneSpec, seed: u64) -> (String, SceneSpec) {
    let pack = options.pack;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let there = |i: usize| {
        let subject = (seed as usize).wrapping_mul(SPREAD).wrapping_add(i) % pack.len();
        let (place, stand, camera) = (spec.background, Motion::Stand, Camera::Static);
        let there = SceneSpec::for_facts(seed, pack, subject, place, stand, camera).ok()?;
        let plain = SceneSpec {
            companion: None,
            time: TimeOfDay::Day,
            weather: Weather::Clear,
            style: Style::Natural,
            ..there
        };
        let prompt = regions::caption(&plain, pack, &mut rng)?;
        (subject != spec.subject).then_some((prompt, plain))
    };
    let found = (0..pack.len()).find_map(there);
    found.unwrap_or_else(|| {
        let told = captions(spec, pack, seed).short_en;
        (told.text, spec.clone())
    })
}

/// The whole clip, to be changed by [`STRENGTH`].
fn whole(files: &Files, frames: usize, fps: FrameRate) -> Change {
    Change {
        path: files.clip.clone(),
        frames,
        fps,
        size: wide().map(|side| side as u32),
        strength: STRENGTH,
        mask: None,
    }
}

fn write_clip(options: &EvaluateOptions<'_>, path: &Path, frames: &[Frame]) -> Result<(), Error> {
    let [width, height] = wide().map(|side| side as u32);
    let settings = SinkOptions {
        overwrite: true,
        ..SinkOptions::new(width, height, rate(options)?)
    };
    let mut sink = open_sink(path, &settings)?;
    for frame in frames {
        sink.push(frame)?;
    }
    sink.finish()?;
    Ok(())
}

/// A prompt for the same scene in another style, light or weather, that scene, and which of them it is.
fn otherwise(
    options: &EvaluateOptions<'_>,
    spec: &SceneSpec,
    index: usize,
) -> (String, SceneSpec, Fact) {
    let place = spec.background;
    let styles = Style::ALL.iter().filter(|style| {
        **style != spec.style
            && **style != Style::Natural
            && style.index() < options.judges.styles()
    });
    let times = TimeOfDay::ALL
        .iter()
        .filter(|time| **time != spec.time && time.weight(place) > 0.0);
    let weathers = Weather::ALL.iter().filter(|weather| {
        **weather != spec.weather && **weather != Weather::Clear && weather.weight(place) > 0.0
    });
    let turn = index / 3;
    let nth = |count: usize| (count > 0).then(|| turn % count);
    let mut other = spec.clone();
    let word = |words: &[&'static str]| words.first().copied().unwrap_or_default().to_owned();
    if index % 3 == 1
        && let Some(&time) = nth(times.clone().count()).and_then(|n| times.clone().nth(n))
    {
        other.time = time;
        return (word(time.words()), other, Fact::Time);
    }
    if index % 3 == 2
        && let Some(&weather) = nth(weathers.clone().count()).and_then(|n| weathers.clone().nth(n))
    {
        other.weather = weather;
        return (word(weather.words()), other, Fact::Weather);
    }
    if let Some(&style) = nth(styles.clone().count()).and_then(|n| styles.clone().nth(n)) {
        other.style = style;
    }
    (word(style_names(other.style)), other, Fact::Style)
}
