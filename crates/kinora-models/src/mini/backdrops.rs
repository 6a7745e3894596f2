//! The places that the model knows by name, the lights that they are seen in, and looks of each.

use std::ops::Range;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::air::Air;
use super::backdrop::{Backdrop, backdrop_size, refit};
use super::looks::Looks;
use super::phrases::Phrases;
use super::styles::Finish;
use super::text::normalise;
use crate::Error;

/// Keeps the choice of a look apart from what else is drawn from a seed.
const LOOK_STREAM: u64 = 1 << 41;
/// Brightest light on a subject.
const BRIGHTEST: f32 = 4.0;
/// Most lights that a file may hold.
const MOST_LIGHTS: usize = 64;

/// A place that can be named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedPlace {
    /// The name shown to people.
    pub name: String,
    /// Every phrase that means it, in any language.
    pub phrases: Vec<String>,
    /// Whether a scene may be set here when its prompt names no place.
    pub is_common: bool,
}

/// A light that can be named: a time of day, or a weather that changes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NamedLight {
    /// The name shown to people.
    pub name: String,
    /// Every phrase that means it, in any language.
    pub phrases: Vec<String>,
    /// What the colours of subjects are multiplied by at each place: red, green, blue.
    pub on_subjects: Vec<[f32; 3]>,
}

/// Places with their looks.
#[derive(Debug, Clone, Default)]
pub struct Backdrops {
    places: Vec<NamedPlace>,
    lights: Vec<NamedLight>,
    sizes: Vec<[usize; 2]>,
    looks: Vec<Looks>,
    named: Phrases<usize>,
    named_lights: Phrases<usize>,
}

/// What stands around the subjects of a clip.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    /// `None` where there are no pictures of places.
    pub(super) backdrop: Option<Backdrop>,
    /// The place, where there is one.
    pub(super) place: Option<usize>,
    /// What the colours of subjects are multiplied by.
    pub(super) light: [f32; 3],
    /// What falls or drifts before them.
    pub(super) air: Option<Air>,
    /// What all of it is finished with.
    pub(super) finish: Option<Finish>,
}

impl NamedLight {
    /// The only light of files that know no other, at so many places.
    pub(super) fn plain(places: usize) -> Self {
        Self {
            name: "day".to_owned(),
            phrases: Vec::new(),
            on_subjects: vec![[1.0; 3]; places],
        }
    }
}

impl Backdrops {
    /// `looks` hold, for each of the frame `sizes`, the same number of looks of each place after another, each of
    /// [`look_bytes`](Self::look_bytes). The first of the `lights` is the one in which places are seen when none is named; of several
    /// that are, the last.
    ///
    /// # Errors
    ///
    /// [`Error::Format`] if these do not fit together.
    pub fn new(
        places: Vec<NamedPlace>,
        lights: Vec<NamedLight>,
        sizes: Vec<[usize; 2]>,
        looks: Vec<Looks>,
    ) -> Result<Self, Error> {
        let wrong = |reason: &str| Err(Error::Format(format!("its backdrops: {reason}")));
        if lights.is_empty() || lights.len() > MOST_LIGHTS {
            return wrong("no light, or too many");
        }
        let mut on_subjects = lights.iter().flat_map(|light| &light.on_subjects).flatten();
        if !on_subjects.all(|value| (0.0..=BRIGHTEST).contains(value)) {
            return wrong("a light is too bright, or none");
        }
        if lights
            .iter()
            .any(|light| light.on_subjects.len() != places.len())
        {
            return wrong("a light has to fall on the subjects of each place");
        }
        let count = looks.first().map_or(0, Looks::len);
        if looks.len() != sizes.len() || looks.iter().any(|looks| looks.len() != count) {
            return wrong("as many looks are needed for each size");
        }
        if !count.is_multiple_of(places.len().max(1)) || places.is_empty() && count > 0 {
            return wrong("as many looks are needed of each place");
        }
        let named = |phrases: &mut dyn Iterator<Item = (usize, &Vec<String>)>| {
            let mut named = Phrases::default();
            for (id, phrases) in phrases {
                for phrase in phrases.iter().filter(|said| !normalise(said).is_empty()) {
                    named.entry(phrase, id);
                }
            }
            named
        };
        Ok(Self {
            named: named(&mut places.iter().map(|place| &place.phrases).enumerate()),
            named_lights: named(&mut lights.iter().map(|light| &light.phrases).enumerate()),
            places,
            lights,
            sizes,
            looks,
        })
    }

    /// Pixels of a look for frames of `size`.
    fn pixels(size: [usize; 2]) -> usize {
        let [inner, height, margin] = backdrop_size(size);
        (inner + 2 * margin) * height
    }

    /// Bytes of a look for frames of `size` in so many lights: the depth of each [pixel](backdrop_size), then its red, green and blue
    /// in each light.
    pub fn look_bytes(size: [usize; 2], lights: usize) -> usize {
        Self::pixels(size) * (1 + 3 * lights)
    }

