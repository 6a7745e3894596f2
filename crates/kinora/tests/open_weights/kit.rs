//! Small weights in the layouts that people have, and the program that runs them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use kinora_models::wan::Checkpoint;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The smallest transformer of which everything can be inferred: one head of 128 channels.
pub(super) const WIDTH: usize = 128;

pub(super) fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../kinora-pipeline/tests/data/wan-t2v")
}

pub(super) fn kinora(home: &TempDir) -> Command {
    let mut command = Command::cargo_bin("kinora").expect("the program is built");
    command
        .current_dir(home.path())
        .env_remove("KINORA_CPU")
        .env_remove("HF_HUB_CACHE")
        .env("HF_HOME", home.path().join("hf"))
        .env("XDG_DATA_HOME", home.path().join("data"));
    command
}

/// Shape and values.
pub(super) type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// Numbers that look random and repeat.
pub(super) fn numbers(count: usize, state: &mut u32) -> Vec<f32> {
    let next = || {
        *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((*state >> 8) as f32 / (1 << 23) as f32 - 1.0) * 0.15
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// The golden transformer, wider.
pub(super) fn transformer(seed: u32) -> Tensors {
    let checkpoint = Checkpoint::open(&golden().join("transformer")).unwrap();
    let mut state = seed;
    let wider = |size: &usize| match *size {
        24 => WIDTH,
        144 => 6 * WIDTH,
        other => other,
    };
    let tensors = checkpoint.tensors().map(|(name, shape, _)| {
        let shape: Vec<usize> = shape.iter().map(wider).collect();
        let values = numbers(shape.iter().product(), &mut state);
        (name.to_owned(), (shape, values))
    });
    tensors.collect()
}

/// The same tensors by the names of Wan's own files, after `prefix`.
pub(super) fn original_names(tensors: &Tensors, prefix: &str) -> Tensors {
    let path = golden().join("../../../../kinora-models/tests/data/wan/formats/names.json");
    let styles: BTreeMap<String, BTreeMap<String, String>> =
        serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let names = &styles["t2v"];
    let renamed = tensors
        .iter()
        .map(|(name, tensor)| (format!("{prefix}{}", names[name]), tensor.clone()));
    renamed.collect()
}

pub(super) fn bytes(values: &[f32]) -> impl Iterator<Item = u8> {
    values.iter().flat_map(|value| value.to_le_bytes())
}

pub(super) fn write_safetensors(path: &Path, tensors: &Tensors) {
    let mut header = serde_json::Map::new();
    let mut data = Vec::new();
    for (name, (shape, values)) in tensors {
        let start = data.len();
        data.extend(bytes(values));
        let place = [start, data.len()];
        let entry = json!({"dtype": "F32", "shape": shape, "data_offsets": place});
        header.insert(name.clone(), entry);
    }
    let header = Value::Object(header).to_string();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend(data);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, file).unwrap();
}

pub(super) fn write_gguf(path: &Path, tensors: &Tensors) {
    let text = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let mut file = b"GGUF\x03\0\0\0".to_vec();
    file.extend((tensors.len() as u64).to_le_bytes());
    file.extend(0_u64.to_le_bytes());
    let mut data = Vec::new();
    for (name, (shape, values)) in tensors {
        file.extend(text(name));
        file.extend((shape.len() as u32).to_le_bytes());
        for size in shape.iter().rev() {
            file.extend((*size as u64).to_le_bytes());
        }
        file.extend(0_u32.to_le_bytes());
        file.extend((data.len() as u64).to_le_bytes());
        data.extend(bytes(values));
        data.resize(data.len().next_multiple_of(32), 0);
    }
    file.resize(file.len().next_multiple_of(32), 0);
    file.extend(data);
    fs::write(path, file).unwrap();
}

pub(super) fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let path = entry.unwrap().path();
            copy(&path, &to.join(path.file_name().unwrap()));
        }
    } else {
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
    }
}

