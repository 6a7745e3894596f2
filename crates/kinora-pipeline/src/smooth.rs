//! Clips at another rate: frames between the given ones are made.

use std::collections::VecDeque;

use burn::tensor::Device;
use kinora_media::{Frame, FrameRate, Result as MediaResult, TimedFrame};
use kinora_models::interpolator::Interpolator;

use crate::Error;
use crate::finish::between;

/// A given frame that is due within this part of a frame is shown as it is: times are rounded in many files.
const NEAR: f64 = 0.1;
/// Frames that stand longer than this are pictures: what comes next is no motion.
const LONGEST_SECS: f64 = 0.3;

/// Frames at a steady rate. Two given frames are held, and those that were made between them.
pub struct Smooth<'a, I> {
    given: I,
    interpolator: &'a Interpolator,
    device: &'a Device,
    fps: FrameRate,
    /// Frames that were handed over or are ready.
    index: u64,
    before: Option<TimedFrame>,
    after: Option<TimedFrame>,
    ready: VecDeque<Frame>,
}

impl<'a, I: Iterator<Item = MediaResult<TimedFrame>>> Smooth<'a, I> {
    /// `given` at `fps`, from the beginning of its clip to the end of its last frame. The first frame is also shown before its time.
    pub fn new(
        given: I,
        fps: FrameRate,
        interpolator: &'a Interpolator,
        device: &'a Device,
    ) -> Self {
        Self {
            given,
            interpolator,
            device,
            fps,
            index: 0,
            before: None,
            after: None,
            ready: VecDeque::new(),
        }
    }

    /// When frame `index` is due.
    fn due_secs(&self, index: u64) -> f64 {
        self.fps.duration_secs(index)
    }

    /// Makes frames ready: those from the given frame before up to the next one.
    fn go_on(&mut self) -> Result<bool, Error> {
        let near = NEAR * self.fps.duration_secs(1);
        if self.before.is_none() {
            self.before = self.given.next().transpose()?;
            self.after = self.given.next().transpose()?;
        }
        while let Some(before) = &self.before {
            let end = match &self.after {
                Some(after) => after.time_secs,
                None => before.time_secs + before.duration_secs,
            };
            let mut due = Vec::new();
            while self.due_secs(self.index) + near < end || (self.index == 0 && due.is_empty()) {
                due.push(self.due_secs(self.index));
                self.index += 1;
            }
            let made = self.frames_at(&due, near)?;
            self.before = self.after.take();
            if self.before.is_some() {
                self.after = self.given.next().transpose()?;
            }
            if !made.is_empty() {
                self.ready = made.into();
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The frames at these times, all from the given frame before up to the next one.
    fn frames_at(&self, due: &[f64], near: f64) -> Result<Vec<Frame>, Error> {
        let Some(before) = &self.before else {
            return Ok(Vec::new());
        };
        let step = |after: &TimedFrame| after.time_secs - before.time_secs;
        let Some(after) = self
            .after
            .as_ref()
            .filter(|after| step(after) <= LONGEST_SECS)
        else {
            return Ok(vec![before.frame.clone(); due.len()]);
        };
        let on_time = due
            .iter()
            .take_while(|&&due| due <= before.time_secs + near)
            .count();
        let times: Vec<f32> = due[on_time..]
            .iter()
            .map(|due| ((due - before.time_secs) / step(after)) as f32)
            .collect();
        let mut frames = vec![before.frame.clone(); on_time];
        if !times.is_empty() {
            let (first, second) = (&before.frame, &after.frame);
            frames.extend(between(
                self.interpolator,
                first,
                second,
                &times,
                self.device,
            )?);
        }
        Ok(frames)
    }
}

impl<I: Iterator<Item = MediaResult<TimedFrame>>> Iterator for Smooth<'_, I> {
    type Item = Result<Frame, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ready.is_empty() {
            match self.go_on() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    (self.before, self.after) = (None, None);
                    return Some(Err(error));
                }
            }
        }
        self.ready.pop_front().map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kinora_models::interpolator::{InterpolatorConfig, InterpolatorNetwork};

    /// A fresh interpolator blends, so frames tell by their level when they are.
    fn blending() -> Interpolator {
        let config = InterpolatorConfig::new();
        let network = InterpolatorNetwork::new(&config, &Device::flex());
        Interpolator::new("test", String::new(), config, network)
    }

    fn levels(given: &[(f64, f64, u8)], fps: u32) -> Vec<u8> {
        let frames = given.iter().map(|&(time_secs, duration_secs, level)| {
            Ok(TimedFrame {
                frame: Frame::filled(32, 16, [level; 3]).unwrap(),
                time_secs,
                duration_secs,
            })
        });
        let (device, interpolator) = (Device::flex(), blending());
        let fps = FrameRate::whole(fps).unwrap();
        let frames = Smooth::new(frames, fps, &interpolator, &device);
        frames.map(|frame| frame.unwrap().pixels()[0]).collect()
    }

    /// Frames at 10 frames/s whose levels are 10 apart.
    fn steady(count: usize) -> Vec<(f64, f64, u8)> {
        (0..count)
            .map(|i| (i as f64 * 0.1, 0.1, 100 + 10 * i as u8))
            .collect()
    }

    #[test]
    fn given_frames_come_back_at_their_times() {
        assert_eq!(levels(&steady(3), 20), [100, 105, 110, 115, 120, 120]);
        assert_eq!(levels(&steady(3), 10), [100, 110, 120]);
        assert_eq!(levels(&steady(3), 5), [100, 120]);
        assert_eq!(levels(&steady(2), 30), [100, 103, 107, 110, 110, 110]);
        assert_eq!(levels(&steady(1), 30), [100, 100, 100]);
        assert!(levels(&[], 30).is_empty());
    }

    #[test]
    fn times_may_be_uneven_and_begin_late() {
        let uneven = [(0.1, 0.1, 100), (0.2, 0.2, 110), (0.4, 0.1, 122)];
        let expected = [100, 100, 100, 105, 110, 113, 116, 119, 122, 122];
        assert_eq!(levels(&uneven, 20), expected);
        let rounded = [(0.0, 0.033, 100), (0.033, 0.034, 110), (0.067, 0.033, 120)];
        assert_eq!(levels(&rounded, 30), [100, 110, 120]);
    }

    #[test]
    fn pictures_and_cuts_are_held() {
        let pictures = [(0.0, 1.0, 100), (1.0, 0.5, 110)];
        assert_eq!(levels(&pictures, 4), [100, 100, 100, 100, 110, 110]);
        let cut = [(0.0, 0.1, 20), (0.1, 0.1, 200), (0.2, 0.1, 210)];
        assert_eq!(levels(&cut, 20), [20, 20, 200, 205, 210, 210]);
    }
}
