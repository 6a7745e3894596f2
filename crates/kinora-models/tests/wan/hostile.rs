//! Checkpoints that are damaged, foreign or made to do harm: an error that names what is wrong, never a panic.

use std::path::Path;

use burn::tensor::Device;
use kinora_kernels::Precision;
use kinora_models::wan::{
    Autoencoder, AutoencoderConfig, Checkpoint, ImageConfig, TextConfig, TextEncoder, Transformer,
    TransformerConfig, VaceConfig,
};
use kinora_models::{Error, TensorProblems};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::golden::golden;

const WEIGHTS: &str = "diffusion_pytorch_model.safetensors";

/// A copy of a golden checkpoint that a test may damage.
fn copy(name: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(golden(name)).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "case") {
            std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    folder
}

fn load(folder: &Path) -> Result<Transformer, Error> {
    Transformer::load(folder, &Device::flex(), Precision::F32)
}

/// A safetensors file with this header before so many bytes.
fn file(header: &str, bytes: usize) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.resize(file.len() + bytes, 0);
    file
}

/// The header of a file, changed, before the same bytes.
fn with_header(path: &Path, change: impl FnOnce(&mut Value)) {
    let bytes = std::fs::read(path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    change(&mut header);
    let header = header.to_string();
    let mut changed = (header.len() as u64).to_le_bytes().to_vec();
    changed.extend(header.as_bytes());
    changed.extend(&bytes[8 + length..]);
    std::fs::write(path, changed).unwrap();
}

fn problems(result: Result<Transformer, Error>) -> TensorProblems {
    match result {
        Err(Error::Tensors { problems, .. }) => problems,
        other => panic!("expected a list of tensors, got {:?}", other.map(|_| ())),
    }
}

#[test]
fn truncated_files_are_damaged() {
    let folder = copy("t2v");
    let path = folder.path().join(WEIGHTS);
    let whole = std::fs::read(&path).unwrap();
    for length in [0, 1, 7, 8, 9, 100, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..length]).unwrap();
        let error = load(folder.path()).unwrap_err();
        assert!(matches!(error, Error::Format(_)), "{length}: {error}");
    }
    let longer: Vec<u8> = whole.iter().copied().chain([0]).collect();
    std::fs::write(&path, longer).unwrap();
    assert!(matches!(load(folder.path()), Err(Error::Format(_))));
}

#[test]
fn lying_headers_are_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(WEIGHTS);
    let tensor = |shape: &str, offsets: &str| {
        format!(r#"{{"a":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}}}"#)
    };
    let overlap = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},
        "b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#;
    let gap = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},
        "b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}"#;
    // Each as large as a tensor can be; together they end at the largest number.
    let largest = 1_u128 << 60;
    let many = (0..16_u128).map(|i| {
        let size = if i < 15 { largest } else { largest - 1 };
        let ends = [i * largest, i * largest + size];
        format!(r#""{i:02}":{{"dtype":"U8","shape":[{size}],"data_offsets":{ends:?}}}"#)
    });
    let many = format!("{{{}}}", many.collect::<Vec<_>>().join(","));
    let mut endless = file("{}", 0);
    endless[..8].fill(0xff);
    let mut long = file("{}", 0);
    long[..8].copy_from_slice(&90_000_000_u64.to_le_bytes());
    for (what, bytes) in [
        ("overlapping tensors", file(overlap, 12)),
        ("a gap", file(gap, 12)),
        ("past the end", file(&tensor("[4]", "[0,16]"), 8)),
        ("other size than shape", file(&tensor("[4]", "[0,8]"), 8)),
        ("backwards", file(&tensor("[2]", "[8,0]"), 8)),
        (
            "huge shape",
            file(&tensor("[4294967296,4294967296,4294967296]", "[0,8]"), 8),
        ),
        (
            "huge offsets",
            file(
                &tensor("[2]", "[18446744073709551608,18446744073709551615]"),
                8,
            ),
        ),
        ("huge sum", file(&many, 8)),
        ("negative", file(&tensor("[-2]", "[0,8]"), 8)),
        (
            "unknown type",
            file(
                r#"{"a":{"dtype":"X9","shape":[1],"data_offsets":[0,4]}}"#,
                4,
            ),
        ),
        ("no JSON", file("{", 0)),
        ("no text", file("\u{0}\u{1}", 0)),
        ("endless header", endless),
        ("header past the end", long),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let error = Checkpoint::open(folder.path()).unwrap_err();
        assert!(matches!(error, Error::Format(_)), "{what}: {error}");
    }
}

