use super::*;
use crate::cpu::level::tests::testable_levels;
use crate::cpu::level::{Level, Precision};
use crate::cpu::reference;

struct Case {
    shape: AttentionShape,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    d_out: Vec<f32>,
    bias: Option<Vec<f32>>,
    scale: f32,
}

fn case(
    batch: usize,
    heads: usize,
    query_tokens: usize,
    key_tokens: usize,
    head_dim: usize,
    masked: bool,
) -> Case {
    let shape = AttentionShape {
        batch,
        heads,
        query_tokens,
        key_tokens,
        head_dim,
    };
    let bias = masked.then(|| {
        let mut bias = reference::noise(batch * key_tokens, 5);
        for (i, value) in bias.iter_mut().enumerate() {
            if i % 3 == 1 {
                *value = f32::NEG_INFINITY;
            }
        }
        bias
    });
    Case {
        shape,
        q: reference::noise(shape.query_len(), 1)
            .iter()
            .map(|x| 2.0 * x)
            .collect(),
        k: reference::noise(shape.key_len(), 2),
        v: reference::noise(shape.key_len(), 3),
        d_out: reference::noise(shape.query_len(), 4),
        bias,
        scale: 1.0 / (head_dim.max(1) as f32).sqrt(),
    }
}

/// Outputs are means of values up to 1 and gradients sums over a few hundred of them: f32 rounding, or for bf16
/// inputs about 2⁻⁸ of the terms' size.
fn tolerance(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => 2e-5,
        Precision::Bf16 => 4e-2,
    }
}

fn close(name: &str, level: Level, precision: Precision, got: &[f32], want: &[f64]) {
    assert_eq!(got.len(), want.len());
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let same = f64::from(*got) == *want
            || (f64::from(*got) - want).abs() <= tolerance(precision) * want.abs().max(1.0);
        assert!(
            same,
            "{name} at {level:?} {precision:?}, element {i}: {got} is not {want}"
        );
    }
}

fn run(level: Level, case: &Case, precision: Precision) -> [Vec<f32>; 5] {
    let Case {
        shape,
        q,
        k,
        v,
        d_out,
        bias,
        scale,
    } = case;
    let mut out = vec![9.0; shape.query_len()];
    let mut logsumexp = vec![9.0; shape.logsumexp_len()];
    let key_bias = bias.as_deref();
    attention_forward_at(
        level,
        *shape,
        q,
        k,
        v,
        key_bias,
        *scale,
        &mut out,
        &mut logsumexp,
        precision,
    );
    let (mut dq, mut dk, mut dv) = (
        vec![9.0; shape.query_len()],
        vec![9.0; shape.key_len()],
        vec![9.0; shape.key_len()],
    );
    attention_backward_at(
        level, *shape, q, k, v, &out, &logsumexp, d_out, key_bias, *scale, &mut dq, &mut dk,
        &mut dv, precision,
    );
    [out, logsumexp, dq, dk, dv]
}

#[test]
fn forward_and_backward_match_the_reference_on_every_level() {
    let mut cases = vec![
        case(0, 2, 3, 4, 8, false),
        case(1, 1, 0, 4, 8, false),
        case(1, 1, 3, 0, 8, false),
        case(1, 1, 1, 1, 1, false),
        case(2, 3, 17, 33, 7, true),
        case(1, 2, 66, 80, 64, true),
        case(1, 1, 33, 49, 128, false),
        case(1, 1, 300, 70, 64, false),
        case(1, 1, 40, 1100, 20, true),
        // More than one block of queries and of keys, with a rest everywhere.
        case(1, 1, 301, 291, 64, false),
        case(1, 1, 33, 1700, 40, false),
    ];

    // Rising scores make every block raise the maximum.
    let mut rising = case(1, 1, 5, 1300, 16, false);
    rising.bias = Some((0..1300).map(|i| i as f32 * 0.05).collect());
    cases.push(rising);
    for case in &cases {
        let want = reference::attention(
            case.shape,
            &case.q,
            &case.k,
            &case.v,
            case.bias.as_deref(),
            case.scale,
            &case.d_out,
        );
        for level in testable_levels("attention") {
            for precision in [Precision::F32, Precision::Bf16] {
                let got = run(level, case, precision);
                for ((name, got), want) in ["out", "logsumexp", "dq", "dk", "dv"]
                    .iter()
                    .zip(&got)
                    .zip(&want)
                {
                    close(
                        &format!("{name} of {:?}", case.shape),
                        level,
                        precision,
                        got,
                        want,
                    );
                }
            }
        }
    }
}

/// Their powers are out of the range of f32 unless the largest score is taken off. Queries and keys are whole numbers, which bf16 holds.
#[test]
fn scores_in_the_hundreds_match_the_reference_on_every_level() {
    let mut case = case(1, 2, 40, 97, 128, false);
    case.q.iter_mut().for_each(|x| *x = 60.0 * x.signum());
    case.k.iter_mut().for_each(|x| *x = x.signum());
    let want = reference::attention(
        case.shape,
        &case.q,
        &case.k,
        &case.v,
        None,
        case.scale,
        &case.d_out,
    );
    for level in testable_levels("attention large") {
        for precision in [Precision::F32, Precision::Bf16] {
            let [out, logsumexp, ..] = run(level, &case, precision);
            close("out", level, precision, &out, &want[0]);
            close("logsumexp", level, precision, &logsumexp, &want[1]);
        }
    }
}

#[test]
fn a_query_that_sees_nothing_gets_zeros_and_gives_no_gradient() {
    let mut case = case(2, 2, 20, 30, 64, false);
    let mut bias = vec![0.0; 60];
    bias[30..].fill(f32::NEG_INFINITY);
    case.bias = Some(bias);
    for level in testable_levels("attention masked") {
        for precision in [Precision::F32, Precision::Bf16] {
            let [out, logsumexp, dq, dk, dv] = run(level, &case, precision);
            assert!(
                out[20 * 128..]
                    .iter()
                    .chain(&dq[20 * 128..])
                    .all(|x| *x == 0.0)
            );
            assert!(
                dk[30 * 128..]
                    .iter()
                    .chain(&dv[30 * 128..])
                    .all(|x| *x == 0.0)
            );
            assert!(logsumexp[40..].iter().all(|x| *x == f32::NEG_INFINITY));
            assert!(out[..20 * 128].iter().all(|x| x.is_finite()));
        }
    }
}

#[test]
fn nan_stays_in_its_head() {
    let mut case = case(1, 2, 20, 30, 64, false);
    case.k[3 * 128 + 5] = f32::NAN;
    for level in testable_levels("attention nan") {
        for precision in [Precision::F32, Precision::Bf16] {
            let [out, ..] = run(level, &case, precision);
            for token in out.chunks(128) {
                assert!(token[..64].iter().all(|x| x.is_nan()));
                assert!(token[64..].iter().all(|x| x.is_finite()));
            }
        }
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let case = case(1, 2, 333, 700, 64, true);
    for level in testable_levels("attention threads") {
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .expect("a pool");
            pool.install(|| run(level, &case, Precision::Bf16))
        };
        let one = with(1);
        assert_eq!(one, with(2), "{level:?}");
        assert_eq!(one, with(5), "{level:?}");
    }
}
