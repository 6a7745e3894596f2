//! From a scene to a clip.

use serde::{Deserialize, Serialize};

use crate::background::{self, Site};
use crate::camera::View;
use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::pack::Pack;
use crate::palette::Palette;
use crate::scene::SceneSpec;
use crate::shot::{Place, Shot};
use crate::sprite::Target;

/// Which frames of a scene to render, and how large.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RenderOptions {
    /// Frame width in pixels, 16 to 4096.
    pub width: usize,
    /// Frame height in pixels, 16 to 4096.
    pub height: usize,
    /// Frames per second.
    pub fps: f32,
    /// First frame, counted from the start of the scene.
    pub start_frame: usize,
    /// How many frames.
    pub frames: usize,
}

impl RenderOptions {
    /// The scene's native size from its first frame at 12 frames per second.
    pub fn native(spec: &SceneSpec, frames: usize) -> Self {
        let (width, height) = spec.aspect.native_size();
        Self {
            width,
            height,
            fps: 12.0,
            start_frame: 0,
            frames,
        }
    }
}

/// Rendered frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clip {
    /// Frame width in pixels.
    pub width: usize,
    /// Frame height in pixels.
    pub height: usize,
    /// How many frames.
    pub frames: usize,
    /// RGB8, `frames × height × width × 3`.
    pub rgb: Vec<u8>,
}

impl Clip {
    /// RGB8 of one frame.
    ///
    /// # Panics
    /// If there is no such frame.
    pub fn frame(&self, index: usize) -> &[u8] {
        let len = self.width * self.height * 3;
        &self.rgb[index * len..][..len]
    }
}

/// Renders scenes with the subjects of a pack.
#[derive(Debug, Clone, Copy)]
pub struct Renderer<'a> {
    pack: &'a Pack,
}

impl<'a> Renderer<'a> {
    /// A renderer for the subjects of a pack.
    pub fn new(pack: &'a Pack) -> Self {
        Self { pack }
    }

    /// The subjects.
    pub fn pack(&self) -> &'a Pack {
        self.pack
    }

    /// Renders a window of a scene. Windows of one scene fit together: a frame is the same in every window that holds it.
    ///
    /// # Errors
    /// A size, rate or subject out of range.
    pub fn render(&self, spec: &SceneSpec, options: RenderOptions) -> Result<Clip> {
        self.check(spec, options)?;
        let layout = Layout::new(spec, options.width, options.height);
        let palette = Palette::new(spec.time, spec.weather, spec.look_seed);
        let views = views(spec, &layout, options);
        let site = Site::new(spec, &layout, &palette, &views);
        let layers = background::paint(spec.background, &site);

        let mut shot = Shot {
            pack: self.pack,
            spec,
            layout,
            palette: &palette,
            layers: &layers,
            scratch: Vec::new(),
        };
        let frame_len = options.width * options.height * 3;
        let mut rgb = vec![0; options.frames * frame_len];
        let mut rgba = vec![0; options.width * options.height * 4];
        for ((view, time), pixels) in views.iter().zip(rgb.chunks_exact_mut(frame_len)) {
            shot.draw(
                &mut Target {
                    pixels: &mut rgba,
                    width: options.width,
                    height: options.height,
                },
                view,
                *time,
            );
            for (to, from) in pixels.chunks_exact_mut(3).zip(rgba.chunks_exact(4)) {
                to.copy_from_slice(&from[..3]);
            }
            let size = [options.width, options.height];
            spec.style.apply(pixels, size, spec.look_seed);
        }
        Ok(Clip {
            width: options.width,
            height: options.height,
            frames: options.frames,
            rgb,
        })
    }

    /// Where the subjects are in each frame of a window, the main one first.
    ///
    /// # Errors
    /// A size, rate or subject out of range.
    pub fn places(&self, spec: &SceneSpec, options: RenderOptions) -> Result<Vec<Vec<Place>>> {
        self.check(spec, options)?;
        let layout = Layout::new(spec, options.width, options.height);
        let shot = Shot {
            pack: self.pack,
            spec,
            layout,
            palette: &Palette::new(spec.time, spec.weather, spec.look_seed),
            layers: &[],
            scratch: Vec::new(),
        };
        let views = views(spec, &layout, options);
        Ok(views
            .iter()
            .map(|(view, time)| shot.places(view, *time))
            .collect())
    }

    /// What the camera sees in each frame of a window.
    ///
    /// # Errors
    /// A size, rate or subject out of range.
    pub fn views(&self, spec: &SceneSpec, options: RenderOptions) -> Result<Vec<View>> {
        self.check(spec, options)?;
        let layout = Layout::new(spec, options.width, options.height);
        let views = views(spec, &layout, options);
        Ok(views.into_iter().map(|(view, _)| view).collect())
    }

    pub(crate) fn check(&self, spec: &SceneSpec, options: RenderOptions) -> Result<()> {
        check("width", options.width, 16, 4096)?;
        check("height", options.height, 16, 4096)?;
        check("frames", options.frames, 1, 1 << 20)?;
        check("fps", options.fps.round() as usize, 1, 240)?;
        let companion = spec.companion.map(|other| other.subject);
        for subject in std::iter::once(spec.subject).chain(companion) {
            check("subject", subject, 0, self.pack.len() - 1)?;
        }
        Ok(())
    }
}

