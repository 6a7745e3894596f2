//! The table, and its lines in JSON.

use std::fmt;
use std::io::Write;
use std::path::Path;

use kinora_kernels::{Level, Precision};
use serde_json::json;

use crate::cases::Case;

/// The names of the columns.
pub(crate) const HEAD: &str = "op                  shape             dtype  level         ms    GFLOP/s   peak    peer ms   ratio";

/// One operation, timed.
pub(crate) struct Row {
    case: Case,
    precision: Precision,
    level: Level,
    ms: f64,
    gflops: Option<f64>,
    peak_share: Option<f64>,
    peer_ms: Option<f64>,
    /// How much faster than the peer: its time over ours.
    ratio: Option<f64>,
}

impl Row {
    /// Medians in ms, the peak in GFLOP/s.
    pub(crate) fn new(
        case: Case,
        precision: Precision,
        level: Level,
        ms: f64,
        peak: Option<f64>,
        peer_ms: Option<f64>,
    ) -> Self {
        let gflops = case.gflop().map(|gflop| gflop / ms * 1e3);
        Self {
            case,
            precision,
            level,
            ms,
            gflops,
            peak_share: gflops.zip(peak).map(|(gflops, peak)| gflops / peak),
            peer_ms,
            ratio: peer_ms.map(|peer_ms| peer_ms / ms),
        }
    }

    fn dtype(&self) -> &'static str {
        self.case
            .fixed_dtype()
            .unwrap_or(dtype_name(self.precision))
    }

    fn shape(&self) -> String {
        let sizes: Vec<String> = self.case.shape().iter().map(usize::to_string).collect();
        sizes.join("x")
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let optional = |value: Option<f64>, text: fn(f64) -> String| value.map_or("-".into(), text);
        write!(
            f,
            "{:<19} {:<17} {:<6} {:<10} {:>9.3} {:>8} {:>6} {:>10} {:>7}",
            self.case.op(),
            self.shape(),
            self.dtype(),
            self.level.name(),
            self.ms,
            optional(self.gflops, |gflops| format!("{gflops:.0}")),
            optional(self.peak_share, |share| format!("{:.0} %", 100.0 * share)),
            optional(self.peer_ms, |ms| format!("{ms:.3}")),
            optional(self.ratio, |ratio| format!("{ratio:.2}")),
        )
    }
}

/// The name of the type that products are taken in.
pub(crate) fn dtype_name(precision: Precision) -> &'static str {
    match precision {
        Precision::F32 => "f32",
        Precision::Bf16 => "bf16",
    }
}

/// A line of JSON for each row; what was not measured is null.
pub(crate) fn write_lines(path: &Path, rows: &[Row]) -> std::io::Result<()> {
    let mut file = std::fs::File::create(path)?;
    for row in rows {
        let line = json!({
            "op": row.case.op(),
            "shape": row.shape(),
            "dtype": row.dtype(),
            "level": row.level.name(),
            "ms": row.ms,
            "gflops": row.gflops,
            "peak_share": row.peak_share,
            "peer_ms": row.peer_ms,
            "ratio": row.ratio,
        });
        writeln!(file, "{line}")?;
    }
    Ok(())
}
