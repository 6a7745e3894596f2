//! Names of the transformers in Wan's own files, which ComfyUI and GGUF files keep: `wan/modules/model.py` and
//! `vace_model.py` of `Wan-Video/Wan2.1`.

use super::{Table, Tensors, numbered, renamed, replace, replace_back};

const BLOCK: &Table = &[
    ("self_attn.q", "attn1.to_q"),
    ("self_attn.k", "attn1.to_k"),
    ("self_attn.v", "attn1.to_v"),
    ("self_attn.o", "attn1.to_out.0"),
    ("self_attn.norm_q", "attn1.norm_q"),
    ("self_attn.norm_k", "attn1.norm_k"),
    ("cross_attn.q", "attn2.to_q"),
    ("cross_attn.k", "attn2.to_k"),
    ("cross_attn.v", "attn2.to_v"),
    ("cross_attn.o", "attn2.to_out.0"),
    ("cross_attn.norm_q", "attn2.norm_q"),
    ("cross_attn.norm_k", "attn2.norm_k"),
    ("cross_attn.k_img", "attn2.add_k_proj"),
    ("cross_attn.v_img", "attn2.add_v_proj"),
    ("cross_attn.norm_k_img", "attn2.norm_added_k"),
    ("ffn.0", "ffn.net.0.proj"),
    ("ffn.2", "ffn.net.2"),
    ("norm3", "norm2"),
    ("modulation", "scale_shift_table"),
    ("before_proj", "proj_in"),
    ("after_proj", "proj_out"),
];

const ELSEWHERE: &Table = &[
    (
        "time_embedding.0",
        "condition_embedder.time_embedder.linear_1",
    ),
    (
        "time_embedding.2",
        "condition_embedder.time_embedder.linear_2",
    ),
    ("time_projection.1", "condition_embedder.time_proj"),
    (
        "text_embedding.0",
        "condition_embedder.text_embedder.linear_1",
    ),
    (
        "text_embedding.2",
        "condition_embedder.text_embedder.linear_2",
    ),
    ("img_emb.proj.0", "condition_embedder.image_embedder.norm1"),
    (
        "img_emb.proj.1",
        "condition_embedder.image_embedder.ff.net.0.proj",
    ),
    (
        "img_emb.proj.3",
        "condition_embedder.image_embedder.ff.net.2",
    ),
    ("img_emb.proj.4", "condition_embedder.image_embedder.norm2"),
    (
        "img_emb.emb_pos",
        "condition_embedder.image_embedder.pos_embed",
    ),
    ("head.head", "proj_out"),
    ("head.modulation", "scale_shift_table"),
    ("patch_embedding", "patch_embedding"),
    ("vace_patch_embedding", "vace_patch_embedding"),
];

/// The lists of blocks.
const LISTS: [&str; 2] = ["blocks.", "vace_blocks."];

/// The name that the original files give to a module of the networks.
pub(in super::super) fn original_module(name: &str) -> Option<String> {
    let in_block = LISTS.into_iter().find_map(|list| {
        let (block, rest) = numbered(name, list)?;
        Some(format!("{list}{block}.{}", replace_back(BLOCK, rest)?))
    });
    in_block.or_else(|| replace_back(ELSEWHERE, name))
}

/// A name in the original files as the networks have it.
fn module(name: &str) -> Option<String> {
    LISTS
        .into_iter()
        .find_map(|list| {
            let (block, rest) = numbered(name, list)?;
            Some(format!("{list}{block}.{}", replace(BLOCK, rest)?))
        })
        .or_else(|| replace(ELSEWHERE, name))
}

pub(super) fn from_original(tensors: Tensors) -> Tensors {
    let mut tensors = renamed(tensors, module);
    // ggml has four axes, of which the first is then two of ours.
    for patches in ["patch_embedding", "vace_patch_embedding"] {
        let width = tensors
            .get(&format!("{patches}.bias"))
            .map_or(0, |bias| bias.len());
        let Some(kernel) = tensors.get_mut(&format!("{patches}.weight")) else {
            continue;
        };
        if let [both, frames, rows, columns] = kernel.shape[..]
            && width > 0
            && both % width == 0
        {
            kernel.shape = vec![width, both / width, frames, rows, columns];
        }
    }
    tensors
}
