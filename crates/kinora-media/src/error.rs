//! What can go wrong, told so that the reader knows what to do.

use std::io;
use std::path::{Path, PathBuf};

use crate::FrameRate;

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong with pictures and video.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Something already stands under the name of the output.
    #[error("{} already exists: choose another name, or pass --force to replace it", .path.display())]
    Exists {
        /// What stands there.
        path: PathBuf,
    },
    /// The folder of the output is missing.
    #[error("the folder {} does not exist: create it first, or choose another place", .folder.display())]
    FolderMissing {
        /// The missing folder.
        folder: PathBuf,
    },
    /// The folder of the output takes no new files.
    #[error("cannot write into the folder {} ({source}): choose a place that you may write to", .folder.display())]
    NotWritable {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The output's name ends in the name of a folder, or in nothing.
    #[error("{} names no file: end it with a name such as clip.mp4", .path.display())]
    NoFileName {
        /// The name.
        path: PathBuf,
    },
    /// The disk has no room left.
    #[error("no room left on the disk that holds {}: free some space, or choose another disk", .path.display())]
    DiskFull {
        /// The file that was being written.
        path: PathBuf,
    },
    /// The input is missing.
    #[error("{} does not exist: check the name", .path.display())]
    Missing {
        /// The name.
        path: PathBuf,
    },
    /// Any other failure to read or write.
    #[error("{} failed while {doing}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The output's extension is none that can be written.
    #[error("cannot write {}: end the name with .mp4, .gif, .webp, .png or .jpg, or with / for a folder of pictures", .path.display())]
    OutputFormat {
        /// The name.
        path: PathBuf,
    },
    /// The input is of a kind that cannot be read.
    #[error("cannot read {} ({what}): {hint}", .path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it holds.
        what: String,
        /// What would help.
        hint: String,
    },
    /// The input is read by FFmpeg alone, and that is not there.
    #[error("cannot read {} by itself ({what}): install FFmpeg, so that `ffmpeg` and `ffprobe` are found, or convert the clip where it is, for example with \
        `ffmpeg -i IN -c:v libx264 -pix_fmt yuv420p -c:a aac OUT.mp4`", .path.display())]
    NeedsFfmpeg {
        /// The file.
        path: PathBuf,
        /// What it holds that takes FFmpeg.
        what: String,
    },
    /// FFmpeg was asked, and failed.
    #[error("FFmpeg cannot read {} ({what}): fetch or export it again", .path.display())]
    Ffmpeg {
        /// The file.
        path: PathBuf,
        /// What it said.
        what: String,
    },
    /// The frames of a clip are too large.
    #[error("a clip of {width}x{height} is too large: its frames may have at most {max} pixels, as 4096x4096 has; shrink it first, for example with \
        `ffmpeg -i IN -vf scale=3840:-2 OUT.mp4`", max = crate::MAX_VIDEO_PIXELS)]
    VideoSize {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// A stretch of a clip that is empty, or not there.
    #[error("there is nothing from {from_secs} to {to_secs} s: the clip lasts {duration_secs} s")]
    EmptyRange {
        /// Where it begins, in seconds.
        from_secs: f64,
        /// Where it ends, in seconds.
        to_secs: f64,
        /// How long the clip lasts, in seconds.
        duration_secs: f64,
    },
    /// The clip has no sound that can be copied.
    #[error("cannot copy the sound of {} ({what}): an MP4 or MOV with AAC can be copied; convert it first, for example with \
        `ffmpeg -i IN -c:v copy -c:a aac OUT.mp4`", .path.display())]
    Sound {
        /// The file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// The output cannot hold sound.
    #[error("{} cannot hold sound: write an .mp4, or leave the sound out", .path.display())]
    SilentFormat {
        /// The output.
        path: PathBuf,
    },
    /// The input is broken.
    #[error("{} is damaged or cut short ({what}): fetch or export it again", .path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// H.264 in 4:2:0 needs even sides.
    #[error("MP4 needs an even width and height, and {width}x{height} is not: use {smaller} or {larger}",
        smaller = even(*width, *height, Round::Down), larger = even(*width, *height, Round::Up))]
    OddSize {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// The format cannot hold frames of this size.
    #[error("{format} cannot hold {width}x{height}: it takes {limit}")]
    SizeLimit {
        /// The format.
        format: &'static str,
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// The sizes that it takes.
        limit: &'static str,
    },
    /// A frame with a side of zero, or larger than this crate takes.
    #[error("a frame of {width}x{height} pixels is out of range: sides go from 1 to {max}, with at most {pixels} pixels",
        max = crate::MAX_SIDE, pixels = crate::MAX_PIXELS)]
    FrameSize {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// The bytes given for a frame are too few or too many.
    #[error("a frame of {width}x{height} needs {required} bytes of RGB, not {got}")]
    FrameBytes {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Bytes given.
        got: usize,
        /// Bytes that it takes.
        required: usize,
    },
    /// A frame that does not have the size that its sink was opened for.
    #[error("the video is {}x{} and a frame of {}x{} came: resize it first", .expected.0, .expected.1, .got.0, .got.1)]
    FrameMismatch {
        /// Width and height of the video.
        expected: (u32, u32),
        /// Width and height of the frame.
        got: (u32, u32),
    },
    /// A frame rate that cannot be read.
    #[error("'{text}' is no frame rate: write it as 12, 23.976 or 30000/1001, above 0 and at most {max} frames/s",
        max = FrameRate::MAX)]
    FrameRate {
        /// What was given.
        text: String,
    },
    /// A frame rate that the format cannot hold.
    #[error(
        "{format} plays at most {max} frames/s, and {fps} was asked for: lower the frame rate, or write an .mp4"
    )]
    FrameRateLimit {
        /// The format.
        format: &'static str,
        /// The frame rate asked for.
        fps: FrameRate,
        /// The most that it plays.
        max: u32,
    },
    /// A quality out of range.
    #[error(
        "a quality of {0} is out of range: it goes from 1 (smallest file) to 100 (best picture)"
    )]
    Quality(u32),
    /// Nothing was pushed before the end.
    #[error("{} would have no frames: push at least one", .path.display())]
    NoFrames {
        /// The output.
        path: PathBuf,
    },
    /// A contact sheet of nothing, or without columns.
    #[error("a contact sheet needs at least one frame and one column")]
    EmptySheet,
    /// The recipe is too long for the format.
    #[error(
        "a {format} holds at most {max} bytes of recipe, and this one has {got}: shorten it, or write an .mp4"
    )]
    RecipeTooLong {
        /// The format.
        format: &'static str,
        /// Bytes of the recipe.
        got: usize,
        /// Bytes that the format holds.
        max: usize,
    },
    /// An encoder refused.
    #[error("the {codec} encoder failed: {what}")]
    Encoder {
        /// The codec.
        codec: &'static str,
        /// What it said.
        what: String,
    },
}

