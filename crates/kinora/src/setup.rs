//! What holds for the whole process: logging, threads, processor level. The only place that reads the environment.

use anyhow::{Context, Result, bail};
use kinora_kernels::cpu;
use tracing::level_filters::LevelFilter;

use crate::args::Global;

/// Lowers the processor level, never raises it.
const CPU_VARIABLE: &str = "KINORA_CPU";

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

/// Sets threads and processor level, before anything is computed.
pub(crate) fn processor(global: &Global) -> Result<()> {
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
