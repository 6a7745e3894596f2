//! Decoding in tiles, for pictures whose decoder would not fit into memory: each tile of the latents is decoded through the
//! whole clip, one after the other, and where tiles overlap one fades into the other.
//!
//! As `enable_tiling` of diffusers' `autoencoder_kl_wan.py`: tiles of 256 pixels, 64 of them shared with the next. Here all
//! tiles have one size, with more overlap where the picture is no multiple, so that no tile is a sliver that sees nothing.
//! The result is not that of the whole: the decoder's attention sees a tile and not the picture, and its convolutions see
//! zeros behind a tile's border, which is what the fading hides.

use std::collections::VecDeque;
use std::ops::Range;

use burn::tensor::{Tensor, TensorData};

use super::autoencoder::{Autoencoder, DecodeState};
use crate::Error;
use crate::weights::floats;

/// Pixels of a side of a tile, and those that it shares with the next at least.
const TILE: usize = 256;
const OVERLAP: usize = 64;

/// How a picture of latents is cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tiling {
    rows: Vec<Range<usize>>,
    columns: Vec<Range<usize>>,
    /// Pixels for a latent, in each direction.
    stride: usize,
}

impl Tiling {
    /// Of latents of `[height, width]`, `stride` pixels each; `None` where one tile holds them all.
    pub(super) fn new([height, width]: [usize; 2], stride: usize) -> Option<Self> {
        let cut = |side| cut(side, (TILE / stride).max(2), (OVERLAP / stride).max(1));
        let (rows, columns) = (cut(height), cut(width));
        (rows.len() * columns.len() > 1).then_some(Self {
            rows,
            columns,
            stride,
        })
    }

    /// Pixels of a tile, `[width, height]`.
    pub(super) fn tile_size(&self) -> [usize; 2] {
        [&self.columns, &self.rows].map(|spans| spans[0].len() * self.stride)
    }

    /// Of each pixel of a side how much of it comes from a tile; all tiles together give 1.
    fn weights(&self, spans: &[Range<usize>], index: usize) -> Vec<f32> {
        let stride = self.stride;
        let pixels = |span: &Range<usize>| span.start * stride..span.end * stride;
        let span = pixels(&spans[index]);
        // The part of the way from the start of what two tiles share to its end.
        let way = |pixel: usize, shared: &Range<usize>| {
            (pixel as f32 + 0.5 - shared.start as f32) / shared.len() as f32
        };
        let before = index
            .checked_sub(1)
            .map(|before| span.start..pixels(&spans[before]).end);
        let after = spans
            .get(index + 1)
            .map(|after| pixels(after).start..span.end);
        span.map(|pixel| {
            let rise = before.as_ref().map_or(1.0, |shared| way(pixel, shared));
            let fall = after
                .as_ref()
                .map_or(1.0, |shared| 1.0 - way(pixel, shared));
            rise.clamp(0.0, 1.0) * fall.clamp(0.0, 1.0)
        })
        .collect()
    }
}

/// Spans of one length that cover a side and share at least `overlap` each, but no more than two at one place.
fn cut(side: usize, tile: usize, overlap: usize) -> Vec<Range<usize>> {
    if side <= tile {
        return std::iter::once(0..side).collect();
    }
    let count = (side - overlap).div_ceil(tile - overlap);
    // As small as that many allow: more overlap would be computed twice for nothing.
    let tile = (side + (count - 1) * overlap).div_ceil(count);
    let room = side - tile;
    (0..count)
        .map(|index| {
            let start = index * room / (count - 1);
            start..start + tile
        })
        .collect()
}

/// What decoding carries from one latent frame to the next: the decoder's memory, or frames that are there already.
#[derive(Debug, Default)]
pub struct ClipState {
    pub(super) whole: DecodeState,
    /// Of each latent frame `[1, 3, frames, height, width]`.
    pub(super) ready: VecDeque<Tensor<5>>,
}

