//! Names of the text encoder: in Wan's own files (`wan/modules/t5.py`) and in llama.cpp's GGUF files
//! (`gguf-py/gguf/tensor_mapping.py`).

use super::{Table, Tensors, numbered, renamed, replace};

const ORIGINAL_BLOCK: &Table = &[
    ("norm1", "layer.0.layer_norm"),
    ("attn.q", "layer.0.SelfAttention.q"),
    ("attn.k", "layer.0.SelfAttention.k"),
    ("attn.v", "layer.0.SelfAttention.v"),
    ("attn.o", "layer.0.SelfAttention.o"),
    (
        "pos_embedding.embedding",
        "layer.0.SelfAttention.relative_attention_bias",
    ),
    ("norm2", "layer.1.layer_norm"),
    ("ffn.gate.0", "layer.1.DenseReluDense.wi_0"),
    ("ffn.fc1", "layer.1.DenseReluDense.wi_1"),
    ("ffn.fc2", "layer.1.DenseReluDense.wo"),
];

const ORIGINAL: &Table = &[
    ("token_embedding", "shared"),
    ("norm", "encoder.final_layer_norm"),
];

const LLAMA_CPP_BLOCK: &Table = &[
    ("attn_norm", "layer.0.layer_norm"),
    ("attn_q", "layer.0.SelfAttention.q"),
    ("attn_k", "layer.0.SelfAttention.k"),
    ("attn_v", "layer.0.SelfAttention.v"),
    ("attn_o", "layer.0.SelfAttention.o"),
    (
        "attn_rel_b",
        "layer.0.SelfAttention.relative_attention_bias",
    ),
    ("ffn_norm", "layer.1.layer_norm"),
    ("ffn_gate", "layer.1.DenseReluDense.wi_0"),
    ("ffn_up", "layer.1.DenseReluDense.wi_1"),
    ("ffn_down", "layer.1.DenseReluDense.wo"),
];

const LLAMA_CPP: &Table = &[
    ("token_embd", "shared"),
    ("enc.output_norm", "encoder.final_layer_norm"),
];

pub(super) fn from_original(tensors: Tensors) -> Tensors {
    renamed(tensors, |name| {
        in_blocks(name, "blocks.", ORIGINAL_BLOCK).or_else(|| replace(ORIGINAL, name))
    })
}

pub(super) fn from_llama_cpp(tensors: Tensors) -> Tensors {
    renamed(tensors, |name| {
        in_blocks(name, "enc.blk.", LLAMA_CPP_BLOCK).or_else(|| replace(LLAMA_CPP, name))
    })
}

fn in_blocks(name: &str, list: &str, table: &Table) -> Option<String> {
    let (block, rest) = numbered(name, list)?;
    Some(format!("encoder.block.{block}.{}", replace(table, rest)?))
}
