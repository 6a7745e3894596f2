//! Scales that stand beside the weights in files of 8-bit numbers, as ComfyUI and kijai write them
//! (`comfy/quant_ops.py`), and as [`convert`](super::convert) does: a weight is what is stored times its scale.
//!
//! Scales of inputs are for products of 8-bit numbers; ours are of larger ones and need none.

use super::open::Tensors;
use super::stored::{Numbers, Stored};

/// What follows a layer's name in its scale's.
const SCALES: [&str; 2] = [".scale_weight", ".weight_scale"];
/// What says only how upstream is to multiply.
const IGNORED: [&str; 2] = [".scale_input", ".input_scale"];
/// A tensor that says that there are scales.
const MARKER: &str = "scaled_fp8";
/// A tensor of JSON that says how a layer is stored.
const FORMAT: &str = ".comfy_quant";
/// The formats that are a scale and no more.
const FORMATS: [&str; 3] = ["float8_e4m3fn", "float8_e5m2", "int8_tensorwise"];

/// Joins scales to their weights.
///
/// # Errors
///
/// Names a scale that fits no weight, or a format that is not read.
pub(super) fn join(mut tensors: Tensors) -> Result<Tensors, String> {
    tensors.remove(MARKER);
    tensors.retain(|name, _| !IGNORED.iter().any(|ignored| name.ends_with(ignored)));
    let names: Vec<String> = tensors.keys().cloned().collect();
    for name in names {
        if name.ends_with(FORMAT) {
            if let Some(stored) = tensors.remove(&name) {
                check_format(&name, &stored)?;
            }
            continue;
        }
        let Some(layer) = SCALES.iter().find_map(|scale| name.strip_suffix(scale)) else {
            continue;
        };
        let weight = format!("{layer}.weight");
        let Some(scale) = tensors.remove(&name) else {
            continue;
        };
        let Some(weight) = tensors.get_mut(&weight) else {
            return Err(format!("'{name}' is a scale, but there is no '{weight}'"));
        };
        if scale.encoding().is_none() {
            return Err(format!("'{name}' has the type {}", scale.type_name()));
        }
        if scale.len() != 1 && scale.len() != weight.rows() {
            return Err(format!(
                "'{name}' has {} scales for {} rows",
                scale.len(),
                weight.rows()
            ));
        }
        weight.scales = scale.floats().into();
    }
    Ok(tensors)
}

fn check_format(name: &str, stored: &Stored) -> Result<(), String> {
    #[derive(serde::Deserialize)]
    struct Format {
        format: String,
    }
    let text = match &stored.numbers {
        Numbers::Other(kind) if kind == "U8" => stored.bytes.get(),
        _ => return Err(format!("'{name}' is no text")),
    };
    let Format { format } =
        serde_json::from_slice(text).map_err(|error| format!("'{name}': {error}"))?;
    match FORMATS.contains(&format.as_str()) {
        true => Ok(()),
        false => Err(format!(
            "'{name}' says that the layer is stored as '{format}', which is not read; use a file in bf16, fp8 or GGUF"
        )),
    }
}
