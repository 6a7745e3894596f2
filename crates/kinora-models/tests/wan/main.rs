//! The networks of Wan against upstream's golden files, and what must hold whatever the weights are.

mod adapters;
mod files;
mod formats;
mod golden;
mod hostile;
mod mutations;
mod storage;

use burn::tensor::{Device, Distribution, Tensor};
use golden::{Case, golden, relative_error};
use kinora_kernels::Precision;
use kinora_models::Error;
use kinora_models::wan::{
    Autoencoder, Control, DecodeState, EncodeState, ImageEncoder, TextEncoder, Transformer,
    VaceTransformer,
};
use kinora_models::weights::floats;

/// Upstream is f32 too, with sums in another order. Most cases are within 1e-6; where a norm sees two channels, which may
/// both be near nothing, rounding grows.
const BOUND: f64 = 1e-4;

fn transformer(name: &str) -> Transformer {
    Transformer::load(&golden(name), &Device::flex(), Precision::F32).unwrap()
}

fn autoencoder(name: &str) -> Autoencoder {
    Autoencoder::load(&golden(name), &Device::flex(), Precision::F32).unwrap()
}

fn random<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), &Device::flex())
}

/// `[batch]` or `[batch, tokens]` as `[batch, groups]`.
fn timesteps(case: &Case) -> Tensor<2> {
    match case.values("timestep").shape.len() {
        1 => case.tensor::<1>("timestep").unsqueeze_dim(1),
        _ => case.tensor("timestep"),
    }
}

fn run(model: &Transformer, case: &Case) -> Tensor<5> {
    let image = "encoder_hidden_states_image";
    let image = case.has(image).then(|| case.tensor(image));
    let context = model
        .prepare(case.tensor("encoder_hidden_states"), image)
        .unwrap();
    let latents = case.tensor("hidden_states");
    model.forward(latents, &timesteps(case), &context).unwrap()
}

#[test]
fn transformers_are_as_upstream() {
    for (checkpoint, cases) in [
        ("t2v", &["one_frame", "odd_batch", "many_frames"][..]),
        ("t2v_sharded", &["odd"]),
        ("i2v", &["image"]),
        ("flf2v", &["two_images", "few_text_tokens"]),
        ("ti2v", &["per_token", "per_clip"]),
    ] {
        let model = transformer(checkpoint);
        for name in cases {
            let case = Case::read(checkpoint, name);
            case.check(run(&model, &case), BOUND);
        }
    }
}

#[test]
fn vace_transformers_are_as_upstream() {
    let model = VaceTransformer::load(&golden("vace"), &Device::flex(), Precision::F32).unwrap();
    for name in ["control", "short_control"] {
        let case = Case::read("vace", name);
        let context = model
            .prepare(case.tensor("encoder_hidden_states"), None)
            .unwrap();
        let scales = "control_hidden_states_scale";
        let control = Control {
            latents: case.tensor("control_hidden_states"),
            scales: match case.has(scales) {
                true => case.values(scales).data.clone(),
                false => vec![1.0; 2],
            },
        };
        let latents: Tensor<5> = case.tensor("hidden_states");
        let timesteps = timesteps(&case);
        let ours = model.forward(latents.clone(), &timesteps, &control, &context);
        case.check(ours.unwrap(), BOUND);

        let one_scale = Control {
            scales: vec![1.0],
            ..control.clone()
        };
        assert!(
            model
                .forward(latents.clone(), &timesteps, &one_scale, &context)
                .is_err()
        );
        let too_long = Control {
            latents: random([latents.dims()[0], 5, 9, 8, 8]),
            ..control
        };
        assert!(
            model
                .forward(latents, &timesteps, &too_long, &context)
                .is_err()
        );
    }
}

/// Rounded inputs of every product: eight bits of mantissa.
#[test]
fn bf16_transformers_are_near_upstream() {
    for (checkpoint, name) in [
        ("t2v", "odd_batch"),
        ("i2v", "image"),
        ("ti2v", "per_token"),
    ] {
        let model = Transformer::load(&golden(checkpoint), &Device::flex(), Precision::Bf16);
        let case = Case::read(checkpoint, name);
        case.check(run(&model.unwrap(), &case), 2e-2);
    }
}

