//! From a task to takes of the model and pieces of the file.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use anyhow::{Result, bail};
use burn::tensor::Device;
use kinora_media::{Frame, read_picture, resize};
use kinora_models::{KnownFrames, Origin, Shown, VideoModel};
use kinora_pipeline::tasks::{
    Change, Look, Repaint, Revision, Survey, bridge, frames_after, frames_before, lead, repaint,
    stills, survey,
};
use kinora_pipeline::{
    Beside, Film, Finish, Fit, Layout, Mask, Piece, Reel, Region, Sampling, Take, Timeline, Way,
    fit_given, latent_frames, reference,
};
use kinora_sampling::shift;

use super::given::Given;
use super::plan::Plan;
use super::request::Request;
use super::script::{Shot, Transition};
use super::task::{Length, Moment, Task};

/// Lays out films for one request.
pub(crate) struct Stage<'a, M, G> {
    pub(crate) model: &'a M,
    pub(crate) request: &'a Request,
    pub(crate) plan: &'a Plan,
    pub(crate) device: &'a Device,
    /// What makes frames larger and more.
    pub(crate) finish: Finish,
    /// Asked again and again while given clips are read.
    pub(crate) go_on: G,
}

/// A bridge's takes and the piece that shows what it makes.
type Made<'a> = (Vec<Take<'a>>, Piece);

