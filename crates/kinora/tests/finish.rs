//! Clips with more pixels and more frames: what comes back, what stays, and what is refused.

mod frames;

use std::fs;
use std::path::PathBuf;

use assert_cmd::Command;
use kinora_media::{Frame, FrameRate, SinkOptions, open_sink, probe, resize, write_picture};
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use tempfile::{TempDir, tempdir};

use frames::{difference, frames, pictures};

const SIZE: [u32; 2] = [160, 96];

fn kinora(folder: &TempDir) -> Command {
    let mut command = Command::cargo_bin("kinora").expect("the program is built");
    command.current_dir(folder.path()).env_remove("KINORA_CPU");
    command.env("XDG_DATA_HOME", folder.path().join(".data"));
    command
}

/// A sun over the sea; `index` moves it.
fn day(index: u32, [width, height]: [u32; 2]) -> Frame {
    Frame::from_fn(width, height, |x, y| {
        let (dx, dy) = (x as i32 - 40 - 4 * index as i32, y as i32 - 30);
        match (dx * dx + dy * dy < 300, y > height / 2) {
            (true, _) => [250, 220, 90],
            (false, true) => [40, 90, 160],
            (false, false) => [150, 190, 230],
        }
    })
    .unwrap()
}

/// Something else.
fn night([width, height]: [u32; 2]) -> Frame {
    Frame::from_fn(width, height, |x, y| [(x / 8) as u8, 10, (y / 3) as u8]).unwrap()
}

/// GIF gives frames back as they were.
fn clip(folder: &TempDir, name: &str, frames: &[Frame]) -> PathBuf {
    let path = folder.path().join(name);
    let (width, height) = frames[0].size();
    let fps = FrameRate::whole(10).unwrap();
    let mut sink = open_sink(&path, &SinkOptions::new(width, height, fps)).unwrap();
    frames.iter().for_each(|frame| sink.push(frame).unwrap());
    sink.finish().unwrap();
    path
}

fn days(count: u32) -> Vec<Frame> {
    (0..count).map(|index| day(index, SIZE)).collect()
}

fn told(command: &mut Command) -> Value {
    let output = command.arg("--json").assert().success();
    serde_json::from_slice(&output.get_output().stdout).unwrap()
}

#[test]
fn both_verbs_have_examples() {
    let folder = tempdir().unwrap();
    for verb in ["upscale", "interpolate"] {
        let help = kinora(&folder).args([verb, "--help"]).assert().success();
        help.stdout(contains("EXAMPLES:").and(contains(format!("  kinora {verb}"))));
    }
}

#[test]
fn a_larger_clip_shows_the_same_in_all_frames() {
    let folder = tempdir().unwrap();
    clip(&folder, "sun.gif", &days(3));
    let made =
        told(kinora(&folder).args(["upscale", "sun.gif", "--size", "480x288", "-o", "large/"]));
    assert_eq!(
        (&made["frames"], &made["fps"], &made["size"][0]),
        (&3.into(), &10.into(), &480.into())
    );
    let large = pictures(&folder, "large");
    assert_eq!(large.len(), 3);
    for (large, given) in large.iter().zip(days(3)) {
        assert_eq!(large.size(), (480, 288));
        let small = resize(large, SIZE[0], SIZE[1]).unwrap();
        assert!(
            difference(&small, &given) < 3.0,
            "{}",
            difference(&small, &given)
        );
    }
    // The same, and under the name that nobody gave.
    kinora(&folder)
        .args(["upscale", "sun.gif", "--size", "480x288"])
        .assert()
        .success();
    let first = fs::read(folder.path().join("sun-upscaled.gif")).unwrap();
    let again = ["upscale", "sun.gif", "--size", "480x288"];
    kinora(&folder)
        .args(again)
        .assert()
        .failure()
        .stderr(contains("exists"));
    kinora(&folder)
        .args(again)
        .arg("--force")
        .assert()
        .success();
    assert_eq!(
        fs::read(folder.path().join("sun-upscaled.gif")).unwrap(),
        first
    );
}

#[test]
fn a_picture_grows_too() {
    let folder = tempdir().unwrap();
    write_picture(folder.path().join("sun.jpg"), &day(0, [61, 45]), false).unwrap();
    kinora(&folder)
        .args(["upscale", "sun.jpg"])
        .assert()
        .success();
    let seen = probe(folder.path().join("sun-upscaled.png")).unwrap();
    // The odd column is cut off, and 44 rows become 1080.
    assert_eq!((seen.width, seen.height), (1472, 1080));
}

#[test]
fn given_frames_stay_between_those_that_are_made() {
    let folder = tempdir().unwrap();
    clip(&folder, "sun.gif", &days(4));
    let made =
        told(kinora(&folder).args(["interpolate", "sun.gif", "--fps", "30", "-o", "smooth/"]));
    assert_eq!((&made["frames"], &made["fps"]), (&12.into(), &30.into()));
    let (given, smooth) = (days(4), pictures(&folder, "smooth"));
    for (index, given) in given.iter().enumerate() {
        assert!(smooth[3 * index] == *given, "frame {index}");
    }
    // What is between is nearer to both than they are to each other.
    let apart = difference(&given[0], &given[1]);
    for between in &smooth[1..3] {
        let far = difference(between, &given[0]).max(difference(between, &given[1]));
        assert!(far < apart, "{far} of {apart}");
    }
    kinora(&folder)
        .args(["interpolate", "sun.gif"])
        .assert()
        .success();
    let seen = probe(folder.path().join("sun-60fps.mp4")).unwrap();
    assert_eq!((seen.frames, seen.duration_secs), (24, 0.4));
}

