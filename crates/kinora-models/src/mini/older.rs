//! Weight files of before version 8.
//!
//! They do not say that their denoisers know no anchors. Before version 5 the director read with the denoiser's text encoder, of which it now has a copy. And the last norm of that encoder had a gain and a
//! bias, by which training could silence words that were of no use yet. It has neither any more, and what old files have of them
//! goes into the matrices that read the text: they give what they gave, but for the rounding of gains near zero.

use serde_json::{Value, json};

use crate::weights::TensorMap;

const TEXT: &str = "model.text.";
const DIRECTOR: &str = "model.director.";
const SCALE: &str = "model.text.norm.scale";
const SHIFT: &str = "model.text.norm.shift";
const EMPTY: &str = "model.text.empty";
/// Ends of the names of the layers that read the text.
const READERS: [&str; 3] = ["cross.key", "cross.value", "embed_pooled"];
/// Smaller gains are taken for this: they are divided by.
const LEAST_GAIN: f32 = 1e-3;

/// Brings tensors and metadata up to date; does nothing to a file that is.
pub(super) fn update(metadata: &mut Value, tensors: &mut TensorMap) {
    absorb_text_gain(tensors);
    let Some(config) = metadata.get_mut("config") else {
        return;
    };
    if let Some(config) = config.as_object_mut() {
        config.entry("anchored").or_insert(json!(false));
    }
    let (Some(text), Some(director)) = (config.get("text"), config.get("director")) else {
        return;
    };
    if director.get("paths").is_some() {
        return;
    }
    config["director"] = json!({ "text": text, "paths": director });
    let moved: Vec<(String, String)> = tensors
        .keys()
        .filter_map(|name| {
            let rest = name.strip_prefix(DIRECTOR)?;
            Some((name.clone(), format!("{DIRECTOR}paths.{rest}")))
        })
        .collect();
    for (old, new) in moved {
        if let Some(values) = tensors.remove(&old) {
            tensors.insert(new, values);
        }
    }
    let copied: Vec<(String, _)> = tensors
        .iter()
        .filter_map(|(name, values)| {
            let rest = name.strip_prefix(TEXT)?;
            Some((format!("{DIRECTOR}text.{rest}"), values.clone()))
        })
        .collect();
    tensors.extend(copied);
}

/// Moves gain and bias of the text's last norm into what reads it, where the file has them.
fn absorb_text_gain(tensors: &mut TensorMap) {
    let (Some(scale), Some(shift)) = (tensors.remove(SCALE), tensors.remove(SHIFT)) else {
        return;
    };
    // The file holds the gain's difference from one.
    let gain: Vec<f32> = scale
        .data
        .iter()
        .map(|&scale| at_least(1.0 + scale))
        .collect();
    if let Some(empty) = tensors.get_mut(EMPTY) {
        for ((value, gain), shift) in empty.data.iter_mut().zip(&gain).zip(&shift.data) {
            *value = (*value - shift) / gain;
        }
    }
    let readers: Vec<String> = tensors
        .keys()
        .filter_map(|name| name.strip_suffix(".weight"))
        .filter(|layer| READERS.iter().any(|reader| layer.ends_with(reader)))
        .map(str::to_owned)
        .collect();
    for layer in readers {
        let Some(weight) = tensors.get_mut(&format!("{layer}.weight")) else {
            continue;
        };
        let outputs = weight.shape.last().copied().unwrap_or(0).max(1);
        let mut moved = vec![0.0; outputs];
        let rows = weight.data.chunks_exact_mut(outputs);
        for ((row, gain), shift) in rows.zip(&gain).zip(&shift.data) {
            for (value, moved) in row.iter_mut().zip(&mut moved) {
                *moved += *value * shift;
                *value *= gain;
            }
        }
        if let Some(bias) = tensors.get_mut(&format!("{layer}.bias")) {
            for (value, moved) in bias.data.iter_mut().zip(&moved) {
                *value += moved;
            }
        }
    }
}

fn at_least(gain: f32) -> f32 {
    LEAST_GAIN.max(gain.abs()).copysign(gain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::Values;

    /// A layer over a text with gain and bias, and over the plain text after they moved, for a token and for "no words".
    #[test]
    fn what_reads_the_text_reads_the_same() {
        let values = |shape: &[usize], data: &[f32]| Values {
            shape: shape.to_vec(),
            data: data.to_vec(),
        };
        let mut tensors = TensorMap::new();
        tensors.insert(SCALE.into(), values(&[1, 2], &[-0.9, -1.2]));
        tensors.insert(SHIFT.into(), values(&[1, 2], &[0.3, -0.1]));
        tensors.insert(EMPTY.into(), values(&[1, 2], &[0.05, 0.2]));
        let layer = "model.director.blocks.0.cross.value";
        let weight = [1.0, 2.0, 3.0, -1.0, 0.5, 4.0];
        tensors.insert(format!("{layer}.weight"), values(&[2, 3], &weight));
        tensors.insert(format!("{layer}.bias"), values(&[3], &[0.1, 0.2, 0.3]));
        let read = |tensors: &TensorMap, token: [f32; 2]| -> Vec<f32> {
            let weight = &tensors[&format!("{layer}.weight")].data;
            let bias = &tensors[&format!("{layer}.bias")].data;
            (0..3)
                .map(|i| bias[i] + token[0] * weight[i] + token[1] * weight[3 + i])
                .collect()
        };
        let plain = [0.7, -1.4];
        let loud = [0.1 * plain[0] + 0.3, -0.2 * plain[1] - 0.1];
        let before = [read(&tensors, loud), read(&tensors, [0.05, 0.2])];
        absorb_text_gain(&mut tensors);
        assert!(!tensors.contains_key(SCALE) && !tensors.contains_key(SHIFT));
        let empty = tensors[EMPTY].data.clone();
        let after = [read(&tensors, plain), read(&tensors, [empty[0], empty[1]])];
        for (before, after) in before.iter().flatten().zip(after.iter().flatten()) {
            assert!((before - after).abs() < 1e-5, "{before} and {after}");
        }
    }

    #[test]
    fn an_old_director_gets_a_copy_of_the_text_encoder() {
        let one = |value: f32| Values {
            shape: vec![1],
            data: vec![value],
        };
        let mut tensors = TensorMap::new();
        tensors.insert("model.text.tokens".into(), one(1.0));
        tensors.insert("model.director.out.bias".into(), one(2.0));
        tensors.insert("model.transformer.out.bias".into(), one(3.0));
        let mut metadata =
            json!({ "config": { "text": { "width": 4 }, "director": { "depth": 1 } } });
        update(&mut metadata, &mut tensors);
        let director = &metadata["config"]["director"];
        assert_eq!(
            *director,
            json!({ "text": { "width": 4 }, "paths": { "depth": 1 } })
        );
        let names: Vec<&str> = tensors.keys().map(String::as_str).collect();
        let expected = [
            "model.director.paths.out.bias",
            "model.director.text.tokens",
            "model.text.tokens",
            "model.transformer.out.bias",
        ];
        let mut sorted = names.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, expected);
        let (known, up_to_date) = (metadata.clone(), tensors.len());
        update(&mut metadata, &mut tensors);
        assert_eq!((metadata, tensors.len()), (known, up_to_date));
    }
}
