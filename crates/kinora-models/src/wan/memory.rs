//! How much memory each stage of a clip needs, before anything is loaded.
//!
//! Weights are counted; what the networks hold beside them is estimated from the tensors that live at the same time where
//! each network is widest.

use kinora_kernels::cpu;

use super::conditioning::Conditioning;
use super::config::ImageConfig;
use super::folder::Folder;
use super::parts::Part;
use super::prompt::TEXT_TOKENS;
use super::tiles::Tiling;
use crate::{KnownFrames, StageMemory};

/// Networks run in f32. The weights of linear layers stay as they are stored.
const BYTES: u64 = 4;
/// Clips are sampled with a prompt and a negative one.
const PROMPTS: u64 = 2;
/// Tensors of a token's width that live at once in a block of the transformer: the residual, the normed input, queries,
/// keys, values, what was mixed, and copies on the way.
const WIDE_TENSORS: u64 = 8;
/// Hidden tensors of a perceptron that live at once.
const HIDDEN_TENSORS: u64 = 2;
/// Tensors of the frames' full size that live at once in the last blocks of the decoder.
const FULL_TENSORS: u64 = 5;
/// Frames that the allocator holds between them.
const HELD_FRAMES: u64 = 7;
/// Frames that a convolution over frames remembers.
const TAIL: u64 = 2;

/// Text, pictures, sampling and decoding of a clip of `frames` frames of `size` (`[width, height]` in pixels). Where decoding
/// whole frames takes more than `free` bytes, it is done [in tiles](super::tiles), and the stage says so.
///
/// Weights are bytes of a mapped file where they stay as they are stored: a system that is short of memory drops them, and
/// then each step reads them again.
pub fn stages(
    folder: &Folder,
    size: [usize; 2],
    frames: usize,
    free: Option<u64>,
) -> Vec<StageMemory> {
    let mut stages = vec![stage("text", text(folder))];
    if let Some(config) = &folder.image {
        stages.push(stage("pictures", pictures(folder, config)));
    }
    if matches!(folder.known_frames(), KnownFrames::Shown(_)) {
        stages.push(stage("encode", encode(folder, size, frames)));
    }
    stages.push(stage("sampling", sampling(folder, size, frames)));
    stages.push(match tiling(folder, size, free) {
        None => stage("decode", decode(folder, size)),
        Some(tiling) => {
            let [weights, numbers] = decode(folder, tiling.tile_size());
            // All frames are put together before the first is given.
            let clip = (3 * frames * size[0] * size[1]) as u64;
            stage("decode in tiles", [weights, numbers + clip])
        }
    });
    stages
}

fn stage(stage: &'static str, [weights, numbers]: [u64; 2]) -> StageMemory {
    StageMemory {
        stage,
        weights,
        working: numbers.saturating_mul(BYTES),
    }
}