    /// Every place, in order of its id.
    pub fn places(&self) -> &[NamedPlace] {
        &self.places
    }

    /// Every light, in order of its id.
    pub fn lights(&self) -> &[NamedLight] {
        &self.lights
    }

    /// The looks for each size, in the order of the sizes.
    pub fn looks(&self) -> &[Looks] {
        &self.looks
    }

    /// The place that `prompt` names first.
    pub fn find(&self, prompt: &str) -> Option<usize> {
        self.named.matches(prompt).first().map(|&&id| id)
    }

    /// The light that `prompt` names; of several the last that there is: night is night, also when it rains.
    pub fn find_light(&self, prompt: &str) -> Option<usize> {
        self.named_lights.matches(prompt).into_iter().max().copied()
    }

    /// What the colours of things are multiplied by out of doors, wherever that is.
    pub(super) fn light_outdoors(&self, light: Option<usize>) -> [f32; 3] {
        let place = self.places.iter().position(|place| place.is_common);
        let light = self.lights.get(light.unwrap_or(0));
        let falls = |(light, place): (&NamedLight, usize)| light.on_subjects.get(place).copied();
        light.zip(place).and_then(falls).unwrap_or([1.0; 3])
    }

    /// Where `prompt` names places, in characters of its [normalised](normalise) form.
    pub(super) fn mentions(&self, prompt: &str) -> Vec<Range<usize>> {
        self.named.places(prompt)
    }

    /// The pictures that places are shown by in frames of this size: those of just this size, else of the most similar shape that lies or
    /// stands as it does.
    fn painted(&self, size: [usize; 2]) -> Option<usize> {
        let shape = |[width, height]: [usize; 2]| (width as f32 / height as f32).ln();
        let other = |painted: [usize; 2]| {
            let lies_otherwise = shape(painted) * shape(size) <= 0.0 && painted != size;
            let far = (shape(painted) - shape(size)).abs();
            far + if lies_otherwise { 10.0 } else { 0.0 }
        };
        (0..self.sizes.len()).min_by(|&a, &b| other(self.sizes[a]).total_cmp(&other(self.sizes[b])))
    }

