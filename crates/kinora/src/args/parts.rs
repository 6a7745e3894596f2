//! Parts of a model of Wan, where it is no folder that holds them all.

use std::path::PathBuf;

use clap::Args;
use kinora_models::wan::{AdapterFile, NamedParts};

use super::lora::Lora;

/// Shared by all that opens a model.
#[derive(Debug, Default, Clone, Args)]
#[command(next_help_heading = "Parts of an open model")]
pub(crate) struct PartArgs {
    /// The text encoder (umT5), a .safetensors or .gguf file [default: what is found around the
    /// transformer, by what is in the files]
    #[arg(long, value_name = "FILE")]
    pub(crate) text_encoder: Option<PathBuf>,
    /// The autoencoder [default: what is found]
    #[arg(long, value_name = "FILE")]
    pub(crate) vae: Option<PathBuf>,
    /// The image encoder (CLIP ViT-H) of models that see a first picture through one [default: what is
    /// found]
    #[arg(long, value_name = "FILE")]
    pub(crate) image_encoder: Option<PathBuf>,
    /// The tokenizer: tokenizer.json of umT5, or a folder with it [default: what is found]
    #[arg(long, value_name = "FILE")]
    pub(crate) tokenizer: Option<PathBuf>,
    /// The transformer for low noise levels, where the model has two (Wan 2.2 A14B); --model is then the
    /// one for high noise levels.
    #[arg(long, value_name = "FILE")]
    pub(crate) low_noise: Option<PathBuf>,
    /// A LoRA, LoKr or difference that changes the transformer, such as style.safetensors=0.8; may be
    /// given several times. Where there are two transformers it changes both; `high:FILE` and `low:FILE`
    /// change one. One that makes a model need few steps also needs --steps 4 --guidance 1 --shift 5
    /// --sampler euler, or what its authors say.
    #[arg(long, value_name = "FILE[=STRENGTH]")]
    pub(crate) lora: Vec<Lora>,
    /// Keep the transformer's blocks in 8 bits and multiply in 8 bits, on the processor: half the memory of
    /// bfloat16, faster where the processor has such products (AMX, VNNI), and slightly another clip.
    #[arg(long)]
    pub(crate) int8: bool,
}

impl PartArgs {
    /// The parts that were named.
    pub(crate) fn named(&self) -> NamedParts {
        NamedParts {
            low_noise: self.low_noise.clone(),
            text_encoder: self.text_encoder.clone(),
            tokenizer: self.tokenizer.clone(),
            vae: self.vae.clone(),
            image_encoder: self.image_encoder.clone(),
        }
    }

    /// The adapters.
    pub(crate) fn adapters(&self) -> Vec<AdapterFile> {
        self.lora.iter().map(|lora| lora.0.clone()).collect()
    }

    /// The first of the options that was given.
    pub(crate) fn first_flag(&self) -> Option<&'static str> {
        let flags = [
            ("--text-encoder", &self.text_encoder),
            ("--vae", &self.vae),
            ("--image-encoder", &self.image_encoder),
            ("--tokenizer", &self.tokenizer),
            ("--low-noise", &self.low_noise),
        ];
        let named = flags
            .into_iter()
            .find_map(|(flag, path)| path.is_some().then_some(flag));
        named
            .or((!self.lora.is_empty()).then_some("--lora"))
            .or(self.int8.then_some("--int8"))
    }
}
