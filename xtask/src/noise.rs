//! `cargo xtask noise`: the noise that Kinora begins a clip with, so that upstream can begin with the same.

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use burn::tensor::{Device, Tensor};
use kinora_models::weights::{Storage, TensorMap, Values, floats, to_bytes, write_atomically};

/// How to call it.
pub(crate) const USAGE: &str =
    "cargo xtask noise --seed N --shape 1,CHANNELS,FRAMES,HEIGHT,WIDTH --output FILE
  of latents; FILE is safetensors, and the noise is called `output`";

/// Runs `args`, which follow the word `noise`.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let usage = || format!("usage: {USAGE}");
    let flag = |name: &str| {
        let at = args.iter().position(|arg| arg == name);
        let value = at.and_then(|at| args.get(at + 1));
        value.with_context(|| format!("{name} is missing\n{}", usage()))
    };
    let seed: u64 = flag("--seed")?.parse().with_context(usage)?;
    let shape: Vec<usize> = flag("--shape")?
        .split(',')
        .map(str::parse)
        .collect::<Result<_, _>>()
        .with_context(usage)?;
    let [1, channels, frames, height, width] = shape[..] else {
        bail!(usage());
    };
    let output: PathBuf = flag("--output")?.into();

    let frame = [1, channels, 1, height, width];
    let device = Device::flex();
    let noise = (0..frames).map(|index| kinora_pipeline::noise(frame, seed, index, &device));
    let noise: Tensor<5> = Tensor::cat(noise.collect(), 2);
    let values = Values {
        shape: noise.dims().to_vec(),
        data: floats(noise),
    };
    let outputs = TensorMap::from([("output".to_owned(), values)]);
    let bytes = to_bytes(&outputs, HashMap::new(), |_| Storage::F32)?;
    write_atomically(&output, &bytes)?;
    Ok(())
}
