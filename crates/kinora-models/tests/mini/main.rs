//! The mini family: shapes, streaming, one item against a batch, and its weight file.

mod plates;

use burn::module::{Module, Param};
use burn::tensor::{Device, Distribution, Tensor, TensorData, Tolerance};
use kinora_kernels::{Activation, Precision};
use kinora_models::layers::Linear;
use kinora_models::mini::air::{NamedWeather, Weathers};
use kinora_models::mini::autoencoder::{Autoencoder, DecodeState};
use kinora_models::mini::backdrops::{Backdrops, NamedLight, NamedPlace};
use kinora_models::mini::config::{
    AutoencoderConfig, DirectorConfig, TextConfig, TransformerConfig,
};
use kinora_models::mini::lexicon::{Animation, Entry, Lexicon, PICTURE_PIXELS};
use kinora_models::mini::looks::Looks;
use kinora_models::mini::pictures::{Indexed, Pictures};
use kinora_models::mini::plate::COVERAGE;
use kinora_models::mini::styles::{NamedStyle, Styles};
use kinora_models::mini::transformer::{Context, Moments};
use kinora_models::mini::{Mini, MiniConfig, MiniNetworks, MiniParts};
use kinora_models::weights;
use kinora_models::{
    Anchor, Changed, ClipShape, Error, GivenFrame, Known, Origin, VideoModel, Window,
};
use kinora_style::Style;
use tokenizers::Tokenizer;
use tokenizers::models::wordlevel::WordLevel;

fn config() -> MiniConfig {
    let autoencoder = AutoencoderConfig::new()
        .with_latent_channels(8)
        .with_decoder_channels([16, 12, 8]);
    let text = TextConfig::new()
        .with_vocabulary(32)
        .with_max_tokens(6)
        .with_width(32)
        .with_heads(2);
    let transformer = TransformerConfig::new()
        .with_width(64)
        .with_depth(2)
        .with_heads(2);
    let director = TransformerConfig::new()
        .with_width(32)
        .with_depth(1)
        .with_heads(2);
    let director = DirectorConfig::new(text.clone().with_width(16), director);
    MiniConfig::new(autoencoder, text, transformer, director)
}

fn random<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), device)
}

fn close<const D: usize>(a: Tensor<D>, b: Tensor<D>, tolerance: f32) {
    a.into_data()
        .assert_approx_eq(&b.into_data(), Tolerance::<f32>::absolute(tolerance));
}

/// A decoder whose residual network does something, and which looks at plates.
fn awake(device: &Device) -> Autoencoder {
    let config = config().autoencoder.with_gate_channels(Some(8));
    let model = Autoencoder::new(&config, device);
    let mut tensors = weights::collect(&model, "a");
    for (i, value) in tensors
        .values_mut()
        .flat_map(|values| &mut values.data)
        .enumerate()
    {
        *value += ((i * 37 % 101) as f32 / 101.0 - 0.5) * 0.05;
    }
    weights::assign(model, "a", &tensors).unwrap()
}

#[test]
fn patchify_and_back_is_the_identity() {
    let device = Device::flex();
    let model = Autoencoder::new(&config().autoencoder, &device);
    let video = random([2, 3, 8, 32, 48], &device);
    let patches = model.patchify(video.clone());
    assert_eq!(patches.dims(), [2, 2, 2, 3, 4 * 16 * 16 * 3]);
    close(model.unpatchify(patches), video, 0.0);
}

/// The linear code of a full orthonormal basis loses nothing.
#[test]
fn an_orthonormal_basis_round_trips() {
    let device = Device::flex();
    let sizes = AutoencoderConfig::new()
        .with_patch(4)
        .with_patch_frames(1)
        .with_latent_channels(48)
        .with_decoder_channels([8, 8, 8]);
    let basis = Tensor::<2>::eye(48, &device);
    let model = Autoencoder::new(&sizes, &device).set_basis(
        Tensor::ones([48], &device) * 0.25,
        basis,
        Tensor::ones([48], &device) * 2.0,
    );
    let video = Tensor::<5>::random([1, 3, 3, 8, 8], Distribution::Uniform(-1.0, 1.0), &device);
    let latents = model.encode(video.clone());
    assert_eq!(latents.dims(), [1, 48, 3, 2, 2]);
    let back = model.decode_step(latents, None, &mut DecodeState::default());
    // bf16 products: eight bits of mantissa on values below two.
    close(back, video, 2e-2);
}

