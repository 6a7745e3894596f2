//! Takes: each is sampled, decoded and handed over window by window.

use std::collections::BTreeMap;
use std::time::Instant;

use burn::tensor::{Device, Tensor};
use kinora_media::Frame;
use kinora_models::{
    Anchor, Changed, ClipShape, Description, Known, KnownFrames, Origin, VideoModel,
};

use crate::frames::frames_from_tensor;
use crate::generate::{Progress, Report, StageTimes};
use crate::limits;
use crate::order::{Span, order};
use crate::seam::Seams;
use crate::session::Session;
use crate::timeline::Kind;
use crate::window::{WindowRequest, sample};
use crate::{Beside, Error, LatentFrame, Layout, Sampling};

/// Latent frames over which made frames take over the light of given ones beside them.
const SEAM_LATENT_FRAMES: usize = 2;
/// Noise level from which on what stood in a changed clip can give way. Below, half of one thing would be seen and half of another.
const REPLACED_FROM: f32 = 0.75;

/// One timeline with one prompt.
pub struct Take<'a> {
    /// What is to be seen.
    pub prompt: &'a str,
    /// What is not to be seen; may be empty.
    pub negative: &'a str,
    /// How to sample.
    pub sampling: Sampling,
    /// What is known.
    pub layout: Box<dyn Layout + 'a>,
    /// Frames that are handed over, at most as many as the layout holds.
    pub frames: usize,
    /// Given frames of the model's size that stand beside made ones, by their place in the take.
    pub seams: BTreeMap<usize, Frame>,
    /// What is shown to the model beside the latents.
    pub beside: Beside,
    /// Whether it goes on from the take before, as one shot turns into the next. Then its first latent frame holds as many
    /// frames as every other.
    pub joined: bool,
    /// The clip that the known frames are cut from, where the same model made it.
    pub origin: Option<Origin>,
}

impl Take<'_> {
    fn holds_its_frames(&self, stride: usize) -> bool {
        let held = match self.joined {
            true => self.layout.len() * stride,
            false => (self.layout.len() * stride + 1).saturating_sub(stride),
        };
        (1..=held).contains(&self.frames)
    }
}

/// A take with latent frames before its own: those of the take before that it goes on from, or one for each picture that is
/// shown of what is to be seen.
struct Placed<'a> {
    take: Take<'a>,
    lead: usize,
    lead_kind: Kind,
    spans: Vec<Span>,
    /// Whether nothing is sampled after it.
    is_last: bool,
}

