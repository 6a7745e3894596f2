//! What `kinora models` is told.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use kinora_models::wan::weights::Target;

use crate::args::{Lora, PartArgs};
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
    /// Write weights of Wan in fewer bits, or LoRAs merged into them.
    #[command(after_help = CONVERT_EXAMPLES)]
    Convert(ConvertArgs),
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

const CONVERT_EXAMPLES: &str = "\
EXAMPLES:
  kinora models convert wan2.1_t2v_14B_fp16.safetensors wan-int8.safetensors --dtype int8
  kinora models convert Wan-AI/Wan2.1-T2V-1.3B-Diffusers wan-1.3b-int8 --dtype int8
  kinora models convert model.safetensors merged.safetensors --dtype bf16 --lora style.safetensors=0.8";

/// What `kinora models convert` takes.
#[derive(Debug, Args)]
pub(crate) struct ConvertArgs {
    /// A weight file (.safetensors or .gguf) of one network; or a whole model in the layout of diffusers, by its folder or
    /// its name on the hub.
    pub(crate) source: ModelSource,
    /// A .safetensors file; for a whole model a folder.
    pub(crate) target: PathBuf,
    /// Type of the weights: bf16, or int8 for the layers of blocks, with a scale for each row.
    #[arg(long, value_name = "TYPE", value_parser = dtype)]
    pub(crate) dtype: Target,
    /// A LoRA, LoKr or difference that is merged into the transformer; may be given several times.
    #[arg(long, value_name = "FILE[=STRENGTH]")]
    pub(crate) lora: Vec<Lora>,
    /// Replace the target if it exists.
    #[arg(short, long)]
    pub(crate) force: bool,
}

fn dtype(text: &str) -> Result<Target, String> {
    match text {
        "bf16" => Ok(Target::Bf16),
        "int8" => Ok(Target::Int8),
        _ => Err("known are bf16 and int8".into()),
    }
}