#[test]
fn tensors_that_do_not_fit_are_listed_before_anything_is_read() {
    let folder = copy("t2v");
    with_header(&folder.path().join(WEIGHTS), |header| {
        let tensors = header.as_object_mut().unwrap();
        let missing = tensors.remove("blocks.1.attn2.to_v.weight").unwrap();
        tensors.insert("blocks.1.attn2.to_w.weight".into(), missing);
        tensors["proj_out.weight"]["shape"] = json!([24, 16]);
        tensors["proj_out.bias"]["dtype"] = json!("I16");
    });
    let error = load(folder.path()).unwrap_err();
    let text = error.to_string();
    let problems = problems(Err(error));
    assert_eq!(problems.missing, ["blocks.1.attn2.to_v.weight"]);
    assert_eq!(problems.unmatched, ["blocks.1.attn2.to_w.weight"]);
    assert_eq!(
        problems.shapes,
        ["proj_out.weight (is [24, 16], should be [16, 24])"]
    );
    assert_eq!(problems.types, ["proj_out.bias (I16)"]);
    for name in ["to_v", "to_w", "proj_out.weight", "I16"] {
        assert!(text.contains(name), "{text}");
    }
}

#[test]
fn another_network_is_told_by_its_tensors() {
    let folder = copy("vae_2_1");
    std::fs::copy(
        golden("t2v").join("config.json"),
        folder.path().join("config.json"),
    )
    .unwrap();
    let error = load(folder.path()).unwrap_err();
    assert!(matches!(error, Error::OtherNetwork { .. }), "{error}");
    assert!(error.to_string().contains("a Wan autoencoder"), "{error}");
    // Of no network of the family: the list says which tensors there are.
    with_header(&folder.path().join(WEIGHTS), |header| {
        let tensors = header.as_object_mut().unwrap();
        let marker = tensors.remove("decoder.mid_block.resnets.0.conv1.weight");
        tensors.insert("something".into(), marker.unwrap());
    });
    let problems = problems(load(folder.path()));
    assert!(problems.missing.len() > 40 && problems.unmatched.len() > 40);
}

#[test]
fn a_tensor_that_upstream_ignores_is_ignored() {
    let folder = copy("t2v");
    with_header(&folder.path().join(WEIGHTS), |header| {
        let empty = json!({"dtype": "F16", "shape": [0], "data_offsets": [0, 0]});
        header["blocks.0.attn2.norm_added_q.weight"] = empty;
    });
    load(folder.path()).unwrap();
}

