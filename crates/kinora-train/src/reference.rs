//! The lexicon: names of the subjects and latents of a picture of each.

use burn::tensor::{Device, Tensor, TensorData};
use kinora_data::Pack;
use kinora_models::mini::autoencoder::Autoencoder;
use kinora_models::mini::config::AutoencoderConfig;
use kinora_models::mini::lexicon::{
    Entry, Lexicon, REFERENCE_SIDE, REFERENCE_SIZE, REFERENCE_STRIDE, REFERENCE_TOKENS,
};
use kinora_models::weights::floats;

/// Grey behind a reference picture, in −1 to 1.
const BACKDROP: f32 = 0.0;

/// Builds the lexicon of a pack with the autoencoder's linear code.
pub(crate) fn lexicon(
    pack: &Pack,
    autoencoder: &Autoencoder,
    config: &AutoencoderConfig,
    device: &Device,
) -> Lexicon {
    let entries = pack
        .entries()
        .iter()
        .map(|entry| Entry {
            name: entry.name_en.clone(),
            phrases: std::iter::once(&entry.name_zh)
                .chain(&entry.synonyms_en)
                .chain(&entry.synonyms_zh)
                .cloned()
                .collect(),
        })
        .collect();
    let mut latents = Vec::new();
    for subject in 0..pack.len() {
        let patches = overlapping_patches(&picture(pack, subject), config);
        let shape = [1, 1, REFERENCE_SIDE, REFERENCE_SIDE, config.patch_values()];
        let patches = Tensor::<5>::from_data(TensorData::new(patches, shape), device);
        let tokens = floats(autoencoder.encode_tokens(patches));
        debug_assert_eq!(tokens.len(), REFERENCE_TOKENS * config.latent_channels);
        latents.extend(tokens);
    }
    Lexicon::new(entries, latents)
}

/// First frame of a subject over grey, `REFERENCE_SIZE²` pixels of RGB in −1 to 1.
fn picture(pack: &Pack, subject: usize) -> Vec<f32> {
    let side = pack.sprite_size();
    let sprite = pack.frame(subject, 0);
    let scale = side as f32 / REFERENCE_SIZE as f32;
    let mut pixels = Vec::with_capacity(REFERENCE_SIZE * REFERENCE_SIZE * 3);
    let span = |i: usize| {
        let start = i as f32 * scale;
        let end = start + scale;
        (start as usize..(end.ceil() as usize).min(side)).map(move |p| {
            let overlap = (p as f32 + 1.0).min(end) - (p as f32).max(start);
            (p, overlap / scale)
        })
    };
    for y in 0..REFERENCE_SIZE {
        for x in 0..REFERENCE_SIZE {
            let mut rgba = [0.0; 4];
            for (sy, wy) in span(y) {
                for (sx, wx) in span(x) {
                    let source = &sprite[(sy * side + sx) * 4..][..4];
                    for (sum, &byte) in rgba.iter_mut().zip(source) {
                        *sum += f32::from(byte) * wy * wx;
                    }
                }
            }
            let alpha = rgba[3] / 255.0;
            pixels.extend(
                rgba[..3]
                    .iter()
                    .map(|premultiplied| premultiplied / 127.5 - alpha + BACKDROP * (1.0 - alpha)),
            );
        }
    }
    pixels
}

/// Patches of a still picture at the lexicon's stride, each repeated over the patch's frames.
fn overlapping_patches(pixels: &[f32], config: &AutoencoderConfig) -> Vec<f32> {
    let p = config.patch;
    let mut patches = Vec::with_capacity(REFERENCE_TOKENS * config.patch_values());
    for y in 0..REFERENCE_SIDE {
        for x in 0..REFERENCE_SIDE {
            for _ in 0..config.patch_frames {
                for line in 0..p {
                    let row = y * REFERENCE_STRIDE + line;
                    let start = (row * REFERENCE_SIZE + x * REFERENCE_STRIDE) * 3;
                    patches.extend_from_slice(&pixels[start..start + p * 3]);
                }
            }
        }
    }
    patches
}
