//! Adapters change what is made.

use predicates::prelude::*;
use predicates::str::contains;
use serde_json::{Value, json};
use tempfile::tempdir;

use super::kit::{
    WIDTH, comfy, distance, kinora, original_names, picture, transformer, write_lora,
    write_safetensors,
};

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
