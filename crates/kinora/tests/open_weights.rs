//! Open weights as people have them: whatever the files, the same weights give the same picture.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use kinora_models::wan::Checkpoint;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

/// The smallest transformer of which everything can be inferred: one head of 128 channels.
const WIDTH: usize = 128;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../kinora-pipeline/tests/data/wan-t2v")
}

fn kinora(home: &TempDir) -> Command {
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
type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// Numbers that look random and repeat.
fn numbers(count: usize, state: &mut u32) -> Vec<f32> {
    let next = || {
        *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((*state >> 8) as f32 / (1 << 23) as f32 - 1.0) * 0.15
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// The golden transformer, wider.
fn transformer(seed: u32) -> Tensors {
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
fn original_names(tensors: &Tensors, prefix: &str) -> Tensors {
    let path = golden().join("../../../../kinora-models/tests/data/wan/formats/names.json");
    let styles: BTreeMap<String, BTreeMap<String, String>> =
        serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let names = &styles["t2v"];
    let renamed = tensors
        .iter()
        .map(|(name, tensor)| (format!("{prefix}{}", names[name]), tensor.clone()));
    renamed.collect()
}

fn bytes(values: &[f32]) -> impl Iterator<Item = u8> {
    values.iter().flat_map(|value| value.to_le_bytes())
}

fn write_safetensors(path: &Path, tensors: &Tensors) {
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

fn write_gguf(path: &Path, tensors: &Tensors) {
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

fn copy(from: &Path, to: &Path) {
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
fn whole(home: &TempDir) -> PathBuf {
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
fn comfy(home: &TempDir) -> PathBuf {
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
fn picture(home: &TempDir, options: &[&str]) -> Vec<u8> {
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

#[test]
fn whatever_the_files_the_picture_is_the_same() {
    let home = tempdir().unwrap();
    whole(&home);
    let expected = picture(&home, &["--model", "./whole"]);
    let parts = [
        "--text-encoder",
        "whole/text_encoder",
        "--vae",
        "whole/vae",
        "--tokenizer",
        "whole/tokenizer/tokenizer.json",
    ];

    // A file of the transformer alone, its parts named.
    let original = original_names(&transformer(1), "");
    fs::create_dir(home.path().join("alone")).unwrap();
    write_gguf(&home.path().join("alone/tiny.gguf"), &original);
    let options = [&["--model", "alone/tiny.gguf"][..], &parts].concat();
    assert_eq!(picture(&home, &options), expected, "gguf");

    // Found around the file, and in the folder.
    comfy(&home);
    for model in [
        "comfy/models/diffusion_models/tiny.safetensors",
        "./comfy",
        "comfy/models",
    ] {
        assert_eq!(picture(&home, &["--model", model]), expected, "{model}");
    }

    // Wan's own layout, in which the tokenizer stands in a folder of its own.
    let own = home.path().join("own");
    write_safetensors(&own.join("diffusion_pytorch_model.safetensors"), &original);
    let config = json!({"_class_name": "WanModel", "num_heads": 1, "eps": 1e-6});
    fs::write(own.join("config.json"), config.to_string()).unwrap();
    let tokenizer = own.join("google/umt5-xxl/tokenizer.json");
    copy(&golden().join("tokenizer/tokenizer.json"), &tokenizer);
    let options = [&["--model", "./own"][..], &parts[..4]].concat();
    assert_eq!(picture(&home, &options), expected, "Wan's own layout");
}

#[test]
fn two_experts_are_two_files() {
    let home = tempdir().unwrap();
    let folder = comfy(&home).join("diffusion_models");
    for (name, seed) in [("tiny_high_noise", 1), ("tiny-LowNoise", 2)] {
        let tensors = original_names(&transformer(seed), "");
        write_safetensors(&folder.join(format!("{name}.safetensors")), &tensors);
    }
    let model = |name: &str| format!("comfy/models/diffusion_models/{name}.safetensors");
    let [high, low, only] = ["tiny_high_noise", "tiny-LowNoise", "tiny"].map(model);
    let shift = ["--shift", "3"];
    let both = picture(
        &home,
        &[&["--model", &high, "--low-noise", &low], &shift[..]].concat(),
    );
    let one = picture(&home, &[&["--model", &only][..], &shift].concat());
    assert_ne!(both, one);

    for (model, lacks) in [
        (&high, "transformer for low noise"),
        (&low, "transformer for high noise"),
    ] {
        kinora(&home)
            .args(["image", "a fox", "--model", model])
            .assert()
            .code(1)
            .stderr(contains(lacks).and(contains("--low-noise FILE")));
    }
    kinora(&home)
        .args(["image", "a fox", "--model", "./comfy"])
        .assert()
        .code(1)
        .stderr(contains("several transformers").and(contains(&only)));
}

#[test]
fn what_is_missing_is_listed_with_where_it_was_looked_for() {
    let home = tempdir().unwrap();
    let models = comfy(&home);
    let tiny = "comfy/models/diffusion_models/tiny.safetensors";
    let refused = |reasons: &[&str]| {
        let mut assert = kinora(&home)
            .args(["image", "a fox", "--model", tiny])
            .assert()
            .code(1);
        for reason in reasons {
            assert = assert.stderr(contains(*reason));
        }
    };
    // Two that fit; the name does not decide.
    let words = models.join("text_encoders/words.safetensors");
    copy(&words, &models.join("clip/others/other.safetensors"));
    refused(&[
        "text encoder (umT5): several fit",
        "words.safetensors",
        "other.safetensors",
    ]);
    fs::remove_dir_all(models.join("clip")).unwrap();

    // An autoencoder of other sizes, and files that only Python reads, are none.
    fs::remove_dir_all(models.join("vae")).unwrap();
    copy(&golden().join("../wan-ti2v/vae"), &models.join("vae/other"));
    fs::write(models.join("vae/Wan2.1_VAE.pth"), b"PK\x03\x04").unwrap();
    fs::remove_file(models.join("text_encoders/tokenizer.json")).unwrap();
    fs::remove_file(words).unwrap();
    refused(&[
        "text encoder (umT5): none that fits",
        "autoencoder: none that fits",
        "tokenizer (tokenizer.json of umT5): none that fits",
        "looked into",
        "text_encoders",
        "Wan2.1_VAE.pth is a file of PyTorch",
        "--text-encoder FILE, --vae FILE, --tokenizer FILE",
    ]);
    assert!(!home.path().join("a-fox.png").exists());
}

#[test]
fn transformers_that_are_not_run_are_refused_before_parts_are_looked_for() {
    let home = tempdir().unwrap();
    let checkpoints = golden().join("../../../../kinora-models/tests/data/wan");
    // Of 6 channels, which is neither the latents alone nor those of pictures beside them.
    copy(&checkpoints.join("i2v"), &home.path().join("i2v"));
    kinora(&home)
        .args(["image", "a fox", "--model", "./i2v"])
        .assert()
        .code(1)
        .stderr(
            contains("takes 6 channels and gives 4")
                .and(contains("Wan-AI/Wan2.1-VACE-1.3B-diffusers"))
                .and(contains("looked into").not()),
        );
}

/// Runs a model of the golden files, and gives its clip's frames.
fn clip(home: &TempDir, verb: &str, model: &str, options: &[&str]) -> Vec<Vec<u8>> {
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
fn pictures(home: &TempDir) {
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

#[test]
fn given_pictures_are_animated() {
    let home = tempdir().unwrap();
    pictures(&home);
    let first = ["a fox", "--seconds", "0.5", "--image", "first.png"];
    let both = [&first[..], &["--last-image", "last.png"]].concat();
    let given = |name: &str| {
        let picture = kinora_media::read_picture(home.path().join(name)).unwrap();
        picture.pixels().to_vec()
    };
    for (model, options) in [
        ("wan-i2v", &first[..]),
        ("wan-i2v-a14b", &first),
        ("wan-i2v-a14b", &both),
        ("wan-flf2v", &both),
        ("wan-vace", &both),
    ] {
        let frames = clip(&home, "generate", model, options);
        // What is given stays as it is.
        assert_eq!(
            (frames.len(), &frames[0]),
            (8, &given("first.png")),
            "{model}"
        );
        assert_eq!(frames[7] == given("last.png"), options.len() > 5, "{model}");
        fs::remove_dir_all(home.path().join("made")).unwrap();
    }
    for (model, options, reason) in [
        ("wan-i2v", &first[..3], "first picture: it needs one"),
        ("wan-i2v", &both, "takes nothing else"),
        ("wan-flf2v", &first, "it needs both"),
        ("wan-t2v", &first, "makes clips from words alone"),
    ] {
        kinora(&home)
            .args(["generate", "--model"])
            .arg(golden().join("..").join(model))
            .args(options)
            .assert()
            .code(1)
            .stderr(contains(reason).and(contains("Wan-AI/Wan2.1-VACE-1.3B-diffusers")));
    }
}

#[test]
fn the_image_encoder_is_found_like_other_parts() {
    let home = tempdir().unwrap();
    pictures(&home);
    let first = ["a fox", "--seconds", "0.3", "--image", "first.png"];
    let whole = clip(&home, "generate", "wan-i2v", &first);
    fs::remove_dir_all(home.path().join("made")).unwrap();
    let parts = home.path().join("parts");
    copy(&golden().join("../wan-i2v"), &parts);
    fs::remove_file(parts.join("model_index.json")).unwrap();
    let found = clip(&home, "generate", &parts.display().to_string(), &first);
    assert!(found == whole);

    let eyes = home.path().join("elsewhere");
    fs::rename(parts.join("image_encoder"), &eyes).unwrap();
    let lacking = [
        "generate",
        "a fox",
        "--image",
        "first.png",
        "--model",
        "./parts",
    ];
    kinora(&home).args(lacking).assert().code(1).stderr(
        contains("image encoder (CLIP ViT-H): none that fits").and(contains("--image-encoder")),
    );
    fs::remove_dir_all(home.path().join("made")).unwrap();
    let named = [&first[..], &["--image-encoder", "elsewhere"]].concat();
    let named = clip(&home, "generate", &parts.display().to_string(), &named);
    assert!(named == whole);
    kinora(&home)
        .args([
            "generate",
            "a fox",
            "--vae",
            "parts/vae",
            "--text-encoder",
            "parts/text_encoder",
        ])
        .args([
            "--tokenizer",
            "parts/tokenizer",
            "--image-encoder",
            "elsewhere",
            "--model",
        ])
        .arg(golden().join("transformer"))
        .assert()
        .code(1)
        .stderr(contains("sees no pictures"));
}

#[cfg(unix)]
#[test]
fn a_run_that_was_killed_while_it_denoised_goes_on_there_and_gives_the_same_file() {
    use std::process::{Command as Process, Stdio};
    use std::time::{Duration, Instant};

    let home = tempdir().unwrap();
    pictures(&home);
    for (model, sampler) in [("wan-i2v", "unipc"), ("wan-vace", "dpm++")] {
        let model = golden().join("..").join(model).display().to_string();
        let sampling = [
            "--sampler",
            sampler,
            "--steps",
            "60",
            "--seed",
            "3",
            "--model",
            &model,
        ];
        let command = [
            "generate",
            "a fox",
            "--image",
            "first.png",
            "--seconds",
            "0.5",
            "--force",
        ];
        let cut = ["-o", "cut.mp4", "--save-every", "0"];
        let mut child = Process::new(assert_cmd::cargo::cargo_bin("kinora"))
            .current_dir(home.path())
            .env("XDG_DATA_HOME", home.path().join("data"))
            .args(command)
            .args(sampling)
            .args(cut)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        let sessions = home.path().join("data/kinora/sessions");
        let is_kept = || {
            let folders = fs::read_dir(&sessions).into_iter().flatten().flatten();
            folders
                .map(|folder| folder.path().join("denoising.safetensors"))
                .any(|state| state.is_file())
        };
        while !is_kept() {
            assert!(
                begun.elapsed() < Duration::from_secs(120),
                "nothing was kept"
            );
            assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let output = kinora(&home).args(["resume", "--json"]).output().unwrap();
        let listed: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(listed[0]["steps"].as_u64() > Some(0), "{listed}");
        assert_eq!(listed[0]["windows"], 0);
        assert!(!home.path().join("cut.mp4").exists());

        kinora(&home)
            .args(command)
            .args(sampling)
            .args(cut)
            .assert()
            .success()
            .stderr(contains("going on with session").and(contains("finished step")));
        kinora(&home)
            .args(command)
            .args(sampling)
            .args(["-o", "whole.mp4"])
            .assert()
            .success()
            .stderr(contains("going on").not());
        let bytes = |name: &str| fs::read(home.path().join(name)).unwrap();
        assert!(bytes("cut.mp4") == bytes("whole.mp4"), "{sampler}");
        fs::remove_file(home.path().join("cut.mp4")).unwrap();
    }
}

#[test]
fn clips_are_filled_and_follow_reference_pictures() {
    let home = tempdir().unwrap();
    pictures(&home);
    let made = |verb: &str, options: &[&str]| {
        let frames = clip(&home, verb, "wan-vace", options);
        fs::remove_dir_all(home.path().join("made")).unwrap();
        frames
    };
    let size = ["--size", "64x64"];
    let words = made(
        "generate",
        &[&["a fox", "--seconds", "0.5"][..], &size].concat(),
    );
    let shown = made(
        "generate",
        &[
            &["a fox", "--seconds", "0.5", "--reference", "first.png"][..],
            &size,
        ]
        .concat(),
    );
    assert_eq!((words.len(), shown.len()), (8, 8));
    assert_ne!(words, shown);

    kinora(&home)
        .args([
            "generate",
            "a fox",
            "--seconds",
            "0.75",
            "--image",
            "first.png",
        ])
        .args([
            "--steps",
            "1",
            "--seed",
            "1",
            "-o",
            "clip.webp",
            "--quality",
            "100",
            "--model",
        ])
        .arg(golden().join("../wan-vace"))
        .assert()
        .success();
    let given = kinora_media::open_source(home.path().join("clip.webp")).unwrap();
    let given: Vec<Vec<u8>> = given
        .frames_at("16".parse().unwrap())
        .map(|frame| frame.unwrap().pixels().to_vec())
        .collect();
    assert_eq!(given.len(), 12);
    let region = made("fill", &["clip.webp", "a fox", "--mask", "half.png"]);
    assert_eq!(region.len(), 12);
    let row = |frame: &[u8], x: usize| frame[x * 3..(x + 32) * 3].to_vec();
    for (before, after) in given.iter().zip(&region) {
        assert_eq!(row(before, 0), row(after, 0));
        assert_ne!(row(before, 32), row(after, 32));
    }
    let part = ["clip.webp", "a fox", "--from", "0.25", "--to", "0.5"];
    let filled = made("fill", &part);
    assert_eq!((&filled[..4], &filled[8..]), (&given[..4], &given[8..]));
    assert_ne!(filled[4..8], given[4..8]);
    for options in [
        &["clip.webp", "a fox", "--seconds", "0.5"][..],
        &["clip.webp", "a fox", "--seconds", "0.5", "--before"],
    ] {
        assert_eq!(made("extend", options).len(), 20);
    }
    kinora(&home)
        .args(["generate", "a fox", "--reference", "first.png", "--model"])
        .arg(golden())
        .assert()
        .code(1)
        .stderr(contains("cannot be shown pictures"));
    kinora(&home)
        .args(["models", "info"])
        .arg(golden().join("../wan-vace"))
        .assert()
        .success()
        .stdout(contains("any frames, regions and reference pictures").and(contains("encode")));
    kinora(&home)
        .args(["models", "info"])
        .arg(golden().join("../wan-i2v"))
        .assert()
        .success()
        .stdout(contains("image_encoder").and(contains("pictures")));
}

#[test]
fn parts_that_do_not_belong_are_refused() {
    let home = tempdir().unwrap();
    comfy(&home);
    whole(&home);
    let tiny = "comfy/models/diffusion_models/tiny.safetensors";
    for (options, reason) in [
        (
            &["--model", tiny, "--vae", tiny][..],
            "expected a Wan autoencoder",
        ),
        (
            &["--model", "whole/vae/diffusion_pytorch_model.safetensors"],
            "expected a transformer of Wan",
        ),
        (
            &["--model", "./whole", "--vae", "whole/vae"],
            "holds a whole model",
        ),
        (&["--vae", "whole/vae"], "--vae is for models of Wan"),
        (&["--model", "absent.gguf"], "absent.gguf"),
        (&["--model", "./hf"], "no transformer of Wan"),
    ] {
        fs::create_dir_all(home.path().join("hf")).unwrap();
        kinora(&home)
            .args(["image", "a fox"])
            .args(options)
            .assert()
            .code(1)
            .stderr(contains(reason).and(contains("panicked").not()));
    }
}

#[test]
fn a_file_says_what_it_is() {
    let home = tempdir().unwrap();
    comfy(&home);
    let tiny = "comfy/models/diffusion_models/tiny.safetensors";
    kinora(&home)
        .args(["models", "info", tiny])
        .assert()
        .success()
        .stdout(contains("text-to-video transformer").and(contains("blocks 1, width 128")));
    let info = kinora(&home)
        .args(["models", "info", tiny, "--json"])
        .output()
        .unwrap();
    let info: Value = serde_json::from_slice(&info.stdout).unwrap();
    assert_eq!(info["networks"][0]["layers"], 1);
    assert!(info["networks"][0]["types"]["F32"].as_u64().unwrap() > 100_000);
    // With parts, or as a folder, it is a model.
    kinora(&home)
        .args(["models", "info", "./comfy"])
        .assert()
        .success()
        .stdout(contains("unipc, 50 steps").and(contains("shift 3")));
    kinora(&home)
        .args([
            "models",
            "info",
            "comfy/models/text_encoders/words.safetensors",
        ])
        .assert()
        .success()
        .stdout(contains("umT5 text encoder").and(contains("F16 100.0%")));
}

/// A LoRA for a layer of `outputs` channels, in the names of ComfyUI.
fn write_lora(path: &Path, layer: &str, outputs: usize) {
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

#[test]
fn loras_change_the_model_and_stand_in_the_recipe() {
    let home = tempdir().unwrap();
    comfy(&home);
    write_lora(&home.path().join("few.safetensors"), "head.head", 16);
    write_lora(
        &home.path().join("deep.safetensors"),
        "blocks.7.self_attn.q",
        WIDTH,
    );
    let tiny = ["--model", "comfy/models/diffusion_models/tiny.safetensors"];
    let few_steps = "--steps 4 --guidance 1 --shift 5 --sampler euler";
    let with = |lora: &[&str]| {
        let few_steps: Vec<&str> = few_steps.split(' ').collect();
        // The first number of steps is that of `picture`.
        let options = [&tiny[..], &few_steps[2..], lora].concat();
        picture(&home, &options)
    };
    let plain = with(&[]);
    let changed = with(&["--lora", "few.safetensors=0.5"]);
    assert_ne!(plain, changed);
    let inspected = kinora(&home)
        .args(["inspect", "made.png", "--json"])
        .output()
        .unwrap();
    let inspected: Value = serde_json::from_slice(&inspected.stdout).unwrap();
    let recipe = &inspected["recipe"];
    let lora = json!({"file": "few.safetensors", "strength": 0.5, "experts": "all"});
    assert_eq!(recipe["loras"], json!([lora]), "{inspected}");
    assert_eq!(
        (&recipe["sampler"], &recipe["guidance"], &recipe["shift"]),
        (&json!("euler"), &json!(1.0), &json!(5.0))
    );
    // Strengths add up, and nothing changes nothing.
    let twice = with(&[
        "--lora",
        "few.safetensors=0.25",
        "--lora",
        "few.safetensors=0.25",
    ]);
    assert!(distance(&twice, &changed) < 0.05 * distance(&plain, &changed));
    assert_eq!(with(&["--lora", "few.safetensors=0"]), plain);

    for (lora, reason) in [
        (
            "deep.safetensors",
            "diffusion_model.blocks.7.self_attn.q.lora_down.weight",
        ),
        ("high:few.safetensors", "has one transformer"),
        ("absent.safetensors", "absent.safetensors"),
        (
            "comfy/models/text_encoders/words.safetensors",
            "that no layer takes",
        ),
    ] {
        kinora(&home)
            .args(["image", "a fox", "--lora", lora])
            .args(tiny)
            .assert()
            .code(1)
            .stderr(contains(reason).and(contains("panicked").not()));
    }
    kinora(&home)
        .args(["image", "a fox", "--lora", "few.safetensors"])
        .assert()
        .code(1)
        .stderr(contains("--lora is for models of Wan"));
}

/// Mean difference of two pictures, in levels.
fn distance(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    let sum: u64 = a
        .iter()
        .zip(b)
        .map(|(a, b)| u64::from(a.abs_diff(*b)))
        .sum();
    sum as f64 / a.len() as f64
}

#[test]
fn one_of_two_experts_may_be_changed() {
    let home = tempdir().unwrap();
    let folder = comfy(&home).join("diffusion_models");
    let low = original_names(&transformer(2), "");
    write_safetensors(&folder.join("low.safetensors"), &low);
    write_lora(&home.path().join("a.safetensors"), "head.head", 16);
    let model = |name: &str| format!("comfy/models/diffusion_models/{name}.safetensors");
    let (high, low) = (model("tiny"), model("low"));
    let with = |lora: &[&str]| {
        let options = ["--model", &high, "--low-noise", &low, "--shift", "1"];
        picture(&home, &[&options, lora].concat())
    };
    let made = [
        with(&[]),
        with(&["--lora", "a.safetensors"]),
        with(&["--lora", "high:a.safetensors"]),
        with(&["--lora", "low:a.safetensors"]),
    ];
    for (i, one) in made.iter().enumerate() {
        assert!(made[..i].iter().all(|other| other != one), "{i}");
    }
    let both = [
        "--lora",
        "high:a.safetensors",
        "--lora",
        "low:a.safetensors",
    ];
    assert_eq!(with(&both), made[1]);
}

fn convert(home: &TempDir, arguments: &[&str]) -> assert_cmd::assert::Assert {
    kinora(home)
        .args(["models", "convert"])
        .args(arguments)
        .assert()
}

#[test]
fn what_is_converted_is_used_like_the_original() {
    let home = tempdir().unwrap();
    let folder = comfy(&home).join("diffusion_models");
    write_lora(&home.path().join("a.safetensors"), "head.head", 16);
    let tiny = "comfy/models/diffusion_models/tiny.safetensors";
    let exact = picture(&home, &["--model", tiny]);
    let changed = picture(&home, &["--model", tiny, "--lora", "a.safetensors"]);
    let size = |name: &str| fs::metadata(folder.join(name)).unwrap().len() as f64;
    for (name, options, expected, most) in [
        ("bf16.safetensors", &["--dtype", "bf16"][..], &exact, 0.55),
        ("int8.safetensors", &["--dtype", "int8"], &exact, 0.45),
        (
            "merged.safetensors",
            &["--dtype", "bf16", "--lora", "a.safetensors"],
            &changed,
            0.55,
        ),
    ] {
        let target = format!("comfy/models/diffusion_models/{name}");
        convert(&home, &[&[tiny, &target], options].concat())
            .success()
            .stdout(contains(name));
        assert!(size(name) < most * size("tiny.safetensors"), "{name}");
        let made = picture(&home, &["--model", &target]);
        let error = distance(&made, expected);
        println!(
            "{name}: {error:.2} of {:.2} levels",
            distance(&exact, &changed)
        );
        assert!(
            error < 0.3 * distance(&exact, &changed),
            "{name}: {error:.2}"
        );
    }
    // Of a GGUF file with the same weights comes the same file.
    write_gguf(
        &home.path().join("tiny.gguf"),
        &original_names(&transformer(1), ""),
    );
    convert(
        &home,
        &["tiny.gguf", "again.safetensors", "--dtype", "bf16"],
    )
    .success();
    let bytes = |path: PathBuf| fs::read(path).unwrap();
    assert_eq!(
        bytes(home.path().join("again.safetensors")),
        bytes(folder.join("bf16.safetensors"))
    );
}

#[test]
fn a_whole_model_is_converted_into_a_folder() {
    let home = tempdir().unwrap();
    whole(&home);
    let exact = picture(&home, &["--model", "./whole"]);
    convert(&home, &["./whole", "small/", "--dtype", "int8"]).success();
    convert(&home, &["./whole", "small", "--dtype", "int8"])
        .code(1)
        .stderr(contains("small exists").and(contains("--force")));
    convert(&home, &["./whole", "small", "--dtype", "int8", "--force"]).success();
    let made = picture(&home, &["--model", "./small"]);
    assert!(distance(&made, &exact) < 8.0, "{}", distance(&made, &exact));
    let transformer = |folder: &str| {
        let path = home
            .path()
            .join(folder)
            .join("transformer/diffusion_pytorch_model.safetensors");
        fs::metadata(path).unwrap().len()
    };
    assert!(2 * transformer("small") < transformer("whole"));
    let mut names: Vec<_> = fs::read_dir(home.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.retain(|name| name.starts_with("small") || name.starts_with("whole"));
    names.sort();
    assert_eq!(names, ["small", "whole"]);
}

#[test]
fn models_that_see_pictures_are_converted_with_all_parts() {
    let home = tempdir().unwrap();
    pictures(&home);
    // Guidance would make the rounding of random weights several times as large.
    let options = "--seconds 0.3 --image first.png --guidance 1";
    let first: Vec<&str> = std::iter::once("a fox").chain(options.split(' ')).collect();
    for name in ["wan-i2v", "wan-vace"] {
        copy(&golden().join("..").join(name), &home.path().join(name));
        let made = clip(&home, "generate", name, &first);
        fs::remove_dir_all(home.path().join("made")).unwrap();
        let (from, to) = (format!("./{name}"), format!("{name}-bf16"));
        convert(&home, &[&from, &to, "--dtype", "bf16"]).success();
        let whole = home.path().join(&to).display().to_string();
        let again = clip(&home, "generate", &whole, &first);
        fs::remove_dir_all(home.path().join("made")).unwrap();
        let distances = made.iter().zip(&again).map(|(a, b)| distance(a, b));
        assert!(distances.fold(0.0, f64::max) < 8.0, "{name}");
    }
}

#[test]
fn what_cannot_be_converted_is_refused_and_leaves_nothing() {
    let home = tempdir().unwrap();
    whole(&home);
    comfy(&home);
    let transformer = "whole/transformer/diffusion_pytorch_model.safetensors";
    for (arguments, reason) in [
        (
            &[transformer, "new.gguf", "--dtype", "bf16"][..],
            ".safetensors",
        ),
        (
            &[transformer, transformer, "--dtype", "bf16", "--force"],
            "replace what it is made from",
        ),
        (
            &["./whole", "whole", "--dtype", "bf16", "--force"],
            "replace what it is made from",
        ),
        (&["./comfy", "new", "--dtype", "bf16"], "one by one"),
        (
            &["kinora-mini", "new.safetensors", "--dtype", "bf16"],
            "these are none",
        ),
        (
            &[
                "comfy/models/text_encoders/words.safetensors",
                "new.safetensors",
                "--dtype",
                "int8",
                "--lora",
                transformer,
            ],
            "is no transformer",
        ),
        (
            &[transformer, "absent/new.safetensors", "--dtype", "int8"],
            "cannot write",
        ),
    ] {
        convert(&home, arguments)
            .code(1)
            .stderr(contains(reason).and(contains("panicked").not()));
    }
    convert(&home, &[transformer, "new.safetensors", "--dtype", "int3"]).code(2);
    assert!(!home.path().join("new.safetensors").exists() && !home.path().join("new").exists());
}
