//! Pictures between their pixels.

/// Linear sample of `width · height` pixels, row by row, at `x` across and `y` down, counted from pixel centres. Beyond its
/// borders a picture goes on as it ends.
pub(super) fn bilinear<const CHANNELS: usize>(
    pixels: &[[f32; CHANNELS]],
    [width, height]: [usize; 2],
    [x, y]: [f32; 2],
) -> [f32; CHANNELS] {
    let inside = |at: f32, pixels: usize| at.clamp(0.0, (pixels - 1) as f32);
    let (x, y) = (inside(x, width), inside(y, height));
    let (column, row) = (x as usize, y as usize);
    let (part_x, part_y) = (x - column as f32, y - row as f32);
    let right = (column + 1).min(width - 1);
    let above = row * width;
    let below = (row + 1).min(height - 1) * width;
    let corners = [
        (above + column, (1.0 - part_x) * (1.0 - part_y)),
        (above + right, part_x * (1.0 - part_y)),
        (below + column, (1.0 - part_x) * part_y),
        (below + right, part_x * part_y),
    ];
    std::array::from_fn(|channel| {
        let part = |&(at, weight): &(usize, f32)| pixels[at][channel] * weight;
        corners.iter().map(part).sum()
    })
}
