//! What can go wrong between a timeline and its frames.

use std::path::PathBuf;

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
    #[error(
        "there is nothing to make; ask for at least one frame, and leave frames between the given ones"
    )]
    EmptyTimeline,
    /// A given picture stands at a time that the clip does not have.
    #[error(
        "a picture is asked for at frame {frame}, and the clip has {frames}: choose an earlier time or a longer clip"
    )]
    OutsideClip {
        /// Index of the frame.
        frame: usize,
        /// Frames of the clip.
        frames: usize,
    },
    /// Two given pictures fall into one latent frame.
    #[error("two pictures stand less than {stride} frames apart; move one of them further away")]
    PicturesTooNear {
        /// Frames of a latent frame.
        stride: usize,
    },
    /// A given clip without frames.
    #[error("{} has no frames", .path.display())]
    EmptyClip {
        /// The clip.
        path: PathBuf,
    },
    /// A given clip is shorter than it was when it was first read.
    #[error("{} has fewer frames than before: it changed while it was being used", .path.display())]
    ClipChanged {
        /// The clip.
        path: PathBuf,
    },
    /// A mask that does not lie over its clip.
    #[error("the mask {} is {}x{}, and the clip {}x{}: give it the same shape", .path.display(), .got[0], .got[1], .clip[0], .clip[1])]
    MaskShape {
        /// The mask.
        path: PathBuf,
        /// Its width and height.
        got: [u32; 2],
        /// Width and height of the clip.
        clip: [u32; 2],
    },
    /// A mask that leaves all as it is.
    #[error("the mask {} has no white, so there is nothing to make: paint white what is to be made", .path.display())]
    EmptyMask {
        /// The mask.
        path: PathBuf,
    },
    /// Another process works on this session.
    #[error(
        "another process is making the same clip (session {id}): wait for it, or give another --seed"
    )]
    SessionOpen {
        /// Its name.
        id: String,
    },
    /// A session does not hold what it should.
    #[error("the session {} is damaged: remove it with `kinora resume --remove {}`", .folder.display(),
        .folder.file_name().unwrap_or_default().to_string_lossy())]
    SessionDamaged {
        /// Where it stands.
        folder: PathBuf,
    },
    /// A session could not be read or written.
    #[error("cannot keep the session {}: {source}; free some space, or choose another place with --session-dir", .path.display())]
    Session {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The clip is longer than the model makes.
    #[error(
        "{model} makes clips of at most {most} frames, not {frames}: ask for a shorter one, or use kinora-mini, \
         whose clips may have any length"
    )]
    TooLong {
        /// Name of the model.
        model: String,
        /// Frames that were asked for.
        frames: usize,
        /// Frames that it makes.
        most: usize,
    },
    /// Frames are given that the model cannot take.
    #[error("{model} {takes}: use a model that takes what is given, such as {other}")]
    KnownFrames {
        /// Name of the model.
        model: String,
        /// What it takes.
        takes: &'static str,
        /// One that takes more.
        other: &'static str,
    },
    /// Steps are to be left out, and the model does not tell which.
    #[error(
        "{model} does not tell how alike its steps are, so none can be left out: leave out --step-cache, or use a model \
         of Wan"
    )]
    StepCache {
        /// Name of the model.
        model: String,
    },
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
