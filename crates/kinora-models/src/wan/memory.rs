//! How much memory each stage of a clip needs, before anything is loaded.
//!
//! Weights are counted; what the networks hold beside them is estimated from the tensors that live at the same time where
//! each network is widest.

use super::folder::Folder;
use super::parts::Part;
use super::prompt::TEXT_TOKENS;
use crate::StageMemory;

/// Networks run in f32; so are the weights of convolutions. Those of linear layers stay as they are stored.
const BYTES: u64 = 4;
/// Clips are sampled with a prompt and a negative one.
const PROMPTS: u64 = 2;
/// Tensors of a token's width that live at once in a block of the transformer: the residual, the normed input, queries,
/// keys, values, what was mixed, and copies on the way.
const WIDE_TENSORS: u64 = 8;
/// Hidden tensors of a perceptron that live at once.
const HIDDEN_TENSORS: u64 = 2;
/// Tensors of a frame's full size that live at once in the last blocks of the decoder.
const FULL_TENSORS: u64 = 5;
/// Frames that a convolution over frames remembers.
const TAIL: u64 = 2;

/// Text, sampling and decoding of a clip of `frames` frames of `size` (`[width, height]` in pixels).
///
/// Weights are bytes of a mapped file where they stay as they are stored: a system that is short of memory drops them, and
/// then each step reads them again.
pub fn stages(folder: &Folder, size: [usize; 2], frames: usize) -> [StageMemory; 3] {
    let stage = |stage, [weights, numbers]: [u64; 2]| StageMemory {
        stage,
        weights,
        working: numbers.saturating_mul(BYTES),
    };
    [
        stage("text", text(folder)),
        stage("sampling", sampling(folder, size, frames)),
        stage("decode", decode(folder, size)),
    ]
}

fn part<'a>(folder: &'a Folder, name: &str) -> Option<&'a Part> {
    folder.parts.iter().find(|found| found.name == name)
}

/// Bytes of a part as it is stored.
fn stored(folder: &Folder, name: &str) -> u64 {
    part(folder, name).map_or(0, |part| part.bytes)
}

/// Bytes of a part, and numbers beside it.
fn text(folder: &Folder) -> [u64; 2] {
    let config = &folder.text;
    let [width, hidden, heads] = [config.d_model, config.d_ff, config.num_heads].map(|n| n as u64);
    let tokens = TEXT_TOKENS as u64;
    // Of the embedding only the rows of a prompt's tokens are read.
    let embedding = config.vocab_size as u64 * width;
    let weights = part(folder, "text_encoder").map_or(0, |part| {
        let others = part.elements.saturating_sub(embedding) as f64 / part.elements.max(1) as f64;
        (part.bytes as f64 * others) as u64
    });
    let scores = 3 * heads * tokens * tokens;
    [
        weights,
        scores + tokens * (WIDE_TENSORS * width + HIDDEN_TENSORS * hidden),
    ]
}

fn sampling(folder: &Folder, size: [usize; 2], frames: usize) -> [u64; 2] {
    let config = &folder.transformer;
    let [width, hidden] = [config.width(), config.ffn_dim].map(|n| n as u64);
    let stride = folder.autoencoder.spatial_stride();
    let [_, rows, columns] = config.patch_size;
    let latent_frames = 1 + frames
        .saturating_sub(1)
        .div_ceil(folder.autoencoder.temporal_stride());
    let tokens = (latent_frames * (size[0] / stride / columns) * (size[1] / stride / rows)) as u64;
    // Of two experts one is in memory.
    let weights = stored(folder, "transformer");
    let living = tokens * (WIDE_TENSORS * width + HIDDEN_TENSORS * hidden);
    [weights, contexts(folder) + living]
}

/// Keys and values of the prompts in each block, which stay until the clip is made.
fn contexts(folder: &Folder) -> u64 {
    let config = &folder.transformer;
    let layers = config.num_layers as u64;
    PROMPTS * layers * 2 * (TEXT_TOKENS * config.width()) as u64
}

fn decode(folder: &Folder, size: [usize; 2]) -> [u64; 2] {
    let config = &folder.autoencoder;
    let patch = config.patch();
    let full = (size[0] / patch * (size[1] / patch)) as u64;
    let frames = config.temporal_stride() as u64;
    let channels = (config.decoder_dim() * config.dim_mult[0]) as u64;
    let frame = full * channels;
    // Two in each block, and the last one.
    let convolutions = 2 * (config.num_res_blocks as u64 + 1) + 1;
    // Each smaller size has twice the channels on a quarter of the places: half, and all of them together as much again.
    let tails = 2 * convolutions * TAIL * frame;
    let living = FULL_TENSORS * frames * frame;
    let weights = part(folder, "vae").map_or(0, |part| part.elements.saturating_mul(BYTES));
    [weights, contexts(folder) + tails + living]
}
