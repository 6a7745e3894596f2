//! Painted layers at different depths, and how a view sees them.

use crate::camera::View;
use crate::canvas::Canvas;

/// How a layer moves against the camera.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Depth {
    /// All at one depth: 0 is infinitely far, 1 is as near as the subject.
    Flat(f32),
    /// The ground: as far as `far` at the height `horizon`, as near as the subject at the height `near`.
    Ground {
        /// Depth at the horizon.
        far: f32,
        /// Height of the horizon.
        horizon: f32,
        /// Height of the subject's feet.
        near: f32,
    },
}

impl Depth {
    /// The depth at a height of the world.
    pub(crate) fn at(self, y: f32) -> f32 {
        match self {
            Self::Flat(depth) => depth,
            Self::Ground { far, horizon, near } => {
                far + (1.0 - far) * ((y - horizon) / (near - horizon)).clamp(0.0, 1.6)
            }
        }
    }

    /// The nearest and the farthest depth.
    pub(crate) fn extremes(self) -> [f32; 2] {
        match self {
            Self::Flat(depth) => [depth, depth],
            Self::Ground { far, .. } => [far, far + (1.0 - far) * 1.6],
        }
    }

    /// The depth that zoom goes by.
    fn zoom_depth(self) -> f32 {
        match self {
            Self::Flat(depth) => depth,
            Self::Ground { .. } => 1.0,
        }
    }
}

/// Water: rows swing from side to side, more so when they are near.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ripple {
    /// Swing at the lower frame edge, in world units.
    pub(crate) amount: f32,
    /// Height where it starts.
    pub(crate) from_y: f32,
    /// Height where it is full.
    pub(crate) to_y: f32,
}

/// What a layer does besides its picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LayerPlan {
    pub(crate) depth: Depth,
    /// World units per second to the right.
    pub(crate) drift: f32,
    pub(crate) ripple: Option<Ripple>,
    /// It stands before the subject.
    pub(crate) is_in_front: bool,
}

impl LayerPlan {
    pub(crate) fn at(depth: Depth) -> Self {
        Self {
            depth,
            drift: 0.0,
            ripple: None,
            is_in_front: false,
        }
    }
}

/// A painted layer.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) plan: LayerPlan,
    pixels: Vec<u8>,
    width: usize,
    height: usize,
    left: i32,
    top: i32,
    scale: f32,
    /// Of each row: nothing to see, something, or all opaque.
    rows: Vec<RowKind>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RowKind {
    Empty,
    Mixed,
    Opaque,
}

impl Layer {
    pub(crate) fn new(canvas: &Canvas, plan: LayerPlan) -> Self {
        let pixels = canvas.to_rgba8();
        let rows = pixels
            .chunks_exact(canvas.width * 4)
            .map(|row| {
                if row.chunks_exact(4).all(|pixel| pixel[3] == 0) {
                    RowKind::Empty
                } else if row.chunks_exact(4).all(|pixel| pixel[3] == 255) {
                    RowKind::Opaque
                } else {
                    RowKind::Mixed
                }
            })
            .collect();
        Self {
            plan,
            pixels,
            width: canvas.width,
            height: canvas.height,
            left: canvas.left,
            top: canvas.top,
            scale: canvas.scale,
            rows,
        }
    }

    /// Lays the layer over an RGBA frame of `width` as the view sees it at `time_secs`.
    pub(crate) fn draw(
        &self,
        frame: &mut [u8],
        width: usize,
        view: &View,
        time_secs: f32,
        scratch: &mut Vec<u8>,
    ) {
        let depth = self.plan.depth;
        let zoom = view.zoom_at(depth.zoom_depth());
        let pixel = 1.0 / self.scale;
        let vertical = view.y * depth.zoom_depth();
        for (j, target) in frame.chunks_exact_mut(width * 4).enumerate() {
            let y = ((j as f32 + 0.5) * pixel - view.focus.1) / zoom + view.focus.1 + vertical;
            let (row, row_part) = split(y * self.scale - 0.5);
            let row = (row - self.top).clamp(0, self.height as i32 - 1) as usize;
            let next = (row + 1).min(self.height - 1);
            if self.rows[row] == RowKind::Empty && self.rows[next] == RowKind::Empty {
                continue;
            }
            let is_opaque = self.rows[row] == RowKind::Opaque && self.rows[next] == RowKind::Opaque;
            let shift =
                view.shift_at(depth.at(y)) - self.plan.drift * time_secs + self.swing(y, time_secs);
            let x = (0.5 * pixel - view.focus.0) / zoom + view.focus.0 + shift;
            let (column, column_part) = split(x * self.scale - 0.5);
            let step = (65536.0 / zoom).round() as u32;
            let span = ((u64::from(column_part) * 256 + width as u64 * u64::from(step)) >> 16)
                as usize
                + 2;
            self.blend_rows(row, next, row_part, column - self.left, span, scratch);
            spread(scratch, column_part * 256, step, target, is_opaque);
        }
    }

