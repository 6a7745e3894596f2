//! The program from outside: what it takes, what it refuses, and what it leaves behind.

mod common;

use std::fs;

use common::{DATA, PROMPT, entries, kinora, quick, refused, weights};
use predicates::prelude::*;
use predicates::str::{contains, is_empty};
use serde_json::Value;
use tempfile::tempdir;

#[test]
fn help_has_examples() {
    let folder = tempdir().unwrap();
    for command in [
        &["--help"][..],
        &["generate", "--help"],
        &["inspect", "--help"],
        &["train", "--help"],
        &["evaluate", "--help"],
        &["models", "--help"],
        &["completions", "--help"],
        &["data", "pack", "--help"],
        &["data", "render", "--help"],
        &["data", "list", "--help"],
    ] {
        kinora(&folder)
            .args(command)
            .assert()
            .success()
            .stdout(contains("EXAMPLES:").and(contains("  kinora ")));
    }
    kinora(&folder)
        .assert()
        .code(2)
        .stderr(contains("Usage: kinora"));
    kinora(&folder)
        .arg("--version")
        .assert()
        .success()
        .stdout(contains("kinora 0."));
}

#[test]
fn prompts_that_say_nothing_are_refused() {
    refused(&["generate"], 2, &["<PROMPT>"]);
    refused(
        &["generate", ""],
        2,
        &["the prompt is empty", "say what is to be seen"],
    );
    refused(&["generate", " \n "], 2, &["the prompt is empty"]);
    refused(&["generate", "a \u{7}koala"], 2, &["control character"]);
    refused(
        &["generate", PROMPT, "--negative", "a\u{1b}b"],
        2,
        &["control character"],
    );
}

#[test]
fn a_prompt_that_is_too_long_is_refused() {
    let long = "koala ".repeat(2000);
    refused(
        &["generate", &long],
        1,
        &["tokens, but this model takes", "shorten it"],
    );
    refused(
        &["generate", PROMPT, "--negative", &long],
        1,
        &["shorten it"],
    );
}

#[test]
fn values_out_of_range_are_refused() {
    for (option, value, reason) in [
        ("--size", "255x144", "use 254 or 256"),
        ("--size", "0x0", "from 64 to 4096"),
        ("--size", "704x9000", "from 64 to 4096"),
        ("--size", "huge", "such as 704x384"),
        ("--aspect", "wide", "such as 16:9"),
        ("--aspect", "9:1", "from 1:4 to 4:1"),
        ("--seconds", "0", "0.1 to 600 seconds"),
        ("--seconds", "-4", "0.1 to 600 seconds"),
        ("--seconds", "1e9", "0.1 to 600 seconds"),
        ("--seconds", "nan", "0.1 to 600 seconds"),
        ("--steps", "0", "from 1 to 200"),
        ("--steps", "100000", "from 1 to 200"),
        ("--fps", "0", "frame rate"),
        ("--fps", "500", "1 to 120"),
        ("--fps", "fast", "frame rate"),
        ("--guidance", "-1", "0 to 30"),
        ("--guidance", "nan", "0 to 30"),
        ("--seed", "-1", "--seed"),
        ("--quality", "0", "1..=100"),
        ("--threads", "0", "from 1 to 1024"),
        ("--device", "tpu", "known are cpu, cuda, cuda:N"),
        ("--model", "kinora-maxi", "known is kinora-mini"),
        ("--colour", "red", "--colour"),
    ] {
        refused(&["generate", PROMPT, option, value], 2, &[reason]);
    }
}

#[test]
#[cfg(not(feature = "cuda"))]
fn a_device_that_was_not_built_says_how_to_build_it() {
    refused(
        &["generate", PROMPT, "--device", "cuda:0"],
        1,
        &["without cuda", "--features cuda"],
    );
}

#[test]
fn an_unknown_processor_level_is_refused() {
    let folder = tempdir().unwrap();
    kinora(&folder)
        .arg("info")
        .env("KINORA_CPU", "sse9")
        .assert()
        .code(1)
        .stderr(contains("portable, neon, neonbf16, avx2"));
    kinora(&folder)
        .arg("info")
        .env("KINORA_CPU", "portable")
        .assert()
        .success()
        .stdout(contains("portable"));
}

