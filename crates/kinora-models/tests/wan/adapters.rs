//! LoRA, LoKr and differences: merged as their papers say, and told when they do not fit.

use kinora_models::Error;
use kinora_models::wan::{Adapter, Checkpoint};
use safetensors::Dtype;
use tempfile::TempDir;

use crate::files::{Raw, RawTensors, write_safetensors};
use crate::golden::golden;

/// Numbers that look random and repeat.
fn numbers(len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    std::iter::repeat_with(next).take(len).collect()
}

fn raw(shape: &[usize], seed: u32) -> Raw {
    Raw::f32(shape, &numbers(shape.iter().product(), seed))
}

fn values(raw: &Raw) -> Vec<f64> {
    let floats = raw.bytes.as_chunks().0.iter();
    floats.map(|b| f64::from(f32::from_le_bytes(*b))).collect()
}

/// `a · b`, with a first axis of rows each.
fn product(a: &Raw, b: &Raw) -> Vec<f64> {
    let (rows, inner) = (a.shape[0], b.shape[0]);
    let columns = values(b).len() / inner;
    let (a, b) = (values(a), values(b));
    let entry = |at: usize| -> f64 {
        let (row, column) = (at / columns, at % columns);
        (0..inner)
            .map(|i| a[row * inner + i] * b[i * columns + column])
            .sum()
    };
    (0..rows * columns).map(entry).collect()
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn adapter(&self, tensors: &[(&str, Raw)], strength: f32) -> Adapter {
        let tensors: RawTensors = tensors
            .iter()
            .map(|(name, raw)| ((*name).to_owned(), raw.clone()))
            .collect();
        // Under a new name each time: another adapter may still be mapped.
        let count = std::fs::read_dir(self.0.path()).unwrap().count();
        let path = write_safetensors(self.0.path(), &format!("{count}.safetensors"), &tensors);
        Adapter::open(&path, strength).unwrap()
    }
}

fn network() -> Checkpoint {
    Checkpoint::open(&golden("t2v")).unwrap()
}

fn merged(adapters: &[Adapter]) -> Checkpoint {
    network().with_adapters(adapters).unwrap()
}

/// That `name` is what it was and `scale · delta`, and nothing else has changed.
#[track_caller]
fn assert_changed(checkpoint: &Checkpoint, name: &str, scale: f64, delta: &[f64]) {
    let plain = network();
    for (tensor, ..) in plain.tensors() {
        let before = plain.values(tensor).unwrap();
        let after = checkpoint.values(tensor).unwrap();
        if tensor != name {
            assert_eq!(before, after, "{tensor} changed");
            continue;
        }
        assert_eq!(before.len(), delta.len(), "{name}");
        for ((before, after), delta) in before.iter().zip(after).zip(delta) {
            let want = f64::from(*before) + scale * delta;
            assert!(
                (f64::from(after) - want).abs() < 1e-5,
                "{name}: {after} {want}"
            );
        }
    }
}

