//! `cargo xtask parity`: one network of a diffusers folder on given inputs, in f32, for comparison with upstream.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use burn::tensor::{Device, Tensor, TensorData};
use half::{bf16, f16};
use kinora_kernels::Precision;
use kinora_models::wan;
use kinora_models::weights::{Storage, TensorMap, Values, floats, to_bytes, write_atomically};
use safetensors::{Dtype, SafeTensors};

/// How to call it.
pub(crate) const USAGE: &str = "cargo xtask parity NETWORK --checkpoint DIR --inputs FILE --output FILE
  NETWORK          inputs
  wan-transformer  hidden_states, timestep, encoder_hidden_states, encoder_hidden_states_image (where the model has it)
  wan-vace         the same, control_hidden_states, control_hidden_states_scale (all ones where it is absent)
  wan-encoder      sample; output is the mean of the latents
  wan-decoder      latents
  umt5             input_ids, attention_mask (all ones where it is absent)
  clip-image       pixel_values; output is hidden_states[-2]
  DIR is a pipeline's folder, that of one network, or a weight file; FILE are safetensors, and the result is called `output`";

/// Runs `args`, which follow the word `parity`.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let args = Args::parse(args)?;
    let bytes = std::fs::read(&args.inputs).with_context(|| args.inputs.display().to_string())?;
    let inputs = Inputs::read(&bytes).with_context(|| args.inputs.display().to_string())?;
    let folder = |part: &str| component(&args.checkpoint, part);
    let device = Device::flex();
    let exact = Precision::F32;
    let output = match args.network.as_str() {
        "wan-transformer" => {
            let model = wan::Transformer::load(&folder("transformer"), &device, exact)?;
            values(transformer(&model, &inputs, &device)?)
        }
        "wan-vace" => {
            let model = wan::VaceTransformer::load(&folder("transformer"), &device, exact)?;
            values(vace(&model, &inputs, &device)?)
        }
        "wan-encoder" => {
            let model = wan::Autoencoder::load(&folder("vae"), &device, exact)?;
            values(model.encode(inputs.tensor("sample", &device)?)?)
        }
        "wan-decoder" => {
            let model = wan::Autoencoder::load(&folder("vae"), &device, exact)?;
            values(model.decode(inputs.tensor("latents", &device)?)?)
        }
        "umt5" => {
            let model = wan::TextEncoder::load(&folder("text_encoder"), &device, exact)?;
            values(text(&model, &inputs)?)
        }
        "clip-image" => {
            let model = wan::ImageEncoder::load(&folder("image_encoder"), &device, exact)?;
            values(model.forward(inputs.tensor("pixel_values", &device)?)?)
        }
        other => bail!("no network is called '{other}'\nusage: {USAGE}"),
    };
    let outputs = TensorMap::from([("output".to_owned(), output)]);
    let bytes = to_bytes(&outputs, HashMap::new(), |_| Storage::F32)?;
    write_atomically(&args.output, &bytes)?;
    Ok(())
}

fn transformer(model: &wan::Transformer, inputs: &Inputs, device: &Device) -> Result<Tensor<5>> {
    let latents: Tensor<5> = inputs.tensor("hidden_states", device)?;
    let timesteps = timesteps(inputs, latents.dims()[0], device)?;
    let text = inputs.tensor("encoder_hidden_states", device)?;
    let context = model.prepare(text, image(inputs, device)?)?;
    Ok(model.forward(latents, &timesteps, &context)?)
}

fn vace(model: &wan::VaceTransformer, inputs: &Inputs, device: &Device) -> Result<Tensor<5>> {
    let latents: Tensor<5> = inputs.tensor("hidden_states", device)?;
    let timesteps = timesteps(inputs, latents.dims()[0], device)?;
    let text = inputs.tensor("encoder_hidden_states", device)?;
    let context = model.prepare(text, image(inputs, device)?)?;
    let scales = "control_hidden_states_scale";
    let control = wan::Control {
        latents: inputs.tensor("control_hidden_states", device)?,
        scales: match inputs.has(scales) {
            true => inputs.get(scales)?.data.clone(),
            false => vec![1.0; model.config().vace_layers.len()],
        },
    };
    Ok(model.forward(latents, &timesteps, &control, &context)?)
}

fn image(inputs: &Inputs, device: &Device) -> Result<Option<Tensor<3>>> {
    let name = "encoder_hidden_states_image";
    inputs
        .has(name)
        .then(|| inputs.tensor(name, device))
        .transpose()
}

/// `[batch, groups]` of `[batch]` or `[batch, tokens]`.
pub(crate) fn timesteps(inputs: &Inputs, batch: usize, device: &Device) -> Result<Tensor<2>> {
    let timestep = inputs.get("timestep")?;
    let groups = timestep.shape.get(1).copied().unwrap_or(1);
    // One timestep may serve the whole batch, as upstream's sums broadcast.
    let times = match timestep.data.len() {
        1 => timestep.data.repeat(batch),
        _ => timestep.data.clone(),
    };
    ensure!(
        times.len() == batch * groups,
        "timestep has shape {:?}, expected [{batch}] or [{batch}, tokens]",
        timestep.shape
    );
    Ok(Tensor::from_data(
        TensorData::new(times, [batch, groups]),
        device,
    ))
}

