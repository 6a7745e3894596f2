//! A single weight file of Wan: which networks it holds, and in which types.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use kinora_models::wan::{Checkpoint, Network, TransformerConfig};
use serde_json::{Value, json};

use crate::output;

/// Channels of latents that come with known frames beside the noise.
const LATENTS_AND_PICTURE: usize = 36;

/// One network of a file.
pub(super) struct About {
    family: String,
    layers: Option<usize>,
    width: Option<usize>,
    elements: u64,
    bytes: u64,
    /// Numbers by the type that they are stored in, most first.
    types: Vec<(String, u64)>,
    /// Why the sizes cannot be told, where they cannot.
    unknown: Option<String>,
}

/// What a file holds.
///
/// # Errors
///
/// The file is damaged.
pub(super) fn networks(path: &Path) -> Result<Vec<About>> {
    let failed = || format!("cannot read {}", path.display());
    let networks = Checkpoint::networks_in(path).with_context(failed)?;
    let about = |network| {
        let checkpoint = Checkpoint::open_as(path, network).with_context(failed)?;
        Ok(describe(network, &checkpoint))
    };
    networks.into_iter().map(about).collect()
}

fn describe(network: Network, checkpoint: &Checkpoint) -> About {
    let mut counts = BTreeMap::new();
    for (_, shape, kind) in checkpoint.tensors() {
        let count = shape.iter().product::<usize>() as u64;
        *counts.entry(kind.to_owned()).or_default() += count;
    }
    let mut types: Vec<(String, u64)> = counts.into_iter().collect();
    types.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let sizes = match network {
        Network::Transformer => checkpoint.transformer_config().map(|config| {
            let family = transformer(&config).to_owned();
            (family, Some(config.num_layers), Some(config.width()))
        }),
        Network::Vace => checkpoint.vace_config().map(|config| {
            let config = config.transformer;
            (
                "Wan VACE transformer".to_owned(),
                Some(config.num_layers),
                Some(config.width()),
            )
        }),
        Network::TextEncoder => checkpoint.text_config().map(|config| {
            (
                "umT5 text encoder".to_owned(),
                Some(config.num_layers),
                Some(config.d_model),
            )
        }),
        Network::Autoencoder => checkpoint.autoencoder_config().map(|config| {
            let version = if config.is_residual { "2.2" } else { "2.1" };
            (
                format!("Wan {version} autoencoder"),
                None,
                Some(config.base_dim),
            )
        }),
        Network::ImageEncoder => checkpoint.image_config().map(|config| {
            (
                "CLIP image encoder".to_owned(),
                Some(config.num_hidden_layers),
                Some(config.hidden_size),
            )
        }),
    };
    let (family, layers, width, unknown) = match sizes {
        Ok((family, layers, width)) => (family, layers, width, None),
        Err(error) => (network.to_string(), None, None, Some(error.to_string())),
    };
    About {
        family,
        layers,
        width,
        elements: checkpoint.elements(),
        bytes: checkpoint.bytes(),
        types,
        unknown,
    }
}

/// What a transformer takes tells what it is for.
fn transformer(config: &TransformerConfig) -> &'static str {
    match (
        config.in_channels,
        config.image_dim,
        config.pos_embed_seq_len,
    ) {
        (_, Some(_), Some(_)) => "Wan 2.1 first-and-last-frame transformer (FLF2V)",
        (_, Some(_), None) => "Wan 2.1 image-to-video transformer (I2V)",
        (LATENTS_AND_PICTURE, None, _) => {
            "Wan 2.2 image-to-video transformer, one of two experts (I2V-A14B)"
        }
        (48, None, _) => "Wan 2.2 transformer for text and first pictures (TI2V)",
        _ => {
            "Wan text-to-video transformer (2.1, or one of the two experts of 2.2 A14B: their shapes are the same)"
        }
    }
}

/// For programs.
pub(super) fn to_json(path: &Path, networks: &[About]) -> Value {
    let networks: Vec<Value> = networks
        .iter()
        .map(|about| {
            json!({
                "family": about.family,
                "layers": about.layers,
                "width": about.width,
                "parameters": about.elements,
                "bytes": about.bytes,
                "types": about.types.iter().cloned().collect::<BTreeMap<String, u64>>(),
                "problem": about.unknown,
            })
        })
        .collect();
    json!({ "file": path.display().to_string(), "networks": networks })
}

/// For people.
pub(super) fn to_text(path: &Path, networks: &[About]) -> String {
    let networks: Vec<String> = networks.iter().map(About::to_text).collect();
    format!("{}\n{}", path.display(), networks.join("\n"))
}

impl About {
    fn to_text(&self) -> String {
        let part = |count: u64| 100.0 * count as f64 / self.elements.max(1) as f64;
        let types: Vec<String> = self
            .types
            .iter()
            .map(|(kind, count)| format!("{kind} {:.1}%", part(*count)))
            .collect();
        let size = |what: &str, size: Option<usize>| size.map(|size| format!(", {what} {size}"));
        let mut text = format!(
            "  {}\n    parameters  {:.2} billion ({}){}{}\n    types       {}",
            self.family,
            self.elements as f64 / 1e9,
            output::bytes(self.bytes),
            size("blocks", self.layers).unwrap_or_default(),
            size("width", self.width).unwrap_or_default(),
            types.join(", "),
        );
        if let Some(problem) = &self.unknown {
            text.push_str(&format!("\n    problem     {problem}"));
        }
        text
    }
}
