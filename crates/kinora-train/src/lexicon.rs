//! The lexicon: names of the subjects and a picture of each.

use kinora_data::Pack;
use kinora_models::mini::lexicon::{Entry, Lexicon, PICTURE_SIZE, PICTURE_VALUES};

/// Builds the lexicon of a pack.
pub(crate) fn lexicon(pack: &Pack) -> Lexicon {
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
    let mut pictures = Vec::with_capacity(pack.len() * PICTURE_VALUES);
    for subject in 0..pack.len() {
        pictures.extend(picture(pack, subject));
    }
    Lexicon::new(entries, pictures)
}

/// First frame of a subject, scaled to `PICTURE_SIZE²` pixels of premultiplied RGBA.
fn picture(pack: &Pack, subject: usize) -> Vec<u8> {
    let side = pack.sprite_size();
    let sprite = pack.frame(subject, 0);
    let scale = side as f32 / PICTURE_SIZE as f32;
    let mut pixels = Vec::with_capacity(PICTURE_VALUES);
    let span = |i: usize| {
        let start = i as f32 * scale;
        let end = start + scale;
        (start as usize..(end.ceil() as usize).min(side)).map(move |p| {
            let overlap = (p as f32 + 1.0).min(end) - (p as f32).max(start);
            (p, overlap / scale)
        })
    };
    for y in 0..PICTURE_SIZE {
        for x in 0..PICTURE_SIZE {
            let mut rgba = [0.0; 4];
            for (sy, wy) in span(y) {
                for (sx, wx) in span(x) {
                    let source = &sprite[(sy * side + sx) * 4..][..4];
                    for (sum, &byte) in rgba.iter_mut().zip(source) {
                        *sum += f32::from(byte) * wy * wx;
                    }
                }
            }
            pixels.extend(rgba.map(|value: f32| value.round() as u8));
        }
    }
    pixels
}