#[test]
fn decoding_in_pieces_equals_decoding_whole() {
    let device = Device::flex();
    let model = awake(&device);
    let latents = random([1, 8, 7, 3, 2], &device);
    let lost = random([1, 7, 3, 2, 4 * 16 * 16 * 3], &device);
    let beside = Some(lost.clone());
    let whole = model.decode_step(latents.clone(), beside, &mut DecodeState::default());
    assert_eq!(whole.dims(), [1, 3, 25, 48, 32]);
    for sizes in [vec![1; 7], vec![2, 5], vec![3, 1, 3], vec![7]] {
        let mut state = DecodeState::default();
        let mut start = 0;
        let pieces = sizes
            .iter()
            .map(|&n| {
                let piece = latents.clone().narrow(2, start, n);
                let lost = lost.clone().narrow(1, start, n);
                start += n;
                model.decode_step(piece, Some(lost), &mut state)
            })
            .collect();
        close(Tensor::cat(pieces, 2), whole.clone(), 1e-5);
    }
}

/// A scene that looks like its plate comes back as it was once the gates are open, and closed ones show nothing of it.
#[test]
fn what_the_code_loses_of_a_plate_is_shown_by_open_gates() {
    let device = Device::flex();
    let model = Autoencoder::new(&config().autoencoder.with_gate_channels(Some(8)), &device);
    assert!(model.sees_plates());
    let basis = Tensor::<2>::eye(4 * 16 * 16 * 3, &device).narrow(1, 0, 8);
    let model = model.set_basis(
        Tensor::zeros([4 * 16 * 16 * 3], &device),
        basis,
        Tensor::ones([8], &device),
    );
    let video = Tensor::<5>::random([1, 3, 8, 32, 48], Distribution::Uniform(-1.0, 1.0), &device);
    let patches = model.patchify(video.clone());
    let (latents, lost) = (model.encode_tokens(patches.clone()), model.lost(patches));
    let alone = model.decode_tokens(latents.clone(), None);
    assert!(
        weights::floats(alone.clone() - video.clone())
            .iter()
            .any(|error| error.abs() > 0.5)
    );
    let closed = model.decode_tokens(latents.clone(), Some(lost.clone()));
    close(closed, alone, 0.0);

    let mut tensors = weights::collect(&model, "a");
    let bias = tensors.get_mut("a.reference.gate.bias").unwrap();
    bias.data.fill(1.0);
    let open = weights::assign(model, "a", &tensors).unwrap();
    // bf16 products.
    close(open.decode_tokens(latents, Some(lost)), video, 2e-2);
}

/// What a later frame holds must not change the latents or pixels of an earlier one.
#[test]
fn autoencoder_is_causal() {
    let device = Device::flex();
    let model = awake(&device);
    let video = random([1, 3, 9, 32, 32], &device);
    let changed = Tensor::cat(
        vec![
            video.clone().narrow(2, 0, 5),
            random([1, 3, 4, 32, 32], &device),
        ],
        2,
    );
    let (a, b) = (model.encode(video), model.encode(changed));
    close(a.clone().narrow(2, 0, 2), b.clone().narrow(2, 0, 2), 0.0);
    let decode = |latents| model.decode_step(latents, None, &mut DecodeState::default());
    close(decode(a).narrow(2, 0, 5), decode(b).narrow(2, 0, 5), 0.0);
}

