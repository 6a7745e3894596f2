use super::*;
use crate::cpu::gemm::{Activation, StoredMatrix};
use crate::cpu::level::tests::testable_levels;
use crate::cpu::reference::{activation, noise};

/// A row rounded as the kernels do.
fn rounded(row: &[f32]) -> Vec<f64> {
    let most = row
        .iter()
        .fold(0.0_f32, |most, value| most.max(value.abs()));
    let scale = f64::from(most / 127.0);
    let inverse = if most > 0.0 { 127.0 / most } else { 0.0 };
    let number = |value: &f32| f64::from((value * inverse).round_ties_even());
    row.iter().map(|value| number(value) * scale).collect()
}

/// Sizes around words, tiles, blocks and the pieces of long sums.
#[test]
fn products_of_the_rounded_numbers_are_exact_on_every_level() {
    let sizes = [
        (0, 3, 4),
        (3, 0, 4),
        (3, 4, 0),
        (1, 1, 1),
        (5, 7, 3),
        (17, 64, 16),
        (33, 65, 49),
        (70, 1030, 40),
        (200, 130, 100),
        (3, 2100, 70),
    ];
    for (m, k, n) in sizes {
        let (a, b, bias) = (noise(m * k, 1), noise(k * n, 2), noise(n, 3));
        let matrix = Int8Matrix::new(MatRef::new(&b, k, n));
        for level in testable_levels("int8") {
            for kind in [Activation::None, Activation::Silu] {
                let (mut got, mut before) = (vec![9.0; m * n], vec![9.0; m * n]);
                let epilogue = Epilogue {
                    bias: Some(&bias),
                    activation: kind,
                    preactivation: Some(&mut before),
                    ..Epilogue::default()
                };
                gemm_int8_at(level, MatRef::new(&a, m, k), &matrix, &mut got, epilogue);
                for row in 0..m {
                    let left = rounded(&a[row * k..][..k]);
                    for (col, bias) in bias.iter().enumerate() {
                        let products = left.iter().enumerate();
                        let sum: f64 = products
                            .map(|(l, left)| left * f64::from(matrix.at(l, col)))
                            .sum();
                        let want = sum + f64::from(*bias);
                        // Rounding of the scales and of the result to f32.
                        let close = |got: f32, want: f64| {
                            (f64::from(got) - want).abs() <= 1e-6 * (k as f64).sqrt().max(1.0)
                        };
                        let at = row * n + col;
                        assert!(
                            close(before[at], want),
                            "{level:?} {m}×{k}×{n} at {row}, {col}: {} is not {want}",
                            before[at]
                        );
                        assert!(close(got[at], activation(kind, want)), "{level:?} {kind:?}");
                    }
                }
            }
        }
    }
}

/// What is lost: half a step of 1/127 of the largest number on both sides, of which most cancels.
#[test]
fn rounding_costs_about_one_percent() {
    let (m, k, n) = (40, 512, 48);
    let (a, b) = (noise(m * k, 1), noise(k * n, 2));
    let want = crate::cpu::reference::gemm(MatRef::new(&a, m, k), MatRef::new(&b, k, n));
    let matrix = Int8Matrix::new(MatRef::new(&b, k, n));
    for level in testable_levels("int8 error") {
        let mut got = vec![0.0; m * n];
        gemm_int8_at(
            level,
            MatRef::new(&a, m, k),
            &matrix,
            &mut got,
            Epilogue::default(),
        );
        let square = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>();
        let error = square(&mut want.iter().zip(&got).map(|(w, g)| w - f64::from(*g)));
        let share = (error / square(&mut want.iter().copied())).sqrt();
        assert!(share < 0.01, "{level:?}: {share}");
        assert!(share > 1e-4, "{level:?}: nothing was rounded");
    }
}

#[test]
fn what_is_no_number_stays_in_its_row_and_column() {
    let (m, k, n) = (19, 35, 50);
    let (mut a, mut b) = (noise(m * k, 1), noise(k * n, 2));
    a[2 * k + 34] = f32::NAN;
    a[5 * k] = f32::INFINITY;
    a[6 * k..][..k].fill(0.0);
    b[3 * n + 7] = f32::NEG_INFINITY;
    let matrix = Int8Matrix::new(MatRef::new(&b, k, n));
    for level in testable_levels("int8 nan") {
        let mut c = vec![0.0; m * n];
        gemm_int8_at(
            level,
            MatRef::new(&a, m, k),
            &matrix,
            &mut c,
            Epilogue::default(),
        );
        for (row, line) in c.chunks(n).enumerate() {
            for (col, value) in line.iter().enumerate() {
                let is_lost = row == 2 || row == 5 || col == 7;
                assert_eq!(value.is_nan(), is_lost, "{level:?} {row}, {col}");
                assert!(row != 6 || col == 7 || *value == 0.0);
            }
        }
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let (m, k, n) = (333, 700, 257);
    let (a, b) = (noise(m * k, 9), noise(k * n, 10));
    let matrix = Int8Matrix::new(MatRef::new(&b, k, n));
    for level in testable_levels("int8 threads") {
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            let mut c = vec![0.0; m * n];
            pool.expect("a pool").install(|| {
                gemm_int8_at(
                    level,
                    MatRef::new(&a, m, k),
                    &matrix,
                    &mut c,
                    Epilogue::default(),
                );
            });
            c
        };
        assert_eq!(run(1), run(5), "{level:?}");
    }
}

/// Weights that are kept in 8 bits already lose nothing more.
#[test]
fn stored_numbers_of_eight_bits_stay_as_they_are() {
    #[derive(Debug)]
    struct Numbers(Vec<i8>, Vec<f32>, usize);
    impl StoredMatrix for Numbers {
        fn rows(&self) -> usize {
            self.1.len()
        }
        fn columns(&self) -> usize {
            self.2
        }
        fn decode(&self, row: usize, start: usize, out: &mut [f32]) {
            let numbers = &self.0[row * self.2 + start..][..out.len()];
            for (out, number) in out.iter_mut().zip(numbers) {
                *out = f32::from(*number) * self.1[row];
            }
        }
    }
    let (rows, columns) = (37, 2100);
    let mut numbers: Vec<i8> = noise(rows * columns, 1)
        .iter()
        .map(|value| (value * 127.0) as i8)
        .collect();
    // Each row has a largest number, as rounding leaves it.
    numbers.chunks_mut(columns).for_each(|row| row[5] = -127);
    let scales = noise(rows, 2)
        .iter()
        .map(|scale| scale.abs() + 0.01)
        .collect();
    let stored = Numbers(numbers, scales, columns);
    let matrix = Int8Matrix::of_stored(&stored);
    for row in 0..rows {
        for column in [0, 1, 5, 1023, 1024, 2099] {
            let want = f32::from(stored.0[row * columns + column]) * stored.1[row];
            assert!((matrix.at(column, row) - want).abs() <= 1e-6 * want.abs());
        }
    }
}
