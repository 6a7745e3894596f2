//! The same weights in every format that people have them in.

use std::path::Path;

use burn::tensor::{Device, Tensor};
use kinora_kernels::Precision;
use kinora_models::Error;
use kinora_models::wan::{
    AutoencoderConfig, Checkpoint, ImageConfig, Network, TextConfig, TextEncoder, Transformer,
    TransformerConfig, VaceConfig,
};
use safetensors::Dtype;
use serde_json::json;

use crate::files::{
    Raw, RawTensors, gguf, read, read_golden, renamed, sparse, style, write_safetensors,
};
use crate::golden::{Case, golden};

/// What is in a checkpoint, as `f32`.
fn contents(checkpoint: &Checkpoint) -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let tensors = checkpoint.tensors().map(|(name, shape, _)| {
        // Axes of one make no difference.
        let shape = shape.iter().copied().filter(|size| *size != 1).collect();
        (name.to_owned(), shape, checkpoint.values(name).unwrap())
    });
    tensors.collect()
}

#[track_caller]
fn assert_same(path: &Path, golden_name: &str, network: Network) {
    let ours = Checkpoint::open(path).unwrap();
    assert_eq!(ours.network(), Some(network), "{golden_name}");
    let upstream = Checkpoint::open(&golden(golden_name)).unwrap();
    assert_eq!(contents(&ours), contents(&upstream), "{golden_name}");
}

/// Every type of ggml's that is read, against what ggml's own Python package makes of the same bytes.
#[test]
fn gguf_blocks_are_dequantised_to_the_bit() {
    let ours = Checkpoint::open(&golden("formats").join("blocks.gguf")).unwrap();
    let expected = read(&golden("formats").join("blocks.safetensors"));
    assert_eq!(expected.len(), 15);
    for (name, raw) in expected {
        let (_, shape, _) = ours.tensors().find(|(own, ..)| *own == name).unwrap();
        assert_eq!(shape, raw.shape, "{name}");
        let values = ours.values(&name).unwrap();
        let bits: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        assert_eq!(bits, raw.bytes, "{name}");
    }
}

/// Views, parameters and types of `torch.save`, against what PyTorch reads; then a network as Wan's own folder has it.
#[test]
fn files_of_pytorch_are_read() {
    let saved = Checkpoint::open(&golden("formats").join("saved.pth")).unwrap();
    let expected = read(&golden("formats").join("saved.safetensors"));
    assert_eq!(expected.len(), 11);
    for (name, raw) in expected {
        let (_, shape, _) = saved.tensors().find(|(own, ..)| *own == name).unwrap();
        assert_eq!(shape, raw.shape, "{name}");
        let values = saved.values(&name).unwrap();
        let bits: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        assert_eq!(bits, raw.bytes, "{name}");
    }
    // Whole numbers of 8 bytes are known to be there, and not read.
    let steps = saved.tensors().find(|(name, ..)| *name == "steps").unwrap();
    assert_eq!(steps, ("steps", &[1][..], "I64"));
    assert_eq!(saved.values("steps"), None);

    let pth = golden("formats").join("umt5.pth");
    assert_same(&pth, "umt5", Network::TextEncoder);
    // Of a folder that has nothing else.
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(&pth, folder.path().join("models_t5_umt5-xxl-enc-bf16.pth")).unwrap();
    assert_same(folder.path(), "umt5", Network::TextEncoder);
}

#[test]
fn original_names_lead_to_the_same_network() {
    let folder = tempfile::tempdir().unwrap();
    for (checkpoint, network) in [
        ("t2v", Network::Transformer),
        ("i2v", Network::Transformer),
        ("flf2v", Network::Transformer),
        ("vace", Network::Vace),
        ("umt5", Network::TextEncoder),
        ("vae_2_1_deep", Network::Autoencoder),
        ("vae_2_2", Network::Autoencoder),
    ] {
        let names = style(checkpoint);
        for prefix in ["", "model.diffusion_model."] {
            let tensors = renamed(&read_golden(checkpoint), |name| {
                format!("{prefix}{}", names[name])
            });
            let path = write_safetensors(folder.path(), "named_otherwise", &tensors);
            assert_same(&path, checkpoint, network);
        }
    }
}

