//! Frames in: one way to read every format.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use crate::ffmpeg::{FfmpegFrames, Tools};
use crate::geometry::check_video_size;
use crate::gif::GifFrames;
use crate::kind::Kind;
use crate::mp4::Mp4Frames;
use crate::probe;
use crate::webp::WebpFrames;
use crate::{Error, Frame, FrameRate, FramesAt, MediaInfo, Result, still};

/// Transparent parts are laid on white.
pub(crate) const BACKGROUND: [u8; 3] = [255; 3];

/// A frame with its time.
#[derive(Clone, Debug)]
pub struct TimedFrame {
    /// The picture.
    pub frame: Frame,
    /// When it is shown, in seconds since the clip began. The first frame is later than 0 if the file says so: then sound comes first.
    pub time_secs: f64,
    /// How long it is shown, in seconds; 0 for a still picture.
    pub duration_secs: f64,
}

/// The frames of a file in the order in which they are shown, decoded as they are asked for.
///
/// After an error it ends.
pub struct VideoSource {
    path: PathBuf,
    kind: Kind,
    info: MediaInfo,
    frames: Frames,
    range: Range<f64>,
    /// Up to which moment frames were given.
    given_secs: f64,
}

enum Frames {
    Mp4(Box<Mp4Frames>),
    Gif(Box<GifFrames>),
    Webp(Box<WebpFrames>),
    Ffmpeg(Box<FfmpegFrames>),
    Still(Option<Frame>),
    Ended,
}

/// Opens a video or a picture. Its first bytes say what it is; the name does not matter.
///
/// MP4 and MOV with H.264 (8 bits, 4:2:0, progressive), GIF, WebP, PNG and JPEG are decoded in here. Other codecs, HDR, fragmented MP4,
/// Matroska, WebM, AVI and MPEG transport streams go through the system's FFmpeg. Frames come upright, with square pixels, in the
/// colours of screens; HDR is tone-mapped.
///
/// # Errors
///
/// [`Error::Missing`] and [`Error::Io`] if it cannot be read, [`Error::Corrupt`] and [`Error::Ffmpeg`] if it is broken,
/// [`Error::NeedsFfmpeg`] if FFmpeg would be needed and is not there, [`Error::VideoSize`] if its frames are too large,
/// [`Error::Unsupported`] if it is of a kind that is not known.
pub fn open_source(path: impl AsRef<Path>) -> Result<VideoSource> {
    let path = path.as_ref();
    guarded(path, || {
        let kind = Kind::of(path)?;
        let (info, frames) = open(path, kind)?;
        Ok(VideoSource {
            path: path.into(),
            kind,
            info,
            frames,
            range: 0.0..f64::INFINITY,
            given_secs: 0.0,
        })
    })
}

