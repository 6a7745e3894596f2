//! Pictures seen through a flow: each pixel is a linear sample where its flow points to. And the gradients.

use super::parallel::{Shared, for_each};

/// Sizes of a warp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WarpShape {
    /// Pictures.
    pub pictures: usize,
    /// Rows of each.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Channels.
    pub channels: usize,
}

impl WarpShape {
    /// Pixels of a picture.
    const fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// Elements of `[pictures, height, width, channels]`.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.pictures * self.pixels() * self.channels
    }

    /// Whether there is nothing to warp.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn check(&self, pictures: &[usize], flows: &[usize]) {
        let flow_len = 2 * self.pictures * self.pixels();
        assert!(
            pictures.iter().all(|&len| len == self.len())
                && flows.iter().all(|&len| len == flow_len),
            "slices do not have the lengths of {self:?}"
        );
    }

    /// Where pixel `index` of a picture looks.
    #[inline]
    fn sight(&self, index: usize, flow: &[f32]) -> Sight {
        let (column, row) = (index % self.width, index / self.width);
        let along = |place: usize, shift: f32, places: usize| {
            let last = (places - 1) as f32;
            let wanted = place as f32 + shift;
            let at = wanted.clamp(0.0, last);
            // What is no number looks at the first pixel, and its weights are no numbers.
            let first = (at as usize).min(places - 1);
            Along {
                places: [first, (first + 1).min(places - 1)],
                share: at - first as f32,
                is_inside: (0.0..=last).contains(&wanted),
            }
        };
        let x = along(column, flow[0], self.width);
        let y = along(row, flow[1], self.height);
        let corner = |down: usize, right: usize| y.places[down] * self.width + x.places[right];
        Sight {
            corners: [corner(0, 0), corner(0, 1), corner(1, 0), corner(1, 1)],
            x,
            y,
        }
    }
}

/// A place between two pixels of an axis.
#[derive(Clone, Copy)]
struct Along {
    places: [usize; 2],
    /// Of the second one.
    share: f32,
    /// Beyond the border a picture goes on as it ends, and moving changes nothing.
    is_inside: bool,
}

/// The four pixels that a sample is made of: upper left, upper right, lower left, lower right.
struct Sight {
    corners: [usize; 4],
    x: Along,
    y: Along,
}

impl Sight {
    #[inline]
    fn weights(&self) -> [f32; 4] {
        let (right, down) = (self.x.share, self.y.share);
        [
            (1.0 - right) * (1.0 - down),
            right * (1.0 - down),
            (1.0 - right) * down,
            right * down,
        ]
    }
}

/// `out[y, x] = x[y + flow_y, x + flow_x]`, linear between pixels. Beyond its borders a picture goes on as it ends.
///
/// # Shapes
/// `x`, `out` `[pictures, height, width, channels]`, `flow` `[pictures, height, width, 2]`: pixels to the right and down.
///
/// # Panics
/// When a slice does not have the length of its shape.
pub fn warp_forward(shape: WarpShape, x: &[f32], flow: &[f32], out: &mut [f32]) {
    shape.check(&[x.len(), out.len()], &[flow.len()]);
    if shape.is_empty() {
        return;
    }
    let (row, channels) = (shape.width * shape.channels, shape.channels);
    let out = Shared::new(out);
    for_each(shape.pictures * shape.height, 8 * shape.len(), |line| {
        let picture =
            &x[line / shape.height * shape.pixels() * channels..][..shape.pixels() * channels];
        // SAFETY: lines do not overlap.
        let out = unsafe { out.slice(line * row, row) };
        let first = line % shape.height * shape.width;
        let flow = &flow[2 * line * shape.width..][..2 * shape.width];
        for (i, (flow, out)) in flow
            .chunks_exact(2)
            .zip(out.chunks_exact_mut(channels))
            .enumerate()
        {
            let sight = shape.sight(first + i, flow);
            let weights = sight.weights();
            let corners = sight
                .corners
                .map(|at| &picture[at * channels..][..channels]);
            for (channel, out) in out.iter_mut().enumerate() {
                *out = (0..4).map(|i| weights[i] * corners[i][channel]).sum();
            }
        }
    });
}

