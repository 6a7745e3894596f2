//! Noise that is the same on every machine.

/// The finaliser of SplitMix64 (Steele et al., 2014): every input bit reaches every output bit.
pub fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

/// Smooth noise in `-1.0..1.0` over the plane, one knot per unit.
pub fn noise_2d(seed: u64, x: f32, y: f32) -> f32 {
    let (cell_x, cell_y) = (x.floor(), y.floor());
    let ease = |t: f32| t * t * (3.0 - 2.0 * t);
    let (tx, ty) = (ease(x - cell_x), ease(y - cell_y));
    let (cell_x, cell_y) = (cell_x as i64, cell_y as i64);
    let knot = |i: i64, j: i64| {
        let bits = mix(seed
            ^ (i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
            ^ (j as u64).wrapping_mul(0xC2B2_AE3D_27D4_EB4F));
        (bits >> 40) as f32 * (2.0 / 16_777_216.0) - 1.0
    };
    let top = knot(cell_x, cell_y) * (1.0 - tx) + knot(cell_x + 1, cell_y) * tx;
    let bottom = knot(cell_x, cell_y + 1) * (1.0 - tx) + knot(cell_x + 1, cell_y + 1) * tx;
    top * (1.0 - ty) + bottom * ty
}
