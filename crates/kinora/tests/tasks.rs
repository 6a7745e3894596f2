//! Clips and pictures in, clips out: what each verb makes, what it refuses, and what it goes on with.

mod frames;

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use kinora_media::{Frame, FrameRate, SinkOptions, open_sink, write_picture};
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use tempfile::{TempDir, tempdir};

use frames::{difference, frames, pictures};

const SIZE: [u32; 2] = [176, 96];

/// The program in a folder of its own; sessions stand in `.sessions`.
fn kinora(folder: &TempDir) -> Command {
    let mut command = Command::cargo_bin("kinora").expect("the program is built");
    command.current_dir(folder.path()).env_remove("KINORA_CPU");
    command.env("XDG_DATA_HOME", folder.path().join(".data"));
    command
}

/// Settings that make something in a moment.
const QUICK: [&str; 4] = ["--steps", "1", "--seed", "7"];

/// A picture with something to see; `index` moves it.
fn picture(index: u32, [width, height]: [u32; 2]) -> Frame {
    Frame::from_fn(width, height, |x, y| {
        let sun = x.abs_diff(20 + 3 * index) + y.abs_diff(height / 2) < 20;
        if sun {
            [250, 220, 90]
        } else {
            [40, 90 + (y / 2) as u8, 160]
        }
    })
    .unwrap()
}

/// GIF and PNG give frames back as they were; MP4 nearly.
fn given(folder: &TempDir, name: &str, frames: u32) -> PathBuf {
    let path = folder.path().join(name);
    let fps = FrameRate::whole(10).unwrap();
    let mut sink = open_sink(&path, &SinkOptions::new(SIZE[0], SIZE[1], fps)).unwrap();
    (0..frames).for_each(|index| sink.push(&picture(index, SIZE)).unwrap());
    sink.finish().unwrap();
    path
}

/// `arguments` are refused with a message that says `reason`, and nothing is made.
fn refused(folder: &TempDir, arguments: &[&str], reason: &str) {
    // Sessions stand in a hidden folder.
    let is_shown = |entry: &fs::DirEntry| !entry.file_name().to_string_lossy().starts_with('.');
    let entries = || {
        fs::read_dir(folder.path())
            .unwrap()
            .flatten()
            .filter(is_shown)
            .count()
    };
    let before = entries();
    let assert = kinora(folder)
        .args(arguments)
        .args(QUICK)
        .assert()
        .failure();
    assert.stderr(
        contains("error: ")
            .and(contains(reason))
            .and(contains("panicked").not()),
    );
    assert_eq!(entries(), before, "{arguments:?}");
}

#[test]
fn every_verb_has_examples() {
    let folder = tempdir().unwrap();
    for verb in [
        "generate",
        "image",
        "extend",
        "fill",
        "remix",
        "loop",
        "blend",
        "storyboard",
        "resume",
    ] {
        let help = kinora(&folder).args([verb, "--help"]).assert().success();
        help.stdout(contains("EXAMPLES:").and(contains(format!("  kinora {verb}"))));
    }
}

#[test]
fn given_frames_come_back_when_a_clip_is_extended_filled_looped_or_blended() {
    let folder = tempdir().unwrap();
    let clip = frames(given(&folder, "clip.gif", 10));
    let other = frames(given(&folder, "other.gif", 4));
    let made = |arguments: &[&str]| {
        let run = kinora(&folder)
            .args(arguments)
            .args(QUICK)
            .args(["--json", "-o", "out/"])
            .assert()
            .success();
        let told: Value = serde_json::from_slice(&run.get_output().stdout).unwrap();
        let made = pictures(&folder, "out");
        fs::remove_dir_all(folder.path().join("out")).unwrap();
        assert_eq!(told["frames"], made.len());
        assert_eq!(
            (&told["size"], &told["fps"]),
            (&serde_json::json!(SIZE), &10.into())
        );
        made
    };
    let longer = made(&["extend", "clip.gif", "a sun", "--seconds", "0.5"]);
    assert_eq!((&longer[..10], longer.len()), (&clip[..], 15));
    // The first new frame goes on from the last given one.
    let jump = difference(&longer[9], &longer[10]);
    assert!(
        jump < difference(&clip[9], &picture(40, SIZE)) + 30.0,
        "{jump}"
    );

    let earlier = made(&[
        "extend",
        "clip.gif",
        "a sun",
        "--seconds",
        "0.5",
        "--before",
    ]);
    assert_eq!((&earlier[5..], earlier.len()), (&clip[..], 15));

    let filled = made(&["fill", "clip.gif", "--from", "0.3", "--to", "0.6"]);
    assert_eq!((&filled[..3], &filled[6..]), (&clip[..3], &clip[6..]));
    assert!((3..6).all(|index| filled[index] != clip[index]));

    let looped = made(&["loop", "clip.gif", "--seconds", "0.4"]);
    assert_eq!((&looped[..10], looped.len()), (&clip[..], 14));

    let blended = made(&["blend", "clip.gif", "other.gif", "--seconds", "0.3"]);
    assert_eq!((&blended[..10], &blended[13..]), (&clip[..], &other[..]));
}

