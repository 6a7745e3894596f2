//! GIF, WebP and pictures there and back.

mod common;

use common::{clip, entries, options, psnr, read, write};
use kinora_media::{
    Container, Error, Frame, FrameRate, SinkOptions, open_sink, open_source, probe, read_picture,
    read_recipe, write_picture,
};
use serde_json::{Value, json};

fn recipe() -> Value {
    json!({"prompt": "<b>考拉</b> & \"friends\"", "seed": 1, "note": "n".repeat(700)})
}

#[test]
fn a_gif_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.gif");
    let frames = clip(96, 64, 24);
    write(
        &path,
        &frames,
        &SinkOptions {
            recipe: Some(recipe()),
            ..options(&frames)
        },
    );
    let info = probe(&path).unwrap();
    assert_eq!(
        (info.container, info.width, info.height, info.frames),
        (Container::Gif, 96, 64, 24)
    );
    assert_eq!(
        (info.fps, info.duration_secs),
        (Some(FrameRate::whole(12).unwrap()), 2.0)
    );
    assert_eq!(info.recipe, Some(recipe()));
    let decoded = psnr(&frames, &read(&path));
    assert!(decoded >= 32.0, "{decoded:.1} dB");
    let fast = SinkOptions {
        fps: FrameRate::whole(60).unwrap(),
        ..options(&frames)
    };
    let refused = open_sink(folder.path().join("fast.gif"), &fast);
    assert!(matches!(
        refused.err(),
        Some(Error::FrameRateLimit { max: 50, .. })
    ));
}

#[test]
fn flat_drawings_stay_exact_in_a_gif() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flat.gif");
    let frames: Vec<Frame> = (0..10u32)
        .map(|t| {
            Frame::from_fn(40, 30, |x, y| {
                if x / 8 == t / 2 && y > 9 {
                    [250, 20, 30]
                } else {
                    [3, 90, 200]
                }
            })
        })
        .collect::<Result<_, _>>()
        .unwrap();
    write(&path, &frames, &options(&frames));
    assert!(read(&path) == frames);
}

#[test]
fn a_webp_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.webp");
    // More than one segment, and the last one short.
    let frames = clip(96, 64, 61);
    write(
        &path,
        &frames,
        &SinkOptions {
            recipe: Some(recipe()),
            ..options(&frames)
        },
    );
    assert_eq!(entries(folder.path()), ["clip.webp"]);
    let info = probe(&path).unwrap();
    assert_eq!(
        (info.container, info.width, info.height, info.frames),
        (Container::WebP, 96, 64, 61)
    );
    assert!(
        (info.duration_secs - 61.0 / 12.0).abs() < 0.002,
        "{}",
        info.duration_secs
    );
    assert_eq!(info.recipe, Some(recipe()));
    let decoded = psnr(&frames, &read(&path));
    assert!(decoded >= 34.0, "{decoded:.1} dB");
}

#[test]
fn a_webp_that_stands_still_keeps_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("still.webp");
    let frames = vec![clip(64, 48, 1).remove(0); 60];
    write(&path, &frames, &options(&frames));
    assert!((probe(&path).unwrap().duration_secs - 5.0).abs() < 0.002);
    let steady = open_source(&path)
        .unwrap()
        .frames_at(FrameRate::whole(12).unwrap());
    assert_eq!(steady.count(), 60);
}

#[test]
fn one_frame_makes_a_still() {
    let folder = tempfile::tempdir().unwrap();
    let frames = clip(64, 48, 1);
    for (name, container) in [
        ("a.png", Container::Png),
        ("a.jpg", Container::Jpeg),
        ("a.webp", Container::WebP),
    ] {
        let path = folder.path().join(name);
        let written = write(
            &path,
            &frames,
            &SinkOptions {
                recipe: Some(recipe()),
                ..options(&frames)
            },
        );
        assert_eq!((written.path, written.frames), (path.clone(), 1));
        let info = probe(&path).unwrap();
        assert_eq!(
            (info.container, info.width, info.height, info.fps),
            (container, 64, 48, None),
            "{name}"
        );
        assert_eq!(read_recipe(&path).unwrap(), Some(recipe()), "{name}");
        let decoded = psnr(&frames, &[read_picture(&path).unwrap()]);
        assert!(
            decoded
                > if container == Container::Png {
                    98.0
                } else {
                    34.0
                },
            "{name}: {decoded:.1} dB"
        );
    }
    assert_eq!(entries(folder.path()), ["a.jpg", "a.png", "a.webp"]);
}

#[test]
fn more_frames_are_numbered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sea.png");
    let frames = clip(32, 32, 3);
    let written = write(&path, &frames, &options(&frames));
    assert_eq!(written.path, folder.path().join("sea-0001.png"));
    assert_eq!(
        entries(folder.path()),
        ["sea-0001.png", "sea-0002.png", "sea-0003.png"]
    );
    assert_eq!(
        read_picture(folder.path().join("sea-0003.png")).unwrap(),
        frames[2]
    );
    assert!(matches!(
        open_sink(&path, &options(&frames)).err(),
        Some(Error::Exists { .. })
    ));
    // A shorter run takes the longer one's place, and leaves what is not of it.
    std::fs::write(folder.path().join("sea-shell.png"), "mine").unwrap();
    write(
        &path,
        &frames[..2],
        &SinkOptions {
            overwrite: true,
            ..options(&frames)
        },
    );
    assert_eq!(
        entries(folder.path()),
        ["sea-0001.png", "sea-0002.png", "sea-shell.png"]
    );
}

#[test]
fn a_folder_takes_frames() {
    let folder = tempfile::tempdir().unwrap();
    let frames = clip(32, 32, 2);
    for path in [
        format!("{}/new/", folder.path().display()),
        folder.path().display().to_string(),
    ] {
        let written = write(path.as_ref(), &frames, &options(&frames));
        assert_eq!(written.frames, 2);
        assert!(matches!(
            open_sink(&path, &options(&frames)).err(),
            Some(Error::Exists { .. })
        ));
    }
    assert_eq!(
        entries(folder.path()),
        ["frame-0001.png", "frame-0002.png", "new"]
    );
    assert_eq!(
        entries(&folder.path().join("new")),
        ["frame-0001.png", "frame-0002.png"]
    );
}

#[test]
fn transparent_parts_lie_on_white() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    let rgba = [255, 0, 0, 255, 9, 9, 9, 0];
    image::save_buffer(&path, &rgba, 2, 1, image::ExtendedColorType::Rgba8).unwrap();
    let frame = read_picture(&path).unwrap();
    assert_eq!(
        (frame.pixel(0, 0), frame.pixel(1, 0)),
        (Some([255, 0, 0]), Some([255, 255, 255]))
    );
}

#[test]
fn one_call_writes_a_picture() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sheet.png");
    let frame = Frame::filled(5, 7, [1, 2, 3]).unwrap();
    write_picture(&path, &frame, false).unwrap();
    assert!(matches!(
        write_picture(&path, &frame, false),
        Err(Error::Exists { .. })
    ));
    write_picture(&path, &frame, true).unwrap();
    assert_eq!(read_picture(&path).unwrap(), frame);
}
