//! Tasks as layouts: what is known stays, what is free is made from the known outwards, and work that was cut off goes on.

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};
use common::{Straight, target};
use kinora_media::{Frame, FrameRate, SinkOptions, open_sink, write_picture};
use kinora_pipeline::tasks::{
    Change, Look, Revision, bridge, frames_after, frames_before, stills, survey,
};
use kinora_pipeline::{
    Beside, Error, Film, Finish, Fit, LatentFrame, Mask, Piece, Progress, Rates, Reel, Region,
    Sampling, Session, Take, Timeline, Way, latent_frames, make, sessions,
};
use kinora_sampling::{GuidanceKind, Sampler, shift};

const SIZE: [usize; 2] = [32, 16];

fn rates() -> Rates {
    let fps = FrameRate::whole(12).unwrap();
    Rates {
        model: fps,
        file: fps,
    }
}

fn sampling() -> Sampling {
    Sampling {
        sampler: Sampler::Euler,
        seed: 7,
        steps: 6,
        guidance: 1.0,
        guidance_below: None,
        guidance_kind: GuidanceKind::Cfg,
        guidance_above: 0.0,
        step_cache: None,
        shift: 2.0,
    }
}

/// A frame of this brightness with a little structure, so that it is not flat.
fn frame(level: u8) -> Frame {
    Frame::from_fn(32, 16, |x, _| [level + (x / 8) as u8; 3]).unwrap()
}

/// A GIF keeps grey levels as they are.
fn clip(folder: &Path, levels: impl Iterator<Item = u8>) -> PathBuf {
    let path = folder.join("given.gif");
    let fps = FrameRate::whole(12).unwrap();
    let mut sink = open_sink(&path, &SinkOptions::new(32, 16, fps)).unwrap();
    levels.for_each(|level| sink.push(&frame(level)).unwrap());
    sink.finish().unwrap();
    path
}

fn look(times: std::ops::Range<f64>) -> Look {
    Look {
        fps: rates().file,
        size: [32, 16],
        native_size: SIZE,
        times: vec![times],
        last_secs: 0.0,
    }
}

fn take(layout: Timeline, frames: usize, seams: BTreeMap<usize, Frame>) -> Take<'static> {
    Take {
        prompt: "anything",
        negative: "",
        sampling: sampling(),
        layout: Box::new(layout),
        frames,
        seams,
        beside: Beside::default(),
        joined: false,
        origin: None,
    }
}

