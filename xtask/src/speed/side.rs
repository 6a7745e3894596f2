//! One side in a process of its own, which answers a line of JSON for each line.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};
use kinora_models::weights::Values;
use serde_json::{Value, json};

/// The process; it ends when this is dropped.
pub(super) struct Side {
    child: Child,
    asks: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    name: String,
}

impl Side {
    /// Starts it, and waits until its network is loaded.
    pub(super) fn start(mut command: Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {}", command.get_program().display()))?;
        let (Some(asks), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("a process has no pipes");
        };
        let mut side = Self {
            child,
            asks: Some(asks),
            answers: BufReader::new(answers),
            name: String::new(),
        };
        side.name = side.answer()?["name"]
            .as_str()
            .unwrap_or("unnamed")
            .to_owned();
        Ok(side)
    }

    /// What it says that it is.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Runs the network once. Answers how long that took, in ms.
    pub(super) fn call(&mut self) -> Result<f64> {
        self.number(&json!("run"), "ms")
    }

    /// The most memory that it has held, in bytes.
    pub(super) fn peak(&mut self) -> Result<f64> {
        self.number(&json!("peak"), "bytes")
    }

    /// What the last call gave.
    pub(super) fn output(&mut self) -> Result<Values> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("output.safetensors");
        self.ask(&json!({ "save": path }))?;
        self.answer()?;
        super::ours::read(&path, "output")
    }

    fn number(&mut self, request: &Value, name: &str) -> Result<f64> {
        self.ask(request)?;
        let answer = self.answer()?;
        answer[name]
            .as_f64()
            .with_context(|| format!("{request} was answered by {answer}"))
    }

    fn ask(&mut self, request: &Value) -> Result<()> {
        let asks = self.asks.as_mut().context("the process is gone")?;
        writeln!(asks, "{request}")?;
        Ok(asks.flush()?)
    }

    fn answer(&mut self) -> Result<Value> {
        let mut line = String::new();
        match self.answers.read_line(&mut line)? {
            0 => bail!("the process ended; it says why above"),
            _ => serde_json::from_str(&line).with_context(|| format!("not an answer: {line:?}")),
        }
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        // Without questions it ends by itself.
        self.asks = None;
        let _ = self.child.wait();
    }
}
