//! Clips as people have them: turned, anamorphic, with changing rates, edit lists and other colours.

#[path = "common/fixtures.rs"]
mod fixtures;

use fixtures::{OWN, assert_drawn, assert_near, drawn, fixture, read_all};
use kinora_media::{Container, Error, FrameRate, Orientation, Reader, open_source, probe};

#[test]
fn clips_of_other_programs_are_read_without_ffmpeg() {
    for name in OWN {
        let info = probe(fixture(name)).unwrap();
        assert_eq!(info.reader, Reader::Kinora, "{name}");
        let source = open_source(fixture(name)).unwrap();
        assert_eq!(source.info(), &info, "{name}");
        let frames: Vec<_> = source.map(|timed| timed.unwrap()).collect();
        assert_eq!(frames.len() as u64, info.frames, "{name}");
        assert!(
            frames
                .iter()
                .all(|timed| timed.frame.size() == (info.width, info.height))
        );
        // Each frame lasts until the next.
        for pair in frames.windows(2) {
            let end = pair[0].time_secs + pair[0].duration_secs;
            assert!((end - pair[1].time_secs).abs() < 1e-9, "{name}");
        }
        let last = frames.last().unwrap();
        let end = last.time_secs + last.duration_secs;
        assert!((end - info.duration_secs).abs() < 1e-9, "{name}");
    }
}

#[test]
fn a_turned_clip_stands_upright() {
    let info = probe(fixture("rotated.mov")).unwrap();
    assert_eq!((info.width, info.height), (48, 64));
    assert_eq!(info.orientation.clockwise_degrees, 90);
    for (t, timed) in read_all("rotated.mov").iter().enumerate() {
        // Clockwise: the left column becomes the top row.
        for x in [3, 30, 60] {
            assert_near(timed.frame.pixel(24, x), drawn(t as u32, x), "row");
        }
    }
}

#[test]
fn a_mirrored_clip_is_mirrored_back() {
    let info = probe(fixture("mirrored.mp4")).unwrap();
    let mirrored = Orientation {
        clockwise_degrees: 0,
        mirrored: true,
    };
    assert_eq!(info.orientation, mirrored);
    for (t, timed) in read_all("mirrored.mp4").iter().enumerate() {
        assert_near(
            timed.frame.pixel(63 - 3, 24),
            drawn(t as u32, 3),
            "mirrored",
        );
    }
}

#[test]
fn wide_pixels_become_square() {
    let info = probe(fixture("anamorphic.mp4")).unwrap();
    assert_eq!((info.width, info.height), (85, 48));
    let frames = read_all("anamorphic.mp4");
    assert_eq!(frames.len(), 20);
    // Column 30 of 64 lies at 40 of 85.
    assert_near(frames[0].frame.pixel(40, 24), drawn(0, 30), "wide");
}

#[test]
fn frames_of_a_changing_rate_have_their_times() {
    let expected = [0, 40, 100, 180, 200, 320, 360, 500, 520, 540, 700, 740];
    let frames = read_all("variable.mp4");
    assert_eq!(frames.len(), expected.len());
    for (t, (timed, ms)) in frames.iter().zip(expected).enumerate() {
        let got = timed.time_secs;
        assert!(
            (got - f64::from(ms) / 1000.0).abs() < 1e-3,
            "frame {t} at {got}"
        );
        assert_drawn(&timed.frame, t as u32);
    }
    // At a steady rate the frame that is shown then comes: what begins within a quarter of a step counts as shown.
    let steady = open_source(fixture("variable.mp4")).unwrap();
    let steady: Vec<_> = steady
        .frames_at(FrameRate::whole(10).unwrap())
        .map(Result::unwrap)
        .collect();
    for (frame, t) in steady.iter().zip([0, 2, 4, 5, 6, 8, 9, 10]) {
        assert_drawn(frame, t);
    }
    assert_eq!(steady.len(), 8);
}

#[test]
fn quicktime_without_a_name_is_read() {
    assert_eq!(probe(fixture("old.mov")).unwrap().container, Container::Mov);
    for (t, timed) in read_all("old.mov").iter().enumerate() {
        assert_drawn(&timed.frame, t as u32);
    }
}

