//! The names that people's files give to tensors, and the ones that the networks ask for: those of diffusers and
//! transformers.
//!
//! A [`Style`] is one network in one naming. It is known by a tensor that no other has, which also tells what stands
//! before all names of the network (`model.diffusion_model.` in ComfyUI's files).

mod autoencoder;
mod image;
mod text;
mod transformer;

use std::fmt;

use super::open::Tensors;
pub(super) use transformer::original_module;

/// The networks of a Wan model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Network {
    /// The denoiser: text to video, image to video, first and last frame, TI2V.
    Transformer,
    /// The denoiser with a branch for what is given.
    Vace,
    /// umT5.
    TextEncoder,
    /// Either autoencoder.
    Autoencoder,
    /// CLIP's image encoder.
    ImageEncoder,
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Transformer => "a transformer without VACE",
            Self::Vace => "a VACE transformer",
            Self::TextEncoder => "a umT5 text encoder",
            Self::Autoencoder => "a Wan autoencoder",
            Self::ImageEncoder => "a CLIP image encoder",
        })
    }
}

/// One network in one naming.
struct Style {
    network: Network,
    /// A tensor that every file of the style has, and no other.
    marker: &'static str,
    /// To the networks' names.
    rename: fn(Tensors) -> Tensors,
}

const STYLES: [Style; 9] = [
    Style {
        network: Network::Transformer,
        marker: "blocks.0.attn1.to_q.weight",
        rename: std::convert::identity,
    },
    Style {
        network: Network::Transformer,
        marker: "blocks.0.self_attn.q.weight",
        rename: transformer::from_original,
    },
    Style {
        network: Network::TextEncoder,
        marker: "encoder.block.0.layer.0.SelfAttention.q.weight",
        rename: std::convert::identity,
    },
    Style {
        network: Network::TextEncoder,
        marker: "blocks.0.ffn.gate.0.weight",
        rename: text::from_original,
    },
    Style {
        network: Network::TextEncoder,
        marker: "enc.blk.0.attn_q.weight",
        rename: text::from_llama_cpp,
    },
    Style {
        network: Network::Autoencoder,
        marker: "decoder.mid_block.resnets.0.conv1.weight",
        rename: std::convert::identity,
    },
    Style {
        network: Network::Autoencoder,
        marker: "decoder.middle.0.residual.2.weight",
        rename: autoencoder::from_original,
    },
    Style {
        network: Network::ImageEncoder,
        marker: "encoder.layers.0.self_attn.q_proj.weight",
        rename: std::convert::identity,
    },
    Style {
        network: Network::ImageEncoder,
        marker: "transformer.0.attn.to_qkv.weight",
        rename: image::from_original,
    },
];

/// The networks that the tensors are of, each with its place in [`STYLES`] and what stands before its names.
fn found(tensors: &Tensors) -> Vec<(Network, &'static Style, String)> {
    let mut found = Vec::new();
    for style in &STYLES {
        let prefix = tensors.keys().find_map(|name| {
            let prefix = name.strip_suffix(style.marker)?;
            (prefix.is_empty() || prefix.ends_with('.')).then(|| prefix.to_owned())
        });
        let Some(prefix) = prefix else { continue };
        let vace = format!("{prefix}vace_blocks.0.");
        let network = match style.network {
            Network::Transformer if tensors.keys().any(|name| name.starts_with(&vace)) => {
                Network::Vace
            }
            network => network,
        };
        found.push((network, style, prefix));
    }
    found
}

/// The networks that a file holds.
pub(super) fn networks(tensors: &Tensors) -> Vec<Network> {
    found(tensors)
        .into_iter()
        .map(|(network, ..)| network)
        .collect()
}

/// The tensors of one network by the names that it asks for; `None` where the file does not hold it.
pub(super) fn canonical(tensors: &Tensors, network: Network) -> Option<Tensors> {
    let (_, style, prefix) = found(tensors)
        .into_iter()
        .find(|(found, ..)| *found == network)?;
    let own = tensors.iter().filter_map(|(name, stored)| {
        Some((name.strip_prefix(&prefix)?.to_owned(), stored.clone()))
    });
    Some((style.rename)(own.collect()))
}

/// Parts of names and what becomes of them.
type Table = [(&'static str, &'static str)];

/// `name` with the entry of the table that is all of it, or all before one of its dots.
fn replace(table: &Table, name: &str) -> Option<String> {
    table.iter().find_map(|(from, to)| {
        let rest = name.strip_prefix(from)?;
        (rest.is_empty() || rest.starts_with('.')).then(|| format!("{to}{rest}"))
    })
}

/// The opposite of [`replace`].
fn replace_back(table: &Table, name: &str) -> Option<String> {
    table.iter().find_map(|(from, to)| {
        let rest = name.strip_prefix(to)?;
        (rest.is_empty() || rest.starts_with('.')).then(|| format!("{from}{rest}"))
    })
}

/// `name` split at its first number: `("blocks.", "0", "attn.q")` of `blocks.0.attn.q`.
fn numbered<'a>(name: &'a str, list: &str) -> Option<(usize, &'a str)> {
    let (number, rest) = name.strip_prefix(list)?.split_once('.')?;
    Some((number.parse().ok()?, rest))
}

/// All tensors, each under the name that `rename` gives it, or its own where there is none or where another tensor has
/// it: then no layer will take it, and it is told by the name that stands in the file.
fn renamed(tensors: Tensors, rename: impl Fn(&str) -> Option<String>) -> Tensors {
    let mut renamed = Tensors::new();
    for (name, stored) in tensors {
        let new = rename(&name).filter(|new| !renamed.contains_key(new));
        renamed.insert(new.unwrap_or(name), stored);
    }
    renamed
}
