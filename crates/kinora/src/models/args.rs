//! What `kinora models` is told.

use clap::{Args, Subcommand};

use crate::args::PartArgs;
use crate::hub::Repository;
use crate::weights::ModelSource;

pub(crate) const LONG_ABOUT: &str = "\
List the models that are there, fetch others, remove them.

kinora-mini is part of the program. Others are fetched into the cache that all tools of Hugging Face \
share (HF_HOME), and work without network from then on.";

const EXAMPLES: &str = "\
EXAMPLES:
  kinora models
  kinora models --json | jq .[].sha256
  kinora models --subjects | grep bear
  kinora models pull Wan-AI/Wan2.1-T2V-1.3B-Diffusers
  kinora models info Wan-AI/Wan2.1-T2V-1.3B-Diffusers
  kinora models info wan2.1_t2v_1.3B-Q4_K_M.gguf";

/// What `kinora models` takes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct ModelsArgs {
    #[command(subcommand)]
    pub(crate) command: Option<ModelsCommand>,
    /// List the subjects that a prompt can name instead.
    #[arg(long)]
    pub(crate) subjects: bool,
    /// Print a JSON array.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `kinora models` does.
#[derive(Debug, Subcommand)]
pub(crate) enum ModelsCommand {
    /// List the models that are there.
    List {
        /// Print a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Tell what a model makes and the memory that it needs, or what a single weight file is.
    Info {
        /// A name that `kinora models` lists, a folder, or a .safetensors or .gguf file.
        model: ModelSource,
        #[command(flatten)]
        parts: PartArgs,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Fetch a model; a download that was stopped goes on.
    Pull {
        /// OWNER/NAME on the hub, such as Wan-AI/Wan2.1-T2V-1.3B-Diffusers.
        repository: Repository,
        /// Do not ask whether its licence is accepted.
        #[arg(long)]
        accept_licence: bool,
    },
    /// Remove a model that was fetched.
    Rm {
        /// OWNER/NAME on the hub.
        repository: Repository,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
    },
}
