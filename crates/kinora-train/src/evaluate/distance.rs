//! How far apart two sets of clips are in what the judges see of them.

/// Fréchet distance between two normal distributions with diagonal covariances, fitted to the rows
/// of `a` and `b` (the FID of Heusel et al., 2017, without its off-diagonal terms, which a few dozen
/// clips cannot fill):
///
/// `Σᵢ (mean_a[i] − mean_b[i])² + (deviation_a[i] − deviation_b[i])²`
///
/// `None` where a set has fewer than two rows. Rows all have the same length.
pub fn feature_distance(a: &[Vec<f32>], b: &[Vec<f32>]) -> Option<f64> {
    let (a, b) = (moments(a)?, moments(b)?);
    let squared = |x: f64, y: f64| (x - y) * (x - y);
    Some(
        a.iter()
            .zip(&b)
            .map(|(a, b)| squared(a.mean, b.mean) + squared(a.deviation, b.deviation))
            .sum(),
    )
}

struct Moments {
    mean: f64,
    deviation: f64,
}

/// Mean and unbiased deviation of each column.
fn moments(rows: &[Vec<f32>]) -> Option<Vec<Moments>> {
    let columns = rows.first()?.len();
    if rows.len() < 2 {
        return None;
    }
    let count = rows.len() as f64;
    let column = |i: usize| rows.iter().map(move |row| f64::from(row[i]));
    let moments = (0..columns).map(|i| {
        let mean = column(i).sum::<f64>() / count;
        let squared: f64 = column(i).map(|value| (value - mean).powi(2)).sum();
        Moments {
            mean,
            deviation: (squared / (count - 1.0)).sqrt(),
        }
    });
    Some(moments.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_sets_are_at_distance_zero_in_any_order() {
        let a = vec![vec![0.5, -2.0], vec![1.5, 3.0], vec![-4.0, 0.25]];
        let b = vec![a[2].clone(), a[0].clone(), a[1].clone()];
        assert!(feature_distance(&a, &b).unwrap() < 1e-24);
    }

    #[test]
    fn shifts_and_spreads_are_counted() {
        // Means 1 and 3; deviations √2 and 2√2.
        let a = vec![vec![0.0], vec![2.0]];
        let b = vec![vec![1.0], vec![5.0]];
        let distance = feature_distance(&a, &b).unwrap();
        assert!((distance - 6.0).abs() < 1e-12, "{distance}");
    }

    #[test]
    fn a_single_clip_has_no_spread() {
        let one = vec![vec![1.0, 2.0]];
        assert_eq!(feature_distance(&one, &one), None);
        assert_eq!(feature_distance(&[], &[]), None);
    }
}
