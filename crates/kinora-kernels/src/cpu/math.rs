//! Elementary functions written so that the compiler vectorises loops over them.
//!
//! `FMA` says whether the caller is compiled for fused multiply-add; without it `mul_add` would be a library call.

/// `a·b + c`.
#[inline(always)]
pub(crate) fn madd<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// `eˣ` to about 1 ulp of f32 (2 ulp without FMA). Below −87.3 it is 0, above 88.3 infinite; NaN stays NaN.
#[inline(always)]
pub(crate) fn exp<const FMA: bool>(x: f32) -> f32 {
    const MAGIC: f32 = 12_582_912.0; // 1.5·2²³: adding it rounds to an integer that sits in the low bits.
    let clamped = if x > 88.37 { 88.37 } else { x };
    let clamped = if clamped < -87.336_54 {
        -87.336_54
    } else {
        clamped
    };
    let shifted = madd::<FMA>(clamped, std::f32::consts::LOG2_E, MAGIC);
    let n = shifted - MAGIC;
    let r = madd::<FMA>(n, -0.693_359_4, clamped);
    let r = madd::<FMA>(n, 2.121_944_4e-4, r);
    let p = madd::<FMA>(1.987_569_2e-4, r, 1.398_2e-3);
    let p = madd::<FMA>(p, r, 8.333_452e-3);
    let p = madd::<FMA>(p, r, 4.166_579_6e-2);
    let p = madd::<FMA>(p, r, 1.666_666_5e-1);
    let p = madd::<FMA>(p, r, 0.5);
    let p = madd::<FMA>(p, r * r, r + 1.0);
    let y = p * f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    let y = if x > 88.37 { f32::INFINITY } else { y };
    if x < -87.336_54 { 0.0 } else { y }
}

/// `1 / (1 + e⁻ˣ)`.
#[inline(always)]
pub(crate) fn sigmoid<const FMA: bool>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<FMA>(-x))
}

const GELU_A: f32 = 0.797_884_6; // √(2/π)
const GELU_B: f32 = 0.044_715;

/// GELU in its tanh form: `x·σ(2·√(2/π)·(x + 0.044715·x³))`.
#[inline(always)]
pub(crate) fn gelu_tanh<const FMA: bool>(x: f32) -> f32 {
    let s = sigmoid::<FMA>(gelu_argument::<FMA>(x));
    // −∞·0 would be NaN; the limit is 0.
    if x < -20.0 { -0.0 } else { x * s }
}

#[inline(always)]
fn gelu_argument<const FMA: bool>(x: f32) -> f32 {
    2.0 * GELU_A * x * madd::<FMA>(GELU_B * x, x, 1.0)
}

/// Derivative of [`gelu_tanh`].
#[inline(always)]
pub(crate) fn gelu_tanh_derivative<const FMA: bool>(x: f32) -> f32 {
    // Beyond ±20 the derivative is 0 or 1 and x² could overflow.
    let inner = if x > 20.0 { 20.0 } else { x };
    let inner = if inner < -20.0 { -20.0 } else { inner };
    let s = sigmoid::<FMA>(gelu_argument::<FMA>(inner));
    let slope = 2.0 * GELU_A * madd::<FMA>(3.0 * GELU_B * inner, inner, 1.0);
    madd::<FMA>(inner * slope * s, 1.0 - s, s)
}

/// `x·σ(x)`.
#[inline(always)]
pub(crate) fn silu<const FMA: bool>(x: f32) -> f32 {
    let y = x * sigmoid::<FMA>(x);
    if x < -88.0 { -0.0 } else { y }
}

/// Derivative of [`silu`].
#[inline(always)]
pub(crate) fn silu_derivative<const FMA: bool>(x: f32) -> f32 {
    let inner = if x < -88.0 { -88.0 } else { x };
    let inner = if inner > 88.0 { 88.0 } else { inner };
    let s = sigmoid::<FMA>(inner);
    madd::<FMA>(inner * s, 1.0 - s, s)
}

/// Sum in 16 lanes and then across them, in an order that every level shares.
#[inline(always)]
pub(crate) fn sum(values: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 16];
    let (chunks, rest) = values.as_chunks::<16>();
    for chunk in chunks {
        for i in 0..16 {
            lanes[i] += chunk[i];
        }
    }
    for (lane, value) in lanes.iter_mut().zip(rest) {
        *lane += value;
    }
    fold(lanes)
}

/// The sum of 16 lanes, pairwise.
#[inline(always)]
pub(crate) fn fold(mut lanes: [f32; 16]) -> f32 {
    let mut width = 8;
    while width > 0 {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// Defines `$name(level, …)`, which runs the inlined body `$body::<FMA>(…)` compiled for the level.
macro_rules! per_level {
    ($(#[$doc:meta])* $vis:vis fn $name:ident / $body:ident ( $($arg:ident : $ty:ty),* $(,)? ) $(-> $ret:ty)?) => {
        $(#[$doc])*
        #[allow(clippy::too_many_arguments)]
        $vis fn $name(level: $crate::cpu::Level, $($arg: $ty),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,fma")]
                #[allow(clippy::too_many_arguments)]
                fn avx512($($arg: $ty),*) $(-> $ret)? {
                    $body::<true>($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                #[allow(clippy::too_many_arguments)]
                fn avx2($($arg: $ty),*) $(-> $ret)? {
                    $body::<true>($($arg),*)
                }
                debug_assert!(level.is_available());
                if level >= $crate::cpu::Level::Avx512 {
                    // SAFETY: the level is only used where the machine has these features.
                    return unsafe { avx512($($arg),*) };
                }
                if level >= $crate::cpu::Level::Avx2 {
                    // SAFETY: as above.
                    return unsafe { avx2($($arg),*) };
                }
            }
            let _ = level;
            // On aarch64 fused multiply-add is part of the baseline.
            $body::<{ cfg!(target_arch = "aarch64") }>($($arg),*)
        }
    };
}
pub(crate) use per_level;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_close_everywhere() {
        let mut worst = 0.0f64;
        for step in -873_000..=883_000i32 {
            let x = step as f32 * 1e-4;
            for got in [exp::<true>(x), exp::<false>(x)] {
                let want = f64::from(x).exp();
                worst = worst.max((f64::from(got) - want).abs() / want);
            }
        }
        // Two units in the last place of a 24-bit mantissa, and a little for the argument reduction.
        assert!(worst < 2.5e-7, "{worst}");
        assert_eq!(exp::<true>(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp::<true>(f32::INFINITY), f32::INFINITY);
        assert_eq!(exp::<true>(0.0), 1.0);
        assert!(exp::<true>(f32::NAN).is_nan());
    }

    #[test]
    fn activations_have_their_limits() {
        assert_eq!(gelu_tanh::<true>(f32::NEG_INFINITY), 0.0);
        assert_eq!(gelu_tanh::<true>(f32::INFINITY), f32::INFINITY);
        assert_eq!(silu::<true>(f32::NEG_INFINITY), 0.0);
        assert_eq!(gelu_tanh_derivative::<true>(1e30), 1.0);
        assert_eq!(silu_derivative::<true>(1e30), 1.0);
        for f in [
            gelu_tanh::<true>,
            silu::<true>,
            gelu_tanh_derivative::<true>,
            silu_derivative::<true>,
        ] {
            assert!(f(f32::NAN).is_nan());
        }
    }
}
