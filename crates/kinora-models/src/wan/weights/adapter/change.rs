//! What an adapter adds to a weight.

use kinora_kernels::Precision;
use kinora_kernels::cpu::{Epilogue, MatRef, gemm};
use rayon::prelude::*;

use super::super::stored::Stored;

/// Something that is added to a tensor. The values stay in the adapter's file until then.
#[derive(Debug)]
pub(in super::super) enum Change {
    /// `up · down`
    LowRank(LowRank),
    /// The Kronecker product of two matrices.
    Kronecker(Box<Kronecker>),
    /// The values as they are.
    Sum { values: Stored, scale: f32 },
}

/// A product in which each number of the first matrix stands for the second matrix times it.
#[derive(Debug)]
pub(in super::super) struct Kronecker {
    first: Factor,
    second: Factor,
    scale: f32,
}

/// A product of two thin matrices.
#[derive(Debug)]
pub(in super::super) struct LowRank {
    up: Stored,
    down: Stored,
    scale: f32,
}

impl LowRank {
    /// The scale is `strength · alpha / rank`, and `strength` alone without an alpha.
    pub(super) fn new(up: &Stored, down: &Stored, alpha: Option<f32>, strength: f32) -> Self {
        Self {
            scale: strength * per_rank(alpha, Some(down.rows())),
            up: up.clone(),
            down: down.clone(),
        }
    }
}

fn per_rank(alpha: Option<f32>, rank: Option<usize>) -> f32 {
    match (alpha, rank) {
        (Some(alpha), Some(rank)) if rank > 0 => alpha / rank as f32,
        _ => 1.0,
    }
}

/// One of the matrices of a Kronecker product.
#[derive(Debug)]
pub(in super::super) enum Factor {
    Whole(Stored),
    /// `a · b`
    Product(Stored, Stored),
    /// Of a convolution: `Σ core[i, j, …] · a[i, p] · b[j, r]` as `[p, r, …]`.
    Tucker {
        core: Stored,
        a: Stored,
        b: Stored,
    },
}

impl Factor {
    /// `None` where the parts are not those of a matrix.
    pub(super) fn new(
        whole: Option<Stored>,
        a: Option<Stored>,
        b: Option<Stored>,
        core: Option<Stored>,
    ) -> Option<Self> {
        match (whole, a, b, core) {
            (Some(whole), None, None, None) => Some(Self::Whole(whole)),
            (None, Some(a), Some(b), None) => Some(Self::Product(a, b)),
            (None, Some(a), Some(b), Some(core)) => Some(Self::Tucker { core, a, b }),
            _ => None,
        }
    }

    /// The rank, of a matrix that has one.
    fn rank(&self) -> Option<usize> {
        match self {
            Self::Whole(_) => None,
            Self::Product(_, b) | Self::Tucker { b, .. } => Some(b.rows()),
        }
    }

    /// Rows and columns; `None` where the parts do not fit together.
    fn size(&self) -> Option<[usize; 2]> {
        match self {
            Self::Whole(whole) => Some([whole.rows(), whole.columns()]),
            Self::Product(a, b) => (a.columns() == b.rows()).then(|| [a.rows(), b.columns()]),
            Self::Tucker { core, a, b } => {
                let [i, j, taps @ ..] = &core.shape[..] else {
                    return None;
                };
                let taps: usize = taps.iter().product();
                (a.rows() == *i && b.rows() == *j && *j > 0)
                    .then(|| Some([a.columns(), b.columns().checked_mul(taps)?]))?
            }
        }
    }

