//! What can go wrong, and what to do about it.

use std::path::PathBuf;

/// An error of this crate. Each message says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The source folder does not hold the packages.
    #[error(
        "{path} does not hold {what}; fetch the packages with scripts/fetch-emoji.sh and pass its data/emoji folder"
    )]
    MissingSource {
        /// The folder that was searched.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
    /// A file could not be read.
    #[error("cannot read {path}: {source}; check that it exists and that you may read it")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {path}: {source}; check the folder, your rights and the free space")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A name file is not the JSON that emojibase publishes.
    #[error(
        "{path} is not an emojibase data file: {source}; remove it and run scripts/fetch-emoji.sh again"
    )]
    Names {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// A picture could not be decoded or encoded.
    #[error(
        "cannot decode or encode {what}: {source}; remove the file and run scripts/fetch-emoji.sh again"
    )]
    Picture {
        /// The file or subject.
        what: String,
        /// Why.
        source: image::ImageError,
    },
    /// A sprite could not be resized.
    #[error("cannot resize {what}: {reason}")]
    Resize {
        /// The subject.
        what: String,
        /// Why.
        reason: String,
    },
    /// The file is not a pack, or it is damaged.
    #[error("{path} is not a usable pack: {reason}; make it again with `kinora data pack`")]
    CorruptPack {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// An option is out of its range.
    #[error("{name} is {got}, but must be within {min}..={max}")]
    OutOfRange {
        /// The option.
        name: &'static str,
        /// The value given.
        got: usize,
        /// The least allowed.
        min: usize,
        /// The most allowed.
        max: usize,
    },
    /// The pack has no such subject.
    #[error("there is no subject {got:?} in this pack; list them with `kinora data list`")]
    UnknownSubject {
        /// What was asked for.
        got: String,
    },
    /// The facts asked for cannot stand together.
    #[error(
        "a {subject} that does {motion:?} on background {background:?} makes no scene; choose another motion or background"
    )]
    ImpossibleScene {
        /// Name of the subject.
        subject: String,
        /// Name of the motion.
        motion: &'static str,
        /// Name of the background.
        background: &'static str,
    },
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
