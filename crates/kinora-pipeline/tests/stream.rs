//! The stream from prompt to frames, driven by a model whose flow is known: every latent frame flows
//! straight to a value that depends on its place and on what it sees of the frame before.

mod common;

use burn::tensor::{Device, Tensor};
use common::{Straight, target};
use kinora_media::Frame;
use kinora_pipeline::{Error, Generation, LatentFrame, Progress, Sampling, Timeline, generate};

fn request(frames: usize) -> Generation<'static> {
    Generation {
        prompt: "anything",
        negative: "",
        size: [32, 16],
        frames,
        sampling: Sampling {
            seed: 7,
            steps: 6,
            guidance: 1.0,
            shift: 2.0,
        },
    }
}

fn run(model: &Straight, frames: usize, timeline: Option<Timeline>) -> Result<Vec<Frame>, Error> {
    let mut made = Vec::new();
    let report = generate(
        model,
        &request(frames),
        timeline,
        &Device::flex(),
        |_| true,
        |frame| {
            made.push(frame);
            Ok(())
        },
    )?;
    assert_eq!(report.frames, made.len());
    Ok(made)
}

fn expected(place: usize) -> u8 {
    (target(place) * 127.5 + 127.5).round() as u8
}

#[test]
fn frames_come_in_order_over_many_windows() {
    for frames in [1, 2, 17, 18, 49, 130] {
        let made = run(&Straight::new(), frames, None).unwrap();
        assert_eq!(made.len(), frames);
        for (i, frame) in made.iter().enumerate() {
            let place = i.div_ceil(4);
            let got = frame.pixels()[0];
            assert!(got.abs_diff(expected(place)) <= 1, "frame {i}: {got}");
        }
    }
}

#[test]
fn known_latent_frames_stay() {
    let device = Device::flex();
    let columns = Tensor::<1>::from_floats([0.5, 0.4, 0.3, 0.2, 0.1, 0.0, -0.1, -0.2], &device);
    let known = columns.reshape([1, 1, 1, 1, 8]).expand([1, 3, 1, 4, 8]);
    let mut latent_frames = vec![LatentFrame::Free; 9];
    latent_frames[0] = LatentFrame::Known(known.clone());
    latent_frames[6] = LatentFrame::Known(known);
    let made = run(&Straight::new(), 33, Some(Timeline::new(latent_frames))).unwrap();
    let given = (0.5_f32 * 127.5 + 127.5).round() as u8;
    assert_eq!(made[0].pixels()[0], given);
    assert!(made[1].pixels()[0].abs_diff(expected(1)) <= 1);
    for frame in &made[21..=24] {
        assert_eq!(frame.pixels()[0], given);
    }
    assert!(made[25].pixels()[0].abs_diff(expected(7)) <= 1);
}

#[test]
fn same_seed_same_frames() {
    let (a, b) = (
        run(&Straight::new(), 20, None).unwrap(),
        run(&Straight::new(), 20, None).unwrap(),
    );
    let same = a.iter().zip(&b).all(|(a, b)| a.pixels() == b.pixels());
    assert!(same);
}

#[test]
fn broken_values_are_errors_and_never_a_video() {
    let mut model = Straight::new();
    model.broken = Some(f32::NAN);
    let error = run(&model, 9, None).unwrap_err();
    assert!(
        matches!(error, Error::NotANumber { latent_frame: 0 }),
        "{error}"
    );
    model.broken = Some(-1e6);
    let error = run(&model, 9, None).unwrap_err();
    assert!(matches!(error, Error::FlatFrame { frame: 0 }), "{error}");
}

#[test]
fn stopping_is_an_error_at_once() {
    let mut steps = 0;
    let stop_at_second = |progress| {
        if matches!(progress, Progress::Sampling { .. }) {
            steps += 1;
        }
        steps < 2
    };
    let model = Straight::new();
    let result = generate(
        &model,
        &request(49),
        None,
        &Device::flex(),
        stop_at_second,
        |_| Ok(()),
    );
    assert!(matches!(result, Err(Error::Stopped)));
    assert_eq!(steps, 2);
}

#[test]
fn nothing_to_make_is_an_error() {
    let error = run(&Straight::new(), 0, None).unwrap_err();
    assert!(matches!(error, Error::EmptyTimeline));
}