/// How pictures are cut for the decoder, where whole ones do not fit into `free` bytes and smaller ones help.
pub(super) fn tiling(folder: &Folder, size: [usize; 2], free: Option<u64>) -> Option<Tiling> {
    if stage("decode", decode(folder, size)).total() <= free? {
        return None;
    }
    let stride = folder.autoencoder.spatial_stride();
    let [width, height] = size.map(|pixels| pixels / stride);
    Tiling::new([height, width], stride)
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

/// The image encoder, which sees at most two pictures.
fn pictures(folder: &Folder, config: &ImageConfig) -> [u64; 2] {
    const PICTURES: u64 = 2;
    let [width, hidden, heads] = [
        config.hidden_size,
        config.intermediate_size,
        config.num_attention_heads,
    ]
    .map(|n| n as u64);
    let tokens = 1 + (config.side() * config.side()) as u64;
    let living = tokens * (WIDE_TENSORS * width + HIDDEN_TENSORS * hidden);
    let scores = 3 * heads * tokens * tokens;
    [
        stored(folder, "image_encoder"),
        PICTURES * (living + scores),
    ]
}

fn latent_frames(folder: &Folder, frames: usize) -> usize {
    let stride = folder.autoencoder.temporal_stride();
    1 + frames.saturating_sub(1).div_ceil(stride)
}

fn sampling(folder: &Folder, size: [usize; 2], frames: usize) -> [u64; 2] {
    let config = &folder.transformer;
    let [width, hidden] = [config.width(), config.ffn_dim].map(|n| n as u64);
    let stride = folder.autoencoder.spatial_stride();
    let [_, rows, columns] = config.patch_size;
    let places = (size[0] / stride / columns) * (size[1] / stride / rows);
    let tokens = (latent_frames(folder, frames) * places) as u64;
    // Of two experts one is in memory.
    let weights = match folder.in_8_bits {
        // A byte for each, whatever they take in the file.
        true => part(folder, "transformer").map_or(0, |part| part.elements),
        false => stored(folder, "transformer"),
    };
    // A second branch leaves its own tokens and one hint.
    let branch = match folder.conditioning {
        Conditioning::Control(_) => 2,
        _ => 0,
    };
    let living = tokens * ((WIDE_TENSORS + branch) * width + HIDDEN_TENSORS * hidden);
    let beside = (beside_channels(folder) * rows * columns) as u64 * tokens;
    [weights, contexts(folder) + living + beside]
}

/// Channels of what is shown beside the latents.
fn beside_channels(folder: &Folder) -> usize {
    match &folder.conditioning {
        Conditioning::Control(config) => config.vace_in_channels,
        _ => folder.transformer.in_channels - folder.transformer.channels_out(),
    }
}

/// Keys and values of the prompts in each block, which stay until the clip is made.
fn contexts(folder: &Folder) -> u64 {
    let config = &folder.transformer;
    let layers = config.num_layers as u64;
    let branch = match &folder.conditioning {
        Conditioning::Control(config) => config.vace_layers.len() as u64,
        _ => 0,
    };
    let image = folder.image.as_ref().map_or(0, |image| {
        let pictures = 1 + usize::from(config.pos_embed_seq_len.is_some());
        pictures * (1 + image.side() * image.side())
    });
    PROMPTS * (layers + branch) * 2 * ((TEXT_TOKENS + image) * config.width()) as u64
}

/// The encoder, which takes a latent frame at a time, and what it leaves of a clip. Nothing of the transformers is there yet.
fn encode(folder: &Folder, size: [usize; 2], frames: usize) -> [u64; 2] {
    let config = &folder.autoencoder;
    let stride = config.spatial_stride();
    let latents = (size[0] / stride * (size[1] / stride) * latent_frames(folder, frames)) as u64;
    let kept = latents * beside_channels(folder) as u64;
    let channels = config.base_dim * config.dim_mult[0];
    let frames = folder.autoencoder.temporal_stride();
    [
        vae_weights(folder),
        kept + at_full_size(folder, size, channels, frames),
    ]
}

fn decode(folder: &Folder, size: [usize; 2]) -> [u64; 2] {
    let config = &folder.autoencoder;
    let channels = config.decoder_dim() * config.dim_mult[0];
    [
        vae_weights(folder),
        // Large frames go through one by one.
        contexts(folder) + at_full_size(folder, size, channels, 1),
    ]
}

fn vae_weights(folder: &Folder) -> u64 {
    part(folder, "vae").map_or(0, |part| part.elements.saturating_mul(rounded_bytes()))
}

/// Bytes of a weight of a convolution, and of a number that one remembers.
fn rounded_bytes() -> u64 {
    if cpu::level().has_bf16() { 2 } else { BYTES }
}

/// What one direction of the autoencoder holds, which is widest where frames have their full size: `frames` of them at once.
fn at_full_size(folder: &Folder, size: [usize; 2], channels: usize, frames: usize) -> u64 {
    let config = &folder.autoencoder;
    let patch = config.patch();
    let full = (size[0] / patch * (size[1] / patch)) as u64;
    let frame = full * channels as u64;
    // Two in each block, and the last one.
    let convolutions = 2 * (config.num_res_blocks as u64 + 1) + 1;
    // Each smaller size has twice the channels on a quarter of the places: half, and all of them together as much again.
    let tails = 2 * convolutions * TAIL * frame;
    tails * rounded_bytes() / BYTES + (FULL_TENSORS * frames as u64 + HELD_FRAMES) * frame
}
