//! What the judges are trained by.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor, TensorData};
use kinora_data::Labels;

use super::network::Verdict;

/// Share of a subject's certainty that is spread over all subjects (Szegedy et al., 2016).
const SUBJECT_SMOOTHING: f32 = 0.05;

/// Sum of the facts' cross-entropies; nothing moves in a picture.
pub(super) fn loss(
    verdict: Verdict,
    labels: &[Labels],
    moving: bool,
    device: &Device,
) -> Tensor<1> {
    let entropy = |scores, smoothing, class: fn(&Labels) -> usize| {
        let classes: Vec<usize> = labels.iter().map(class).collect();
        cross_entropy(scores, &classes, smoothing, device)
    };
    let still = entropy(verdict.subject, SUBJECT_SMOOTHING, |labels| labels.subject)
        + entropy(verdict.background, 0.0, |labels| labels.background)
        + entropy(verdict.time, 0.0, |labels| labels.time)
        + entropy(verdict.weather, 0.0, |labels| labels.weather)
        + entropy(verdict.style, 0.0, |labels| labels.style);
    if !moving {
        return still;
    }
    still
        + entropy(verdict.motion, 0.0, |labels| labels.motion)
        + entropy(verdict.camera, 0.0, |labels| labels.camera)
}

/// Mean over the rows of `−Σ target · log softmax(scores)`.
pub(crate) fn cross_entropy(
    scores: Tensor<2>,
    classes: &[usize],
    smoothing: f32,
    device: &Device,
) -> Tensor<1> {
    let [rows, count] = scores.dims();
    let mut targets = vec![smoothing / count as f32; rows * count];
    for (row, &class) in classes.iter().enumerate() {
        targets[row * count + class] += 1.0 - smoothing;
    }
    let targets = Tensor::<2>::from_data(TensorData::new(targets, [rows, count]), device);
    (log_softmax(scores, 1) * Tensor::from_inner(targets)).sum() / -(rows as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cross_entropy_is_that_of_the_books() {
        let device = Device::flex();
        let scores = Tensor::<2>::from_floats([[0.0, 3.0_f32.ln()]], &device);
        let value = |smoothing| {
            let scores = Tensor::from_inner(scores.clone());
            cross_entropy(scores, &[1], smoothing, &device).into_scalar::<f32>()
        };
        // Softmax gives 1/4 and 3/4.
        assert!((value(0.0) - (4.0_f32 / 3.0).ln()).abs() < 1e-6);
        let smoothed = 0.9 * (4.0_f32 / 3.0).ln() + 0.1 * 4.0_f32.ln();
        assert!((value(0.2) - smoothed).abs() < 1e-6);
    }
}