#[test]
fn bad_places_for_the_output_are_refused_before_the_work() {
    let no_folder = ["generate", PROMPT, "-o", "no/such/clip.mp4"];
    refused(
        &no_folder,
        1,
        &["the folder no/such does not exist", "create it first"],
    );
    refused(
        &["generate", PROMPT, "-o", "clip.avi"],
        1,
        &["end the name with .mp4"],
    );
    refused(
        &["generate", PROMPT, "-o", "clip"],
        1,
        &["end the name with .mp4"],
    );
    refused(
        &["generate", PROMPT, "-o", "clip.jpg", "--seconds", "3"],
        1,
        &["leave out --seconds"],
    );
    refused(
        &["generate", PROMPT, "-o", "clip.gif", "--fps", "120"],
        1,
        &["lower the frame rate"],
    );
    #[cfg(target_os = "linux")]
    refused(
        &["generate", PROMPT, "-o", "/proc/clip.mp4"],
        1,
        &["choose a place that you may write to"],
    );
}

#[test]
fn what_exists_is_kept_without_force() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    fs::write(&path, "mine").unwrap();
    quick(&folder, "clip.mp4")
        .assert()
        .code(1)
        .stderr(contains("already exists").and(contains("--force")));
    assert_eq!(fs::read(&path).unwrap(), b"mine");
    quick(&folder, "clip.mp4").arg("--force").assert().success();
    assert!(fs::metadata(&path).unwrap().len() > 1000);
    assert_eq!(entries(folder.path()), ["clip.mp4"]);
}

#[test]
fn the_name_comes_from_the_prompt() {
    let folder = tempdir().unwrap();
    for expected in ["a-koala.mp4", "a-koala-2.mp4"] {
        kinora(&folder)
            .args([
                "generate",
                "A koala!",
                "--seconds",
                "0.1",
                "--steps",
                "1",
                "--size",
                "64x64",
            ])
            .assert()
            .success()
            .stdout(contains(expected).and(contains("seed")));
    }
    assert_eq!(entries(folder.path()), ["a-koala-2.mp4", "a-koala.mp4"]);
}

#[test]
fn every_ending_has_its_format() {
    let folder = tempdir().unwrap();
    for (output, kind) in [
        ("a.gif", "GIF"),
        ("a.webp", "WebP"),
        ("a.mp4", "MP4, H.264"),
    ] {
        quick(&folder, output).assert().success();
        kinora(&folder)
            .args(["inspect", output])
            .assert()
            .success()
            .stdout(contains(kind).and(contains("176x96")).and(contains(PROMPT)));
    }
    let picture = [
        "generate", PROMPT, "--steps", "1", "--size", "128x128", "-o", "a.jpg",
    ];
    kinora(&folder).args(picture).assert().success();
    kinora(&folder)
        .args(["inspect", "a.jpg"])
        .assert()
        .success()
        .stdout(contains("JPEG").and(contains("128x128")));
    quick(&folder, "frames/").assert().success();
    assert_eq!(entries(&folder.path().join("frames")).len(), 12);
}

#[test]
fn the_recipe_travels_in_the_file_and_makes_it_again() {
    let folder = tempdir().unwrap();
    let made = quick(&folder, "first.mp4")
        .args(["--seed", "7", "--guidance", "3.3", "--json"])
        .output()
        .unwrap();
    assert!(made.status.success());
    let told: Value = serde_json::from_slice(&made.stdout).unwrap();
    assert_eq!(told["file"], "first.mp4");
    assert_eq!(
        (&told["seed"], &told["frames"], &told["seconds"]),
        (&7.into(), &12.into(), &1.0.into())
    );
    assert!(told["times_secs"]["total"].as_f64().unwrap() > 0.0);

    let inspected = kinora(&folder)
        .args(["inspect", "first.mp4", "--json"])
        .output()
        .unwrap();
    let info: Value = serde_json::from_slice(&inspected.stdout).unwrap();
    let recipe = &info["recipe"];
    assert_eq!(info["index_first"], true);
    assert_eq!(recipe["prompt"], PROMPT);
    assert_eq!(recipe["guidance"], 3.3);
    assert_eq!(recipe["size"], serde_json::json!([176, 96]));
    assert_eq!(recipe["model_hash"], told["model_hash"]);

    // Another number of threads must not change it.
    let again = [
        "--seed",
        "7",
        "--guidance",
        "3.3",
        "--threads",
        "1",
        "--quiet",
    ];
    quick(&folder, "again.mp4")
        .args(again)
        .assert()
        .success()
        .stdout(is_empty());
    quick(&folder, "other.mp4")
        .args(["--seed", "8", "--guidance", "3.3"])
        .assert()
        .success();
    let bytes = |name: &str| fs::read(folder.path().join(name)).unwrap();
    assert!(
        bytes("first.mp4") == bytes("again.mp4"),
        "the same seed gives the same bytes"
    );
    assert!(bytes("first.mp4") != bytes("other.mp4"));
}

