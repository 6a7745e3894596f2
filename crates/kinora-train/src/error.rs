//! What can go wrong in training.

use std::path::PathBuf;

/// Errors of this crate; each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings cannot be read.
    #[error("cannot use settings {path}: {reason}")]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A file of the run cannot be read or written.
    #[error("cannot use {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The run belongs to other settings.
    #[error("{path} was started with other settings; use another --run folder or remove this one")]
    OtherSettings {
        /// The folder of the run.
        path: PathBuf,
    },
    /// The loss is no longer a number.
    #[error("the loss became {loss} at step {step}; lower the learning rate and resume")]
    Diverged {
        /// When.
        step: u32,
        /// Its value.
        loss: f32,
    },
    /// The judges learned from another pack.
    #[error(
        "the judges tell {known} subjects apart, and the pack holds {got}: use the pack that they were trained on, or train judges \
         on this one (`kinora train classifier`)"
    )]
    OtherSubjects {
        /// Of the judges.
        known: usize,
        /// Of the pack.
        got: usize,
    },
    /// A model file.
    #[error(transparent)]
    Model(#[from] kinora_models::Error),
    /// Training data.
    #[error(transparent)]
    Data(#[from] kinora_data::Error),
    /// Pictures or clips.
    #[error(transparent)]
    Media(#[from] kinora_media::Error),
    /// Generating samples.
    #[error(transparent)]
    Pipeline(#[from] kinora_pipeline::Error),
    /// The caller asked to stop; the run can be resumed.
    #[error("stopped; the same command goes on from the last checkpoint")]
    Stopped,
}
