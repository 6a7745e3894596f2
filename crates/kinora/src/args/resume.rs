//! `kinora resume`.

use std::path::PathBuf;

use clap::Args;

pub(super) const LONG_ABOUT: &str = "\
List what was cut off, and go on with it.

Every finished window of a clip is kept until the file is done, and every half a minute how far the next \
one is (--save-every). After Ctrl-C, a kill or a power failure \
the same command goes on from there, and the file is the same as without the interruption, bit for bit. \
Without an ID all that can be gone on with is listed.";

const EXAMPLES: &str = "\
EXAMPLES:
  kinora resume
  kinora resume 3f9a2c
  kinora resume --remove 3f9a2c";

/// What `kinora resume` takes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ResumeArgs {
    /// Go on with this one; its first letters are enough.
    #[arg(value_name = "ID", conflicts_with_all = ["remove", "json"])]
    pub(crate) id: Option<String>,
    /// Remove this one.
    #[arg(long, value_name = "ID", conflicts_with = "json")]
    pub(crate) remove: Option<String>,
    /// Where sessions are kept [default: a folder for the user's data]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) session_dir: Option<PathBuf>,
    /// Print a JSON array.
    #[arg(long)]
    pub(crate) json: bool,
}
