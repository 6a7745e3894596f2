//! How far products in bf16 are from what they would be without rounding, ours and the peer's, on the same inputs.

use kinora_kernels::Precision;

use crate::cases::{Case, Ours};
use crate::peer::Peer;

/// Values of each result that are compared.
const SAMPLES: usize = 4096;

/// The names of the columns.
pub(crate) const HEAD: &str =
    "op                  shape             error of bf16   of the peer   ratio";

/// A line of the table: errors against the peer's result in f64, as the root of their mean square over that of the result.
pub(crate) fn line(case: Case, peer: &mut Peer) -> Result<String, String> {
    let mut ours = Ours::new(case, Precision::Bf16);
    ours.call();
    let exact = peer.prepare(case, "f64", SAMPLES)?;
    let theirs = error(&peer.prepare(case, "bf16", SAMPLES)?, &exact)?;
    let ours = error(&ours.sample(SAMPLES), &exact)?;
    let shape: Vec<String> = case.shape().iter().map(usize::to_string).collect();
    Ok(format!(
        "{:<19} {:<17} {ours:>13.2e} {theirs:>13.2e} {:>7.2}",
        case.op(),
        shape.join("x"),
        ours / theirs
    ))
}

fn error(got: &[f32], exact: &[f32]) -> Result<f64, String> {
    if got.len() != exact.len() {
        return Err(format!("{} values for {}", got.len(), exact.len()));
    }
    let square = |value: f64| value * value;
    let pairs = got.iter().zip(exact);
    let wrong: f64 = pairs
        .map(|(got, exact)| square(f64::from(*got) - f64::from(*exact)))
        .sum();
    let all: f64 = exact.iter().map(|exact| square(f64::from(*exact))).sum();
    Ok((wrong / all).sqrt())
}