#[test]
fn what_a_short_prompt_leaves_open_is_said_and_told() {
    let folder = tempdir().unwrap();
    let make = |more: &[&str]| {
        let run = kinora(&folder)
            .args([
                "generate",
                "a rocket",
                "--seconds",
                "0.1",
                "--steps",
                "1",
                "--seed",
                "7",
            ])
            .args(["--size", "176x96", "--json", "-f", "-o", "rocket.mp4"])
            .args(more)
            .assert()
            .success();
        let output = run.get_output();
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        (told, String::from_utf8(output.stderr.clone()).unwrap())
    };
    let (told, stderr) = make(&[]);
    let prompt = told["prompt"].as_str().unwrap();
    assert!(
        prompt.starts_with("a rocket flying ") && prompt.contains("space"),
        "{prompt}"
    );
    assert!(stderr.contains(&format!("prompt: {prompt}")), "{stderr}");
    assert_eq!(told["asked"], "a rocket");
    let inspected = kinora(&folder)
        .args(["inspect", "rocket.mp4", "--json"])
        .output()
        .unwrap();
    let info: Value = serde_json::from_slice(&inspected.stdout).unwrap();
    assert_eq!(
        (&info["recipe"]["prompt"], &info["recipe"]["asked"]),
        (&told["prompt"], &told["asked"])
    );

    let (told, stderr) = make(&["--no-enhance"]);
    assert_eq!(
        (&told["prompt"], &told["asked"]),
        (&"a rocket".into(), &"a rocket".into())
    );
    assert!(!stderr.contains("prompt:"), "{stderr}");
    let (told, _) = make(&["--style", "pixel", "--camera", "orbit"]);
    let prompt = told["prompt"].as_str().unwrap();
    assert!(
        prompt.ends_with("space, the camera orbits, pixel art"),
        "{prompt}"
    );
}

#[test]
fn a_shape_is_enough_to_say_the_size() {
    let folder = tempdir().unwrap();
    for (aspect, size, native) in [
        ("21:9", [798, 342], [224, 96]),
        ("3:4", [450, 600], [112, 144]),
    ] {
        let run = kinora(&folder)
            .args([
                "generate",
                PROMPT,
                "--seconds",
                "0.1",
                "--steps",
                "1",
                "--json",
            ])
            .args(["-f", "-o", "clip.gif", "--aspect", aspect])
            .assert()
            .success();
        let told: Value = serde_json::from_slice(&run.get_output().stdout).unwrap();
        let sizes = (&told["size"], &told["native_size"]);
        assert_eq!(
            sizes,
            (&serde_json::json!(size), &serde_json::json!(native))
        );
    }
    refused(
        &["generate", PROMPT, "--aspect", "1:1", "--size", "64x64"],
        2,
        &["--aspect", "--size"],
    );
}

#[test]
fn another_rate_keeps_the_length_and_a_preview_stands_beside() {
    let folder = tempdir().unwrap();
    let small = ["--seconds", "1", "--steps", "2", "--size", "176x96"];
    kinora(&folder)
        .args(["generate", PROMPT, "-o", "clip.mp4"])
        .args(small)
        .args(["--fps", "30", "--preview"])
        .assert()
        .success();
    assert_eq!(entries(folder.path()), ["clip-preview.png", "clip.mp4"]);
    let seen = kinora(&folder)
        .args(["inspect", "clip.mp4"])
        .assert()
        .success();
    seen.stdout(contains("1.00 s: 30 frames at 30 frames/s"));
    kinora(&folder)
        .args(["inspect", "clip-preview.png"])
        .assert()
        .success()
        .stdout(contains("PNG"));
}

#[test]
fn inspect_refuses_what_it_cannot_read() {
    let folder = tempdir().unwrap();
    kinora(&folder)
        .args(["inspect", "none.mp4"])
        .assert()
        .code(1)
        .stderr(contains("does not exist"));
    fs::write(folder.path().join("text.mp4"), "this is no video at all").unwrap();
    kinora(&folder)
        .args(["inspect", "text.mp4"])
        .assert()
        .code(1)
        .stderr(contains("error: cannot read text.mp4"));
}