/// Gradients of [`warp_forward`], overwritten; that of `x` only where it is asked for.
///
/// # Shapes
/// `x`, `d_out`, `d_x` `[pictures, height, width, channels]`, `flow`, `d_flow` `[pictures, height, width, 2]`.
///
/// # Panics
/// When a slice does not have the length of its shape.
pub fn warp_backward(
    shape: WarpShape,
    x: &[f32],
    flow: &[f32],
    d_out: &[f32],
    d_x: Option<&mut [f32]>,
    d_flow: &mut [f32],
) {
    shape.check(&[x.len(), d_out.len()], &[flow.len(), d_flow.len()]);
    if shape.is_empty() {
        return;
    }
    let (pixels, channels) = (shape.pixels(), shape.channels);
    let d_x = d_x.map(|d_x| {
        shape.check(&[d_x.len()], &[]);
        d_x.fill(0.0);
        Shared::new(d_x)
    });
    let d_flow = Shared::new(d_flow);
    for_each(shape.pictures, 16 * shape.len(), |number| {
        let part = number * pixels * channels;
        let (picture, d_out) = (&x[part..][..pixels * channels], &d_out[part..]);
        let flow = &flow[2 * number * pixels..][..2 * pixels];
        // SAFETY: pictures do not overlap.
        let d_flow = unsafe { d_flow.slice(2 * number * pixels, 2 * pixels) };
        // SAFETY: as above.
        let mut d_x = d_x.map(|d_x| unsafe { d_x.slice(part, pixels * channels) });
        for index in 0..pixels {
            let sight = shape.sight(index, &flow[2 * index..]);
            let (weights, grad) = (sight.weights(), &d_out[index * channels..][..channels]);
            let [upper_left, upper_right, lower_left, lower_right] = sight
                .corners
                .map(|at| &picture[at * channels..][..channels]);
            let (right, down) = (sight.x.share, sight.y.share);
            let (mut across, mut along) = (0.0, 0.0);
            for (channel, &grad) in grad.iter().enumerate() {
                let upper = upper_right[channel] - upper_left[channel];
                let lower = lower_right[channel] - lower_left[channel];
                across += grad * (upper + (lower - upper) * down);
                let left = lower_left[channel] - upper_left[channel];
                let far = lower_right[channel] - upper_right[channel];
                along += grad * (left + (far - left) * right);
            }
            d_flow[2 * index] = if sight.x.is_inside { across } else { 0.0 };
            d_flow[2 * index + 1] = if sight.y.is_inside { along } else { 0.0 };
            if let Some(d_x) = &mut d_x {
                for (at, weight) in sight.corners.into_iter().zip(weights) {
                    let d_x = &mut d_x[at * channels..][..channels];
                    for (d_x, grad) in d_x.iter_mut().zip(grad) {
                        *d_x += weight * grad;
                    }
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::reference::noise;

    const SHAPE: WarpShape = WarpShape {
        pictures: 2,
        height: 3,
        width: 4,
        channels: 2,
    };

    fn warped(x: &[f32], flow: &[f32]) -> Vec<f32> {
        let mut out = vec![9.0; SHAPE.len()];
        warp_forward(SHAPE, x, flow, &mut out);
        out
    }

    #[test]
    fn whole_flows_move_pixels_and_borders_go_on() {
        let x = noise(SHAPE.len(), 1);
        assert_eq!(warped(&x, &[0.0; 48]), x);
        let flow: Vec<f32> = [1.0, -1.0].repeat(24);
        for (index, pixel) in warped(&x, &flow).chunks(2).enumerate() {
            let (picture, row, column) = (index / 12, index / 4 % 3, index % 4);
            let from = picture * 12 + row.saturating_sub(1) * 4 + (column + 1).min(3);
            assert_eq!(pixel, &x[2 * from..][..2]);
        }
        let half = warped(&x, &[0.5, 0.0].repeat(24));
        assert!((half[0] - 0.5 * (x[0] + x[2])).abs() < 1e-6);
        assert!(warped(&x, &[f32::NAN; 48]).iter().all(|v| v.is_nan()));
        warp_forward(
            WarpShape {
                pictures: 0,
                ..SHAPE
            },
            &[],
            &[],
            &mut [],
        );
    }

    /// Against differences of the forward pass, which is linear in the picture and piecewise so in the flow.
    #[test]
    fn gradients_are_slopes() {
        let (x, g) = (noise(SHAPE.len(), 2), noise(SHAPE.len(), 3));
        let flow: Vec<f32> = noise(48, 4).iter().map(|v| 2.0 * v).collect();
        let (mut d_x, mut d_flow) = (vec![9.0; SHAPE.len()], vec![9.0; 48]);
        warp_backward(SHAPE, &x, &flow, &g, Some(&mut d_x), &mut d_flow);
        let mut alone = vec![9.0; 48];
        warp_backward(SHAPE, &x, &flow, &g, None, &mut alone);
        assert_eq!(alone, d_flow);
        let loss = |x: &[f32], flow: &[f32]| -> f64 {
            let out = warped(x, flow);
            let terms = out
                .iter()
                .zip(&g)
                .map(|(a, b)| f64::from(*a) * f64::from(*b));
            terms.sum()
        };
        let step = 1e-3;
        for i in 0..x.len() {
            let mut more = x.clone();
            more[i] += step;
            let slope = (loss(&more, &flow) - loss(&x, &flow)) / f64::from(step);
            assert!(
                (slope - f64::from(d_x[i])).abs() < 2e-3,
                "{i}: {slope} {}",
                d_x[i]
            );
        }
        for i in 0..flow.len() {
            let mut more = flow.clone();
            more[i] += step;
            let slope = (loss(&x, &more) - loss(&x, &flow)) / f64::from(step);
            assert!(
                (slope - f64::from(d_flow[i])).abs() < 2e-3,
                "{i}: {slope} {}",
                d_flow[i]
            );
        }
    }
}