#[test]
fn the_sound_of_a_clip_stays_with_its_pictures() {
    let folder = tempdir().unwrap();
    let fixture = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../kinora-media/tests/data/sound.mov"
    );
    // Pictures for 1.33 seconds, sound for 1.5.
    fs::copy(fixture, folder.path().join("sound.mov")).unwrap();
    let made = |arguments: &[&str]| {
        let run = kinora(&folder)
            .args(arguments)
            .args(QUICK)
            .args(["--json", "-f", "-o", "out.mp4"])
            .assert()
            .success();
        let told: Value = serde_json::from_slice(&run.get_output().stdout).unwrap();
        let stderr = String::from_utf8(run.get_output().stderr.clone()).unwrap();
        (told, stderr, folder.path().join("out.mp4"))
    };
    // Whether anything is heard between two moments.
    let heard = |path: &Path, secs: std::ops::Range<f64>| {
        let options = SinkOptions::new(64, 64, FrameRate::whole(12).unwrap());
        let mut sink = open_sink(folder.path().join("part.mp4"), &options).unwrap();
        sink.copy_audio(path, secs).is_ok()
    };
    let remix = ["remix", "sound.mov", "a moon"];
    let fill = [
        "fill",
        "sound.mov",
        "a moon",
        "--from",
        "0.2",
        "--to",
        "0.4",
    ];
    for whole in [&remix[..], &fill] {
        let (told, _, path) = made(whole);
        assert_eq!(told["sound"], "sound.mov");
        assert!(
            heard(&path, 0.1..0.15) && heard(&path, 1.2..1.25),
            "{whole:?}"
        );
    }
    let repeat = ["loop", "sound.mov", "a moon", "--seconds", "0.3"];
    let extend = ["extend", "sound.mov", "a moon", "--seconds", "0.3"];
    for longer in [&repeat[..], &extend] {
        let (_, _, path) = made(longer);
        assert!(
            heard(&path, 0.1..0.15) && !heard(&path, 1.4..1.6),
            "{longer:?}"
        );
    }
    let (_, _, path) = made(&[&extend[..], &["--before"]].concat());
    assert!(!heard(&path, 0.0..0.25) && heard(&path, 0.4..0.5) && heard(&path, 1.5..1.55));

    let (told, _, path) = made(&[&extend[..], &["--no-audio"]].concat());
    assert_eq!(
        (&told["sound"], heard(&path, 0.0..9.0)),
        (&Value::Null, false)
    );
    let blend = [
        "blend",
        "sound.mov",
        "sound.mov",
        "a moon",
        "--seconds",
        "0.3",
    ];
    let (told, stderr, _) = made(&blend);
    assert!(
        stderr.contains("the sound is left out: ") && told["sound"].is_null(),
        "{stderr}"
    );
    let gif = [&extend[..], &QUICK, &["-o", "silent.gif"]].concat();
    let run = kinora(&folder).args(gif).assert().success();
    run.stderr(contains("the sound is left out").and(contains(".mp4 does")));
}

#[test]
fn an_odd_clip_loses_a_row_and_keeps_its_pixels() {
    let folder = tempdir().unwrap();
    let odd: Vec<Frame> = (0..3).map(|index| picture(index, [161, 91])).collect();
    let fps = FrameRate::whole(10).unwrap();
    let mut sink = open_sink(
        folder.path().join("odd.gif"),
        &SinkOptions::new(161, 91, fps),
    )
    .unwrap();
    odd.iter().for_each(|frame| sink.push(frame).unwrap());
    sink.finish().unwrap();
    let extend = [
        "extend",
        "odd.gif",
        "a sun",
        "--seconds",
        "0.1",
        "-o",
        "out/",
    ];
    kinora(&folder).args(extend).args(QUICK).assert().success();
    let made = pictures(&folder, "out");
    assert_eq!((made.len(), made[0].size()), (4, (160, 90)));
    let kept = |x, y| made[2].pixel(x, y) == odd[2].pixel(x, y);
    assert!((0..160).all(|x| (0..90).all(|y| kept(x, y))));
}

