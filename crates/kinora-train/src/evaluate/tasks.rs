//! Tasks with given frames, on rendered scenes of held-out combinations: a picture that goes on, a clip that is extended,
//! filled or looped.

use std::collections::BTreeMap;

use burn::tensor::Device;
use kinora_data::{RenderOptions, Renderer, captions};
use kinora_media::{Frame, FrameRate};
use kinora_models::{Description, VideoModel};
use kinora_pipeline::tasks::{bridge, frames_after, frames_before, stills};
use kinora_pipeline::{
    Beside, Film, Finish, Fit, Piece, Rates, Reel, Sampling, Take, Timeline, Way, make,
};
use serde::{Deserialize, Serialize};

use super::clips::{clip_seed, wide};
use super::continuity::{mean, median, psnr_db, rounded, seam_jump};
use super::{EvaluateOptions, scene};
use crate::Error;

/// Latent frames that are made between or beside given ones.
const MADE_LATENT_FRAMES: usize = 3;
/// What is made of given frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GivenTask {
    /// A picture becomes a video.
    Picture,
    /// A clip goes on.
    Extend,
    /// A gap is filled.
    Fill,
    /// From the end of a clip to its beginning.
    Loop,
}

impl GivenTask {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Picture, Self::Extend, Self::Fill, Self::Loop];

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Picture => "picture to video",
            Self::Extend => "extend",
            Self::Fill => "fill",
            Self::Loop => "loop",
        }
    }
}

/// What the clips of one task were like; ratios are means, jumps are medians.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TaskQuality {
    /// Which.
    pub task: GivenTask,
    /// Clips that were made.
    pub clips: usize,
    /// Given frames as they come back from the model, to themselves, in dB. Files show the given frames.
    pub kept_psnr_db: Option<f64>,
    /// The first made frame to the given one before it, in dB.
    pub first_psnr_db: Option<f64>,
    /// The same two frames of the rendered scene, in dB.
    pub real_first_psnr_db: Option<f64>,
    /// See [`seam_jump`](super::seam_jump).
    pub seam_jump: Option<f64>,
    /// The same places of the rendered scene; a scene does not loop.
    pub real_seam_jump: Option<f64>,
}

/// A task laid out on frames of a scene.
struct Laid {
    timeline: Timeline,
    frames: usize,
    seams: BTreeMap<usize, Frame>,
    beside: Beside,
    /// What is shown at each place: a given frame, or what is made there.
    shown: Vec<Option<Frame>>,
    /// What the rendered scene shows at each place.
    real: Option<Vec<Frame>>,
}

/// One clip in figures.
#[derive(Default)]
struct Measured {
    kept_db: Vec<f64>,
    first_db: Vec<f64>,
    real_first_db: Vec<f64>,
    jump: Vec<f64>,
    real_jump: Vec<f64>,
}

/// Makes and measures `options.task_clips` clips of each task. `report` is told how many are done.
pub(super) fn measure(
    options: &EvaluateOptions<'_>,
    device: &Device,
    mut report: impl FnMut(usize) -> Result<(), Error>,
) -> Result<Vec<TaskQuality>, Error> {
    let scenes = options.task_clips;
    let mut all = Vec::new();
    for task in GivenTask::ALL.into_iter().filter(|_| scenes > 0) {
        let mut measured = Measured::default();
        for index in 0..scenes {
            let mut going = || report(all.len() * scenes + index);
            going()?;
            let real = rendered(options, index)?;
            let laid = lay(options, task, &real, device)?;
            let made = run(options, index, &laid, device, &mut going)?;
            measured.add(&laid, &made);
        }
        all.push(measured.quality(task, scenes));
    }
    Ok(all)
}

/// Frames of a scene, as many as a task needs at most.
fn rendered(options: &EvaluateOptions<'_>, index: usize) -> Result<Vec<Frame>, Error> {
    let about = options.model.description();
    let count = frames_before(about) + made_frames(about) + frames_after(about);
    let spec = scene(options, index);
    let clip = Renderer::new(options.pack).render(&spec, RenderOptions::native(&spec, count))?;
    let frame = |i: usize| {
        let (width, height) = (clip.width as u32, clip.height as u32);
        Ok(Frame::new(width, height, clip.frame(i).to_vec())?)
    };
    (0..clip.frames).map(frame).collect()
}

fn made_frames(about: &Description) -> usize {
    MADE_LATENT_FRAMES * about.temporal_stride
}

