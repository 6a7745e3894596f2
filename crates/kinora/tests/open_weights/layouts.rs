//! Files of every layout are found, recognised, or refused.

use std::fs;

use predicates::prelude::*;
use predicates::str::contains;
use serde_json::{Value, json};
use tempfile::tempdir;

use super::kit::{
    comfy, copy, golden, kinora, original_names, picture, transformer, whole, write_gguf,
    write_safetensors,
};

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

/// Products in 8 bits give nearly the same picture.
#[test]
fn a_transformer_is_used_in_8_bits() {
    let home = tempdir().unwrap();
    whole(&home);
    let usual = picture(&home, &["--model", "./whole"]);
    let rounded = picture(&home, &["--model", "./whole", "--int8"]);
    assert_eq!(rounded, picture(&home, &["--model", "./whole", "--int8"]));
    assert_ne!(usual, rounded);
    let pairs = usual.iter().zip(&rounded);
    let error: u32 = pairs.map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
    assert!(error < 6 * usual.len() as u32, "{error}");
    kinora(&home)
        .args(["image", "a fox", "--int8"])
        .assert()
        .code(1)
        .stderr(contains("--int8"));
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

    // Each is guided with a strength of its own, unless one is said for both.
    let guided = |options: &[&str]| {
        let experts = ["--model", &high, "--low-noise", &low];
        picture(&home, &[&experts[..], &shift, options].concat())
    };
    assert_eq!(both, guided(&["--guidance-2", "3"]));
    let even = guided(&["--guidance", "4"]);
    assert_ne!(both, even);
    assert_eq!(even, guided(&["--guidance", "4", "--guidance-2", "4"]));
    kinora(&home)
        .args(["image", "a fox", "--model", &only, "--guidance-2", "3"])
        .assert()
        .code(1)
        .stderr(contains("one network for all noise levels").and(contains("use --guidance")));

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

    // An autoencoder of other sizes, and a file that is cut off, are none.
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
        "Wan2.1_VAE.pth: the archive is damaged",
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