#[test]
fn a_batch_equals_its_items() {
    let device = Device::flex();
    let config = config();
    let model = MiniNetworks::transformer(&config, &device);
    let mut tensors = kinora_models::weights::collect(&model, "t");
    let out = tensors.get_mut("t.out.weight").unwrap();
    for (i, value) in out.data.iter_mut().enumerate() {
        *value = (i % 7) as f32 * 0.02 - 0.06;
    }
    let model = kinora_models::weights::assign(model, "t", &tensors).unwrap();

    let latents = random([2, 8, 3, 2, 4], &device);
    let condition = random([2, 8 + COVERAGE, 3, 2, 4], &device);
    let tokens = random([2, 9, 32], &device);
    let pooled = random([2, 32], &device);
    let context = |from: usize, n: usize| Context {
        tokens: tokens.clone().narrow(0, from, n),
        bias: Tensor::zeros([n, 9], &device),
        pooled: pooled.clone().narrow(0, from, n),
    };
    let (timesteps, clock) = (
        [0.0, 0.5, 0.9, 0.3, 0.3, 0.3],
        [0.0, 0.3, 0.6, 1.0, 1.3, 1.6],
    );
    let both = model.forward(
        latents.clone(),
        condition.clone(),
        Moments {
            timesteps: &timesteps,
            clock_secs: &clock,
            anchored: false,
        },
        &model.prepare(&context(0, 2)),
    );
    assert_eq!(both.dims(), latents.dims());
    for item in 0..2 {
        let one = model.forward(
            latents.clone().narrow(0, item, 1),
            condition.clone().narrow(0, item, 1),
            Moments {
                timesteps: &timesteps[item * 3..][..3],
                clock_secs: &clock[item * 3..][..3],
                anchored: false,
            },
            &model.prepare(&context(item, 1)),
        );
        close(one, both.clone().narrow(0, item, 1), 1e-4);
    }
}

fn tokenizer() -> Tokenizer {
    let vocabulary = [("[UNK]", 0), ("koala", 1), ("waves", 2)]
        .map(|(word, id)| (word.to_owned(), id))
        .into_iter()
        .collect();
    let words = WordLevel::builder()
        .vocab(vocabulary)
        .unk_token("[UNK]".into())
        .build()
        .unwrap();
    let mut tokenizer = Tokenizer::new(words);
    tokenizer.with_pre_tokenizer(Some(tokenizers::pre_tokenizers::whitespace::Whitespace));
    tokenizer
}

fn model(device: &Device) -> Mini {
    model_showing(90, device)
}

/// The koala is light, and every other sixth of a second it is this light.
fn model_showing(then: u8, device: &Device) -> Mini {
    let config = config();
    let entries = vec![Entry {
        name: "koala".into(),
        phrases: vec!["koala".into(), "考拉".into()],
        tags: Vec::new(),
        animation: Animation {
            frames: 2,
            fps: 6.0,
        },
    }];
    let koala = Indexed {
        palette: [[200; 4], [then, then, then, 200]].concat(),
        indices: [vec![0; PICTURE_PIXELS], vec![1; PICTURE_PIXELS]].concat(),
    };
    let networks = MiniNetworks::new(&config, device);
    let parts = MiniParts {
        backdrops: backdrops(&config.sizes),
        weathers: weathers(),
        styles: styles(),
        config,
        networks,
        tokenizer: tokenizer(),
        lexicon: Lexicon::new(entries, Pictures::indexed(vec![koala])),
    };
    Mini::new("test", String::new(), parts, device)
}

/// One that is easily told.
fn styles() -> Styles {
    Styles::new(vec![NamedStyle {
        style: Style::Pixel,
        phrases: vec!["pixel art".into()],
    }])
}

/// Half of a frame is white rain.
fn weathers() -> Weathers {
    let size = [64, 64];
    let named = NamedWeather {
        name: "rain".into(),
        phrases: vec!["rain".into(), "雨".into()],
        reaches: vec![true; 2],
        shine: 0.5,
    };
    let frame = [255_u8, 255, 255, 255, 0, 0, 0, 0].repeat(size[0] * size[1] / 2);
    let loops = Looks::new(&[Weathers::planes(&[frame.clone(), frame])]);
    Weathers::new(vec![named], size, 2, loops).unwrap()
}

fn backdrops(sizes: &[[usize; 2]]) -> Backdrops {
    let place = |name: &str| NamedPlace {
        name: name.into(),
        phrases: vec![name.into()],
        is_common: true,
    };
    let places = vec![place("beach"), place("sea")];
    // By night both are black, and so is what stands there.
    let light = |name: &str, level: f32| NamedLight {
        name: name.into(),
        phrases: vec![format!("at {name}")],
        on_subjects: vec![[level; 3]; 2],
    };
    let lights = vec![light("noon", 1.0), light("night", 0.0)];
    let looks = sizes.iter().map(|&size| {
        let night = Backdrops::look_bytes(size, 2) - Backdrops::look_bytes(size, 1);
        let day = Backdrops::look_bytes(size, 1);
        Looks::new(&[20, 220].map(|level| [vec![level; day], vec![0; night]].concat()))
    });
    let looks = looks.collect();
    Backdrops::new(places, lights, sizes.to_vec(), looks).unwrap()
}

