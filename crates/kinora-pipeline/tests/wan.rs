//! Whole clips of Wan against those of diffusers, from the same noise; the golden files are made by
//! `bench/parity/pipelines.py`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};
use kinora_kernels::Precision;
use kinora_media::Frame;
use kinora_media::FrameRate;
use kinora_models::wan::{Folder, PromptTokenizer, WanModel};
use kinora_models::weights::WeightFile;
use kinora_models::{Error as ModelError, KnownFrames, Sizes, VideoModel};
use kinora_pipeline::tasks::{bridge, stills};
use kinora_pipeline::{
    Beside, Error, Film, Finish, Fit, Generation, LatentFrame, Piece, Progress, Rates, Reel,
    Sampling, Session, Shown, Take, Timeline, Way, generate, latent_frames, tensor_from_frames,
};
use kinora_sampling::{GuidanceBelow, GuidanceKind, Sampler, serves_again};

const PROMPT: &str = "A red fox runs through the snow — “slowly”, 一只狐狸";
const NEGATIVE: &str = "blurry, 静态";

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

fn model(name: &str) -> WanModel {
    let folder = Folder::open(&golden(name)).unwrap();
    WanModel::new(folder, name, &Device::flex(), Precision::F32)
}

/// Frames of a golden file, `[frames, height, width, 3]` or a single one without the first axis.
fn clip(name: &str, case: &str) -> Vec<Frame> {
    let bytes = std::fs::read(golden(name).join("clips.case")).unwrap();
    let file = WeightFile::new(&bytes).unwrap();
    let (shape, values) = file.bytes(case).unwrap();
    let [.., height, width, 3] = shape[..] else {
        panic!("{case} has shape {shape:?}");
    };
    let frame = |pixels: &[u8]| Frame::new(width as u32, height as u32, pixels.to_vec()).unwrap();
    values.chunks(height * width * 3).map(frame).collect()
}

fn request(size: [usize; 2], frames: usize, guidance: f32, shift: f32) -> Generation<'static> {
    Generation {
        prompt: PROMPT,
        negative: NEGATIVE,
        size,
        frames,
        sampling: Sampling {
            sampler: Sampler::UniPc,
            seed: 7,
            steps: 6,
            guidance,
            guidance_below: None,
            guidance_kind: GuidanceKind::Cfg,
            guidance_above: 0.0,
            step_cache: None,
            shift,
        },
    }
}

fn make(
    model: &WanModel,
    request: &Generation<'_>,
    timeline: Option<Timeline>,
) -> Result<Vec<Frame>, Error> {
    let mut made = Vec::new();
    let device = Device::flex();
    generate(
        model,
        request,
        timeline,
        &device,
        |_| true,
        |frame| {
            made.push(frame);
            Ok(())
        },
    )?;
    Ok(made)
}

/// A clip, all of which is shown, with something beside the latents.
fn film<'a>(request: &Generation<'a>, beside: Beside) -> Film<'a> {
    let [width, height] = request.size.map(|side| side as u32);
    let fps = FrameRate::whole(16).unwrap();
    let rates = Rates {
        model: fps,
        file: fps,
    };
    let piece = Piece::Made {
        places: 0..request.frames,
        frames: request.frames as u64,
        way: Way::from_start(rates),
        over: None,
    };
    Film {
        size: request.size,
        takes: vec![Take {
            prompt: request.prompt,
            negative: request.negative,
            sampling: request.sampling.clone(),
            layout: Box::new(Timeline::free(latent_frames(request.frames, 4))),
            frames: request.frames,
            seams: BTreeMap::new(),
            beside,
            joined: false,
            origin: None,
        }],
        reel: Reel::new(
            [width, height],
            rates,
            Fit::Stretch,
            Finish::plain(&Device::flex()),
            vec![piece],
        ),
    }
}

/// All frames of a clip that is made with something beside the latents.
fn make_beside(
    model: &WanModel,
    request: &Generation<'_>,
    beside: Beside,
) -> Result<Vec<Frame>, Error> {
    let film = film(request, beside);
    let mut made = Vec::new();
    let device = Device::flex();
    kinora_pipeline::make(
        model,
        film,
        &device,
        None,
        |_| true,
        |frame| {
            made.push(frame.clone());
            Ok(())
        },
    )?;
    Ok(made)
}

