//! What a file holds, without decoding it.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use image::ImageFormat;
use serde::Serialize;
use serde_json::Value;

use crate::ffmpeg::{self, Tools};
use crate::kind::Kind;
use crate::mp4::AudioInfo;
use crate::source::guarded;
use crate::{
    Colour, DynamicRange, Error, FrameRate, Orientation, PixelAspect, Result, gif, mp4, still, webp,
};

/// The kind of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Container {
    /// MP4.
    Mp4,
    /// QuickTime: what cameras and phones call MOV.
    Mov,
    /// Matroska, or WebM, which is a kind of it.
    Matroska,
    /// AVI.
    Avi,
    /// MPEG transport stream, as from camcorders and television.
    MpegTs,
    /// GIF.
    Gif,
    /// WebP, still or animated.
    WebP,
    /// PNG.
    Png,
    /// JPEG.
    Jpeg,
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Container::Mp4 => "MP4",
            Container::Mov => "QuickTime",
            Container::Matroska => "Matroska/WebM",
            Container::Avi => "AVI",
            Container::MpegTs => "MPEG-TS",
            Container::Gif => "GIF",
            Container::WebP => "WebP",
            Container::Png => "PNG",
            Container::Jpeg => "JPEG",
        })
    }
}

/// Who decodes a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Reader {
    /// This program.
    Kinora,
    /// The system's FFmpeg, which has to be installed.
    Ffmpeg,
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MediaInfo {
    /// The kind of the file.
    pub container: Container,
    /// The codec of the pictures, such as `H.264 High`, or the four letters of one that is not known.
    pub codec: String,
    /// Width in pixels as it is shown: upright, and with square pixels.
    pub width: u32,
    /// Height in pixels as it is shown.
    pub height: u32,
    /// Frames per second, on average; `None` for a still picture.
    pub fps: Option<FrameRate>,
    /// How many frames are shown. GIF and WebP store frames that do not change once. Of what FFmpeg reads it may be an estimate.
    pub frames: u64,
    /// When the last frame ends, in seconds; 0 for a still picture.
    pub duration_secs: f64,
    /// How its numbers stand for colours, where it says so.
    pub colour: Option<Colour>,
    /// Whether it is HDR. Frames come tone-mapped.
    pub dynamic_range: DynamicRange,
    /// Bits of a stored sample.
    pub bit_depth: u8,
    /// Whether it stores fields.
    pub interlaced: bool,
    /// How the stored pictures are turned to be shown. Frames come upright.
    pub orientation: Orientation,
    /// How wide the stored pixels are for their height. Frames come with square ones.
    pub pixel_aspect: PixelAspect,
    /// Its sound, if it has any.
    pub audio: Option<AudioInfo>,
    /// Who decodes it.
    pub reader: Reader,
    /// Whether it can begin to play before all of it is there.
    pub index_first: bool,
    /// What it was made from, if Kinora made it.
    pub recipe: Option<Value>,
}

/// What the file `path` holds. Nothing is decoded.
///
/// # Errors
///
/// [`Error::Missing`] and [`Error::Io`] if it cannot be read, [`Error::Corrupt`] if it is broken, [`Error::Unsupported`] if it is of
/// a kind that is not known.
pub fn probe(path: impl AsRef<Path>) -> Result<MediaInfo> {
    let path = path.as_ref();
    guarded(path, || describe(path))
}

fn describe(path: &Path) -> Result<MediaInfo> {
    match Kind::of(path)? {
        kind @ (Kind::Mp4 | Kind::Foreign(..)) => describe_clip(path, kind),
        Kind::Gif => {
            let scan = gif::scan(BufReader::new(open(path)?)).map_err(|error| bad(path, error))?;
            let animation = Animation {
                frames: scan.frames,
                duration_ms: scan.duration_ms,
            };
            let size = (scan.width, scan.height);
            animation.describe(path, Container::Gif, size, scan.recipe)
        }
        Kind::AnimatedWebp => {
            let scan = scan_webp(path)?;
            let animation = Animation {
                frames: scan.frames,
                duration_ms: scan.duration_ms,
            };
            let still = still::scan(path, ImageFormat::WebP)?;
            animation.describe(
                path,
                Container::WebP,
                (still.width, still.height),
                scan.recipe,
            )
        }
        Kind::Still(format) => {
            let still = still::scan(path, format)?;
            let container = match format {
                ImageFormat::Png => Container::Png,
                ImageFormat::Jpeg => Container::Jpeg,
                _ => Container::WebP,
            };
            let recipe = match container {
                Container::WebP => scan_webp(path)?.recipe,
                _ => still.recipe,
            };
            Ok(MediaInfo {
                frames: 1,
                recipe,
                ..MediaInfo::plain(container, (still.width, still.height))
            })
        }
    }
}