fn velocity(model: &Mini, latents: Tensor<5>) -> Tensor<5> {
    velocity_beside(model, latents, "a koala waves", Known::default())
}

fn velocity_beside(model: &Mini, latents: Tensor<5>, prompt: &str, known: Known<'_>) -> Tensor<5> {
    let clip = ClipShape {
        size: [64, 48],
        latent_frames: 20,
        seed: 1,
    };
    let text = model.encode_text(prompt).unwrap();
    let text = model.plan(prompt, text, clip, known).unwrap();
    let window = Window {
        latents,
        timesteps: &[0.0, 0.7],
        first_latent_frame: 3,
        anchor: None,
    };
    model.velocity(window, &text).unwrap()
}

#[test]
fn weight_file_round_trips() {
    let device = Device::flex();
    let model = model(&device);
    let bytes = model.to_bytes().unwrap();
    let loaded = Mini::from_bytes(&bytes, &device).unwrap();
    assert_eq!(loaded.config(), model.config());
    assert_eq!(loaded.lexicon().entries(), model.lexicon().entries());
    assert_eq!(loaded.description().hash.len(), 64);
    // Stored as bf16, so once more must be exact; the order of the header's entries is free.
    let read = |bytes: &[u8]| kinora_models::weights::from_bytes(bytes).unwrap();
    assert_eq!(read(&loaded.to_bytes().unwrap()), read(&bytes));
    assert_eq!(loaded.lexicon().pictures(), model.lexicon().pictures());
    assert_eq!(loaded.backdrops().looks(), model.backdrops().looks());
    assert_eq!(loaded.backdrops().lights(), model.backdrops().lights());
    assert_eq!(loaded.weathers().named(), model.weathers().named());
    assert_eq!(loaded.weathers().loops(), model.weathers().loops());
    assert_eq!(loaded.weathers().shape(), model.weathers().shape());
    assert_eq!(loaded.styles().named(), model.styles().named());
    let latents = random([1, 8, 2, 3, 4], &device);
    close(
        velocity(&loaded, latents.clone()),
        velocity(&model, latents),
        2e-2,
    );
}

