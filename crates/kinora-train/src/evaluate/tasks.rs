//! Tasks with given frames, on rendered scenes of held-out combinations: a picture that goes on, a clip that is extended,
//! filled, looped or [changed](super::changes).

use std::collections::BTreeMap;
use std::ops::Range;

use burn::tensor::Device;
use kinora_data::{Fact, RenderOptions, Renderer, SceneSpec, captions};
use kinora_media::{Frame, FrameRate};
use kinora_models::{Description, VideoModel};
use kinora_pipeline::tasks::{bridge, frames_after, frames_before, lead, stills};
use kinora_pipeline::{
    Beside, Film, Finish, Fit, Layout, Piece, Rates, Reel, Region, Sampling, Take, Way, make,
};
use serde::{Deserialize, Serialize};

use super::changes::{self, Files};
use super::clips::{clip_frames, clip_seed, evenly, judge, wide, write_sheet};
use super::continuity::{border_jump, mean, median, psnr_db, psnr_db_where, rounded, seam_jump};
use super::report::{Accuracies, Facts, JudgedClip};
use super::{EvaluateOptions, Judged, facts, page, scene};
use crate::Error;

/// Latent frames that are made between or beside given ones.
const MADE_LATENT_FRAMES: usize = 4;
/// Made frames of each clip on the sheet, beside a given one.
const SHEET_FRAMES: usize = 3;

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
    /// A region of a clip shows something else.
    Region,
    /// A clip in another style, light or weather.
    Remix,
}

impl GivenTask {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Picture,
        Self::Extend,
        Self::Fill,
        Self::Loop,
        Self::Region,
        Self::Remix,
    ];

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Picture => "picture to video",
            Self::Extend => "extend",
            Self::Fill => "fill",
            Self::Loop => "loop",
            Self::Region => "fill a region",
            Self::Remix => "remix",
        }
    }
}

/// What the clips of one task were like; ratios are means, jumps are medians.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskQuality {
    /// Which.
    pub task: GivenTask,
    /// Clips that were made.
    pub clips: usize,
    /// Given frames, or what is around a region, as they come back from the model, to themselves, in dB. Files show what was given.
    pub kept_psnr_db: Option<f64>,
    /// The first made frame to the given one before it, in dB.
    pub first_psnr_db: Option<f64>,
    /// The same two frames of the rendered scene, in dB.
    pub real_first_psnr_db: Option<f64>,
    /// See [`seam_jump`](super::seam_jump); of a region the same of neighbouring pixels, across its border.
    pub seam_jump: Option<f64>,
    /// The same places of the rendered scene; a scene does not loop.
    pub real_seam_jump: Option<f64>,
    /// What the judges see of what the prompt says, in as many frames as they know around the middle of what was made.
    #[serde(default)]
    pub agreement: Accuracies,
    /// Clip by clip.
    #[serde(default)]
    pub judged: Vec<JudgedClip>,
}

/// A task laid out on frames of a scene.
pub(super) struct Laid<'a> {
    pub(super) layout: Box<dyn Layout + 'a>,
    pub(super) frames: usize,
    /// Frames before the first, of which nothing is shown.
    pub(super) unseen: usize,
    pub(super) seams: BTreeMap<usize, Frame>,
    pub(super) beside: Beside,
    pub(super) shown: Shown,
    pub(super) asked: Asked,
}

/// What is given, and where.
pub(super) enum Shown {
    /// Whole frames.
    Frames {
        /// At each place a given frame, or nothing where one is made.
        given: Vec<Option<Frame>>,
        /// What the rendered scene shows at each place.
        real: Option<Vec<Frame>>,
    },
    /// All but a region.
    Region {
        given: Vec<Frame>,
        /// Which pixels are made.
        made: Vec<bool>,
        /// What lays them over the given ones.
        over: Box<Region>,
    },
    /// What all frames are made from.
    Whole { given: Vec<Frame> },
}

/// What is asked for.
pub(super) struct Asked {
    pub(super) prompt: String,
    pub(super) seed: u64,
    /// What is to be seen.
    pub(super) wanted: Facts,
    /// What of it the judges are asked.
    pub(super) told: Vec<Fact>,
}

/// One clip in figures.
#[derive(Default)]
struct Measured {
    kept_db: Vec<f64>,
    first_db: Vec<f64>,
    real_first_db: Vec<f64>,
    jump: Vec<f64>,
    real_jump: Vec<f64>,
    judged: Judged,
    clips: Vec<JudgedClip>,
}