fn film(takes: Vec<Take<'_>>, pieces: Vec<Piece>) -> Film<'_> {
    let finish = Finish::plain(&Device::flex());
    Film {
        size: SIZE,
        takes,
        reel: Reel::new([32, 16], rates(), Fit::Stretch, finish, pieces),
    }
}

fn made(from: usize, frames: u64) -> Piece {
    Piece::Made {
        places: from..from + frames as usize,
        frames,
        way: Way::from_start(rates()),
        over: None,
    }
}

fn run(model: &Straight, film: Film<'_>) -> Result<Vec<Frame>, Error> {
    let mut shown = Vec::new();
    make(
        model,
        film,
        &Device::flex(),
        None,
        |_| true,
        |frame| {
            shown.push(frame.clone());
            Ok(())
        },
    )?;
    Ok(shown)
}

fn level(frame: &Frame) -> u8 {
    frame.pixels()[0]
}

fn levels(frames: &[Frame]) -> Vec<u8> {
    frames.iter().map(level).collect()
}

fn is_near(got: u8, place: usize) -> bool {
    got.abs_diff((target(place) * 127.5 + 127.5).round() as u8) <= 1
}

#[test]
fn a_clip_is_extended_backwards_from_its_head() {
    let folder = tempfile::tempdir().unwrap();
    let path = clip(folder.path(), (0..20).map(|i| 100 + 5 * i));
    let model = Straight::new();
    let fps = rates().model;
    let given = survey(&path, &look(0.0..1.0), || true).unwrap();
    assert_eq!(given.frames, 20);
    let after = given.from(0.0, frames_after(&model.description), fps);
    let bridge = bridge(&model, &[], 30, &after, &Device::flex()).unwrap();
    assert_eq!((bridge.made_from, bridge.frames), (3, 37));

    let pieces = vec![
        made(bridge.made_from, 30),
        Piece::Given {
            path: path.clone(),
            frames: 0..20,
        },
    ];
    let takes = vec![take(bridge.timeline, bridge.frames, BTreeMap::new())];
    let shown = run(&model, film(takes, pieces)).unwrap();
    assert_eq!(shown.len(), 50);
    for (i, frame) in shown[..30].iter().enumerate() {
        assert!(is_near(level(frame), (i + 3).div_ceil(4)), "frame {i}");
    }
    // Given frames come back to the pixel.
    assert_eq!(
        shown[30..],
        (0..20).map(|i| frame(100 + 5 * i)).collect::<Vec<_>>()
    );

    // The clip's head stands at the end of the first window, and what was made from it at the end of the next.
    let seen = model.seen.borrow();
    let firsts: Vec<usize> = seen
        .iter()
        .step_by(6)
        .map(|seen| seen.first_latent_frame)
        .collect();
    assert_eq!(firsts, [5, 1, 0]);
    assert!(seen.iter().all(|seen| seen.timesteps.last() == Some(&0.0)));
    assert!(seen.iter().all(|seen| seen.timesteps[0] > 0.0));
    // The plan is told what stands beside that which is made.
    let planned = model.planned.borrow();
    assert_eq!(planned.len(), 1);
    assert_eq!(planned[0].1, [9]);
}

/// Fills the frames of a clip from 8 up to `end` and gives all frames.
fn filled(model: &Straight, end: usize, with_seams: bool) -> Vec<Frame> {
    let folder = tempfile::tempdir().unwrap();
    let path = clip(folder.path(), (0..48).map(|_| 100));
    let fps = rates().model;
    let given = survey(&path, &look(0.0..4.0), || true).unwrap();
    let before = given.until(8.0 / 12.0, frames_before(&model.description), fps);
    let after = given.from(end as f64 / 12.0, frames_after(&model.description), fps);
    assert_eq!((before.len(), after.len()), (5, 7));
    let bridge = bridge(model, &before, end - 8, &after, &Device::flex()).unwrap();
    assert_eq!(bridge.made_from, 5);
    let seams: Vec<usize> = bridge.seams.keys().copied().collect();
    assert_eq!(seams, [4, end - 3]);
    let piece = |frames| Piece::Given {
        path: path.clone(),
        frames,
    };
    let pieces = vec![piece(0..8), made(5, end as u64 - 8), piece(end as u64..48)];
    let seams = if with_seams {
        bridge.seams
    } else {
        BTreeMap::new()
    };
    let takes = vec![take(bridge.timeline, bridge.frames, seams)];
    run(model, film(takes, pieces)).unwrap()
}

#[test]
fn a_gap_is_joined_to_both_sides() {
    let model = Straight::new();
    let shown = filled(&model, 14, false);
    assert_eq!(shown.len(), 48);
    for (i, shown) in shown.iter().enumerate() {
        if (8..14).contains(&i) {
            assert!(is_near(level(shown), (i - 3).div_ceil(4)), "frame {i}");
        } else {
            assert_eq!(*shown, frame(100), "frame {i}");
        }
    }
    let seen = model.seen.borrow();
    assert_eq!(seen.len(), 6, "one window");
    for seen in seen.iter() {
        assert_eq!((seen.first_latent_frame, seen.timesteps.len()), (1, 4));
        assert_eq!((seen.timesteps[0], seen.timesteps[3]), (0.0, 0.0));
    }
}

/// A decoder that makes all lighter flashes at a seam; the treatment takes that away, and what is new comes in by a dissolve.
#[test]
fn seams_do_not_flash() {
    let mut model = Straight::new();
    model.lighter = 0.2;
    let flashing = levels(&filled(&model, 32, false));
    let treated = levels(&filled(&model, 32, true));
    for (beside, given) in [(8, 7), (31, 32)] {
        let jump = |levels: &[u8]| levels[beside].abs_diff(levels[given]);
        let (before, after) = (jump(&flashing), jump(&treated));
        assert!(before > 20 && after < before / 3, "{before} {after}");
    }
    assert_eq!(
        treated[20], flashing[20],
        "far from the seams nothing changes"
    );
}

#[test]
fn pictures_stand_at_their_times() {
    let model = Straight::new();
    let pictures = [(0, frame(10)), (13, frame(200)), (47, frame(30))];
    let layout = stills(&model, 48, &pictures, &Device::flex()).unwrap();
    let known: Vec<usize> = layout.seams.keys().copied().collect();
    assert_eq!(known, [0, 13, 14, 15, 16, 45, 46, 47]);
    let pieces = vec![made(0, 48)];
    let takes = vec![take(layout.timeline, 48, BTreeMap::new())];
    let shown = levels(&run(&model, film(takes, pieces)).unwrap());
    assert_eq!((shown[0], shown[47]), (10, 30));
    assert_eq!(shown[13..17], [200; 4]);
    assert!(is_near(shown[5], 2) && is_near(shown[30], 8));

    let refused = |frames, pictures: &[(usize, Frame)]| {
        stills(&model, frames, pictures, &Device::flex())
            .err()
            .unwrap()
    };
    let outside = refused(48, &[(48, frame(1))]);
    assert!(matches!(
        outside,
        Error::OutsideClip {
            frame: 48,
            frames: 48
        }
    ));
    let near = refused(48, &[(13, frame(1)), (16, frame(2))]);
    assert!(matches!(near, Error::PicturesTooNear { stride: 4 }));
    assert!(matches!(refused(1, &[(0, frame(1))]), Error::EmptyTimeline));
    let nothing = bridge(&model, &[frame(1)], 0, &[], &Device::flex());
    assert!(matches!(nothing, Err(Error::EmptyTimeline)));
}

fn revised(model: &Straight, path: &Path, strength: f32, mask: Option<&Path>) -> Vec<Frame> {
    let open_mask = || mask.map(|mask| Mask::open(mask.into(), [32, 16], rates().model).unwrap());
    let change = Change {
        path: path.into(),
        frames: 40,
        fps: rates().model,
        size: [32, 16],
        strength,
        mask: open_mask(),
    };
    let layout = Revision::open(model, change, SIZE, &Device::flex()).unwrap();
    let over = open_mask().map(|mask| Region::open(path.into(), mask, rates().file).unwrap());
    let takes = vec![Take {
        layout: Box::new(layout),
        ..take(Timeline::free(1), 40, BTreeMap::new())
    }];
    let piece = Piece::Made {
        places: 0..40,
        frames: 40,
        way: Way::from_start(rates()),
        over: over.map(Box::new),
    };
    run(model, film(takes, vec![piece])).unwrap()
}

#[test]
fn a_clip_is_changed_by_the_strength() {
    let folder = tempfile::tempdir().unwrap();
    let path = clip(folder.path(), (0..40).map(|_| 100));
    let model = Straight::new();
    let changed = levels(&revised(&model, &path, 1.0, None));
    assert!((0..40).all(|i| is_near(changed[i], i.div_ceil(4))));
    let all = model.seen.take().len();
    let half = shift(0.5, 2.0);
    revised(&model, &path, half, None);
    let seen = model.seen.take();
    assert_eq!(
        seen.len(),
        all / 2,
        "what half of the steps begin with takes half of the steps"
    );
    assert!(
        seen.iter()
            .all(|seen| seen.timesteps.iter().all(|&sigma| sigma <= half))
    );
}

#[test]
fn only_the_region_changes() {
    let folder = tempfile::tempdir().unwrap();
    let path = clip(folder.path(), (0..40).map(|i| 60 + i));
    let mask = folder.path().join("mask.png");
    let right = |x: u32, _: u32| if x >= 16 { [255; 3] } else { [0; 3] };
    write_picture(&mask, &Frame::from_fn(32, 16, right).unwrap(), false).unwrap();
    let shown = revised(&Straight::new(), &path, 1.0, Some(&mask));
    for (i, shown) in shown.iter().enumerate() {
        for x in 0..16 {
            assert_eq!(
                shown.pixel(x, 8),
                frame(60 + i as u8).pixel(x, 8),
                "frame {i}, column {x}"
            );
        }
        // The model's own columns get lighter by 0.01 each.
        let got = shown.pixel(28, 8).unwrap()[0];
        let goal = (target(i.div_ceil(4)) + 0.07) * 127.5 + 127.5;
        assert!(got.abs_diff(goal.round() as u8) <= 1, "frame {i}: {got}");
    }
}

#[test]
fn masks_that_do_not_fit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let open = |name: &str, width, height, rgb| {
        let path = folder.path().join(name);
        write_picture(&path, &Frame::filled(width, height, rgb).unwrap(), false).unwrap();
        Mask::open(path, [32, 16], rates().file).err()
    };
    assert!(matches!(
        open("tall.png", 16, 32, [255; 3]),
        Some(Error::MaskShape { .. })
    ));
    assert!(matches!(
        open("black.png", 32, 16, [9; 3]),
        Some(Error::EmptyMask { .. })
    ));
    assert!(open("large.png", 64, 32, [255; 3]).is_none());
}