    /// The matrix, row by row.
    fn values(&self) -> Vec<f32> {
        let product = |a: MatRef<'_>, b: MatRef<'_>| {
            let mut c = vec![0.0; a.rows() * b.cols()];
            gemm(a, b, &mut c, Epilogue::default(), Precision::F32);
            c
        };
        match self {
            Self::Whole(whole) => whole.floats(),
            Self::Product(a, b) => product(
                MatRef::new(&a.floats(), a.rows(), a.columns()),
                MatRef::new(&b.floats(), b.rows(), b.columns()),
            ),
            Self::Tucker { core, a, b } => {
                let (rank_a, rank_b) = (a.rows(), b.rows());
                let (rows, columns) = (a.columns(), b.columns());
                let taps = core.columns() / rank_b.max(1);
                // [p, j · taps]
                let (a, core, b) = (a.floats(), core.floats(), b.floats());
                let core = MatRef::new(&core, rank_a, rank_b * taps);
                let half = product(MatRef::new(&a, rank_a, rows).t(), core);
                let b = MatRef::new(&b, rank_b, columns).t();
                // For each p: [r, taps] of [j, taps].
                (0..rows)
                    .flat_map(|row| {
                        let own = &half[row * rank_b * taps..][..rank_b * taps];
                        product(b, MatRef::new(own, rank_b, taps))
                    })
                    .collect()
            }
        }
    }
}

impl Change {
    /// The scale is `strength · alpha / rank` where a factor has a rank, the second's before the first's.
    pub(super) fn kronecker(
        first: Factor,
        second: Factor,
        alpha: Option<f32>,
        strength: f32,
    ) -> Self {
        let rank = second.rank().or(first.rank());
        Self::Kronecker(Box::new(Kronecker {
            scale: strength * per_rank(alpha, rank),
            first,
            second,
        }))
    }

    /// Whether the change is one of a tensor like `target`.
    pub(super) fn fits(&self, target: &Stored) -> Result<(), String> {
        let required = [target.rows(), target.columns()];
        let got = match self {
            Self::LowRank(LowRank { up, down, .. }) if up.columns() != down.rows() => {
                return Err(format!("is {:?} · {:?}", up.shape, down.shape));
            }
            Self::LowRank(LowRank { up, down, .. }) => [up.rows(), down.columns()],
            Self::Kronecker(kronecker) => match kronecker.sizes() {
                (Some([a, b]), Some([c, d])) => [a.saturating_mul(c), b.saturating_mul(d)],
                _ => return Err("its parts do not fit together".into()),
            },
            Self::Sum { values, .. } if values.len() == target.len() => return Ok(()),
            Self::Sum { values, .. } => [values.rows(), values.columns()],
        };
        match got == required {
            true => Ok(()),
            false => Err(format!("is {got:?}, should be {required:?}")),
        }
    }

    /// Adds the change to the values of a tensor that it [fits](Self::fits).
    pub(in super::super) fn apply(&self, values: &mut [f32]) {
        match self {
            Self::LowRank(LowRank { up, down, scale }) => {
                let rank = down.rows();
                let mut scaled = up.floats();
                scaled.iter_mut().for_each(|value| *value *= scale);
                let epilogue = Epilogue {
                    accumulate: true,
                    ..Epilogue::default()
                };
                gemm(
                    MatRef::new(&scaled, up.rows(), rank),
                    MatRef::new(&down.floats(), rank, down.columns()),
                    values,
                    epilogue,
                    Precision::F32,
                );
            }
            Self::Kronecker(kronecker) => kronecker.apply(values),
            Self::Sum {
                values: added,
                scale,
            } => {
                for (value, added) in values.iter_mut().zip(added.floats()) {
                    *value += scale * added;
                }
            }
        }
    }
}

impl Kronecker {
    /// Sizes of both matrices; `None` for one whose parts do not fit together.
    fn sizes(&self) -> (Option<[usize; 2]>, Option<[usize; 2]>) {
        (self.first.size(), self.second.size())
    }

    fn apply(&self, values: &mut [f32]) {
        let (Some([_, b]), Some([c, d])) = self.sizes() else {
            return;
        };
        if values.is_empty() {
            return;
        }
        let (first, second) = (self.first.values(), self.second.values());
        let rows = values.par_chunks_mut(b * d);
        rows.enumerate().for_each(|(row, values)| {
            let factors = &first[row / c * b..][..b];
            let own = &second[row % c * d..][..d];
            for (values, factor) in values.chunks_mut(d).zip(factors) {
                let factor = factor * self.scale;
                for (value, own) in values.iter_mut().zip(own) {
                    *value += factor * own;
                }
            }
        });
    }
}
