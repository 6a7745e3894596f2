//! `cargo xtask check`: what the compiler does not see. `cargo xtask parity` and `noise`: networks and pipelines beside
//! upstream's. `speed`: how fast they are beside them.

mod arrows;
mod links;
mod manifests;
mod noise;
mod parity;
mod speed;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};

/// The program's.
#[global_allocator]
static ALLOCATOR: kinora_kernels::Allocator = kinora_kernels::Allocator;

/// What a check found; each says where and what to do.
type Problems = Vec<String>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.split_first() {
        Some((command, [])) if command == "check" => check(),
        Some((command, rest)) if command == "parity" => parity::run(rest),
        Some((command, rest)) if command == "noise" => noise::run(rest),
        Some((command, rest)) if command == "speed" => speed::run(rest),
        Some((command, rest)) if command == speed::SERVE => speed::serve(rest),
        _ => bail!(
            "usage: cargo xtask check\n       {}\n       {}\n       {}",
            parity::USAGE,
            noise::USAGE,
            speed::USAGE
        ),
    }
}

fn check() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the workspace");
    let crates = manifests::read(root)?;
    let checks = [
        ("arrows between crates only go down", arrows::check(&crates)),
        (
            "unsafe stands in one crate",
            manifests::check_unsafe(root, &crates)?,
        ),
        (
            "every crate says what it is for",
            manifests::check_descriptions(&crates),
        ),
        ("links in Markdown lead somewhere", links::check(root)?),
    ];
    let mut found = 0;
    for (rule, problems) in checks {
        println!(
            "{} {rule}",
            if problems.is_empty() { "ok  " } else { "FAIL" }
        );
        for problem in &problems {
            println!("       {problem}");
        }
        found += problems.len();
    }
    match found {
        0 => Ok(()),
        found => bail!("{found} problems, listed above"),
    }
}
