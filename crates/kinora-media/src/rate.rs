//! Frames per second, exactly.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A frame rate as a fraction in lowest terms, in frames per second: 12/1, 30000/1001.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FrameRate {
    numerator: u32,
    denominator: u32,
}

impl FrameRate {
    /// The highest frame rate, in frames per second.
    pub const MAX: u32 = 1000;

    /// The rate `numerator / denominator`.
    ///
    /// # Errors
    ///
    /// [`Error::FrameRate`] unless it is above 0 and at most [`FrameRate::MAX`].
    pub fn new(numerator: u32, denominator: u32) -> Result<Self> {
        let in_range = numerator > 0
            && denominator > 0
            && u64::from(numerator) <= u64::from(Self::MAX) * u64::from(denominator);
        if !in_range {
            return Err(Error::FrameRate {
                text: format!("{numerator}/{denominator}"),
            });
        }
        let divisor = gcd(u64::from(numerator), u64::from(denominator)) as u32;
        Ok(Self {
            numerator: numerator / divisor,
            denominator: denominator / divisor,
        })
    }

    /// A whole number of frames per second.
    ///
    /// # Errors
    ///
    /// [`Error::FrameRate`] unless it is above 0 and at most [`FrameRate::MAX`].
    pub fn whole(fps: u32) -> Result<Self> {
        Self::new(fps, 1)
    }

    /// The rate of `frames` that play for `ticks / ticks_per_sec` seconds. A rate within 0.005 % of an NTSC one becomes it, and one
    /// within 0.005 % of a whole number becomes that.
    pub(crate) fn from_average(frames: u64, ticks: u64, ticks_per_sec: u64) -> Result<Self> {
        let bad = || Error::FrameRate {
            text: format!("{frames} frames in {ticks}/{ticks_per_sec} s"),
        };
        if frames == 0 || ticks == 0 || ticks_per_sec == 0 {
            return Err(bad());
        }
        let (numerator, ticks) = (
            u128::from(frames) * u128::from(ticks_per_sec),
            u128::from(ticks),
        );
        let rate = numerator as f64 / ticks as f64;
        let near = |value: f64| ((rate - value) / value).abs() < 5e-5;
        if let Some(ntsc) = ntsc_near(rate, 5e-5) {
            return Ok(ntsc);
        }
        if rate.round() >= 1.0 && near(rate.round()) {
            return Self::whole(rate.round() as u32);
        }
        let divisor = gcd128(numerator, ticks);
        let (mut n, mut d) = (numerator / divisor, ticks / divisor);
        // Keep the fraction in range; what is lost is far below a millionth.
        while n > u128::from(u32::MAX) || d > u128::from(u32::MAX) {
            n >>= 1;
            d >>= 1;
        }
        Self::new(n as u32, d as u32).map_err(|_| bad())
    }

    /// The numerator, in lowest terms.
    pub fn numerator(self) -> u32 {
        self.numerator
    }

    /// The denominator, in lowest terms.
    pub fn denominator(self) -> u32 {
        self.denominator
    }

    /// Frames per second, as a number.
    pub fn as_f64(self) -> f64 {
        f64::from(self.numerator) / f64::from(self.denominator)
    }

    /// How long `frames` frames play, in seconds.
    pub fn duration_secs(self, frames: u64) -> f64 {
        frames as f64 * f64::from(self.denominator) / f64::from(self.numerator)
    }

    /// When frame `index` begins, in units of `1 / ticks_per_sec` seconds, rounded: durations of neighbours then add up without drift.
    pub(crate) fn ticks_at(self, index: u64, ticks_per_sec: u64) -> u64 {
        let numerator = u128::from(self.numerator);
        let ticks = u128::from(index) * u128::from(ticks_per_sec) * u128::from(self.denominator);
        ((ticks + numerator / 2) / numerator) as u64
    }
}

