//! What happens to a tile of `C` once its sum is complete.

use crate::cpu::level::Level;
use crate::cpu::math::{gelu_tanh, per_level, silu};

/// A function applied to each element of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
pub enum Activation {
    /// The identity.
    #[default]
    None,
    /// GELU in its tanh form.
    GeluTanh,
    /// `x·σ(x)`.
    Silu,
}

/// What is done with a product: `c = act(a·b + bias)`, or `c = act(c + a·b + bias)` when accumulating.
#[derive(Debug, Default)]
pub struct Epilogue<'a> {
    /// Added to each row: `[n]`.
    pub bias: Option<&'a [f32]>,
    /// Applied last.
    pub activation: Activation,
    /// Adds to what `c` holds instead of overwriting it.
    pub accumulate: bool,
    /// Receives what the activation is applied to, `[m, n]`: its backward pass needs it.
    pub preactivation: Option<&'a mut [f32]>,
}

impl Epilogue<'_> {
    pub(crate) fn check(&self, m: usize, n: usize) {
        if let Some(bias) = self.bias {
            assert_eq!(
                bias.len(),
                n,
                "a bias for {n} columns has {} elements",
                bias.len()
            );
        }
        if let Some(preactivation) = &self.preactivation {
            assert_eq!(
                preactivation.len(),
                m * n,
                "a {m}×{n} pre-activation has {} elements",
                preactivation.len()
            );
        }
    }
}

per_level! {
    /// Finishes one row of a tile in place: bias, copy of the pre-activation, activation.
    pub(crate) fn finish_row / finish_row_body(
        row: &mut [f32], bias: Option<&[f32]>, preactivation: Option<&mut [f32]>, activation: Activation,
    )
}

#[inline(always)]
fn finish_row_body<const FMA: bool>(
    row: &mut [f32],
    bias: Option<&[f32]>,
    preactivation: Option<&mut [f32]>,
    activation: Activation,
) {
    if let Some(bias) = bias {
        for (value, bias) in row.iter_mut().zip(bias) {
            *value += bias;
        }
    }
    if let Some(preactivation) = preactivation {
        preactivation.copy_from_slice(row);
    }
    match activation {
        Activation::None => {}
        Activation::GeluTanh => row
            .iter_mut()
            .for_each(|value| *value = gelu_tanh::<FMA>(*value)),
        Activation::Silu => row
            .iter_mut()
            .for_each(|value| *value = silu::<FMA>(*value)),
    }
}

/// The level whose vector code an engine's machine can run.
pub(crate) const fn vector_level(engine: super::Engine) -> Level {
    match engine {
        super::Engine::Portable => Level::Portable,
        super::Engine::Neon | super::Engine::NeonBf16 => Level::Neon,
        super::Engine::Avx2 => Level::Avx2,
        _ => Level::Avx512,
    }
}
