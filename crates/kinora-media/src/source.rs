//! Frames in: one way to read every format.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use crate::gif::GifFrames;
use crate::mp4::Mp4Frames;
use crate::probe::{self, Kind};
use crate::webp::WebpFrames;
use crate::{Error, Frame, FrameRate, MediaInfo, Result, still};

/// Transparent parts are laid on white.
pub(crate) const BACKGROUND: [u8; 3] = [255; 3];

/// A frame with its time.
#[derive(Clone, Debug)]
pub struct TimedFrame {
    /// The picture.
    pub frame: Frame,
    /// When it is shown, in seconds since the first frame.
    pub time_secs: f64,
    /// How long it is shown, in seconds; 0 for a still picture.
    pub duration_secs: f64,
}

/// The frames of a file in the order in which they are shown, decoded as they are asked for.
///
/// After an error it ends.
pub struct VideoSource {
    path: PathBuf,
    info: MediaInfo,
    frames: Frames,
}

enum Frames {
    Mp4(Box<Mp4Frames>),
    Gif(Box<GifFrames>),
    Webp(Box<WebpFrames>),
    Still(Option<Frame>),
    Ended,
}

/// Opens a video or a picture. Its first bytes say what it is; the name does not matter.
///
/// # Errors
///
/// [`Error::Missing`] and [`Error::Io`] if it cannot be read, [`Error::Corrupt`] if it is broken, [`Error::Unsupported`] if it is of
/// a kind that is not known.
pub fn open_source(path: impl AsRef<Path>) -> Result<VideoSource> {
    let path = path.as_ref();
    guarded(path, || {
        let kind = Kind::of(path)?;
        let (info, frames) = match kind {
            Kind::Mp4 => {
                let frames = Mp4Frames::open(path)?;
                (
                    probe::describe_mp4(frames.index()),
                    Frames::Mp4(Box::new(frames)),
                )
            }
            Kind::Gif => (
                probe::probe(path)?,
                Frames::Gif(Box::new(GifFrames::open(path)?)),
            ),
            Kind::AnimatedWebp => (
                probe::probe(path)?,
                Frames::Webp(Box::new(WebpFrames::open(path)?)),
            ),
            Kind::Still(format) => (
                probe::probe(path)?,
                Frames::Still(Some(still::read(path, format)?)),
            ),
        };
        Ok(VideoSource {
            path: path.into(),
            info,
            frames,
        })
    })
}

/// Reads one picture: a still, or the first frame of a video.
///
/// # Errors
///
/// As [`open_source`].
pub fn read_picture(path: impl AsRef<Path>) -> Result<Frame> {
    let path = path.as_ref();
    let first = open_source(path)?.next();
    first
        .ok_or_else(|| Error::corrupt(path, "it has no frames"))?
        .map(|timed| timed.frame)
}

/// Decodes, and makes an error of a panic. The decoders are meant to return errors for broken files; this is for what they miss.
pub(crate) fn guarded<T>(path: &Path, decode: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(decode))
        .unwrap_or_else(|_| Err(Error::corrupt(path, "the decoder gave up on it")))
}

impl VideoSource {
    /// What the file holds.
    pub fn info(&self) -> &MediaInfo {
        &self.info
    }

    /// The frames at a steady rate: at each time the one that is shown then, so that some repeat or are left out. A still picture
    /// gives one frame.
    pub fn frames_at(self, fps: FrameRate) -> FramesAt {
        FramesAt {
            source: self,
            fps,
            index: 0,
            shown: None,
            next: None,
        }
    }
}

impl Iterator for VideoSource {
    type Item = Result<TimedFrame>;

    fn next(&mut self) -> Option<Self::Item> {
        let frames = &mut self.frames;
        let next = guarded(&self.path, || match frames {
            Frames::Mp4(frames) => frames.next_frame(),
            Frames::Gif(frames) => frames.next_frame(),
            Frames::Webp(frames) => frames.next_frame(),
            Frames::Still(frame) => Ok(frame.take().map(|frame| TimedFrame {
                frame,
                time_secs: 0.0,
                duration_secs: 0.0,
            })),
            Frames::Ended => Ok(None),
        });
        if !matches!(next, Ok(Some(_))) {
            self.frames = Frames::Ended;
        }
        next.transpose()
    }
}

/// Frames at a steady rate, from [`VideoSource::frames_at`].
pub struct FramesAt {
    source: VideoSource,
    fps: FrameRate,
    index: u64,
    shown: Option<TimedFrame>,
    next: Option<TimedFrame>,
}

impl Iterator for FramesAt {
    type Item = Result<Frame>;

    fn next(&mut self) -> Option<Self::Item> {
        // Times are rounded in many files: what is due within a quarter of a frame is due now.
        let time = self.fps.duration_secs(self.index) + 0.25 * self.fps.duration_secs(1);
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