impl<'a> Placed<'a> {
    fn all(takes: Vec<Take<'a>>, about: &Description) -> Vec<Self> {
        let mut before = 0;
        let place = |take: Take<'a>| {
            let references = take.beside.references.len();
            let (lead, lead_kind) = match take.joined {
                true => (about.overlap.min(before), Kind::Known),
                false => (references, Kind::Free),
            };
            before = lead + take.layout.len();
            let is_known = |index| take.layout.kind(index) == Kind::Known;
            let known: Vec<bool> = std::iter::repeat_n(lead_kind == Kind::Known, lead)
                .chain((0..take.layout.len()).map(is_known))
                .collect();
            Self {
                take,
                lead,
                lead_kind,
                spans: order(&known, about.window + references, about.overlap),
                is_last: false,
            }
        };
        takes.into_iter().map(place).collect()
    }

    fn len(&self) -> usize {
        self.lead + self.take.layout.len()
    }

    fn kind(&self, index: usize) -> Kind {
        match index.checked_sub(self.lead) {
            Some(index) => self.take.layout.kind(index),
            None => self.lead_kind,
        }
    }

    fn kinds(&self) -> impl Iterator<Item = Kind> {
        (self.lead..self.len()).map(|index| self.kind(index))
    }

    /// Whether all that is not known is new.
    fn is_new(&self) -> bool {
        self.kinds()
            .all(|kind| matches!(kind, Kind::Free | Kind::Known))
    }

    /// Whether a clip of the model's own is changed as a whole, and by so much that something else may stand where something stood.
    fn replaces_own(&self) -> bool {
        let replaces = |kind| matches!(kind, Kind::Noised(level) if level >= REPLACED_FROM);
        self.take.origin.is_some() && self.kinds().all(replaces)
    }

    /// Whether the model sees the given frames of a latent frame: those that are changed.
    fn sees(&self, index: usize) -> bool {
        matches!(self.kind(index), Kind::Noised(_) | Kind::InRegion(_))
    }

    /// The given latent frames beside those that are to be made.
    fn given(&mut self) -> Result<Vec<(usize, Tensor<5>)>, Error> {
        let is_free = |index: usize| self.kind(index) == Kind::Free;
        let is_beside = |&index: &usize| {
            let before = index > self.lead && is_free(index - 1);
            let after = index + 1 < self.len() && is_free(index + 1);
            self.kind(index) == Kind::Known && (before || after)
        };
        let beside: Vec<usize> = (self.lead..self.len()).filter(is_beside).collect();
        let mut given = Vec::with_capacity(beside.len());
        for index in beside {
            if let LatentFrame::Known(known) = self.take.layout.latent_frame(index - self.lead)? {
                given.push((index, known));
            }
        }
        Ok(given)
    }

    /// The latent frame that holds a window to how what it goes on from began, where the window does not see it anyway: the given one
    /// from which its gap is filled, else the first of all. A take that another turns into begins as that one ended, so nothing
    /// holds it, and neither does anything hold a window that ends what was given before at what is given after: it turns from one into
    /// the other.
    fn anchor(&self, span: &Span) -> Option<usize> {
        if self.take.joined || !self.is_new() {
            return None;
        }
        let is_known = |&index: &usize| self.kind(index) == Kind::Known;
        let before = (self.lead..span.makes.start).rev().find(is_known);
        let joins = (span.makes.end..span.sees.end).any(|index| is_known(&index));
        if joins && before.is_some() {
            return None;
        }
        let after = || (span.makes.end..self.len()).find(is_known);
        let anchor = before.or_else(after).unwrap_or(self.lead);
        (!span.sees.contains(&anchor)).then_some(anchor)
    }

    /// Sees to it that a latent frame which is known stands among the others.
    fn fetch(
        &mut self,
        index: usize,
        latents: &mut BTreeMap<usize, Tensor<5>>,
    ) -> Result<(), Error> {
        if !latents.contains_key(&index)
            && self.kind(index) == Kind::Known
            && let LatentFrame::Known(known) = self.take.layout.latent_frame(index - self.lead)?
        {
            latents.insert(index, known);
        }
        Ok(())
    }

    fn steps(&self, span: &Span) -> usize {
        let strengths = span.makes.clone().map(|index| self.kind(index).strength());
        self.take.sampling.steps_from(strengths.fold(0.0, f32::max))
    }
}

/// The prompt, and what to keep away from.
type Texts<T> = (T, Option<T>);

/// What one take leaves for the next.
struct Thread<S> {
    /// Its last latent frames.
    latents: Vec<Tensor<5>>,
    decode_state: S,
}

/// Counts what is done.
struct Tally {
    windows: usize,
    steps: usize,
    all_steps: usize,
    frames: usize,
    all_frames: usize,
    times: StageTimes,
}

/// What all takes share.
pub(crate) struct Work<'a, M, P> {
    pub(crate) model: &'a M,
    /// Width and height in pixels.
    pub(crate) size: [usize; 2],
    pub(crate) device: &'a Device,
    pub(crate) session: Option<&'a mut Session>,
    pub(crate) on_progress: P,
}