    fn swing(&self, y: f32, time_secs: f32) -> f32 {
        let Some(Ripple {
            amount,
            from_y,
            to_y,
        }) = self.plan.ripple
        else {
            return 0.0;
        };
        let near = (y - from_y) / (to_y - from_y);
        if near <= 0.0 {
            return 0.0;
        }
        let wave = 9.0 / (0.12 + near.min(1.5));
        amount
            * near
            * ((near * wave * 2.0 + time_secs * 2.3).sin()
                + 0.5 * (near * wave * 3.7 - time_secs * 1.7).sin())
    }

    /// Mixes two rows of pixels into `scratch`, from `column` on, repeating the border beyond it.
    fn blend_rows(
        &self,
        row: usize,
        next: usize,
        part: u32,
        column: i32,
        span: usize,
        scratch: &mut Vec<u8>,
    ) {
        scratch.clear();
        let stride = self.width * 4;
        let (upper, lower) = (
            &self.pixels[row * stride..][..stride],
            &self.pixels[next * stride..][..stride],
        );
        let mix =
            |a: u8, b: u8| ((u32::from(a) * (256 - part) + u32::from(b) * part + 128) >> 8) as u8;
        if column >= 0 && column as usize + span <= self.width {
            let range = column as usize * 4..(column as usize + span) * 4;
            if part == 0 {
                scratch.extend_from_slice(&upper[range]);
                return;
            }
            scratch.extend(
                upper[range.clone()]
                    .iter()
                    .zip(&lower[range])
                    .map(|(a, b)| mix(*a, *b)),
            );
            return;
        }
        for offset in 0..span as i32 {
            let at = (column + offset).clamp(0, self.width as i32 - 1) as usize * 4;
            for channel in at..at + 4 {
                scratch.push(mix(upper[channel], lower[channel]));
            }
        }
    }
}

/// The whole part of a pixel position, and its rest in 256ths.
fn split(position: f32) -> (i32, u32) {
    let whole = position.floor();
    (whole as i32, ((position - whole) * 256.0) as u32)
}

/// Resamples a row linearly and lays it over the target. Positions are in 65536ths of a pixel.
fn spread(source: &[u8], start: u32, step: u32, target: &mut [u8], is_opaque: bool) {
    if is_opaque && step == 65536 {
        let part = (start >> 8) & 0xFF;
        for ((value, a), b) in target.iter_mut().zip(source).zip(&source[4..]) {
            *value = ((u32::from(*a) * (256 - part) + u32::from(*b) * part + 128) >> 8) as u8;
        }
        return;
    }
    let mut position = start;
    for pixel in target.chunks_exact_mut(4) {
        let at = (position >> 16) as usize * 4;
        let part = (position >> 8) & 0xFF;
        position += step;
        let pair = &source[at..at + 8];
        let mix = |channel: usize| {
            (u32::from(pair[channel]) * (256 - part) + u32::from(pair[channel + 4]) * part + 128)
                >> 8
        };
        let alpha = mix(3);
        if alpha == 255 {
            pixel.copy_from_slice(&[mix(0) as u8, mix(1) as u8, mix(2) as u8, 255]);
        } else if alpha > 0 {
            let keep = 256 - (alpha + (alpha >> 7));
            for (channel, value) in pixel[..3].iter_mut().enumerate() {
                *value = (mix(channel) + ((u32::from(*value) * keep + 128) >> 8)).min(255) as u8;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canvas::Area;

    #[test]
    fn at_rest_a_layer_is_its_picture() {
        let mut canvas = Canvas::new(
            Area {
                x0: 0.0,
                y0: 0.0,
                x1: 1.0,
                y1: 1.0,
            },
            16.0,
        );
        canvas.paint(canvas.area(), |x, y| ([x, y, 0.5], 1.0));
        let layer = Layer::new(&canvas, LayerPlan::at(Depth::Flat(1.0)));
        let view = View {
            x: 0.0,
            y: 0.0,
            zoom: 1.0,
            orbit: 0.0,
            focus: (0.5, 0.5),
        };
        let mut frame = vec![0; 16 * 16 * 4];
        layer.draw(&mut frame, 16, &view, 0.0, &mut Vec::new());
        let first = ((2 * canvas.width) + 2) * 4;
        assert_eq!(frame[..16 * 4], layer.pixels[first..first + 16 * 4]);
    }
}
