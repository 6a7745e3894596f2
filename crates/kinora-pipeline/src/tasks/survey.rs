//! Reads a given clip once, from end to end: how long it is, and the few frames that a layout needs.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::path::Path;

use kinora_media::{Frame, FrameRate, open_source, resize};

use crate::Error;
use crate::reel::fit_given;

/// How much longer than it says a clip may be before the frames at its end are missed.
const SLACK_SECS: f64 = 1.0;

/// How a clip is read, and which of its frames are kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    /// Rate of the file.
    pub fps: FrameRate,
    /// Size of the file in pixels, which the clip is fitted to.
    pub size: [u32; 2],
    /// Size in pixels that the model makes, which kept frames are stretched to.
    pub native_size: [usize; 2],
    /// Times of frames that are kept, in seconds.
    pub times: Vec<Range<f64>>,
    /// Seconds before the end of which frames are kept.
    pub last_secs: f64,
}

/// What was found.
#[derive(Debug, Clone)]
pub struct Survey {
    /// Frames of the clip at the rate that was asked for.
    pub frames: u64,
    fps: FrameRate,
    /// Kept frames by their index.
    kept: BTreeMap<u64, Frame>,
}

/// Reads the whole clip. `go_on` is asked after each frame.
///
/// # Errors
///
/// A clip that is damaged or cannot be read, wherever it is; [`Error::EmptyClip`]; [`Error::Stopped`].
pub fn survey(path: &Path, look: &Look, mut go_on: impl FnMut() -> bool) -> Result<Survey, Error> {
    let Look {
        fps,
        size,
        native_size: [width, height],
        times,
        last_secs,
    } = look;
    let source = open_source(path)?;
    let end_secs = source.info().duration_secs - last_secs - SLACK_SECS;
    let frame_secs = fps.duration_secs(1);
    let small = |frame: &Frame| -> Result<Frame, Error> {
        let fitted = fit_given(frame, *size)?;
        Ok(resize(&fitted, *width as u32, *height as u32)?)
    };
    let most = ((last_secs / frame_secs).ceil() as usize).saturating_add(2);

    let mut kept = BTreeMap::new();
    let mut tail: VecDeque<(u64, Frame)> = VecDeque::new();
    let mut last = None;
    let mut frames = 0;
    for frame in source.frames_at(*fps) {
        let frame = frame?;
        let from = fps.duration_secs(frames);
        let overlaps = |times: &Range<f64>| times.start < from + frame_secs && from < times.end;
        if times.iter().any(overlaps) {
            kept.insert(frames, small(&frame)?);
        }
        if *last_secs > 0.0 && from >= end_secs {
            tail.push_back((frames, small(&frame)?));
            if tail.len() > most {
                tail.pop_front();
            }
        }
        last = Some((frames, frame));
        frames += 1;
        if !go_on() {
            return Err(Error::Stopped);
        }
    }
    let Some((index, last)) = last else {
        return Err(Error::EmptyClip { path: path.into() });
    };
    kept.insert(index, small(&last)?);
    kept.extend(tail);
    Ok(Survey {
        frames,
        fps: *fps,
        kept,
    })
}

impl Survey {
    /// Length in seconds.
    pub fn duration_secs(&self) -> f64 {
        self.fps.duration_secs(self.frames)
    }

    /// The kept frame that is seen at `secs`, or the nearest before it.
    pub fn at(&self, secs: f64) -> Frame {
        let index = (secs.max(0.0) * self.fps.as_f64()) as u64;
        let before = self.kept.range(..=index).next_back();
        let frame = before.or_else(|| self.kept.iter().next());
        frame
            .map(|(_, frame)| frame.clone())
            .expect("the last frame is always kept")
    }

    /// `count` frames at the model's rate `fps` that begin at `secs`, fewer where the clip ends.
    pub fn from(&self, secs: f64, count: usize, fps: FrameRate) -> Vec<Frame> {
        let middle = |index: usize| secs + (index as f64 + 0.5) / fps.as_f64();
        let inside = |time: &f64| *time < self.duration_secs();
        (0..count)
            .map(middle)
            .take_while(inside)
            .map(|time| self.at(time))
            .collect()
    }

    /// `count` frames at the model's rate `fps` that end at `secs`, fewer where the clip begins.
    pub fn until(&self, secs: f64, count: usize, fps: FrameRate) -> Vec<Frame> {
        let middle = |index: usize| secs - (index as f64 + 0.5) / fps.as_f64();
        let inside = |time: &f64| *time >= 0.0;
        let times: Vec<f64> = (0..count).map(middle).take_while(inside).collect();
        times.into_iter().rev().map(|time| self.at(time)).collect()
    }
}
