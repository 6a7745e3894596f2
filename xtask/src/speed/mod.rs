//! `cargo xtask speed`: Wan's networks at their real widths beside diffusers, in bf16 on the processor.
//!
//! Each side has a process of its own, so that its memory can be told, and both are asked in turns. `bench/peers/wan.py`
//! makes the weights and inputs, and says what f32 makes of them: a side that is fast and wrong shows.

mod ours;
mod report;
mod side;
mod start;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use report::Row;
use side::Side;

/// How to call it.
pub(crate) const USAGE: &str = "cargo xtask speed [--folder DIR] [--only TEXT] [--calls N] [--kinora PROGRAM] [--json FILE]
  DIR holds what `bench/peers/wan.py make DIR` made [default: target/wan-speed, made where it is missing];
  PYTHON names an interpreter that has torch, diffusers and transformers; with PROGRAM, which is `kinora`, the time to the
  first denoising step is measured too";

/// The word with which this program is asked to be one side.
pub(crate) const SERVE: &str = "speed-serve";

/// What is measured, by the names of `bench/peers/wan.py`.
const CASES: [&str; 5] = [
    "transformer-1280",
    "transformer-4096",
    "decode-17x256x256",
    "text-512",
    "text-32",
];

const CALLS: usize = 5;
/// Between two calls: threads that spin for more work would take it from the other side.
const REST: Duration = Duration::from_millis(20);

/// Runs `args`, which follow the word `speed`.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let args = Args::parse(args)?;
    let python = Python::of_environment();
    if !args.folder.join("model_index.json").exists() {
        python.make(&args.folder)?;
    }
    let mut rows = Vec::new();
    println!("{}", report::HEAD);
    for case in CASES.into_iter().filter(|case| case.contains(&args.only)) {
        let row = measure(case, &args, &python)?;
        println!("{row}");
        rows.push(row);
    }
    if let Some(program) = &args.kinora
        && "start".contains(&args.only)
    {
        let row = start::measure(program, &args, &python)?;
        println!("{row}");
        rows.push(row);
    }
    match &args.json {
        Some(path) => report::write_lines(path, &rows).with_context(|| path.display().to_string()),
        None => Ok(()),
    }
}

/// Answers questions about one network, as `bench/peers/wan.py serve` does. `args` follow the word `speed-serve`.
pub(crate) fn serve(args: &[String]) -> Result<()> {
    match args {
        [case, folder] => ours::serve(case, Path::new(folder)),
        _ => bail!("usage: {SERVE} CASE FOLDER"),
    }
}

fn measure(case: &'static str, args: &Args, python: &Python) -> Result<Row> {
    let mut ours = Command::new(std::env::current_exe()?);
    ours.arg(SERVE).arg(case).arg(&args.folder);
    let mut ours = Side::start(ours)?;
    let mut peer = python.command();
    peer.arg("serve").arg(case).arg(&args.folder);
    let mut peer = Side::start(peer).context("PYTHON names an interpreter that has diffusers")?;

    // The first call of each warms up; its result is compared.
    let truth = ours::truth(case, &args.folder)?;
    let mut errors = [0.0; 2];
    for (side, error) in [&mut ours, &mut peer].into_iter().zip(&mut errors) {
        side.call()?;
        *error = report::relative_error(&ours::compared(case, side.output()?)?, &truth)?;
    }
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..args.calls {
        for (side, times) in [&mut ours, &mut peer].into_iter().zip(&mut times) {
            std::thread::sleep(REST);
            times.push(side.call()?);
        }
    }
    Ok(Row {
        case,
        ms: times.map(report::median),
        errors: Some(errors),
        bytes: [ours.peak()?, peer.peak()?],
        names: [ours.name().to_owned(), peer.name().to_owned()],
    })
}

/// The other side's interpreter and script.
struct Python(PathBuf);

impl Python {
    fn of_environment() -> Self {
        Self(
            std::env::var_os("PYTHON")
                .unwrap_or_else(|| "python3".into())
                .into(),
        )
    }

    fn command(&self) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bench/peers/wan.py");
        let mut command = Command::new(&self.0);
        command.arg(script);
        command
    }

    fn make(&self, folder: &Path) -> Result<()> {
        let status = self.command().arg("make").arg(folder).status();
        let status = status.with_context(|| format!("cannot run {}", self.0.display()))?;
        ensure!(status.success(), "bench/peers/wan.py make failed");
        Ok(())
    }
}

struct Args {
    folder: PathBuf,
    only: String,
    calls: usize,
    kinora: Option<PathBuf>,
    json: Option<PathBuf>,
}

impl Args {
    fn parse(args: &[String]) -> Result<Self> {
        let mut parsed = Self {
            folder: "target/wan-speed".into(),
            only: String::new(),
            calls: CALLS,
            kinora: None,
            json: None,
        };
        for pair in args.chunks(2) {
            let [flag, value] = pair else {
                bail!("{} lacks its value\nusage: {USAGE}", pair[0]);
            };
            match flag.as_str() {
                "--folder" => parsed.folder = value.into(),
                "--only" => parsed.only.clone_from(value),
                "--calls" => {
                    parsed.calls = value.parse().context("--calls takes a number")?;
                    ensure!(parsed.calls > 0, "--calls takes a number from 1");
                }
                "--kinora" => parsed.kinora = Some(value.into()),
                "--json" => parsed.json = Some(value.into()),
                _ => bail!("no flag is called {flag}\nusage: {USAGE}"),
            }
        }
        Ok(parsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_and_strange_ones_refused() {
        let args = |text: &str| {
            let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            Args::parse(&words)
        };
        let parsed = args("--calls 3 --only text --json rows.jsonl").unwrap();
        assert_eq!((parsed.calls, parsed.only.as_str()), (3, "text"));
        assert!(parsed.json.is_some() && parsed.kinora.is_none());
        for wrong in ["--calls", "--calls 0", "--calls many", "--what 1"] {
            assert!(args(wrong).is_err(), "{wrong}");
        }
    }
}