/// Makes and measures `options.task_clips` clips of each task. `report` is told how many are done.
pub(super) fn measure(
    options: &EvaluateOptions<'_>,
    device: &Device,
    mut report: impl FnMut(usize) -> Result<(), Error>,
) -> Result<Vec<TaskQuality>, Error> {
    let scenes = options.task_clips;
    let files = Files::new(options.out);
    let mut all = Vec::new();
    let mut sheet = Vec::new();
    for task in GivenTask::ALL.into_iter().filter(|_| scenes > 0) {
        let mut measured = Measured::default();
        for index in 0..scenes {
            let mut going = || report(all.len() * scenes + index);
            going()?;
            let laid = match task {
                GivenTask::Region => changes::region(options, index, &files, device)?,
                GivenTask::Remix => changes::remix(options, index, &files, device)?,
                _ => lay(options, task, index, device)?,
            };
            let (made, shown, asked) = run(options, laid, device, &mut going)?;
            let shown = measured.add(shown, made)?;
            let around = judged_frames(&shown, clip_frames(options));
            let predictions = judge(options, &shown.frames[around], device);
            let seen = (measured.judged).add(predictions, &asked.wanted, &asked.told, options.pack);
            measured.clips.push(JudgedClip {
                prompt: asked.prompt,
                told: asked.told,
                wanted: asked.wanted,
                seen,
            });
            sheet.extend(shown.before);
            sheet.extend(evenly(shown.frames[shown.made].to_vec(), SHEET_FRAMES));
        }
        all.push(measured.quality(task, scenes));
    }
    write_sheet(
        &sheet,
        1 + SHEET_FRAMES as u32,
        &options.out.join(page::TASKS_SHEET),
    )?;
    Ok(all)
}

/// Frames of a scene.
pub(super) fn render(
    options: &EvaluateOptions<'_>,
    spec: &SceneSpec,
    count: usize,
) -> Result<Vec<Frame>, Error> {
    let clip = Renderer::new(options.pack).render(spec, RenderOptions::native(spec, count))?;
    let frame = |i: usize| {
        let (width, height) = (clip.width as u32, clip.height as u32);
        Ok(Frame::new(width, height, clip.frame(i).to_vec())?)
    };
    (0..clip.frames).map(frame).collect()
}

/// Frames per second that the model makes.
pub(super) fn rate(options: &EvaluateOptions<'_>) -> Result<FrameRate, Error> {
    let fps = options.model.description().frames_per_second;
    Ok(FrameRate::whole(fps as u32)?)
}

/// As many frames as are judged, around the middle of what was made.
fn judged_frames(shown: &Whole, count: usize) -> Range<usize> {
    let middle = usize::midpoint(shown.made.start, shown.made.end);
    let last = shown.frames.len().saturating_sub(count);
    let first = middle.saturating_sub(count / 2).min(last);
    first..(first + count).min(shown.frames.len())
}

fn made_frames(about: &Description) -> usize {
    MADE_LATENT_FRAMES * about.temporal_stride
}

/// A task that goes on from given frames.
fn lay<'a>(
    options: &EvaluateOptions<'a>,
    task: GivenTask,
    index: usize,
    device: &Device,
) -> Result<Laid<'a>, Error> {
    let (model, about) = (options.model, options.model.description());
    let (before, made) = (frames_before(about), made_frames(about));
    let spec = scene(options, index);
    let real = render(options, &spec, before + made + frames_after(about))?;
    let seed = clip_seed(options, index);
    let caption = captions(&spec, options.pack, seed).short_en;
    let asked = Asked {
        prompt: caption.text,
        seed,
        wanted: facts(&spec.labels(), options.pack),
        told: caption.facts,
    };
    let given = |frames: &[Frame]| frames.iter().cloned().map(Some).collect::<Vec<_>>();
    if task == GivenTask::Picture {
        let unseen = lead(about, 1 + made);
        let frames = unseen + 1 + made;
        let mut pictures = vec![(unseen, real[0].clone())];
        pictures.extend((unseen > 0).then(|| (0, real[0].clone())));
        let laid = stills(model, frames, &pictures, device)?;
        return Ok(Laid {
            layout: Box::new(laid.timeline),
            frames,
            unseen,
            seams: laid.seams,
            beside: laid.beside,
            shown: Shown::Frames {
                given: [given(&real[..1]), vec![None; made]].concat(),
                real: Some(real[..1 + made].to_vec()),
            },
            asked,
        });
    }
    let (head, tail) = match task {
        GivenTask::Fill => (&real[..before], &real[before + made..]),
        GivenTask::Loop => (&real[real.len() - before..], &real[..frames_after(about)]),
        _ => (&real[..before], &real[..0]),
    };
    let laid = bridge(model, head, made, tail, device)?;
    let after = laid.frames - before - made;
    Ok(Laid {
        layout: Box::new(laid.timeline),
        frames: laid.frames,
        unseen: 0,
        seams: laid.seams,
        beside: laid.beside,
        shown: Shown::Frames {
            given: [
                given(head),
                vec![None; made],
                given(&tail[..after.min(tail.len())]),
            ]
            .concat(),
            real: (task != GivenTask::Loop).then(|| real[..laid.frames.min(real.len())].to_vec()),
        },
        asked,
    })
}

