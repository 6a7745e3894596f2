//! What is told of a scene beside its caption: plates to the denoiser, layouts to the director.

use kinora_data::{Clip, RenderOptions, Renderer, SceneSpec, Style, View, subject_light};
use kinora_models::mini::air::Air;
use kinora_models::mini::backdrop::{Backdrop, ZOOM_HEIGHT};
use kinora_models::mini::backdrops::Backdrops;
use kinora_models::mini::layout::{self, FrameLayout, Place, Places, SLOTS};
use kinora_models::mini::lexicon::Lexicon;
use kinora_models::mini::plate::{Figure, Plate, PlateSize, Props, Scenery};
use kinora_models::mini::styles::Finish;
use kinora_models::mini::{DIRECTOR_FRAMES, DIRECTOR_LATEST};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::corpus::Window;
use crate::given::Shares;
use crate::lexicon::picture;
use crate::places;

/// Share of the scenes whose plate shows daylight whatever theirs is.
pub(crate) const DAYLIGHT: f64 = 0.08;

/// Paths of camera and subjects through scenes, for the director.
#[derive(Debug, Clone)]
pub struct Layouts {
    /// Slots that each scene fills: the subjects that its caption names.
    pub subjects: Vec<usize>,
    /// [`DIRECTOR_FRAMES`] latent frames of each, `[batch, DIRECTOR_FRAMES, patch_frames · FRAME_VALUES]`.
    pub values: Vec<f32>,
    /// Index of each first latent frame in its scene.
    pub first_latent_frames: Vec<usize>,
    /// Pixels of a frame, `[width, height]`.
    pub size: [usize; 2],
}

/// What the denoiser is shown of a batch's scenes.
#[derive(Debug, Clone, Default)]
pub struct Staging {
    /// Of each clip.
    pub plates: Vec<Plate>,
    /// Of each clip which of its latent frames are known, where its plate shows what was given of it.
    pub known: Vec<Option<Vec<bool>>>,
}

impl Layouts {
    /// Of no scenes yet.
    pub(crate) fn new(size: [usize; 2]) -> Self {
        Self {
            subjects: Vec::new(),
            values: Vec::new(),
            first_latent_frames: Vec::new(),
            size,
        }
    }
}

/// Names and pictures, ready to draw.
pub(crate) struct StageBuilder {
    lexicon: Lexicon,
    /// For their names: the look of a place is the scene's own.
    backdrops: Backdrops,
    pub(crate) shares: Shares,
}

/// What stands around a scene's subjects.
pub(crate) struct Setting {
    pub(crate) backdrop: Option<Backdrop>,
    /// What the subjects' colours are multiplied by.
    pub(crate) light: [f32; 3],
    /// Whether what falls or drifts is shown.
    pub(crate) has_air: bool,
    pub(crate) finish: Option<Finish>,
}

/// A scene as it is told to the denoisers.
#[derive(Clone, Copy)]
pub(crate) struct Told<'a> {
    pub(crate) renderer: &'a Renderer<'a>,
    pub(crate) spec: &'a SceneSpec,
    /// Subjects that the caption names, in its order.
    pub(crate) slots: &'a [usize],
}

impl StageBuilder {
    pub(crate) fn new(lexicon: Lexicon, backdrops: Backdrops, shares: Shares) -> Self {
        Self {
            lexicon,
            backdrops,
            shares,
        }
    }

    /// Slots as they will be in use: the subjects that the caption names, in its order.
    pub(crate) fn slots(&self, spec: &SceneSpec, caption: &str) -> Vec<usize> {
        let companion = spec.companion.map(|companion| companion.subject);
        let mut slots = self.lexicon.find(caption);
        slots.truncate(SLOTS);
        slots.retain(|&id| id == spec.subject || Some(id) == companion);
        slots
    }