fn shots() -> Film<'static> {
    let free = |len| Timeline::free(len);
    let joined = Take {
        joined: true,
        origin: None,
        ..take(free(6), 24, BTreeMap::new())
    };
    let takes = vec![
        take(free(latent_frames(25, 4)), 25, BTreeMap::new()),
        joined,
        take(free(latent_frames(10, 4)), 10, BTreeMap::new()),
    ];
    film(takes, vec![made(0, 59)])
}

#[test]
fn shots_join_or_cut() {
    let model = Straight::new();
    let shown = levels(&run(&model, shots()).unwrap());
    assert_eq!(shown.len(), 59);
    assert!((0..25).all(|i| is_near(shown[i], i.div_ceil(4))));
    // The second shot sees the last latent frame of the first, and counts from it.
    assert!((25..49).all(|i| is_near(shown[i], 1 + (i - 25) / 4)));
    assert!((49..59).all(|i| is_near(shown[i], (i - 49).div_ceil(4))));
    let seen = model.seen.borrow();
    let starts = seen
        .iter()
        .step_by(6)
        .map(|seen| (seen.first_latent_frame, seen.timesteps[0] == 0.0));
    let starts: Vec<(usize, bool)> = starts.collect();
    assert_eq!(
        starts,
        [(0, false), (4, true), (0, true), (4, true), (0, false)]
    );
}

