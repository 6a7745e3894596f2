//! Clips of which a region is made anew while the rest stays: which region, and what the denoiser is shown of it.

use kinora_data::{Fact, Pack, SceneSpec, captions};
use kinora_models::mini::layout::{FrameLayout, Place};
use kinora_models::mini::plate::{Plate, PlateSize};
use kinora_models::mini::region::{Around, Filling, Ground, Standing};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::corpus::Window;
use crate::staging::{Setting, Told, air, figures, frames, scenery};

/// Sides of a region, as parts of the frame's.
const SMALLEST: f32 = 0.25;
/// How far a region reaches beyond the subject at most, in sides of the smaller frame edge.
const MARGIN: f32 = 0.3;
/// Captions that are drawn until one leaves the place out.
const TRIES: usize = 12;

/// The same in all frames of a window, as most masks are.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Region {
    /// Which pixels are made anew, `[height, width]`.
    made: Vec<bool>,
    /// Whether it lies around the subject, which stays.
    pub(crate) surrounds: bool,
}

/// Part of a frame, from 0 to 1 across and down.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Span {
    from: [f32; 2],
    to: [f32; 2],
}

impl Region {
    /// Draws one: about the subject, around it, at an edge of the frame, or anywhere.
    pub(crate) fn draw(
        rng: &mut ChaCha8Rng,
        told: Told<'_>,
        size: PlateSize,
        window: Window,
    ) -> Self {
        let subject = subject(told, size, window)
            .map(|span| span.wider(|| rng.random_range(0.0..MARGIN), size.frame));
        let chance: f32 = rng.random();
        let (span, surrounds) = match subject {
            Some(subject) if chance < 0.5 => (subject, false),
            Some(subject) if chance < 0.7 => (subject, true),
            _ if chance < 0.85 => (Span::edge(rng), false),
            _ => (Span::anywhere(rng), false),
        };
        let is_round = rng.random_bool(0.25);
        let held = span.pixels(size.frame, is_round);
        let made: Vec<bool> = held.map(|held| held != surrounds).collect();
        match made.contains(&true) {
            true => Self { made, surrounds },
            false => Self {
                made: vec![true; made.len()],
                surrounds: false,
            },
        }
    }

    /// What the denoiser is shown of a window: what is given, and in the region the named subjects on their paths before the named place or
    /// before what is around.
    ///
    /// # Panics
    ///
    /// If the scene cannot be rendered at the window's size.
    pub(crate) fn plate(
        &self,
        told: Told<'_>,
        setting: Setting,
        size: PlateSize,
        window: Window,
    ) -> Plate {
        let (options, padding) = window.options(size.patch_frames);
        let clip = told.renderer.render(told.spec, options);
        let clip = clip.expect("native sizes and frame counts can be rendered");
        let mut path = frames(told, window, size.patch_frames);
        let filling = Filling {
            figures: figures(told, &mut path),
            path,
            standing: Standing::OnPath,
            air: setting
                .has_air
                .then(|| air(told, setting.light, window, size.patch_frames))
                .flatten(),
            ground: setting.backdrop.map_or(Ground::Around, Ground::Place),
            light: setting.light,
            finish: setting.finish,
        };
        let mut plate = Plate::default();
        for latent_frame in 0..window.latent_frames {
            let given = |i: usize| Around {
                pixels: scenery(
                    &clip,
                    (latent_frame * size.patch_frames + i).saturating_sub(padding),
                ),
                made: Some(self.made.clone()),
            };
            let given = (0..size.patch_frames).map(given).collect();
            plate.append(filling.plate(size, (latent_frame, given), |_, _| {}));
        }
        plate
    }
}

/// The pixels of a box about the first named subject wherever it is seen in a window, `margin` sides of the smaller frame edge wider on each
/// side; `None` where it is not seen.
pub(crate) fn about_subject(
    told: Told<'_>,
    size: PlateSize,
    window: Window,
    margin: f32,
) -> Option<Vec<bool>> {
    let span = subject(told, size, window)?.wider(|| margin, size.frame);
    Some(span.pixels(size.frame, false).collect())
}

/// A caption of what stands in a region, as people write it who see the place: it leaves that out, where one of a few can.
pub(crate) fn caption(spec: &SceneSpec, pack: &Pack, rng: &mut ChaCha8Rng) -> Option<String> {
    (0..TRIES).find_map(|_| {
        let told = captions(spec, pack, rng.random());
        let brief = match rng.random_bool(0.8) {
            true => told.short_en,
            false => told.short_zh,
        };
        (!brief.facts.contains(&Fact::Background)).then_some(brief.text)
    })
}

/// Where the first of the named subjects is seen in a window.
fn subject(told: Told<'_>, size: PlateSize, window: Window) -> Option<Span> {
    let path = frames(told, window, size.patch_frames);
    let span = |frame: &FrameLayout| {
        let Place { center, sides, .. } = frame.places[0]?;
        let unit = size.frame[0].min(size.frame[1]) as f32;
        let half = [0, 1].map(|axis| 0.5 * sides[axis] * unit / size.frame[axis] as f32);
        let span = Span {
            from: [center[0] - half[0], center[1] - half[1]],
            to: [center[0] + half[0], center[1] + half[1]],
        };
        let is_seen = (0..2).all(|axis| span.to[axis] > 0.0 && span.from[axis] < 1.0);
        is_seen.then_some(span)
    };
    path.iter().filter_map(span).reduce(Span::with)
}

impl Span {
    fn with(self, other: Self) -> Self {
        Self {
            from: [0, 1].map(|axis| self.from[axis].min(other.from[axis])),
            to: [0, 1].map(|axis| self.to[axis].max(other.to[axis])),
        }
    }