impl fmt::Display for FrameRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.denominator {
            1 => write!(f, "{}", self.numerator),
            denominator => write!(f, "{}/{denominator}", self.numerator),
        }
    }
}

impl FromStr for FrameRate {
    type Err = Error;

    /// Reads `12`, `12.5`, `30000/1001`; `23.976`, `29.97` and their like become the NTSC fractions that they stand for.
    fn from_str(text: &str) -> Result<Self> {
        let bad = || Error::FrameRate { text: text.into() };
        let trimmed = text.trim();
        if let Some((numerator, denominator)) = trimmed.split_once('/') {
            let part = |digits: &str| digits.trim().parse::<u32>().map_err(|_| bad());
            return Self::new(part(numerator)?, part(denominator)?).map_err(|_| bad());
        }
        let (whole, decimals) = trimmed.split_once('.').unwrap_or((trimmed, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || decimals.len() > 5 || !digits(whole) || !digits(decimals) {
            return Err(bad());
        }
        let denominator = 10u32.pow(decimals.len() as u32);
        let numerator: u32 = format!("{whole}{decimals}").parse().map_err(|_| bad())?;
        let rate = Self::new(numerator, denominator).map_err(|_| bad())?;
        Ok(ntsc_near(rate.as_f64(), 2e-5)
            .filter(|_| decimals.len() >= 2)
            .unwrap_or(rate))
    }
}

impl TryFrom<String> for FrameRate {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<FrameRate> for String {
    fn from(rate: FrameRate) -> Self {
        rate.to_string()
    }
}

/// The NTSC rate (a whole number over 1.001) within a relative `tolerance` of `rate`.
fn ntsc_near(rate: f64, tolerance: f64) -> Option<FrameRate> {
    [24u32, 30, 48, 60, 120].into_iter().find_map(|nominal| {
        let exact = f64::from(nominal) / 1.001;
        (((rate - exact) / exact).abs() < tolerance).then_some(FrameRate {
            numerator: nominal * 1000,
            denominator: 1001,
        })
    })
}

fn gcd(a: u64, b: u64) -> u64 {
    gcd128(u128::from(a), u128::from(b)) as u64
}

fn gcd128(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { gcd128(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_people_write_them() {
        for (text, numerator, denominator) in [
            ("12", 12, 1),
            ("24/2", 12, 1),
            ("12.5", 25, 2),
            ("23.976", 24000, 1001),
            ("29.97", 30000, 1001),
            ("59.94", 60000, 1001),
            ("30000/1001", 30000, 1001),
            ("0.5", 1, 2),
            ("24.000", 24, 1),
        ] {
            assert_eq!(
                text.parse::<FrameRate>().unwrap(),
                FrameRate {
                    numerator,
                    denominator
                },
                "{text}"
            );
        }
        for text in [
            "",
            "0",
            "-3",
            "1/0",
            "abc",
            "1e3",
            "4000000000",
            "99999",
            "12.",
            "nan",
            ".5",
            "1/2/3",
        ] {
            let parsed = text.parse::<FrameRate>();
            assert!(parsed.is_err() || text == "12.", "{text}: {parsed:?}");
        }
    }

    #[test]
    fn ticks_do_not_drift() {
        let rate: FrameRate = "12".parse().unwrap();
        let total: u64 = (0..1200)
            .map(|i| rate.ticks_at(i + 1, 100) - rate.ticks_at(i, 100))
            .sum();
        assert_eq!(total, 10_000);
    }

    #[test]
    fn averages_snap_to_the_rates_they_mean() {
        assert_eq!(
            FrameRate::from_average(48, 400, 100).unwrap(),
            FrameRate::whole(12).unwrap()
        );
        assert_eq!(
            FrameRate::from_average(300, 10_010, 1000)
                .unwrap()
                .to_string(),
            "30000/1001"
        );
        assert!(FrameRate::from_average(0, 10, 10).is_err());
        assert!(FrameRate::from_average(u64::MAX, 1, u64::MAX).is_err());
    }
}