    /// What stands around the subjects of a clip of `prompt`: a look of the place that it names or, where it names none, of one that
    /// suits many, in one of the lights.
    ///
    /// # Errors
    ///
    /// [`Error::Format`] where the pictures are damaged.
    pub(super) fn choose(
        &self,
        prompt: &str,
        light: Option<usize>,
        size: [usize; 2],
        seed: u64,
    ) -> Result<Setting, Error> {
        let light = light.unwrap_or(0);
        let kind = self.painted(size);
        let looks = kind.map(|kind| &self.looks[kind]);
        let each = looks.map_or(0, Looks::len) / self.places.len().max(1);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(LOOK_STREAM);
        let common: Vec<usize> = (0..self.places.len())
            .filter(|&id| self.places[id].is_common)
            .collect();
        let look = rng.random_range(0..each.max(1));
        let other = rng.random_range(0..common.len().max(1));
        let place = self.find(prompt).or_else(|| common.get(other).copied());
        let on_subjects = |place: usize| Some(*self.lights.get(light)?.on_subjects.get(place)?);
        let mut setting = Setting {
            backdrop: None,
            place,
            light: place.and_then(on_subjects).unwrap_or([1.0; 3]),
            air: None,
            finish: None,
        };
        if let (Some(looks), Some(place)) = (looks, place)
            && each > 0
        {
            let painted = self.sizes[kind.unwrap_or(0)];
            let bytes = Self::look_bytes(painted, self.lights.len());
            let picture = looks.of(place * each + look, bytes);
            let name = &self.places[place].name;
            let picture = picture
                .ok_or_else(|| Error::Format(format!("its pictures of '{name}' are damaged")))?;
            let (depths, colours) = picture.split_at(Self::pixels(painted));
            let colours = colours[3 * depths.len() * light..].chunks_exact(3);
            let pixels = colours.zip(depths);
            let rgbd: Vec<u8> = pixels
                .flat_map(|(rgb, &depth)| [rgb[0], rgb[1], rgb[2], depth])
                .collect();
            let rgbd = match painted == size {
                true => rgbd,
                false => refit(&rgbd, painted, size),
            };
            setting.backdrop = Some(Backdrop::new(&rgbd, size));
        }
        Ok(setting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mini::layout::View;

    const SIZE: [usize; 2] = [64, 64];

    fn light(name: &str, level: f32) -> NamedLight {
        NamedLight {
            name: name.into(),
            phrases: vec![format!("at {name}")],
            on_subjects: vec![[level; 3]; 2],
        }
    }

    fn places() -> Vec<NamedPlace> {
        let place = |name: &str, phrases: &[&str], is_common| NamedPlace {
            name: name.into(),
            phrases: phrases.iter().map(|p| p.to_string()).collect(),
            is_common,
        };
        vec![
            place("sea", &["sea", "海面"], true),
            place("underwater", &["under the sea", "水下"], false),
        ]
    }

    /// Two looks of each place, 60 levels apart, by night 20 brighter.
    fn backdrops() -> Backdrops {
        let pixels = Backdrops::pixels(SIZE);
        let look = |i: u8| {
            let levels = [
                (128, pixels),
                (60 * i, 3 * pixels),
                (60 * i + 20, 3 * pixels),
            ];
            levels
                .into_iter()
                .flat_map(|(level, bytes)| vec![level; bytes])
                .collect()
        };
        let looks = Looks::new(&(0..4).map(look).collect::<Vec<Vec<u8>>>());
        let lights = vec![light("day", 1.0), light("night", 0.5)];
        Backdrops::new(places(), lights, vec![SIZE], vec![looks]).unwrap()
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let looks = || Looks::new(&vec![vec![0; 7]; 4]);
        let day = || light("day", 1.0);
        let short = NamedLight {
            on_subjects: vec![[1.0; 3]],
            ..day()
        };
        let wrong: [(Vec<NamedLight>, Vec<Looks>); 6] = [
            (vec![], vec![looks()]),
            (vec![day(); MOST_LIGHTS + 1], vec![looks()]),
            (vec![light("day", f32::NAN)], vec![looks()]),
            (vec![short], vec![looks()]),
            (vec![day()], vec![]),
            (vec![day()], vec![Looks::new(&vec![vec![0; 7]; 3])]),
        ];
        for (lights, looks) in wrong {
            assert!(Backdrops::new(places(), lights, vec![SIZE], looks).is_err());
        }
        // Looks of other sizes are found out when they are asked for.
        let damaged = Backdrops::new(places(), vec![day()], vec![SIZE], vec![looks()]).unwrap();
        assert!(damaged.choose("the sea", None, SIZE, 0).is_err());
    }

    #[test]
    fn lights_are_named_and_seen() {
        let backdrops = backdrops();
        assert_eq!(backdrops.find_light("the sea at night"), Some(1));
        assert_eq!(backdrops.find_light("at night, and at day"), Some(1));
        assert_eq!(backdrops.find_light("at day"), Some(0));
        assert_eq!(backdrops.find_light("the sea"), None);
        for (light, level) in [(None, 60.0), (Some(0), 60.0), (Some(1), 80.0)] {
            let setting = backdrops.choose("the sea", light, SIZE, 3).unwrap();
            let backdrop = setting.backdrop.unwrap();
            let red = backdrop.draw(SIZE, &View::REST)[0][0];
            let seen = (red + 1.0) * 127.5;
            assert!(
                (seen % 60.0 - level % 60.0).abs() < 0.5,
                "{light:?}: {seen}"
            );
            assert_eq!(setting.light, [if level > 60.0 { 0.5 } else { 1.0 }; 3]);
        }
    }

    #[test]
    fn prompts_name_places() {
        let backdrops = backdrops();
        assert_eq!(backdrops.find("a fish under the sea"), Some(1));
        assert_eq!(
            backdrops.find("A boat at SEA, under the sea a fish"),
            Some(0)
        );
        assert_eq!(backdrops.find("一条鱼在水下"), Some(1));
        assert_eq!(backdrops.find("a season"), None);
    }

    #[test]
    fn seeds_choose_looks_and_common_places_where_none_is_named() {
        let backdrops = backdrops();
        let level = |prompt: &str, seed| {
            let setting = backdrops.choose(prompt, None, SIZE, seed).unwrap();
            let backdrop = setting.backdrop.unwrap();
            let red = backdrop.draw(SIZE, &View::REST)[0][0];
            ((red + 1.0) * 127.5 / 60.0).round() as u8
        };
        let levels = |prompt: &str| {
            let mut levels: Vec<u8> = (0..20).map(|seed| level(prompt, seed)).collect();
            assert_eq!(levels[3], level(prompt, 3));
            levels.sort();
            levels.dedup();
            levels
        };
        assert_eq!(levels("under the sea"), [2, 3]);
        assert_eq!(levels("anything"), [0, 1]);
        let setting = Backdrops::default().choose("the sea", None, SIZE, 0);
        let setting = setting.unwrap();
        assert!(setting.backdrop.is_none());
        assert_eq!(setting.light, [1.0; 3]);
    }

    #[test]
    fn frames_of_other_shapes_show_the_same_places() {
        let backdrops = backdrops();
        let red = |size| {
            let setting = backdrops.choose("the sea", None, size, 3).unwrap();
            let seen = setting.backdrop.unwrap().draw(size, &View::REST);
            assert_eq!(seen.len(), size[0] * size[1]);
            seen[0][0]
        };
        assert_eq!(red([128, 64]), red(SIZE));
        let sizes = vec![[176, 96], [128, 128], [96, 176]];
        let backdrops = Backdrops { sizes, ..backdrops };
        let painted = [[144, 112], [224, 96], [112, 144], [128, 128]].map(|s| backdrops.painted(s));
        assert_eq!(painted, [Some(0), Some(0), Some(2), Some(1)]);
    }
}