    /// More on each side, in sides of the smaller edge of `frame`.
    fn wider(self, mut margin: impl FnMut() -> f32, frame: [usize; 2]) -> Self {
        let unit = frame[0].min(frame[1]) as f32;
        let mut more = |axis: usize| margin() * unit / frame[axis] as f32;
        Self {
            from: [self.from[0] - more(0), self.from[1] - more(1)],
            to: [self.to[0] + more(0), self.to[1] + more(1)],
        }
    }

    /// All that is left or right of a line, or above or below it.
    fn edge(rng: &mut ChaCha8Rng) -> Self {
        let (axis, at) = (
            rng.random_range(0..2),
            rng.random_range(SMALLEST..1.0 - SMALLEST),
        );
        let (mut from, mut to) = ([0.0; 2], [1.0; 2]);
        match rng.random_bool(0.5) {
            true => from[axis] = at,
            false => to[axis] = at,
        }
        Self { from, to }
    }

    fn anywhere(rng: &mut ChaCha8Rng) -> Self {
        let mut side = || {
            let length: f32 = rng.random_range(SMALLEST..=1.0);
            let from = rng.random_range(0.0..=1.0 - length);
            (from, from + length)
        };
        let (across, down) = (side(), side());
        Self {
            from: [across.0, down.0],
            to: [across.1, down.1],
        }
    }

    /// Whether each pixel of a frame, row by row, lies in it.
    fn pixels(self, [width, height]: [usize; 2], is_round: bool) -> impl Iterator<Item = bool> {
        (0..width * height).map(move |index| {
            let (x, y) = (index % width, index / width);
            let at = [
                (x as f32 + 0.5) / width as f32,
                (y as f32 + 0.5) / height as f32,
            ];
            self.holds(at, is_round)
        })
    }

    /// Whether a point lies in it, or in the ellipse that fills it.
    fn holds(self, at: [f32; 2], is_round: bool) -> bool {
        // From −1 to 1 in the span.
        let in_span = [0, 1].map(|axis| {
            let length = (self.to[axis] - self.from[axis]).max(f32::EPSILON);
            2.0 * (at[axis] - self.from[axis]) / length - 1.0
        });
        match is_round {
            true => in_span[0].powi(2) + in_span[1].powi(2) < 1.0,
            false => in_span.iter().all(|at| at.abs() < 1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kinora_data::{Background, Camera, Motion, Renderer};
    use rand::SeedableRng;

    const SIZE: PlateSize = PlateSize {
        frame: [176, 96],
        patch: 16,
        patch_frames: 4,
    };
    const WINDOW: Window = Window {
        first: 0,
        latent_frames: 2,
        width: 176,
        height: 96,
    };

    #[test]
    fn regions_of_every_kind_leave_something_to_be_made() {
        let pack = Pack::sample();
        let renderer = Renderer::new(&pack);
        let koala = pack.find("koala").unwrap();
        let (place, motion) = (Background::Meadow, Motion::Stand);
        let spec = SceneSpec::for_facts(2, &pack, koala, place, motion, Camera::Static).unwrap();
        let told = Told {
            renderer: &renderer,
            spec: &spec,
            slots: &[koala],
        };
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let drawn: Vec<Region> = (0..200)
            .map(|_| Region::draw(&mut rng, told, SIZE, WINDOW))
            .collect();
        assert!(drawn.iter().all(|region| region.made.contains(&true)));
        let share = |is: fn(&Region) -> bool| drawn.iter().filter(|region| is(region)).count();
        assert!((20..70).contains(&share(|region| region.surrounds)));
        assert!(share(|region| region.made.contains(&false)) > 190);
        let middle = 60 * 176 + 88;
        assert!(drawn.iter().filter(|region| region.made[middle]).count() > 80);
    }

    #[test]
    fn what_is_given_is_shown_and_the_region_shows_what_is_named() {
        let pack = Pack::sample();
        let renderer = Renderer::new(&pack);
        let koala = pack.find("koala").unwrap();
        let (place, motion) = (Background::Meadow, Motion::Stand);
        let mut spec =
            SceneSpec::for_facts(2, &pack, koala, place, motion, Camera::Static).unwrap();
        spec.companion = None;
        let left = |index: usize| index % 176 < 88;
        let region = Region {
            made: (0..176 * 96).map(left).collect(),
            surrounds: false,
        };
        let shown = |slots: &[usize]| {
            let told = Told {
                renderer: &renderer,
                spec: &spec,
                slots,
            };
            let setting = Setting::bare();
            region.plate(told, setting, SIZE, WINDOW)
        };
        let (named, unnamed) = (shown(&[koala]), shown(&[]));
        let (options, _) = WINDOW.options(4);
        let clip = renderer.render(&spec, options).unwrap();
        let patch = 16 * 16 * 4 * 3;
        // The last patch of the upper row is given: its first frame is that of the clip.
        let there = &named.patches[10 * patch..][..16 * 3];
        let expected = &clip.frame(0)[160 * 3..][..16 * 3];
        for (&got, &byte) in there.iter().zip(expected) {
            assert!((got - (f32::from(byte) / 127.5 - 1.0)).abs() < 1e-2);
        }
        assert!(named.coverage.iter().any(|&covered| covered > 0.5));
        assert!(unnamed.coverage.iter().all(|&covered| covered == 0.0));
        // In what is made only the named subject differs.
        let covers = |plate: &Plate, at: usize| {
            let cells = plate.coverage.len() / (plate.patches.len() / patch);
            plate.coverage[at * cells..][..cells]
                .iter()
                .any(|&c| c > 0.0)
        };
        for at in 0..named.patches.len() / patch {
            let same =
                named.patches[at * patch..][..patch] == unnamed.patches[at * patch..][..patch];
            assert!(same || covers(&named, at));
        }
    }
}
