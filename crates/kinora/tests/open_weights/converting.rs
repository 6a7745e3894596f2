//! What is converted is used like the original.

use std::fs;
use std::path::PathBuf;

use predicates::prelude::*;
use predicates::str::contains;
use tempfile::{TempDir, tempdir};

use super::kit::{
    clip, comfy, copy, distance, golden, kinora, original_names, picture, pictures, transformer,
    whole, write_gguf, write_lora,
};

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
