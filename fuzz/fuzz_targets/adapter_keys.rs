//! Keys and shapes of adapters, merged into a golden network.

#![no_main]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use arbitrary::Arbitrary;
use kinora_fuzz::{Input, explore};
use kinora_models::wan::{Adapter, Checkpoint};
use libfuzzer_sys::fuzz_target;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

static INPUT: LazyLock<Input> = LazyLock::new(Input::new);

const MODULES: [&str; 6] = [
    "diffusion_model.blocks.0.self_attn.q",
    "transformer.blocks.1.attn2.to_out.0",
    "lora_unet_blocks_0_ffn_0",
    "lycoris_blocks_1_cross_attn_k",
    "diffusion_model.patch_embedding",
    "diffusion_model.head",
];
const PARTS: [&str; 14] = [
    "lora_down.weight",
    "lora_up.weight",
    "lora_A.weight",
    "lora_B.weight",
    "alpha",
    "diff",
    "diff_b",
    "diff_m",
    "lokr_w1",
    "lokr_w1_a",
    "lokr_w2",
    "lokr_w2_a",
    "lokr_w2_b",
    "lokr_t2",
];

/// Sizes that fit the golden network, and some that do not.
const SIZES: [usize; 10] = [0, 1, 2, 3, 4, 6, 12, 16, 20, 24];

/// A key, known or not, and the shape of its tensor.
#[derive(Debug, Arbitrary)]
enum Key {
    Known { module: u8, part: u8 },
    Any(String),
}

fuzz_target!(|tensors: Vec<(Key, Vec<u8>)>| {
    let named = tensors.iter().take(16).map(|(key, shape)| {
        let key = match key {
            Key::Known { module, part } => format!(
                "{}.{}",
                MODULES[usize::from(*module) % MODULES.len()],
                PARTS[usize::from(*part) % PARTS.len()]
            ),
            Key::Any(key) => key.clone(),
        };
        let sizes = shape
            .iter()
            .take(5)
            .map(|size| SIZES[usize::from(*size) % SIZES.len()]);
        (key, sizes.collect())
    });
    let mut named: BTreeMap<String, Vec<usize>> = named.collect();
    named.retain(|_, shape| shape.iter().product::<usize>() <= 1 << 16);
    let zeros = vec![
        0;
        named
            .values()
            .map(|shape| shape.iter().product::<usize>())
            .max()
            .unwrap_or(0)
            * 4
    ];
    let views = named.iter().filter_map(|(key, shape)| {
        let bytes = &zeros[..4 * shape.iter().product::<usize>()];
        Some((key, TensorView::new(Dtype::F32, shape.clone(), bytes).ok()?))
    });
    let Ok(bytes) = safetensors::serialize(views, None) else {
        return;
    };
    let golden =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/kinora-models/tests/data/wan/t2v");
    let checkpoint = Checkpoint::open(&golden).expect("the golden checkpoint is there");
    if let Ok(adapter) = Adapter::open(&INPUT.with(&bytes), 1.0)
        && let Ok(merged) = checkpoint.with_adapters(&[adapter])
    {
        explore(&merged);
    }
});