/// Each window after the first is held to the beginning of what it goes on from, where it does not see that.
#[test]
fn windows_are_held_to_where_they_began() {
    let anchors = |model: &Straight| -> Vec<Option<usize>> {
        let seen = model.seen.take();
        seen.iter().step_by(6).map(|seen| seen.anchor).collect()
    };
    let mut model = Straight::new();
    run(&model, shots()).unwrap();
    assert_eq!(anchors(&model), [None; 5], "a model that knows no anchors");

    model.description.anchored = true;
    // The second shot turns out of the first.
    run(&model, shots()).unwrap();
    assert_eq!(anchors(&model), [None, Some(0), None, None, None]);

    let known = |place: usize| {
        let columns: Vec<f32> = (0..8).map(|column| column as f32 * 0.01).collect();
        let columns = Tensor::<1>::from_floats(columns.as_slice(), &Device::flex());
        let latents = columns.reshape([1, 1, 1, 1, 8]) + target(place);
        LatentFrame::Known(latents.expand([1, 3, 1, 4, 8]))
    };
    let free = |count| std::iter::repeat_n(LatentFrame::Free, count);
    let mut layouts: [Vec<LatentFrame>; 3] = std::array::from_fn(|_| free(15).collect());
    layouts[0][2] = known(2);
    layouts[1][14] = known(14);
    (layouts[2][0], layouts[2][14]) = (known(0), known(14));
    let of = |layout: Vec<LatentFrame>| {
        let takes = vec![take(Timeline::new(layout), 57, BTreeMap::new())];
        run(&model, film(takes, vec![made(0, 57)])).unwrap();
        anchors(&model)
    };
    let [middle, backwards, between] = layouts.map(of);
    assert_eq!(middle, [None, None, Some(2), Some(2)]);
    assert_eq!(backwards, [None, Some(14), Some(14), Some(14)]);
    // The last turns into what is given after it.
    assert_eq!(between, [None, Some(0), Some(0), None]);
}

