//! Kinora's side: one network in bf16, asked on stdin.

use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use burn::tensor::Device;
use kinora_kernels::{Precision, cpu};
use kinora_models::wan;
use kinora_models::weights::{Storage, TensorMap, Values, to_bytes, write_atomically};
use serde_json::{Value, json};

use crate::parity::{Inputs, text, timesteps, values};

/// A network with its inputs.
type Call = Box<dyn Fn() -> Result<Values>>;

/// Loads the network of a case and answers until stdin ends.
pub(super) fn serve(case: &str, folder: &Path) -> Result<()> {
    kinora_kernels::keep_freed_memory(Some(kinora_kernels::MEMORY_KEPT));
    let call = load(case, folder)?;
    let mut output = None;
    let mut stdout = std::io::stdout();
    let mut answer = |answer: Value| -> Result<()> {
        writeln!(stdout, "{answer}")?;
        Ok(stdout.flush()?)
    };
    answer(json!({ "name": format!("Kinora, {}", cpu::level_report()) }))?;
    for line in std::io::stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line?)?;
        if let Some(path) = request["save"].as_str() {
            let values: Values = output.clone().context("nothing was run")?;
            write(Path::new(path), "output", values)?;
            answer(json!({ "saved": true }))?;
        } else if request == "run" {
            let start = Instant::now();
            output = Some(call()?);
            answer(json!({ "ms": start.elapsed().as_secs_f64() * 1e3 }))?;
        } else if request == "peak" {
            answer(json!({ "bytes": peak_bytes() }))?;
        } else {
            bail!("{request} is no question");
        }
    }
    Ok(())
}

fn load(case: &str, folder: &Path) -> Result<Call> {
    let bytes = std::fs::read(inputs_of(case, folder))?;
    let inputs = Inputs::read(&bytes)?;
    let device = Device::flex();
    let precision = Precision::Bf16;
    Ok(match case.split('-').next() {
        Some("transformer") => {
            let model = wan::Transformer::load(&folder.join("transformer"), &device, precision)?;
            let latents = inputs.tensor::<5>("hidden_states", &device)?;
            let timesteps = timesteps(&inputs, 1, &device)?;
            // The weights' packed form stays for all steps where memory is free, as in the program.
            cpu::limit_packed(usize::MAX);
            // Once for a clip, not for each step.
            let text = inputs.tensor("encoder_hidden_states", &device)?;
            let context = model.prepare(text, None)?;
            Box::new(move || {
                Ok(values(model.forward(
                    latents.clone(),
                    &timesteps,
                    &context,
                )?))
            })
        }
        Some("decode") => {
            let model = wan::Autoencoder::load(&folder.join("vae"), &device, precision)?;
            let latents = inputs.tensor::<5>("latents", &device)?;
            Box::new(move || Ok(values(model.decode(latents.clone())?)))
        }
        Some("text") => {
            let model = wan::TextEncoder::load(&folder.join("text_encoder"), &device, precision)?;
            // Padding is computed neither for prompts of the program.
            let count = counted(case)?;
            let inputs = inputs.map(|values| first(values, count));
            Box::new(move || Ok(values(text(&model, &inputs)?)))
        }
        _ => bail!("no case is called '{case}'"),
    })
}

fn inputs_of(case: &str, folder: &Path) -> std::path::PathBuf {
    folder.join(format!("inputs/{case}.safetensors"))
}

/// What f32 makes of a case.
pub(super) fn truth(case: &str, folder: &Path) -> Result<Values> {
    compared(case, read(&inputs_of(case, folder), "truth")?)
}

/// The part of a result that is compared: of texts the tokens that count, since nothing looks at the others.
pub(super) fn compared(case: &str, result: Values) -> Result<Values> {
    match case.starts_with("text") {
        true => Ok(first(result, counted(case)?)),
        false => Ok(result),
    }
}

/// The first tokens of `[1, tokens, …]`.
fn first(mut values: Values, count: usize) -> Values {
    let tokens = values.shape[1];
    values.data.truncate(values.data.len() / tokens * count);
    values.shape[1] = count;
    values
}

/// Tokens that count in a case of texts.
fn counted(case: &str) -> Result<usize> {
    let count = case.strip_prefix("text-").map(str::parse);
    count
        .and_then(Result::ok)
        .with_context(|| format!("'{case}' names no number of tokens"))
}

/// A tensor of a file.
pub(super) fn read(path: &Path, name: &str) -> Result<Values> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let inputs = Inputs::read(&bytes).with_context(|| path.display().to_string())?;
    Ok(inputs.get(name)?.clone())
}

fn write(path: &Path, name: &str, values: Values) -> Result<()> {
    let outputs = TensorMap::from([(name.to_owned(), values)]);
    let bytes = to_bytes(&outputs, HashMap::new(), |_| Storage::F32)?;
    Ok(write_atomically(path, &bytes)?)
}

/// The most memory that this process has held, where the system tells.
fn peak_bytes() -> Option<u64> {
    super::start::peak_bytes("self")
}