    /// What stands around a scene's subjects: its place, if the caption names it, in its light. A light that the caption does not
    /// name is shown too, so that the denoiser takes light from the plate. In a share of the scenes, `daylight`, it is daylight, because a
    /// prompt may say a light in words that no plate knows; then its weather and its style are not shown either.
    pub(crate) fn setting(
        &self,
        (spec, caption): (&SceneSpec, &str),
        size: [usize; 2],
        daylight: f64,
        rng: &mut ChaCha8Rng,
    ) -> Setting {
        let plain = rng.random_bool(daylight);
        let lit = match plain {
            true => places::in_daylight(spec),
            false => places::lit(spec),
        };
        let elsewhere = self.lexicon.rest(caption);
        let is_named = self.backdrops.find(&elsewhere) == Some(spec.background.index());
        Setting {
            backdrop: is_named.then(|| Backdrop::new(&places::picture(&lit, size), size)),
            light: subject_light(&lit),
            has_air: !plain,
            finish: finish(spec).filter(|_| !plain),
        }
    }

    /// The plate of a window.
    pub(crate) fn plate(
        &self,
        told: Told<'_>,
        setting: &Setting,
        size: PlateSize,
        window: Window,
    ) -> Plate {
        let mut path = frames(told, window, size.patch_frames);
        let figures = figures(told, &mut path);
        let figures: Vec<&Figure> = figures.iter().collect();
        let air = setting
            .has_air
            .then(|| air(told, setting.light, window, size.patch_frames));
        let air = air.flatten();
        let props = Props {
            backdrop: setting.backdrop.as_ref(),
            figures: &figures,
            light: setting.light,
            air: air.as_ref(),
            finish: setting.finish,
        };
        Plate::draw(size, props, &path)
    }
}

/// What a scene is finished with, where that changes anything.
pub(crate) fn finish(spec: &SceneSpec) -> Option<Finish> {
    (spec.style != Style::Natural).then_some(Finish {
        style: spec.style,
        seed: spec.look_seed,
    })
}

/// The scene's own weather in each frame of each latent frame of a window; `None` in clear air.
pub(crate) fn air(
    told: Told<'_>,
    light: [f32; 3],
    window: Window,
    patch_frames: usize,
) -> Option<Air> {
    let (options, padding) = window.options(patch_frames);
    let over = told.renderer.air(told.spec, options, light);
    let over = over.expect("native sizes and frame counts can be rendered")?;
    let frames = 0..window.latent_frames * patch_frames;
    let frame = |index: usize| over[index.saturating_sub(padding)].clone();
    Some(Air::new(frames.map(frame).collect()))
}

/// A frame as plates have it.
pub(crate) fn scenery(clip: &Clip, frame: usize) -> Scenery {
    let level = |byte: u8| f32::from(byte) / 127.5 - 1.0;
    let pixels = clip.frame(frame).chunks_exact(3);
    pixels
        .map(|pixel| [0, 1, 2].map(|channel| level(pixel[channel])))
        .collect()
}

/// What is seen of each slot on a path, which from then on counts these pictures.
pub(crate) fn figures(told: Told<'_>, path: &mut [FrameLayout]) -> Vec<Figure> {
    let pack = told.renderer.pack();
    let figure = |(slot, &subject): (usize, &usize)| {
        let mut seen: Vec<usize> = Vec::new();
        for place in path
            .iter_mut()
            .filter_map(|frame| frame.places[slot].as_mut())
        {
            let known = seen.iter().position(|&frame| frame == place.frame);
            place.frame = known.unwrap_or_else(|| {
                seen.push(place.frame);
                seen.len() - 1
            });
        }
        // A subject that is never seen has a picture too.
        let frames = if seen.is_empty() { vec![0] } else { seen };
        let pictures = frames
            .into_iter()
            .map(|frame| picture(pack, subject, frame));
        let pictures: Vec<Vec<u8>> = pictures.collect();
        Figure::new(pictures.iter().map(Vec::as_slice))
    };
    told.slots.iter().enumerate().map(figure).collect()
}

impl Layouts {
    /// Appends the paths of a scene from latent frame `first` on.
    pub(crate) fn push(&mut self, told: Told<'_>, first: usize, patch_frames: usize) {
        let [width, height] = self.size;
        let window = Window {
            first,
            latent_frames: DIRECTOR_FRAMES,
            width,
            height,
        };
        for frame in frames(told, window, patch_frames) {
            frame.push_values(&mut self.values);
        }
        self.subjects.push(told.slots.len());
        self.first_latent_frames.push(first);
    }
}

/// Where a layout begins: with its scene, or later and then going on from known frames, which tell most of what the words do.
pub(crate) fn layout_start(rng: &mut ChaCha8Rng) -> usize {
    if rng.random_bool(0.15) {
        rng.random_range(1..=DIRECTOR_LATEST)
    } else {
        0
    }
}