/// Pictures of a golden file at the ends of a clip of `frames`, as the task lays them out.
fn ends(model: &WanModel, frames: usize, pictures: &[(usize, &Frame)]) -> Beside {
    let pictures: Vec<(usize, Frame)> = pictures
        .iter()
        .map(|(place, picture)| (*place, (*picture).clone()))
        .collect();
    let laid = stills(model, frames, &pictures, &Device::flex()).unwrap();
    assert_eq!(laid.seams.len(), pictures.len());
    laid.beside
}

/// Each pixel within one level of upstream's.
#[track_caller]
fn check(made: &[Frame], upstream: &[Frame]) {
    assert_eq!(made.len(), upstream.len());
    let mut different = 0;
    for (i, (ours, theirs)) in made.iter().zip(upstream).enumerate() {
        assert_eq!(ours.size(), theirs.size());
        for (a, b) in ours.pixels().iter().zip(theirs.pixels()) {
            assert!(a.abs_diff(*b) <= 1, "frame {i}: {a} and {b}");
            different += usize::from(a != b);
        }
    }
    println!("{different} values differ by one level");
}

#[test]
fn clips_from_words_are_as_upstream() {
    let model = model("wan-t2v");
    let made = make(&model, &request([48, 32], 9, 5.0, 3.0), None).unwrap();
    check(&made, &clip("wan-t2v", "guided"));
    let made = make(&model, &request([32, 32], 5, 1.0, 3.0), None).unwrap();
    check(&made, &clip("wan-t2v", "plain"));
}

#[test]
fn two_experts_are_as_upstream() {
    let made = make(&model("wan-a14b"), &request([32, 16], 5, 4.0, 5.0), None).unwrap();
    check(&made, &clip("wan-a14b", "guided"));
}

/// The second expert has a strength of guidance of its own, which may be none.
#[test]
fn experts_are_guided_each_in_its_way_as_upstream() {
    let model = model("wan-a14b");
    for (guidance, case) in [
        (4.0, "guided"),
        (2.0, "guided.twice"),
        (1.0, "guided.first"),
    ] {
        let mut request = request([32, 16], 5, 4.0, 5.0);
        let level = model.folder().boundary.unwrap();
        request.sampling.guidance_below = Some(GuidanceBelow { level, guidance });
        check(
            &make(&model, &request, None).unwrap(),
            &clip("wan-a14b", case),
        );
    }
}

#[test]
fn clips_from_words_and_a_picture_are_as_upstream() {
    let model = model("wan-ti2v");
    let made = make(&model, &request([64, 32], 5, 5.0, 5.0), None).unwrap();
    check(&made, &clip("wan-ti2v", "guided"));

    let picture = tensor_from_frames(&clip("wan-ti2v", "picture"), &Device::flex());
    let known = model.encode_frames(picture).unwrap();
    let mut latent_frames = vec![LatentFrame::Free; 3];
    latent_frames[0] = LatentFrame::Known(known);
    let timeline = Timeline::new(latent_frames);
    let made = make(&model, &request([64, 32], 9, 5.0, 5.0), Some(timeline)).unwrap();
    check(&made, &clip("wan-ti2v", "animated"));
}

#[test]
fn clips_from_a_first_picture_are_as_upstream() {
    let model = model("wan-i2v");
    let first = &clip("wan-i2v", "first")[0];
    let request = request([48, 32], 9, 5.0, 3.0);
    let made = make_beside(&model, &request, ends(&model, 9, &[(0, first)])).unwrap();
    check(&made, &clip("wan-i2v", "guided"));
    let last = &clip("wan-i2v", "last")[0];
    let other = make_beside(&model, &request, ends(&model, 9, &[(0, last)])).unwrap();
    assert_ne!(made, other);
}

#[test]
fn clips_from_a_first_and_a_last_picture_are_as_upstream() {
    let model = model("wan-flf2v");
    let [first, last] = ["first", "last"].map(|name| clip("wan-flf2v", name)[0].clone());
    let request = request([48, 32], 9, 5.0, 5.0);
    let beside = ends(&model, 9, &[(0, &first), (8, &last)]);
    let made = make_beside(&model, &request, beside).unwrap();
    check(&made, &clip("wan-flf2v", "guided"));
}

