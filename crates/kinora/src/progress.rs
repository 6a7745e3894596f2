//! Progress on stderr: a bar on a terminal, lines where they are asked for, else nothing.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

use crate::args::Global;

const TICKS: u64 = 1000;
const LINE_INTERVAL: Duration = Duration::from_secs(1);

/// Shows how far the work has come.
pub(crate) enum Progress {
    /// Not at all.
    Silent,
    /// A bar that redraws itself.
    Bar(ProgressBar),
    /// A line for each stage, and at most one a second.
    Lines {
        /// When the last one was written.
        last: Instant,
        /// Of which stage.
        stage: &'static str,
    },
}

impl Progress {
    /// Shows `stage` at once.
    pub(crate) fn start(global: &Global, stage: &'static str) -> Self {
        let mut progress = if global.quiet {
            Self::Silent
        } else if std::io::stderr().is_terminal() {
            Self::Bar(bar())
        } else if global.progress {
            Self::Lines {
                last: Instant::now(),
                stage: "",
            }
        } else {
            Self::Silent
        };
        progress.show(stage, 0.0, None);
        progress
    }

    /// Tells what the user should know, above the bar.
    pub(crate) fn note(&self, global: &Global, note: &str) {
        match self {
            Self::Bar(bar) => bar.println(note),
            _ if global.quiet => {}
            _ => eprintln!("{note}"),
        }
    }

    /// Shows that `fraction` of all work is done, and how long the rest will take.
    pub(crate) fn show(&mut self, stage: &'static str, fraction: f64, left: Option<Duration>) {
        let left = left.map_or_else(String::new, |left| format!("{} left", duration(left)));
        match self {
            Self::Silent => {}
            Self::Bar(bar) => {
                bar.set_prefix(stage);
                bar.set_message(left);
                bar.set_position((fraction * TICKS as f64) as u64);
            }
            Self::Lines { last, stage: shown } => {
                if *shown != stage || last.elapsed() >= LINE_INTERVAL {
                    (*last, *shown) = (Instant::now(), stage);
                    eprintln!(
                        "{}",
                        format!("{stage} {:.0} % {left}", fraction * 100.0).trim_end()
                    );
                }
            }
        }
    }
}

fn bar() -> ProgressBar {
    let style =
        ProgressStyle::with_template("{spinner} {prefix:<8} [{bar:32}] {percent:>3} %  {msg}")
            .expect("the template is right")
            .progress_chars("=> ");
    let bar = ProgressBar::new(TICKS)
        .with_style(style)
        .with_finish(ProgressFinish::AndClear);
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// A duration for people: `12 s`, `3 min 20 s`, `2 h 5 min`.
pub(crate) fn duration(duration: Duration) -> String {
    let secs = duration.as_secs_f64().round() as u64;
    match (secs / 3600, secs / 60 % 60, secs % 60) {
        (0, 0, secs) => format!("{secs} s"),
        (0, mins, secs) => format!("{mins} min {secs} s"),
        (hours, mins, _) => format!("{hours} h {mins} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_for_people() {
        assert_eq!(duration(Duration::from_millis(400)), "0 s");
        assert_eq!(duration(Duration::from_secs(61)), "1 min 1 s");
        assert_eq!(duration(Duration::from_secs(7500)), "2 h 5 min");
    }
}