/// Each frame of each latent frame of a window.
pub(crate) fn frames(told: Told<'_>, window: Window, patch_frames: usize) -> Vec<FrameLayout> {
    let (options, padding) = window.options(patch_frames);
    let renderable = "native sizes and frame counts can be rendered";
    let seen = told.renderer.views(told.spec, options).expect(renderable);
    let placed = told.renderer.places(told.spec, options).expect(renderable);
    let frame = |moment: usize| {
        let index = moment.saturating_sub(padding);
        FrameLayout {
            places: places(&placed[index], told.slots),
            view: view(&seen[index], options),
            moment,
        }
    };
    (0..window.latent_frames * patch_frames)
        .map(frame)
        .collect()
}

/// The places of the subjects in `slots`.
fn places(placed: &[kinora_data::Place], slots: &[usize]) -> Places {
    std::array::from_fn(|slot| {
        let subject = slots.get(slot)?;
        let place = placed.iter().find(|place| place.subject == *subject)?;
        Some(Place {
            center: place.center,
            sides: place.sides,
            rotation: place.rotation,
            is_flipped: place.is_flipped,
            frame: place.frame,
        })
    })
}

/// The same view with zoom about the point that models zoom about: what is as near as the subjects is seen alike.
fn view(view: &View, options: RenderOptions) -> layout::View {
    let (width, height) = (options.width as f32, options.height as f32);
    let unit = width.min(height);
    let moved = 1.0 - 1.0 / view.zoom;
    let focus = (0.5 * width / unit, ZOOM_HEIGHT * height / unit);
    layout::View {
        shift: [
            view.x + (view.focus.0 - focus.0) * moved,
            view.y + (view.focus.1 - focus.1) * moved,
        ],
        zoom: view.zoom,
        orbit: view.orbit,
        tilt: 0.0,
    }
}

#[cfg(test)]
impl Setting {
    /// Daylight in no place.
    pub(crate) fn bare() -> Self {
        Self {
            backdrop: None,
            light: [1.0; 3],
            has_air: false,
            finish: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kinora_data::{Background, Camera, Motion, Pack};

    /// What the plate shows of a place is what the scene shows of it, wherever the camera is.
    #[test]
    fn a_backdrop_moves_as_its_scene_does() {
        let pack = Pack::sample();
        let renderer = Renderer::new(&pack);
        let koala = pack.find("koala").unwrap();
        for camera in [Camera::PanRight, Camera::ZoomIn, Camera::ZoomOut] {
            let place = Background::Mountains;
            let mut spec =
                SceneSpec::for_facts(2, &pack, koala, place, Motion::Stand, camera).unwrap();
            (spec.time, spec.weather) = (kinora_data::TimeOfDay::Day, kinora_data::Weather::Clear);
            (spec.style, spec.companion) = (kinora_data::Style::Natural, None);
            let (width, height) = spec.aspect.native_size();
            let size = [width, height];
            let backdrop = Backdrop::new(&places::picture(&spec, size), size);
            let window = Window {
                first: 6,
                latent_frames: 1,
                width,
                height,
            };
            let told = Told {
                renderer: &renderer,
                spec: &spec,
                slots: &[],
            };
            let layout = &frames(told, window, 4)[3];
            let shown = backdrop.draw(size, &layout.view);
            let still = backdrop.draw(size, &layout::View::REST);
            let (options, _) = window.options(4);
            let clip = renderer.render(&spec, options).unwrap();
            let error = |seen: &[[f32; 3]]| -> f32 {
                // Away from the subject in the middle.
                let columns = (0..width / 5).chain(width - width / 5..width);
                let pixels = columns.flat_map(|x| (0..height).map(move |y| y * width + x));
                let far = |at: usize| -> f32 {
                    let there = &clip.frame(3)[at * 3..][..3];
                    let parts = seen[at].iter().zip(there);
                    parts
                        .map(|(a, &b)| (a - (f32::from(b) / 127.5 - 1.0)).powi(2))
                        .sum()
                };
                pixels.map(far).sum()
            };
            let (moved, still) = (error(&shown), error(&still));
            assert!(moved < 0.6 * still, "{camera:?}: {moved} against {still}");
        }
    }
}
