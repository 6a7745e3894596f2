//! UniPC: a multistep predictor with a corrector that costs no further call of the denoiser (Zhao et al., 2023).
//!
//! Follows `UniPCMultistepScheduler` of diffusers 0.42, `schedulers/scheduling_unipc_multistep.py`, as Wan sets it up:
//! predicted clean latents, `B(h) = e^h − 1` (`bh2`), flow prediction, and lower orders in the last steps.

use burn::tensor::Tensor;

use crate::History;

/// What the solver carries from step to step.
#[derive(Debug, Clone)]
pub struct UniPc<const D: usize> {
    sigmas: Vec<f32>,
    /// Of the next step.
    step: usize,
    order: usize,
    /// Order of the last prediction.
    last_order: usize,
    /// Clean latents of the steps before, the newest last.
    clean: Vec<Tensor<D>>,
    /// What the last prediction started from.
    last: Option<Tensor<D>>,
}

impl<const D: usize> UniPc<D> {
    /// A solver that is at the first of `sigmas`, such as those of [`unipc_schedule`](crate::unipc_schedule); Wan's `order`
    /// is 2.
    ///
    /// # Panics
    ///
    /// When the order is not 1, 2 or 3.
    pub fn new(sigmas: &[f32], order: usize) -> Self {
        assert!(
            (1..=3).contains(&order),
            "UniPC has orders 1 to 3, not {order}"
        );
        Self {
            sigmas: sigmas.to_vec(),
            step: 0,
            order,
            last_order: 0,
            clean: Vec::new(),
            last: None,
        }
    }

    /// Latents at the next noise level, from latents and velocity at this one.
    ///
    /// # Panics
    ///
    /// When the schedule is over.
    pub fn step(&mut self, x: Tensor<D>, velocity: Tensor<D>) -> Tensor<D> {
        let steps = self.sigmas.len() - 1;
        assert!(self.step < steps, "the schedule has {steps} steps");
        let clean = x.clone() - velocity * self.sigmas[self.step];
        let x = match self.last.take() {
            None => x,
            Some(last) => self.correct(last, &clean),
        };
        self.clean.push(clean);
        if self.clean.len() > self.order {
            self.clean.remove(0);
        }
        self.last_order = order_at(self.order, self.step, steps);
        self.last = Some(x.clone());
        let next = self.predict(x);
        self.step += 1;
        next
    }

    /// Clean latents, and what the last prediction started from.
    pub(crate) fn history(&self) -> History<D> {
        History {
            steps: self.step,
            tensors: self.clean.iter().chain(&self.last).cloned().collect(),
        }
    }

    /// `None` where the history is none of such a solver.
    pub(crate) fn resume(sigmas: &[f32], order: usize, mut history: History<D>) -> Option<Self> {
        let before = history.steps.checked_sub(1);
        let last = match before {
            Some(_) => Some(history.tensors.pop()?),
            None => None,
        };
        let is_whole = history.tensors.len() == history.steps.min(order);
        is_whole.then(|| Self {
            step: history.steps,
            last_order: before.map_or(0, |step| order_at(order, step, sigmas.len() - 1)),
            clean: history.tensors,
            last,
            ..Self::new(sigmas, order)
        })
    }

    fn predict(&self, x: Tensor<D>) -> Tensor<D> {
        let interval = Interval::new(&self.sigmas, self.step, self.last_order);
        let weights = match self.last_order {
            1 => Vec::new(),
            // Upstream's short cut.
            2 => vec![0.5],
            order => {
                let (mut matrix, mut right) = interval.conditions();
                matrix.truncate(order - 1);
                matrix.iter_mut().for_each(|row| row.truncate(order - 1));
                right.truncate(order - 1);
                solve(matrix, right)
            }
        };
        let slopes = self.slopes(&interval, weights);
        interval.advance(x, self.newest(), slopes)
    }

    /// The last prediction again, now that the clean latents at its end are known.
    fn correct(&self, last: Tensor<D>, clean: &Tensor<D>) -> Tensor<D> {
        let interval = Interval::new(&self.sigmas, self.step - 1, self.last_order);
        let mut weights = match self.last_order {
            1 => vec![0.5],
            _ => {
                let (matrix, right) = interval.conditions();
                solve(matrix, right)
            }
        };
        let newest = weights.pop().unwrap_or_default();
        let end = (clean.clone() - self.newest()) * newest;
        let slopes = match self.slopes(&interval, weights) {
            None => end,
            Some(slopes) => slopes + end,
        };
        interval.advance(last, self.newest(), Some(slopes))
    }

    fn newest(&self) -> Tensor<D> {
        self.clean[self.clean.len() - 1].clone()
    }