/// The same timestep said once per clip, once per latent frame, once per token.
#[test]
fn timesteps_may_be_per_clip_frame_or_token() {
    let model = transformer("ti2v");
    let context = model.prepare(random([1, 4, 8]), None).unwrap();
    let latents = random([1, 4, 3, 4, 6]);
    let at = |groups| {
        let timesteps = Tensor::ones([1, groups], &Device::flex()) * 321.0;
        floats(
            model
                .forward(latents.clone(), &timesteps, &context)
                .unwrap(),
        )
    };
    let per_clip = at(1);
    assert!(relative_error(&at(3), &per_clip) < 1e-6);
    assert!(relative_error(&at(18), &per_clip) < 1e-6);
    let timesteps = Tensor::ones([1, 4], &Device::flex());
    let refused = model.forward(latents, &timesteps, &context);
    assert!(matches!(
        refused,
        Err(Error::Input {
            name: "timestep",
            ..
        })
    ));
}

#[test]
fn what_a_transformer_cannot_take_is_refused() {
    let (plain, image) = (transformer("t2v"), transformer("i2v"));
    let text = || random([1, 5, 8]);
    assert!(matches!(
        plain.prepare(text(), Some(random([1, 2, 10]))),
        Err(Error::Inputs(_))
    ));
    assert!(matches!(image.prepare(text(), None), Err(Error::Inputs(_))));
    for wrong in [random([1, 2, 9]), random([2, 2, 10])] {
        assert!(matches!(
            image.prepare(text(), Some(wrong)),
            Err(Error::Input { .. })
        ));
    }
    assert!(plain.prepare(random([1, 5, 9]), None).is_err());
    assert!(plain.prepare(random([1, 0, 8]), None).is_err());
    let odd_images = transformer("flf2v").prepare(text(), Some(random([3, 3, 10])));
    assert!(matches!(odd_images, Err(Error::Input { .. })));

    let context = plain.prepare(text(), None).unwrap();
    let timesteps = Tensor::zeros([1, 1], &Device::flex());
    for shape in [
        [1, 3, 1, 4, 4],
        [2, 4, 1, 4, 4],
        [1, 4, 0, 4, 4],
        [1, 4, 1, 1, 4],
        [1, 4, 1025, 2, 2],
    ] {
        let refused = plain.forward(random(shape), &timesteps, &context);
        assert!(matches!(refused, Err(Error::Input { .. })), "{shape:?}");
    }
}

#[test]
fn text_encoders_are_as_upstream() {
    for (checkpoint, cases) in [
        ("umt5", &["padded", "long"][..]),
        ("umt5_few_buckets", &["padded"]),
    ] {
        let model =
            TextEncoder::load(&golden(checkpoint), &Device::flex(), Precision::F32).unwrap();
        for name in cases {
            let case = Case::read(checkpoint, name);
            let ids = case.values("input_ids");
            let rows = |name| case.values(name).data.chunks(ids.shape[1]);
            let ids: Vec<Vec<u32>> = rows("input_ids")
                .map(|row| row.iter().map(|&id| id as u32).collect())
                .collect();
            let mask: Vec<Vec<bool>> = rows("attention_mask")
                .map(|row| row.iter().map(|&counts| counts != 0.0).collect())
                .collect();
            case.check(model.forward(&ids, &mask).unwrap(), BOUND);
        }
    }
}

#[test]
fn what_a_text_encoder_cannot_take_is_refused() {
    let model = TextEncoder::load(&golden("umt5"), &Device::flex(), Precision::F32).unwrap();
    let rows = |lengths: &[usize]| lengths.iter().map(|&n| vec![1; n]).collect::<Vec<_>>();
    let mask = |lengths: &[usize]| lengths.iter().map(|&n| vec![true; n]).collect::<Vec<_>>();
    assert!(model.forward(&rows(&[3, 3]), &mask(&[3, 3])).is_ok());
    // A prompt of padding alone is strange, but no reason for a NaN.
    let hidden = model.forward(&rows(&[3]), &[vec![false; 3]]).unwrap();
    assert!(floats(hidden).iter().all(|value| value.is_finite()));
    assert!(model.forward(&rows(&[3, 2]), &mask(&[3, 3])).is_err());
    assert!(model.forward(&rows(&[3]), &mask(&[2])).is_err());
    assert!(model.forward(&rows(&[0]), &mask(&[0])).is_err());
    assert!(model.forward(&[], &[]).is_err());
    assert!(model.forward(&[vec![40]], &[vec![true]]).is_err());
}

#[test]
fn image_encoders_are_as_upstream() {
    let model = ImageEncoder::load(&golden("clip"), &Device::flex(), Precision::F32).unwrap();
    let case = Case::read("clip", "pictures");
    case.check(model.forward(case.tensor("pixel_values")).unwrap(), BOUND);
    for wrong in [[1, 3, 14, 13], [1, 1, 14, 14], [0, 3, 14, 14]] {
        assert!(matches!(
            model.forward(random(wrong)),
            Err(Error::Input { .. })
        ));
    }
}

