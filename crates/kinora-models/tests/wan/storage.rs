//! Weights in fewer bits, and left in their file.

use std::io::ErrorKind;
use std::path::Path;

use burn::tensor::{Device, Distribution, Tensor};
use kinora_kernels::Precision;
use kinora_models::Error;
use kinora_models::wan::weights::{Target, convert};
use kinora_models::wan::{
    Adapter, Checkpoint, Storage, TextEncoder, Transformer, TransformerConfig,
};
use kinora_models::weights::floats;

use crate::files::{Raw, RawTensors, read_golden, sparse, write_safetensors};
use crate::golden::{golden, relative_error};

/// A network with heads of 128 channels, of which everything can be inferred: the golden one, wider.
fn wide() -> RawTensors {
    let device = Device::flex();
    device.seed(7);
    let wider = |name: &str, size: usize| match size {
        16 if name.contains("time_embedder.linear_1") => 256,
        24 => 256,
        20 => 640,
        8 => 64,
        144 => 6 * 256,
        other => other,
    };
    let tensors = read_golden("t2v").into_iter().map(|(name, raw)| {
        let shape: Vec<usize> = raw.shape.iter().map(|size| wider(&name, *size)).collect();
        let len: usize = shape.iter().product();
        let is_norm = name.contains("norm") && name.ends_with(".weight");
        let deviation = match shape.len() {
            1 => 0.1,
            3 => 1.0 / 16.0,
            _ => (len as f64 / shape[0] as f64).sqrt().recip(),
        };
        let normal = Distribution::Normal(f64::from(u8::from(is_norm)), deviation);
        let values = floats(Tensor::<1>::random([len], normal, &device));
        (name, Raw::f32(&shape, &values))
    });
    tensors.collect()
}

fn load(path: &Path, storage: Storage, adapters: &[Adapter]) -> Transformer {
    let checkpoint = Checkpoint::open(path).unwrap().with_storage(storage);
    let checkpoint = checkpoint.with_adapters(adapters).unwrap();
    let config = checkpoint.transformer_config().unwrap();
    Transformer::from_checkpoint(&checkpoint, &config, &Device::flex(), Precision::F32).unwrap()
}

/// What a network makes of inputs that are always the same.
fn run(model: &Transformer) -> Vec<f32> {
    let device = Device::flex();
    device.seed(8);
    let random =
        |shape: [usize; 3]| Tensor::<3>::random(shape, Distribution::Normal(0.0, 1.0), &device);
    let config = model.config();
    let text = random([1, 9, config.text_dim]);
    let latents = random([config.in_channels, 3, 48]).reshape([1, config.in_channels, 3, 6, 8]);
    let context = model.prepare(text, None).unwrap();
    let timesteps = Tensor::ones([1, 1], &device) * 500.0;
    floats(model.forward(latents, &timesteps, &context).unwrap())
}

#[test]
fn weights_in_their_file_give_the_same_to_the_bit() {
    for checkpoint in ["t2v", "ti2v"] {
        let of = |storage| run(&load(&golden(checkpoint), storage, &[]));
        assert_eq!(of(Storage::AsStored), of(Storage::F32), "{checkpoint}");
    }
    let of = |storage| {
        let checkpoint = Checkpoint::open(&golden("umt5"))
            .unwrap()
            .with_storage(storage);
        let config = checkpoint.text_config().unwrap();
        let model =
            TextEncoder::from_checkpoint(&checkpoint, &config, &Device::flex(), Precision::F32);
        floats(
            model
                .unwrap()
                .forward(&[vec![3, 1, 4]], &[vec![true; 3]])
                .unwrap(),
        )
    };
    assert_eq!(of(Storage::AsStored), of(Storage::F32));
}

#[test]
fn fewer_bits_are_near() {
    let folder = tempfile::tempdir().unwrap();
    let path = write_safetensors(folder.path(), "wide.safetensors", &wide());
    let exact = run(&load(&path, Storage::F32, &[]));
    assert_eq!(run(&load(&path, Storage::AsStored, &[])), exact);
    for (storage, bound) in [
        (Storage::Bf16, 5e-3),
        (Storage::Int8, 2e-2),
        (Storage::Int8Products, 3e-2),
    ] {
        let error = relative_error(&run(&load(&path, storage, &[])), &exact);
        println!("{storage:?}: {error:.1e}");
        assert!(error > 1e-5 && error < bound, "{storage:?}: {error:.1e}");
    }
}

