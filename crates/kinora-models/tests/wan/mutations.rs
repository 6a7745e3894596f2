//! Files with a few bytes changed, cut or added, thousands of them and always the same: an error or a checkpoint, never
//! a panic. `fuzz/` looks further.

use std::path::Path;

use burn::tensor::Device;
use kinora_kernels::Precision;
use kinora_models::Error;
use kinora_models::wan::{Adapter, Checkpoint, Transformer, TransformerConfig};

use crate::files::{Raw, RawTensors, gguf, read_golden, renamed, style, write_safetensors};
use crate::golden::golden;

/// A sequence of numbers that look random.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // SplitMix64 (Steele et al., 2014).
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// One to three changes, mostly among the first `header` bytes.
    fn mutate(&mut self, whole: &[u8], header: usize) -> Vec<u8> {
        let mut bytes = whole.to_vec();
        for _ in 0..=self.below(3) {
            let among = if self.below(8) == 0 {
                bytes.len()
            } else {
                header.min(bytes.len())
            };
            let at = self.below(among);
            let extremes = [
                0,
                1,
                0x7f,
                0xff,
                u64::MAX,
                u64::MAX - 7,
                1 << 63,
                1 << 40,
                1 << 31,
                32,
            ];
            match self.below(7) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, self.next() as u8),
                2 if !bytes.is_empty() => {
                    bytes.remove(at);
                }
                3 => {
                    // A digit of a size or an offset.
                    if let Some(byte) = bytes[at..].iter_mut().find(|byte| byte.is_ascii_digit()) {
                        *byte = b'0' + self.below(10) as u8;
                    }
                }
                4 => {
                    let value = extremes[self.below(extremes.len())].to_le_bytes();
                    for (byte, value) in bytes[at..].iter_mut().zip(value) {
                        *byte = value;
                    }
                }
                _ if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
                _ => {}
            }
        }
        bytes
    }
}

/// Reads all that can be read of a file; whether it could be opened.
fn explore(path: &Path) -> bool {
    let Ok(checkpoint) = Checkpoint::open(path) else {
        return false;
    };
    for (name, shape, _) in checkpoint.tensors() {
        if let Some(values) = checkpoint.values(name) {
            assert_eq!(values.len(), shape.iter().product::<usize>());
        }
    }
    let _ = checkpoint.transformer_config();
    let _ = checkpoint.vace_config();
    let _ = checkpoint.text_config();
    let _ = checkpoint.autoencoder_config();
    let _ = checkpoint.image_config();
    true
}

fn explore_mutations(whole: &[u8], header: usize, count: usize, seed: u64) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mutated");
    let mut random = Random(seed);
    let mut opened = 0;
    for _ in 0..count {
        std::fs::write(&path, random.mutate(whole, header)).unwrap();
        opened += usize::from(explore(&path));
    }
    // Both happen, or the mutations are of no use.
    assert!(opened > 0 && opened < count, "{opened} of {count} opened");
}

#[test]
fn mutated_safetensors_files_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    for (checkpoint, seed) in [("t2v", 1), ("vae_2_1", 2), ("clip", 3)] {
        let names = style("t2v");
        let tensors = renamed(&read_golden(checkpoint), |name| {
            names.get(name).cloned().unwrap_or(name.to_owned())
        });
        let path = write_safetensors(folder.path(), "whole", &tensors);
        let whole = std::fs::read(path).unwrap();
        let header = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
        explore_mutations(&whole, 8 + header, 400, seed);
    }
}

#[test]
fn mutated_gguf_files_do_no_harm() {
    let whole = std::fs::read(golden("formats").join("blocks.gguf")).unwrap();
    explore_mutations(&whole, 1200, 1500, 4);
    let names = style("umt5_llama_cpp");
    let tensors = renamed(&read_golden("umt5"), |name| names[name].clone());
    let whole = gguf(3, &tensors);
    explore_mutations(&whole, 1500, 600, 5);
}

/// The archive's index stands at the end, and each file in it has a checksum: the pickle's own mutations are beside its
/// reader.
#[test]
fn mutated_files_of_pytorch_do_no_harm() {
    let whole = std::fs::read(golden("formats").join("saved.pth")).unwrap();
    explore_mutations(&whole, whole.len(), 1500, 8);
}

/// Layers are built only of what has been checked, whatever the file says.
#[test]
fn mutated_networks_load_or_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config = TransformerConfig::read(&golden("t2v")).unwrap();
    let path = write_safetensors(folder.path(), "whole", &read_golden("t2v"));
    let whole = std::fs::read(path).unwrap();
    let header = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let path = folder.path().join("mutated");
    let mut random = Random(6);
    for _ in 0..300 {
        std::fs::write(&path, random.mutate(&whole, 8 + header)).unwrap();
        if let Ok(checkpoint) = Checkpoint::open(&path) {
            let device = Device::flex();
            let _ = Transformer::from_checkpoint(&checkpoint, &config, &device, Precision::F32);
        }
    }
}