/// A folder in the layout of diffusers, in `home/whole`.
pub(super) fn whole(home: &TempDir) -> PathBuf {
    let folder = home.path().join("whole");
    copy(&golden(), &folder);
    let weights = folder.join("transformer/diffusion_pytorch_model.safetensors");
    write_safetensors(&weights, &transformer(1));
    let config = folder.join("transformer/config.json");
    let mut text: Value = serde_json::from_str(&fs::read_to_string(&config).unwrap()).unwrap();
    text["attention_head_dim"] = WIDTH.into();
    text["num_attention_heads"] = 1.into();
    fs::write(&config, text.to_string()).unwrap();
    folder
}

/// ComfyUI's folders with the same weights, in `home/comfy`.
pub(super) fn comfy(home: &TempDir) -> PathBuf {
    let models = home.path().join("comfy/models");
    let golden = golden();
    write_safetensors(
        &models.join("diffusion_models/tiny.safetensors"),
        &original_names(&transformer(1), "model.diffusion_model."),
    );
    copy(
        &golden.join("text_encoder/model.safetensors"),
        &models.join("text_encoders/words.safetensors"),
    );
    copy(
        &golden.join("tokenizer/tokenizer.json"),
        &models.join("text_encoders/tokenizer.json"),
    );
    copy(&golden.join("vae"), &models.join("vae/tiny"));
    models
}

/// The pixels of a picture that is made with `options`.
pub(super) fn picture(home: &TempDir, options: &[&str]) -> Vec<u8> {
    let file = home.path().join("made.png");
    let arguments = ["image", "a red fox", "--size", "64x64", "--steps", "2"];
    kinora(home)
        .args(arguments)
        .args(["--seed", "7", "--force", "-o", "made.png"])
        .args(options)
        .assert()
        .success();
    kinora_media::read_picture(&file).unwrap().pixels().to_vec()
}

/// Runs a model of the golden files, and gives its clip's frames.
pub(super) fn clip(home: &TempDir, verb: &str, model: &str, options: &[&str]) -> Vec<Vec<u8>> {
    let model = golden().join("..").join(model);
    kinora(home)
        .args([verb, options[0], "--model"])
        .arg(model)
        .args(["--steps", "2", "--seed", "7", "--force", "-o", "made/"])
        .args(&options[1..])
        .assert()
        .success();
    let folder = fs::read_dir(home.path().join("made")).unwrap();
    let mut files: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "png"));
    files.sort();
    let frames = files
        .iter()
        .map(|path| kinora_media::read_picture(path).unwrap().pixels().to_vec());
    frames.collect()
}

/// Pictures of 64x64 that differ, and a mask whose right half is white.
pub(super) fn pictures(home: &TempDir) {
    use kinora_media::{Frame, write_picture};
    let write = |name: &str, frame: Frame| {
        write_picture(home.path().join(name), &frame, true).unwrap();
    };
    let wave = |phase: u32| {
        let pixel = move |x: u32, y: u32| [(x * 4 + phase) as u8, (y * 4) as u8, (x * y) as u8];
        Frame::from_fn(64, 64, pixel).unwrap()
    };
    write("first.png", wave(0));
    write("last.png", wave(120));
    let half = |x, _| if x < 32 { [0; 3] } else { [255; 3] };
    write("half.png", Frame::from_fn(64, 64, half).unwrap());
}

/// A LoRA for a layer of `outputs` channels, in the names of ComfyUI.
pub(super) fn write_lora(path: &Path, layer: &str, outputs: usize) {
    let mut state = 9;
    let mut tensor = |shape: [usize; 2]| {
        let values = numbers(shape[0] * shape[1], &mut state);
        let larger = values.iter().map(|value| 2.0 * value).collect();
        (shape.to_vec(), larger)
    };
    let name = |part: &str| format!("diffusion_model.{layer}.{part}.weight");
    let tensors = Tensors::from([
        (name("lora_down"), tensor([4, WIDTH])),
        (name("lora_up"), tensor([outputs, 4])),
    ]);
    write_safetensors(path, &tensors);
}

/// Mean difference of two pictures, in levels.
pub(super) fn distance(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    let sum: u64 = a
        .iter()
        .zip(b)
        .map(|(a, b)| u64::from(a.abs_diff(*b)))
        .sum();
    sum as f64 / a.len() as f64
}