#[test]
fn a_clip_is_changed_as_a_whole_or_in_a_region() {
    let folder = tempdir().unwrap();
    let clip = frames(given(&folder, "clip.gif", 5));
    let right = |x: u32, _: u32| if x >= 88 { [255; 3] } else { [0; 3] };
    let mask = Frame::from_fn(SIZE[0], SIZE[1], right).unwrap();
    write_picture(folder.path().join("mask.png"), &mask, false).unwrap();
    let fill = [
        "fill", "clip.gif", "a moon", "--mask", "mask.png", "-o", "out/",
    ];
    kinora(&folder).args(fill).args(QUICK).assert().success();
    let filled = pictures(&folder, "out");
    assert_eq!(filled.len(), 5);
    for (filled, clip) in filled.iter().zip(&clip) {
        assert!((0..88).all(|x| (0..96).all(|y| filled.pixel(x, y) == clip.pixel(x, y))));
        assert_ne!(filled, clip);
    }

    // A little keeps more than much.
    let remixed = |strength| {
        let remix = [
            "remix",
            "clip.gif",
            "a moon",
            "--strength",
            strength,
            "-f",
            "-o",
            "remix.gif",
        ];
        kinora(&folder)
            .args(remix)
            .args(["--steps", "4", "--seed", "7"])
            .assert()
            .success();
        difference(&frames(folder.path().join("remix.gif"))[2], &clip[2])
    };
    let (little, much) = (remixed("0.1"), remixed("1"));
    assert!(little < much, "{little} {much}");

    write_picture(folder.path().join("photo.png"), &clip[0], false).unwrap();
    kinora(&folder)
        .args(["remix", "photo.png", "a moon"])
        .args(QUICK)
        .assert()
        .success();
    assert_eq!(frames(folder.path().join("photo-remixed.png")).len(), 1);
}

#[test]
fn a_video_passes_through_its_pictures() {
    let folder = tempdir().unwrap();
    for (name, index) in [("first.png", 0), ("mid.png", 20), ("last.png", 40)] {
        write_picture(folder.path().join(name), &picture(index, [200, 120]), false).unwrap();
    }
    let run = [
        "generate",
        "a sun",
        "--seconds",
        "1.5",
        "--fps",
        "12",
        "--image",
        "first.png",
        "--keyframe",
        "0.75=mid.png",
        "--last-image",
        "last.png",
        "-o",
        "out/",
    ];
    kinora(&folder).args(run).args(QUICK).assert().success();
    let made = pictures(&folder, "out");
    assert_eq!((made.len(), made[0].size()), (18, (200, 120)));
    for (frame, index) in [(0, 0), (9, 20), (17, 40)] {
        assert_eq!(made[frame], picture(index, [200, 120]), "frame {frame}");
    }
    let near = [
        "generate",
        "a",
        "--image",
        "first.png",
        "--keyframe",
        "0.1=mid.png",
        "--keyframe",
        "0.2=mid.png",
    ];
    refused(&folder, &near, "less than 4 frames apart");
    let far = [
        "generate",
        "a",
        "--seconds",
        "1",
        "--keyframe",
        "1.5=mid.png",
    ];
    refused(&folder, &far, "outside of the clip");
    refused(
        &folder,
        &["generate", "a", "--image", "none.png"],
        "does not exist",
    );
    refused(
        &folder,
        &["image", "a", "-o", "first.png"],
        "already exists",
    );
}

#[test]
fn a_picture_is_made_and_a_storyboard_is_filmed() {
    let folder = tempdir().unwrap();
    let image = ["image", "an owl", "--size", "128x128", "--style", "pixel"];
    kinora(&folder).args(image).args(QUICK).assert().success();
    assert_eq!(
        frames(folder.path().join("an-owl.png"))[0].size(),
        (128, 128)
    );

    let recipe = kinora_media::read_recipe(folder.path().join("an-owl.png"))
        .unwrap()
        .unwrap();
    assert_eq!(recipe["asked"], "an owl, pixel art");

    let script = "[[shot]]\nprompt = \"a fox\"\nseconds = 0.5\n[[shot]]\nprompt = \"an owl\"\nseconds = 0.5\n\
                  transition = \"morph\"\n[[shot]]\nprompt = \"a bear\"\nseconds = 0.25\n";
    fs::write(folder.path().join("film.toml"), script).unwrap();
    let film = [
        "storyboard",
        "film.toml",
        "--size",
        "176x96",
        "--fps",
        "12",
        "--json",
    ];
    let run = kinora(&folder).args(film).args(QUICK).assert().success();
    let told: Value = serde_json::from_slice(&run.get_output().stdout).unwrap();
    // The first shot ends with a whole latent frame, 5 frames of 6; what it lacks the others have.
    assert_eq!(
        (&told["file"], &told["frames"]),
        (&"film.mp4".into(), &15.into())
    );
    fs::write(folder.path().join("bad.toml"), "[[shot]]\nprompt = \"\"\n").unwrap();
    refused(
        &folder,
        &["storyboard", "bad.toml"],
        "shot 1: the prompt is empty",
    );
    refused(&folder, &["storyboard", "none.toml"], "check the name");
}