/// What the camera sees in each frame, and when.
pub(crate) fn views(spec: &SceneSpec, layout: &Layout, options: RenderOptions) -> Vec<(View, f32)> {
    let focus = (layout.width / 2.0, layout.foot - 0.45 * layout.size);
    (0..options.frames)
        .map(|index| {
            let time = (options.start_frame + index) as f32 / options.fps;
            let view = spec.camera.view(
                time,
                spec.camera_amount,
                layout.width,
                focus,
                spec.look_seed,
            );
            (view, time)
        })
        .collect()
}

fn check(name: &'static str, got: usize, min: usize, max: usize) -> Result<()> {
    if (min..=max).contains(&got) {
        Ok(())
    } else {
        Err(Error::OutOfRange {
            name,
            got,
            min,
            max,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Aspect, Background, Motion, Split};

    #[test]
    fn windows_equal_the_whole() {
        let pack = Pack::sample();
        let renderer = Renderer::new(&pack);
        for seed in 0..60 {
            let spec = SceneSpec::sample(seed, &pack, Split::Train);
            let whole = RenderOptions {
                width: 64,
                height: 48,
                fps: 12.0,
                start_frame: 0,
                frames: 16,
            };
            let part = RenderOptions {
                start_frame: 5,
                frames: 5,
                ..whole
            };
            let (whole, part) = (
                renderer.render(&spec, whole).unwrap(),
                renderer.render(&spec, part).unwrap(),
            );
            for index in 0..5 {
                assert!(
                    part.frame(index) == whole.frame(index + 5),
                    "seed {seed}, frame {index}: {spec:?}"
                );
            }
        }
    }

    #[test]
    fn the_same_scene_gives_the_same_pixels() {
        let pack = Pack::sample();
        let spec = SceneSpec::sample(3, &pack, Split::Train);
        let options = RenderOptions::native(&spec, 3);
        assert_eq!(
            Renderer::new(&pack).render(&spec, options).unwrap(),
            Renderer::new(&pack).render(&spec, options).unwrap()
        );
    }

    #[test]
    fn odd_sizes_render_and_absurd_ones_are_refused() {
        let pack = Pack::sample();
        for (seed, width, height) in [(1, 17, 131), (2, 201, 33), (3, 16, 16), (4, 97, 97)] {
            let spec = SceneSpec {
                aspect: Aspect::Square,
                ..SceneSpec::sample(seed, &pack, Split::Train)
            };
            let clip = Renderer::new(&pack)
                .render(
                    &spec,
                    RenderOptions {
                        width,
                        height,
                        fps: 24.0,
                        start_frame: 90,
                        frames: 2,
                    },
                )
                .unwrap();
            assert_eq!(clip.rgb.len(), width * height * 3 * 2);
        }
        let spec = SceneSpec::sample(1, &pack, Split::Train);
        for (width, height, frames) in [(0, 64, 1), (64, 100_000, 1), (64, 64, 0)] {
            let options = RenderOptions {
                width,
                height,
                fps: 12.0,
                start_frame: 0,
                frames,
            };
            assert!(Renderer::new(&pack).render(&spec, options).is_err());
        }
    }

    /// What changes between a scene and the same scene with another subject is inside the places told.
    #[test]
    fn places_are_where_the_subject_is_seen() {
        let pack = Pack::sample();
        let (koala, car) = (
            pack.find("koala").unwrap(),
            pack.find("automobile").unwrap(),
        );
        for motion in [Motion::Stand, Motion::Bounce, Motion::Approach] {
            let mut spec = SceneSpec::for_facts(
                5,
                &pack,
                koala,
                Background::Meadow,
                motion,
                crate::Camera::PanLeft,
            )
            .unwrap();
            spec.companion = None;
            spec.style = crate::Style::ALL[0];
            let other = SceneSpec {
                subject: car,
                ..spec.clone()
            };
            let options = RenderOptions::native(&spec, 9);
            let renderer = Renderer::new(&pack);
            let (a, b) = (
                renderer.render(&spec, options).unwrap(),
                renderer.render(&other, options).unwrap(),
            );
            for (index, places) in renderer.places(&spec, options).unwrap().iter().enumerate() {
                let place = places[0];
                let centre_x = place.center[0] * options.width as f32;
                let half = 0.5 * place.sides[0] * options.width.min(options.height) as f32;
                let (mut inside, mut all) = (0.0, 0.0);
                for (i, (p, q)) in a.frame(index).iter().zip(b.frame(index)).enumerate() {
                    let x = (i / 3 % options.width) as f32;
                    let change = f32::from(p.abs_diff(*q));
                    all += change;
                    if (x - centre_x).abs() < 1.1 * half {
                        inside += change;
                    }
                }
                assert!(
                    all > 0.0 && inside > 0.8 * all,
                    "{motion:?}: {inside} of {all}"
                );
            }
        }
    }

    #[test]
    fn a_subject_is_seen_and_moves() {
        let pack = Pack::sample();
        let koala = pack.find("koala").unwrap();
        let spec = SceneSpec::for_facts(
            1,
            &pack,
            koala,
            Background::Meadow,
            Motion::WalkRight,
            crate::Camera::Static,
        )
        .unwrap();
        let clip = Renderer::new(&pack)
            .render(&spec, RenderOptions::native(&spec, 13))
            .unwrap();
        let changed = clip
            .frame(0)
            .iter()
            .zip(clip.frame(12))
            .filter(|(a, b)| a.abs_diff(**b) > 20)
            .count();
        assert!(
            changed > clip.frame(0).len() / 40,
            "{changed} of {} values changed",
            clip.frame(0).len()
        );
    }
}
