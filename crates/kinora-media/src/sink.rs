//! Frames out: one way to write every format.

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::behind::Behind;
use crate::gif::GifSink;
use crate::mp4::Mp4Sink;
use crate::source::guarded;
use crate::still::{PictureFormat, PicturesSink};
use crate::webp::WebpSink;
use crate::{Error, Frame, FrameRate, Result};

/// How much detail lossy formats keep: 1 makes the smallest file, 100 the best picture. PNG and GIF ignore it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quality(u8);

impl Quality {
    /// A quality from 1 to 100.
    ///
    /// # Errors
    ///
    /// [`Error::Quality`] outside.
    pub fn new(quality: u32) -> Result<Self> {
        match u8::try_from(quality) {
            Ok(quality @ 1..=100) => Ok(Self(quality)),
            _ => Err(Error::Quality(quality)),
        }
    }

    /// The quality as a number from 1 to 100.
    pub fn get(self) -> u8 {
        self.0
    }
}

impl Default for Quality {
    /// 85: what is lost cannot be seen at normal distance.
    fn default() -> Self {
        Self(85)
    }
}

/// What is written, and how.
#[derive(Clone, Debug)]
pub struct SinkOptions {
    /// Width of every frame in pixels.
    pub width: u32,
    /// Height of every frame in pixels.
    pub height: u32,
    /// Frames per second. Pictures do not store it.
    pub fps: FrameRate,
    /// Whether what already has the name may be replaced.
    pub overwrite: bool,
    /// What the video was made from: a JSON object that travels inside the file as its comment.
    pub recipe: Option<Value>,
    /// How much detail is kept.
    pub quality: Quality,
}

impl SinkOptions {
    /// Options that replace nothing, carry no recipe and keep the default quality.
    pub fn new(width: u32, height: u32, fps: FrameRate) -> Self {
        Self {
            width,
            height,
            fps,
            overwrite: false,
            recipe: None,
            quality: Quality::default(),
        }
    }
}

/// What [`VideoSink::finish`] made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The file; of several pictures the first.
    pub path: PathBuf,
    /// How many frames were pushed.
    pub frames: u64,
    /// How large the file is, or all pictures together.
    pub bytes: u64,
}

/// Takes frames one by one and writes them as they come.
///
/// What is written has a temporary name until [`VideoSink::finish`]. A sink that is dropped before leaves nothing behind.
pub struct VideoSink {
    backend: Box<dyn Backend>,
    path: PathBuf,
    size: (u32, u32),
    frames: u64,
}

/// How a format takes frames. They all have the right size.
pub(crate) trait Backend: Send {
    fn push(&mut self, frame: &Frame) -> Result<()>;

    /// Takes over the sound of `source` between two moments. `None` if the format holds no sound.
    fn copy_audio(&mut self, _source: &Path, _secs: Range<f64>) -> Option<Result<()>> {
        None
    }

    /// At least one frame was pushed.
    fn finish(self: Box<Self>) -> Result<Written>;
}

/// Opens `path` for writing; its extension says the format.
///
/// | name | what is written |
/// | --- | --- |
/// | `.mp4`, `.m4v` | H.264 (High, 4:2:0, BT.709) with the index first |
/// | `.gif` | a GIF that repeats |
/// | `.webp` | an animated WebP that repeats; one frame makes a still |
/// | `.png`, `.jpg`, `.jpeg` | one frame under this name; more as `name-0001.png`… |
/// | a name that ends in `/`, or a folder that exists | `frame-0001.png`… in it |
///
/// All that can be known to fail is refused now, and not after hours of work.
///
/// # Errors
///
/// [`Error::OutputFormat`] for another extension; [`Error::OddSize`], [`Error::SizeLimit`], [`Error::FrameSize`],
/// [`Error::FrameRateLimit`] and [`Error::RecipeTooLong`] for what the format cannot hold; [`Error::Exists`],
/// [`Error::FolderMissing`] and [`Error::NotWritable`] for a bad place.
pub fn open_sink(path: impl AsRef<Path>, options: &SinkOptions) -> Result<VideoSink> {
    let path = path.as_ref();
    Frame::byte_len(options.width, options.height)?;
    let backend: Box<dyn Backend> = match OutputFormat::of(path)? {
        OutputFormat::Mp4 => Box::new(Behind::new(Box::new(Mp4Sink::open(path, options)?))),
        OutputFormat::Gif => Box::new(GifSink::open(path, options)?),
        OutputFormat::Webp => Box::new(WebpSink::open(path, options)?),
        OutputFormat::Pictures(format) => Box::new(PicturesSink::open_file(path, format, options)?),
        OutputFormat::Folder => Box::new(PicturesSink::open_folder(path, options)?),
    };
    Ok(VideoSink {
        backend,
        path: path.into(),
        size: (options.width, options.height),
        frames: 0,
    })
}

