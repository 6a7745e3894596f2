//! HDR to what every screen shows: a plain tone map.
//!
//! Values become light (SMPTE ST 2084, ARIB STD-B67), colours go from BT.2020 to BT.709, and what is brighter than paper white is
//! rolled off by one curve for all three channels, so that hues stay. Reference white is 203 cd/m² (ITU-R BT.2408).

use crate::{DynamicRange, Frame, Result};

/// The light of paper white, in cd/m².
const WHITE_NITS: f32 = 203.0;

/// The light of the brightest HLG, in cd/m², on the screen that the standard has in mind.
const HLG_PEAK_NITS: f32 = 1000.0;

/// Up to this share of white nothing changes.
const KNEE: f32 = 0.75;

/// BT.2020 to BT.709 primaries, for light (ITU-R BT.2087).
const TO_BT709: [[f32; 3]; 3] = [
    [1.6605, -0.5876, -0.0728],
    [-0.1246, 1.1329, -0.0083],
    [-0.0182, -0.1006, 1.1187],
];

/// Luminance of BT.2020.
const LUMINANCE: [f32; 3] = [0.2627, 0.6780, 0.0593];

/// Turns pictures of 16 bits a channel into ordinary frames.
pub(crate) struct ToneMap {
    /// Light for each value, in units of white; for HLG the light of the scene, from 0 to 1.
    light: Vec<f32>,
    /// The 8-bit value for light from 0 to 1.
    value: Vec<u8>,
    hlg: bool,
}

impl ToneMap {
    /// The map for `range`; `None` if there is nothing to map.
    pub(crate) fn new(range: DynamicRange) -> Option<Self> {
        let curve: fn(f32) -> f32 = match range {
            DynamicRange::Standard => return None,
            DynamicRange::Pq => |value| pq_nits(value) / WHITE_NITS,
            DynamicRange::Hlg => hlg_scene_light,
        };
        let steps = || (0..=u16::MAX).map(|step| f32::from(step) / f32::from(u16::MAX));
        Some(Self {
            light: steps().map(curve).collect(),
            value: steps()
                .map(|light| (255.0 * srgb(light)).round() as u8)
                .collect(),
            hlg: range == DynamicRange::Hlg,
        })
    }

    /// A frame from RGB of 16 bits a channel, little-endian, in BT.2020.
    pub(crate) fn apply(&self, width: u32, height: u32, rgb48: &[u8]) -> Result<Frame> {
        let mut pixels = Vec::with_capacity(rgb48.len() / 2);
        for pixel in rgb48.chunks_exact(6) {
            let light = |channel: usize| {
                let value = u16::from_le_bytes([pixel[2 * channel], pixel[2 * channel + 1]]);
                self.light[usize::from(value)]
            };
            pixels.extend(self.map([light(0), light(1), light(2)]));
        }
        Frame::new(width, height, pixels)
    }

    fn map(&self, mut light: [f32; 3]) -> [u8; 3] {
        if self.hlg {
            // The screen's own curve (BT.2100): brighter pixels are lifted more.
            let luminance: f32 = light.iter().zip(LUMINANCE).map(|(a, b)| a * b).sum();
            let gain = luminance.powf(0.2) * HLG_PEAK_NITS / WHITE_NITS;
            light = light.map(|channel| channel * gain);
        }
        let light = TO_BT709.map(|row| {
            row.iter()
                .zip(light)
                .map(|(a, b)| a * b)
                .sum::<f32>()
                .max(0.0)
        });
        let brightest = light.into_iter().fold(0.0, f32::max);
        let gain = if brightest > KNEE {
            roll_off(brightest) / brightest
        } else {
            1.0
        };
        light.map(|channel| {
            let step = (channel * gain).min(1.0) * f32::from(u16::MAX);
            self.value[step.round() as usize]
        })
    }
}

/// Leaves dark and middle tones alone and comes ever closer to 1, without a kink.
fn roll_off(light: f32) -> f32 {
    let room = 1.0 - KNEE;
    KNEE + room * (1.0 - (-(light - KNEE) / room).exp())
}

/// The light of a PQ value from 0 to 1, in cd/m².
fn pq_nits(value: f32) -> f32 {
    const M1: f32 = 2610.0 / 16384.0;
    const M2: f32 = 2523.0 / 32.0;
    const C1: f32 = 3424.0 / 4096.0;
    const C2: f32 = 2413.0 / 128.0;
    const C3: f32 = 2392.0 / 128.0;
    let power = value.powf(1.0 / M2);
    let ratio = (power - C1).max(0.0) / (C2 - C3 * power);
    10_000.0 * ratio.powf(1.0 / M1)
}

/// The light of the scene for an HLG value, both from 0 to 1.
fn hlg_scene_light(value: f32) -> f32 {
    const A: f32 = 0.178_832_77;
    const B: f32 = 0.284_668_92;
    const C: f32 = 0.559_910_7;
    if value <= 0.5 {
        value * value / 3.0
    } else {
        (((value - C) / A).exp() + B) / 12.0
    }
}

/// The value of a screen for light, both from 0 to 1 (IEC 61966-2-1).
fn srgb(light: f32) -> f32 {
    if light <= 0.003_130_8 {
        12.92 * light
    } else {
        1.055 * light.powf(1.0 / 2.4) - 0.055
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curves_hit_the_points_of_the_standards() {
        // BT.2408: paper white is 58 % of PQ, and 75 % of HLG.
        assert!(
            (pq_nits(0.58) - WHITE_NITS).abs() < 3.0,
            "{}",
            pq_nits(0.58)
        );
        assert!((pq_nits(1.0) - 10_000.0).abs() < 1.0 && pq_nits(0.0) < 1e-3);
        assert!((hlg_scene_light(1.0) - 1.0).abs() < 1e-3 && hlg_scene_light(0.0) == 0.0);
        let white = hlg_scene_light(0.75).powf(1.2) * HLG_PEAK_NITS;
        assert!((white - WHITE_NITS).abs() < 3.0, "{white}");
        assert!((srgb(1.0) - 1.0).abs() < 1e-6);
    }

    fn grey(map: &ToneMap, value: f32) -> u8 {
        let bytes = ((value * 65_535.0) as u16).to_le_bytes().repeat(3);
        let frame = map.apply(1, 1, &bytes).unwrap();
        let [r, g, b] = frame.pixel(0, 0).unwrap();
        assert!(r.abs_diff(g) <= 1 && g.abs_diff(b) <= 1, "{r} {g} {b}");
        g
    }

    #[test]
    fn greys_stay_grey_and_in_order() {
        for range in [DynamicRange::Pq, DynamicRange::Hlg] {
            let map = ToneMap::new(range).unwrap();
            let greys: Vec<u8> = (0..=50)
                .map(|step| grey(&map, step as f32 / 50.0))
                .collect();
            assert!(greys.is_sorted(), "{greys:?}");
            assert_eq!((greys[0], greys[50]), (0, 255));
        }
        assert!(ToneMap::new(DynamicRange::Standard).is_none());
    }

    #[test]
    fn paper_white_is_nearly_white_and_middle_grey_is_itself() {
        let map = ToneMap::new(DynamicRange::Pq).unwrap();
        assert!((235..=250).contains(&grey(&map, 0.58)));
        // 18 % of white is 118 in sRGB.
        let middle = (0..=1000).map(|step| step as f32 / 1000.0);
        let middle = middle
            .min_by_key(|value| (1000.0 * (pq_nits(*value) - 0.18 * WHITE_NITS).abs()) as u64);
        assert!(grey(&map, middle.unwrap()).abs_diff(118) <= 2);
    }
}