#[test]
fn every_naming_of_a_lora_is_merged() {
    let folder = Folder::new();
    let (down, up) = (raw(&[3, 24], 1), raw(&[24, 3], 2));
    let delta = product(&up, &down);
    let target = "blocks.1.attn1.to_q.weight";
    for (module, names) in [
        (
            "transformer.blocks.1.attn1.to_q",
            ["lora_A.weight", "lora_B.weight"],
        ),
        (
            "blocks.1.attn1.to_q",
            ["lora_A.default.weight", "lora_B.default.weight"],
        ),
        (
            "base_model.model.blocks.1.attn1.to_q",
            ["lora_A.weight", "lora_B.weight"],
        ),
        (
            "diffusion_model.blocks.1.self_attn.q",
            ["lora_A.weight", "lora_B.weight"],
        ),
        (
            "diffusion_model.blocks.1.self_attn.q",
            ["lora_down.weight", "lora_up.weight"],
        ),
        (
            "lora_unet_blocks_1_self_attn_q",
            ["lora_down.weight", "lora_up.weight"],
        ),
        (
            "lora_transformer_blocks_1_attn1_to_q",
            ["lora.down.weight", "lora.up.weight"],
        ),
    ] {
        let keys = names.map(|name| format!("{module}.{name}"));
        let alpha = format!("{module}.alpha");
        let plain = [(keys[0].as_str(), down.clone()), (&keys[1], up.clone())];
        assert_changed(&merged(&[folder.adapter(&plain, 0.5)]), target, 0.5, &delta);
        let with_alpha = [&plain[..], &[(&alpha, Raw::f32(&[], &[6.0]))]].concat();
        let adapter = folder.adapter(&with_alpha, -0.5);
        assert_changed(&merged(&[adapter]), target, -0.5 * 6.0 / 3.0, &delta);
    }
    // One after the other, and in half precision.
    let half = |raw: &Raw| Raw {
        dtype: Dtype::F16,
        shape: raw.shape.clone(),
        bytes: raw
            .bytes
            .as_chunks()
            .0
            .iter()
            .flat_map(|b| half::f16::from_f32(f32::from_le_bytes(*b)).to_le_bytes())
            .collect(),
    };
    let round = |raw: &Raw| -> Raw {
        let rounded: Vec<f32> = values(raw)
            .iter()
            .map(|v| half::f16::from_f64(*v).to_f32())
            .collect();
        Raw::f32(&raw.shape, &rounded)
    };
    let adapter = |strength| {
        let key = |part: &str| format!("transformer.blocks.1.attn1.to_q.lora_{part}.weight");
        folder.adapter(
            &[(&key("A"), half(&down)), (&key("B"), half(&up))],
            strength,
        )
    };
    let delta = product(&round(&up), &round(&down));
    assert_changed(
        &merged(&[adapter(0.75), adapter(0.5)]),
        target,
        1.25,
        &delta,
    );
}

/// Of the other layers that adapters change.
#[test]
fn other_layers_are_found() {
    let folder = Folder::new();
    for (module, target, shape) in [
        (
            "diffusion_model.blocks.0.cross_attn.o",
            "blocks.0.attn2.to_out.0.weight",
            [24, 24],
        ),
        (
            "lora_unet_blocks_0_ffn_0",
            "blocks.0.ffn.net.0.proj.weight",
            [20, 24],
        ),
        (
            "lycoris_blocks_0_ffn_2",
            "blocks.0.ffn.net.2.weight",
            [24, 20],
        ),
        ("diffusion_model.head.head", "proj_out.weight", [16, 24]),
        (
            "diffusion_model.time_projection.1",
            "condition_embedder.time_proj.weight",
            [144, 24],
        ),
        (
            "transformer.condition_embedder.text_embedder.linear_1",
            "condition_embedder.text_embedder.linear_1.weight",
            [24, 8],
        ),
        // A convolution: 4 channels of 1 × 2 × 2.
        (
            "diffusion_model.patch_embedding",
            "patch_embedding.weight",
            [24, 16],
        ),
    ] {
        let (down, up) = (raw(&[2, shape[1]], 3), raw(&[shape[0], 2], 4));
        let keys = ["down", "up"].map(|name| format!("{module}.lora_{name}.weight"));
        let adapter = folder.adapter(&[(&keys[0], down.clone()), (&keys[1], up.clone())], 1.0);
        assert_changed(&merged(&[adapter]), target, 1.0, &product(&up, &down));
    }
}

#[test]
fn differences_are_added() {
    let folder = Folder::new();
    for (key, target, shape) in [
        (
            "diffusion_model.blocks.0.self_attn.v.diff",
            "blocks.0.attn1.to_v.weight",
            &[24, 24][..],
        ),
        (
            "diffusion_model.blocks.0.self_attn.v.diff_b",
            "blocks.0.attn1.to_v.bias",
            &[24],
        ),
        (
            "transformer.blocks.0.attn1.to_v.lora_B.bias",
            "blocks.0.attn1.to_v.bias",
            &[24],
        ),
        (
            "diffusion_model.blocks.0.norm3.diff",
            "blocks.0.norm2.weight",
            &[24],
        ),
        (
            "diffusion_model.blocks.0.norm3.diff_b",
            "blocks.0.norm2.bias",
            &[24],
        ),
        (
            "diffusion_model.blocks.0.diff_m",
            "blocks.0.scale_shift_table",
            &[1, 6, 24],
        ),
        (
            "diffusion_model.head.diff_m",
            "scale_shift_table",
            &[1, 2, 24],
        ),
    ] {
        let difference = raw(shape, 5);
        let delta = values(&difference);
        let adapter = folder.adapter(&[(key, difference)], 2.0);
        assert_changed(&merged(&[adapter]), target, 2.0, &delta);
    }
}

