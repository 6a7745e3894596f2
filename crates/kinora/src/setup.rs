//! What holds for the whole process: logging, threads, processor level. The only place that reads the environment.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use kinora_kernels::cpu;
use tracing::level_filters::LevelFilter;

use crate::args::Global;

/// Lowers the processor level, never raises it.
const CPU_VARIABLE: &str = "KINORA_CPU";
/// The hub where nothing else is said.
const HUB: &str = "https://huggingface.co";

/// Where models are fetched from and to, by the variables that all tools of Hugging Face read.
#[derive(Debug)]
pub(crate) struct HubSettings {
    /// Folder of the cache.
    pub(crate) cache: PathBuf,
    /// Address of the hub.
    pub(crate) endpoint: String,
    /// Who asks.
    pub(crate) token: Option<String>,
    /// Whether the network is not to be used.
    pub(crate) is_offline: bool,
}

/// # Errors
///
/// No variable says where the cache is, and there is no home folder.
pub(crate) fn hub() -> Result<HubSettings> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let folder = |name: &str| variable(name).map(PathBuf::from);
    let home = folder("HF_HOME")
        .or_else(|| Some(folder("XDG_CACHE_HOME")?.join("huggingface")))
        .or_else(|| Some(std::env::home_dir()?.join(".cache/huggingface")))
        .context("there is no home folder to keep models in: set HF_HOME")?;
    let text = |name: &str| variable(name).map(|value| value.to_string_lossy().trim().to_owned());
    let token_file = || std::fs::read_to_string(home.join("token")).ok();
    Ok(HubSettings {
        cache: folder("HF_HUB_CACHE").unwrap_or_else(|| home.join("hub")),
        endpoint: text("HF_ENDPOINT").unwrap_or_else(|| HUB.to_owned()),
        token: text("HF_TOKEN")
            .or_else(token_file)
            .map(|token| token.trim().to_owned())
            .filter(|token| !token.is_empty()),
        is_offline: text("HF_HUB_OFFLINE").is_some_and(|value| {
            ["1", "true", "yes", "on"].contains(&value.to_lowercase().as_str())
        }),
    })
}

/// Who asks a language model to complete prompts.
pub(crate) fn enhance_key() -> Option<String> {
    let variable = |name| std::env::var(name).ok().map(|key| key.trim().to_owned());
    let keys = ["KINORA_ENHANCE_KEY", "OPENAI_API_KEY"].into_iter();
    keys.filter_map(variable).find(|key| !key.is_empty())
}

/// Logs to stderr, as much as was asked for.
pub(crate) fn logging(global: &Global) {
    let level = match (global.quiet, global.verbose) {
        (true, _) => LevelFilter::ERROR,
        (false, 0) => LevelFilter::WARN,
        (false, 1) => LevelFilter::INFO,
        (false, 2) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_target(global.verbose > 1)
        .without_time()
        .init();
}

/// Sets threads, processor level and how memory is kept, before anything is computed.
pub(crate) fn processor(global: &Global) -> Result<()> {
    kinora_kernels::keep_freed_memory(Some(kinora_kernels::MEMORY_KEPT));
    if let Ok(name) = std::env::var(CPU_VARIABLE) {
        let Some(level) = cpu::Level::from_name(&name) else {
            let known: Vec<&str> = cpu::Level::ALL.iter().map(|level| level.name()).collect();
            bail!(
                "{CPU_VARIABLE} is '{name}', which is no processor level: unset it, or use one of {}",
                known.join(", ")
            );
        };
        cpu::limit_level(level);
    }
    if let Some(threads) = global.threads {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build_global()
            .context("cannot start the threads; lower --threads")?;
    }
    tracing::debug!(
        level = cpu::level_report(),
        threads = rayon::current_num_threads(),
        "processor"
    );
    Ok(())
}