/// What the file `path` was made from; `None` if it does not say.
///
/// # Errors
///
/// As [`probe`].
pub fn read_recipe(path: impl AsRef<Path>) -> Result<Option<Value>> {
    Ok(probe(path)?.recipe)
}

/// A clip by its own index, or else by what FFprobe says.
fn describe_clip(path: &Path, kind: Kind) -> Result<MediaInfo> {
    let own = match kind {
        Kind::Foreign(_, what) => Err(Error::needs_ffmpeg(path, what)),
        _ => mp4::Index::read(path).map(|index| describe_mp4(&index)),
    };
    let is_foreign = match &own {
        Ok(info) => info.reader == Reader::Ffmpeg,
        Err(error) => matches!(error, Error::NeedsFfmpeg { .. }),
    };
    match Tools::find() {
        Some(tools) if is_foreign => describe_with_ffmpeg(tools, path, kind),
        _ => own,
    }
}

/// What FFprobe says, and what it does not know.
pub(crate) fn describe_with_ffmpeg(tools: &Tools, path: &Path, kind: Kind) -> Result<MediaInfo> {
    let demuxer = kind
        .demuxer()
        .ok_or_else(|| Error::corrupt(path, "it is no clip"))?;
    let told = ffmpeg::describe(tools, path, demuxer)?;
    // The index of a fragmented MP4 cannot be read, and that is no error here.
    let own = match kind {
        Kind::Mp4 => mp4::Index::read(path)
            .ok()
            .map(|index| describe_mp4(&index)),
        _ => None,
    };
    Ok(match own {
        Some(own) => MediaInfo {
            container: own.container,
            orientation: own.orientation,
            audio: own.audio,
            index_first: own.index_first,
            recipe: own.recipe,
            ..told
        },
        None => told,
    })
}

pub(crate) fn describe_mp4(index: &mp4::Index) -> MediaInfo {
    let (width, height) = index.size();
    MediaInfo {
        container: if index.quicktime {
            Container::Mov
        } else {
            Container::Mp4
        },
        codec: index.codec.clone(),
        width,
        height,
        fps: Some(index.fps),
        frames: index.frames,
        duration_secs: index.duration_secs,
        colour: index.colour,
        dynamic_range: index
            .colour
            .map_or(DynamicRange::Standard, Colour::dynamic_range),
        bit_depth: index.bit_depth,
        interlaced: index.interlaced,
        orientation: index.orientation,
        pixel_aspect: index.aspect,
        audio: index.audio.clone(),
        reader: match index.foreign {
            Some(_) => Reader::Ffmpeg,
            None => Reader::Kinora,
        },
        index_first: index.index_first,
        recipe: index.recipe.clone(),
    }
}

impl MediaInfo {
    /// A picture of eight bits that is shown as it is stored.
    fn plain(container: Container, (width, height): (u32, u32)) -> Self {
        Self {
            container,
            codec: container.to_string(),
            width,
            height,
            fps: None,
            frames: 0,
            duration_secs: 0.0,
            colour: None,
            dynamic_range: DynamicRange::Standard,
            bit_depth: 8,
            interlaced: false,
            orientation: Orientation::UPRIGHT,
            pixel_aspect: PixelAspect::SQUARE,
            audio: None,
            reader: Reader::Kinora,
            index_first: true,
            recipe: None,
        }
    }
}

struct Animation {
    frames: u64,
    duration_ms: u64,
}

impl Animation {
    fn describe(
        self,
        path: &Path,
        container: Container,
        size: (u32, u32),
        recipe: Option<Value>,
    ) -> Result<MediaInfo> {
        if self.frames == 0 {
            return Err(Error::corrupt(path, "it has no frames"));
        }
        let fps = FrameRate::from_average(self.frames, self.duration_ms, 1000)
            .map_err(|error| Error::corrupt(path, error))?;
        Ok(MediaInfo {
            fps: Some(fps),
            frames: self.frames,
            duration_secs: self.duration_ms as f64 / 1000.0,
            recipe,
            ..MediaInfo::plain(container, size)
        })
    }
}

pub(crate) fn scan_webp(path: &Path) -> Result<webp::Scan> {
    let file = open(path)?;
    let length = file
        .metadata()
        .map_err(|error| Error::reading(path, error))?
        .len();
    webp::scan(BufReader::new(file), length).map_err(|error| bad(path, error))
}

pub(crate) fn open(path: &Path) -> Result<File> {
    let file = File::open(path).map_err(|error| Error::reading(path, error))?;
    let is_folder = file.metadata().is_ok_and(|data| data.is_dir());
    if is_folder {
        let hint = "name a file in it";
        return Err(Error::unsupported(path, "a folder", hint));
    }
    Ok(file)
}

fn bad(path: &Path, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::InvalidData => Error::corrupt(path, error),
        _ => Error::reading(path, error),
    }
}
