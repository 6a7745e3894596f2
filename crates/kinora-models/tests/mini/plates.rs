//! What the denoiser is shown beside latents, and that it looks.

use super::*;

/// The plate is in the light that the prompt names.
#[test]
fn the_denoiser_sees_the_named_light() {
    let device = Device::flex();
    let model = awake_model(&device);
    let latents = random([1, 8, 2, 3, 4], &device);
    let seen = |prompt: &str| {
        // The words are unknown to its tokenizer: they all read alike, and so only the plate differs.
        let velocity = velocity_beside(&model, latents.clone(), prompt, Known::default());
        kinora_models::weights::floats(velocity)
    };
    assert_eq!(seen("koala beach at noon"), seen("koala beach xx xxxx"));
    assert_ne!(seen("koala beach at night"), seen("koala beach xx xxxx"));
}

/// What goes on from the model's own clip goes on with its subjects on its paths, not with a still of it.
#[test]
fn a_clip_goes_on_from_its_own_as_if_it_had_been_longer() {
    let device = Device::flex();
    let model = awake_model(&device);
    let latents = random([1, 8, 2, 3, 4], &device);
    let beside = [(4, random([1, 8, 1, 3, 4], &device))];
    let prompt = "a koala waves";
    let on_from = |origin: Option<&Origin>, prompt: &str| {
        let beside = &beside;
        velocity_beside(
            &model,
            latents.clone(),
            prompt,
            Known {
                beside,
                begins_free: false,
                origin,
                changes: false,
            },
        )
    };
    let origin = Origin {
        prompt: prompt.into(),
        seed: 1,
        first_frame: 0,
    };
    let whole = velocity(&model, latents.clone());
    close(whole.clone(), on_from(Some(&origin), prompt), 1e-6);
    // Nobody knows where it came from.
    let elsewhere = on_from(None, prompt);
    let change = (whole - elsewhere).abs().max().into_scalar::<f32>();
    assert!(change > 1e-4, "{change}");
}

/// What is changed is shown as it is to become; what stays, as it is.
#[test]
fn changed_frames_are_shown_their_change() {
    let device = Device::flex();
    let model = model(&device);
    let size @ [width, height] = model.config().sizes[0];
    let given = |made: Option<Vec<f32>>| GivenFrame {
        picture: Tensor::full([1, 3, 1, height, width], 0.25, &device),
        made: made.map(|made| {
            Tensor::from_data(TensorData::new(made, [1, 1, 1, height, width]), &device)
        }),
    };
    let see = |prompt: &str, made: Option<Vec<f32>>, origin: Option<&str>| {
        let mut text = model.encode_text(prompt).unwrap();
        let origin = origin.map(|prompt| Origin {
            prompt: prompt.into(),
            seed: 2,
            first_frame: 0,
        });
        let region = Changed {
            prompt,
            clip: ClipShape {
                size,
                latent_frames: 2,
                seed: 1,
            },
            origin: origin.as_ref(),
            latent_frame: 0,
            frames: &[given(made)],
        };
        let begin = model.see(&mut text, &region).unwrap();
        (text.plate(0..1).unwrap(), begin)
    };
    let is_given = |values: &[f32]| values.iter().all(|value| (value - 0.25).abs() < 0.01);

    // All but the left column of patches is made.
    let patch = model.config().autoencoder.patch;
    let (values, columns) = (4 * patch * patch * 3, width / patch);
    let right: Vec<f32> = (0..width * height)
        .map(|i| f32::from(u8::from(i % width >= patch)))
        .collect();
    let (plate, begin) = see("koala", Some(right.clone()), None);
    assert!(begin.is_none());
    let patches = plate.patches.chunks_exact(values).enumerate();
    let (left, inside): (Vec<_>, Vec<_>) = patches.partition(|(i, _)| i % columns == 0);
    assert!(left.iter().all(|(_, patch)| is_given(patch)));
    assert!(inside.iter().any(|(_, patch)| !is_given(patch)));
    assert!(plate.coverage.iter().sum::<f32>() > 1.0);
    // In an own clip its place goes on, without its subjects.
    let (own, _) = see("xx", Some(right), Some("koala beach"));
    assert!(!is_given(&own.patches) && own.coverage.iter().all(|&covered| covered == 0.0));

    let (same, begin) = see("xx", None, None);
    assert!(begin.is_some() && is_given(&same.patches));
    assert!(!is_given(&see("pixel art", None, None).0.patches));
    assert!(!is_given(&see("xx at night", None, None).0.patches));
    // What it is already it does not become again.
    let (again, _) = see("xx at night", None, Some("koala at night"));
    assert!(is_given(&again.patches));
}

/// The subject that a prompt names changes the flow.
#[test]
fn a_named_subject_reaches_the_denoiser() {
    let device = Device::flex();
    let model = awake_model(&device);
    let latents = random([1, 8, 2, 3, 4], &device);
    let planned = velocity(&model, latents.clone());
    let window = Window {
        latents,
        timesteps: &[0.0, 0.7],
        first_latent_frame: 3,
        anchor: None,
    };
    let text = model.encode_text("a koala waves").unwrap();
    let unplanned = model.velocity(window, &text).unwrap();
    let change = (planned - unplanned).abs().max().into_scalar::<f32>();
    assert!(change > 1e-3, "{change}");
}

/// And how it moves: models whose koalas differ in one picture of two give other clips.
#[test]
fn a_subject_moves_as_its_pictures_do() {
    let device = Device::flex();
    device.seed(11);
    let one = awake_model(&device);
    let other = model_showing(10, &device).with_networks(one.networks().clone());
    let latents = random([1, 8, 2, 3, 4], &device);
    let change = velocity(&one, latents.clone()) - velocity(&other, latents);
    assert!(change.abs().max().into_scalar::<f32>() > 1e-4);
}

/// So does the place.
#[test]
fn a_named_place_reaches_the_denoiser() {
    let device = Device::flex();
    let model = awake_model(&device);
    let size = model.config().sizes[0];
    let latents = random([1, 8, 2, size[1] / 16, size[0] / 16], &device);
    let clip = ClipShape {
        size,
        latent_frames: 2,
        seed: 1,
    };
    // The same words for the networks: only what is looked up differs.
    let text = |place: &str| {
        let words = model.encode_text("a koala waves").unwrap();
        model.plan(place, words, clip, Known::default()).unwrap()
    };
    let velocity = |place: &str| {
        let window = Window {
            latents: latents.clone(),
            timesteps: &[0.7, 0.7],
            first_latent_frame: 0,
            anchor: None,
        };
        model.velocity(window, &text(place)).unwrap()
    };
    let change = velocity("beach") - velocity("sea");
    assert!(change.abs().max().into_scalar::<f32>() > 1e-3);
}