#[test]
fn what_cannot_be_made_is_refused_before_the_work() {
    let folder = tempdir().unwrap();
    let clip = given(&folder, "clip.gif", 10);
    let whole = fs::read(&clip).unwrap();
    fs::write(folder.path().join("short.gif"), &whole[..whole.len() / 2]).unwrap();
    fs::write(folder.path().join("empty.gif"), "").unwrap();
    write_picture(
        folder.path().join("tall.png"),
        &picture(0, [96, 176]),
        false,
    )
    .unwrap();
    write_picture(
        folder.path().join("black.png"),
        &Frame::filled(176, 96, [0; 3]).unwrap(),
        false,
    )
    .unwrap();
    for (arguments, reason) in [
        (&["extend", "none.gif", "a"][..], "does not exist"),
        (&["extend", "empty.gif", "a"], "it is empty"),
        (&["extend", "short.gif", "a"], "damaged"),
        (&["extend", "tall.png", "a"], "kinora generate --image"),
        (
            &["extend", "clip.gif", "a", "-o", "clip.gif", "-f"],
            "replace itself",
        ),
        (
            &["extend", "clip.gif", "a", "-o", "a.jpg"],
            "single picture",
        ),
        (&["loop", "clip.gif", "--seconds", "0"], "0.1 to 600"),
        (&["fill", "clip.gif"], "--mask"),
        (&["fill", "clip.gif", "--from", "0.5"], "--to"),
        (
            &["fill", "clip.gif", "--from", "0.5", "--to", "0.5"],
            "not before",
        ),
        (
            &["fill", "clip.gif", "--from", "0.5", "--to", "3"],
            "behind its end",
        ),
        (
            &["fill", "clip.gif", "--from", "0", "--to", "1"],
            "nothing of",
        ),
        (&["fill", "clip.gif", "--mask", "tall.png"], "same shape"),
        (&["fill", "clip.gif", "--mask", "black.png"], "no white"),
        (
            &["fill", "clip.gif", "--mask", "none.png"],
            "does not exist",
        ),
        (&["remix", "clip.gif", "a", "--strength", "0"], "0.05 to 1"),
        (&["remix", "clip.gif"], "<PROMPT>"),
        (&["generate", "a", "--keyframe", "mid.png"], "no keyframe"),
        (&["resume", "abc"], "no session"),
    ] {
        let seeded = arguments[0] != "resume";
        if seeded {
            refused(&folder, arguments, reason);
        } else {
            kinora(&folder)
                .args(arguments)
                .assert()
                .failure()
                .stderr(contains(reason));
        }
    }
}

#[cfg(unix)]
#[test]
fn a_killed_run_goes_on_and_gives_the_same_file() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command as Process, Stdio};

    let folder = tempdir().unwrap();
    let command = [
        "generate",
        "a koala",
        "--seconds",
        "4",
        "--steps",
        "3",
        "--size",
        "176x96",
    ];
    let kill_after_a_window = |output: &str| {
        let mut child = Process::new(assert_cmd::cargo::cargo_bin("kinora"))
            .current_dir(folder.path())
            .env("XDG_DATA_HOME", folder.path().join(".data"))
            .args(command)
            .args(["-o", output, "--progress"])
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        // The first window is finished when its frames are decoded.
        assert!(
            lines.any(|line| line.unwrap().starts_with("decoding")),
            "it ended by itself"
        );
        child.kill().unwrap();
        child.wait().unwrap();
    };
    kill_after_a_window("clip.mp4");
    assert!(!folder.path().join("clip.mp4").exists());

    let listed = kinora(&folder).args(["resume", "--json"]).output().unwrap();
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(
        (&listed[0]["verb"], &listed[0]["prompt"]),
        (&"generate".into(), &"a koala".into())
    );
    assert!(listed[0]["windows"].as_u64().unwrap() >= 1);
    let seed = listed[0]["seed"].to_string();
    let id = listed[0]["id"].as_str().unwrap().to_owned();

    // The seed that was drawn is found again, by the session and by the same command.
    kinora(&folder)
        .args(["resume", &id[..6]])
        .assert()
        .success()
        .stderr(contains("going on with session"));
    kinora(&folder)
        .arg("resume")
        .assert()
        .success()
        .stdout(contains("nothing was cut off"));
    kinora(&folder)
        .args(command)
        .args(["-o", "whole.mp4", "--seed", &seed])
        .assert()
        .success();
    let bytes = |name: &str| fs::read(folder.path().join(name)).unwrap();
    assert!(
        bytes("clip.mp4") == bytes("whole.mp4"),
        "the file is the same, bit for bit"
    );

    kill_after_a_window("second.mp4");
    kinora(&folder)
        .args(command)
        .args(["-o", "second.mp4"])
        .assert()
        .success()
        .stderr(contains("going on with session"));
}
