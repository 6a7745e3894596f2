//! Work over many rows: chunks for the pool, and column sums in a fixed order.

use super::level::{Level, level};
use super::math::per_level;
use super::parallel::{Shared, for_each};
use super::scratch::Scratch;

/// Rows of `channels` elements in groups that share a scale, shift or gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupedRows {
    /// Groups.
    pub groups: usize,
    /// Rows in each group.
    pub rows: usize,
    /// Elements of a row.
    pub channels: usize,
}

impl GroupedRows {
    /// Elements in all.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.groups * self.rows * self.channels
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Elements of a scale, shift or gate.
    #[must_use]
    pub const fn group_len(&self) -> usize {
        self.groups * self.channels
    }

    pub(super) fn check(&self, elements: &[usize], groups: &[usize], rows: &[usize]) {
        assert!(
            elements.iter().all(|len| *len == self.len()),
            "{self:?} does not fit slices of {elements:?}"
        );
        assert!(
            groups.iter().all(|len| *len == self.group_len()),
            "{self:?} does not fit group slices of {groups:?}"
        );
        let count = self.groups * self.rows;
        assert!(
            rows.iter().all(|len| *len == count),
            "{self:?} does not fit row slices of {rows:?}"
        );
    }
}

/// Rows that a task takes: a fixed number, because partial sums are kept per task.
const TASK_ROWS: usize = 32;

/// A run of rows inside one group.
#[derive(Clone, Copy)]
pub(super) struct Run {
    pub(super) group: usize,
    /// First row, counted over all groups.
    pub(super) first: usize,
    pub(super) rows: usize,
}

/// Calls `task` for runs of rows that cover the shape.
pub(super) fn for_each_run(shape: GroupedRows, task: impl Fn(Run) + Sync + Send) {
    let runs = shape.rows.div_ceil(TASK_ROWS);
    for_each(shape.groups * runs, shape.len(), |index| {
        let (group, run) = (index / runs, index % runs);
        let start = run * TASK_ROWS;
        task(Run {
            group,
            first: group * shape.rows + start,
            rows: TASK_ROWS.min(shape.rows - start),
        });
    });
}

/// Like [`for_each_run`], with `width` sums per run that start at 0; those of a group are added up in order into
/// `target [groups, width]`.
pub(super) fn sum_runs(
    shape: GroupedRows,
    width: usize,
    target: &mut [f32],
    task: impl Fn(Run, &mut [f32]) + Sync + Send,
) {
    assert_eq!(target.len(), shape.groups * width);
    let runs = shape.rows.div_ceil(TASK_ROWS);
    let mut partial = Scratch::take(shape.groups * runs * width);
    let partial = partial.floats(shape.groups * runs * width);
    let shared = Shared::new(partial);
    for_each_run(shape, |run| {
        let index = run.group * runs + (run.first - run.group * shape.rows) / TASK_ROWS;
        // SAFETY: each run has sums of its own.
        let sums = unsafe { shared.slice(index * width, width) };
        sums.fill(0.0);
        task(run, sums);
    });
    for (group, target) in target.chunks_exact_mut(width.max(1)).enumerate() {
        target.fill(0.0);
        for sums in partial[group * runs * width..][..runs * width].chunks_exact(width) {
            for (target, sum) in target.iter_mut().zip(sums) {
                *target += sum;
            }
        }
    }
}

/// `out[c] = Σ_r rows[r, c]`: the gradient of a bias.
///
/// # Shapes
/// `rows [n, channels]`, `out [channels]`.
///
/// # Panics
/// When the lengths do not fit.
pub fn sum_rows(rows: &[f32], channels: usize, out: &mut [f32]) {
    sum_rows_at(level(), rows, channels, out);
}

pub(crate) fn sum_rows_at(level: Level, rows: &[f32], channels: usize, out: &mut [f32]) {
    assert_eq!(out.len(), channels);
    if channels == 0 {
        return;
    }
    assert_eq!(
        rows.len() % channels,
        0,
        "{} elements are no rows of {channels}",
        rows.len()
    );
    let shape = GroupedRows {
        groups: 1,
        rows: rows.len() / channels,
        channels,
    };
    sum_runs(shape, channels, out, |run, sums| {
        add_rows(
            level,
            &rows[run.first * channels..][..run.rows * channels],
            sums,
        );
    });
}

per_level! {
    fn add_rows / add_rows_body(rows: &[f32], sums: &mut [f32])
}

#[inline(always)]
fn add_rows_body<const FMA: bool>(rows: &[f32], sums: &mut [f32]) {
    for row in rows.chunks_exact(sums.len()) {
        for (sum, value) in sums.iter_mut().zip(row) {
            *sum += value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::level::tests::testable_levels;
    use crate::cpu::reference;

    #[test]
    fn column_sums_match_on_every_level() {
        for level in testable_levels("sum_rows") {
            for (rows, channels) in [(0, 3), (1, 1), (33, 17), (1000, 65)] {
                let x = reference::noise(rows * channels, 1);
                let mut out = vec![9.0; channels];
                sum_rows_at(level, &x, channels, &mut out);
                for (c, got) in out.iter().enumerate() {
                    let want: f64 = (0..rows).map(|r| f64::from(x[r * channels + c])).sum();
                    assert!((f64::from(*got) - want).abs() < 1e-4, "{level:?}");
                }
            }
        }
    }
}