#[test]
fn damaged_weight_files_are_errors() {
    let device = Device::flex();
    let bytes = model(&device).to_bytes().unwrap();
    for end in [0, 7, 8, 100, bytes.len() / 2, bytes.len() - 1] {
        let error = Mini::from_bytes(&bytes[..end], &device).unwrap_err();
        assert!(matches!(error, Error::Format(_)), "{end}: {error}");
    }
    let mut lying = bytes.clone();
    lying[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(Mini::from_bytes(&lying, &device).is_err());
    let name = b"lexicon.palettes";
    let at = bytes.windows(name.len()).position(|w| w == name).unwrap();
    let mut foreign = bytes.clone();
    foreign[at] = b'L';
    assert!(Mini::from_bytes(&foreign, &device).is_err());
}

#[test]
fn too_long_a_prompt_is_an_error() {
    let error = model(&Device::flex())
        .encode_text("koala waves koala waves koala waves koala")
        .map(|_| ())
        .unwrap_err();
    assert!(
        matches!(error, Error::PromptLength { got: 7, limit: 6 }),
        "{error}"
    );
}

#[test]
fn sizes_that_no_network_can_have_are_errors() {
    config().validate().unwrap();
    let broken: [fn(&mut MiniConfig); 10] = [
        |config| config.director.text.max_tokens = 7,
        |config| config.transformer.heads = 0,
        |config| config.director.paths.width = 33,
        |config| config.text.width = 0,
        |config| config.autoencoder.patch = 6,
        |config| config.autoencoder.latent_channels = usize::MAX,
        |config| config.window = 1,
        |config| config.autoencoder.patch = 1 << 40,
        |config| config.transformer.depth = usize::MAX,
        |config| config.sizes = vec![[100, 96]],
    ];
    for (index, spoil) in broken.iter().enumerate() {
        let mut config = config();
        spoil(&mut config);
        assert!(config.validate().is_err(), "{index}");
    }
}

/// A model whose denoiser does not predict zero, as a fresh one does.
fn awake_model(device: &Device) -> Mini {
    awakened(model(device))
}

fn awakened(model: Mini) -> Mini {
    let mut tensors = kinora_models::weights::collect(model.networks(), "m");
    let out = tensors.get_mut("m.transformer.out.weight").unwrap();
    for (i, value) in out.data.iter_mut().enumerate() {
        *value = (i % 5) as f32 * 0.1 - 0.2;
    }
    let awake = kinora_models::weights::assign(model.networks().clone(), "m", &tensors).unwrap();
    model.with_networks(awake)
}

/// The prompt and what to keep away from are asked for at once.
#[test]
fn a_batch_of_windows_is_as_each_alone() {
    let device = Device::flex();
    let model = awake_model(&device);
    let latents = random([1, 8, 2, 3, 4], &device);
    let clip = ClipShape {
        size: [64, 48],
        latent_frames: 20,
        seed: 1,
    };
    let planned = model.encode_text("a koala waves").unwrap();
    let planned = model.plan("a koala waves", planned, clip, Known::default());
    let texts = [planned.unwrap(), model.encode_text("").unwrap()];
    let begun = random([1, 8, 1, 3, 4], &device);
    let anchor = Anchor {
        latents: &begun,
        latent_frame: 1,
    };
    let mut prompted = Vec::new();
    for anchor in [None, Some(anchor)] {
        let window = || Window {
            latents: latents.clone(),
            timesteps: &[0.0, 0.7],
            first_latent_frame: 3,
            anchor,
        };
        let asked = texts.iter().map(|text| (window(), text)).collect();
        let together = model.velocities(asked).unwrap();
        assert_eq!(together.len(), texts.len());
        for (one, text) in together.iter().zip(&texts) {
            assert_eq!(one.dims(), latents.dims());
            close(one.clone(), model.velocity(window(), text).unwrap(), 1e-6);
        }
        prompted.push(together[0].clone());
    }
    let change = (prompted[0].clone() - prompted[1].clone()).abs().max();
    assert!(change.into_scalar::<f32>() > 1e-4, "the anchor is seen");
}

/// What rounding costs the layers of the shipped model, for inputs as a norm gives them.
#[test]
fn eight_bits_are_near_with_the_weights_that_are_shipped() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../models/kinora-mini/model.safetensors"
    );
    let (tensors, _) = weights::from_bytes(&std::fs::read(file).unwrap()).unwrap();
    let device = Device::flex();
    let (mut layers, mut sums, mut worst) = (0, [0.0; 2], [0.0_f32; 2]);
    for (name, values) in tensors {
        let [rows, cols] = values.shape[..] else {
            continue;
        };
        if !name.contains("transformer") || rows < 64 || cols < 64 {
            continue;
        }
        let weight = Tensor::<2>::from_data(TensorData::new(values.data, [rows, cols]), &device);
        let layer = Linear {
            weight: weight.into(),
            bias: Param::from_tensor(Tensor::zeros([cols], &device)),
        };
        let x = random([64, rows], &device);
        let of =
            |layer: &Linear, precision| layer.forward_with(x.clone(), Activation::None, precision);
        let exact = of(&layer, Precision::F32);
        let size = exact.clone().powf_scalar(2.0).mean().into_scalar::<f32>();
        let int8 = of(&layer.to_int8(), Precision::F32);
        // What was packed for f32 stays behind.
        let half = Linear {
            weight: layer.weight.clone().valid(),
            bias: layer.bias.clone(),
        };
        for (index, got) in [int8, of(&half, Precision::Bf16)].into_iter().enumerate() {
            let error = (got - exact.clone())
                .powf_scalar(2.0)
                .mean()
                .into_scalar::<f32>();
            let error = (error / size).sqrt();
            sums[index] += error;
            worst[index] = worst[index].max(error);
        }
        layers += 1;
    }
    let [int8, bf16] = sums.map(|sum| sum / layers as f32);
    println!(
        "{layers} layers: int8 {int8:.2e}, at most {:.2e}; bf16 {bf16:.2e}, at most {:.2e}",
        worst[0], worst[1]
    );
    assert!(layers > 20);
    assert!(int8 < 0.015 && worst[0] < 0.03, "{int8} {}", worst[0]);
}
