//! A picture with depths as two layers: what is seen, and what it hides (a layered depth image, Shade et al., 1998).

/// Red, green, blue in −1 to 1 and depth: 0 is infinitely far, 1 as near as the subjects.
pub(super) type Point = [f32; 4];

/// Difference of neighbours' depths from which on they belong to different things; the ground's are a third of it.
const EDGE: f32 = 0.12;
/// Pixels across which what is hidden is looked for.
const REACH: usize = 32;

/// Pixels row by row.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    pub(super) points: Vec<Point>,
    pub(super) width: usize,
    pub(super) height: usize,
}

impl Layer {
    pub(super) fn at(&self, x: usize, y: usize) -> Point {
        self.points[y * self.width + x]
    }

    /// The pixel nearest to a place that is counted from pixel centres and inside.
    pub(super) fn nearest(&self, [x, y]: [f32; 2]) -> Point {
        self.at((x + 0.5) as usize, (y + 0.5) as usize)
    }

    /// Places at most `reach` away in both directions.
    fn around(&self, x: usize, y: usize, reach: usize) -> impl Iterator<Item = [usize; 2]> {
        let columns = x.saturating_sub(reach)..(x + reach + 1).min(self.width);
        let rows = y.saturating_sub(reach)..(y + reach + 1).min(self.height);
        rows.flat_map(move |y| columns.clone().map(move |x| [x, y]))
    }

    /// Colour between pixels, from those alone that belong to what is nearest.
    pub(super) fn sample(&self, [x, y]: [f32; 2]) -> [f32; 3] {
        let (column, row) = (x as usize, y as usize);
        let (part_x, part_y) = (x - column as f32, y - row as f32);
        let depth = self.nearest([x, y])[3];
        let (mut sum, mut weights) = ([0.0; 3], 0.0);
        for (dx, across) in [(0, 1.0 - part_x), (1, part_x)] {
            for (dy, down) in [(0, 1.0 - part_y), (1, part_y)] {
                let [r, g, b, d] = self.at(
                    (column + dx).min(self.width - 1),
                    (row + dy).min(self.height - 1),
                );
                if is_same(d, depth) {
                    let weight = across * down;
                    weights += weight;
                    for (sum, value) in sum.iter_mut().zip([r, g, b]) {
                        *sum += weight * value;
                    }
                }
            }
        }
        sum.map(|value| value / weights)
    }

    /// The same picture with sharp edges: a pixel that lies on the smooth edge of something gets the depth of one side, and on the far
    /// side its colour too, or every thing would leave its outline on what is behind it.
    pub(super) fn with_sharp_edges(&self) -> Self {
        let span = |x: usize, y: usize| {
            let depths = self.around(x, y, 1).map(|[x, y]| self.at(x, y)[3]);
            depths.fold((f32::INFINITY, f32::NEG_INFINITY), |(far, near), depth| {
                (far.min(depth), near.max(depth))
            })
        };
        let places = || (0..self.height).flat_map(|y| (0..self.width).map(move |x| [x, y]));
        let spans: Vec<(f32, f32)> = places().map(|[x, y]| span(x, y)).collect();
        let is_edge = |[x, y]: [usize; 2]| {
            let (far, near) = spans[y * self.width + x];
            !is_same(far, near)
        };
        let sharp = |[x, y]: [usize; 2]| {
            let [r, g, b, depth] = self.at(x, y);
            if !is_edge([x, y]) {
                return [r, g, b, depth];
            }
            let (far, near) = spans[y * self.width + x];
            if depth - far >= near - depth {
                return [r, g, b, near];
            }
            let clear = self
                .around(x, y, 2)
                .filter(|&place| !is_edge(place))
                .map(|[x, y]| self.at(x, y))
                .filter(|point| (point[3] - far).abs() < 0.5 * EDGE);
            match mean(clear) {
                Some([r, g, b, _]) => [r, g, b, far],
                None => [r, g, b, far],
            }
        };
        Self {
            points: places().map(sharp).collect(),
            ..*self
        }
    }

    /// What its things may hide: beside each, left and right, what is farther, or what lies between the two.
    pub(super) fn hidden(&self) -> Self {
        let place = |x: usize, y: usize| {
            let here = self.at(x, y);
            let farther =
                |x: usize| !is_same(self.at(x, y)[3], here[3]) && self.at(x, y)[3] < here[3];
            let left = (x.saturating_sub(REACH)..x).rev().find(|&x| farther(x));
            let right = (x + 1..(x + REACH).min(self.width)).find(|&x| farther(x));
            match (left, right) {
                (Some(left), Some(right)) => {
                    let (from, to) = (self.at(left, y), self.at(right, y));
                    let part = (x - left) as f32 / (right - left) as f32;
                    match is_same(from[3], to[3]) {
                        true => std::array::from_fn(|i| from[i] + (to[i] - from[i]) * part),
                        false if from[3] < to[3] => from,
                        false => to,
                    }
                }
                (Some(x), None) | (None, Some(x)) => self.at(x, y),
                (None, None) => here,
            }
        };
        let rows = 0..self.height;
        Self {
            points: rows
                .flat_map(|y| (0..self.width).map(move |x| place(x, y)))
                .collect(),
            ..*self
        }
    }
}

/// Whether two neighbouring depths belong to the same thing.
fn is_same(a: f32, b: f32) -> bool {
    (a - b).abs() <= EDGE
}

fn mean(points: impl Iterator<Item = Point>) -> Option<Point> {
    let add = |(sum, count): (Point, usize), point: Point| {
        (std::array::from_fn(|i| sum[i] + point[i]), count + 1)
    };
    let (sum, count) = points.fold(([0.0; 4], 0), add);
    (count > 0).then(|| sum.map(|value| value / count as f32))
}