/// Writes one picture; the extension of `path` says the format.
///
/// # Errors
///
/// As [`open_sink`].
pub fn write_picture(path: impl AsRef<Path>, frame: &Frame, overwrite: bool) -> Result<Written> {
    let fps = FrameRate::whole(1)?;
    let options = SinkOptions {
        overwrite,
        ..SinkOptions::new(frame.width(), frame.height(), fps)
    };
    let mut sink = open_sink(path, &options)?;
    sink.push(frame)?;
    sink.finish()
}

impl VideoSink {
    /// Writes the next frame.
    ///
    /// # Errors
    ///
    /// [`Error::FrameMismatch`] if it has another size; [`Error::DiskFull`], [`Error::Io`] and [`Error::Encoder`] if it cannot be
    /// written: then drop the sink.
    pub fn push(&mut self, frame: &Frame) -> Result<()> {
        if frame.size() != self.size {
            return Err(Error::FrameMismatch {
                expected: self.size,
                got: frame.size(),
            });
        }
        self.backend.push(frame)?;
        self.frames += 1;
        Ok(())
    }

    /// Gives the video the sound that the clip `source` has between two moments, in seconds of that clip; the first moment
    /// sounds with the first frame, and before its beginning, at negative seconds, the clip is silent. Packets are copied and not encoded again. What is heard after the last frame is left out.
    ///
    /// # Errors
    ///
    /// [`Error::SilentFormat`] if the format holds no sound, [`Error::Sound`] if the clip has none there that can be copied.
    pub fn copy_audio(&mut self, source: impl AsRef<Path>, secs: Range<f64>) -> Result<()> {
        let source = source.as_ref();
        let silent = || Error::SilentFormat {
            path: self.path.clone(),
        };
        guarded(source, || {
            self.backend.copy_audio(source, secs).ok_or_else(silent)?
        })
    }

    /// How many frames were pushed.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Completes the file and gives it its name.
    ///
    /// # Errors
    ///
    /// [`Error::NoFrames`] without frames; [`Error::Exists`] if something took the name meanwhile; [`Error::DiskFull`] and
    /// [`Error::Io`] if it cannot be written.
    pub fn finish(self) -> Result<Written> {
        if self.frames == 0 {
            return Err(Error::NoFrames { path: self.path });
        }
        self.backend.finish()
    }
}

/// What an output is by its name.
enum OutputFormat {
    Mp4,
    Gif,
    Webp,
    Pictures(PictureFormat),
    Folder,
}

impl OutputFormat {
    fn of(path: &Path) -> Result<Self> {
        if path
            .as_os_str()
            .to_string_lossy()
            .ends_with(['/', std::path::MAIN_SEPARATOR])
            || path.is_dir()
        {
            return Ok(Self::Folder);
        }
        let extension = path
            .extension()
            .map(|extension| extension.to_string_lossy().to_lowercase());
        match extension.as_deref() {
            Some("mp4" | "m4v") => Ok(Self::Mp4),
            Some("gif") => Ok(Self::Gif),
            Some("webp") => Ok(Self::Webp),
            Some("png") => Ok(Self::Pictures(PictureFormat::Png)),
            Some("jpg" | "jpeg") => Ok(Self::Pictures(PictureFormat::Jpeg)),
            _ => Err(Error::OutputFormat { path: path.into() }),
        }
    }
}
