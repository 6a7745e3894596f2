//! Trees, bushes, flowers and cacti.

use crate::canvas::Canvas;
use crate::palette::{Palette, Rgb, scale};
use crate::rng::Rng;

/// A round tree whose trunk stands at `foot`.
pub(super) fn tree(
    canvas: &mut Canvas,
    rng: &mut Rng,
    palette: &Palette,
    foot: (f32, f32),
    height: f32,
    haze: f32,
) {
    let green = [[0.24, 0.52, 0.20], [0.33, 0.60, 0.22], [0.18, 0.45, 0.24]][rng.below(3)];
    let bark = palette.lit([0.38, 0.25, 0.16], haze);
    canvas.stroke(
        foot,
        (foot.0, foot.1 - height * 0.55),
        (height * 0.11, height * 0.07),
        bark,
        1.0,
    );
    for (dx, dy, r, bright) in [
        (0.0, 0.64, 0.30, 0.86),
        (-0.20, 0.56, 0.22, 0.94),
        (0.20, 0.58, 0.22, 0.90),
        (-0.05, 0.76, 0.23, 1.10),
    ] {
        let color = palette.lit(scale(green, bright), haze);
        canvas.ellipse(
            (foot.0 + dx * height, foot.1 - dy * height),
            (r * height, r * height * 0.92),
            color,
            1.0,
            0.012 * height,
        );
    }
}

/// A fir in three tiers; `snow` from 0 to 1 whitens it.
pub(super) fn fir(
    canvas: &mut Canvas,
    rng: &mut Rng,
    palette: &Palette,
    foot: (f32, f32),
    height: f32,
    haze: f32,
    snow: f32,
) {
    let green = [[0.10, 0.34, 0.24], [0.13, 0.40, 0.22], [0.08, 0.29, 0.25]][rng.below(3)];
    let bark = palette.lit([0.33, 0.22, 0.15], haze);
    canvas.stroke(
        foot,
        (foot.0, foot.1 - height * 0.3),
        (height * 0.07, height * 0.06),
        bark,
        1.0,
    );
    for (base, top, half, bright) in [
        (0.14, 0.58, 0.27, 0.85),
        (0.36, 0.78, 0.21, 1.0),
        (0.58, 1.0, 0.15, 1.15),
    ] {
        let corners = [
            (foot.0, foot.1 - top * height),
            (foot.0 + half * height, foot.1 - base * height),
            (foot.0 - half * height, foot.1 - base * height),
        ];
        let color = palette.lit(scale(green, bright), haze);
        canvas.polygon(&corners, 1.0, |_, _| color);
        if snow > 0.0 {
            let white = palette.lit([0.95, 0.97, 1.0], haze);
            let cap = |share: f32, y: f32| (foot.0 + share * half * height, foot.1 - y * height);
            let middle = top - (top - base) * 0.5;
            canvas.polygon(
                &[
                    cap(0.0, top),
                    cap(0.5, middle),
                    cap(0.1, middle + 0.05),
                    cap(-0.5, middle),
                ],
                snow,
                |_, _| white,
            );
        }
    }
}

/// A palm that leans to one side.
pub(super) fn palm(
    canvas: &mut Canvas,
    palette: &Palette,
    foot: (f32, f32),
    height: f32,
    lean: f32,
) {
    let bark = palette.lit([0.55, 0.40, 0.25], 0.0);
    let top = (foot.0 + lean * height, foot.1 - height);
    let knee = (foot.0 + lean * height * 0.35, foot.1 - height * 0.5);
    canvas.stroke(foot, knee, (height * 0.085, height * 0.07), bark, 1.0);
    canvas.stroke(knee, top, (height * 0.07, height * 0.05), bark, 1.0);
    for (dx, dy, bright) in [
        (-0.46, 0.10, 0.8),
        (0.46, 0.10, 0.8),
        (-0.42, -0.14, 1.0),
        (0.42, -0.14, 1.0),
        (-0.18, -0.28, 1.15),
        (0.2, -0.28, 1.15),
        (-0.28, 0.28, 0.7),
        (0.28, 0.28, 0.7),
    ] {
        let color = palette.lit(scale([0.22, 0.55, 0.24], bright), 0.0);
        let bend = (
            top.0 + dx * 0.6 * height,
            top.1 + (dy - 0.10) * 0.6 * height,
        );
        let tip = (top.0 + dx * height, top.1 + (dy + 0.08) * height);
        canvas.stroke(top, bend, (height * 0.05, height * 0.075), color, 1.0);
        canvas.stroke(bend, tip, (height * 0.075, height * 0.01), color, 1.0);
    }
    for dx in [-0.03, 0.03] {
        canvas.ellipse(
            (top.0 + dx * height, top.1 + 0.04 * height),
            (0.035 * height, 0.035 * height),
            palette.lit([0.42, 0.27, 0.14], 0.0),
            1.0,
            0.0,
        );
    }
}

/// A cactus with two arms.
pub(super) fn cactus(
    canvas: &mut Canvas,
    palette: &Palette,
    foot: (f32, f32),
    height: f32,
    haze: f32,
) {
    let color = palette.lit([0.27, 0.52, 0.28], haze);
    let width = height * 0.20;
    let at = |dx: f32, dy: f32| (foot.0 + dx * height, foot.1 - dy * height);
    canvas.stroke(at(0.0, 0.0), at(0.0, 0.9), (width, width), color, 1.0);
    for (side, base, top) in [(-1.0, 0.35, 0.66), (1.0, 0.48, 0.80)] {
        canvas.stroke(
            at(0.0, base),
            at(side * 0.26, base),
            (width * 0.65, width * 0.65),
            color,
            1.0,
        );
        canvas.stroke(
            at(side * 0.26, base),
            at(side * 0.26, top),
            (width * 0.65, width * 0.6),
            color,
            1.0,
        );
    }
}

/// A flower on a short stalk.
pub(super) fn flower(
    canvas: &mut Canvas,
    palette: &Palette,
    at: (f32, f32),
    size: f32,
    color: Rgb,
) {
    let stalk = palette.lit([0.20, 0.45, 0.16], 0.0);
    canvas.stroke(
        at,
        (at.0, at.1 - size * 1.4),
        (size * 0.3, size * 0.3),
        stalk,
        0.9,
    );
    canvas.ellipse(
        (at.0, at.1 - size * 1.7),
        (size, size * 0.8),
        palette.lit(color, 0.0),
        1.0,
        0.004,
    );
    canvas.ellipse(
        (at.0, at.1 - size * 1.7),
        (size * 0.4, size * 0.35),
        palette.lit([1.0, 0.86, 0.30], 0.0),
        1.0,
        0.003,
    );
}

/// A tuft of three blades.
pub(super) fn tuft(canvas: &mut Canvas, at: (f32, f32), size: f32, color: Rgb) {
    for (dx, dy) in [(-0.6, 0.9), (0.0, 1.2), (0.6, 0.8)] {
        canvas.stroke(
            at,
            (at.0 + dx * size, at.1 - dy * size),
            (size * 0.35, size * 0.08),
            color,
            0.9,
        );
    }
}
