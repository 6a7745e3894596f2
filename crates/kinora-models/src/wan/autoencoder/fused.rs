//! What stands between the convolutions, in one pass over memory each: norm and SiLU in front of a convolution, and the step to twice the
//! size behind one.
//!
//! On the processor these are made of the kernels' row operations, a few rows at a time while they are in the cache; on
//! other devices of Burn's operations.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{Tensor, TensorData, activation};
use half::bf16;
use kinora_kernels::{Activation, cpu, overwritten, takes_stored};
use rayon::prelude::*;

use crate::layers::RmsNorm;

/// Numbers that a thread takes at a time: rows in and out lie in the second-level cache.
const RUN: usize = 1 << 14;

/// `silu(norm(x))`, on the processor rounded to bf16 if so asked.
pub(super) fn silu_normed(x: Tensor<5>, norm: &RmsNorm, rounded: bool) -> Tensor<5> {
    if takes_stored(&x.device()) {
        let weight = norm.weight().into_dispatch();
        let normed = Dispatch::silu_normed(x.into_dispatch(), weight, norm.epsilon(), rounded);
        return Tensor::from_dispatch(normed);
    }
    activation::silu(norm.forward(x))
}

/// Pixels of twice the size, each computed by one of four convolutions of 2 × 2 taps, whose results come side by side with
/// a border: pixel `(2y + a, 2x + b)` is result `2a + b` at `(y + a, x + b)`.
///
/// # Shapes
///
/// `[batch, frames, height + 1, width + 1, 4 · channels]` → `[batch, frames, 2 · height, 2 · width, channels]`
pub(super) fn spread(x: Tensor<5>) -> Tensor<5> {
    if takes_stored(&x.device()) {
        return Tensor::from_dispatch(Dispatch::spread(x.into_dispatch()));
    }
    let [batch, frames, rows, columns, results] = x.dims();
    let (height, width, channels) = (rows - 1, columns - 1, results / 4);
    let part = |a: usize, b: usize| {
        x.clone()
            .narrow(2, a, height)
            .narrow(3, b, width)
            .narrow(4, (2 * a + b) * channels, channels)
            .reshape([batch * frames, height, 1, width, 1, channels])
    };
    let row = |a| Tensor::cat(vec![part(a, 0), part(a, 1)], 4);
    Tensor::cat(vec![row(0), row(1)], 2).reshape([batch, frames, 2 * height, 2 * width, channels])
}

/// What is fused on the processor.
#[backend_extension(Flex)]
trait FusedOps: Backend {
    /// [`silu_normed`].
    fn silu_normed(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        epsilon: f32,
        rounded: bool,
    ) -> FloatTensor<Self>;