/// Runs until `stop` says so, with a session.
fn run_in_session(
    model: &Straight,
    folder: &Path,
    mut stop: impl FnMut(Progress) -> bool,
) -> (Result<Vec<Frame>, Error>, usize) {
    let mut session = Session::open(folder, "a-clip", "{}").unwrap();
    let mut shown = Vec::new();
    let before = model.seen.borrow().len();
    let made = make(
        model,
        shots(),
        &Device::flex(),
        Some(&mut session),
        |progress| !stop(progress),
        |frame| {
            shown.push(frame.clone());
            Ok(())
        },
    );
    let calls = model.seen.borrow().len() - before;
    (made.map(|_| shown), calls)
}

#[test]
fn work_that_was_cut_off_goes_on_and_gives_the_same_frames() {
    let mut models = [Straight::new(), Straight::new()];
    models[0].description.anchored = true;
    // Windows that come from a session are decoded beside the same plan.
    models[1].description.decodes_with_text = true;
    let wholes = models.each_ref().map(|model| run(model, shots()).unwrap());
    assert!(wholes[0] != wholes[1]);
    for (model, whole) in models.iter().zip(&wholes) {
        goes_on(model, whole);
    }
}

fn goes_on(model: &Straight, whole: &[Frame]) {
    for stopped_at in [3, 6, 14, 29] {
        let folder = tempfile::tempdir().unwrap();
        let stop =
            |progress| matches!(progress, Progress::Sampling { done, .. } if done == stopped_at);
        let (stopped, calls) = run_in_session(model, folder.path(), stop);
        assert!(matches!(stopped, Err(Error::Stopped)));
        assert_eq!(calls, stopped_at);
        // Ctrl-C keeps the step that was done last.
        let (windows, steps) = ((stopped_at - 1) / 6, (stopped_at - 1) % 6 + 1);
        let found = sessions(folder.path()).unwrap();
        assert_eq!((found[0].windows, found[0].steps), (windows, steps));

        let mut totals = Vec::new();
        let (resumed, calls) = run_in_session(model, folder.path(), |progress| {
            if let Progress::Sampling { total, .. } = progress {
                totals.push(total);
            }
            false
        });
        assert_eq!(resumed.unwrap(), whole);
        assert_eq!(calls, 30 - stopped_at);
        assert!(
            totals.iter().all(|&total| total == calls),
            "what is done is not counted again"
        );
    }
}