pub(crate) fn text(model: &wan::TextEncoder, inputs: &Inputs) -> Result<Tensor<3>> {
    let ids = inputs.get("input_ids")?;
    let [_, tokens] = ids.shape[..] else {
        bail!(
            "input_ids has shape {:?}, expected [batch, tokens]",
            ids.shape
        );
    };
    ensure!(tokens > 0, "input_ids has no tokens");
    ensure!(
        ids.data.iter().all(|&id| id >= 0.0),
        "input_ids has a negative id"
    );
    let mask = match inputs.has("attention_mask") {
        true => inputs.get("attention_mask")?.data.clone(),
        false => vec![1.0; ids.data.len()],
    };
    let rows: Vec<Vec<u32>> = ids
        .data
        .chunks(tokens)
        .map(|row| row.iter().map(|&id| id as u32).collect())
        .collect();
    let mask: Vec<Vec<bool>> = mask
        .chunks(tokens)
        .map(|row| row.iter().map(|&counts| counts != 0.0).collect())
        .collect();
    Ok(model.forward(&rows, &mask)?)
}

/// The weights of a network: `root` itself if it is a file or has a configuration, else its part of a pipeline.
fn component(root: &Path, part: &str) -> PathBuf {
    match root.is_file() || root.join("config.json").exists() {
        true => root.to_owned(),
        false => root.join(part),
    }
}

pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Values {
    Values {
        shape: tensor.dims().to_vec(),
        data: floats(tensor),
    }
}

struct Args {
    network: String,
    checkpoint: PathBuf,
    inputs: PathBuf,
    output: PathBuf,
}

impl Args {
    fn parse(args: &[String]) -> Result<Self> {
        let usage = || format!("usage: {USAGE}");
        let (network, flags) = args.split_first().with_context(usage)?;
        let mut paths: HashMap<&str, PathBuf> = HashMap::new();
        for pair in flags.chunks(2) {
            let [flag, path] = pair else {
                bail!("{} lacks its path\n{}", pair[0], usage());
            };
            ensure!(
                ["--checkpoint", "--inputs", "--output"].contains(&flag.as_str()),
                "no flag is called {flag}\n{}",
                usage()
            );
            paths.insert(flag, path.into());
        }
        let mut path = |flag: &str| {
            paths
                .remove(flag)
                .with_context(|| format!("{flag} is missing\n{}", usage()))
        };
        Ok(Self {
            network: network.clone(),
            checkpoint: path("--checkpoint")?,
            inputs: path("--inputs")?,
            output: path("--output")?,
        })
    }
}

/// Tensors of a safetensors file, whatever they are stored as.
pub(crate) struct Inputs(TensorMap);

impl Inputs {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self> {
        let file = SafeTensors::deserialize(bytes)?;
        let mut tensors = TensorMap::new();
        for (name, view) in file.iter() {
            let data = numbers(view.dtype(), view.data()).with_context(|| name.to_owned())?;
            let shape = view.shape().to_vec();
            tensors.insert(name.to_owned(), Values { shape, data });
        }
        Ok(Self(tensors))
    }

    /// The same names with what `change` makes of each.
    pub(crate) fn map(self, change: impl Fn(Values) -> Values) -> Self {
        let changed = |(name, values)| (name, change(values));
        Self(self.0.into_iter().map(changed).collect())
    }

    fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(crate) fn get(&self, name: &str) -> Result<&Values> {
        self.0.get(name).with_context(|| {
            let names: Vec<&String> = self.0.keys().collect();
            format!("the inputs lack '{name}'; they hold {names:?}")
        })
    }

    pub(crate) fn tensor<const D: usize>(&self, name: &str, device: &Device) -> Result<Tensor<D>> {
        let values = self.get(name)?;
        let shape: [usize; D] =
            values.shape.clone().try_into().map_err(|shape| {
                anyhow::anyhow!("'{name}' has shape {shape:?}, expected {D} axes")
            })?;
        let data = TensorData::new(values.data.clone(), shape);
        Ok(Tensor::from_data(data, device))
    }
}

fn numbers(dtype: Dtype, bytes: &[u8]) -> Result<Vec<f32>> {
    fn each<const N: usize>(bytes: &[u8], decode: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        bytes.as_chunks().0.iter().map(|b| decode(*b)).collect()
    }
    Ok(match dtype {
        Dtype::F64 => each(bytes, |b| f64::from_le_bytes(b) as f32),
        Dtype::F32 => each(bytes, f32::from_le_bytes),
        Dtype::F16 => each(bytes, |b| f16::from_le_bytes(b).to_f32()),
        Dtype::BF16 => each(bytes, |b| bf16::from_le_bytes(b).to_f32()),
        Dtype::I64 => each(bytes, |b| i64::from_le_bytes(b) as f32),
        Dtype::I32 => each(bytes, |b| i32::from_le_bytes(b) as f32),
        Dtype::U8 | Dtype::BOOL => each(bytes, |[b]| f32::from(b)),
        other => bail!("values of type {other:?} are not read"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(text: &str) -> Result<Args> {
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        Args::parse(&words)
    }

    #[test]
    fn flags_come_in_any_order_and_all_are_needed() {
        let parsed = args("umt5 --output o --checkpoint c --inputs i").unwrap();
        assert_eq!(parsed.network, "umt5");
        assert_eq!(parsed.inputs, Path::new("i"));
        for wrong in [
            "",
            "umt5 --output",
            "umt5 --output o --inputs i",
            "umt5 --what c",
        ] {
            assert!(args(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers_of_every_kind_are_read() {
        let two = |dtype, bytes: &[u8]| numbers(dtype, bytes).unwrap();
        assert_eq!(two(Dtype::I64, &2i64.to_le_bytes()), [2.0]);
        assert_eq!(two(Dtype::I32, &(-2i32).to_le_bytes()), [-2.0]);
        assert_eq!(two(Dtype::F16, &f16::from_f32(0.5).to_le_bytes()), [0.5]);
        assert_eq!(two(Dtype::BOOL, &[0, 1]), [0.0, 1.0]);
        assert!(numbers(Dtype::F8_E4M3, &[0]).is_err());
    }
}
