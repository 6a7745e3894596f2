//! From the start of a program to its first denoising step, everything in the page cache: what waits for the first
//! sign of life.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::report::{Row, median};
use super::{Args, Python};

/// Starts of each side.
const STARTS: usize = 3;

pub(super) fn measure(program: &Path, args: &Args, python: &Python) -> Result<Row> {
    let mut times = [Vec::new(), Vec::new()];
    let mut bytes = [0.0_f64; 2];
    for round in 0..=STARTS {
        let starts = [ours(program, &args.folder)?, theirs(python, &args.folder)?];
        // The first of each fills the page cache.
        for (index, (ms, held)) in starts.into_iter().enumerate().filter(|_| round > 0) {
            times[index].push(ms);
            bytes[index] = bytes[index].max(held);
        }
    }
    Ok(Row {
        case: "start",
        ms: times.map(median),
        errors: None,
        bytes,
        names: [program.display().to_string(), "WanPipeline".into()],
    })
}

/// Time in ms until the first step is done, and the most memory in bytes until then.
fn ours(program: &Path, folder: &Path) -> Result<(f64, f64)> {
    let place = tempfile::tempdir()?;
    let start = Instant::now();
    let mut child = Command::new(program)
        .args(["generate", "a red fox runs through the snow at night"])
        .args([
            "--negative",
            "blurry",
            "--size",
            "256x256",
            "--seconds",
            "1.0625",
        ])
        .args(["--steps", "20", "--guidance", "5", "--no-enhance"])
        .args(["--progress", "--model"])
        .arg(folder)
        .arg("--output")
        .arg(place.path().join("clip.mp4"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| program.display().to_string())?;
    let stderr = child.stderr.take().context("a process has no pipe")?;
    let mut said = Vec::new();
    for line in BufReader::new(stderr).lines() {
        let line = line?;
        // The first such line is written when the first step is done.
        if line.starts_with("sampling") {
            let ms = start.elapsed().as_secs_f64() * 1e3;
            let bytes = peak_bytes(&child.id().to_string()).unwrap_or_default() as f64;
            child.kill()?;
            child.wait()?;
            return Ok((ms, bytes));
        }
        said.push(line);
    }
    child.wait()?;
    bail!("{} made no step: {}", program.display(), said.join("\n"))
}

fn theirs(python: &Python, folder: &Path) -> Result<(f64, f64)> {
    let start = Instant::now();
    let mut child = python
        .command()
        .arg("start")
        .arg(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let stdout = child.stdout.take().context("a process has no pipe")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    let ms = start.elapsed().as_secs_f64() * 1e3;
    child.wait()?;
    let answer: Value = serde_json::from_str(&line).context("the peer made no step")?;
    let bytes = answer["bytes"].as_f64().context("the peer's memory")?;
    Ok((ms, bytes))
}

/// The most memory that a process has held, in bytes, where the system tells.
pub(super) fn peak_bytes(process: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let value = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}
