//! Micro-kernel in plain Rust: 4 rows × 16 columns.

use super::block::Out;
use super::engine::{Engine, STRIP};
use crate::cpu::math::madd;

const ROWS: usize = Engine::Portable.tile_rows();
const FMA: bool = cfg!(target_arch = "aarch64");

/// One tile.
///
/// # Safety
/// As for [`super::block::multiply`].
pub(super) unsafe fn kernel(words: usize, a: *const u32, b: *const u32, out: Out) {
    let padded = words.next_multiple_of(STRIP);
    // SAFETY: packed panels are this long, initialised and aligned; any bits are a float.
    let (a, b) = unsafe {
        (
            std::slice::from_raw_parts(a.cast::<f32>(), padded * ROWS),
            std::slice::from_raw_parts(b.cast::<f32>(), padded * STRIP),
        )
    };
    let mut sums = [[0.0f32; STRIP]; ROWS];
    // Eight columns at a time: their sums fit the 16 registers of the smallest vector unit.
    for half in 0..2 {
        let mut part = [[0.0f32; STRIP / 2]; ROWS];
        for word in 0..words {
            let tile = &a[word / STRIP * STRIP * ROWS..][..STRIP * ROWS];
            let right: &[f32; STRIP / 2] = b[word * STRIP + half * 8..]
                .first_chunk()
                .expect("a strip has 16 columns");
            for row in 0..ROWS {
                let left = tile[row * STRIP + word % STRIP];
                for col in 0..STRIP / 2 {
                    part[row][col] = madd::<FMA>(left, right[col], part[row][col]);
                }
            }
        }
        for row in 0..ROWS {
            sums[row][half * 8..half * 8 + 8].copy_from_slice(&part[row]);
        }
    }
    // SAFETY: the tile is writable.
    unsafe { store(&sums, out) };
}

/// Writes or adds the part of `sums` that lies inside the tile.
///
/// # Safety
/// `out` is writable.
pub(super) unsafe fn store<const N: usize>(sums: &[[f32; STRIP]; N], out: Out) {
    for (row, sums) in sums.iter().enumerate().take(out.rows) {
        // SAFETY: the row lies inside the tile.
        let target = unsafe {
            std::slice::from_raw_parts_mut(out.c.add(row * out.ldc), out.cols.min(STRIP))
        };
        if out.accumulate {
            for (target, sum) in target.iter_mut().zip(sums) {
                *target += sum;
            }
        } else {
            target.copy_from_slice(&sums[..target.len()]);
        }
    }
}