impl<'a, M: VideoModel, G: FnMut() -> bool> Stage<'a, M, G> {
    /// Reads what is given, and lays out the film.
    ///
    /// # Errors
    ///
    /// What cannot be read, and what does not fit together.
    pub(crate) fn film(mut self) -> Result<Film<'a>> {
        let mut fit = Fit::Stretch;
        let (takes, pieces) = match &self.request.task {
            Task::Generate { length, pictures } => {
                let frames = match length {
                    Length::Picture => 1,
                    Length::Seconds(secs) => self.plan.model_frames(*secs),
                    Length::Default => self.model.description().defaults.frames,
                };
                if pictures.is_empty() {
                    fit = Fit::Cover;
                    let stride = self.model.description().temporal_stride;
                    let latents = latent_frames(frames, stride);
                    // Towards the frame behind the last one, if it is made anyway, the last one is on its way.
                    let more = usize::from(self.finish.interpolator.is_some());
                    let made = (frames + more).min(1 + (latents - 1) * stride);
                    let layout = Timeline::free(latents);
                    (vec![self.take(layout, made)], vec![self.shows(frames)])
                } else {
                    self.pictures(frames, pictures)?
                }
            }
            Task::Extend { clip, secs, before } => self.extend(clip, *secs, *before)?,
            Task::FillTime { clip, from, to } => self.fill(clip, *from..*to)?,
            Task::FillRegion { clip, mask } => {
                self.check_mask(clip, mask)?;
                let open = || Mask::open(mask.clone(), clip.size(), self.plan.rates.file);
                let over = Region::open(clip.path.clone(), open()?, self.plan.rates.file)?;
                let mask = Mask::open(mask.clone(), clip.size(), self.plan.rates.model)?;
                self.revise(clip, 1.0, Some((mask, over)))?
            }
            Task::Remix { clip, strength } => {
                // A part of the steps, as everywhere: the noise level is what is left before them.
                let level = shift(*strength, self.request.sampling.shift);
                self.revise(clip, level, None)?
            }
            Task::Loop { clip, secs } => {
                let around = self.look(vec![0.0..self.after_secs()], self.before_secs());
                let seen = survey(&clip.path, &around, &mut self.go_on)?;
                let (takes, made) = self.joint(&seen, &seen, *secs)?;
                (takes, vec![whole(clip, &seen), made])
            }
            Task::Blend {
                first,
                second,
                secs,
            } => {
                let end = self.look(Vec::new(), self.before_secs());
                let begin = self.look(vec![0.0..self.after_secs()], 0.0);
                let ends = survey(&first.path, &end, &mut self.go_on)?;
                let begins = survey(&second.path, &begin, &mut self.go_on)?;
                let (takes, made) = self.joint(&ends, &begins, *secs)?;
                (
                    takes,
                    vec![whole(first, &ends), made, whole(second, &begins)],
                )
            }
            Task::Storyboard(shots) => {
                fit = Fit::Cover;
                let takes = self.shots(shots);
                let frames = takes.iter().map(|take| take.frames).sum();
                (takes, vec![self.shows(frames)])
            }
        };
        let takes = self.with_references(takes)?;
        Ok(Film {
            size: self.plan.native_size,
            takes,
            reel: Reel::new(self.request.size, self.plan.rates, fit, self.finish, pieces),
        })
    }

    /// A mask that moves has to last as long as its clip.
    fn check_mask(&mut self, clip: &Given, mask: &Path) -> Result<()> {
        if Given::open(mask.to_owned())?.is_picture() {
            return Ok(());
        }
        let look = self.look(Vec::new(), 0.0);
        let painted = survey(mask, &look, &mut self.go_on)?.frames;
        let frames = survey(&clip.path, &look, &mut self.go_on)?.frames;
        // Times are rounded in many files.
        if painted + 1 < frames {
            bail!(
                "the mask {} ends after {painted} of the {frames} frames of {}: give one that is as long, or a picture for all of them",
                mask.display(),
                clip.path.display()
            );
        }
        Ok(())
    }

    fn take(&self, layout: impl Layout + 'a, frames: usize) -> Take<'a> {
        Take {
            prompt: &self.request.prompt,
            negative: &self.request.negative,
            sampling: self.request.sampling.clone(),
            layout: Box::new(layout),
            frames,
            seams: BTreeMap::new(),
            beside: Beside::default(),
            joined: false,
            origin: None,
        }
    }

    /// Takes that are shown the given pictures of what is to be seen.
    fn with_references(&self, mut takes: Vec<Take<'a>>) -> Result<Vec<Take<'a>>> {
        for path in &self.request.references {
            let picture = reference(&read_picture(path)?, self.plan.native_size)?;
            for take in &mut takes {
                take.beside.references.push(picture.clone());
            }
        }
        Ok(takes)
    }

    /// All of the model's frames.
    fn shows(&self, frames: usize) -> Piece {
        Piece::Made {
            places: 0..frames,
            frames: self.plan.rates.file_frames(frames),
            way: Way::from_start(self.plan.rates),
            over: None,
        }
    }

    /// Pictures that a new clip passes through.
    fn pictures(
        &self,
        frames: usize,
        pictures: &[(Moment, Given)],
    ) -> Result<(Vec<Take<'a>>, Vec<Piece>)> {
        let [width, height] = self.plan.native_size.map(|side| side as u32);
        let mut small = Vec::new();
        let mut large = BTreeMap::new();
        for (moment, given) in pictures {
            let place = match moment {
                Moment::First => 0,
                Moment::At(secs) => (secs * self.plan.rates.model.as_f64()) as usize,
                Moment::Last => frames - 1,
            };
            let picture = fit_given(&read_picture(&given.path)?, self.request.size)?;
            small.push((place, resize(&picture, width, height)?));
            large.insert(place, picture);
        }
        let lead = match large.contains_key(&0) {
            true => lead(self.model.description(), frames),
            false => 0,
        };
        for (place, _) in &mut small {
            *place += lead;
        }
        if lead > 0 {
            let first = small.iter().find(|(place, _)| *place == lead);
            small.extend(first.map(|(_, picture)| (0, picture.clone())));
        }
        let laid = stills(self.model, frames + lead, &small, self.device)?;

        // Which picture each frame of the model shows, if any: the one whose time is nearest.
        let nearest = |place: usize| {
            let shown = laid.seams.contains_key(&(place + lead));
            let times = large.keys().copied().filter(|_| shown);
            times.min_by_key(|time| time.abs_diff(place))
        };
        let rates = self.plan.rates;
        let mut pieces: Vec<Piece> = Vec::new();
        let mut last_shown = None;
        let makes_between = self.finish.interpolator.is_some();
        for index in 0..rates.file_frames(frames) {
            let (place, on_way) = match makes_between {
                true => rates.model_time(index),
                false => (rates.model_frame(index).min(frames - 1), 0.0),
            };
            // On the way from one frame to another neither is shown.
            let next = place + usize::from(on_way > 0.0);
            let shown =
                nearest(place).filter(|_| next >= frames || nearest(place) == nearest(next));
            match (pieces.last_mut(), shown.and_then(|time| large.get(&time))) {
                (Some(Piece::Still { frames, .. }), Some(_)) if last_shown == shown => *frames += 1,
                (_, Some(picture)) => pieces.push(Piece::Still {
                    picture: picture.clone(),
                    frames: 1,
                }),
                (Some(Piece::Made { places, frames, .. }), None) => {
                    *frames += 1;
                    places.end = places.end.max(lead + place + 1);
                }
                (_, None) => {
                    let first = place + usize::from(nearest(place).is_some());
                    pieces.push(Piece::Made {
                        places: lead + first..lead + first.max(place + 1),
                        frames: 1,
                        way: Way {
                            start: place as f64 - first as f64 + f64::from(on_way),
                            step: rates.step(),
                        },
                        over: None,
                    });
                }
            }
            last_shown = shown;
        }
        let take = Take {
            seams: laid.seams,
            beside: laid.beside,
            ..self.take(laid.timeline, frames + lead)
        };
        Ok((vec![take], pieces))
    }

    fn extend(
        &mut self,
        clip: &Given,
        secs: f64,
        before: bool,
    ) -> Result<(Vec<Take<'a>>, Vec<Piece>)> {
        let count = self.plan.file_frames(secs);
        if before {
            let look = self.look(vec![0.0..self.after_secs()], 0.0);
            let seen = survey(&clip.path, &look, &mut self.go_on)?;
            let after = self.frames_from(&seen, 0.0);
            let (takes, made) = self.bridge(&[], count, &after)?;
            Ok((takes, vec![made, whole(clip, &seen)]))
        } else {
            let look = self.look(Vec::new(), self.before_secs());
            let seen = survey(&clip.path, &look, &mut self.go_on)?;
            let before = self.frames_until(&seen, seen.duration_secs());
            let end = self.plan.rates.model_frames(seen.frames);
            let (takes, made) = self.bridge(&before, count, &[])?;
            let takes = self.going_on(takes, clip, end, &made);
            Ok((takes, vec![whole(clip, &seen), made]))
        }
    }

    fn fill(&mut self, clip: &Given, part: Range<f64>) -> Result<(Vec<Take<'a>>, Vec<Piece>)> {
        let fps = self.plan.rates.file;
        let times = vec![
            part.start - self.before_secs()..part.start + fps.duration_secs(1),
            part.end - fps.duration_secs(1)..part.end + self.after_secs(),
        ];
        let look = self.look(times, 0.0);
        let seen = survey(&clip.path, &look, &mut self.go_on)?;
        let frame = |secs: f64| (secs * fps.as_f64()).round() as u64;
        let from = frame(part.start).min(seen.frames - 1);
        let to = frame(part.end).clamp(from + 1, seen.frames);
        if from == 0 && to == seen.frames {
            bail!(
                "nothing of {} would be left: fill a part of it, or make a new clip with `kinora generate`",
                clip.path.display()
            );
        }
        let before = self.frames_until(&seen, fps.duration_secs(from));
        let after = self.frames_from(&seen, fps.duration_secs(to));
        let (takes, made) = self.bridge(&before, to - from, &after)?;
        let begin = match from {
            0 => 0,
            from => self.plan.rates.model_frames(from),
        };
        let takes = self.going_on(takes, clip, begin, &made);
        let given = |frames| Piece::Given {
            path: clip.path.clone(),
            frames,
        };
        Ok((takes, vec![given(0..from), made, given(to..seen.frames)]))
    }

    /// A joint from the end of one clip to the beginning of another.
    fn joint(&self, ends: &Survey, begins: &Survey, secs: f64) -> Result<Made<'a>> {
        let before = self.frames_until(ends, ends.duration_secs());
        let after = self.frames_from(begins, 0.0);
        self.bridge(&before, self.plan.file_frames(secs), &after)
    }

    /// `count` frames of the file between given ones.
    fn bridge(&self, before: &[Frame], count: u64, after: &[Frame]) -> Result<Made<'a>> {
        let made = self.plan.rates.model_frames(count);
        let laid = bridge(self.model, before, made, after, self.device)?;
        // Whoever meets a given frame at the end is there just in time, by even steps between two.
        let own = self.plan.rates.step();
        let left = made as f64 - own * count as f64;
        let way = match (before.is_empty(), after.is_empty()) {
            (_, true) => Way::from_start(self.plan.rates),
            (true, false) => Way {
                start: left.max(0.0),
                step: own,
            },
            (false, false) => Way {
                start: 0.0,
                step: made as f64 / count as f64,
            },
        };
        let take = Take {
            seams: laid.seams,
            beside: laid.beside,
            ..self.take(laid.timeline, laid.frames)
        };
        let piece = Piece::Made {
            places: laid.made_from..laid.made_from + made,
            frames: count,
            way,
            over: None,
        };
        Ok((vec![take], piece))
    }

    /// Takes that know which of the model's own clips they go on from, if it is one; `made` begins behind `before` of its
    /// frames, at the model's rate.
    fn going_on(
        &self,
        mut takes: Vec<Take<'a>>,
        clip: &Given,
        before: usize,
        made: &Piece,
    ) -> Vec<Take<'a>> {
        let Some(recipe) = clip.own(self.model.description(), self.plan.native_size) else {
            return takes;
        };
        if let (Piece::Made { places, .. }, [take]) = (made, &mut takes[..])
            && let Some(first_frame) = before.checked_sub(places.start)
        {
            take.origin = Some(Origin {
                prompt: recipe.prompt,
                seed: recipe.seed,
                first_frame,
            });
        }
        takes
    }

    /// A given clip or picture, changed as a whole or in a region.
    fn revise(
        &mut self,
        clip: &Given,
        strength: f32,
        region: Option<(Mask, Region)>,
    ) -> Result<(Vec<Take<'a>>, Vec<Piece>)> {
        let look = self.look(Vec::new(), 0.0);
        let count = survey(&clip.path, &look, &mut self.go_on)?.frames;
        let frames = match clip.is_picture() {
            true => 1,
            false => self.plan.rates.model_frames(count),
        };
        let piece = |over: Option<Region>| Piece::Made {
            places: 0..frames,
            frames: count,
            way: Way::from_start(self.plan.rates),
            over: over.map(Box::new),
        };
        let about = self.model.description();
        let region = match (about.known_frames, region) {
            (KnownFrames::Shown(Shown::Any), Some((mask, over))) => {
                let clip = Repaint {
                    path: &clip.path,
                    mask,
                    frames,
                    fps: self.plan.rates.model,
                    size: self.request.size,
                    native_size: self.plan.native_size,
                };
                let layout = Timeline::free(latent_frames(frames, about.temporal_stride));
                let take = Take {
                    beside: repaint(about, clip)?,
                    ..self.take(layout, frames)
                };
                return Ok((vec![take], vec![piece(Some(over))]));
            }
            (_, region) => region,
        };
        let (mask, over) = region.unzip();
        let change = Change {
            path: clip.path.clone(),
            frames,
            fps: self.plan.rates.model,
            size: self.request.size,
            strength,
            mask,
        };
        let layout = Revision::open(self.model, change, self.plan.native_size, self.device)?;
        let piece = piece(over);
        let takes = self.going_on(vec![self.take(layout, frames)], clip, 0, &piece);
        Ok((takes, vec![piece]))
    }

    /// One take for each shot. A shot that another goes on from ends with a whole latent frame, so that no time is missing.
    fn shots(&self, shots: &'a [Shot]) -> Vec<Take<'a>> {
        let stride = self.model.description().temporal_stride;
        let (mut secs, mut made) = (0.0, 0);
        let take = |(index, shot): (usize, &'a Shot)| {
            let joined = shot.transition == Transition::Morph;
            let goes_on = shots
                .get(index + 1)
                .is_some_and(|next| next.transition == Transition::Morph);
            // What shots before it had more or less for the sake of whole latent frames is made good.
            secs += shot.secs;
            let wanted = self.plan.model_frames(secs).saturating_sub(made).max(1);
            // The first latent frame of a take that begins anew holds one frame.
            let first = usize::from(!joined);
            let more = wanted - first;
            let latents = match goes_on {
                true => first + ((more + stride / 2) / stride).max(1),
                false => first + more.div_ceil(stride),
            };
            let whole = first + (latents - first) * stride;
            let frames = if goes_on { whole } else { wanted };
            made += frames;
            let seed = shot
                .seed
                .unwrap_or(self.request.sampling.seed.wrapping_add(index as u64));
            Take {
                prompt: &shot.prompt,
                sampling: Sampling {
                    seed,
                    ..self.request.sampling.clone()
                },
                joined,
                ..self.take(Timeline::free(latents), frames)
            }
        };
        shots.iter().enumerate().map(take).collect()
    }

    fn look(&self, times: Vec<Range<f64>>, last_secs: f64) -> Look {
        Look {
            fps: self.plan.rates.file,
            size: self.request.size,
            native_size: self.plan.native_size,
            times,
            last_secs,
        }
    }

    fn frames_until(&self, seen: &Survey, secs: f64) -> Vec<Frame> {
        let count = frames_before(self.model.description());
        seen.until(secs, count, self.plan.rates.model)
    }

    fn frames_from(&self, seen: &Survey, secs: f64) -> Vec<Frame> {
        let count = frames_after(self.model.description());
        seen.from(secs, count, self.plan.rates.model)
    }

    /// Seconds of given frames that a model sees before what it makes, and one frame of the file.
    fn before_secs(&self) -> f64 {
        let frames = frames_before(self.model.description()) as u64;
        self.plan.rates.model.duration_secs(frames) + self.plan.rates.file.duration_secs(1)
    }

    /// Seconds of given frames that a model sees after what it makes, and one frame of the file.
    fn after_secs(&self) -> f64 {
        let frames = frames_after(self.model.description()) as u64;
        self.plan.rates.model.duration_secs(frames) + self.plan.rates.file.duration_secs(1)
    }
}

/// All of a given clip, as it is.
fn whole(clip: &Given, seen: &Survey) -> Piece {
    Piece::Given {
        path: clip.path.clone(),
        frames: 0..seen.frames,
    }
}