/// All frames of the layout, the given ones as the model gives them back.
fn run(
    options: &EvaluateOptions<'_>,
    laid: Laid<'_>,
    device: &Device,
    report: &mut impl FnMut() -> Result<(), Error>,
) -> Result<(Vec<Frame>, Shown, Asked), Error> {
    let [width, height] = wide();
    let fps = rate(options)?;
    let rates = Rates {
        model: fps,
        file: fps,
    };
    let all = Piece::Made {
        places: laid.unseen..laid.frames,
        frames: (laid.frames - laid.unseen) as u64,
        way: Way::from_start(rates),
        over: None,
    };
    let film = Film {
        size: wide(),
        takes: vec![Take {
            prompt: &laid.asked.prompt,
            negative: "",
            sampling: Sampling {
                seed: laid.asked.seed,
                ..options.sampling.clone()
            },
            layout: laid.layout,
            frames: laid.frames,
            seams: laid.seams,
            beside: laid.beside,
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
    Ok((frames, laid.shown, laid.asked))
}

/// A clip as its file shows it.
struct Whole {
    frames: Vec<Frame>,
    /// Which of them were made.
    made: Range<usize>,
    /// A given frame.
    before: Option<Frame>,
}

impl Measured {
    /// Measures what the model `made`; returns it as a file shows it.
    fn add(&mut self, shown: Shown, made: Vec<Frame>) -> Result<Whole, Error> {
        match shown {
            Shown::Frames { given, real } => Ok(self.add_frames(&given, real.as_deref(), &made)),
            Shown::Region {
                given,
                made: region,
                mut over,
            } => {
                let stays = |pixel: usize| !region[pixel];
                let kept = given.iter().zip(&made);
                let kept = kept.filter_map(|(given, made)| psnr_db_where(given, made, stays));
                self.kept_db.extend(mean(kept));
                let frames: Result<Vec<Frame>, _> = made
                    .iter()
                    .map(|made| over.lay(made, made.size().into()))
                    .collect();
                let frames = frames?;
                let jump = |frames: &[Frame]| {
                    mean(
                        frames
                            .iter()
                            .filter_map(|frame| border_jump(frame, &region)),
                    )
                };
                self.jump.extend(jump(&frames));
                self.real_jump.extend(jump(&given));
                Ok(Whole::changed(frames, &given))
            }
            Shown::Whole { given } => Ok(Whole::changed(made, &given)),
        }
    }

    fn add_frames(
        &mut self,
        given: &[Option<Frame>],
        real: Option<&[Frame]>,
        made: &[Frame],
    ) -> Whole {
        let places = given.iter().zip(made);
        let kept = places.filter_map(|(given, made)| Some(psnr_db(given.as_ref()?, made)));
        self.kept_db.extend(mean(kept));
        let is_given = |place: usize| given[place].is_some();
        let seams: Vec<usize> = (1..given.len())
            .filter(|&place| is_given(place - 1) != is_given(place))
            .collect();
        let shown: Vec<Frame> = given
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
        if let Some(real) = real {
            self.real_first_db.extend(first(real));
            self.real_jump.extend(seam_jump(real, &seams));
        }
        let end = seams.get(1).copied().unwrap_or(shown.len());
        let first = seams.first().copied().unwrap_or(0);
        Whole {
            before: first.checked_sub(1).map(|last| shown[last].clone()),
            frames: shown,
            made: first..end,
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
            agreement: self.judged.accuracies,
            judged: self.clips,
        }
    }
}

impl Whole {
    fn changed(frames: Vec<Frame>, given: &[Frame]) -> Self {
        Self {
            made: 0..frames.len(),
            frames,
            before: given.get(given.len() / 2).cloned(),
        }
    }
}
