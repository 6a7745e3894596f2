//! A scene as pure data: who does what, where, when, in which weather, through which camera, in which style.

use serde::{Deserialize, Serialize};

use crate::camera::Camera;
use crate::error::{Error, Result};
use crate::index::{Class, Entry};
use crate::motion::Motion;
use crate::pack::Pack;
use crate::rng::{Rng, hash_words};
pub(crate) use crate::vocabulary::{Aspect, Background, Side, Speed, Style, TimeOfDay, Weather};

/// Which combinations a scene may show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// All but the held-out combinations.
    Train,
    /// Only combinations of subject, background and motion that training never sees.
    HeldOut,
}

/// A second subject that stands by.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Companion {
    /// Index in the pack.
    pub subject: usize,
    /// On which side of the first one.
    pub side: Side,
    /// Its size as a multiple of the first one's.
    pub scale: f32,
}

/// A scene. Rendering it and describing it need nothing else but the pack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SceneSpec {
    /// Index of the subject in the pack.
    pub subject: usize,
    /// Who stands by.
    pub companion: Option<Companion>,
    /// Where.
    pub background: Background,
    /// When.
    pub time: TimeOfDay,
    /// In which weather.
    pub weather: Weather,
    /// In which style.
    pub style: Style,
    /// In which shape.
    pub aspect: Aspect,
    /// What the subject does.
    pub motion: Motion,
    /// How fast.
    pub speed: Speed,
    /// What the camera does.
    pub camera: Camera,
    /// How much it does so, around 1.
    pub camera_amount: f32,
    /// Side of the subject's square as a part of the smaller frame side.
    pub size: f32,
    /// Where the subject starts across the frame, 0 to 1.
    pub x: f32,
    /// Start of the subject's own animation as a part of its loop, 0 to 1.
    pub phase: f32,
    /// Seeds the details of the background, weather and hand.
    pub look_seed: u64,
}

/// The facts of a scene as class numbers, for classifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Labels {
    /// Index in [`Pack::entries`].
    pub subject: usize,
    /// Index in [`Background::ALL`].
    pub background: usize,
    /// Index in [`Motion::ALL`].
    pub motion: usize,
    /// Index in [`Camera::ALL`].
    pub camera: usize,
    /// Index in [`TimeOfDay::ALL`].
    pub time: usize,
    /// Index in [`Weather::ALL`].
    pub weather: usize,
    /// Index in [`Style::ALL`].
    pub style: usize,
    /// Index in [`Speed::ALL`].
    pub speed: usize,
}

impl SceneSpec {
    /// The scene of a seed: the same on every machine for the same pack.
    pub fn sample(seed: u64, pack: &Pack, split: Split) -> Self {
        let mut rng = Rng::derived(seed, 0x5CE7E);
        let subject_weights: Vec<f32> = pack
            .entries()
            .iter()
            .map(|entry| class_weight(entry.class))
            .collect();
        loop {
            let subject = rng.weighted(&subject_weights);
            let entry = &pack.entries()[subject];
            let background = *choose(&mut rng, Background::ALL, |place| place.weight(entry));
            let motion = *choose(&mut rng, Motion::ALL, |motion| {
                motion.weight(entry, background)
            });
            if is_held_out(entry, background, motion) == (split == Split::HeldOut) {
                return Self::around(&mut rng, pack, subject, background, motion);
            }
        }
    }

    /// A scene with the given facts; what they leave open comes from the seed.
    ///
    /// # Errors
    /// The subject cannot do this there (see [`Motion::weight`]), or the pack has no such subject.
    pub fn for_facts(
        seed: u64,
        pack: &Pack,
        subject: usize,
        background: Background,
        motion: Motion,
        camera: Camera,
    ) -> Result<Self> {
        let entry = pack
            .entries()
            .get(subject)
            .ok_or_else(|| Error::UnknownSubject {
                got: subject.to_string(),
            })?;
        if motion.weight(entry, background) <= 0.0 {
            return Err(Error::ImpossibleScene {
                subject: entry.name_en.clone(),
                motion: motion.name(),
                background: background.name(),
            });
        }
        let mut rng = Rng::derived(seed, 0xFAC75);
        let mut spec = Self::around(&mut rng, pack, subject, background, motion);
        if spec.camera != camera {
            spec.camera = camera;
            spec.size = subject_size(&mut rng, motion, camera, spec.companion.is_some());
        }
        Ok(spec)
    }

    /// Draws all that subject, background and motion leave open.
    fn around(
        rng: &mut Rng,
        pack: &Pack,
        subject: usize,
        background: Background,
        motion: Motion,
    ) -> Self {
        let camera = *choose(rng, Camera::ALL, |camera| match camera {
            Camera::Static => 6.0,
            _ => 1.0,
        });
        let companion = (rng.chance(0.12)
            && background.has_ground()
            && pack.len() > 1
            && !motion_crosses(motion))
        .then(|| {
            let other = rng.below(pack.len() - 1);
            Companion {
                subject: other + usize::from(other >= subject),
                side: if rng.chance(0.5) {
                    Side::Left
                } else {
                    Side::Right
                },
                scale: rng.range(0.6, 0.85),
            }
        });
        let time = *choose(rng, TimeOfDay::ALL, |time| time.weight(background));
        let weather = *choose(rng, Weather::ALL, |weather| weather.weight(background));
        let style = *choose(rng, Style::ALL, |style| {
            if *style == Style::Natural { 12.0 } else { 1.0 }
        });
        let speed = *choose(rng, Speed::ALL, |speed| {
            if *speed == Speed::Normal { 4.0 } else { 1.0 }
        });
        let speed = if motion == Motion::Stand {
            Speed::Normal
        } else {
            speed
        };
        let x = match (motion.heading(), companion) {
            (heading, _) if heading > 0.0 => rng.range(0.14, 0.42),
            (heading, _) if heading < 0.0 => rng.range(0.58, 0.86),
            (
                _,
                Some(Companion {
                    side: Side::Left, ..
                }),
            ) => rng.range(0.60, 0.70),
            (
                _,
                Some(Companion {
                    side: Side::Right, ..
                }),
            ) => rng.range(0.30, 0.40),
            _ => rng.range(0.36, 0.64),
        };
        Self {
            subject,
            companion,
            background,
            time,
            weather,
            style,
            aspect: *choose(rng, Aspect::ALL, |aspect| {
                if *aspect == Aspect::Wide { 2.0 } else { 1.0 }
            }),
            motion,
            speed,
            camera,
            camera_amount: rng.range(0.8, 1.2),
            size: subject_size(rng, motion, camera, companion.is_some()),
            x,
            phase: rng.unit(),
            look_seed: rng.next_u64(),
        }
    }

