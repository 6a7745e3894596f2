//! Windows of a clip that people gave frames of: what is known of them, and what the denoiser is shown in place of
//! named subjects and places.

use kinora_data::{
    RenderOptions, SceneSpec, Style, TimeOfDay, Weather, style_names, subject_light,
};
use kinora_models::mini::layout::FrameLayout;
use kinora_models::mini::plate::{Plate, PlateSize};
use kinora_models::mini::region::{Around, Filling, Ground, Standing};
use kinora_models::mini::still::{Still, show};
use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;

use crate::corpus::Window;
use crate::places;
use crate::regions::{self, Region};
use crate::staging::{Setting, Told, air, finish, frames, scenery};

/// Latent frames between a given one and a window that goes on from it, at most.
const FARTHEST: usize = 8;

/// Share of the captions of changed clips that say the change alone.
const CHANGE_ALONE: f64 = 0.4;
/// The same of those of regions that say what stands in them alone.
const SUBJECT_ALONE: f64 = 0.6;

/// How often a window lies beside given frames; never by default.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Shares {
    /// Of windows, beside given frames.
    pub(crate) given: f32,
    /// Of clips, changed from given ones.
    pub(crate) remixed: f32,
    /// Of clips, those of which a region is made anew.
    pub(crate) regions: f32,
}

/// What was given of a window's scene.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Given {
    /// Latent frames of the scene, and which of the window's are known.
    Frames {
        anchors: Vec<usize>,
        known: Vec<bool>,
    },
    /// All of it, in other light, weather or style; of a window that continues one the first latent frame is known.
    Remixed { other: SceneSpec, continues: bool },
    /// What is around a region; as for remixed ones.
    Region { region: Region, continues: bool },
}