/// `first ⊗ second`, of matrices that are given row by row.
fn kronecker(first: &[f64], columns: usize, second: &[f64], second_columns: usize) -> Vec<f64> {
    let mut out = Vec::new();
    for row in first.chunks(columns) {
        for own in second.chunks(second_columns) {
            out.extend(row.iter().flat_map(|a| own.iter().map(move |b| a * b)));
        }
    }
    out
}

#[test]
fn lokr_is_a_kronecker_product() {
    let folder = Folder::new();
    let module = "lycoris_blocks_0_self_attn_k";
    let target = "blocks.0.attn1.to_k.weight";
    let key = |part: &str| format!("{module}.{part}");
    let alpha = |value: f32| (key("alpha"), Raw::f32(&[], &[value]));
    let check = |tensors: &[(String, Raw)], scale: f64, delta: &[f64]| {
        let tensors: Vec<(&str, Raw)> = tensors
            .iter()
            .map(|(name, raw)| (name.as_str(), raw.clone()))
            .collect();
        assert_changed(
            &merged(&[folder.adapter(&tensors, 0.5)]),
            target,
            0.5 * scale,
            delta,
        );
    };
    // Both whole: no rank, and alpha says nothing.
    let (first, second) = (raw(&[4, 2], 6), raw(&[6, 12], 7));
    let delta = kronecker(&values(&first), 2, &values(&second), 12);
    let whole = [
        (key("lokr_w1"), first.clone()),
        (key("lokr_w2"), second),
        alpha(8.0),
    ];
    check(&whole, 1.0, &delta);
    // The second of rank 2, then the first of rank 3 too: the second's counts.
    let (a, b) = (raw(&[6, 2], 8), raw(&[2, 12], 9));
    let delta = kronecker(&values(&first), 2, &product(&a, &b), 12);
    let thin = [
        (key("lokr_w2_a"), a.clone()),
        (key("lokr_w2_b"), b.clone()),
        alpha(8.0),
    ];
    check(
        &[&[(key("lokr_w1"), first)], &thin[..]].concat(),
        4.0,
        &delta,
    );
    let (c, d) = (raw(&[4, 3], 10), raw(&[3, 2], 11));
    let delta = kronecker(&product(&c, &d), 2, &product(&a, &b), 12);
    let both = [(key("lokr_w1_a"), c), (key("lokr_w1_b"), d)];
    check(&[&both[..], &thin[..]].concat(), 4.0, &delta);
}

/// `Σ core[i, j, tap] · a[i, p] · b[j, r]`, as LyCORIS's `rebuild_tucker`.
#[test]
fn lokr_of_a_convolution_is_put_together() {
    let folder = Folder::new();
    let first = raw(&[2, 1], 12);
    let (core, a, b) = (
        raw(&[3, 2, 1, 2, 2], 13),
        raw(&[3, 12], 14),
        raw(&[2, 4], 15),
    );
    let (core_values, a_values, b_values) = (values(&core), values(&a), values(&b));
    let mut second = Vec::new();
    for p in 0..12 {
        for r in 0..4 {
            for tap in 0..4 {
                let pairs = (0..3).flat_map(|i| (0..2).map(move |j| (i, j)));
                let sum = pairs.map(|(i, j)| {
                    core_values[(i * 2 + j) * 4 + tap] * a_values[i * 12 + p] * b_values[j * 4 + r]
                });
                second.push(sum.sum::<f64>());
            }
        }
    }
    let delta = kronecker(&values(&first), 1, &second, 16);
    let key = |part: &str| format!("diffusion_model.patch_embedding.lokr_{part}");
    let adapter = folder.adapter(
        &[
            (&key("w1"), first),
            (&key("t2"), core),
            (&key("w2_a"), a),
            (&key("w2_b"), b),
        ],
        1.0,
    );
    assert_changed(&merged(&[adapter]), "patch_embedding.weight", 1.0, &delta);
}