#[test]
fn adapters_are_merged_whatever_the_storage() {
    let folder = tempfile::tempdir().unwrap();
    let path = write_safetensors(folder.path(), "wide.safetensors", &wide());
    let random = |shape: &[usize]| {
        let values = Tensor::<1>::random(
            [shape.iter().product::<usize>()],
            Distribution::Normal(0.0, 0.2),
            &Device::flex(),
        );
        Raw::f32(shape, &floats(values))
    };
    let layer = |part: &str| format!("diffusion_model.blocks.0.ffn.0.{part}");
    let tensors = RawTensors::from([
        (layer("lora_down.weight"), random(&[4, 256])),
        (layer("lora_up.weight"), random(&[640, 4])),
        (layer("diff_b"), random(&[640])),
    ]);
    let adapter = write_safetensors(folder.path(), "adapter.safetensors", &tensors);
    let adapter = || [Adapter::open(&adapter, 1.0).unwrap()];
    let plain = run(&load(&path, Storage::F32, &[]));
    let exact = run(&load(&path, Storage::F32, &adapter()));
    assert!(relative_error(&plain, &exact) > 0.05);
    assert_eq!(run(&load(&path, Storage::AsStored, &adapter())), exact);
    for storage in [Storage::Bf16, Storage::Int8, Storage::Int8Products] {
        let error = relative_error(&run(&load(&path, storage, &adapter())), &exact);
        assert!(error < 3e-2, "{storage:?}: {error:.1e}");
    }
    // Converted, they are in the file.
    let merged = folder.path().join("merged.safetensors");
    let checkpoint = Checkpoint::open(&path)
        .unwrap()
        .with_adapters(&adapter())
        .unwrap();
    convert(&checkpoint, Target::Bf16, &merged, |_, _| true).unwrap();
    let error = relative_error(&run(&load(&merged, Storage::AsStored, &[])), &exact);
    assert!(error < 5e-3, "{error:.1e}");
}

#[test]
fn converted_files_are_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = write_safetensors(folder.path(), "wide.safetensors", &wide());
    let original = Checkpoint::open(&path).unwrap();
    let exact = run(&load(&path, Storage::F32, &[]));
    let size = |path: &Path| path.metadata().unwrap().len();
    for (target, storage, bytes) in [
        (Target::Bf16, Storage::Bf16, 0.53),
        (Target::Int8, Storage::Int8, 0.40),
    ] {
        let new = folder.path().join("new.safetensors");
        convert(&original, target, &new, |_, _| true).unwrap();
        assert!(
            size(&new) as f64 <= bytes * size(&path) as f64,
            "{target:?}"
        );
        let converted = Checkpoint::open(&new).unwrap();
        assert_eq!(converted.network(), original.network());
        assert_eq!(
            converted.transformer_config().unwrap(),
            original.transformer_config().unwrap()
        );
        let names = |checkpoint: &Checkpoint| -> Vec<(String, Vec<usize>)> {
            let tensors = checkpoint.tensors();
            tensors
                .map(|(name, shape, _)| (name.to_owned(), shape.to_vec()))
                .collect()
        };
        assert_eq!(names(&converted), names(&original));
        // Norms and biases are exact, layers rounded as in memory.
        let bias = "blocks.1.attn2.to_k.bias";
        assert_eq!(converted.values(bias), original.values(bias));
        let ours = run(&load(&new, Storage::AsStored, &[]));
        let in_memory = run(&load(&path, storage, &[]));
        let (error, allowed) = (
            relative_error(&ours, &exact),
            relative_error(&in_memory, &exact),
        );
        println!("{target:?}: {error:.1e}, in memory {allowed:.1e}");
        assert!(
            error < 2.0 * allowed,
            "{target:?}: {error:.1e} {allowed:.1e}"
        );
        // Once more, and over itself.
        convert(&converted, target, &new, |_, _| true).unwrap();
        let again = run(&load(&new, Storage::AsStored, &[]));
        assert!(relative_error(&again, &ours) < 1e-3, "{target:?}");
    }
    let nowhere = folder.path().join("absent").join("new.safetensors");
    assert!(matches!(
        convert(&original, Target::Bf16, &nowhere, |_, _| true),
        Err(Error::Write { .. })
    ));
    let stopped = folder.path().join("stopped.safetensors");
    let mut seen = Vec::new();
    let go_on = |done, total| {
        seen.push((done, total));
        done < total / 2
    };
    assert!(matches!(
        convert(&original, Target::Int8, &stopped, go_on),
        Err(Error::Write { source, .. }) if source.kind() == ErrorKind::Interrupted
    ));
    assert!(seen.len() > 5 && seen.is_sorted(), "{seen:?}");
    let names: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