/// The frames of a clip, tile by tile: those of each latent frame, `[1, 3, frames, height, width]`.
///
/// # Shapes
///
/// `latents`: of each latent frame `[1, z_dim, 1, height, width]`, of the size that `tiling` is for
///
/// # Errors
///
/// As [`Autoencoder::decode_step`].
pub(super) fn decode(
    autoencoder: &Autoencoder,
    latents: &[Tensor<5>],
    tiling: &Tiling,
) -> Result<VecDeque<Tensor<5>>, Error> {
    let side = |spans: &[Range<usize>]| spans.last().map_or(0, |last| last.end) * tiling.stride;
    let [height, width] = [side(&tiling.rows), side(&tiling.columns)];
    let mut clip: Vec<(Vec<f32>, [usize; 5])> = Vec::with_capacity(latents.len());
    for (i, rows) in tiling.rows.iter().enumerate() {
        let down = tiling.weights(&tiling.rows, i);
        for (j, columns) in tiling.columns.iter().enumerate() {
            let across = tiling.weights(&tiling.columns, j);
            let mut state = DecodeState::default();
            for (place, latent) in latents.iter().enumerate() {
                let part = latent.clone().narrow(3, rows.start, rows.len()).narrow(
                    4,
                    columns.start,
                    columns.len(),
                );
                let video = autoencoder.decode_step(part, &mut state)?;
                let [batch, channels, frames, ..] = video.dims();
                if clip.len() == place {
                    let shape = [batch, channels, frames, height, width];
                    clip.push((vec![0.0; shape.iter().product()], shape));
                }
                let corner = [rows.start, columns.start].map(|latent| latent * tiling.stride);
                add(
                    &mut clip[place].0,
                    [height, width],
                    corner,
                    &floats(video),
                    [&down, &across],
                );
            }
        }
    }
    let device = match latents.first() {
        Some(latent) => latent.device(),
        None => return Ok(VecDeque::new()),
    };
    let frames = clip.into_iter();
    Ok(frames
        .map(|(values, shape)| Tensor::from_data(TensorData::new(values, shape), &device))
        .collect())
}

/// Adds weighted pictures of a tile to those of `size` (`[height, width]`), from a corner on.
fn add(to: &mut [f32], size: [usize; 2], corner: [usize; 2], tile: &[f32], weights: [&[f32]; 2]) {
    let [height, width] = size;
    let [down, across] = weights;
    let rows = tile.chunks_exact(across.len());
    for (index, tile) in rows.enumerate() {
        let (picture, row) = (index / down.len(), index % down.len());
        let start = (picture * height + corner[0] + row) * width + corner[1];
        for ((to, value), weight) in to[start..].iter_mut().zip(tile).zip(across) {
            *to += down[row] * weight * value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_are_even_cover_all_and_their_weights_give_one() {
        assert_eq!(cut(32, 32, 8), Vec::from_iter(Some(0..32)));
        assert_eq!(cut(60, 32, 8), [0..26, 17..43, 34..60]);
        for side in 2..150 {
            for (tile, overlap) in [(32, 8), (16, 4), (2, 1)] {
                let spans = cut(side, tile, overlap);
                assert_eq!(spans[0].start, 0);
                assert_eq!(spans.last().unwrap().end, side);
                assert!(spans.iter().all(|span| span.len() <= tile.max(1)));
                for pair in spans.windows(2) {
                    assert!(pair[0].end - pair[1].start >= overlap, "{side} {spans:?}");
                }
                for three in spans.windows(3) {
                    assert!(three[0].end <= three[2].start, "{side} {spans:?}");
                }
                let tiling = Tiling {
                    rows: spans.clone(),
                    columns: Vec::from_iter(Some(0..1)),
                    stride: 8,
                };
                let mut sums = vec![0.0; side * 8];
                for (index, span) in spans.iter().enumerate() {
                    let weights = tiling.weights(&spans, index);
                    for (sum, weight) in sums[span.start * 8..].iter_mut().zip(weights) {
                        *sum += weight;
                    }
                }
                assert!(
                    sums.iter().all(|sum: &f32| (sum - 1.0).abs() < 1e-5),
                    "{side} {spans:?}"
                );
            }
        }
    }
}
