//! What can go wrong between a file, a prompt and a network.

use std::path::PathBuf;

/// Errors of this crate; each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is not there or cannot be read.
    #[error("cannot read weights {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write weights {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is damaged.
    #[error("the weights are damaged: {0}; fetch or build the file again")]
    Format(String),
    /// The contents do not match their hash.
    #[error(
        "the weights have hash {got} but should have {expected}; fetch or build the file again"
    )]
    Hash {
        /// Hash that the file should have.
        expected: String,
        /// Hash that it has.
        got: String,
    },
    /// A tensor that the network needs is not in the file.
    #[error("the weights lack tensor '{0}'; is this file of the same model family and version?")]
    MissingTensor(String),
    /// A tensor has another shape.
    #[error("tensor '{name}' has shape {got:?}, but the network needs {required:?}")]
    TensorShape {
        /// Its name.
        name: String,
        /// Shape in the file.
        got: Vec<usize>,
        /// Shape that the network needs.
        required: Vec<usize>,
    },
    /// The prompt has more tokens than the text encoder takes.
    #[error("the prompt has {got} tokens, but this model takes {limit}; shorten it")]
    PromptLength {
        /// Tokens of the prompt.
        got: usize,
        /// Tokens that the model takes.
        limit: usize,
    },
    /// A network gave something that is not a number.
    #[error(
        "the {0} gave values that are not numbers; the weights are damaged or the device failed"
    )]
    NotANumber(&'static str),
    /// The tokenizer failed.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
}