    /// The facts as class numbers.
    pub fn labels(&self) -> Labels {
        Labels {
            subject: self.subject,
            background: self.background.index(),
            motion: self.motion.index(),
            camera: self.camera.index(),
            time: self.time.index(),
            weather: self.weather.index(),
            style: self.style.index(),
            speed: self.speed.index(),
        }
    }
}

/// Whether training never sees this combination: one in sixteen, by hash.
pub fn is_held_out(entry: &Entry, background: Background, motion: Motion) -> bool {
    hash_words(&[&entry.id, background.name(), motion.name()]).is_multiple_of(16)
}

fn choose<'a, T>(rng: &mut Rng, all: &'a [T], weight: impl Fn(&T) -> f32) -> &'a T {
    let weights: Vec<f32> = all.iter().map(weight).collect();
    &all[rng.weighted(&weights)]
}

/// Animals and vehicles are few and often asked for; people are many and look alike.
fn class_weight(class: Class) -> f32 {
    match class {
        Class::Animal => 2.5,
        Class::Vehicle => 2.0,
        Class::Food
        | Class::Plant
        | Class::Sky
        | Class::Activity
        | Class::Object
        | Class::Place => 1.5,
        Class::Face => 1.0,
        Class::Person => 0.7,
        Class::Hand | Class::Symbol => 0.5,
    }
}

fn motion_crosses(motion: Motion) -> bool {
    motion.heading() != 0.0 || matches!(motion, Motion::Approach | Motion::Recede)
}

/// Large enough to be known again, small enough to have room to move.
fn subject_size(rng: &mut Rng, motion: Motion, camera: Camera, shared: bool) -> f32 {
    let (low, high) = match motion {
        Motion::Stand | Motion::Sway => (0.50, 0.70),
        Motion::Bounce | Motion::Jump => (0.40, 0.52),
        Motion::Spin | Motion::Float => (0.46, 0.62),
        _ => (0.45, 0.60),
    };
    let by_camera = if matches!(camera, Camera::ZoomIn | Camera::ZoomOut) {
        0.80
    } else {
        1.0
    };
    rng.range(low, high) * by_camera * if shared { 0.82 } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_scene() {
        let pack = Pack::sample();
        for seed in 0..200 {
            assert_eq!(
                SceneSpec::sample(seed, &pack, Split::Train),
                SceneSpec::sample(seed, &pack, Split::Train)
            );
        }
        assert_ne!(
            SceneSpec::sample(1, &pack, Split::Train),
            SceneSpec::sample(2, &pack, Split::Train)
        );
    }

    #[test]
    fn held_out_combinations_never_appear_in_training() {
        let pack = Pack::sample();
        let held_out = |split, seed| {
            let spec = SceneSpec::sample(seed, &pack, split);
            is_held_out(&pack.entries()[spec.subject], spec.background, spec.motion)
        };
        assert!((0..10_000).all(|seed| !held_out(Split::Train, seed)));
        assert!((0..500).all(|seed| held_out(Split::HeldOut, seed)));
    }

    #[test]
    fn facts_that_are_given_are_kept() {
        let pack = Pack::sample();
        let koala = pack.find("koala").unwrap();
        let spec = SceneSpec::for_facts(
            4,
            &pack,
            koala,
            Background::Beach,
            Motion::WalkLeft,
            Camera::Orbit,
        )
        .unwrap();
        let labels = spec.labels();
        assert_eq!(Background::ALL[labels.background], Background::Beach);
        assert_eq!(Motion::ALL[labels.motion], Motion::WalkLeft);
        assert_eq!(Camera::ALL[labels.camera], Camera::Orbit);
        assert_eq!(labels.subject, koala);
        let impossible = SceneSpec::for_facts(
            4,
            &pack,
            koala,
            Background::Space,
            Motion::Stand,
            Camera::Static,
        );
        assert!(
            impossible
                .unwrap_err()
                .to_string()
                .contains("choose another motion")
        );
    }

    #[test]
    fn a_scene_survives_json() {
        let spec = SceneSpec::sample(9, &Pack::sample(), Split::Train);
        let json = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<SceneSpec>(&json).unwrap(), spec);
    }

    #[test]
    fn every_background_offers_a_motion_to_every_subject() {
        let pack = Pack::sample();
        for entry in pack.entries() {
            for background in Background::ALL {
                assert!(
                    Motion::ALL
                        .iter()
                        .any(|motion| motion.weight(entry, *background) > 0.0)
                );
            }
        }
    }
}