#[test]
fn mutated_adapters_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let tensor = |shape: &[usize]| Raw::f32(shape, &vec![0.5; shape.iter().product()]);
    let tensors: RawTensors = [
        (
            "diffusion_model.blocks.0.self_attn.q.lora_down.weight",
            tensor(&[2, 24]),
        ),
        (
            "diffusion_model.blocks.0.self_attn.q.lora_up.weight",
            tensor(&[24, 2]),
        ),
        ("diffusion_model.blocks.0.self_attn.q.alpha", tensor(&[])),
        ("diffusion_model.blocks.0.ffn.0.diff_b", tensor(&[20])),
        ("lora_unet_blocks_1_self_attn_k.lokr_w1", tensor(&[4, 2])),
        ("lora_unet_blocks_1_self_attn_k.lokr_w2_a", tensor(&[6, 2])),
        ("lora_unet_blocks_1_self_attn_k.lokr_w2_b", tensor(&[2, 12])),
        ("diffusion_model.patch_embedding.lokr_w1", tensor(&[2, 1])),
        (
            "diffusion_model.patch_embedding.lokr_t2",
            tensor(&[3, 2, 1, 2, 2]),
        ),
        (
            "diffusion_model.patch_embedding.lokr_w2_a",
            tensor(&[3, 12]),
        ),
        ("diffusion_model.patch_embedding.lokr_w2_b", tensor(&[2, 4])),
    ]
    .into_iter()
    .map(|(name, raw)| (name.to_owned(), raw))
    .collect();
    let path = write_safetensors(folder.path(), "whole", &tensors);
    let whole = std::fs::read(path).unwrap();
    let header = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let path = folder.path().join("mutated");
    let mut random = Random(7);
    let (mut merged, mut refused) = (0, 0);
    for _ in 0..600 {
        std::fs::write(&path, random.mutate(&whole, 8 + header)).unwrap();
        let Ok(adapter) = Adapter::open(&path, 1.0) else {
            continue;
        };
        match Checkpoint::open(&golden("t2v"))
            .unwrap()
            .with_adapters(&[adapter])
        {
            Err(Error::Adapter { .. }) => refused += 1,
            Err(other) => panic!("{other}"),
            Ok(checkpoint) => {
                merged += 1;
                for (name, ..) in checkpoint.tensors() {
                    let _ = checkpoint.values(name);
                }
            }
        }
    }
    assert!(
        merged > 0 && refused > 0,
        "{merged} merged, {refused} refused"
    );
}

/// What a header of a GGUF file may claim.
#[test]
fn lying_gguf_headers_are_damaged() {
    let text = crate::files::text;
    let header = |tensors: u64, entries: u64| {
        let mut file = b"GGUF\x03\0\0\0".to_vec();
        file.extend(tensors.to_le_bytes());
        file.extend(entries.to_le_bytes());
        file
    };
    let tensor = |name: &str, sizes: &[u64], kind: u32, offset: u64| {
        let mut bytes = text(name);
        bytes.extend((sizes.len() as u32).to_le_bytes());
        bytes.extend(sizes.iter().flat_map(|size| size.to_le_bytes()));
        bytes.extend(kind.to_le_bytes());
        bytes.extend(offset.to_le_bytes());
        bytes
    };
    let with = |parts: &[Vec<u8>]| {
        let mut file = header(parts.len() as u64, 0);
        file.extend(parts.concat());
        file.resize(file.len().next_multiple_of(32) + 64, 0);
        file
    };
    let entry = |kind: u32, value: &[u8]| {
        let mut file = header(0, 1);
        file.extend(text("general.alignment"));
        file.extend(kind.to_le_bytes());
        file.extend(value);
        file
    };
    // Lists within lists within lists.
    let nested: Vec<u8> = std::iter::repeat_n([9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0], 1000)
        .flatten()
        .collect();
    let endless = [&8_u32.to_le_bytes()[..], &u64::MAX.to_le_bytes()].concat();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    for (what, bytes) in [
        ("no more than the magic", b"GGUF".to_vec()),
        ("version 1", b"GGUF\x01\0\0\0".to_vec()),
        ("big-endian", b"GGUF\0\0\0\x03".to_vec()),
        ("endless tensors", header(u64::MAX, 0)),
        ("endless entries", header(0, u64::MAX)),
        (
            "endless name",
            [header(1, 0), u64::MAX.to_le_bytes().to_vec()].concat(),
        ),
        ("endless list", entry(9, &endless)),
        ("nested lists", entry(9, &nested)),
        ("unknown entry", entry(77, &[0; 8])),
        ("alignment 0", entry(4, &[0; 4])),
        ("alignment 3", entry(4, &[3, 0, 0, 0])),
        ("alignment of text", entry(8, &text("32"))),
        ("many axes", with(&[tensor("a", &[1; 9], 0, 0)])),
        (
            "endless axes",
            with(&[[text("a"), u32::MAX.to_le_bytes().to_vec()].concat()]),
        ),
        ("huge", with(&[tensor("a", &[1 << 40, 1 << 40], 0, 0)])),
        (
            "huge and empty",
            with(&[tensor("a", &[1 << 40, 1 << 40, 0], 0, 0)]),
        ),
        ("past the end", with(&[tensor("a", &[17], 0, 0)])),
        ("far offset", with(&[tensor("a", &[1], 0, u64::MAX - 31)])),
        ("unaligned", with(&[tensor("a", &[1], 0, 4)])),
        ("half a block", with(&[tensor("a", &[16, 2], 8, 0)])),
        (
            "overlap",
            with(&[tensor("a", &[9], 0, 0), tensor("b", &[1], 0, 32)]),
        ),
        (
            "twice",
            with(&[tensor("a", &[1], 0, 0), tensor("a", &[1], 0, 32)]),
        ),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let error = Checkpoint::open(&path).unwrap_err();
        assert!(matches!(error, Error::Format(_)), "{what}: {error}");
    }
    // A type that is not read is told by its name, when a layer wants the tensor or none does.
    std::fs::write(
        &path,
        with(&[tensor("a", &[256], 16, 0), tensor("b", &[8], 99, 32)]),
    )
    .unwrap();
    let checkpoint = Checkpoint::open(&path).unwrap();
    let types: Vec<&str> = checkpoint.tensors().map(|(.., kind)| kind).collect();
    assert_eq!(types, ["IQ2_XXS", "ggml type 99"]);
    assert!(checkpoint.values("a").is_none());
}