/// The embedding is tied to another tensor, and files differ in which of the two they hold.
#[test]
fn the_embedding_of_a_text_encoder_has_two_names() {
    let folder = copy("umt5");
    let rename = |from: &str, to: &str| {
        with_header(&folder.path().join("model.safetensors"), |header| {
            let tensors = header.as_object_mut().unwrap();
            let embedding = tensors.remove(from).unwrap();
            tensors.insert(to.into(), embedding);
        });
        TextEncoder::load(folder.path(), &Device::flex(), Precision::F32).map(|_| ())
    };
    rename("shared.weight", "encoder.embed_tokens.weight").unwrap();
    let error = rename("encoder.embed_tokens.weight", "embedding").unwrap_err();
    let Error::Tensors { problems, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(problems.missing, ["shared.weight"]);
    assert_eq!(problems.unmatched, ["embedding"]);
}

#[test]
fn shards_must_be_there_and_hold_what_the_index_says() {
    let folder = copy("t2v_sharded");
    let index = folder.path().join(format!("{WEIGHTS}.index.json"));
    let whole: Value = serde_json::from_slice(&std::fs::read(&index).unwrap()).unwrap();
    load(folder.path()).unwrap();
    let with_index = |change: &dyn Fn(&mut Value)| {
        let mut changed = whole.clone();
        change(&mut changed);
        std::fs::write(&index, changed.to_string()).unwrap();
        load(folder.path()).unwrap_err()
    };
    let other = with_index(&|index| {
        index["weight_map"]["no.such.tensor"] = index["weight_map"]["proj_out.bias"].clone()
    });
    assert!(other.to_string().contains("no.such.tensor"), "{other}");
    let outside =
        with_index(&|index| index["weight_map"]["proj_out.bias"] = json!("../secret.safetensors"));
    assert!(matches!(outside, Error::Format(_)), "{outside}");
    let absent =
        with_index(&|index| index["weight_map"]["proj_out.bias"] = json!("absent.safetensors"));
    assert!(matches!(absent, Error::Read { .. }), "{absent}");
    let no_map = with_index(&|index| *index = json!({"weight_map": 3}));
    assert!(matches!(no_map, Error::Format(_)), "{no_map}");

    std::fs::write(&index, whole.to_string()).unwrap();
    let shards: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "safetensors")
        })
        .collect();
    // The same tensors in two files.
    let second = std::fs::read(&shards[1]).unwrap();
    std::fs::copy(&shards[0], &shards[1]).unwrap();
    assert!(matches!(load(folder.path()), Err(Error::Format(_))));
    std::fs::write(&shards[1], second).unwrap();
    std::fs::remove_file(&shards[0]).unwrap();
    let error = load(folder.path()).unwrap_err();
    let name = shards[0].file_name().unwrap().to_str().unwrap();
    assert!(
        matches!(error, Error::Read { .. }) && error.to_string().contains(name),
        "{error}"
    );
}

#[test]
fn a_folder_without_weights_says_what_was_looked_for() {
    let folder = copy("t2v");
    std::fs::remove_file(folder.path().join(WEIGHTS)).unwrap();
    let error = load(folder.path()).unwrap_err().to_string();
    assert!(
        error.contains(WEIGHTS) && error.contains("index.json"),
        "{error}"
    );
    assert!(matches!(
        load(&folder.path().join("absent")),
        Err(Error::Read { .. })
    ));
}

