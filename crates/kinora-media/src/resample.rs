//! Frames at another rate than that of their file.

use crate::{Frame, FrameRate, Result, TimedFrame, VideoSource};

/// Frames at a steady rate, from [`VideoSource::frames_at`].
pub struct FramesAt {
    source: VideoSource,
    fps: FrameRate,
    /// The moment of the first frame, in seconds.
    origin_secs: f64,
    index: u64,
    shown: Option<TimedFrame>,
    next: Option<TimedFrame>,
}

impl FramesAt {
    pub(crate) fn new(source: VideoSource, fps: FrameRate) -> Self {
        Self {
            origin_secs: source.range().start,
            source,
            fps,
            index: 0,
            shown: None,
            next: None,
        }
    }
}

impl Iterator for FramesAt {
    type Item = Result<Frame>;

    fn next(&mut self) -> Option<Self::Item> {
        // Times are rounded in many files: what is due within a quarter of a frame is due now.
        let time = self.origin_secs
            + self.fps.duration_secs(self.index)
            + 0.25 * self.fps.duration_secs(1);
        loop {
            if self.next.is_none() {
                match self.source.next() {
                    Some(Ok(frame)) => self.next = Some(frame),
                    Some(Err(error)) => {
                        self.shown = None;
                        return Some(Err(error));
                    }
                    None => break,
                }
            }
            let ahead = self.next.as_ref().is_some_and(|next| next.time_secs > time);
            if ahead && self.shown.is_some() {
                break;
            }
            self.shown = self.next.take();
        }
        let shown = self.shown.as_ref()?;
        let last = self.next.is_none() && self.index > 0;
        if last && time >= shown.time_secs + shown.duration_secs {
            self.shown = None;
            return None;
        }
        self.index += 1;
        Some(Ok(shown.frame.clone()))
    }
}
