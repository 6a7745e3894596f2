//! Colours of a time of day and a weather: sky, light, haze and shadow.

use crate::rng::Rng;
use crate::scene::{TimeOfDay, Weather};

/// Red, green and blue, 0 to 1, as they are shown (sRGB).
pub(crate) type Rgb = [f32; 3];

/// A mix of two colours: `a` at 0, `b` at 1.
pub(crate) fn mix(a: Rgb, b: Rgb, t: f32) -> Rgb {
    [
        a[0] + (b[0] - a[0]) * t,
        a[1] + (b[1] - a[1]) * t,
        a[2] + (b[2] - a[2]) * t,
    ]
}

/// A colour under a light.
pub(crate) fn times(a: Rgb, b: Rgb) -> Rgb {
    [a[0] * b[0], a[1] * b[1], a[2] * b[2]]
}

/// A colour made lighter or darker.
pub(crate) fn scale(a: Rgb, by: f32) -> Rgb {
    [a[0] * by, a[1] * by, a[2] * by]
}

/// From 0 at `low` to 1 at `high`, smooth at both ends.
pub(crate) fn smoothstep(low: f32, high: f32, x: f32) -> f32 {
    let t = ((x - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// The sun or the moon.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Disc {
    /// Across the frame, 0 to 1.
    pub(crate) x: f32,
    /// From the top of the frame to the horizon, 0 to 1.
    pub(crate) y: f32,
    pub(crate) radius: f32,
    pub(crate) color: Rgb,
    pub(crate) glow: Rgb,
    pub(crate) is_moon: bool,
}

/// The colours that all parts of a scene share.
#[derive(Debug, Clone)]
pub(crate) struct Palette {
    /// The sky at the top, half way down and at the horizon.
    pub(crate) sky: [Rgb; 3],
    /// The light on the ground and on the subject.
    pub(crate) light: Rgb,
    /// What distance fades to.
    pub(crate) haze: Rgb,
    pub(crate) disc: Option<Disc>,
    /// How dark a cast shadow is, 0 to 1.
    pub(crate) shadow: f32,
    /// Length of a cast shadow as a part of the height; negative: towards the viewer.
    pub(crate) shadow_length: f32,
    /// Brightness of the stars, 0 to 1.
    pub(crate) stars: f32,
    /// Lamps and windows shine.
    pub(crate) is_dark: bool,
}

impl Palette {
    pub(crate) fn new(time: TimeOfDay, weather: Weather, seed: u64) -> Self {
        let mut rng = Rng::derived(seed, 1);
        let disc_x = if rng.chance(0.5) {
            rng.range(0.10, 0.34)
        } else {
            rng.range(0.66, 0.90)
        };
        let high = rng.range(0.22, 0.42);
        let disc = |y, radius, color, glow, is_moon| {
            Some(Disc {
                x: disc_x,
                y,
                radius,
                color,
                glow,
                is_moon,
            })
        };
        let mut palette = match time {
            TimeOfDay::Day => Self {
                sky: [[0.20, 0.50, 0.92], [0.46, 0.72, 0.97], [0.80, 0.92, 1.00]],
                light: [1.0, 1.0, 0.98],
                haze: [0.76, 0.87, 0.97],
                disc: disc(high, 0.075, [1.0, 0.98, 0.84], [1.0, 0.96, 0.75], false),
                shadow: 0.42,
                shadow_length: 0.30,
                stars: 0.0,
                is_dark: false,
            },
            TimeOfDay::Sunset => Self {
                sky: [[0.30, 0.20, 0.50], [0.90, 0.42, 0.40], [1.00, 0.76, 0.38]],
                light: [1.0, 0.81, 0.68],
                haze: [0.97, 0.58, 0.42],
                disc: disc(0.86, 0.115, [1.0, 0.88, 0.50], [1.0, 0.62, 0.25], false),
                shadow: 0.46,
                shadow_length: -0.42,
                stars: 0.0,
                is_dark: false,
            },
            TimeOfDay::Night => Self {
                sky: [[0.02, 0.04, 0.15], [0.06, 0.11, 0.29], [0.15, 0.23, 0.46]],
                light: [0.48, 0.55, 0.80],
                haze: [0.13, 0.20, 0.41],
                disc: disc(high, 0.085, [0.97, 0.96, 0.86], [0.55, 0.65, 0.95], true),
                shadow: 0.40,
                shadow_length: -0.26,
                stars: 1.0,
                is_dark: true,
            },
            TimeOfDay::Dawn => Self {
                sky: [[0.45, 0.55, 0.86], [0.91, 0.70, 0.82], [1.00, 0.88, 0.76]],
                light: [0.97, 0.87, 0.92],
                haze: [0.95, 0.80, 0.83],
                disc: disc(0.80, 0.08, [1.0, 0.95, 0.86], [1.0, 0.82, 0.72], false),
                shadow: 0.30,
                shadow_length: -0.34,
                stars: 0.0,
                is_dark: false,
            },
        };
        let warmth = rng.range(-0.03, 0.03);
        for color in &mut palette.sky {
            *color =
                [color[0] + warmth, color[1], color[2] - warmth].map(|value| value.clamp(0.0, 1.0));
        }
        palette.cover(weather);
        palette
    }

    /// Clouds take the sun, grey the sky and soften the shadow.
    fn cover(&mut self, weather: Weather) {
        let (cover, white) = match weather {
            Weather::Clear | Weather::Leaves => return,
            Weather::Rain => (0.72, [0.55, 0.60, 0.67]),
            Weather::Snow => (0.60, [0.80, 0.84, 0.90]),
            Weather::Fog => (0.75, [0.83, 0.85, 0.87]),
        };
        let grey = times(white, mix(self.light, [1.0; 3], 0.25));
        for color in &mut self.sky {
            *color = mix(*color, grey, cover);
        }
        self.haze = mix(self.haze, grey, cover);
        self.light = mix(
            self.light,
            scale(grey, 1.1).map(|value| value.min(1.0)),
            0.35,
        );
        self.disc = None;
        self.shadow *= 0.45;
        self.stars *= 0.2;
    }

    /// The colour of a thing at a distance, 0 (near) to 1 (at the horizon).
    pub(crate) fn lit(&self, color: Rgb, distance: f32) -> Rgb {
        mix(times(color, self.light), self.haze, distance)
    }

    /// The sky at a height, 0 (top) to 1 (horizon).
    pub(crate) fn sky_at(&self, y: f32) -> Rgb {
        let y = y.clamp(0.0, 1.0);
        if y < 0.55 {
            mix(self.sky[0], self.sky[1], smooth(y / 0.55))
        } else {
            mix(self.sky[1], self.sky[2], smooth((y - 0.55) / 0.45))
        }
    }
}

fn smooth(t: f32) -> f32 {
    t * (1.0 + 0.5 * t * (1.0 - t))
}