#[test]
fn gguf_files_lead_to_the_same_network() {
    let folder = tempfile::tempdir().unwrap();
    for (checkpoint, of_style, network) in [
        ("t2v", "t2v", Network::Transformer),
        ("vace", "vace", Network::Vace),
        ("umt5", "umt5_llama_cpp", Network::TextEncoder),
    ] {
        let names = style(of_style);
        let mut tensors = renamed(&read_golden(checkpoint), |name| names[name].clone());
        // ggml has four axes.
        for patches in ["patch_embedding.weight", "vace_patch_embedding.weight"] {
            if let Some(raw) = tensors.get_mut(patches) {
                let merged = raw.shape[0] * raw.shape[1];
                raw.shape.splice(..2, [merged]);
            }
        }
        for version in [2, 3] {
            let path = folder.path().join("model");
            std::fs::write(&path, gguf(version, &tensors)).unwrap();
            assert_same(&path, checkpoint, network);
        }
    }
}

/// Wan's own vision encoder has one matrix for queries, keys and values.
#[test]
fn the_original_image_encoder_is_split() {
    let golden = read_golden("clip");
    let mut tensors = RawTensors::new();
    for (name, raw) in &golden {
        let blocks = name.replace("encoder.layers.", "transformer.");
        let original = blocks
            .replace("embeddings.class_embedding", "cls_embedding")
            .replace("embeddings.position_embedding.weight", "pos_embedding")
            .replace("embeddings.", "")
            .replace("pre_layrnorm", "pre_norm")
            .replace("post_layernorm", "post_norm")
            .replace("layer_norm", "norm")
            .replace("self_attn.out_proj", "attn.proj")
            .replace("mlp.fc1", "mlp.0")
            .replace("mlp.fc2", "mlp.2");
        let mut raw = raw.clone();
        if original.ends_with("_embedding") {
            let ones = 3 - raw.shape.len();
            raw.shape.splice(..0, vec![1; ones]);
        }
        for (i, part) in ["q_proj", "k_proj", "v_proj"].iter().enumerate() {
            let Some((block, rest)) = original.split_once(&format!("self_attn.{part}.")) else {
                continue;
            };
            // Names come in alphabetical order: keys, queries, values.
            let both = format!("visual.{block}attn.to_qkv.{rest}");
            let all = tensors.entry(both).or_insert_with(|| Raw {
                shape: [&[3 * raw.shape[0]], &raw.shape[1..]].concat(),
                bytes: vec![0; 3 * raw.bytes.len()],
                dtype: raw.dtype,
            });
            let len = raw.bytes.len();
            all.bytes[i * len..][..len].copy_from_slice(&raw.bytes);
        }
        if !original.contains("self_attn") {
            tensors.insert(format!("visual.{original}"), raw);
        }
    }
    tensors.insert("textual.head.weight".into(), Raw::f32(&[1], &[0.0]));
    let folder = tempfile::tempdir().unwrap();
    let path = write_safetensors(folder.path(), "clip.safetensors", &tensors);
    assert_same(&path, "clip", Network::ImageEncoder);
}