#[test]
fn two_experts_animate_pictures_as_upstream() {
    let model = model("wan-i2v-a14b");
    assert_eq!(model.folder().boundary, Some(0.9));
    let [first, last] = ["first", "last"].map(|name| clip("wan-i2v-a14b", name)[0].clone());
    let made = make_beside(
        &model,
        &request([48, 32], 9, 3.5, 5.0),
        ends(&model, 9, &[(0, &first)]),
    );
    check(&made.unwrap(), &clip("wan-i2v-a14b", "clip.first"));
    let made = make_beside(
        &model,
        &request([48, 32], 5, 3.5, 5.0),
        ends(&model, 5, &[(0, &first), (4, &last)]),
    );
    check(&made.unwrap(), &clip("wan-i2v-a14b", "clip.both"));
}

#[test]
fn clips_with_masks_are_filled_as_upstream() {
    let name = "wan-vace";
    let model = model(name);
    let request = |frames| request([48, 32], frames, 5.0, 3.0);
    let made = make_beside(&model, &request(9), Beside::default()).unwrap();
    check(&made, &clip(name, "clip.words"));

    let given = clip(name, "given");
    let known = [0, 1, 8].map(|place| (place, Shown::from(given[place].clone())));
    let beside = Beside {
        frames: known.into(),
        references: Vec::new(),
    };
    let made = make_beside(&model, &request(9), beside).unwrap();
    check(&made, &clip(name, "clip.filled"));

    let inside = |x: usize, y: usize| (5..27).contains(&y) && (10..40).contains(&x);
    let made: Vec<bool> = (0..32 * 48).map(|i| inside(i % 48, i / 48)).collect();
    let shown = |picture: &Frame| Shown {
        picture: picture.clone(),
        made: Some(made.clone()),
    };
    let beside = Beside {
        frames: given.iter().map(shown).enumerate().collect(),
        references: Vec::new(),
    };
    let region = make_beside(&model, &request(9), beside).unwrap();
    check(&region, &clip(name, "clip.region"));

    let beside = Beside {
        frames: BTreeMap::new(),
        references: vec![clip(name, "reference")[0].clone(), given[4].clone()],
    };
    let made = make_beside(&model, &request(5), beside).unwrap();
    check(&made, &clip(name, "clip.references"));
}

