//! The finished clip, piece by piece: given frames as they are, and made ones at the file's size and rate.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Instant;

use kinora_media::{Frame, FrameRate, FramesAt, open_source, resize_to_cover};

use crate::finish::{Finish, FinishTimes};
use crate::region::Region;
use crate::{Error, Rates, Way};

/// How frames of one shape become frames of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// Scaled until it covers, what stands over is cut off.
    Cover,
    /// Stretched: what was stretched on its way to the model comes back in its own shape.
    Stretch,
}

/// A part of the finished clip.
pub enum Piece {
    /// Frames of a given clip, as they are.
    Given {
        /// The clip.
        path: PathBuf,
        /// Its frames at the file's rate.
        frames: Range<u64>,
    },
    /// A given picture, for some frames of the file.
    Still {
        /// Of the file's size.
        picture: Frame,
        /// How long it is seen.
        frames: u64,
    },
    /// Frames of the model.
    Made {
        /// Which.
        places: Range<usize>,
        /// Frames of the file that show them.
        frames: u64,
        /// Where in the model's time they lie.
        way: Way,
        /// Where they are seen over a given clip; `None` is everywhere.
        over: Option<Box<Region>>,
    },
}

impl Piece {
    fn frames(&self) -> u64 {
        match self {
            Self::Given { frames, .. } => frames.end - frames.start,
            Self::Still { frames, .. } | Self::Made { frames, .. } => *frames,
        }
    }
}

/// Puts the pieces of a clip together as the model's frames come. Of given clips one frame at a time is held.
pub struct Reel {
    /// Of the file: width and height in pixels.
    size: [u32; 2],
    rates: Rates,
    fit: Fit,
    finish: Finish,
    pieces: VecDeque<Piece>,
    /// Frames of the file that the first piece has given so far.
    shown: u64,
    /// The model's frame before.
    before: Option<Frame>,
    times: FinishTimes,
    clip: Option<OpenClip>,
    total: u64,
}

impl Reel {
    /// A clip of these pieces. Made ones follow one another in the order of the model's frames.
    pub fn new(size: [u32; 2], rates: Rates, fit: Fit, finish: Finish, pieces: Vec<Piece>) -> Self {
        Self {
            size,
            rates,
            fit,
            finish,
            before: None,
            times: FinishTimes::default(),
            total: pieces.iter().map(Piece::frames).sum(),
            pieces: pieces.into(),
            shown: 0,
            clip: None,
        }
    }

    /// Frames of the file.
    pub fn frames(&self) -> u64 {
        self.total
    }

    /// Time that made frames have taken so far.
    pub(crate) fn times(&self) -> FinishTimes {
        self.times
    }

    /// Takes frame `place` of the model, and hands over all frames of the file up to the last that shows it.
    ///
    /// # Errors
    ///
    /// A given clip that cannot be read any more, and what `hand_over` returns.
    pub(crate) fn push(
        &mut self,
        place: usize,
        frame: &Frame,
        hand_over: &mut impl FnMut(&Frame) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.pass_given(hand_over)?;
        // At the file's size, by how far they are from the frame before.
        let mut fitted: Option<(f32, Frame)> = None;
        let mut between = VecDeque::new();
        while let Some((wanted, time)) = self.moment() {
            let last = wanted + usize::from(time > 0.0);
            if last > place {
                break;
            }
            // Where the time lies before this frame, it is on the way from the frame before.
            let time = if wanted < place { time } else { 0.0 };
            if fitted.as_ref().is_none_or(|(at, _)| *at != time) {
                let made = match &self.before {
                    Some(before) if time > 0.0 => {
                        if between.is_empty() {
                            let (times, clock) = (self.times_from(wanted), Instant::now());
                            between = self.finish.between(before, frame, &times)?.into();
                            self.times.between += clock.elapsed();
                        }
                        between.pop_front()
                    }
                    _ => None,
                };
                let shown = made.as_ref().unwrap_or(frame);
                let clock = Instant::now();
                let shown = self.finish.fitted(shown, self.size, self.fit)?;
                self.times.enlarge += clock.elapsed();
                fitted = Some((time, shown));
            }
            if let Some((_, frame)) = &fitted {
                self.show_made(frame, hand_over)?;
            }
        }
        if self.finish.interpolator.is_some() {
            self.before = Some(frame.clone());
        }
        Ok(())
    }

