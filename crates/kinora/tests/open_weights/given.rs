//! Models that are shown pictures or clips, and runs that were cut off.

use std::fs;

use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use tempfile::tempdir;

use super::kit::{clip, copy, golden, kinora, pictures};

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