#[test]
fn autoencoders_are_as_upstream() {
    for (checkpoint, cases) in [
        (
            "vae_2_1",
            &[
                "encode_one_frame",
                "encode_odd_batch",
                "encode_many_frames",
                "decode_one_frame",
                "decode_batch",
                "decode_many_frames",
            ][..],
        ),
        ("vae_2_1_deep", &["encode", "decode"]),
        (
            "vae_2_2",
            &[
                "encode_one_frame",
                "encode_many_frames",
                "encode_batch",
                "decode_one_frame",
                "decode_many_frames",
            ],
        ),
    ] {
        let model = autoencoder(checkpoint);
        for name in cases {
            let case = Case::read(checkpoint, name);
            let ours = match case.has("sample") {
                true => model.encode(case.tensor("sample")),
                false => model.decode(case.tensor("latents")),
            };
            case.check(ours.unwrap(), BOUND);
        }
    }
}

#[test]
fn coding_in_pieces_equals_coding_whole() {
    for checkpoint in ["vae_2_1", "vae_2_1_deep", "vae_2_2"] {
        let model = autoencoder(checkpoint);
        let video = random([2, 3, 17, 16, 16]);
        let latents = random([2, model.config().z_dim, 5, 1, 2]);
        let encoded = floats(model.encode(video.clone()).unwrap());
        let decoded = floats(model.decode(latents.clone()).unwrap());
        for pieces in [&[1; 5][..], &[1, 4], &[3, 2], &[2, 1, 2], &[5]] {
            let (mut encode, mut decode) = (EncodeState::default(), DecodeState::default());
            let (mut codes, mut frames) = (Vec::new(), Vec::new());
            let (mut at_frame, mut at_latent) = (0, 0);
            for &n in pieces {
                let count = 4 * n - if at_frame == 0 { 3 } else { 0 };
                let piece = video.clone().narrow(2, at_frame, count);
                codes.push(model.encode_step(piece, &mut encode).unwrap());
                let piece = latents.clone().narrow(2, at_latent, n);
                frames.push(model.decode_step(piece, &mut decode).unwrap());
                at_frame += count;
                at_latent += n;
            }
            assert_eq!(
                floats(Tensor::cat(codes, 2)),
                encoded,
                "{checkpoint} {pieces:?}"
            );
            assert_eq!(
                floats(Tensor::cat(frames, 2)),
                decoded,
                "{checkpoint} {pieces:?}"
            );
        }
    }
}

#[test]
fn a_batch_is_coded_as_its_items() {
    for checkpoint in ["vae_2_1", "vae_2_2"] {
        let model = autoencoder(checkpoint);
        let latents = random([3, model.config().z_dim, 2, 2, 1]);
        let whole = model.decode(latents.clone()).unwrap();
        for i in 0..3 {
            let one = model.decode(latents.clone().narrow(0, i, 1)).unwrap();
            let error = relative_error(&floats(one), &floats(whole.clone().narrow(0, i, 1)));
            assert!(error < 1e-6, "{checkpoint}: {error}");
        }
    }
}

#[test]
fn what_an_autoencoder_cannot_take_is_refused() {
    let (old, new) = (autoencoder("vae_2_1"), autoencoder("vae_2_2"));
    let is_refused = |result: Result<Tensor<5>, Error>| matches!(result, Err(Error::Input { .. }));
    for shape in [
        [1, 4, 1, 8, 8],
        [1, 3, 0, 8, 8],
        [1, 3, 1, 3, 8],
        [0, 3, 1, 8, 8],
    ] {
        assert!(is_refused(old.encode(random(shape))), "{shape:?}");
    }
    for shape in [[1, 3, 1, 16, 24], [1, 3, 1, 17, 16]] {
        assert!(is_refused(new.encode(random(shape))), "{shape:?}");
    }
    for shape in [[1, 3, 1, 2, 2], [1, 4, 0, 2, 2], [1, 4, 1, 2, 0]] {
        assert!(is_refused(old.decode(random(shape))), "{shape:?}");
    }
    let mut state = EncodeState::default();
    assert!(is_refused(
        old.encode_step(random([1, 3, 4, 8, 8]), &mut state)
    ));
    assert!(old.encode_step(random([1, 3, 5, 8, 8]), &mut state).is_ok());
    assert!(is_refused(
        old.encode_step(random([1, 3, 5, 8, 8]), &mut state)
    ));
    assert!(is_refused(
        old.encode_step(random([1, 3, 4, 8, 12]), &mut state)
    ));
    assert!(old.encode_step(random([1, 3, 4, 8, 8]), &mut state).is_ok());
}
