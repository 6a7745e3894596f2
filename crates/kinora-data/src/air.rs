//! What falls or drifts between a scene and its camera, alone: pictures to lay over frames.

use crate::error::Result;
use crate::layout::Layout;
use crate::render::{RenderOptions, Renderer, views};
use crate::scene::{SceneSpec, Weather};
use crate::sprite::Target;
use crate::weather;

/// A picture of this many seconds at either end of a loop turns into the other.
const FADE_SECS: f32 = 1.0;

impl Renderer<'_> {
    /// The weather over each frame of a window, in this light: premultiplied RGBA, row by row. `None` in clear air.
    ///
    /// # Errors
    /// A size, rate or subject out of range.
    pub fn air(
        &self,
        spec: &SceneSpec,
        options: RenderOptions,
        light: [f32; 3],
    ) -> Result<Option<Vec<Vec<u8>>>> {
        self.check(spec, options)?;
        if spec.weather == Weather::Clear {
            return Ok(None);
        }
        let layout = Layout::new(spec, options.width, options.height);
        let size = [options.width, options.height];
        let times = views(spec, &layout, options)
            .into_iter()
            .map(|(_, time)| time);
        let over = |time| {
            over(
                spec.weather,
                (size, layout.scale),
                spec.look_seed,
                time,
                light,
            )
        };
        Ok(Some(times.map(over).collect()))
    }
}

/// `frames` of a weather in white light that can be shown again and again: premultiplied RGBA, row by row. They are of `size` pixels, and
/// `unit` of them are the smaller edge of a frame.
pub fn air_loop(
    weather: Weather,
    size: [usize; 2],
    unit: usize,
    (frames, fps): (usize, f32),
    seed: u64,
) -> Vec<Vec<u8>> {
    let fade = ((FADE_SECS * fps) as usize).min(frames / 2);
    let scale = (size, unit as f32);
    let at = |index: usize| over(weather, scale, seed, index as f32 / fps, [1.0; 3]);
    (0..frames)
        .map(|index| {
            let shown = at(index + fade);
            let Some(faded) = (index + fade).checked_sub(frames) else {
                return shown;
            };
            // What was seen before the first frame comes back.
            let before = at(faded);
            let share = (faded + 1) as f32 / (fade + 1) as f32;
            let mixed = shown.iter().zip(before);
            mixed
                .map(|(&shown, before)| {
                    (f32::from(shown) + (f32::from(before) - f32::from(shown)) * share).round()
                        as u8
                })
                .collect()
        })
        .collect()
}

/// Drawn over black it is what it adds, and over white it is told how much of what is behind it hides.
fn over(
    weather: Weather,
    ([width, height], scale): ([usize; 2], f32),
    seed: u64,
    time_secs: f32,
    light: [f32; 3],
) -> Vec<u8> {
    let drawn = |level: u8| {
        let mut pixels = vec![level; 4 * width * height];
        let mut target = Target {
            pixels: &mut pixels,
            width,
            height,
        };
        weather::draw(weather, &mut target, scale, seed, time_secs, light);
        pixels
    };
    let mut over = drawn(0);
    for (pixel, white) in over.chunks_exact_mut(4).zip(drawn(255).chunks_exact(4)) {
        let seen = pixel.iter().zip(white).take(3);
        let through = seen.map(|(black, white)| white.saturating_sub(*black));
        pixel[3] = 255 - through.min().unwrap_or(255);
    }
    over
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Pack, Split};

    /// Laid over the same frame in clear air, it is the frame with its weather.
    #[test]
    fn laid_over_a_frame_it_is_the_weather() {
        let pack = Pack::sample();
        let renderer = Renderer::new(&pack);
        for weather in [Weather::Rain, Weather::Snow, Weather::Fog, Weather::Leaves] {
            let found = (0..).map(|seed| SceneSpec::sample(seed, &pack, Split::Train));
            let spec = found
                .into_iter()
                .find(|spec| spec.weather == weather)
                .unwrap();
            let options = RenderOptions {
                start_frame: 3,
                ..RenderOptions::native(&spec, 2)
            };
            let light = [0.7, 0.8, 0.9];
            let air = renderer.air(&spec, options, light).unwrap().unwrap();
            assert_eq!(air.len(), 2);
            let (width, height) = (options.width, options.height);
            let grey = |level: u8| vec![level; 4 * width * height];
            for level in [0, 90, 255] {
                let mut drawn = grey(level);
                let mut target = Target {
                    pixels: &mut drawn,
                    width,
                    height,
                };
                let scale = width.min(height) as f32;
                weather::draw(
                    weather,
                    &mut target,
                    scale,
                    spec.look_seed,
                    4.0 / 12.0,
                    light,
                );
                let worst =
                    drawn
                        .chunks_exact(4)
                        .zip(air[1].chunks_exact(4))
                        .map(|(drawn, over)| {
                            let laid = f32::from(over[0])
                                + f32::from(level) * (1.0 - f32::from(over[3]) / 255.0);
                            (f32::from(drawn[0]) - laid).abs()
                        });
                // Where drops cross, each is rounded; colours that differ share one cover.
                let worst = worst.fold(0.0, f32::max);
                assert!(worst < 4.0, "{weather:?} over {level}: {worst}");
            }
            let clear = SceneSpec {
                weather: Weather::Clear,
                ..spec
            };
            assert_eq!(renderer.air(&clear, options, light).unwrap(), None);
        }
    }

    #[test]
    fn loops_have_no_seam() {
        let frames = air_loop(Weather::Snow, [48, 32], 32, (36, 12.0), 5);
        let difference = |a: &[u8], b: &[u8]| -> u32 {
            a.iter()
                .zip(b)
                .map(|(a, b)| u32::from(a.abs_diff(*b)))
                .sum()
        };
        let steps: Vec<u32> = (0..36)
            .map(|i| difference(&frames[i], &frames[(i + 1) % 36]))
            .collect();
        let usual = steps[..20].iter().sum::<u32>() / 20;
        assert!(steps.iter().all(|&step| step < 2 * usual), "{steps:?}");
        assert!(steps[35] > 0);
    }
}