impl Error {
    /// An error of the system while writing `path`.
    pub(crate) fn writing(path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Error::DiskFull { path: path.into() }
            }
            _ => Error::Io {
                path: path.into(),
                doing: "writing",
                source,
            },
        }
    }

    /// An error of the system while reading `path`.
    pub(crate) fn reading(path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::NotFound => Error::Missing { path: path.into() },
            io::ErrorKind::UnexpectedEof => Error::corrupt(path, "it ends too early"),
            _ => Error::Io {
                path: path.into(),
                doing: "reading",
                source,
            },
        }
    }

    pub(crate) fn corrupt(path: &Path, what: impl ToString) -> Self {
        Error::Corrupt {
            path: path.into(),
            what: what.to_string(),
        }
    }

    pub(crate) fn unsupported(
        path: &Path,
        what: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Error::Unsupported {
            path: path.into(),
            what: what.into(),
            hint: hint.into(),
        }
    }

    pub(crate) fn needs_ffmpeg(path: &Path, what: impl Into<String>) -> Self {
        Error::NeedsFfmpeg {
            path: path.into(),
            what: what.into(),
        }
    }

    pub(crate) fn encoder(codec: &'static str, what: impl ToString) -> Self {
        Error::Encoder {
            codec,
            what: what.to_string(),
        }
    }
}

#[derive(Clone, Copy)]
enum Round {
    Down,
    Up,
}

/// The nearest size with even sides of at least 2, as text.
fn even(width: u32, height: u32, round: Round) -> String {
    let side = |n: u32| match round {
        Round::Down => (n & !1).max(2),
        Round::Up => (n + (n & 1)).max(2),
    };
    format!("{}x{}", side(width), side(height))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_odd_size_names_its_even_neighbours() {
        let text = Error::OddSize {
            width: 255,
            height: 144,
        }
        .to_string();
        assert!(
            text.contains("254x144") && text.contains("256x144"),
            "{text}"
        );
    }

    #[test]
    fn a_full_disk_is_told_apart() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert!(matches!(
            Error::writing(Path::new("a.mp4"), full),
            Error::DiskFull { .. }
        ));
    }
}