#[test]
fn nothing_is_made_across_a_cut() {
    let folder = tempdir().unwrap();
    let film = [day(0, SIZE), day(1, SIZE), night(SIZE), night(SIZE)];
    // As a GIF holds them.
    let film = frames(clip(&folder, "film.gif", &film));
    let verb = ["interpolate", "film.gif", "--fps", "20", "-o", "smooth/"];
    kinora(&folder).args(verb).assert().success();
    let smooth = pictures(&folder, "smooth");
    assert_eq!(smooth.len(), 8);
    assert!(smooth[3] == film[1] && smooth[4] == film[2]);
    assert!(smooth[1] != film[0] && smooth[1] != film[1]);
}

#[test]
fn the_sound_is_kept() {
    let folder = tempdir().unwrap();
    let fixture = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../kinora-media/tests/data/sound.mov"
    );
    fs::copy(fixture, folder.path().join("sound.mov")).unwrap();
    for verb in [
        &["interpolate", "sound.mov", "--fps", "30"][..],
        &["upscale", "sound.mov", "--size", "640x360"],
    ] {
        let made = told(kinora(&folder).args(verb));
        assert_eq!(made["sound"], "sound.mov");
        let seen = probe(folder.path().join(made["file"].as_str().unwrap())).unwrap();
        assert!(seen.audio.is_some());
        let silent = [verb, &["--no-audio", "-o", "silent.mp4", "-f"]].concat();
        assert!(told(kinora(&folder).args(silent))["sound"].is_null());
    }
}

#[test]
fn what_cannot_be_done_is_refused_and_nothing_is_left() {
    let folder = tempdir().unwrap();
    clip(&folder, "sun.gif", &days(2));
    write_picture(folder.path().join("sun.png"), &day(0, SIZE), false).unwrap();
    write_picture(folder.path().join("flat.png"), &day(0, [2000, 100]), false).unwrap();
    fs::write(folder.path().join("text.mp4"), "this is no video at all").unwrap();
    let before = fs::read_dir(folder.path()).unwrap().count();
    for (arguments, reason) in [
        (&["upscale", "none.mp4"][..], "does not exist"),
        (&["upscale", "text.mp4"], "cannot read text.mp4"),
        (&["interpolate", "text.mp4"], "cannot read text.mp4"),
        (&["interpolate", "sun.png"], "single picture"),
        (&["interpolate", "sun.gif", "--fps", "0"], "frame rate"),
        (&["interpolate", "sun.gif", "--fps", "121"], "1 to 120"),
        (&["upscale", "sun.gif", "--size", "161x96"], "odd"),
        (
            &["upscale", "sun.gif", "--size", "7680x4320"],
            "from 64 to 4096",
        ),
        (
            &["upscale", "sun.gif", "--size", "4096x2304", "-o", "a.mp4"],
            "3840x2160",
        ),
        (&["upscale", "sun.gif", "--size", "64x64"], "larger than"),
        (&["upscale", "flat.png"], "up to 4096 pixels"),
        (
            &["upscale", "sun.gif", "-o", "sun.gif", "-f"],
            "replace itself",
        ),
        (&["upscale", "sun.gif", "-o", "sun.txt"], "sun.txt"),
        (&["upscale", "sun.gif", "-o", "nowhere/sun.gif"], "nowhere"),
    ] {
        let assert = kinora(&folder).args(arguments).assert().failure();
        assert.stderr(
            contains("error: ")
                .and(contains(reason))
                .and(contains("panicked").not()),
        );
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            before,
            "{arguments:?}"
        );
    }
}

#[test]
fn what_is_made_is_large_and_smooth_unless_it_is_not_to_be() {
    let folder = tempdir().unwrap();
    let quick = [
        "a koala on a beach",
        "--seconds",
        "0.5",
        "--steps",
        "1",
        "--seed",
        "3",
    ];
    let made = |more: &[&str]| {
        let mut command = kinora(&folder);
        command.arg("generate").args(quick).args(more);
        told(&mut command)
    };
    let whole = made(&["-o", "whole.mp4"]);
    assert_eq!(whole["size"], serde_json::json!([1280, 720]));
    assert_eq!((&whole["frames"], &whole["fps"]), (&12.into(), &24.into()));
    assert!(whole["upscaler"].is_string() && whole["interpolator"].is_string());
    let plain = made(&["--no-upscale", "--no-interpolate", "-o", "plain.mp4"]);
    assert_eq!(plain["size"], serde_json::json!([1280, 720]));
    assert_eq!((&plain["frames"], &plain["fps"]), (&6.into(), &12.into()));
    assert!(plain["upscaler"].is_null() && plain["interpolator"].is_null());
    let small = made(&["--size", "176x96", "--fps", "12", "-o", "small.mp4"]);
    assert!(small["upscaler"].is_null() && small["interpolator"].is_null());
    let sticker = made(&["-o", "sticker.gif"]);
    assert_eq!(
        (&sticker["frames"], &sticker["fps"]),
        (&6.into(), &12.into())
    );
}