#[test]
fn what_does_not_fit_is_listed() {
    let folder = Folder::new();
    let refused =
        |tensors: &[(&str, Raw)]| match network().with_adapters(&[folder.adapter(tensors, 1.0)]) {
            Err(Error::Adapter { problems, .. }) => problems,
            other => panic!("expected problems, got {:?}", other.map(|_| ())),
        };
    let good = "diffusion_model.blocks.0.self_attn.q";
    let problems = refused(&[
        (&format!("{good}.lora_down.weight"), raw(&[2, 24], 1)),
        (&format!("{good}.lora_up.weight"), raw(&[24, 2], 2)),
        (
            "diffusion_model.blocks.7.self_attn.q.lora_down.weight",
            raw(&[2, 24], 1),
        ),
        ("lora_te_text_model_q.lora_up.weight", raw(&[24, 2], 2)),
        (
            "diffusion_model.blocks.0.self_attn.q.dora_scale",
            raw(&[24], 2),
        ),
        ("something", raw(&[1], 2)),
    ]);
    assert_eq!(problems.unmatched.len(), 4, "{problems}");
    assert!(problems.unmatched.contains(&"something".to_owned()));
    let problems = refused(&[(&format!("{good}.lora_down.weight"), raw(&[2, 24], 1))]);
    assert_eq!(problems.missing, [format!("{good}.lora_up")]);
    let problems = refused(&[(&format!("{good}.lokr_w1"), raw(&[2, 24], 1))]);
    assert_eq!(problems.missing.len(), 1, "{problems}");
    let problems = refused(&[(&format!("{good}.alpha"), raw(&[], 1))]);
    assert_eq!(problems.unmatched, [format!("{good}.alpha")]);
    let text = Raw {
        dtype: Dtype::I64,
        shape: vec![1],
        bytes: vec![0; 8],
    };
    let problems = refused(&[(&format!("{good}.diff"), text)]);
    assert_eq!(problems.types, [format!("{good}.diff (I64)")]);
    // A norm has no low rank, but it has a bias to change; a key of both namings is there twice.
    let same = [
        ("diffusion_model.blocks.0.self_attn.q.diff_b", raw(&[24], 1)),
        ("transformer.blocks.0.attn1.to_q.diff_b", raw(&[24], 1)),
    ];
    assert_eq!(refused(&same).unmatched.len(), 1);
    let norm = [(
        "diffusion_model.blocks.0.self_attn.norm_q.diff_b",
        raw(&[24], 1),
    )];
    assert_eq!(refused(&norm).unmatched.len(), 1);
}

#[test]
fn wrong_shapes_are_listed() {
    let folder = Folder::new();
    let good = "diffusion_model.blocks.0.self_attn.q";
    for parts in [
        &[
            ("lora_down.weight", vec![2, 23]),
            ("lora_up.weight", vec![24, 2]),
        ][..],
        &[
            ("lora_down.weight", vec![2, 24]),
            ("lora_up.weight", vec![24, 3]),
        ],
        &[
            ("lora_down.weight", vec![24]),
            ("lora_up.weight", vec![24, 24]),
        ],
        &[("lora_down.weight", vec![]), ("lora_up.weight", vec![])],
        &[
            ("lora_down.weight", vec![0, 24]),
            ("lora_up.weight", vec![23, 0]),
        ],
        &[
            ("lora_down.weight", vec![2, 24]),
            ("lora_up.weight", vec![24, 2]),
            ("alpha", vec![2]),
        ],
        &[("diff", vec![24])],
        &[("diff_b", vec![25])],
        &[("lokr_w1", vec![5, 2]), ("lokr_w2", vec![6, 12])],
        &[
            ("lokr_w1", vec![4, 2]),
            ("lokr_w2_a", vec![6, 2]),
            ("lokr_w2_b", vec![3, 12]),
        ],
        &[
            ("lokr_w1", vec![2, 1]),
            ("lokr_w2_a", vec![3, 12]),
            ("lokr_w2_b", vec![2, 4]),
            ("lokr_t2", vec![3]),
        ],
    ] {
        let tensors: Vec<(String, Raw)> = parts
            .iter()
            .map(|(part, shape)| (format!("{good}.{part}"), raw(shape, 1)))
            .collect();
        let tensors: Vec<(&str, Raw)> = tensors
            .iter()
            .map(|(name, raw)| (name.as_str(), raw.clone()))
            .collect();
        let error = network()
            .with_adapters(&[folder.adapter(&tensors, 1.0)])
            .unwrap_err();
        let Error::Adapter { problems, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!(problems.shapes.len(), 1, "{parts:?}: {error}");
    }
    assert!(matches!(
        Adapter::open(&golden("t2v"), f32::NAN),
        Err(Error::Inputs(_))
    ));
}