#[test]
fn pictures_that_a_model_needs_or_cannot_take_are_refused_before_anything_is_loaded() {
    let picture = Frame::filled(48, 32, [90, 120, 60]).unwrap();
    let device = Device::flex();
    let laid = |name: &str, pictures: &[usize]| {
        let pictures: Vec<(usize, Frame)> = pictures
            .iter()
            .map(|place| (*place, picture.clone()))
            .collect();
        stills(&model(name), 9, &pictures, &device)
            .map(drop)
            .map_err(|error| error.to_string())
    };
    for (name, pictures, reason) in [
        ("wan-i2v", &[0, 8][..], "their first picture: it needs one"),
        ("wan-i2v", &[3], "their first picture: it needs one"),
        ("wan-flf2v", &[0], "it needs both"),
        ("wan-flf2v", &[0, 4, 8], "it needs both"),
        ("wan-i2v-a14b", &[8], "it needs the first"),
        ("wan-i2v-a14b", &[0, 4], "it needs the first"),
        ("wan-t2v", &[0], "from words alone"),
        ("wan-ti2v", &[0, 8], "no others"),
    ] {
        let error = laid(name, pictures).unwrap_err();
        assert!(error.contains(reason), "{name}: {error}");
        assert!(
            error.contains("Wan-AI/Wan2.1-VACE-1.3B-diffusers"),
            "{error}"
        );
    }
    for (name, pictures) in [
        ("wan-i2v", &[0][..]),
        ("wan-flf2v", &[0, 8]),
        ("wan-i2v-a14b", &[0]),
        ("wan-i2v-a14b", &[0, 8]),
        ("wan-vace", &[2, 3, 7]),
    ] {
        laid(name, pictures).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let alone = make_beside(
        &model("wan-i2v"),
        &request([48, 32], 5, 1.0, 3.0),
        Beside::default(),
    );
    let error = alone.unwrap_err().to_string();
    assert!(error.contains("words alone"), "{error}");
    let reference = Beside {
        references: vec![picture],
        ..Beside::default()
    };
    let shown = make_beside(
        &model("wan-t2v"),
        &request([48, 32], 5, 1.0, 3.0),
        reference,
    );
    let error = shown.unwrap_err().to_string();
    assert!(error.contains("cannot be shown pictures"), "{error}");
}

/// Joints stand at their exact places, and what is given goes on to the end of the last latent frame.
#[test]
fn clips_are_continued_with_what_a_model_sees() {
    let frames = |level: u8| -> Vec<Frame> {
        (0..30)
            .map(|i| Frame::filled(48, 32, [level + i, 0, 0]).unwrap())
            .collect()
    };
    let (before, after) = (frames(0), frames(100));
    let laid = |name: &str, before: &[Frame], made, after: &[Frame]| {
        bridge(&model(name), before, made, after, &Device::flex())
    };
    let red = |beside: &Beside| -> Vec<(usize, u8)> {
        let frames = beside.frames.iter();
        frames
            .map(|(place, shown)| (*place, shown.picture.pixels()[0]))
            .collect()
    };
    let extended = laid("wan-i2v", &before, 7, &[]).unwrap();
    assert_eq!(red(&extended.beside), [(0, 29)]);
    assert_eq!((extended.made_from, extended.frames), (1, 8));
    let extended = laid("wan-ti2v", &before, 8, &[]).unwrap();
    assert!(extended.beside.is_empty());
    assert_eq!((extended.made_from, extended.frames), (1, 9));
    let joined = laid("wan-flf2v", &before, 6, &after).unwrap();
    assert_eq!(red(&joined.beside), [(0, 29), (7, 100), (8, 101)]);
    assert_eq!(joined.seams.keys().copied().collect::<Vec<_>>(), [0, 7]);
    let filled = laid("wan-vace", &before, 10, &after).unwrap();
    let places: Vec<usize> = filled.beside.frames.keys().copied().collect();
    assert_eq!(places, (0..17).chain(27..45).collect::<Vec<_>>());
    assert_eq!((filled.made_from, filled.frames), (17, 45));
    let earlier = laid("wan-vace", &[], 10, &after).unwrap();
    assert_eq!((earlier.made_from, earlier.frames), (0, 29));
    for (name, made) in [("wan-i2v", 5), ("wan-flf2v", 5), ("wan-t2v", 5)] {
        let error = laid(name, &[], made, &after).map(drop).unwrap_err();
        assert!(
            matches!(error, Error::KnownFrames { .. }),
            "{name}: {error}"
        );
    }
    let error = laid("wan-vace", &before, 66, &[]).map(drop).unwrap_err();
    assert!(
        matches!(error, Error::TooLong { frames: 83, .. }),
        "{error}"
    );
}

/// Mean difference of two clips, in levels.
fn distance(a: &[Frame], b: &[Frame]) -> f64 {
    assert_eq!(a.len(), b.len());
    let frames = a.iter().zip(b);
    let pixels: Vec<f64> = frames
        .flat_map(|(a, b)| a.pixels().iter().zip(b.pixels()))
        .map(|(a, b)| f64::from(a.abs_diff(*b)))
        .collect();
    pixels.iter().sum::<f64>() / pixels.len() as f64
}

fn with(change: impl FnOnce(&mut Sampling)) -> Generation<'static> {
    let mut request = request([32, 32], 5, 5.0, 3.0);
    change(&mut request.sampling);
    request
}

#[test]
fn each_kind_of_guidance_makes_another_clip() {
    let model = model("wan-t2v");
    let clips = GuidanceKind::ALL.map(|kind| {
        let request = with(|sampling| sampling.guidance_kind = kind);
        make(&model, &request, None).unwrap()
    });
    assert!(clips[0] != clips[1] && clips[0] != clips[2] && clips[1] != clips[2]);
    // Without guidance there is nothing to treat.
    let plain = GuidanceKind::ALL.map(|kind| {
        let request = with(|sampling| (sampling.guidance_kind, sampling.guidance) = (kind, 1.0));
        make(&model, &request, None).unwrap()
    });
    assert!(plain[0] == plain[1] && plain[0] == plain[2]);
}

/// Steps that are left out cost little where little changes, and more the more are left out.
#[test]
fn left_out_steps_have_a_measured_price() {
    const STEPS: usize = 30;
    let model = model("wan-t2v");
    let clip = |threshold| {
        let request = with(|sampling| {
            (sampling.steps, sampling.step_cache) = (STEPS, threshold);
        });
        make(&model, &request, None).unwrap()
    };
    let asked = |threshold: f32| {
        let levels = Sampler::UniPc.levels(STEPS, 3.0);
        let mut state = None;
        let mut asked = 0;
        for (step, timestep) in levels.timesteps.iter().enumerate() {
            let (network, told) = model.told(&[*timestep]).unwrap().unwrap();
            let is_last = step + 1 == STEPS;
            asked += usize::from(!serves_again(&mut state, network, told, threshold, is_last));
        }
        asked
    };
    let whole = clip(None);
    assert!(clip(Some(0.0)) == whole);
    let other = with(|sampling| (sampling.steps, sampling.seed) = (STEPS, 8));
    let other = distance(&make(&model, &other, None).unwrap(), &whole);
    println!("another seed: {other:.2} levels");
    // The weights are random, so the timestep counts for much more than in a trained network.
    let mut before = STEPS;
    for threshold in [1.0, 2.0, 4.0] {
        let (calls, error) = (asked(threshold), distance(&clip(Some(threshold)), &whole));
        println!("threshold {threshold}: {calls} of {STEPS} steps, {error:.2} levels");
        assert!(calls < before && error > 0.0 && error < other);
        before = calls;
    }
}