#[test]
fn completions_are_written_for_every_shell() {
    let folder = tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = kinora(&folder)
            .args(["completions", shell])
            .assert()
            .success();
        script.stdout(contains("kinora").and(contains("generate")));
    }
    refused(&["completions", "tcsh"], 2, &["tcsh"]);
}

#[test]
fn models_and_info_tell_what_is_there() {
    let folder = tempdir().unwrap();
    let models = kinora(&folder).args(["models", "--json"]).output().unwrap();
    let models: Value = serde_json::from_slice(&models.stdout).unwrap();
    assert_eq!(models[0]["name"], "kinora-mini");
    kinora(&folder)
        .args(["models", "--subjects"])
        .assert()
        .success()
        .stdout(contains("\nkoala\n"));
    assert_eq!(
        models[0]["sha256"],
        kinora_models::weights::sha256(&weights())
    );
    kinora(&folder)
        .arg("models")
        .assert()
        .success()
        .stdout(contains("MIT OR Apache-2.0"));
    let info = kinora(&folder)
        .args(["info", "--threads", "1"])
        .assert()
        .success();
    info.stdout(
        contains("threads    1")
            .and(contains("processor"))
            .and(contains("cpu")),
    );
}

#[test]
fn data_is_rendered_and_listed_from_the_sample() {
    let folder = tempdir().unwrap();
    kinora(&folder)
        .args(["data", "list"])
        .assert()
        .success()
        .stdout(contains("koala").and(contains("考拉")));
    let sheet = [
        "data",
        "render",
        "--seed",
        "3",
        "--count",
        "1",
        "-o",
        "sheet.png",
    ];
    kinora(&folder).args(sheet).assert().success();
    kinora(&folder)
        .args(["inspect", "sheet.png"])
        .assert()
        .success()
        .stdout(contains("PNG"));
    kinora(&folder)
        .args(sheet)
        .assert()
        .code(1)
        .stderr(contains("--force"));
    refused(
        &["data", "render", "-o", "sheet.txt"],
        1,
        &["end the name with .png"],
    );
    refused(
        &["data", "render", "--pack", "none.pack", "-o", "a.png"],
        1,
        &["none.pack"],
    );
    refused(&["data", "pack", "nowhere", "out.pack"], 1, &["nowhere"]);
}

#[cfg(unix)]
mod unix {
    use std::io::{BufRead, BufReader, Read};
    use std::process::{Command as Process, Stdio};
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn control_c_stops_without_a_file() {
        let folder = tempdir().unwrap();
        let mut child = Process::new(assert_cmd::cargo::cargo_bin("kinora"))
            .current_dir(folder.path())
            .env("XDG_DATA_HOME", DATA)
            .args([
                "generate",
                PROMPT,
                "--seconds",
                "600",
                "--steps",
                "200",
                "-o",
                "clip.mp4",
                "--preview",
                "--progress",
            ])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let started = Instant::now();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        assert!(line.starts_with("loading"), "{line}");
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "progress comes at once"
        );
        while !line.starts_with("sampling") {
            line.clear();
            assert_ne!(
                stderr.read_line(&mut line).unwrap(),
                0,
                "the program ended by itself"
            );
        }
        let sent = Process::new("kill")
            .args(["-INT", &child.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
        let mut rest = String::new();
        stderr.read_to_string(&mut rest).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130));
        // Whether a step was finished by then is a matter of speed.
        assert!(rest.contains("stopped; "), "{rest}");
        assert_eq!(entries(folder.path()), [] as [&str; 0]);
    }

    /// A limit on the size of files stands in for a full disk: writing fails in the middle of the work.
    #[test]
    fn a_file_that_cannot_grow_leaves_nothing() {
        let folder = tempdir().unwrap();
        let program = assert_cmd::cargo::cargo_bin("kinora");
        let script = format!(
            "trap '' XFSZ; ulimit -f 1; exec '{}' generate '{PROMPT}' --seconds 1 --steps 1 -o frames/",
            program.display()
        );
        let ended = Process::new("sh")
            .current_dir(folder.path())
            .env("XDG_DATA_HOME", DATA)
            .args(["-c", &script])
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{stderr}");
        assert!(stderr.starts_with("error: "), "{stderr}");
        assert_eq!(entries(folder.path()), [] as [&str; 0]);
    }
}
