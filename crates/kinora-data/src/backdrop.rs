//! A place by itself: what stands behind the subjects, wider than a frame shows, with its depths.

use crate::background::{self, Site};
use crate::camera::View;
use crate::error::{Error, Result};
use crate::layer::Layer;
use crate::layout::Layout;
use crate::palette::Palette;
use crate::scene::SceneSpec;

/// The largest side that can be asked for, margins included.
const LARGEST_SIDE: usize = 4096;

/// How large a backdrop is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackdropSize {
    /// Pixels of the part that a camera at rest sees.
    pub width: usize,
    /// Pixels of the same down the frame.
    pub height: usize,
    /// Pixels more on the left, and as many on the right.
    pub margin: usize,
}

/// Colours and depths of a scene's place in its light, without its subjects, what falls from its sky and its style: `(width + 2 · margin) · height`
/// pixels of red, green, blue and depth. Depth 0 is infinitely far, 255 as near as the subject.
///
/// # Errors
/// [`Error::OutOfRange`] for a size that no picture has.
pub fn backdrop(spec: &SceneSpec, size: BackdropSize) -> Result<Vec<u8>> {
    let wide = size.width + 2 * size.margin;
    for (name, got) in [("width", wide), ("height", size.height)] {
        if !(16..=LARGEST_SIDE).contains(&got) {
            return Err(Error::OutOfRange {
                name,
                got,
                min: 16,
                max: LARGEST_SIDE,
            });
        }
    }
    let layout = Layout::new(spec, size.width, size.height);
    let palette = Palette::new(spec.time, spec.weather, spec.look_seed);
    let margin = size.margin as f32 / layout.scale;
    // All depths are shifted alike: the margins are what a camera sees that has been carried there.
    let beside = |x: f32| View {
        x,
        y: 0.0,
        zoom: 1.0,
        orbit: x,
        focus: (0.5 * layout.width, 0.5 * layout.height),
    };
    let views = [(beside(-margin), 0.0), (beside(margin), 0.0)];
    let site = Site::new(spec, &layout, &palette, &views);
    let layers = background::paint(spec.background, &site);
    let mut picture = vec![0; wide * size.height * 4];
    for layer in layers.iter().filter(|layer| !layer.plan.is_in_front) {
        lay(layer, &mut picture, wide, &beside(-margin), layout.scale);
    }
    Ok(picture)
}

/// Lays colours and depth of a layer over what is there.
fn lay(layer: &Layer, picture: &mut [u8], width: usize, view: &View, scale: f32) {
    // Over black it is its colours, over white these and what it lets through.
    let over = |ground: u8| {
        let mut frame = vec![ground; picture.len()];
        layer.draw(&mut frame, width, view, 0.0, &mut Vec::new());
        frame
    };
    let (dark, light) = (over(0), over(255));
    let pixels = picture
        .chunks_exact_mut(4)
        .zip(dark.chunks_exact(4).zip(light.chunks_exact(4)));
    for (index, (pixel, (dark, light))) in pixels.enumerate() {
        let through = f32::from(light[1].saturating_sub(dark[1])) / 255.0;
        let y = ((index / width) as f32 + 0.5) / scale;
        let depth = layer.plan.depth.at(y).clamp(0.0, 1.0) * 255.0 * (1.0 - through);
        let new = [dark[0].into(), dark[1].into(), dark[2].into(), depth];
        for (value, new) in pixel.iter_mut().zip(new) {
            *value = (f32::from(*value) * through + new).round().min(255.0) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Background, Camera, Motion, Pack, RenderOptions, Renderer, Split, Style, TimeOfDay, Weather,
    };

    #[test]
    fn its_middle_is_what_a_scene_shows_behind_its_subject() {
        let pack = Pack::sample();
        let koala = pack.find("koala").unwrap();
        let camera = Camera::Static;
        let mut spec =
            SceneSpec::for_facts(3, &pack, koala, Background::Meadow, Motion::Stand, camera)
                .unwrap();
        (spec.style, spec.companion) = (Style::Natural, None);
        let (width, height) = spec.aspect.native_size();
        let size = BackdropSize {
            width,
            height,
            margin: 20,
        };
        let lights = [
            (TimeOfDay::Day, Weather::Clear),
            (TimeOfDay::Sunset, Weather::Clear),
            (TimeOfDay::Night, Weather::Clear),
        ];
        for (time, weather) in lights {
            (spec.time, spec.weather) = (time, weather);
            let wide = backdrop(&spec, size).unwrap();
            let scene = Renderer::new(&pack)
                .render(&spec, RenderOptions::native(&spec, 1))
                .unwrap();
            // The sky above the subject.
            for (x, y) in [(3, 2), (width / 2, 1), (width - 2, 3)] {
                let there = &wide[(y * (width + 40) + x + 20) * 4..][..3];
                let here = &scene.frame(0)[(y * width + x) * 3..][..3];
                let far = here.iter().zip(there).any(|(a, b)| a.abs_diff(*b) > 4);
                assert!(!far, "{time:?}: {here:?} is not {there:?}");
            }
            let depth = |y: usize| wide[(y * (width + 40) + 2) * 4 + 3];
            assert!(
                depth(height - 1) > depth(0),
                "the ground is nearer than the sky"
            );
        }
    }

    #[test]
    fn every_place_has_one_in_every_shape() {
        let pack = Pack::sample();
        for seed in 0..60 {
            let spec = SceneSpec::sample(seed, &pack, Split::Train);
            let (width, height) = spec.aspect.native_size();
            let (width, height) = (width / 2, height / 2);
            let size = BackdropSize {
                width,
                height,
                margin: width / 3,
            };
            let wide = backdrop(&spec, size).unwrap();
            assert_eq!(wide.len(), (width + 2 * (width / 3)) * height * 4);
            assert!(wide.iter().any(|&value| value != wide[0]), "{spec:?}");
        }
        let spec = SceneSpec::sample(0, &pack, Split::Train);
        let size = BackdropSize {
            width: 0,
            height: 64,
            margin: 0,
        };
        assert!(backdrop(&spec, size).is_err());
    }
}