    /// Of the next frame of the file, if it is a made one: the model's frame that it begins with or after, and how far it is on
    /// the way to the next one.
    fn moment(&self) -> Option<(usize, f32)> {
        self.moment_after(0)
    }

    /// As [`moment`](Self::moment), `more` frames of the same piece later.
    fn moment_after(&self, more: u64) -> Option<(usize, f32)> {
        let Some(Piece::Made {
            places,
            frames,
            way,
            ..
        }) = self.pieces.front()
        else {
            return None;
        };
        let index = self.shown + more;
        if index >= *frames {
            return None;
        }
        if self.finish.interpolator.is_none() {
            let last = places.end.saturating_sub(1);
            return Some((last.min(places.start + self.rates.model_frame(index)), 0.0));
        }
        let (after, time) = way.at(index);
        Some((places.start.saturating_add_signed(after as isize), time))
    }

    /// How far the next frames of the file are on the way from frame `wanted` of the model to the one after it.
    fn times_from(&self, wanted: usize) -> Vec<f32> {
        let mut times = Vec::new();
        while let Some((frame, time)) = self.moment_after(times.len() as u64)
            && frame == wanted
        {
            times.push(time);
        }
        times
    }

    /// Hands over the next frame of the first piece.
    fn show_made(
        &mut self,
        fitted: &Frame,
        hand_over: &mut impl FnMut(&Frame) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Some(Piece::Made { frames, over, .. }) = self.pieces.front_mut() else {
            return Ok(());
        };
        match over {
            None => hand_over(fitted)?,
            Some(region) => hand_over(&region.lay(fitted, self.size)?)?,
        }
        self.shown += 1;
        if self.shown == *frames {
            self.next_piece();
            self.pass_given(hand_over)?;
        }
        Ok(())
    }

    /// Hands over what is given after the last made frame.
    ///
    /// # Errors
    ///
    /// As [`push`](Self::push).
    pub(crate) fn finish(
        &mut self,
        hand_over: &mut impl FnMut(&Frame) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.pass_given(hand_over)?;
        // Nothing comes towards which the last ones could be on their way.
        while let Some(frame) = &self.before
            && self.moment().is_some()
        {
            let clock = Instant::now();
            let shown = self.finish.fitted(frame, self.size, self.fit)?;
            self.times.enlarge += clock.elapsed();
            self.show_made(&shown, hand_over)?;
        }
        Ok(())
    }

    fn next_piece(&mut self) {
        self.pieces.pop_front();
        self.shown = 0;
    }

    /// Hands over the given pieces that stand first.
    fn pass_given(
        &mut self,
        hand_over: &mut impl FnMut(&Frame) -> Result<(), Error>,
    ) -> Result<(), Error> {
        loop {
            match self.pieces.front() {
                Some(Piece::Still { picture, frames }) => {
                    (0..*frames).try_for_each(|_| hand_over(picture))?;
                }
                Some(Piece::Given { path, frames }) => {
                    let open = self.clip.take();
                    let open = open.filter(|open| open.path == *path && open.next <= frames.start);
                    let mut clip = match open {
                        Some(open) => open,
                        None => OpenClip::open(path.clone(), self.rates.file)?,
                    };
                    while clip.next < frames.end {
                        let seen = clip.next >= frames.start;
                        let frame = clip.frame()?;
                        if seen {
                            hand_over(&fit_given(&frame, self.size)?)?;
                        }
                    }
                    self.clip = Some(clip);
                }
                Some(Piece::Made { .. }) | None => return Ok(()),
            }
            self.next_piece();
        }
    }
}