/// ComfyUI's and kijai's 8-bit files: a scale for each tensor or row, scales of inputs, a marker.
#[test]
fn eight_bit_floats_are_scaled() {
    let names = style("t2v");
    let mut tensors = renamed(&read_golden("t2v"), |name| names[name].clone());
    let plain = |name: &str| format!("blocks.1.{name}");
    for (name, scales) in [
        ("self_attn.q.weight", vec![0.5]),
        ("ffn.0.weight", (0..20).map(|i| i as f32).collect()),
    ] {
        let name = plain(name);
        let raw = tensors.get_mut(&name).unwrap();
        let len: usize = raw.shape.iter().product();
        *raw = Raw {
            dtype: Dtype::F8_E4M3,
            shape: raw.shape.clone(),
            bytes: (0..len).map(|i| (i % 120) as u8).collect(),
        };
        let layer = name.strip_suffix(".weight").unwrap();
        let shape: Vec<usize> = if scales.len() == 1 {
            vec![]
        } else {
            vec![scales.len(), 1]
        };
        tensors.insert(format!("{layer}.scale_weight"), Raw::f32(&shape, &scales));
        tensors.insert(format!("{layer}.scale_input"), Raw::f32(&[], &[1.0]));
    }
    let marker = Raw {
        dtype: Dtype::F8_E4M3,
        shape: vec![0],
        bytes: Vec::new(),
    };
    tensors.insert("scaled_fp8".into(), marker);
    let folder = tempfile::tempdir().unwrap();
    let path = write_safetensors(folder.path(), "fp8.safetensors", &tensors);
    let checkpoint = Checkpoint::open(&path).unwrap();
    assert_eq!(checkpoint.tensors().count(), read_golden("t2v").len());
    let query = checkpoint.values("blocks.1.attn1.to_q.weight").unwrap();
    // 0x38 is one.
    assert_eq!(query[0x38], 0.5);
    let expand = checkpoint.values("blocks.1.ffn.net.0.proj.weight").unwrap();
    assert_eq!(&expand[..24], &[0.0; 24]);
    // Row 7 begins with number 168, byte 48: 2⁻¹.
    assert_eq!(expand[7 * 24], 7.0 * 0.5);
    let config = TransformerConfig::read(&golden("t2v")).unwrap();
    Transformer::from_checkpoint(&checkpoint, &config, &Device::flex(), Precision::F32).unwrap();

    let mut wrong = tensors.clone();
    wrong.insert(plain("self_attn.k.scale_weight"), Raw::f32(&[5], &[1.0; 5]));
    let path = write_safetensors(folder.path(), "wrong.safetensors", &wrong);
    let error = Checkpoint::open(&path).unwrap_err().to_string();
    assert!(error.contains("5 scales for 24 rows"), "{error}");
    let mut wrong = tensors;
    wrong.insert(plain("nothing.scale_weight"), Raw::f32(&[1], &[1.0]));
    let path = write_safetensors(folder.path(), "wrong.safetensors", &wrong);
    assert!(matches!(Checkpoint::open(&path), Err(Error::Format(_))));
}

/// Wan's own folders have a `config.json` of their own, which says how many heads there are.
#[test]
fn original_folders_run() {
    let folder = tempfile::tempdir().unwrap();
    let names = style("t2v");
    let tensors = renamed(&read_golden("t2v"), |name| names[name].clone());
    write_safetensors(
        folder.path(),
        "diffusion_pytorch_model.safetensors",
        &tensors,
    );
    let config = json!({"_class_name": "WanModel", "model_type": "t2v", "num_heads": 2, "dim": 24});
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let model = Transformer::load(folder.path(), &Device::flex(), Precision::F32).unwrap();
    let ours = model.config();
    let upstream = TransformerConfig::read(&golden("t2v")).unwrap();
    assert_eq!(*ours, upstream);
    let case = Case::read("t2v", "odd_batch");
    let context = model
        .prepare(case.tensor("encoder_hidden_states"), None)
        .unwrap();
    let timesteps: Tensor<2> = case.tensor::<1>("timestep").unsqueeze_dim(1);
    let latents = case.tensor("hidden_states");
    case.check(model.forward(latents, &timesteps, &context).unwrap(), 1e-5);
}

