use super::*;
use crate::cpu::level::tests::testable_levels;
use crate::cpu::reference;
use crate::cpu::scratch::AlignedWords;

/// Values in [−1, 1] that repeat for a seed.
fn values(len: usize, seed: u64) -> Vec<f32> {
    reference::noise(len, seed)
}

/// Largest deviation allowed for a sum of `k` products of values up to 1: f32 rounding of the sum, and for bf16
/// inputs a relative 2⁻⁸ on each product, of which most cancel (√k).
fn tolerance(precision: Precision, k: usize) -> f64 {
    let k = k.max(1) as f64;
    match precision {
        Precision::F32 => 1e-6 * k,
        Precision::Bf16 => 1e-2 * k.sqrt(),
    }
}

fn check(level: Level, a: MatRef<'_>, b: MatRef<'_>, precision: Precision) {
    let (m, k, n) = (a.rows(), a.cols(), b.cols());
    let bias = values(n, 3);
    let start = values(m * n, 4);
    let want = reference::gemm(a, b);
    for activation in [Activation::None, Activation::GeluTanh, Activation::Silu] {
        for accumulate in [false, true] {
            let mut c = start.clone();
            let mut before = vec![0.0; m * n];
            let epilogue = Epilogue {
                bias: Some(&bias),
                activation,
                accumulate,
                preactivation: Some(&mut before),
            };
            gemm_at(level, a, b, &mut c, epilogue, precision);
            for i in 0..m * n {
                let added = if accumulate { f64::from(start[i]) } else { 0.0 };
                let sum = want[i] + added + f64::from(bias[i % n]);
                let diff = (f64::from(before[i]) - sum).abs();
                assert!(
                    diff <= tolerance(precision, k),
                    "{level:?} {precision:?} {m}×{k}×{n} at {i}: {} is not {sum}",
                    before[i]
                );
                let act = reference::activation(activation, f64::from(before[i]));
                assert!(
                    (f64::from(c[i]) - act).abs() <= 2e-6 * act.abs().max(1.0),
                    "{level:?} {activation:?}"
                );
            }
            let packed = PackedMatrix::pack_at(level, b, precision);
            let mut again = start.clone();
            gemm_packed(
                a,
                &packed,
                &mut again,
                Epilogue {
                    bias: Some(&bias),
                    activation,
                    accumulate,
                    preactivation: None,
                },
            );
            assert_eq!(again, c, "{level:?}: packed ahead and packed now differ");
        }
    }
}

#[test]
fn ragged_products_match_the_reference_on_every_level() {
    let sizes = [
        (0, 3, 4),
        (3, 0, 4),
        (3, 4, 0),
        (1, 1, 1),
        (1, 33, 17),
        (3, 17, 1),
        (17, 64, 33),
        (33, 31, 49),
        (65, 100, 80),
    ];
    for level in testable_levels("gemm") {
        for precision in [Precision::F32, Precision::Bf16] {
            for (m, k, n) in sizes {
                let (a, b) = (values(m * k, 1), values(k * n, 2));
                check(
                    level,
                    MatRef::new(&a, m, k),
                    MatRef::new(&b, k, n),
                    precision,
                );
            }
        }
    }
}

/// On two threads a task has 32 rows and all columns, more than it keeps in the cache: it goes over them in parts, each along the whole
/// summed axis. The sizes leave a rest everywhere.
#[test]
fn wide_products_match_the_reference_on_every_level() {
    let (m, k, n) = (100, 1030, 1301);
    let (a, b) = (values(m * k, 1), values(k * n, 2));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build();
    pool.unwrap().install(|| {
        for level in testable_levels("wide gemm") {
            for precision in [Precision::F32, Precision::Bf16] {
                check(
                    level,
                    MatRef::new(&a, m, k),
                    MatRef::new(&b, k, n),
                    precision,
                );
            }
        }
    });
}

/// Rows just below a multiple of 32 take more whole panels of six than of eight: the packed block must hold them. Sizes
/// at which a block has no word to spare.
#[test]
fn the_last_panel_of_rows_has_room() {
    for level in testable_levels("gemm") {
        for (m, k) in [
            (31, 32),
            (32, 32),
            (62, 128),
            (64, 256),
            (128, 256),
            (160, 64),
        ] {
            let (a, b) = (values(m * k, 1), values(k * 16, 2));
            let (a, b) = (MatRef::new(&a, m, k), MatRef::new(&b, k, 16));
            check(level, a, b, Precision::F32);
        }
    }
}