    /// [`spread`].
    fn spread(x: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl FusedOps for Flex {
    fn silu_normed(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        epsilon: f32,
        rounded: bool,
    ) -> FloatTensor<Self> {
        let [x, weight] = [x, weight].map(|tensor| tensor.to_contiguous());
        let (values, weight) = (floats(&x), floats(&weight));
        if rounded {
            let mut out = vec![bf16::ZERO; values.len()];
            silu_of_normed(values, weight, epsilon, &mut out, |run, out| {
                cpu::round_to_bf16(run, out);
            });
            return FloatTensor::<Flex>::from_data(TensorData::new(out, x.shape()));
        }
        let mut out = overwritten(values.len());
        silu_of_normed(values, weight, epsilon, &mut out, |run, out| {
            out.copy_from_slice(run);
        });
        tensor(out, x.shape())
    }

    fn spread(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let x = x.to_contiguous();
        let mut shape = x.shape();
        let (rows, columns, channels) = (shape[2], shape[3], shape[4] / 4);
        let (height, width) = (rows - 1, columns - 1);
        let from = floats(&x);
        let mut out = overwritten(shape[0] * shape[1] * 4 * height * width * channels);
        let pixel = 4 * channels;
        out.par_chunks_mut(2 * width * channels)
            .enumerate()
            .for_each(|(index, out)| {
                let (frame, row) = (index / (2 * height), index % (2 * height));
                let (y, a) = (row / 2, row % 2);
                let line = &from[(frame * rows + y + a) * columns * pixel..][..columns * pixel];
                for (x, out) in out.chunks_exact_mut(2 * channels).enumerate() {
                    let (left, right) = out.split_at_mut(channels);
                    let result = 2 * a * channels;
                    left.copy_from_slice(&line[x * pixel + result..][..channels]);
                    right.copy_from_slice(&line[(x + 1) * pixel + result + channels..][..channels]);
                }
            });
        (shape[2], shape[3], shape[4]) = (2 * height, 2 * width, channels);
        tensor(out, shape)
    }
}

/// `silu(x / √(mean(x²) + epsilon) · weight)` of each row; `keep` writes what becomes of some rows.
fn silu_of_normed<T: Send>(
    x: &[f32],
    weight: &[f32],
    epsilon: f32,
    out: &mut [T],
    keep: impl Fn(&[f32], &mut [T]) + Sync,
) {
    let channels = weight.len();
    let rows = (RUN / channels).max(1);
    let run = rows * channels;
    let scratch = || (vec![0.0; run], vec![0.0; run], vec![0.0; rows]);
    x.par_chunks(run)
        .zip(out.par_chunks_mut(run))
        .for_each_init(scratch, |(normed, active, rstd), (x, out)| {
            let tokens = x.len() / channels;
            let shape = cpu::HeadsShape {
                batch: 1,
                tokens,
                heads: 1,
                head_dim: channels,
            };
            let (normed, active) = (&mut normed[..x.len()], &mut active[..x.len()]);
            let rstd = &mut rstd[..tokens];
            cpu::rms_norm_rope_forward(shape, x, weight, None, epsilon, normed, rstd);
            cpu::activation_forward(Activation::Silu, normed, active);
            keep(active, out);
        });
}

fn floats(tensor: &FloatTensor<Flex>) -> &[f32] {
    tensor.as_slice().expect("networks hold f32 tensors")
}

fn tensor(values: Vec<f32>, shape: impl Into<burn::tensor::Shape>) -> FloatTensor<Flex> {
    FloatTensor::<Flex>::from_data(TensorData::new(values, shape.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, Distribution};

    fn random<const D: usize>(shape: [usize; D]) -> Tensor<D> {
        Tensor::random(shape, Distribution::Normal(0.0, 1.0), &Device::flex())
    }

    fn assert_close<const D: usize>(a: Tensor<D>, b: Tensor<D>) {
        assert_eq!(a.dims(), b.dims());
        let worst = crate::weights::floats((a - b).abs().max())[0];
        assert!(worst < 1e-5, "{worst}");
    }

    #[test]
    fn norm_and_silu_in_one_pass() {
        // More rows than one run holds, and a width that fills no vector.
        for [batch, frames, side, channels] in [[2, 3, 5, 7], [1, 1, 40, 33], [1, 2, 3, 4]] {
            let x = random([batch, frames, side, side, channels]);
            let norm = RmsNorm::from_weight(random([channels]), 1e-26);
            let plain = activation::silu(norm.forward(x.clone()));
            assert_close(silu_normed(x.clone(), &norm, false), plain.clone());
            let rounded = silu_normed(x, &norm, true).into_data();
            let rounded = rounded.as_slice::<bf16>().unwrap();
            for (rounded, plain) in rounded.iter().zip(crate::weights::floats(plain)) {
                assert!((rounded.to_f32() - plain).abs() <= plain.abs() / 200.0 + 1e-5);
            }
        }
    }

    #[test]
    fn four_results_become_one_larger_picture() {
        let x = random([1, 2, 4, 3, 8]);
        let made = spread(x.clone());
        assert_eq!(made.dims(), [1, 2, 6, 4, 2]);
        let [x, made] = [x, made].map(crate::weights::floats);
        for (frame, y, column, a, b, c) in
            [(0, 0, 0, 0, 0, 0), (1, 2, 1, 1, 1, 1), (1, 1, 0, 0, 1, 0)]
        {
            let from = ((frame * 4 + y + a) * 3 + column + b) * 8 + (2 * a + b) * 2 + c;
            let to = ((frame * 6 + 2 * y + a) * 4 + 2 * column + b) * 2 + c;
            assert_eq!(made[to], x[from]);
        }
    }
}
