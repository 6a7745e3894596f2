//! How frames of the model become frames of the file, which has a rate of its own.

use kinora_media::FrameRate;

/// The model's rate and the file's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Frames per second that the model makes.
    pub model: FrameRate,
    /// Frames per second of the file.
    pub file: FrameRate,
}

impl Rates {
    /// Frames of the model for each of the file.
    pub fn step(&self) -> f64 {
        self.model.as_f64() / self.file.as_f64()
    }

    /// Frames of the file that show `frames` frames of the model, at least one.
    pub fn file_frames(&self, frames: usize) -> u64 {
        let duration_secs = self.model.duration_secs(frames as u64);
        ((duration_secs * self.file.as_f64()).round() as u64).max(1)
    }

    /// Frames of the model that `frames` frames of the file show, at least one.
    pub fn model_frames(&self, frames: u64) -> usize {
        match frames {
            0 => 1,
            frames => self.model_frame(frames - 1) + 1,
        }
    }

    /// The frame of the model that frame `index` of the file begins with or after, and how much of the time to the next one has
    /// then passed, 0 to below 1.
    pub fn model_time(&self, index: u64) -> (usize, f32) {
        let rate = |fps: FrameRate| (u128::from(fps.numerator()), u128::from(fps.denominator()));
        let ((from_n, from_d), (to_n, to_d)) = (rate(self.model), rate(self.file));
        let (whole, part) = (to_n * from_d, u128::from(index) * to_d * from_n);
        (
            (part / whole) as usize,
            (part % whole) as f32 / whole as f32,
        )
    }

    /// Which frame of the model stands at frame `index` of the file: the one that is seen at the middle of its time,
    /// and of two neighbours the earlier one.
    pub fn model_frame(&self, index: u64) -> usize {
        let rate = |fps: FrameRate| (u128::from(fps.numerator()), u128::from(fps.denominator()));
        let ((from_n, from_d), (to_n, to_d)) = (rate(self.model), rate(self.file));
        // (index + 1/2) / fps · model_fps, rounded up, less one.
        let middle = (2 * u128::from(index) + 1) * to_d * from_n;
        (middle.div_ceil(2 * to_n * from_d) - 1) as usize
    }
}

/// Where frames of the file lie in the model's time, in frames of the model after the piece's first. What lies between two frames is on
/// its way from one to the other, also from the one before the piece and to the one after it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Way {
    /// The first.
    pub start: f64,
    /// Each from the one before.
    pub step: f64,
}

impl Way {
    /// From a frame of the model on, at the rates' own steps.
    pub fn from_start(rates: Rates) -> Self {
        Self {
            start: 0.0,
            step: rates.step(),
        }
    }

    /// Frame `index` of the file: the frame of the model that it is or comes after, and how much of the time to the next has passed then,
    /// 0 to below 1.
    pub(crate) fn at(&self, index: u64) -> (i64, f32) {
        let place = self.start + self.step * index as f64;
        // Times are rounded.
        let near = (place * ROUNDED).round() / ROUNDED;
        let whole = near.floor();
        (whole as i64, (near - whole) as f32)
    }
}

/// Parts of a frame that times are rounded to.
const ROUNDED: f64 = 1e6;

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(fps: &str) -> Rates {
        Rates {
            model: FrameRate::whole(12).unwrap(),
            file: fps.parse().unwrap(),
        }
    }

    #[test]
    fn times_lie_between_frames() {
        let times = |fps: &str| -> Vec<(usize, f32)> {
            (0..5).map(|index| rates(fps).model_time(index)).collect()
        };
        assert_eq!(
            times("12"),
            [(0, 0.0), (1, 0.0), (2, 0.0), (3, 0.0), (4, 0.0)]
        );
        assert_eq!(
            times("24"),
            [(0, 0.0), (0, 0.5), (1, 0.0), (1, 0.5), (2, 0.0)]
        );
        assert_eq!(
            times("30"),
            [(0, 0.0), (0, 0.4), (0, 0.8), (1, 0.2), (1, 0.6)]
        );
        assert_eq!(
            times("8"),
            [(0, 0.0), (1, 0.5), (3, 0.0), (4, 0.5), (6, 0.0)]
        );
    }

    fn model_frames(frames: usize, fps: &str) -> Vec<usize> {
        let rates = rates(fps);
        (0..rates.file_frames(frames))
            .map(|index| rates.model_frame(index).min(frames - 1))
            .collect()
    }

    #[test]
    fn frames_are_repeated_or_dropped_by_time() {
        assert_eq!(model_frames(4, "12"), [0, 1, 2, 3]);
        assert_eq!(model_frames(3, "24"), [0, 0, 1, 1, 2, 2]);
        assert_eq!(model_frames(6, "6"), [0, 2, 4]);
        assert_eq!(
            model_frames(5, "30"),
            [0, 0, 0, 1, 1, 2, 2, 2, 3, 3, 4, 4, 4]
        );
        assert_eq!(model_frames(1, "1"), [0]);
    }

    #[test]
    fn other_rates_keep_the_length_and_the_order() {
        for frames in [1, 2, 7, 48, 7200] {
            for fps in ["1", "10", "23.976", "25", "60", "120"] {
                let shown = model_frames(frames, fps);
                let rates = rates(fps);
                assert!(shown.is_sorted());
                let asked = rates.model_frames(shown.len() as u64);
                assert!(
                    shown.iter().all(|&frame| frame < asked),
                    "{frames} at {fps}"
                );
                let length = rates.file.duration_secs(shown.len() as u64);
                let wanted = rates.model.duration_secs(frames as u64);
                assert!(
                    (length - wanted).abs() <= rates.file.duration_secs(1),
                    "{frames} at {fps}"
                );
            }
        }
    }
}
