//! The table, and its lines in JSON.

use std::fmt;
use std::io::Write;
use std::path::Path;

use anyhow::{Result, ensure};
use kinora_models::weights::Values;
use serde_json::json;

/// The names of the columns.
pub(super) const HEAD: &str = "case                     ms    peer ms  ratio      MiB   peer MiB  ratio      error  peer's error";

/// One case, measured; Kinora's figure before the peer's.
pub(super) struct Row {
    pub(super) case: &'static str,
    pub(super) ms: [f64; 2],
    /// ‖output − truth‖ / ‖truth‖, where the truth is what f32 gives.
    pub(super) errors: Option<[f64; 2]>,
    /// The most memory that each process held.
    pub(super) bytes: [f64; 2],
    pub(super) names: [String; 2],
}

impl Row {
    /// How much faster than the peer.
    fn speed(&self) -> f64 {
        self.ms[1] / self.ms[0]
    }

    /// Memory as a part of the peer's.
    fn memory(&self) -> f64 {
        self.bytes[0] / self.bytes[1]
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = self.bytes.map(|bytes| bytes / f64::from(1 << 20));
        write!(
            f,
            "{:<18} {:>8.1} {:>10.1} {:>6.2} {:>8.0} {:>10.0} {:>6.2}",
            self.case,
            self.ms[0],
            self.ms[1],
            self.speed(),
            mib[0],
            mib[1],
            self.memory(),
        )?;
        match self.errors {
            None => Ok(()),
            Some([ours, peer]) => write!(f, " {ours:>10.1e} {peer:>13.1e}"),
        }
    }
}

/// A line of JSON for each row.
pub(super) fn write_lines(path: &Path, rows: &[Row]) -> std::io::Result<()> {
    let mut file = std::fs::File::create(path)?;
    for row in rows {
        let line = json!({
            "case": row.case,
            "ms": row.ms[0],
            "peer_ms": row.ms[1],
            "speed_ratio": row.speed(),
            "bytes": row.bytes[0],
            "peer_bytes": row.bytes[1],
            "memory_ratio": row.memory(),
            "error": row.errors.map(|errors| errors[0]),
            "peer_error": row.errors.map(|errors| errors[1]),
            "name": row.names[0],
            "peer": row.names[1],
        });
        writeln!(file, "{line}")?;
    }
    Ok(())
}

/// ‖got − wanted‖ / ‖wanted‖.
pub(super) fn relative_error(got: &Values, wanted: &Values) -> Result<f64> {
    ensure!(
        got.shape == wanted.shape,
        "the output has shape {:?}, expected {:?}",
        got.shape,
        wanted.shape
    );
    let square = |value: f32| f64::from(value) * f64::from(value);
    let difference: f64 = got
        .data
        .iter()
        .zip(&wanted.data)
        .map(|(got, wanted)| square(got - wanted))
        .sum();
    let norm: f64 = wanted.data.iter().copied().map(square).sum();
    Ok((difference / norm).sqrt())
}

/// The middle one.
pub(super) fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_relative_and_shapes_must_agree() {
        let values = |shape: &[usize], data: &[f32]| Values {
            shape: shape.to_vec(),
            data: data.to_vec(),
        };
        let wanted = values(&[2], &[3.0, 4.0]);
        let got = values(&[2], &[3.0, 3.5]);
        assert!((relative_error(&got, &wanted).unwrap() - 0.1).abs() < 1e-9);
        assert!(relative_error(&values(&[1, 2], &[3.0, 4.0]), &wanted).is_err());
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
    }
}
