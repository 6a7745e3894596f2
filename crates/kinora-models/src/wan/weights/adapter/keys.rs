//! The keys of adapters: a module's name in one of several namings, and what the tensor is for.
//!
//! | naming | example |
//! | --- | --- |
//! | peft, diffusers | `transformer.blocks.0.attn1.to_q.lora_A.weight` |
//! | Wan, ComfyUI | `diffusion_model.blocks.0.self_attn.q.lora_down.weight`, `….alpha`, `….diff_b` |
//! | kohya | `lora_unet_blocks_0_self_attn_q.lora_down.weight` |
//! | LyCORIS | `lycoris_blocks_0_self_attn_q.lokr_w1`, `diffusion_model.blocks.0.self_attn.q.lokr_w2_a` |

use std::collections::BTreeMap;

use super::super::names::original_module;
use super::super::open::Tensors;

/// What a tensor of an adapter is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Down,
    Up,
    Alpha,
    Difference,
    BiasDifference,
    ModulationDifference,
    W1,
    W1A,
    W1B,
    W2,
    W2A,
    W2B,
    T2,
}

const PARTS: [(&str, Part); 21] = [
    (".lora_A.weight", Part::Down),
    (".lora_A.default.weight", Part::Down),
    (".lora_down.weight", Part::Down),
    (".lora.down.weight", Part::Down),
    (".lora_B.weight", Part::Up),
    (".lora_B.default.weight", Part::Up),
    (".lora_up.weight", Part::Up),
    (".lora.up.weight", Part::Up),
    (".alpha", Part::Alpha),
    (".diff", Part::Difference),
    (".diff_b", Part::BiasDifference),
    (".lora_B.bias", Part::BiasDifference),
    (".lora_B.default.bias", Part::BiasDifference),
    (".diff_m", Part::ModulationDifference),
    (".lokr_w1", Part::W1),
    (".lokr_w1_a", Part::W1A),
    (".lokr_w1_b", Part::W1B),
    (".lokr_w2", Part::W2),
    (".lokr_w2_a", Part::W2A),
    (".lokr_w2_b", Part::W2B),
    (".lokr_t2", Part::T2),
];

/// What may stand before a module's name, longer ones first.
const PREFIXES: [&str; 11] = [
    "base_model.model.transformer.",
    "base_model.model.",
    "model.diffusion_model.",
    "diffusion_model.",
    "transformer.",
    "unet.",
    "lora_unet_",
    "lora_transformer_",
    "lycoris_unet_",
    "lycoris_transformer_",
    "lycoris_",
];

/// A table that is added to what a norm is scaled and shifted by; it is no module's weight.
const MODULATION: &str = "scale_shift_table";

/// A key as a module's name and what the tensor is for.
pub(super) fn split(key: &str) -> Option<(&str, Part)> {
    PARTS
        .iter()
        .find_map(|(suffix, part)| Some((key.strip_suffix(suffix)?, *part)))
}

/// The table of modulations of a block, or of the whole network where `module` is empty.
pub(super) fn modulation(module: &str) -> String {
    match module {
        "" => MODULATION.to_owned(),
        block => format!("{block}.{MODULATION}"),
    }
}

/// The modules of a network by all of their names.
pub(super) struct Modules(BTreeMap<String, String>);

impl Modules {
    pub(super) fn of(network: &Tensors) -> Self {
        let mut names = BTreeMap::new();
        for tensor in network.keys() {
            if let Some(module) = tensor.strip_suffix(".weight") {
                for name in [Some(module.to_owned()), original_module(module)]
                    .into_iter()
                    .flatten()
                {
                    names.insert(name.replace('.', "_"), module.to_owned());
                    names.insert(name, module.to_owned());
                }
            } else if tensor == MODULATION {
                names.insert("head".into(), String::new());
            } else if let Some(block) = tensor.strip_suffix(&format!(".{MODULATION}")) {
                names.insert(block.replace('.', "_"), block.to_owned());
                names.insert(block.to_owned(), block.to_owned());
            }
        }
        Self(names)
    }

    /// The module that an adapter means.
    pub(super) fn find(&self, name: &str) -> Option<&str> {
        let without_prefix = PREFIXES
            .iter()
            .filter_map(|prefix| name.strip_prefix(prefix));
        std::iter::once(name)
            .chain(without_prefix)
            .find_map(|name| self.0.get(name))
            .map(String::as_str)
    }
}