    /// Weighted slopes from the newest clean latents to those before.
    fn slopes(&self, interval: &Interval, weights: Vec<f32>) -> Option<Tensor<D>> {
        let before = self.clean.iter().rev().skip(1);
        before
            .zip(&interval.ratios)
            .zip(weights)
            .map(|((clean, ratio), weight)| (clean.clone() - self.newest()) / *ratio * weight)
            .reduce(|sum, slope| sum + slope)
    }
}

/// Order of the prediction at a step: what is known before, and lower ones at the end.
fn order_at(order: usize, step: usize, steps: usize) -> usize {
    order.min(steps - step).min(step + 1)
}

/// The way from one noise level to the next, in `λ = ln(α / σ)`. All in `f32`, as upstream, whose rounding shows at the
/// noisy end.
struct Interval {
    sigma: f32,
    next_sigma: f32,
    /// Minus the length.
    h: f32,
    /// Places of the levels before, in lengths.
    ratios: Vec<f32>,
}

impl Interval {
    /// From level `step` on, with the levels before that a solver of this order sees.
    fn new(sigmas: &[f32], step: usize, order: usize) -> Self {
        let lambda = |sigma: f32| (1.0 - sigma).ln() - sigma.ln();
        let (sigma, next_sigma) = (sigmas[step], sigmas[step + 1]);
        let length = lambda(next_sigma) - lambda(sigma);
        let ratio = |back: usize| (lambda(sigmas[step - back]) - lambda(sigma)) / length;
        Self {
            sigma,
            next_sigma,
            h: -length,
            ratios: (1..order).map(ratio).collect(),
        }
    }

    /// `e^h − 1`
    fn growth(&self) -> f32 {
        self.h.exp_m1()
    }

    /// The equations that the weights of the slopes fulfil: one for each power of the ratios, and of 1.
    fn conditions(&self) -> (Vec<Vec<f32>>, Vec<f32>) {
        let mut phi = self.growth() / self.h - 1.0;
        let mut factorial = 1.0;
        let (mut matrix, mut right) = (Vec::new(), Vec::new());
        for power in 0..=self.ratios.len() as i32 {
            let places = self.ratios.iter().copied().chain([1.0]);
            matrix.push(places.map(|place: f32| place.powi(power)).collect());
            right.push(phi * factorial / self.growth());
            factorial *= (power + 2) as f32;
            phi = phi / self.h - 1.0 / factorial;
        }
        (matrix, right)
    }

    /// Latents at the end: exact for constant clean latents, plus what their slopes add.
    fn advance<const D: usize>(
        &self,
        x: Tensor<D>,
        clean: Tensor<D>,
        slopes: Option<Tensor<D>>,
    ) -> Tensor<D> {
        let alpha = 1.0 - self.next_sigma;
        let straight = x * (self.next_sigma / self.sigma) - clean * (alpha * self.growth());
        match slopes {
            None => straight,
            Some(slopes) => straight - slopes * (alpha * self.growth()),
        }
    }
}

/// Solves a system of at most three equations, by elimination with the largest pivot.
fn solve(mut matrix: Vec<Vec<f32>>, mut right: Vec<f32>) -> Vec<f32> {
    let n = right.len();
    for column in 0..n {
        let size = |row: &usize| matrix[*row][column].abs();
        let pivot = (column..n).max_by(|a, b| size(a).total_cmp(&size(b)));
        let pivot = pivot.unwrap_or(column);
        matrix.swap(column, pivot);
        right.swap(column, pivot);
        let (above, below) = matrix.split_at_mut(column + 1);
        let pivot = &above[column];
        for (i, row) in below.iter_mut().enumerate() {
            let factor = row[column] / pivot[column];
            for (value, above) in row.iter_mut().zip(pivot) {
                *value -= factor * above;
            }
            right[column + 1 + i] -= factor * right[column];
        }
    }
    for row in (0..n).rev() {
        let known: f32 = (row + 1..n).map(|i| matrix[row][i] * right[i]).sum();
        right[row] = (right[row] - known) / matrix[row][row];
    }
    right
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systems_are_solved() {
        let solution = solve(
            vec![
                vec![0.0, 2.0, 1.0],
                vec![1.0, 1.0, 0.0],
                vec![4.0, 0.0, -1.0],
            ],
            vec![7.0, 3.0, 1.0],
        );
        for (got, want) in solution.iter().zip([1.0, 2.0, 3.0]) {
            assert!((got - want).abs() < 1e-6, "{solution:?}");
        }
        assert!(solve(Vec::new(), Vec::new()).is_empty());
    }
}
