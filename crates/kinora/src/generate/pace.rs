//! How much of a generation is done, and how long the rest takes, judged by what was measured so far.

use std::time::{Duration, Instant};

use kinora_pipeline::Progress as Event;

/// Time of all decoding as a part of all sampling, until it is known.
const DECODE_GUESS: f64 = 0.3;

/// Measures steps and frames as they are done.
pub(crate) struct Pace {
    last: Instant,
    steps: Work,
    frames: Work,
    /// A bar never goes back.
    shown: f64,
}

/// Pieces of work that take about the same time each.
struct Work {
    done: usize,
    total: usize,
    secs: f64,
}

impl Work {
    fn new(total: usize) -> Self {
        Self {
            done: 0,
            total,
            secs: 0.0,
        }
    }

    fn secs_each(&self) -> Option<f64> {
        (self.done > 0).then(|| self.secs / self.done as f64)
    }

    fn left(&self) -> f64 {
        (self.total - self.done.min(self.total)) as f64
    }
}

impl Pace {
    /// Of a clip for which the model makes `frames` frames, starting now.
    pub(crate) fn new(frames: usize) -> Self {
        Self {
            last: Instant::now(),
            steps: Work::new(0),
            frames: Work::new(frames),
            shown: 0.0,
        }
    }

    /// The stage, the fraction of all work that is done, and how long the rest will take, once that can be told.
    pub(crate) fn update(&mut self, event: Event) -> (&'static str, f64, Option<Duration>) {
        let spent = self.last.elapsed().as_secs_f64();
        self.last = Instant::now();
        let stage = self.record(event, spent);
        let left = self.secs_left();
        if let Some(left) = left {
            let spent = self.steps.secs + self.frames.secs;
            self.shown = self
                .shown
                .max(spent / (spent + left).max(f64::MIN_POSITIVE));
        }
        (stage, self.shown, left.map(Duration::from_secs_f64))
    }

    fn record(&mut self, event: Event, spent: f64) -> &'static str {
        let (work, done, total, stage) = match event {
            Event::EncodingText => return "reading",
            Event::Sampling { done, total } => (&mut self.steps, done, total, "sampling"),
            Event::Decoding { done, total } => (&mut self.frames, done, total, "decoding"),
        };
        (work.done, work.total) = (done, total);
        work.secs += spent;
        stage
    }

    fn secs_left(&self) -> Option<f64> {
        let step = self.steps.secs_each()?;
        let guess = step * self.steps.total as f64 * DECODE_GUESS / self.frames.total.max(1) as f64;
        let frame = self.frames.secs_each().unwrap_or(guess);
        Some(step * self.steps.left() + frame * self.frames.left())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two windows of 4 steps and 10 frames each; a step takes 1 s and a frame 0.1 s.
    #[test]
    fn the_rest_is_judged_by_what_was_measured() {
        let mut pace = Pace::new(20);
        assert_eq!(pace.record(Event::EncodingText, 0.0), "reading");
        assert_eq!(pace.secs_left(), None);
        for done in 1..=4 {
            assert_eq!(
                pace.record(Event::Sampling { done, total: 8 }, 1.0),
                "sampling"
            );
        }
        assert_eq!(pace.secs_left(), Some(4.0 + 8.0 * DECODE_GUESS));
        pace.record(
            Event::Decoding {
                done: 10,
                total: 20,
            },
            1.0,
        );
        assert_eq!(pace.secs_left(), Some(4.0 + 1.0));
        for done in 5..=8 {
            pace.record(Event::Sampling { done, total: 8 }, 1.0);
        }
        pace.record(
            Event::Decoding {
                done: 20,
                total: 20,
            },
            1.0,
        );
        assert_eq!(pace.secs_left(), Some(0.0));
        let (_, fraction, left) = pace.update(Event::Decoding {
            done: 20,
            total: 20,
        });
        assert_eq!((fraction, left), (1.0, Some(Duration::ZERO)));
    }
}
