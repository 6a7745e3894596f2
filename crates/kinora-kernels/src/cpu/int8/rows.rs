//! Activations in 8 bits.

use super::block::Engine;
use super::{PER_WORD, STRIP, tiles};
use crate::cpu::level::Level;
use crate::cpu::math::per_level;
use crate::cpu::matrix::MatRef;
use crate::cpu::parallel::{Shared, for_each};
use crate::cpu::scratch::Scratch;

/// Numbers of a row in a tile.
const LEN: usize = PER_WORD * STRIP;

/// A left operand: panels of 16 rows, in a panel one tile after another, each `[16 rows][64 numbers]`.
pub(super) struct Rows {
    words: Scratch,
    scales: Scratch,
    rows: usize,
    tiles: usize,
}

impl Rows {
    /// # Panics
    /// When rows are not contiguous.
    pub(super) fn round(level: Level, engine: Engine, a: MatRef<'_>) -> Self {
        let (rows, k) = (a.rows(), a.cols());
        let tiles = tiles(k);
        let panels = rows.div_ceil(STRIP);
        let panel = tiles * STRIP * STRIP;
        let mut words = Scratch::take(panels * panel);
        let mut scales = Scratch::take(rows);
        let bytes = Shared::from_ptr(words.as_mut_ptr().cast::<u8>());
        let all_scales = Shared::new(scales.floats(rows));
        // Words that are read where numbers end are those of another product, and all the same: the other operand is 0 there, and rows
        // behind the last are not wanted.
        for_each(panels, rows * k, |index| {
            let first = index * STRIP;
            let count = STRIP.min(rows - first);
            // SAFETY: each panel and the scales of its rows are one task's.
            let (panel, scales) = unsafe {
                (
                    bytes.slice(index * panel * PER_WORD, panel * PER_WORD),
                    all_scales.slice(first, count),
                )
            };
            for (lane, scale) in scales.iter_mut().enumerate() {
                let row = a.row(first + lane).expect("rows are contiguous");
                *scale = round_row(level, row, lane, engine.offset() as u8, panel);
            }
        });
        Self {
            words,
            scales,
            rows,
            tiles,
        }
    }

    pub(super) fn scale(&self, row: usize) -> f32 {
        assert!(row < self.rows);
        // SAFETY: there is a scale for each row.
        unsafe { *self.scales.as_ptr().cast::<f32>().add(row) }
    }

    /// The panel that row `row` begins and the one after it, or itself where there is none, from tile `first` on.
    pub(super) fn pair(&self, row: usize, first: usize) -> [*const u32; 2] {
        let stride = self.tiles * STRIP * STRIP;
        let panel = self
            .words
            .as_ptr()
            .wrapping_add(row / STRIP * stride + first * STRIP * STRIP);
        let next = if row + STRIP < self.rows { stride } else { 0 };
        [panel, panel.wrapping_add(next)]
    }
}

per_level! {
    /// Writes a row as lane `lane` of a panel, each number changed by `flip`, and gives its scale.
    fn round_row / round_row_body(row: &[f32], lane: usize, flip: u8, panel: &mut [u8]) -> f32
}

#[inline(always)]
fn round_row_body<const FMA: bool>(row: &[f32], lane: usize, flip: u8, panel: &mut [u8]) -> f32 {
    /// Adding it leaves the nearest whole number, ties to even, in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    // As whole numbers magnitudes compare alike, and what is no number is above all others.
    let most = row.iter().fold(0, |most: u32, value| {
        most.max(value.to_bits() & (u32::MAX >> 1))
    });
    let most = f32::from_bits(most);
    let inverse = if most > 0.0 { 127.0 / most } else { 0.0 };
    for (tile, numbers) in row.chunks(LEN).enumerate() {
        let to = &mut panel[(tile * STRIP + lane) * LEN..][..LEN];
        for (to, number) in to.iter_mut().zip(numbers) {
            *to = (number * inverse + ROUND).to_bits() as u8 ^ flip;
        }
        to[numbers.len()..].fill(flip);
    }
    if most.is_finite() {
        most / 127.0
    } else {
        f32::NAN
    }
}