/// All parts of a model in one file, each under a name of its own.
#[test]
fn files_may_hold_several_networks() {
    let mut tensors = RawTensors::new();
    for (checkpoint, prefix) in [
        ("t2v", "model.diffusion_model."),
        ("umt5", "text_encoders.umt5xxl.transformer."),
        ("vae_2_1_deep", "vae."),
    ] {
        let names = style(checkpoint);
        let is_text = checkpoint == "umt5";
        tensors.extend(renamed(&read_golden(checkpoint), |name| match is_text {
            true => format!("{prefix}{name}"),
            false => format!("{prefix}{}", names[name]),
        }));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = write_safetensors(folder.path(), "all.safetensors", &tensors);
    let error = Checkpoint::open(&path).unwrap_err();
    assert!(matches!(error, Error::OtherNetwork { .. }), "{error}");
    for (network, checkpoint) in [
        (Network::Transformer, "t2v"),
        (Network::TextEncoder, "umt5"),
        (Network::Autoencoder, "vae_2_1_deep"),
    ] {
        let ours = Checkpoint::open_as(&path, network).unwrap();
        let upstream = Checkpoint::open(&golden(checkpoint)).unwrap();
        assert_eq!(contents(&ours), contents(&upstream), "{checkpoint}");
    }
    let error = Checkpoint::open_as(&path, Network::ImageEncoder).unwrap_err();
    assert!(
        error.to_string().contains("expected a CLIP image encoder"),
        "{error}"
    );
}

/// The tensors that tell a transformer's sizes.
fn transformer_shapes(config: &TransformerConfig) -> Vec<(String, Vec<usize>)> {
    let width = config.width();
    let [frames, rows, columns] = config.patch_size;
    let last = config.num_layers - 1;
    let mut shapes = vec![
        (
            "patch_embedding.weight".into(),
            vec![width, config.in_channels, frames, rows, columns],
        ),
        (
            "time_embedding.0.weight".into(),
            vec![width, config.freq_dim],
        ),
        (
            "text_embedding.0.weight".into(),
            vec![width, config.text_dim],
        ),
        (
            "head.head.weight".into(),
            vec![config.channels_out() * 4, width],
        ),
        ("blocks.0.self_attn.q.weight".into(), vec![width, width]),
        ("blocks.0.norm3.weight".into(), vec![width]),
        ("blocks.0.ffn.0.weight".into(), vec![config.ffn_dim, width]),
        (format!("blocks.{last}.norm3.weight"), vec![width]),
    ];
    if let Some(channels) = config.image_dim {
        shapes.push(("img_emb.proj.0.weight".into(), vec![channels]));
        shapes.push((
            "blocks.0.cross_attn.k_img.weight".into(),
            vec![width, width],
        ));
    }
    if let Some(tokens) = config.pos_embed_seq_len {
        shapes.push((
            "img_emb.emb_pos".into(),
            vec![1, tokens, config.image_dim.unwrap()],
        ));
    }
    shapes
}

fn write_sparse(folder: &Path, shapes: &[(String, Vec<usize>)]) -> Checkpoint {
    Checkpoint::open(&sparse(folder, ("F8_E4M3", 1), shapes)).unwrap()
}

#[test]
fn sizes_are_inferred_where_there_is_no_configuration() {
    let folder = tempfile::tempdir().unwrap();
    for config in [
        TransformerConfig::t2v_1_3b(),
        TransformerConfig::t2v_14b(),
        TransformerConfig::i2v_14b(),
        TransformerConfig::flf2v_14b(),
        TransformerConfig::i2v_a14b(),
        TransformerConfig::ti2v_5b(),
    ] {
        let checkpoint = write_sparse(folder.path(), &transformer_shapes(&config));
        assert_eq!(checkpoint.transformer_config().unwrap(), config);
    }
    for config in [VaceConfig::vace_1_3b(), VaceConfig::vace_14b()] {
        let mut shapes = transformer_shapes(&config.transformer);
        let width = config.transformer.width();
        let channels = config.vace_in_channels;
        shapes.push((
            "vace_patch_embedding.weight".into(),
            vec![width, channels, 1, 2, 2],
        ));
        for block in 0..config.vace_layers.len() {
            shapes.push((format!("vace_blocks.{block}.norm3.weight"), vec![width]));
        }
        let checkpoint = write_sparse(folder.path(), &shapes);
        assert_eq!(checkpoint.network(), Some(Network::Vace));
        assert_eq!(checkpoint.vace_config().unwrap(), config);
    }
    let xxl = TextConfig::xxl();
    let checkpoint = write_sparse(
        folder.path(),
        &[
            ("token_embd.weight".into(), vec![256_384, 4096]),
            ("enc.blk.0.attn_q.weight".into(), vec![4096, 4096]),
            ("enc.blk.0.attn_rel_b.weight".into(), vec![32, 64]),
            ("enc.blk.0.ffn_gate.weight".into(), vec![10240, 4096]),
            ("enc.blk.23.attn_norm.weight".into(), vec![4096]),
        ],
    );
    assert_eq!(checkpoint.text_config().unwrap(), xxl);
    for (config, middle) in [
        (
            AutoencoderConfig::wan_2_1(),
            "encoder.downsamples.0.residual.0.gamma",
        ),
        (
            AutoencoderConfig::wan_2_2(),
            "encoder.downsamples.0.downsamples.0.residual.0.gamma",
        ),
    ] {
        let z = config.z_dim;
        let checkpoint = write_sparse(
            folder.path(),
            &[
                (
                    "decoder.middle.0.residual.2.weight".into(),
                    vec![4, 4, 3, 3, 3],
                ),
                (middle.into(), vec![config.base_dim, 1, 1, 1]),
                ("conv2.weight".into(), vec![z, z, 1, 1, 1]),
                (
                    "encoder.conv1.weight".into(),
                    vec![config.base_dim, config.in_channels, 3, 3, 3],
                ),
                (
                    "decoder.head.0.gamma".into(),
                    vec![config.decoder_dim(), 1, 1, 1],
                ),
            ],
        );
        assert_eq!(checkpoint.autoencoder_config().unwrap(), config);
    }
    let checkpoint = write_sparse(
        folder.path(),
        &[
            (
                "vision_model.embeddings.patch_embedding.weight".into(),
                vec![1280, 3, 14, 14],
            ),
            (
                "vision_model.embeddings.position_embedding.weight".into(),
                vec![257, 1280],
            ),
            (
                "vision_model.encoder.layers.0.self_attn.q_proj.weight".into(),
                vec![1280, 1280],
            ),
            (
                "vision_model.encoder.layers.0.mlp.fc1.weight".into(),
                vec![5120, 1280],
            ),
            (
                "vision_model.encoder.layers.31.layer_norm1.bias".into(),
                vec![1280],
            ),
        ],
    );
    assert_eq!(checkpoint.image_config().unwrap(), ImageConfig::vit_h());
}

#[test]
fn sizes_that_cannot_be_told_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let names = style("t2v");
    let tensors = renamed(&read_golden("t2v"), |name| names[name].clone());
    let path = write_safetensors(folder.path(), "t2v.safetensors", &tensors);
    // 24 channels are no head of 128.
    let error = Transformer::load(&path, &Device::flex(), Precision::F32).unwrap_err();
    assert!(matches!(error, Error::Config { .. }), "{error}");
    assert!(error.to_string().contains("24 channels"), "{error}");
    let mut lacking = tensors;
    lacking.remove("text_embedding.0.weight");
    let path = write_safetensors(folder.path(), "t2v.safetensors", &lacking);
    let error = Checkpoint::open(&path)
        .unwrap()
        .transformer_config()
        .unwrap_err();
    assert!(
        error.to_string().contains("text_embedder.linear_1"),
        "{error}"
    );
}