impl Given {
    /// Draws what was given; mostly nothing.
    pub(crate) fn draw(
        rng: &mut ChaCha8Rng,
        shares: Shares,
        (told, size): (Told<'_>, PlateSize),
        window: Window,
    ) -> Option<Self> {
        let chance: f32 = rng.random();
        let is_clip = window.latent_frames > 1;
        let changed = shares.remixed + shares.regions;
        if chance < changed {
            let continues = is_clip && window.first > 0 && rng.random_bool(0.8);
            return Some(match chance < shares.remixed {
                true => Self::Remixed {
                    other: otherwise(told.spec, rng),
                    continues,
                },
                false => Self::Region {
                    region: Region::draw(rng, told, size, window),
                    continues,
                },
            });
        }
        (is_clip && chance < changed + shares.given).then(|| Self::frames(rng, window))
    }

    /// A picture or clip that goes on, one that is led to, and what lies between two, near and far.
    fn frames(rng: &mut ChaCha8Rng, window: Window) -> Self {
        let (first, last) = (window.first, window.first + window.latent_frames - 1);
        let mut known = vec![false; window.latent_frames];
        let chance: f32 = rng.random();
        let before = |rng: &mut ChaCha8Rng| first - rng.random_range(0..=first.min(FARTHEST));
        let anchors = if chance < 0.35 {
            known[0] = true;
            vec![first]
        } else if chance < 0.60 {
            known[0] = rng.random_bool(0.9);
            vec![before(rng)]
        } else if chance < 0.80 {
            known[0] = true;
            known[window.latent_frames - 1] = true;
            vec![before(rng), last]
        } else if chance < 0.90 {
            known[0] = true;
            vec![before(rng), last + rng.random_range(1..=FARTHEST)]
        } else {
            known[window.latent_frames - 1] = true;
            vec![last]
        };
        Self::Frames { anchors, known }
    }

    /// Which of the window's latent frames are known.
    pub(crate) fn known(&self, latent_frames: usize) -> Vec<bool> {
        match self {
            Self::Frames { known, .. } => known.clone(),
            Self::Remixed { continues, .. } | Self::Region { continues, .. } => {
                let mut known = vec![false; latent_frames];
                known[0] = *continues;
                known
            }
        }
    }

    /// Words for it instead of the caption that tells the scene, where that does not do.
    pub(crate) fn caption(
        &self,
        told: Told<'_>,
        caption: &str,
        rng: &mut ChaCha8Rng,
    ) -> Option<String> {
        let (spec, pack) = (told.spec, told.renderer.pack());
        match self {
            Self::Frames { .. } => None,
            Self::Remixed { other, .. } => {
                let change = change_caption(other, spec, rng);
                Some(match (change.is_empty(), rng.random_bool(CHANGE_ALONE)) {
                    (true, _) => return None,
                    (false, true) => change,
                    (false, false) => format!("{caption}, {change}"),
                })
            }
            Self::Region { region, .. } => {
                let leaves_place_out = !region.surrounds && rng.random_bool(SUBJECT_ALONE);
                leaves_place_out
                    .then(|| regions::caption(spec, pack, rng))
                    .flatten()
            }
        }
    }

    /// What the denoiser is shown of a window; `setting` is drawn where something is named in it.
    ///
    /// # Panics
    ///
    /// If the scene cannot be rendered at the window's size.
    pub(crate) fn plate(
        &self,
        told: Told<'_>,
        setting: impl FnOnce(&mut ChaCha8Rng) -> Setting,
        rng: &mut ChaCha8Rng,
        size: PlateSize,
        window: Window,
    ) -> Plate {
        let render = |spec: &SceneSpec, options: RenderOptions| {
            let clip = told.renderer.render(spec, options);
            clip.expect("native sizes and frame counts can be rendered")
        };
        let path = frames(told, window, size.patch_frames);
        match self {
            Self::Frames { anchors, .. } => {
                let still = |&anchor: &usize| {
                    let alone = Window {
                        first: anchor,
                        latent_frames: 1,
                        ..window
                    };
                    let (options, _) = alone.options(size.patch_frames);
                    let clip = render(told.spec, options);
                    let seen = frames(told, alone, size.patch_frames);
                    let at = (anchor + 1) * size.patch_frames - 1;
                    let view = seen[size.patch_frames - 1].view;
                    Still::new(scenery(&clip, clip.frames - 1), size.frame, view, at)
                };
                let stills: Vec<Still> = anchors.iter().map(still).collect();
                let start = window.first * size.patch_frames;
                let along = path.iter().enumerate();
                let seen = along.map(|(i, frame)| show(&stills, start + i, &frame.view));
                Plate::of_scenery(size, seen)
            }
            Self::Remixed { other, .. } => {
                let (options, padding) = window.options(size.patch_frames);
                let clip = render(other, options);
                let light = subject_light(&places::lit(told.spec));
                let filling = Filling {
                    ground: Ground::Around,
                    path: vec![FrameLayout::at_rest(0)],
                    standing: Standing::OnPath,
                    figures: Vec::new(),
                    light,
                    air: air(told, light, window, size.patch_frames),
                    finish: finish(told.spec),
                };
                let mut plate = Plate::default();
                for latent_frame in 0..window.latent_frames {
                    let first = latent_frame * size.patch_frames;
                    let given = |i: usize| Around {
                        pixels: scenery(&clip, (first + i).saturating_sub(padding)),
                        made: None,
                    };
                    let given = (0..size.patch_frames).map(given).collect();
                    let animate = |i, layout: &mut FrameLayout| layout.moment = first + i;
                    plate.append(filling.plate(size, (latent_frame, given), animate));
                }
                plate
            }
            Self::Region { region, .. } => region.plate(told, setting(rng), size, window),
        }
    }
}

/// Words for what changes from one scene to another, as people say it who show the rest. What is not said stays.
fn change_caption(from: &SceneSpec, to: &SceneSpec, rng: &mut ChaCha8Rng) -> String {
    let mut words = Vec::new();
    if to.weather != from.weather {
        words.extend(to.weather.words().choose(rng));
    }
    if to.style != from.style {
        words.extend(style_names(to.style).choose(rng));
    }
    if to.time != from.time {
        words.extend(to.time.words().choose(rng));
    }
    words.shuffle(rng);
    let words: Vec<&str> = words.into_iter().copied().collect();
    words.join(", ")
}

/// A scene that can be asked to become this one: in other light, without its weather, in another style. Nobody asks for clear air or for
/// none of all styles.
fn otherwise(spec: &SceneSpec, rng: &mut ChaCha8Rng) -> SceneSpec {
    let mut other = spec.clone();
    if spec.style != Style::Natural && rng.random_bool(0.8) {
        // Mostly from what a camera sees, as people's clips are.
        other.style = match rng.random_bool(0.7) {
            true => Style::Natural,
            false => *Style::ALL.choose(rng).unwrap_or(&spec.style),
        };
    }
    if rng.random_bool(0.5) {
        other.time = *TimeOfDay::ALL.choose(rng).unwrap_or(&spec.time);
    }
    if rng.random_bool(0.7) {
        other.weather = Weather::Clear;
    }
    other
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::staging::figures;
    use kinora_data::{Pack, Renderer, Split};
    use kinora_models::mini::search::find;
    use rand::SeedableRng;

    const SIZE: PlateSize = PlateSize {
        frame: [176, 96],
        patch: 16,
        patch_frames: 4,
    };

    fn window(first: usize) -> Window {
        Window {
            first,
            latent_frames: 5,
            width: 176,
            height: 96,
        }
    }

    fn told(renderer: &Renderer<'_>, spec: &SceneSpec, given: &Given, window: Window) -> Plate {
        let told = Told {
            renderer,
            spec,
            slots: &[],
        };
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        given.plate(told, |_| Setting::bare(), &mut rng, SIZE, window)
    }

    #[test]
    fn something_is_left_to_be_made_and_what_is_known_was_given() {
        let pack = Pack::sample();
        let renderer = Renderer::new(&pack);
        let spec = SceneSpec::sample(8, &pack, Split::Train);
        let told = Told {
            renderer: &renderer,
            spec: &spec,
            slots: &[],
        };
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let shares = Shares {
            given: 0.6,
            remixed: 0.2,
            regions: 0.2,
        };
        for draw in 0..2000 {
            let window = window(draw % 13);
            let given = Given::draw(&mut rng, shares, (told, SIZE), window);
            let given = given.expect("the shares leave no other");
            let known = given.known(window.latent_frames);
            assert!(known.contains(&false));
            if let Given::Frames { anchors, known } = given {
                assert!(anchors.is_sorted());
                // The last frame is known only where it is shown.
                let last = window.first + window.latent_frames - 1;
                assert_eq!(known[4], anchors.contains(&last));
            }
        }
    }

    #[test]
    fn a_given_frame_is_shown_as_it_is_where_it_was_taken() {
        let pack = Pack::sample();
        let renderer = Renderer::new(&pack);
        let spec = SceneSpec::sample(8, &pack, Split::Train);
        let window = window(3);
        let given = Given::Frames {
            anchors: vec![3],
            known: vec![true, false, false, false, false],
        };
        let plate = told(&renderer, &spec, &given, window);
        let (options, _) = window.options(4);
        let clip = renderer.render(&spec, options).unwrap();
        // The last line of frame 3 in the upper left patch of its latent frame.
        let there = &plate.patches[(3 * 256 + 15 * 16) * 3..][..16 * 3];
        let expected = &clip.frame(3)[15 * 176 * 3..][..16 * 3];
        for (&got, &byte) in there.iter().zip(expected) {
            assert!((got - (f32::from(byte) / 127.5 - 1.0)).abs() < 1e-2);
        }
        assert!(plate.coverage.iter().all(|&covered| covered == 0.0));
    }

    #[test]
    fn what_a_remix_changes_is_said() {
        let pack = Pack::sample();
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let mut changed = 0;
        for seed in 0..200 {
            let spec = SceneSpec::sample(seed, &pack, Split::Train);
            let other = otherwise(&spec, &mut rng);
            let same =
                (other.time, other.weather, other.style) == (spec.time, spec.weather, spec.style);
            assert_eq!(change_caption(&other, &spec, &mut rng).is_empty(), same);
            assert_eq!(other.subject, spec.subject);
            changed += usize::from(!same);
        }
        assert!((80..190).contains(&changed), "{changed}");
    }

    #[test]
    fn a_remix_shows_the_scene_in_another_light_with_its_own_style() {
        let pack = Pack::sample();
        let renderer = Renderer::new(&pack);
        let mut spec = SceneSpec::sample(8, &pack, Split::Train);
        let mut is_grey = |style| {
            spec.style = style;
            let given = Given::Remixed {
                other: SceneSpec {
                    style: Style::Natural,
                    ..spec.clone()
                },
                continues: true,
            };
            let plate = told(&renderer, &spec, &given, window(3));
            let mut pixels = plate.patches.chunks_exact(3);
            pixels.all(|pixel| pixel[0] == pixel[1] && pixel[1] == pixel[2])
        };
        assert!(is_grey(Style::Monochrome) && !is_grey(Style::Pixel));
    }

    #[test]
    fn a_subject_is_found_in_a_rendered_picture_or_not_at_all() {
        let pack = Pack::sample();
        let renderer = Renderer::new(&pack);
        let alone = Window {
            latent_frames: 1,
            ..window(0)
        };
        let (mut right, mut wrong) = (0, 0);
        for seed in 0..40 {
            let spec = SceneSpec {
                style: Style::Natural,
                companion: None,
                ..SceneSpec::sample(seed, &pack, Split::Train)
            };
            let told = Told {
                renderer: &renderer,
                spec: &spec,
                slots: &[spec.subject],
            };
            let mut path = frames(told, alone, 4);
            let figure = figures(told, &mut path).remove(0);
            let (options, _) = alone.options(4);
            let pixels = scenery(&renderer.render(&spec, options).unwrap(), 0);
            let Some(found) = find(&figure, &pixels, SIZE.frame) else {
                continue;
            };
            let is_right = path[3].places[0].is_some_and(|place| {
                let off = [0, 1].map(|axis| (place.center[axis] - found.place.center[axis]).abs());
                off[0] < 0.05 && off[1] < 0.08
            });
            match is_right {
                true => right += 1,
                false => wrong += 1,
            }
        }
        assert!(right >= 15 && wrong <= 1, "{right} right, {wrong} wrong");
    }
}
