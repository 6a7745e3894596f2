//! The stream from prompt to frames, driven by a model whose flow is known: every latent frame flows
//! straight to a value that depends on its place and on what it sees of the frame before.

mod common;

use burn::tensor::{Device, Tensor};
use common::{Straight, target};
use kinora_media::Frame;
use kinora_models::KnownFrames;
use kinora_pipeline::{Error, Generation, LatentFrame, Progress, Sampling, Timeline, generate};
use kinora_sampling::{GuidanceKind, Sampler};

fn request(frames: usize) -> Generation<'static> {
    Generation {
        prompt: "anything",
        negative: "",
        size: [32, 16],
        frames,
        sampling: Sampling {
            sampler: Sampler::Euler,
            seed: 7,
            steps: 6,
            guidance: 1.0,
            guidance_below: None,
            guidance_kind: GuidanceKind::Cfg,
            guidance_above: 0.0,
            step_cache: None,
            shift: 2.0,
        },
    }
}

fn run(model: &Straight, frames: usize, timeline: Option<Timeline>) -> Result<Vec<Frame>, Error> {
    make(model, &request(frames), timeline)
}

fn make(
    model: &Straight,
    request: &Generation<'_>,
    timeline: Option<Timeline>,
) -> Result<Vec<Frame>, Error> {
    let mut made = Vec::new();
    let report = generate(
        model,
        request,
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
fn steps_are_left_out_where_the_model_says_which() {
    let model = Straight::new();
    let mut request = request(9);
    request.sampling.step_cache = Some(0.1);
    let error = generate(
        &model,
        &request,
        None,
        &Device::flex(),
        |_| true,
        |_| Ok(()),
    );
    assert!(matches!(error, Err(Error::StepCache { .. })));
    assert!(model.seen.borrow().is_empty());
}

#[test]
fn below_a_noise_level_the_prompt_alone_is_asked_for() {
    // Levels of six steps shifted by 2: 1, 0.91, 0.8, 0.67, 0.5 and 0.29.
    for (guidance_above, asked) in [(0.0, 12), (0.7, 9), (1.0, 6)] {
        let model = Straight::new();
        let mut request = request(9);
        request.sampling.guidance = 2.0;
        request.sampling.guidance_above = guidance_above;
        make(&model, &request, None).unwrap();
        assert_eq!(model.seen.borrow().len(), asked, "above {guidance_above}");
    }
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
fn every_sampler_ends_at_the_same_frames() {
    let device = Device::flex();
    let given = Tensor::<5>::zeros([1, 3, 1, 4, 8], &device) + 0.9;
    for sampler in Sampler::ALL {
        let mut request = request(33);
        request.sampling.sampler = sampler;
        let mut latent_frames = vec![LatentFrame::Free; 9];
        // Frames at other noise levels than the rest begin later, each with its own history.
        for (place, strength) in [(2, 1.0), (3, 0.4)] {
            let latents = given.clone();
            latent_frames[place] = LatentFrame::Noised {
                frames: Vec::new(),
                latents,
                strength,
                region: None,
            };
        }
        let made = make(
            &Straight::new(),
            &request,
            Some(Timeline::new(latent_frames)),
        )
        .unwrap();
        for (i, frame) in made.iter().enumerate() {
            let place = i.div_ceil(4);
            let got = frame.pixels()[0];
            assert!(
                got.abs_diff(expected(place)) <= 1,
                "{sampler} frame {i}: {got}"
            );
        }
    }
}

#[test]
fn what_a_model_cannot_make_is_refused() {
    let mut model = Straight::new();
    model.description.max_frames = Some(17);
    assert!(run(&model, 17, None).is_ok());
    let error = run(&model, 18, None).unwrap_err();
    assert!(
        error.to_string().contains("at most 17 frames, not 18"),
        "{error}"
    );

    let columns =
        Tensor::<1>::from_floats([0.5, 0.4, 0.3, 0.2, 0.1, 0.0, -0.1, -0.2], &Device::flex());
    let latents = columns.reshape([1, 1, 1, 1, 8]).expand([1, 3, 1, 4, 8]);
    let known = LatentFrame::Known(latents.clone());
    let noised = |strength| LatentFrame::Noised {
        frames: Vec::new(),
        latents: latents.clone(),
        strength,
        region: None,
    };
    let first = vec![known.clone(), LatentFrame::Free];
    let second = vec![LatentFrame::Free, known];
    let even = vec![noised(0.5), noised(0.5)];
    let uneven = vec![noised(0.5), noised(0.6)];
    for (takes, first_is_taken) in [(KnownFrames::None, false), (KnownFrames::First, true)] {
        model.description.known_frames = takes;
        let is_taken =
            |frames: &Vec<LatentFrame>| run(&model, 5, Some(Timeline::new(frames.clone()))).is_ok();
        assert_eq!(is_taken(&first), first_is_taken);
        assert!(!is_taken(&second));
        assert!(is_taken(&even));
        assert_eq!(is_taken(&uneven), first_is_taken);
    }
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