/// The tokenizer inside ComfyUI's text encoders is no layer's, and no error.
#[test]
fn text_encoders_of_comfyui_load() {
    let mut tensors = read_golden("umt5");
    let tokenizer = Raw {
        dtype: Dtype::U8,
        shape: vec![3],
        bytes: vec![1, 2, 3],
    };
    tensors.insert("spiece_model".into(), tokenizer);
    let folder = tempfile::tempdir().unwrap();
    let path = write_safetensors(folder.path(), "umt5.safetensors", &tensors);
    let model = TextEncoder::load(&path, &Device::flex(), Precision::F32).unwrap();
    assert_eq!(*model.config(), TextConfig::read(&golden("umt5")).unwrap());
}

#[test]
fn foreign_files_say_what_to_use() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("Wan2.1_VAE.pth");
    std::fs::write(&path, b"\x80\x02pickle").unwrap();
    for path in [path.as_path(), folder.path()] {
        let error = Checkpoint::open(path).unwrap_err();
        assert!(matches!(error, Error::OldPyTorch { .. }), "{error}");
        assert!(error.to_string().contains("safetensors"), "{error}");
    }
    std::fs::write(&path, b"PK\x03\x04archive").unwrap();
    let error = Checkpoint::open(&path).unwrap_err().to_string();
    assert!(
        error.contains("Wan2.1_VAE.pth: the archive is damaged"),
        "{error}"
    );
    std::fs::remove_file(&path).unwrap();
    let tensors = read_golden("vae_2_1_deep");
    write_safetensors(folder.path(), "a.safetensors", &tensors);
    Checkpoint::open(folder.path()).unwrap();
    write_safetensors(folder.path(), "b.safetensors", &tensors);
    let error = Checkpoint::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("there are 2"), "{error}");
}