fn lay(
    options: &EvaluateOptions<'_>,
    task: GivenTask,
    real: &[Frame],
    device: &Device,
) -> Result<Laid, Error> {
    let (model, about) = (options.model, options.model.description());
    let (before, made) = (frames_before(about), made_frames(about));
    let given = |frames: &[Frame]| frames.iter().cloned().map(Some).collect::<Vec<_>>();
    if task == GivenTask::Picture {
        let frames = 1 + made;
        let laid = stills(model, frames, &[(0, real[0].clone())], device)?;
        return Ok(Laid {
            timeline: laid.timeline,
            frames,
            seams: laid.seams,
            beside: laid.beside,
            shown: [given(&real[..1]), vec![None; made]].concat(),
            real: Some(real[..frames].to_vec()),
        });
    }
    let (head, tail) = match task {
        GivenTask::Fill => (&real[..before], &real[before + made..]),
        GivenTask::Loop => (&real[real.len() - before..], &real[..frames_after(about)]),
        GivenTask::Picture | GivenTask::Extend => (&real[..before], &real[..0]),
    };
    let laid = bridge(model, head, made, tail, device)?;
    let after = laid.frames - before - made;
    Ok(Laid {
        timeline: laid.timeline,
        frames: laid.frames,
        seams: laid.seams,
        beside: laid.beside,
        shown: [
            given(head),
            vec![None; made],
            given(&tail[..after.min(tail.len())]),
        ]
        .concat(),
        real: (task != GivenTask::Loop).then(|| real[..laid.frames.min(real.len())].to_vec()),
    })
}

/// All frames of the layout, the given ones as the model gives them back.
fn run(
    options: &EvaluateOptions<'_>,
    index: usize,
    laid: &Laid,
    device: &Device,
    report: &mut impl FnMut() -> Result<(), Error>,
) -> Result<Vec<Frame>, Error> {
    let spec = scene(options, index);
    let seed = clip_seed(options, index);
    let prompt = captions(&spec, options.pack, seed).short_en.text;
    let [width, height] = wide();
    let fps = FrameRate::whole(options.model.description().frames_per_second as u32)?;
    let rates = Rates {
        model: fps,
        file: fps,
    };
    let all = Piece::Made {
        places: 0..laid.frames,
        frames: laid.frames as u64,
        way: Way::from_start(rates),
        over: None,
    };
    let film = Film {
        size: wide(),
        takes: vec![Take {
            prompt: &prompt,
            negative: "",
            sampling: Sampling {
                seed,
                ..options.sampling.clone()
            },
            layout: Box::new(laid.timeline.clone()),
            frames: laid.frames,
            seams: laid.seams.clone(),
            beside: laid.beside.clone(),
            joined: false,
            origin: None,
        }],
        reel: Reel::new(
            [width as u32, height as u32],
            rates,
            Fit::Stretch,
            Finish::plain(device),
            vec![all],
        ),
    };
    let mut frames = Vec::new();
    let mut going = Ok(());
    let go_on = |_| {
        going = report();
        going.is_ok()
    };
    let made = make(options.model, film, device, None, go_on, |frame| {
        frames.push(frame.clone());
        Ok(())
    });
    going?;
    made?;
    Ok(frames)
}

impl Measured {
    fn add(&mut self, laid: &Laid, made: &[Frame]) {
        let places = laid.shown.iter().zip(made);
        let kept = places.filter_map(|(given, made)| Some(psnr_db(given.as_ref()?, made)));
        self.kept_db.extend(mean(kept));
        let is_given = |place: usize| laid.shown[place].is_some();
        let seams: Vec<usize> = (1..laid.shown.len())
            .filter(|&place| is_given(place - 1) != is_given(place))
            .collect();
        // As the file shows it.
        let shown: Vec<Frame> = laid
            .shown
            .iter()
            .zip(made)
            .map(|(given, made)| given.as_ref().unwrap_or(made).clone())
            .collect();
        let first = |frames: &[Frame]| {
            let &seam = seams.first()?;
            Some(psnr_db(frames.get(seam - 1)?, frames.get(seam)?))
        };
        self.first_db.extend(first(&shown));
        self.jump.extend(seam_jump(&shown, &seams));
        if let Some(real) = &laid.real {
            self.real_first_db.extend(first(real));
            self.real_jump.extend(seam_jump(real, &seams));
        }
    }

    fn quality(self, task: GivenTask, clips: usize) -> TaskQuality {
        let told = |figure: Option<f64>| figure.map(rounded);
        TaskQuality {
            task,
            clips,
            kept_psnr_db: told(mean(self.kept_db.into_iter())),
            first_psnr_db: told(mean(self.first_db.into_iter())),
            real_first_psnr_db: told(mean(self.real_first_db.into_iter())),
            seam_jump: told(median(self.jump)),
            real_seam_jump: told(median(self.real_jump)),
        }
    }
}