/// Every entry of `config.json` in turn is something that it must not be.
#[test]
fn strange_configurations_are_refused() {
    type Read = fn(&Path) -> Result<(), Error>;
    type Entries<'a> = &'a [(&'a str, Value)];
    let transformer: Read = |folder| TransformerConfig::read(folder).map(|_| ());
    let autoencoder: Read = |folder| AutoencoderConfig::read(folder).map(|_| ());
    let text: Read = |folder| TextConfig::read(folder).map(|_| ());
    let huge = json!(1_u64 << 60);
    let vace: Read = |folder| VaceConfig::read(folder).map(|_| ());
    let image: Read = |folder| ImageConfig::read(folder).map(|_| ());
    let cases: [(&str, Read, Entries<'_>); 5] = [
        (
            "t2v",
            transformer,
            &[
                ("_class_name", json!("CogVideoXTransformer3DModel")),
                ("patch_size", json!([0, 2, 2])),
                ("patch_size", json!([1, 2])),
                ("num_attention_heads", json!(0)),
                ("attention_head_dim", json!(7)),
                ("in_channels", json!(-4)),
                ("out_channels", json!(0)),
                ("freq_dim", json!(3)),
                ("ffn_dim", huge.clone()),
                ("num_layers", huge.clone()),
                ("num_layers", json!("two")),
                ("eps", json!(-1.0)),
                ("rope_max_seq_len", json!(0)),
                ("added_kv_proj_dim", json!(24)),
                ("pos_embed_seq_len", json!(6)),
            ],
        ),
        (
            "vae_2_2",
            autoencoder,
            &[
                ("_class_name", json!("AutoencoderKL")),
                ("base_dim", json!(0)),
                ("base_dim", huge.clone()),
                ("z_dim", huge.clone()),
                ("dim_mult", json!([])),
                ("dim_mult", json!([1, 2, 4, 5])),
                ("dim_mult", json!([1, 16, 4, 4])),
                ("num_res_blocks", json!(0)),
                ("attn_scales", json!([1.0])),
                ("temperal_downsample", json!([true])),
                ("temperal_downsample", json!([true, true, true])),
                ("latents_mean", json!([0.0])),
                ("in_channels", json!(13)),
                ("patch_size", json!(0)),
            ],
        ),
        (
            "vace",
            vace,
            &[
                ("_class_name", json!("WanTransformer3DModel")),
                ("num_layers", json!(0)),
                ("vace_layers", json!([])),
                ("vace_layers", json!([1, 2])),
                ("vace_layers", json!([0, 3])),
                ("vace_layers", json!([0, 0])),
                ("vace_in_channels", json!(0)),
            ],
        ),
        (
            "clip",
            image,
            &[
                ("architectures", json!(["CLIPTextModel"])),
                ("hidden_size", json!(17)),
                ("num_hidden_layers", json!(0)),
                ("image_size", huge.clone()),
                ("patch_size", json!(15)),
                ("hidden_act", json!("quick_gelu")),
            ],
        ),
        (
            "umt5",
            text,
            &[
                ("architectures", json!(["T5EncoderModel"])),
                ("vocab_size", huge.clone()),
                ("d_model", json!(0)),
                ("d_kv", json!(0)),
                ("num_layers", huge),
                ("relative_attention_num_buckets", json!(1)),
                ("relative_attention_max_distance", json!(8)),
                ("layer_norm_epsilon", json!("small")),
                ("feed_forward_proj", json!("relu")),
            ],
        ),
    ];
    for (name, read, entries) in cases {
        let folder = copy(name);
        let path = folder.path().join("config.json");
        let whole: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        read(folder.path()).unwrap();
        for (entry, value) in entries {
            let mut changed = whole.clone();
            changed[entry] = value.clone();
            std::fs::write(&path, changed.to_string()).unwrap();
            let result = read(folder.path());
            assert!(
                matches!(result, Err(Error::Config { .. })),
                "{name}: {entry} = {value}"
            );
        }
        for text in ["", "[]", "{", "null"] {
            std::fs::write(&path, text).unwrap();
            assert!(
                matches!(read(folder.path()), Err(Error::Config { .. })),
                "{name}: {text}"
            );
        }
    }
}

/// Sizes that pass on their own may still be more than the files hold: nothing is allocated for them.
#[test]
fn sizes_beyond_the_files_are_listed_and_not_allocated() {
    let folder = copy("t2v");
    let path = folder.path().join("config.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    for (entry, value) in [
        ("num_attention_heads", 1024),
        ("attention_head_dim", 1024),
        ("ffn_dim", 1 << 20),
        ("num_layers", 256),
    ] {
        config[entry] = json!(value);
    }
    std::fs::write(&path, config.to_string()).unwrap();
    let problems = problems(load(folder.path()));
    assert!(problems.missing.len() > 6000 && problems.shapes.len() > 40);
}

#[test]
fn presets_are_valid() {
    for config in [
        TransformerConfig::t2v_1_3b(),
        TransformerConfig::t2v_14b(),
        TransformerConfig::i2v_14b(),
        TransformerConfig::flf2v_14b(),
        TransformerConfig::i2v_a14b(),
        TransformerConfig::ti2v_5b(),
    ] {
        config.validate().unwrap();
    }
    for config in [VaceConfig::vace_1_3b(), VaceConfig::vace_14b()] {
        config.validate().unwrap();
    }
    for (config, strides) in [
        (AutoencoderConfig::wan_2_1(), [4, 8]),
        (AutoencoderConfig::wan_2_2(), [4, 16]),
    ] {
        config.validate().unwrap();
        assert_eq!([config.temporal_stride(), config.spatial_stride()], strides);
    }
    TextConfig::xxl().validate().unwrap();
    ImageConfig::vit_h().validate().unwrap();
}

#[test]
fn loaders_of_each_network_report_damage() {
    for name in ["vae_2_1", "umt5"] {
        let folder = copy(name);
        let file = if name == "umt5" {
            "model.safetensors"
        } else {
            WEIGHTS
        };
        let path = folder.path().join(file);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 2]).unwrap();
        let device = Device::flex();
        let result = match name {
            "umt5" => TextEncoder::load(folder.path(), &device, Precision::F32).map(|_| ()),
            _ => Autoencoder::load(folder.path(), &device, Precision::F32).map(|_| ()),
        };
        assert!(matches!(result, Err(Error::Format(_))), "{name}");
    }
}