#[test]
fn what_guidance_and_left_out_steps_carry_is_kept_in_a_session() {
    let model = model("wan-t2v");
    let device = Device::flex();
    let sampled = |folder: &Path, last: usize| {
        let request = with(|sampling| {
            sampling.guidance_kind = GuidanceKind::Apg;
            (sampling.steps, sampling.step_cache) = (12, Some(0.2));
        });
        let mut session = Session::open(folder, "a-clip", "{}").unwrap();
        let mut made = Vec::new();
        let on_progress =
            |progress| !matches!(progress, Progress::Sampling { done, .. } if done == last);
        let film = film(&request, Beside::default());
        let result = kinora_pipeline::make(
            &model,
            film,
            &device,
            Some(&mut session),
            on_progress,
            |frame| {
                made.push(frame.clone());
                Ok(())
            },
        );
        result.map(|_| made)
    };
    let whole = tempfile::tempdir().unwrap();
    let whole = sampled(whole.path(), usize::MAX).unwrap();
    for last in [1, 4, 7, 11] {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(sampled(folder.path(), last), Err(Error::Stopped)));
        let resumed = sampled(folder.path(), usize::MAX).unwrap();
        assert!(resumed == whole, "after {last} steps");
    }
}

#[test]
fn prompts_are_tokenised_as_upstream() {
    let tokenizer = PromptTokenizer::read(&golden("wan-t2v/tokenizer"), 1 << 20).unwrap();
    let text = std::fs::read_to_string(golden("wan-t2v/prompts.json")).unwrap();
    let prompts: BTreeMap<String, Vec<u32>> = serde_json::from_str(&text).unwrap();
    assert!(prompts.len() > 20);
    for (prompt, ids) in prompts {
        assert_eq!(tokenizer.tokenize(&prompt).unwrap(), ids, "{prompt:?}");
    }
    let long = tokenizer.tokenize(&"雪 ".repeat(600));
    assert!(matches!(
        long,
        Err(ModelError::PromptLength { limit: 512, .. })
    ));
}

#[test]
fn a_folder_says_how_it_is_meant_to_be_used() {
    let model = model("wan-t2v");
    let about = model.description();
    assert_eq!(about.defaults.sampler, Sampler::UniPc);
    assert_eq!((about.defaults.shift, about.defaults.frames), (3.0, 81));
    assert_eq!((about.spatial_stride, about.window), (8, 21));
    assert_eq!(about.known_frames, KnownFrames::None);
    let sizes = Sizes::Multiples {
        of: 16,
        area: 832 * 480,
    };
    assert_eq!(about.sizes, sizes);
    assert_ne!(about.hash, self::model("wan-a14b").description().hash);
    assert_eq!(self::model("wan-a14b").folder().parts.len(), 4);
}

#[test]
fn what_cannot_be_made_is_refused_before_anything_is_loaded() {
    let model = model("wan-t2v");
    let error = make(&model, &request([32, 32], 82, 1.0, 3.0), None).unwrap_err();
    assert!(matches!(error, Error::TooLong { most: 81, .. }), "{error}");
    let latents = Tensor::zeros([1, 4, 1, 4, 4], &Device::flex());
    let timeline = Timeline::new(vec![LatentFrame::Known(latents), LatentFrame::Free]);
    let error = make(&model, &request([32, 32], 5, 1.0, 3.0), Some(timeline)).unwrap_err();
    assert!(error.to_string().contains("TI2V"), "{error}");
}

/// A copy of the golden folder with one file changed.
fn changed(file: &str, change: impl Fn(String) -> String) -> tempfile::TempDir {
    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let path = entry.unwrap().path();
            let target = to.join(path.file_name().unwrap());
            match path.is_dir() {
                true => copy(&path, &target),
                false => drop(std::fs::copy(&path, &target).unwrap()),
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    copy(&golden("wan-t2v"), folder.path());
    let path = folder.path().join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, change(text)).unwrap();
    folder
}

