//! PyTorch in a process of its own, one call at a time.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use kinora_kernels::Level;
use serde_json::{Value, json};

use crate::cases::Case;

/// The process; it ends when this is dropped.
pub(crate) struct Peer {
    child: Child,
    asks: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts `bench/peers/torch_ops.py` with the interpreter that `PYTHON` names, limited to the instructions of `level`.
    pub(crate) fn start(level: Level, threads: usize) -> Result<Self, String> {
        let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bench/peers/torch_ops.py");
        let mut command = Command::new(&python);
        command
            .arg(script)
            .arg(threads.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        match level {
            Level::Portable | Level::Neon | Level::NeonBf16 => {}
            Level::Avx2 => {
                command
                    .env("ATEN_CPU_CAPABILITY", "avx2")
                    .env("ONEDNN_MAX_CPU_ISA", "AVX2")
                    // Its f32 products are MKL's, which heeds neither.
                    .env("MKL_ENABLE_INSTRUCTIONS", "AVX2");
            }
            Level::Avx512 => {
                command
                    .env("ATEN_CPU_CAPABILITY", "avx512")
                    .env("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_VNNI");
            }
            Level::Avx512Bf16 => {
                command.env("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16");
            }
            Level::Amx => {}
        }
        let failed = |error: &dyn std::fmt::Display| {
            format!(
                "cannot run {python} ({error}): name an interpreter that has torch, as PYTHON=venv/bin/python"
            )
        };
        let mut child = command.spawn().map_err(|error| failed(&error))?;
        let (Some(asks), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed(&"no pipes"));
        };
        let mut peer = Self {
            child,
            asks: Some(asks),
            answers: BufReader::new(answers),
        };
        let hello = peer.answer().map_err(|error| failed(&error))?;
        println!("peer: {}", hello["peer"].as_str().unwrap_or("unnamed"));
        Ok(peer)
    }

    /// Lets it make the inputs and run once. Answers its values at the places of [`crate::cases::Ours::sample`].
    pub(crate) fn prepare(
        &mut self,
        case: Case,
        dtype: &str,
        samples: usize,
    ) -> Result<Vec<f32>, String> {
        let (op, shape) = (case.op(), case.shape());
        self.ask(&json!({"op": op, "shape": shape, "dtype": dtype, "samples": samples}))?;
        let answer = self.answer()?;
        let values = answer["sample"]
            .as_array()
            .ok_or_else(|| format!("the peer said {answer}"))?;
        Ok(values
            .iter()
            .map(|value| value.as_f64().unwrap_or(f64::NAN) as f32)
            .collect())
    }

    /// Runs it once. Answers how long that took, in ms.
    pub(crate) fn call(&mut self) -> Result<f64, String> {
        self.ask(&json!({"run": true}))?;
        let answer = self.answer()?;
        answer["ms"]
            .as_f64()
            .ok_or_else(|| format!("the peer said {answer}"))
    }

    fn ask(&mut self, request: &Value) -> Result<(), String> {
        let asks = self.asks.as_mut().ok_or("the peer is gone")?;
        writeln!(asks, "{request}")
            .and_then(|()| asks.flush())
            .map_err(|error| format!("the peer is gone: {error}"))
    }

    fn answer(&mut self) -> Result<Value, String> {
        let mut line = String::new();
        match self.answers.read_line(&mut line) {
            Ok(0) => Err("the peer ended".into()),
            Ok(_) => serde_json::from_str(&line)
                .map_err(|error| format!("the peer said {line:?}: {error}")),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Without questions it ends by itself.
        self.asks = None;
        let _ = self.child.wait();
    }
}
