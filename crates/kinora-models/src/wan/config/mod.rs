//! Sizes of the family's networks, as `config.json` in a diffusers folder gives them.
//!
//! A file may come from anywhere: every number is checked here, so that no later code meets a size that it cannot
//! have. Entries that upstream reads but never uses (`qk_norm`, `dropout`) are left alone.

mod autoencoder;
mod image;
mod text;
mod transformer;

use std::fs::File;
use std::io::Read;
use std::ops::RangeInclusive;
use std::path::Path;

use serde::de::DeserializeOwned;

pub use autoencoder::AutoencoderConfig;
pub use image::ImageConfig;
pub use text::TextConfig;
pub use transformer::{TransformerConfig, VaceConfig};

use crate::Error;

/// Larger than any configuration file.
const LARGEST_FILE: u64 = 1 << 20;
const CHANNELS: RangeInclusive<usize> = 1..=1 << 16;
const LAYERS: RangeInclusive<usize> = 1..=256;

/// Reads and checks `config.json` of `folder`, which must be of one of the upstream `classes` if it names any.
fn read<T: DeserializeOwned>(
    folder: &Path,
    classes: &[&str],
    validate: impl Fn(&T) -> Result<(), String>,
) -> Result<T, Error> {
    let path = folder.join("config.json");
    let config = |reason: String| Error::Config {
        path: path.clone(),
        reason,
    };
    let mut text = String::new();
    File::open(&path)
        .and_then(|file| file.take(LARGEST_FILE).read_to_string(&mut text))
        .map_err(|source| Error::Read {
            path: path.clone(),
            source,
        })?;
    let value: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| config(error.to_string()))?;
    if !value.is_object() {
        return Err(config("is no list of named entries".into()));
    }
    let named = value
        .get("_class_name")
        .or_else(|| value.get("architectures")?.get(0));
    if let Some(named) = named.and_then(serde_json::Value::as_str)
        && !classes.contains(&named)
    {
        let expected = classes.join(" or ");
        return Err(config(format!("is of a {named}, expected {expected}")));
    }
    let sizes = serde_json::from_value(value).map_err(|error| config(error.to_string()))?;
    validate(&sizes).map_err(config)?;
    Ok(sizes)
}

fn within(name: &str, value: usize, range: RangeInclusive<usize>) -> Result<(), String> {
    if range.contains(&value) {
        return Ok(());
    }
    let (least, most) = range.into_inner();
    Err(format!("{name} is {value}, expected {least} to {most}"))
}

fn even(name: &str, value: usize) -> Result<(), String> {
    match value % 2 {
        0 => Ok(()),
        _ => Err(format!("{name} is {value}, expected an even number")),
    }
}

fn epsilon(name: &str, value: f64) -> Result<(), String> {
    match value {
        0.0..=1.0 => Ok(()),
        _ => Err(format!("{name} is {value}, expected 0 to 1")),
    }
}
