//! What the model is asked for, and how its frames become those of the file.

use anyhow::{Context, Result};
use kinora_media::FrameRate;
use kinora_models::Description;

use super::request::{Length, Request};

/// How a request is met by a model.
#[derive(Debug, PartialEq)]
pub(crate) struct Plan {
    /// What the model makes: width and height in pixels.
    pub(crate) native_size: [usize; 2],
    /// Frames that the model makes.
    pub(crate) frames: usize,
    /// Frames per second that the model makes.
    pub(crate) model_fps: FrameRate,
    /// Frames per second of the file.
    pub(crate) fps: FrameRate,
}

impl Plan {
    pub(crate) fn new(request: &Request, about: &Description) -> Result<Self> {
        let model_fps = FrameRate::whole(about.frames_per_second as u32)?;
        let frames = match request.length {
            Length::Picture => 1,
            Length::Seconds(seconds) => ((seconds * model_fps.as_f64()).round() as usize).max(1),
        };
        Ok(Self {
            native_size: nearest_shape(&about.sizes, request.size).with_context(|| {
                format!("the model {} says no sizes: it cannot be used", about.name)
            })?,
            frames,
            model_fps,
            fps: request.fps.unwrap_or(model_fps),
        })
    }

    /// Frames of the file.
    pub(crate) fn file_frames(&self) -> u64 {
        let duration_secs = self.model_fps.duration_secs(self.frames as u64);
        ((duration_secs * self.fps.as_f64()).round() as u64).max(1)
    }

    /// Which frame of the model stands at frame `index` of the file: the one that is seen at the middle of its time,
    /// and of two neighbours the earlier one.
    pub(crate) fn model_frame(&self, index: u64) -> usize {
        let rate = |fps: FrameRate| (u128::from(fps.numerator()), u128::from(fps.denominator()));
        let ((from_n, from_d), (to_n, to_d)) = (rate(self.model_fps), rate(self.fps));
        // (index + 1/2) / fps · model_fps, rounded up, less one.
        let middle = (2 * u128::from(index) + 1) * to_d * from_n;
        let frame = middle.div_ceil(2 * to_n * from_d) - 1;
        (frame as usize).min(self.frames - 1)
    }
}

/// The size whose shape is nearest to `size`; of two as near the larger one.
fn nearest_shape(sizes: &[[usize; 2]], size: [u32; 2]) -> Option<[usize; 2]> {
    let shape = |width: f64, height: f64| (width / height).ln();
    let wanted = shape(size[0].into(), size[1].into());
    let distance =
        |[width, height]: [usize; 2]| (shape(width as f64, height as f64) - wanted).abs();
    sizes.iter().copied().min_by(|&a, &b| {
        let area = |[width, height]: [usize; 2]| width * height;
        distance(a)
            .total_cmp(&distance(b))
            .then(area(b).cmp(&area(a)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(frames: usize, fps: &str) -> Plan {
        Plan {
            native_size: [176, 96],
            frames,
            model_fps: FrameRate::whole(12).unwrap(),
            fps: fps.parse().unwrap(),
        }
    }

    fn model_frames(plan: &Plan) -> Vec<usize> {
        (0..plan.file_frames())
            .map(|index| plan.model_frame(index))
            .collect()
    }

    #[test]
    fn the_nearest_shape_is_taken() {
        let sizes = [[176, 96], [128, 128], [96, 176], [352, 192]];
        assert_eq!(nearest_shape(&sizes, [1280, 720]), Some([352, 192]));
        assert_eq!(nearest_shape(&sizes, [512, 480]), Some([128, 128]));
        assert_eq!(nearest_shape(&sizes, [64, 4096]), Some([96, 176]));
        assert_eq!(nearest_shape(&[], [64, 64]), None);
    }

    #[test]
    fn frames_are_repeated_or_dropped_by_time() {
        assert_eq!(model_frames(&plan(4, "12")), [0, 1, 2, 3]);
        assert_eq!(model_frames(&plan(3, "24")), [0, 0, 1, 1, 2, 2]);
        assert_eq!(model_frames(&plan(6, "6")), [0, 2, 4]);
        assert_eq!(
            model_frames(&plan(5, "30")),
            [0, 0, 0, 1, 1, 2, 2, 2, 3, 3, 4, 4, 4]
        );
        assert_eq!(model_frames(&plan(1, "1")), [0]);
    }

    #[test]
    fn other_rates_keep_the_length_and_the_order() {
        for frames in [1, 2, 7, 48, 7200] {
            for fps in ["1", "10", "23.976", "25", "60", "120"] {
                let plan = plan(frames, fps);
                let shown = model_frames(&plan);
                assert!(shown.is_sorted() && shown.iter().all(|&frame| frame < frames));
                let length = plan.fps.duration_secs(shown.len() as u64);
                let wanted = plan.model_fps.duration_secs(frames as u64);
                assert!(
                    (length - wanted).abs() <= plan.fps.duration_secs(1),
                    "{frames} at {fps}"
                );
            }
        }
    }
}
