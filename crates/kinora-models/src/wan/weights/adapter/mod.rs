//! Adapters: small files that change the weights of a network, merged into them when it is loaded.
//!
//! LoRA (Hu et al., 2022), LoKr of LyCORIS (Yeh et al., 2024) and plain differences, in the naming of peft and
//! diffusers, of Wan and ComfyUI, and of kohya's trainers: see [`keys`]. A key that changes nothing is an error.

mod change;
mod keys;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::open::{self, Tensors};
use super::stored::Stored;
use crate::Error;
use crate::error::TensorProblems;
use change::{Factor, LowRank};
use keys::{Modules, Part};

pub(super) use change::Change;

/// An adapter's file, and how much of it is wanted.
#[derive(Debug)]
pub struct Adapter {
    path: PathBuf,
    pub(super) tensors: Tensors,
    pub(super) strength: f32,
}

impl Adapter {
    /// Maps a safetensors file. A `strength` of 1 is what its author meant, 0 is nothing, less is the opposite.
    ///
    /// # Errors
    ///
    /// As [`Checkpoint::open`](super::Checkpoint::open), and [`Error::Inputs`] for a strength that is no number.
    pub fn open(path: &Path, strength: f32) -> Result<Self, Error> {
        if !strength.is_finite() {
            return Err(Error::Inputs("the strength of an adapter is no number"));
        }
        Ok(Self {
            path: path.to_owned(),
            tensors: open::tensors(path)?,
            strength,
        })
    }
}

/// What adapters do to the tensors of a network, by name.
#[derive(Debug, Default)]
pub(super) struct Changes(BTreeMap<String, Vec<Change>>);

impl Changes {
    /// What is done to a tensor, in order.
    pub(super) fn of(&self, name: &str) -> &[Change] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// Adds what an adapter does to `network`.
    ///
    /// # Errors
    ///
    /// [`Error::Adapter`], which lists all that does not fit.
    pub(super) fn add(&mut self, adapter: &Adapter, network: &Tensors) -> Result<(), Error> {
        let modules = Modules::of(network);
        let mut problems = TensorProblems::default();
        let mut groups: BTreeMap<String, Group<'_>> = BTreeMap::new();
        for (key, stored) in &adapter.tensors {
            let found = keys::split(key)
                .and_then(|(module, part)| Some((modules.find(module)?.to_owned(), module, part)));
            let Some((module, own_name, part)) = found else {
                problems.unmatched.push(key.clone());
                continue;
            };
            if stored.encoding().is_none() {
                problems
                    .types
                    .push(format!("{key} ({})", stored.type_name()));
                continue;
            }
            let group = groups.entry(module).or_insert_with(|| Group {
                name: own_name,
                parts: BTreeMap::new(),
            });
            if group.parts.insert(part, stored).is_some() {
                problems.unmatched.push(key.clone());
            }
        }
        let mut changes = Vec::new();
        for (module, group) in groups {
            group.changes(
                &module,
                network,
                adapter.strength,
                &mut changes,
                &mut problems,
            );
        }
        if !problems.is_empty() {
            return Err(Error::Adapter {
                path: adapter.path.clone(),
                problems: Box::new(problems),
            });
        }
        for (tensor, change) in changes {
            self.0.entry(tensor).or_default().push(change);
        }
        Ok(())
    }
}

/// All that an adapter holds for one module.
struct Group<'a> {
    /// The module's name in the adapter.
    name: &'a str,
    parts: BTreeMap<Part, &'a Stored>,
}

impl Group<'_> {
    /// What becomes of the parts; all of them are used, or are problems.
    fn changes(
        mut self,
        module: &str,
        network: &Tensors,
        strength: f32,
        changes: &mut Vec<(String, Change)>,
        problems: &mut TensorProblems,
    ) {
        let name = self.name;
        let alpha = match self.parts.remove(&Part::Alpha) {
            None => None,
            Some(alpha) if alpha.len() == 1 && alpha.floats()[0].is_finite() => {
                Some(alpha.floats()[0])
            }
            Some(alpha) => {
                problems.shapes.push(format!(
                    "{name}.alpha (is {:?}, should be one number)",
                    alpha.shape
                ));
                return;
            }
        };
        let has_alpha = alpha.is_some();
        let mut add = |tensor: String, part: &str, change: Change| {
            let Some(target) = network.get(&tensor) else {
                problems.unmatched.push(format!("{name} {part}"));
                return;
            };
            match change.fits(target) {
                Ok(()) => changes.push((tensor, change)),
                Err(what) => problems.shapes.push(format!("{name} {part} ({what})")),
            }
        };
        let weight = || format!("{module}.weight");
        let mut uses_alpha = false;
        match (self.parts.remove(&Part::Down), self.parts.remove(&Part::Up)) {
            (None, None) => {}
            (Some(down), Some(up)) => {
                uses_alpha = true;
                let change = LowRank::new(up, down, alpha, strength);
                add(weight(), "LoRA", Change::LowRank(change));
            }
            (down, _) => {
                let lacks = if down.is_some() {
                    "lora_up"
                } else {
                    "lora_down"
                };
                problems.missing.push(format!("{name}.{lacks}"));
                return;
            }
        }
        for (part, suffix, label) in [
            (Part::Difference, ".weight", "diff"),
            (Part::BiasDifference, ".bias", "diff_b"),
            (Part::ModulationDifference, "", "diff_m"),
        ] {
            let Some(values) = self.parts.remove(&part) else {
                continue;
            };
            let tensor = match part {
                Part::ModulationDifference => keys::modulation(module),
                _ => format!("{module}{suffix}"),
            };
            let change = Change::Sum {
                values: values.clone(),
                scale: strength,
            };
            add(tensor, label, change);
        }
        if self.parts.is_empty() {
            if has_alpha && !uses_alpha {
                problems.unmatched.push(format!("{name}.alpha"));
            }
            return;
        }
        // What is left is of LoKr.
        let mut take = |part: Part| self.parts.remove(&part).cloned();
        let first = Factor::new(take(Part::W1), take(Part::W1A), take(Part::W1B), None);
        let second = Factor::new(
            take(Part::W2),
            take(Part::W2A),
            take(Part::W2B),
            take(Part::T2),
        );
        match (first, second) {
            (Some(first), Some(second)) => {
                let change = Change::kronecker(first, second, alpha, strength);
                add(weight(), "LoKr", change);
            }
            (None, _) => problems
                .missing
                .push(format!("{name}.lokr_w1, or w1_a and w1_b")),
            (_, None) => problems
                .missing
                .push(format!("{name}.lokr_w2, or w2_a and w2_b")),
        }
    }
}