/// A given clip that is being read at a steady rate.
pub(crate) struct OpenClip {
    path: PathBuf,
    frames: FramesAt,
    /// Index of the next frame.
    next: u64,
}

impl OpenClip {
    pub(crate) fn open(path: PathBuf, fps: FrameRate) -> Result<Self, Error> {
        let frames = open_source(&path)?.frames_at(fps);
        Ok(Self {
            path,
            frames,
            next: 0,
        })
    }

    /// The next frame.
    ///
    /// # Errors
    ///
    /// [`Error::ClipChanged`] where there is none although there was one before.
    pub(crate) fn frame(&mut self) -> Result<Frame, Error> {
        self.next += 1;
        match self.frames.next() {
            Some(frame) => Ok(frame?),
            None => Err(Error::ClipChanged {
                path: self.path.clone(),
            }),
        }
    }
}

/// A given frame at the file's size. One that is a row or a column larger, as odd sizes are, loses it and keeps its pixels.
///
/// # Errors
///
/// A size that no frame can have.
pub fn fit_given(frame: &Frame, size: [u32; 2]) -> Result<Frame, Error> {
    let [width, height] = size;
    let more = |side: u32, wanted: u32| side >= wanted && side - wanted <= 1;
    if frame.size() == (width, height) {
        return Ok(frame.clone());
    }
    if !more(frame.width(), width) || !more(frame.height(), height) {
        return Ok(resize_to_cover(frame, width, height)?);
    }
    let rows = frame.pixels().chunks_exact(3 * frame.width() as usize);
    let pixels = rows
        .take(height as usize)
        .flat_map(|row| &row[..3 * width as usize])
        .copied()
        .collect();
    Ok(Frame::new(width, height, pixels)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;
    use kinora_models::interpolator::{Interpolator, InterpolatorConfig, InterpolatorNetwork};

    fn rates(file: u32) -> Rates {
        Rates {
            model: FrameRate::whole(12).unwrap(),
            file: FrameRate::whole(file).unwrap(),
        }
    }

    fn level(level: u8) -> Frame {
        Frame::filled(8, 4, [level; 3]).unwrap()
    }

    /// The levels of the frames of the file, when frame `i` of the model has level `10 i`.
    fn levels(pieces: Vec<Piece>, fps: u32) -> Vec<u8> {
        levels_with(plain(), pieces, fps)
    }

    fn plain() -> Finish {
        Finish::plain(&Device::flex())
    }

    /// With a fresh interpolator, which blends.
    fn blended(pieces: Vec<Piece>, fps: u32) -> Vec<u8> {
        let config = InterpolatorConfig::new();
        let network = InterpolatorNetwork::new(&config, &Device::flex());
        let interpolator = Interpolator::new("test", String::new(), config, network);
        let finish = Finish {
            interpolator: Some(interpolator),
            ..plain()
        };
        levels_with(finish, pieces, fps)
    }

    /// When frame `i` of the model has level `10 i`.
    fn levels_with(finish: Finish, pieces: Vec<Piece>, fps: u32) -> Vec<u8> {
        let mut reel = Reel::new([8, 4], rates(fps), Fit::Stretch, finish, pieces);
        let total = reel.frames();
        let mut shown = Vec::new();
        let mut take = |frame: &Frame| {
            shown.push(frame.pixels()[0]);
            Ok(())
        };
        for place in 0..20 {
            reel.push(place, &level(10 * place as u8), &mut take)
                .unwrap();
        }
        reel.finish(&mut take).unwrap();
        assert_eq!(shown.len() as u64, total);
        shown
    }

    fn made(places: Range<usize>, frames: u64, fps: u32) -> Piece {
        on_way(places, frames, 0.0, rates(fps).step())
    }

    fn on_way(places: Range<usize>, frames: u64, start: f64, step: f64) -> Piece {
        Piece::Made {
            places,
            frames,
            way: Way { start, step },
            over: None,
        }
    }

    fn still(shade: u8, frames: u64) -> Piece {
        Piece::Still {
            picture: level(shade),
            frames,
        }
    }

    #[test]
    fn pieces_follow_one_another() {
        let pieces = vec![
            still(100, 1),
            made(1..3, 2, 12),
            still(101, 2),
            made(7..8, 1, 12),
        ];
        assert_eq!(levels(pieces, 12), [100, 10, 20, 101, 101, 70]);
        let pieces = vec![made(3..5, 4, 24), still(100, 1)];
        assert_eq!(levels(pieces, 24), [30, 30, 40, 40, 100]);
        assert_eq!(levels(vec![made(0..6, 3, 6)], 6), [0, 20, 40]);
        // A single frame of the model stands for as long as it must.
        assert_eq!(levels(vec![made(0..1, 1, 1)], 1), [0]);
    }

    #[test]
    fn frames_between_are_made() {
        let blended = |places, frames, fps| blended(vec![made(places, frames, fps)], fps);
        assert_eq!(blended(0..3, 6, 24), [0, 5, 10, 15, 20, 25]);
        assert_eq!(blended(0..3, 3, 12), [0, 10, 20]);
        assert_eq!(blended(3..5, 5, 30), [30, 34, 38, 42, 46]);
        assert_eq!(blended(0..6, 2, 5), [0, 24]);
        // Behind the model's last frame nothing is on its way.
        assert_eq!(blended(18..20, 4, 24), [180, 185, 190, 190]);
    }

    #[test]
    fn what_meets_given_frames_is_on_its_way_from_and_to_them() {
        let before = vec![still(0, 1), on_way(1..4, 7, -0.5, 0.5), still(40, 1)];
        assert_eq!(blended(before, 24), [0, 5, 10, 15, 20, 25, 30, 35, 40]);
        // Two given frames with nothing but the way between them.
        let way = vec![still(20, 1), on_way(3..3, 1, -0.5, 0.5), still(30, 1)];
        assert_eq!(blended(way, 24), [20, 25, 30]);
        // Even steps, where there are fewer than the rates say.
        let odd = vec![still(0, 1), on_way(1..3, 3, 0.0, 2.0 / 3.0), still(30, 1)];
        assert_eq!(blended(odd, 24), [0, 10, 17, 23, 30]);
    }

    #[test]
    fn a_given_clip_keeps_its_pixels() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("given.gif");
        let options = kinora_media::SinkOptions::new(8, 4, FrameRate::whole(10).unwrap());
        let mut sink = kinora_media::open_sink(&path, &options).unwrap();
        for shade in 200..210 {
            sink.push(&level(shade)).unwrap();
        }
        sink.finish().unwrap();
        let given = |frames| Piece::Given {
            path: path.clone(),
            frames,
        };
        let pieces = vec![given(0..2), made(5..6, 1, 10), given(8..10), given(0..1)];
        assert_eq!(levels(pieces, 10), [200, 201, 50, 208, 209, 200]);
        let mut reel = Reel::new([8, 4], rates(10), Fit::Stretch, plain(), vec![given(0..99)]);
        let error = reel.finish(&mut |_| Ok(())).unwrap_err();
        assert!(matches!(error, Error::ClipChanged { .. }), "{error}");
    }

    #[test]
    fn odd_sizes_lose_a_row_and_keep_their_pixels() {
        let frame = Frame::from_fn(9, 5, |x, y| [x as u8, y as u8, 0]).unwrap();
        let fitted = fit_given(&frame, [8, 4]).unwrap();
        assert_eq!(fitted.pixel(7, 3), Some([7, 3, 0]));
        assert_eq!(fit_given(&frame, [4, 4]).unwrap().size(), (4, 4));
    }
}
