//! Weights of the model that ships: missing, damaged, changed, or such that no video comes of them.

mod common;

use std::fs;
use std::path::PathBuf;

use common::{PROMPT, entries, quick, refused, weights};
use predicates::prelude::*;
use predicates::str::contains;
use tempfile::{TempDir, tempdir};

fn with_model(folder: &TempDir, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join("model.safetensors");
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn missing_and_damaged_weights_are_refused() {
    refused(
        &["generate", PROMPT, "--model", "none.safetensors"],
        1,
        &["cannot read the model none.safetensors", "check the name"],
    );
    let whole = weights();
    for (damage, bytes) in [
        ("empty", &[][..]),
        ("text", b"no weights at all, but words"),
        ("short", &whole[..whole.len() / 2]),
    ] {
        let folder = tempdir().unwrap();
        let model = with_model(&folder, bytes);
        quick(&folder, "clip.mp4")
            .arg("--model")
            .arg(model)
            .assert()
            .code(1)
            .stderr(contains("damaged").and(contains("build the file again")));
        assert_eq!(entries(folder.path()), ["model.safetensors"], "{damage}");
    }
}

#[test]
fn a_hash_beside_the_weights_is_checked() {
    let folder = tempdir().unwrap();
    let mut bytes = weights();
    let hash = kinora_models::weights::sha256(&bytes);
    fs::write(
        folder.path().join("model.sha256"),
        format!("{hash}  model.safetensors\n"),
    )
    .unwrap();
    let model = with_model(&folder, &bytes);
    quick(&folder, "clip.mp4")
        .arg("--model")
        .arg(&model)
        .assert()
        .success();
    *bytes.last_mut().unwrap() ^= 1;
    with_model(&folder, &bytes);
    quick(&folder, "other.mp4")
        .arg("--model")
        .arg(&model)
        .assert()
        .code(1)
        .stderr(contains("should have"));
    assert_eq!(
        entries(folder.path()),
        ["clip.mp4", "model.safetensors", "model.sha256"]
    );
}

#[test]
fn nothing_and_not_a_number_are_no_video() {
    use burn::tensor::Device;
    use kinora_models::mini::Mini;
    use kinora_models::weights::{assign, collect};
    for (value, reason) in [(f32::NAN, "not numbers"), (0.0, "flat colour")] {
        let folder = tempdir().unwrap();
        let model = Mini::from_bytes(&weights(), &Device::flex()).unwrap();
        let networks = model.networks().clone();
        let mut tensors = collect(&networks, "model");
        for tensor in tensors.values_mut() {
            tensor.data.fill(value);
        }
        let networks = assign(networks, "model", &tensors).unwrap();
        let model = with_model(&folder, &model.with_networks(networks).to_bytes().unwrap());
        quick(&folder, "clip.mp4")
            .arg("--model")
            .arg(model)
            .assert()
            .code(1)
            .stderr(contains(reason));
        assert_eq!(entries(folder.path()), ["model.safetensors"]);
    }
}
