//! Whole clips of Wan against those of diffusers, from the same noise; the golden files are made by
//! `bench/parity/pipelines.py`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};
use kinora_kernels::Precision;
use kinora_media::Frame;
use kinora_models::wan::{Folder, PromptTokenizer, WanModel};
use kinora_models::weights::from_bytes;
use kinora_models::{Error as ModelError, KnownFrames, Sizes, VideoModel};
use kinora_pipeline::{
    Error, Generation, LatentFrame, Sampling, Timeline, generate, tensor_from_frames,
};
use kinora_sampling::Sampler;

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
    let (tensors, _) = from_bytes(&bytes).unwrap();
    let values = &tensors[case];
    let [.., height, width, 3] = values.shape[..] else {
        panic!("{case} has shape {:?}", values.shape);
    };
    let frame = |values: &[f32]| {
        let pixels = values.iter().map(|&value| value as u8).collect();
        Frame::new(width as u32, height as u32, pixels).unwrap()
    };
    values.data.chunks(height * width * 3).map(frame).collect()
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
        "TI2V-5B",
    );
    refused(
        &changed(index, class("\"FluxPipeline\"")),
        "no text-to-video pipeline of Wan",
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
        "belong to different models",
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