/// Text encoders and autoencoders are converted too; small ones, of which a file alone does not tell the heads.
#[test]
fn every_network_is_converted() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["t2v", "vace", "umt5", "vae_2_1_deep", "vae_2_2", "clip"] {
        let original = Checkpoint::open(&golden(name)).unwrap();
        for target in [Target::Bf16, Target::Int8] {
            let path = folder.path().join(format!("{name}.safetensors"));
            convert(&original, target, &path, |_, _| true).unwrap();
            let converted = Checkpoint::open(&path).unwrap();
            assert_eq!(converted.network(), original.network());
            for (tensor, shape, _) in original.tensors() {
                let (before, after) = (
                    original.values(tensor).unwrap(),
                    converted.values(tensor).unwrap(),
                );
                let error = relative_error(&after, &before);
                // Nothing is all zeros but what is exact.
                assert!(
                    error < 0.01 || after == before,
                    "{name} {tensor} {shape:?}: {error:.1e}"
                );
            }
        }
    }
    let config = TransformerConfig::read(&golden("t2v")).unwrap();
    let checkpoint = Checkpoint::open(&folder.path().join("t2v.safetensors")).unwrap();
    Transformer::from_checkpoint(&checkpoint, &config, &Device::flex(), Precision::F32).unwrap();
}

/// Names and shapes of a transformer like that of 1.3B, a quarter as wide and of fewer blocks: those of the golden one,
/// wider and deeper.
fn shapes_of(config: &TransformerConfig) -> Vec<(String, Vec<usize>)> {
    let size = |name: &str, size: usize| match size {
        4 if name.starts_with("patch_embedding") => config.in_channels,
        16 if name.contains("time_embedder.linear_1") => config.freq_dim,
        16 => 4 * config.channels_out(),
        8 => config.text_dim,
        20 => config.ffn_dim,
        24 => config.width(),
        144 => 6 * config.width(),
        other => other,
    };
    let mut shapes = Vec::new();
    for (name, raw) in read_golden("t2v") {
        let shape: Vec<usize> = raw.shape.iter().map(|axis| size(&name, *axis)).collect();
        match name.strip_prefix("blocks.") {
            None => shapes.push((name, shape)),
            Some(rest) if rest.starts_with("0.") => shapes.extend(
                (0..config.num_layers)
                    .map(|i| (format!("blocks.{i}{}", &rest[1..]), shape.clone())),
            ),
            Some(_) => {}
        }
    }
    shapes
}

/// Memory of the process in MB: its own, and pages of mapped files.
#[cfg(target_os = "linux")]
fn memory() -> [usize; 2] {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    ["RssAnon:", "RssFile:"].map(|key| {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(key))
            .unwrap();
        let kilobytes: usize = line.trim().trim_end_matches(" kB").parse().unwrap();
        kilobytes / 1000
    })
}

/// What a transformer of 130 million weights takes. Other tests run beside this one and take memory too, so that it runs in
/// a process of its own.
#[test]
#[cfg(target_os = "linux")]
fn a_transformer_takes_the_bytes_of_its_storage() {
    const ALONE: &str = "KINORA_TEST_ALONE";
    const NAME: &str = "storage::a_transformer_takes_the_bytes_of_its_storage";
    if std::env::var_os(ALONE).is_none() {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args([NAME, "--exact", "--nocapture"])
            .env(ALONE, "1")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        println!("{text}{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && text.contains("1 passed"));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let config = TransformerConfig {
        num_attention_heads: 6,
        ffn_dim: 3 * 1024,
        num_layers: 14,
        text_dim: 512,
        ..TransformerConfig::t2v_1_3b()
    };
    let shapes = shapes_of(&config);
    let weights: usize = shapes
        .iter()
        .map(|(_, shape)| shape.iter().product::<usize>())
        .sum();
    println!("{weights} weights");
    assert!(weights > 120_000_000);
    for (dtype, storage, bytes) in [
        ("BF16", Storage::AsStored, 0),
        ("BF16", Storage::Bf16, 0),
        ("F16", Storage::Bf16, 2),
        ("F16", Storage::Int8, 1),
    ] {
        let path = sparse(folder.path(), (dtype, 2), &shapes);
        let [before, _] = memory();
        let model = load(&path, storage, &[]);
        let [loaded, _] = memory();
        assert_eq!(*model.config(), config);
        assert_eq!(run(&model).len(), 16 * 3 * 48);
        let [own, mapped] = memory();
        let [loaded, own] = [loaded, own].map(|own| own.saturating_sub(before));
        println!(
            "{dtype} {storage:?}: {loaded} MB of its own, after a step {own} MB and {mapped} MB of the file"
        );
        // Norms, biases and the patch embedding are in f32 whatever the rest is in.
        let megabytes = weights * bytes / 1_000_000;
        assert!(loaded < megabytes + 40, "{dtype} {storage:?}: {loaded} MB");
        assert!(
            own < megabytes + 140,
            "{dtype} {storage:?}: {own} MB after a step"
        );
    }
}