#[test]
fn full_range_and_the_matrix_of_the_file_are_honoured() {
    let colour = probe(fixture("full_601.mp4")).unwrap().colour.unwrap();
    assert_eq!((colour.matrix, colour.full_range), (6, true));
    for (t, timed) in read_all("full_601.mp4").iter().enumerate() {
        assert_drawn(&timed.frame, t as u32);
    }
}

#[test]
fn pictures_that_begin_after_the_sound_begin_then() {
    let info = probe(fixture("sound.mov")).unwrap();
    assert!(
        (info.duration_secs - (0.5 + 20.0 / 24.0)).abs() < 2e-3,
        "{}",
        info.duration_secs
    );
    let sound = info.audio.unwrap();
    assert_eq!(
        (sound.codec.as_str(), sound.sample_rate, sound.channels),
        ("AAC", 48_000, 1)
    );
    assert!(sound.can_be_copied);
    let frames = read_all("sound.mov");
    assert!(
        (frames[0].time_secs - 0.5).abs() < 1e-3,
        "{}",
        frames[0].time_secs
    );
    assert!((frames[12].time_secs - 1.0).abs() < 1e-3);
    // At a steady rate the first frame stands from the beginning.
    let steady = open_source(fixture("sound.mov")).unwrap();
    let steady: Vec<_> = steady
        .frames_at(FrameRate::whole(24).unwrap())
        .map(Result::unwrap)
        .collect();
    assert_eq!(steady.len(), 32);
    assert_drawn(&steady[6], 0);
    assert_drawn(&steady[20], 8);
}

#[test]
fn a_part_is_the_same_as_that_part_of_the_whole() {
    for name in ["keys.mp4", "open_gop.mp4", "b_frames.mov", "variable.mp4"] {
        let whole = read_all(name);
        let duration = probe(fixture(name)).unwrap().duration_secs;
        for (from, to) in [
            (0.0, 0.5),
            (0.31, 0.62),
            (0.45, f64::INFINITY),
            (0.0, f64::INFINITY),
        ] {
            let part = open_source(fixture(name))
                .unwrap()
                .between(from, to)
                .unwrap();
            assert_eq!(part.range(), from..to);
            let part: Vec<_> = part.map(|timed| timed.unwrap()).collect();
            let expected: Vec<_> = whole
                .iter()
                .filter(|timed| {
                    timed.time_secs + timed.duration_secs > from + 1e-5 && timed.time_secs < to
                })
                .collect();
            assert_eq!(part.len(), expected.len(), "{name} {from}..{to}");
            for (got, expected) in part.iter().zip(expected) {
                assert_eq!(got.frame, expected.frame, "{name} {from}..{to}");
                assert!((got.time_secs - expected.time_secs.max(from)).abs() < 1e-9);
            }
            let end = part
                .last()
                .map(|timed| timed.time_secs + timed.duration_secs)
                .unwrap();
            assert!((end - to.min(duration)).abs() < 1e-9, "{name}");
        }
    }
}

#[test]
fn the_last_seconds_and_a_steady_rate_go_together() {
    let last = open_source(fixture("keys.mp4")).unwrap().last(1.0).unwrap();
    let frames: Vec<_> = last
        .frames_at(FrameRate::whole(20).unwrap())
        .map(Result::unwrap)
        .collect();
    assert_eq!(frames.len(), 20);
    for (index, frame) in frames.iter().enumerate() {
        assert_drawn(frame, 10 + index as u32 / 2);
    }
    let all = open_source(fixture("keys.mp4"))
        .unwrap()
        .last(60.0)
        .unwrap();
    assert_eq!(all.count(), 40);
}

#[test]
fn an_empty_part_is_refused() {
    for (from, to) in [(5.0, 6.0), (1.0, 1.0), (2.0, 1.0), (0.0, f64::NAN)] {
        let refused = open_source(fixture("keys.mp4"))
            .unwrap()
            .between(from, to)
            .err();
        assert!(
            matches!(refused, Some(Error::EmptyRange { .. })),
            "{from}..{to}"
        );
    }
}
