//! What a file holds, without decoding it.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use image::ImageFormat;
use serde::Serialize;
use serde_json::Value;

use crate::source::guarded;
use crate::{Colour, Error, FrameRate, Result, gif, mp4, still, webp};

/// The kind of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Container {
    /// MP4 or QuickTime.
    Mp4,
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
            Container::Gif => "GIF",
            Container::WebP => "WebP",
            Container::Png => "PNG",
            Container::Jpeg => "JPEG",
        })
    }
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MediaInfo {
    /// The kind of the file.
    pub container: Container,
    /// The codec of the pictures, such as `H.264 High`. An MP4 with a codec that cannot be decoded says its four letters: `hvc1`.
    pub codec: String,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Frames per second, on average; `None` for a still picture.
    pub fps: Option<FrameRate>,
    /// How many frames are stored. GIF and WebP store frames that do not change once.
    pub frames: u64,
    /// How long it plays, in seconds; 0 for a still picture.
    pub duration_secs: f64,
    /// How its numbers stand for colours, where it says so.
    pub colour: Option<Colour>,
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
        Kind::Mp4 => Ok(describe_mp4(&mp4::Index::read(path)?)),
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
                container,
                codec: container.to_string(),
                width: still.width,
                height: still.height,
                fps: None,
                frames: 1,
                duration_secs: 0.0,
                colour: None,
                index_first: true,
                recipe,
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

pub(crate) fn describe_mp4(index: &mp4::Index) -> MediaInfo {
    MediaInfo {
        container: Container::Mp4,
        codec: index.codec.clone(),
        width: index.width,
        height: index.height,
        fps: Some(index.fps),
        frames: index.samples.len() as u64,
        duration_secs: index.duration_secs,
        colour: index.colour,
        index_first: index.index_first,
        recipe: index.recipe.clone(),
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
        (width, height): (u32, u32),
        recipe: Option<Value>,
    ) -> Result<MediaInfo> {
        if self.frames == 0 {
            return Err(Error::corrupt(path, "it has no frames"));
        }
        let fps = FrameRate::from_average(self.frames, self.duration_ms, 1000)
            .map_err(|error| Error::corrupt(path, error))?;
        Ok(MediaInfo {
            container,
            codec: container.to_string(),
            width,
            height,
            fps: Some(fps),
            frames: self.frames,
            duration_secs: self.duration_ms as f64 / 1000.0,
            colour: None,
            index_first: true,
            recipe,
        })
    }
}

/// How a file is to be read.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Mp4,
    Gif,
    AnimatedWebp,
    Still(ImageFormat),
}

impl Kind {
    /// Tells by the first bytes of `path`.
    pub(crate) fn of(path: &Path) -> Result<Self> {
        const HINT: &str = "Kinora reads MP4 with H.264, GIF, WebP, PNG and JPEG; convert it first, for example with `ffmpeg -i IN OUT.mp4`";
        let mut file = open(path)?;
        let mut head = Vec::new();
        file.by_ref()
            .take(16)
            .read_to_end(&mut head)
            .map_err(|error| Error::reading(path, error))?;
        let foreign = |what: &str| Err(Error::unsupported(path, what, HINT));
        match &head[..] {
            [
                _,
                _,
                _,
                _,
                b'f',
                b't',
                b'y',
                b'p',
                b'a' | b'h' | b'm',
                b'v' | b'e' | b'i',
                b'i' | b'f',
                ..,
            ] if matches!(&head[8..11], b"avi" | b"hei" | b"mif") => {
                foreign("an AVIF or HEIC picture")
            }
            [_, _, _, _, b'f', b't', b'y', b'p', ..] => Ok(Kind::Mp4),
            [b'G', b'I', b'F', b'8', ..] => Ok(Kind::Gif),
            [
                b'R',
                b'I',
                b'F',
                b'F',
                _,
                _,
                _,
                _,
                b'W',
                b'E',
                b'B',
                b'P',
                ..,
            ] => {
                let animated = scan_webp(path)?.animated;
                Ok(if animated {
                    Kind::AnimatedWebp
                } else {
                    Kind::Still(ImageFormat::WebP)
                })
            }
            [0x89, b'P', b'N', b'G', ..] => Ok(Kind::Still(ImageFormat::Png)),
            [0xff, 0xd8, 0xff, ..] => Ok(Kind::Still(ImageFormat::Jpeg)),
            [0x1a, 0x45, 0xdf, 0xa3, ..] => foreign("Matroska or WebM"),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'A', b'V', b'I', ..] => foreign("AVI"),
            [] => Err(Error::corrupt(path, "it is empty")),
            _ => foreign("its first bytes are of no known format"),
        }
    }
}

fn scan_webp(path: &Path) -> Result<webp::Scan> {
    let file = open(path)?;
    let length = file
        .metadata()
        .map_err(|error| Error::reading(path, error))?
        .len();
    webp::scan(BufReader::new(file), length).map_err(|error| bad(path, error))
}

fn open(path: &Path) -> Result<File> {
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
