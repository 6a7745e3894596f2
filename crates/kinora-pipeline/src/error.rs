//! What can go wrong between a timeline and its frames.

/// Errors of this crate; each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The model refused its input.
    #[error(transparent)]
    Model(#[from] kinora_models::Error),
    /// Frames could not be made or written.
    #[error(transparent)]
    Media(#[from] kinora_media::Error),
    /// The timeline has nothing to make.
    #[error("the timeline is empty; ask for at least one frame")]
    EmptyTimeline,
    /// The model left its range.
    #[error(
        "the model produced values that are not numbers in latent frame {latent_frame}; the weights \
         are damaged or the settings too extreme (try a lower guidance)"
    )]
    NotANumber {
        /// Where it happened first.
        latent_frame: usize,
    },
    /// Every pixel of a frame has the same colour.
    #[error(
        "frame {frame} is one flat colour, which is no video; the weights are damaged or the settings \
         too extreme (try more steps or a lower guidance)"
    )]
    FlatFrame {
        /// Index of the frame.
        frame: usize,
    },
    /// The caller asked to stop.
    #[error("stopped")]
    Stopped,
}