/// What a kill leaves is the state of some step before: from each of them the same frames come.
#[test]
fn every_kept_step_leads_to_the_same_frames() {
    for sampler in Sampler::ALL {
        let make_in = |folder: &std::path::Path, on_step: &mut dyn FnMut(usize)| {
            let session = Session::open(folder, "a-clip", "{}").unwrap();
            let mut session = session.keeping_every(std::time::Duration::ZERO);
            let mut film = shots();
            for take in &mut film.takes {
                take.sampling.sampler = sampler;
            }
            let mut shown = Vec::new();
            let session = Some(&mut session);
            let on_progress = |progress| {
                if let Progress::Sampling { done, .. } = progress {
                    on_step(done);
                }
                true
            };
            make(
                &Straight::new(),
                film,
                &Device::flex(),
                session,
                on_progress,
                |frame| {
                    shown.push(frame.clone());
                    Ok(())
                },
            )
            .unwrap();
            shown
        };
        let folder = tempfile::tempdir().unwrap();
        let states = tempfile::tempdir().unwrap();
        let state = |step: usize| states.path().join(step.to_string());
        let kept = folder.path().join("a-clip");
        let whole = make_in(folder.path(), &mut |step| {
            // As it was before this step was kept.
            let copy = state(step);
            std::fs::create_dir_all(&copy).unwrap();
            for entry in std::fs::read_dir(&kept).unwrap() {
                let path = entry.unwrap().path();
                std::fs::copy(&path, copy.join(path.file_name().unwrap())).unwrap();
            }
        });
        for step in [2, 5, 9, 30] {
            let again = tempfile::tempdir().unwrap();
            std::fs::rename(state(step), again.path().join("a-clip")).unwrap();
            let mut steps = 0;
            let resumed = make_in(again.path(), &mut |_| steps += 1);
            assert!(resumed == whole, "{sampler} from step {step}");
            assert_eq!(steps, 31 - step, "{sampler}");
        }
    }
}

#[test]
fn a_state_of_another_window_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let stop = |progress| matches!(progress, Progress::Sampling { done: 3, .. });
    let (stopped, _) = run_in_session(&Straight::new(), folder.path(), stop);
    assert!(matches!(stopped, Err(Error::Stopped)));
    let file = folder.path().join("a-clip/denoising.safetensors");
    let bytes = std::fs::read(&file).unwrap();
    for (from, to) in [("3/0 3/0", "3/0 9/0"), ("latents", "latentz")] {
        let position = bytes
            .windows(from.len())
            .position(|part| part == from.as_bytes())
            .unwrap();
        let mut other = bytes.clone();
        other[position..position + from.len()].copy_from_slice(to.as_bytes());
        std::fs::write(&file, other).unwrap();
        let (made, _) = run_in_session(&Straight::new(), folder.path(), |_| false);
        let error = made.unwrap_err();
        assert!(matches!(error, Error::SessionDamaged { .. }), "{error}");
    }
}

#[test]
fn sessions_are_locked_found_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    assert!(sessions(&folder.path().join("none")).unwrap().is_empty());
    let (made, _) = run_in_session(&Straight::new(), folder.path(), |_| false);
    made.unwrap();
    let open = || Session::open(folder.path(), "a-clip", "other");
    let session = open().unwrap();
    assert!(matches!(open(), Err(Error::SessionOpen { .. })));
    let found = sessions(folder.path()).unwrap();
    assert_eq!(
        (found[0].id.as_str(), found[0].about.as_str()),
        ("a-clip", "{}")
    );
    assert_eq!((found[0].windows, found[0].is_open), (5, true));
    session.remove().unwrap();
    assert!(sessions(folder.path()).unwrap().is_empty());
    assert_eq!(open().unwrap().windows(), 0);
}

#[test]
fn a_damaged_session_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (made, _) = run_in_session(&Straight::new(), folder.path(), |_| false);
    made.unwrap();
    std::fs::write(folder.path().join("a-clip/window-00001.safetensors"), "cut").unwrap();
    let (made, _) = run_in_session(&Straight::new(), folder.path(), |_| false);
    let error = made.unwrap_err();
    assert!(matches!(error, Error::SessionDamaged { .. }), "{error}");
    assert!(error.to_string().contains("--remove a-clip"), "{error}");
}
