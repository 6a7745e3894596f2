//! The stream from prompt to frames, driven by a model whose flow is known: every latent frame flows
//! straight to a value that depends on its place and on what it sees of the frame before.

use burn::tensor::{Device, Tensor};
use kinora_media::Frame;
use kinora_models::{Description, Error as ModelError, VideoModel, Window};
use kinora_pipeline::{Error, Generation, LatentFrame, Progress, Sampling, Timeline, generate};

/// Latents flow to `target(place)`; a frame is the latent, four pixels for one.
struct Straight {
    description: Description,
    broken: Option<f32>,
}

impl Straight {
    fn new() -> Self {
        Self {
            description: Description {
                name: "straight".into(),
                hash: String::new(),
                latent_channels: 3,
                spatial_stride: 4,
                temporal_stride: 4,
                window: 5,
                overlap: 1,
                frames_per_second: 12,
                sizes: vec![[32, 16]],
            },
            broken: None,
        }
    }
}

fn target(place: usize) -> f32 {
    (place as f32 * 0.7).sin() * 0.8
}

impl VideoModel for Straight {
    type Text = ();
    type DecodeState = usize;

    fn description(&self) -> &Description {
        &self.description
    }

    fn encode_text(&self, _prompt: &str) -> Result<(), ModelError> {
        Ok(())
    }

    fn velocity(&self, window: Window<'_>, (): &()) -> Tensor<5> {
        if let Some(broken) = self.broken {
            return window.latents.zeros_like() + broken;
        }
        // x = (1 − σ)·target + σ·noise, so noise − target = (x − target) / σ.
        let frames = window.timesteps.iter().enumerate().map(|(i, &sigma)| {
            let x = window.latents.clone().narrow(2, i, 1);
            let [_, _, _, _, width] = x.dims();
            let columns: Vec<f32> = (0..width).map(|column| column as f32 * 0.01).collect();
            let columns = Tensor::<1>::from_floats(columns.as_slice(), &x.device());
            let goal = columns.reshape([1, 1, 1, 1, width]) + target(window.first_latent_frame + i);
            (x - goal) / sigma.max(1e-3)
        });
        Tensor::cat(frames.collect(), 2)
    }

    fn encode_frames(&self, video: Tensor<5>) -> Tensor<5> {
        video
    }

    fn decode_step(&self, latents: Tensor<5>, decoded: &mut usize) -> Tensor<5> {
        let frames = if *decoded == 0 { 1 } else { 4 };
        *decoded += 1;
        latents
            .repeat_dim(2, frames)
            .repeat_dim(3, 4)
            .repeat_dim(4, 4)
    }
}

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
