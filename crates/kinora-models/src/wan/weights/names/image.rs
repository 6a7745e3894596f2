//! Names of the image encoder in Wan's own files: `wan/modules/clip.py`, whose vision half stands under `visual.`.

use super::{Table, Tensors, numbered, renamed, replace};

const BLOCK: &Table = &[
    ("norm1", "layer_norm1"),
    ("attn.proj", "self_attn.out_proj"),
    ("norm2", "layer_norm2"),
    ("mlp.0", "mlp.fc1"),
    ("mlp.2", "mlp.fc2"),
];

const ELSEWHERE: &Table = &[
    ("cls_embedding", "embeddings.class_embedding"),
    ("pos_embedding", "embeddings.position_embedding.weight"),
    ("patch_embedding", "embeddings.patch_embedding"),
    // transformers' spelling.
    ("pre_norm", "pre_layrnorm"),
    ("post_norm", "post_layernorm"),
    ("head", "visual_projection.weight"),
];

pub(super) fn from_original(tensors: Tensors) -> Tensors {
    let mut split = Tensors::new();
    for (name, stored) in tensors {
        let parts = block(&name)
            .and_then(|(block, rest)| Some((block, rest.strip_prefix("attn.to_qkv.")?)));
        let third = stored.rows() / 3;
        let Some((block, parameter)) = parts.filter(|_| stored.rows() % 3 == 0) else {
            split.insert(name, stored);
            continue;
        };
        for (i, part) in ["q_proj", "k_proj", "v_proj"].into_iter().enumerate() {
            if let Some(rows) = stored.part(i * third..(i + 1) * third) {
                let name = format!("encoder.layers.{block}.self_attn.{part}.{parameter}");
                split.insert(name, rows);
            }
        }
    }
    renamed(split, |name| {
        block(name)
            .and_then(|(block, rest)| {
                Some(format!("encoder.layers.{block}.{}", replace(BLOCK, rest)?))
            })
            .or_else(|| replace(ELSEWHERE, name))
    })
}

fn block(name: &str) -> Option<(usize, &str)> {
    numbered(name, "transformer.")
}
