//! The obvious form of each operation, summed in f64.

use super::gemm::Activation;
use super::matrix::MatRef;

/// Values in [−1, 1) from a seed (SplitMix64).
pub(crate) fn noise(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x2545_f491_4f6c_dd1d);
    (0..len)
        .map(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 40) as f32 / (1u32 << 23) as f32 - 1.0
        })
        .collect()
}

/// `a·b`, row-major.
pub(crate) fn gemm(a: MatRef<'_>, b: MatRef<'_>) -> Vec<f64> {
    let mut c = vec![0.0; a.rows() * b.cols()];
    for i in 0..a.rows() {
        for j in 0..b.cols() {
            c[i * b.cols() + j] = (0..a.cols())
                .map(|l| f64::from(a.at(i, l)) * f64::from(b.at(l, j)))
                .sum();
        }
    }
    c
}

/// An activation.
pub(crate) fn activation(kind: Activation, x: f64) -> f64 {
    match kind {
        Activation::None => x,
        Activation::GeluTanh => {
            0.5 * x
                * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)).tanh())
        }
        Activation::Silu => x / (1.0 + (-x).exp()),
    }
}

/// Attention and its gradients: `[out, logsumexp, dq, dk, dv]`.
pub(crate) fn attention(
    shape: super::AttentionShape,
    q: &[f32],
    k: &[f32],
    v: &[f32],
    key_bias: Option<&[f32]>,
    scale: f32,
    d_out: &[f32],
) -> [Vec<f64>; 5] {
    let super::AttentionShape {
        batch,
        heads,
        query_tokens,
        key_tokens,
        head_dim,
    } = shape;
    let mut out = vec![0.0; shape.query_len()];
    let mut logsumexp = vec![f64::NEG_INFINITY; shape.logsumexp_len()];
    let mut dq = vec![0.0; shape.query_len()];
    let (mut dk, mut dv) = (vec![0.0; shape.key_len()], vec![0.0; shape.key_len()]);
    let scale = f64::from(scale);
    for b in 0..batch {
        for h in 0..heads {
            let at_q = |i: usize, c: usize| ((b * query_tokens + i) * heads + h) * head_dim + c;
            let at_k = |j: usize, c: usize| ((b * key_tokens + j) * heads + h) * head_dim + c;
            for i in 0..query_tokens {
                let score = |j: usize| {
                    let dot: f64 = (0..head_dim)
                        .map(|c| f64::from(q[at_q(i, c)]) * f64::from(k[at_k(j, c)]))
                        .sum();
                    dot * scale + key_bias.map_or(0.0, |bias| f64::from(bias[b * key_tokens + j]))
                };
                let scores: Vec<f64> = (0..key_tokens).map(score).collect();
                let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                if max == f64::NEG_INFINITY {
                    continue;
                }
                let sum: f64 = scores.iter().map(|s| (s - max).exp()).sum();
                let p: Vec<f64> = scores.iter().map(|s| (s - max).exp() / sum).collect();
                logsumexp[(b * heads + h) * query_tokens + i] = max + sum.ln();
                for c in 0..head_dim {
                    out[at_q(i, c)] = (0..key_tokens)
                        .map(|j| p[j] * f64::from(v[at_k(j, c)]))
                        .sum();
                }
                let dp: Vec<f64> = (0..key_tokens)
                    .map(|j| {
                        (0..head_dim)
                            .map(|c| f64::from(d_out[at_q(i, c)]) * f64::from(v[at_k(j, c)]))
                            .sum()
                    })
                    .collect();
                let mean: f64 = (0..key_tokens).map(|j| p[j] * dp[j]).sum();
                for j in 0..key_tokens {
                    let ds = p[j] * (dp[j] - mean) * scale;
                    for c in 0..head_dim {
                        dq[at_q(i, c)] += ds * f64::from(k[at_k(j, c)]);
                        dk[at_k(j, c)] += ds * f64::from(q[at_q(i, c)]);
                        dv[at_k(j, c)] += p[j] * f64::from(d_out[at_q(i, c)]);
                    }
                }
            }
        }
    }
    [out, logsumexp, dq, dk, dv]
}

/// Fails unless each value is within `tolerance` of what is wanted, relative to values above 1.
pub(crate) fn close(name: &str, got: &[f32], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{name}");
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let off = (f64::from(*got) - want).abs();
        assert!(
            off <= tolerance * want.abs().max(1.0),
            "{name}, element {i}: {got} is not {want}"
        );
    }
}