#[test]
fn strided_and_unaligned_operands_match() {
    let (m, k, n) = (37, 45, 51);
    for level in testable_levels("gemm strided") {
        for precision in [Precision::F32, Precision::Bf16] {
            let (a, b) = (values(4 * m * k + 9, 5), values(4 * k * n + 9, 6));
            // Transposed views, every other column, rows with gaps, and a start off any alignment.
            check(
                level,
                MatRef::new(&a[1..=m * k], k, m).t(),
                MatRef::new(&b[3..3 + k * n], k, n),
                precision,
            );
            check(
                level,
                MatRef::new(&a[1..=m * k], m, k),
                MatRef::new(&b[3..3 + k * n], n, k).t(),
                precision,
            );
            check(
                level,
                MatRef::new(&a[1..=m * k], k, m).t(),
                MatRef::new(&b[..k * n], n, k).t(),
                precision,
            );
            check(
                level,
                MatRef::strided(&a[5..], m, k, 2 * k, 2),
                MatRef::strided(&b[7..], k, n, n + 3, 1),
                precision,
            );
            check(
                level,
                MatRef::strided(&a[5..], m, k, 1, m + 2),
                MatRef::strided(&b[7..], k, n, 3, 3 * k),
                precision,
            );
        }
    }
}

#[test]
fn long_sums_are_split_in_a_fixed_order() {
    let (m, k, n) = (50, 3000, 70);
    let (a, b) = (values(m * k, 7), values(k * n, 8));
    for level in testable_levels("gemm deep") {
        for precision in [Precision::F32, Precision::Bf16] {
            check(
                level,
                MatRef::new(&a, m, k),
                MatRef::new(&b, k, n),
                precision,
            );
        }
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let (m, k, n) = (333, 700, 257);
    let (a, b) = (values(m * k, 9), values(k * n, 10));
    for level in testable_levels("gemm threads") {
        for precision in [Precision::F32, Precision::Bf16] {
            let run = |threads| {
                let pool = rayon::ThreadPoolBuilder::new()
                    .num_threads(threads)
                    .build()
                    .expect("a pool");
                let mut c = vec![0.0; m * n];
                pool.install(|| {
                    let (a, b) = (MatRef::new(&a, m, k), MatRef::new(&b, k, n));
                    gemm_at(level, a, b, &mut c, Epilogue::default(), precision);
                });
                c
            };
            let one = run(1);
            assert_eq!(one, run(2), "{level:?}");
            assert_eq!(one, run(7), "{level:?}");
        }
    }
}

#[test]
fn nan_and_infinity_reach_their_rows_and_columns_only() {
    let (m, k, n) = (19, 35, 50);
    for level in testable_levels("gemm nan") {
        for precision in [Precision::F32, Precision::Bf16] {
            let (mut a, b) = (values(m * k, 11), vec![1.0; k * n]);
            a[2 * k + 34] = f32::NAN;
            a[5 * k] = f32::INFINITY;
            let mut c = vec![0.0; m * n];
            gemm_at(
                level,
                MatRef::new(&a, m, k),
                MatRef::new(&b, k, n),
                &mut c,
                Epilogue::default(),
                precision,
            );
            for (row, line) in c.chunks(n).enumerate() {
                match row {
                    2 => assert!(line.iter().all(|v| v.is_nan())),
                    5 => assert!(line.iter().all(|v| *v == f32::INFINITY)),
                    _ => assert!(line.iter().all(|v| v.is_finite())),
                }
            }
        }
    }
}

#[test]
fn a_level_has_bf16_where_its_engine_packs_pairs() {
    for level in testable_levels("bf16") {
        let engine = Engine::new(level, Precision::Bf16);
        assert_eq!(level.has_bf16(), engine.is_bf16(), "{level:?}");
        assert!(!Engine::new(level, Precision::F32).is_bf16(), "{level:?}");
    }
}

/// 32 rows are no whole number of panels of 6: packing pads them to 36.
#[test]
fn packing_stays_inside_the_length_it_asks_for() {
    const MARK: u32 = 0xDEAD_BEEF;
    const BEYOND: usize = 4096;
    for level in testable_levels("packing") {
        for precision in [Precision::F32, Precision::Bf16] {
            let engine = Engine::new(level, precision);
            for rows in 1..=200 {
                for k in [1, 16, 33] {
                    let a = vec![1.0; rows * k];
                    let len = pack::rows_len(engine, rows, k);
                    let mut words = AlignedWords::new(len + BEYOND);
                    // SAFETY: the block has room for what packing asks for, and for the marks behind it.
                    let beyond = unsafe {
                        let beyond = words.as_mut_ptr().add(len);
                        std::slice::from_raw_parts_mut(beyond, BEYOND).fill(MARK);
                        let source = MatRef::new(&a, rows, k);
                        pack::pack_rows(engine, &source, 0, rows, 0, k, words.as_mut_ptr());
                        std::slice::from_raw_parts(words.as_ptr().add(len), BEYOND)
                    };
                    let untouched = beyond.iter().all(|word| *word == MARK);
                    assert!(
                        untouched,
                        "{engine:?}: {rows} rows of {k} leave their block"
                    );
                }
            }
        }
    }
}