#[test]
fn folders_that_do_not_fit_are_refused_with_the_reason() {
    let index = "model_index.json";
    let scheduler = "scheduler/scheduler_config.json";
    let class = |class: &'static str| move |text: String| text.replace("\"WanPipeline\"", class);
    let refused = |folder: &tempfile::TempDir, reason: &str| {
        let error = Folder::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    };
    refused(&changed(index, |_| "{".into()), "model_index.json");
    refused(
        &changed(index, class("\"WanImageToVideoPipeline\"")),
        "its transformer takes words alone",
    );
    refused(
        &changed(index, class("\"WanVACEPipeline\"")),
        "WanVACETransformer3DModel",
    );
    refused(
        &changed(index, class("\"FluxPipeline\"")),
        "no pipeline of Wan that Kinora runs",
    );
    refused(
        &changed(scheduler, |text| text.replace("UniPCMultistep", "DDIM")),
        "is of a DDIMScheduler",
    );
    refused(
        &changed(scheduler, |text| {
            text.replace("\"flow_shift\": 3.0", "\"flow_shift\": 1e9")
        }),
        "expected 0.1 to 100",
    );
    refused(
        &changed("text_encoder/config.json", |text| {
            text.replace("\"d_model\": 8", "\"d_model\": 16")
        }),
        "belong to different models",
    );
    refused(
        &changed("transformer/config.json", |text| {
            text.replace("\"in_channels\": 4", "\"in_channels\": 16")
        }),
        "no kind of Wan that Kinora runs",
    );
    let lacking = changed(index, |text| text);
    std::fs::remove_dir_all(lacking.path().join("vae")).unwrap();
    refused(&lacking, "vae");

    let other = changed("tokenizer/tokenizer.json", |_| "{}".into());
    let folder = Folder::open(other.path()).unwrap();
    let model = WanModel::new(folder, "damaged", &Device::flex(), Precision::F32);
    let error = model.encode_text("a fox").unwrap_err().to_string();
    assert!(error.contains("tokenizer.json"), "{error}");
}

/// Mean and largest difference of two clips, in levels of 255.
fn difference(a: &[Frame], b: &[Frame]) -> (f64, u8) {
    assert_eq!(a.len(), b.len());
    let pairs = a.iter().zip(b);
    let pixels = pairs.flat_map(|(a, b)| a.pixels().iter().zip(b.pixels()));
    let (mut sum, mut count, mut largest) = (0.0, 0.0, 0);
    for (a, b) in pixels {
        sum += f64::from(a.abs_diff(*b));
        count += 1.0;
        largest = largest.max(a.abs_diff(*b));
    }
    (sum / count, largest)
}

/// How far tiles may be from the whole on the mean, in levels of 255. The decoder's attention sees a tile only, and with random weights
/// it decides much: 14 here. Frames that have nothing in common are 50 and more apart.
const TILES_MEAN: f64 = 20.0;

/// Where memory is short, the decoder sees one tile after the other, and the plan says so.
#[test]
fn a_decoder_short_of_memory_works_in_tiles() {
    let request = request([448, 320], 9, 1.0, 3.0);
    let stages = |model: &WanModel| model.memory(request.size, request.frames);
    let plenty = model("wan-t2v").within(Some(u64::MAX));
    let scarce = model("wan-t2v").within(Some(1 << 20));
    let of = |stages: &[kinora_models::StageMemory]| {
        let last = stages.last().unwrap();
        (last.stage, last.total())
    };
    let (whole, tiled) = (of(&stages(&plenty)), of(&stages(&scarce)));
    assert_eq!((whole.0, tiled.0), ("decode", "decode in tiles"));
    assert!(tiled.1 < whole.1, "{tiled:?} {whole:?}");
    // Unknown is not short.
    assert_eq!(of(&stages(&model("wan-t2v"))).0, "decode");
    // A small picture is one tile, however short memory is.
    assert_eq!(scarce.memory([64, 64], 9).last().unwrap().stage, "decode");

    let whole = make(&plenty, &request, None).unwrap();
    let tiled = make(&scarce, &request, None).unwrap();
    let (mean, largest) = difference(&whole, &tiled);
    assert!(mean < TILES_MEAN, "{mean} {largest}");
    // It is another way, not the same one.
    assert!(largest > 0);
}
