//! Kinora: a sentence in, a video out.

mod args;
mod completions;
mod data;
mod device;
mod error;
mod evaluate;
mod finish;
mod generate;
mod hub;
mod info;
mod inspect;
mod interrupt;
mod memory;
mod models;
mod name;
mod output;
mod progress;
mod resume;
mod setup;
mod train;
mod weights;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use args::{Cli, Command, Global};
use generate::Asked;

#[global_allocator]
static ALLOCATOR: kinora_kernels::Allocator = kinora_kernels::Allocator;

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error::report(&error),
    }
}

fn run(cli: Cli) -> Result<()> {
    let Cli { command, global } = cli;
    setup::logging(&global);
    setup::processor(&global)?;
    dispatch(command, &global)
}

fn dispatch(command: Command, global: &Global) -> Result<()> {
    match command {
        Command::Generate(args) => generate::run(Asked::generate(args)?, global),
        Command::Image(args) => generate::run(Asked::image(args)?, global),
        Command::Extend(args) => generate::run(Asked::extend(args)?, global),
        Command::Fill(args) => generate::run(Asked::fill(args)?, global),
        Command::Remix(args) => generate::run(Asked::remix(args)?, global),
        Command::Loop(args) => generate::run(Asked::loop_clip(args)?, global),
        Command::Blend(args) => generate::run(Asked::blend(args)?, global),
        Command::Storyboard(args) => generate::run(Asked::storyboard(args)?, global),
        Command::Upscale(args) => finish::upscale(args, global),
        Command::Interpolate(args) => finish::interpolate(args, global),
        Command::Resume(args) => resume::run(&args, global),
        Command::Inspect(args) => inspect::run(&args),
        Command::Data { command } => data::run(&command, global),
        Command::Train(args) => train::run(&args),
        Command::Evaluate(args) => evaluate::run(&args, global),
        Command::Models(args) => models::run(args, global),
        Command::Info => info::run(),
        Command::Completions { shell } => completions::run(shell),
    }
}