impl<M: VideoModel, P: FnMut(Progress) -> bool> Work<'_, M, P> {
    /// Makes all takes. `on_frame` receives their frames in order, counted through.
    pub(crate) fn run(
        mut self,
        takes: Vec<Take<'_>>,
        on_frame: &mut impl FnMut(usize, Frame) -> Result<(), Error>,
    ) -> Result<Report, Error> {
        let about = self.model.description();
        let stride = about.temporal_stride;
        if takes.is_empty() || !takes.iter().all(|take| take.holds_its_frames(stride)) {
            return Err(Error::EmptyTimeline);
        }
        for take in &takes {
            limits::check(about, take)?;
        }
        let all_frames = takes.iter().map(|take| take.frames).sum();
        let takes = Placed::all(takes, about);
        let steps_of = |placed: &Placed<'_>| -> Vec<usize> {
            placed.spans.iter().map(|span| placed.steps(span)).collect()
        };
        let mut steps: Vec<usize> = takes.iter().flat_map(steps_of).collect();
        if let Some(session) = &mut self.session {
            session.begin(steps.len());
            for (number, steps) in steps.iter_mut().enumerate() {
                match session.has(number) {
                    true => *steps = 0,
                    false => *steps -= session.steps_of(number).min(*steps),
                }
            }
        }

        let mut tally = Tally {
            windows: 0,
            steps: 0,
            all_steps: steps.iter().sum(),
            frames: 0,
            all_frames,
            times: StageTimes::default(),
        };
        let mut thread = Thread {
            latents: Vec::new(),
            decode_state: M::DecodeState::default(),
        };
        let mut first = 0;
        let mut left = takes.len();
        for mut placed in takes {
            left -= 1;
            let frames = placed.take.frames;
            let given = std::mem::take(&mut placed.take.seams);
            let mut seams = Seams::new(given, SEAM_LATENT_FRAMES * stride);
            let mut hand_over = |place, frame| on_frame(first + place, frame);
            placed.is_last = left == 0;
            thread = self.take(placed, thread, &mut tally, &mut |place, frame| {
                seams.push(place, frame, &mut hand_over)
            })?;
            seams.finish(&mut hand_over)?;
            first += frames;
        }
        Ok(Report {
            frames: tally.frames,
            times: tally.times,
        })
    }

    fn report(&mut self, progress: Progress) -> Result<(), Error> {
        go_on(&mut self.on_progress, progress)
    }

    fn clip(&self, placed: &Placed<'_>) -> ClipShape {
        ClipShape {
            size: self.size,
            latent_frames: placed.len(),
            seed: placed.take.sampling.seed,
        }
    }

    /// Shows the model a latent frame that is changed, which may then begin from others.
    fn see(
        &self,
        placed: &Placed<'_>,
        text: &mut M::Text,
        (index, frame): (usize, &mut LatentFrame),
    ) -> Result<(), Error> {
        if let LatentFrame::Noised {
            frames, latents, ..
        } = frame
        {
            let changed = Changed {
                prompt: placed.take.prompt,
                clip: self.clip(placed),
                origin: placed.take.origin.as_ref(),
                latent_frame: index,
                frames,
            };
            if let Some(begin) = self.model.see(text, &changed)? {
                *latents = begin;
            }
        }
        Ok(())
    }

    /// The prompt and what to keep away from, encoded; the latter only where there is guidance.
    fn texts(&self, placed: &mut Placed<'_>) -> Result<Texts<M::Text>, Error> {
        let take = &placed.take;
        let negative = take.sampling.is_guided().then_some(take.negative);
        let (mut positive, mut negative) = self.model.encode_texts(take.prompt, negative)?;
        // A plan settles where things are in a clip; it would contradict frames of others that are only to be changed.
        let changes = placed.replaces_own();
        if placed.is_new() || changes {
            let given = placed.given()?;
            let take = &placed.take;
            let clip = self.clip(placed);
            let known = Known {
                beside: &given,
                begins_free: placed.kind(placed.lead) == Kind::Free,
                origin: take.origin.as_ref(),
                changes,
            };
            positive = self.model.plan(take.prompt, positive, clip, known)?;
        }
        let take = &placed.take;
        let about = self.model.description();
        if let KnownFrames::Shown(_) = about.known_frames {
            let frames = 1 + (take.layout.len() - 1) * about.temporal_stride;
            let mut texts: Vec<&mut M::Text> = Some(&mut positive)
                .into_iter()
                .chain(&mut negative)
                .collect();
            take.beside
                .with_clip(self.size, frames, self.device, |given| {
                    self.model.show(&mut texts, given)
                })?;
        }
        Ok((positive, negative))
    }

    fn take(
        &mut self,
        mut placed: Placed<'_>,
        before: Thread<M::DecodeState>,
        tally: &mut Tally,
        on_frame: &mut impl FnMut(usize, Frame) -> Result<(), Error>,
    ) -> Result<Thread<M::DecodeState>, Error> {
        // Encoded when the first window asks for them.
        let mut texts = None;
        let (total, overlap) = (placed.len(), self.model.description().overlap);
        let mut decoding = Decoding {
            next: placed.lead,
            frames: 0,
            state: match placed.take.joined {
                true => before.decode_state,
                false => M::DecodeState::default(),
            },
        };
        let skipped = match placed.take.joined {
            true => before.latents.len() - placed.lead,
            false => before.latents.len(),
        };
        let mut latents: BTreeMap<usize, Tensor<5>> = before
            .latents
            .into_iter()
            .skip(skipped)
            .enumerate()
            .collect();
        let spans = std::mem::take(&mut placed.spans);
        let mut anchor: Option<(usize, Tensor<5>)> = None;
        for (i, span) in spans.iter().enumerate() {
            let made = self.window(
                &mut placed,
                span,
                (&latents, anchor.as_ref()),
                &mut texts,
                tally,
            )?;
            if placed.is_last && i + 1 == spans.len() {
                self.model.end_sampling();
            }
            for (i, index) in span.makes.clone().enumerate() {
                latents.insert(index, made.clone().narrow(2, i, 1));
            }
            self.decode(
                &mut placed,
                &texts,
                &mut latents,
                &mut decoding,
                tally,
                on_frame,
            )?;
            let next = spans.get(i + 1).and_then(|next| placed.anchor(next));
            anchor = match next.filter(|_| self.model.description().anchored) {
                Some(next) if anchor.as_ref().is_some_and(|(index, _)| *index == next) => anchor,
                Some(next) => {
                    placed.fetch(next, &mut latents)?;
                    latents.get(&next).map(|frame| (next, frame.clone()))
                }
                None => None,
            };
            // What nobody will look at again is dropped.
            let later = spans[i + 1..].iter().map(|span| span.sees.start).min();
            let needed = later
                .unwrap_or(total)
                .min(decoding.next)
                .min(total - overlap.min(total));
            latents = latents.split_off(&needed);
        }
        self.decode(
            &mut placed,
            &texts,
            &mut latents,
            &mut decoding,
            tally,
            on_frame,
        )?;
        let first_kept = total - overlap.min(total);
        Ok(Thread {
            latents: latents.split_off(&first_kept).into_values().collect(),
            decode_state: decoding.state,
        })
    }

    /// The latent frames that a window makes, `[1, channels, frames, height, width]`: sampled, or from the session.
    fn window(
        &mut self,
        placed: &mut Placed<'_>,
        span: &Span,
        (latents, anchor): (&BTreeMap<usize, Tensor<5>>, Option<&(usize, Tensor<5>)>),
        texts: &mut Option<Texts<M::Text>>,
        tally: &mut Tally,
    ) -> Result<Tensor<5>, Error> {
        let number = tally.windows;
        tally.windows += 1;
        let about = self.model.description();
        let [width, height] = self.size.map(|pixels| pixels / about.spatial_stride);
        let frame_shape = [1, about.latent_channels, 1, height, width];
        let kept = (self.session.as_ref()).is_some_and(|session| session.has(number));
        let sees = span.makes.clone().any(|index| placed.sees(index));
        if texts.is_none() && (!kept || sees || self.model.description().decodes_with_text) {
            self.report(Progress::EncodingText)?;
            let clock = Instant::now();
            *texts = Some(self.texts(placed)?);
            tally.times.text += clock.elapsed();
        }
        if let (Some(session), true) = (&self.session, kept) {
            if let Some((text, _)) = texts {
                for index in span.makes.clone() {
                    if placed.sees(index) {
                        let mut frame = placed.take.layout.latent_frame(index - placed.lead)?;
                        self.see(placed, text, (index, &mut frame))?;
                    }
                }
            }
            let mut shape = frame_shape;
            shape[2] = span.makes.len();
            return session.load(number, shape, self.device);
        }
        let Some(texts) = texts else {
            unreachable!("a window that is to be sampled has its texts");
        };
        let clock = Instant::now();
        let lead = placed.lead;
        let frame = |index| match latents.get(&index) {
            Some(latents) => Ok(LatentFrame::Known(latents.clone())),
            None if index < lead => Ok(LatentFrame::Free),
            None => placed.take.layout.latent_frame(index - lead),
        };
        let mut frames: Vec<LatentFrame> =
            span.sees.clone().map(frame).collect::<Result<_, _>>()?;
        for (index, frame) in span.sees.clone().zip(&mut frames) {
            if placed.sees(index) {
                self.see(placed, &mut texts.0, (index, frame))?;
            }
        }
        let request = WindowRequest {
            frames: &frames,
            first_latent_frame: span.sees.start,
            frame_shape,
            anchor: anchor.map(|(index, latents)| Anchor {
                latents,
                latent_frame: *index,
            }),
            positive: &texts.0,
            negative: texts.1.as_ref(),
            sampling: &placed.take.sampling,
        };
        let partway = match &self.session {
            Some(session) => session.partway(number, self.device)?,
            None => None,
        };
        let (session, on_progress) = (&mut self.session, &mut self.on_progress);
        let sampled = sample(self.model, &request, self.device, partway, |partway| {
            tally.steps += 1;
            let progress = Progress::Sampling {
                done: tally.steps,
                total: tally.all_steps,
            };
            let goes_on = go_on(on_progress, progress);
            if let Some(session) = session {
                session.keep(number, partway, goes_on.is_err())?;
            }
            goes_on
        })?;
        let sampled = match (sampled, &self.session) {
            (Some(sampled), _) => sampled,
            (None, Some(session)) => return Err(session.damaged()),
            (None, None) => {
                unreachable!("without a session a window is sampled from its beginning")
            }
        };
        let first = span.makes.start - span.sees.start;
        let made = sampled.narrow(2, first, span.makes.len());
        if let Some(session) = &mut self.session {
            session.save(number, &made)?;
        }
        tally.times.sampling += clock.elapsed();
        Ok(made)
    }

    /// Whether a clip is about to be decoded of which all is there, no more than one window, and which nothing goes on from.
    fn is_whole<S>(
        &self,
        placed: &Placed<'_>,
        latents: &BTreeMap<usize, Tensor<5>>,
        decoding: &Decoding<S>,
    ) -> bool {
        let is_there = |index| latents.contains_key(&index) || placed.kind(index) == Kind::Known;
        decoding.next == placed.lead
            && placed.is_last
            && !placed.take.joined
            && placed.take.layout.len() <= self.model.description().window
            && (placed.lead..placed.len()).all(is_there)
    }

    /// Decodes all latent frames that are there and not decoded yet, in order.
    fn decode(
        &mut self,
        placed: &mut Placed<'_>,
        texts: &Option<Texts<M::Text>>,
        latents: &mut BTreeMap<usize, Tensor<5>>,
        decoding: &mut Decoding<M::DecodeState>,
        tally: &mut Tally,
        on_frame: &mut impl FnMut(usize, Frame) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if self.is_whole(placed, latents, decoding) {
            for index in placed.lead..placed.len() {
                placed.fetch(index, latents)?;
            }
            let clock = Instant::now();
            let all: Vec<Tensor<5>> = latents
                .range(placed.lead..)
                .map(|(_, l)| l.clone())
                .collect();
            decoding.state = self.model.begin_decode(&all)?;
            tally.times.decode += clock.elapsed();
        }
        while decoding.next < placed.len() {
            let index = decoding.next;
            placed.fetch(index, latents)?;
            let Some(latent) = latents.get(&index) else {
                return Ok(());
            };
            let clock = Instant::now();
            let (latent, state) = (latent.clone(), &mut decoding.state);
            let video = match texts {
                Some((text, _)) => self.model.decode_step_of(latent, (index, text), state)?,
                None => self.model.decode_step(latent, state)?,
            };
            let frames = checked_frames(video, tally.frames)?;
            tally.times.decode += clock.elapsed();
            let clock = Instant::now();
            for frame in frames
                .into_iter()
                .take(placed.take.frames - decoding.frames)
            {
                on_frame(decoding.frames, frame)?;
                decoding.frames += 1;
                tally.frames += 1;
            }
            tally.times.output += clock.elapsed();
            decoding.next += 1;
            self.report(Progress::Decoding {
                done: tally.frames,
                total: tally.all_frames,
            })?;
        }
        Ok(())
    }
}

fn go_on(on_progress: &mut impl FnMut(Progress) -> bool, progress: Progress) -> Result<(), Error> {
    if on_progress(progress) {
        Ok(())
    } else {
        Err(Error::Stopped)
    }
}

/// How far a take is decoded.
struct Decoding<S> {
    /// The latent frame that is next.
    next: usize,
    /// Frames handed over.
    frames: usize,
    state: S,
}

/// Frames of a decoded piece; a flat one is an error, never a video.
fn checked_frames(video: Tensor<5>, first_frame: usize) -> Result<Vec<Frame>, Error> {
    let frames = frames_from_tensor(video)?;
    for (i, frame) in frames.iter().enumerate() {
        let mut pixels = frame.pixels().chunks_exact(3);
        let first = pixels.next();
        if pixels.all(|pixel| Some(pixel) == first) {
            return Err(Error::FlatFrame {
                frame: first_frame + i,
            });
        }
    }
    Ok(frames)
}