fn open(path: &Path, kind: Kind) -> Result<(MediaInfo, Frames)> {
    let own = match kind {
        Kind::Mp4 => Mp4Frames::open(path).map(|frames| {
            let info = probe::describe_mp4(frames.index());
            (info, Frames::Mp4(Box::new(frames)))
        }),
        Kind::Foreign(_, what) => Err(Error::needs_ffmpeg(path, what)),
        Kind::Gif => {
            return Ok((
                probe::probe(path)?,
                Frames::Gif(Box::new(GifFrames::open(path)?)),
            ));
        }
        Kind::AnimatedWebp => {
            return Ok((
                probe::probe(path)?,
                Frames::Webp(Box::new(WebpFrames::open(path)?)),
            ));
        }
        Kind::Still(format) => {
            return Ok((
                probe::probe(path)?,
                Frames::Still(Some(still::read(path, format)?)),
            ));
        }
    };
    match (own, kind.demuxer(), Tools::find()) {
        (Err(Error::NeedsFfmpeg { .. }), Some(demuxer), Some(tools)) => {
            let info = probe::describe_with_ffmpeg(tools, path, kind)?;
            check_video_size((info.width, info.height))?;
            let frames = FfmpegFrames::open(tools, path, demuxer, &info, 0.0)?;
            Ok((info, Frames::Ffmpeg(Box::new(frames))))
        }
        (own, _, _) => own,
    }
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

    /// The moments that it gives, in seconds; without an end if it is read to its end.
    pub fn range(&self) -> Range<f64> {
        self.range.clone()
    }

    /// Only what is shown from `from_secs` up to `to_secs`, which may be infinite. Times stay those of the clip; frames that stand
    /// across an end are shown shorter. MP4 and what FFmpeg reads begin at the key frame before; GIF and WebP are decoded up to it.
    ///
    /// # Errors
    ///
    /// [`Error::EmptyRange`] if nothing of the clip lies there; what [`open_source`] and reading may fail with.
    pub fn between(mut self, from_secs: f64, to_secs: f64) -> Result<Self> {
        let from = from_secs.max(0.0);
        let is_still = self.info.fps.is_none();
        if from >= to_secs || to_secs.is_nan() || (from >= self.info.duration_secs && !is_still) {
            return Err(Error::EmptyRange {
                from_secs,
                to_secs,
                duration_secs: self.info.duration_secs,
            });
        }
        (self.range, self.given_secs) = (from..to_secs, from);
        match &mut self.frames {
            Frames::Mp4(frames) => guarded(&self.path, || frames.seek(from))?,
            Frames::Ffmpeg(_) if from > 0.0 => self.start_ffmpeg(from)?,
            _ => {}
        }
        Ok(self)
    }

    /// Goes on with FFmpeg from a moment of the clip.
    fn start_ffmpeg(&mut self, from_secs: f64) -> Result<()> {
        let (Some(demuxer), Some(tools)) = (self.kind.demuxer(), Tools::find()) else {
            return Err(Error::needs_ffmpeg(
                &self.path,
                "it was read by FFmpeg so far",
            ));
        };
        let frames = FfmpegFrames::open(tools, &self.path, demuxer, &self.info, from_secs)?;
        self.frames = Frames::Ffmpeg(Box::new(frames));
        Ok(())
    }

    /// Only the last `secs` seconds; all of it if it is shorter.
    ///
    /// # Errors
    ///
    /// As [`VideoSource::between`].
    pub fn last(self, secs: f64) -> Result<Self> {
        let from = (self.info.duration_secs - secs).max(0.0);
        self.between(from, f64::INFINITY)
    }

    /// The frames at a steady rate: at each time the one that is shown then, so that some repeat or are left out. The first is the one
    /// at the beginning of the [range](VideoSource::range). A still picture gives one frame.
    pub fn frames_at(self, fps: FrameRate) -> FramesAt {
        FramesAt::new(self, fps)
    }

    /// The next frame of the file, wherever it lies.
    fn next_in_file(&mut self) -> Result<Option<TimedFrame>> {
        let (frames, from) = (&mut self.frames, self.given_secs);
        guarded(&self.path, || match frames {
            Frames::Mp4(frames) => frames.next_frame(from),
            Frames::Gif(frames) => frames.next_frame(),
            Frames::Webp(frames) => frames.next_frame(),
            Frames::Ffmpeg(frames) => frames.next_frame(),
            Frames::Still(frame) => Ok(frame.take().map(|frame| TimedFrame {
                frame,
                time_secs: 0.0,
                duration_secs: 0.0,
            })),
            Frames::Ended => Ok(None),
        })
    }

    fn next_in_range(&mut self) -> Result<Option<TimedFrame>> {
        let is_still = self.info.fps.is_none();
        loop {
            let next = match self.next_in_file() {
                // What the decoder in here does not take may stand in the middle of a film.
                Err(Error::NeedsFfmpeg { .. }) if Tools::find().is_some() => {
                    self.start_ffmpeg(self.given_secs)?;
                    continue;
                }
                next => next?,
            };
            let Some(timed) = next else { return Ok(None) };
            if is_still {
                return Ok(Some(timed));
            }
            let start = timed.time_secs.max(self.given_secs);
            let end = (timed.time_secs + timed.duration_secs).min(self.range.end);
            if start >= self.range.end {
                return Ok(None);
            }
            // FFmpeg rounds times to microseconds.
            if end > self.given_secs + 1e-5 {
                self.given_secs = end;
                return Ok(Some(TimedFrame {
                    frame: timed.frame,
                    time_secs: start,
                    duration_secs: end - start,
                }));
            }
        }
    }
}

impl Iterator for VideoSource {
    type Item = Result<TimedFrame>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next_in_range();
        if !matches!(next, Ok(Some(_))) {
            self.frames = Frames::Ended;
        }
        next.transpose()
    }
}
