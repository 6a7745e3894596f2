//! The places that the model knows by name, and looks of each.

use std::ops::Range;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::backdrop::{Backdrop, backdrop_size};
use super::phrases::Phrases;
use super::text::normalise;

/// Keeps the choice of a look apart from what else is drawn from a seed.
const LOOK_STREAM: u64 = 1 << 41;

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

/// Places with their looks.
#[derive(Debug, Clone, Default)]
pub struct Backdrops {
    places: Vec<NamedPlace>,
    looks: usize,
    sizes: Vec<[usize; 2]>,
    pictures: Vec<Vec<u8>>,
    named: Phrases<usize>,
}

impl Backdrops {
    /// `pictures` hold, for each of the frame `sizes`, `looks` [backdrops](Backdrop::new) of each place after another.
    ///
    /// # Panics
    ///
    /// If they are more or fewer.
    pub fn new(
        places: Vec<NamedPlace>,
        looks: usize,
        sizes: Vec<[usize; 2]>,
        pictures: Vec<Vec<u8>>,
    ) -> Self {
        assert_eq!(sizes.len(), pictures.len(), "pictures for each size");
        for (size, pictures) in sizes.iter().zip(&pictures) {
            let bytes: usize = Self::shape(places.len(), looks, *size).iter().product();
            assert_eq!(pictures.len(), bytes, "one picture for each look");
        }
        let mut named = Phrases::default();
        for (id, place) in places.iter().enumerate() {
            for phrase in place
                .phrases
                .iter()
                .filter(|said| !normalise(said).is_empty())
            {
                named.entry(phrase, id);
            }
        }
        Self {
            places,
            looks,
            sizes,
            pictures,
            named,
        }
    }

    /// Shape of the pictures for one size: places, looks, rows, columns, and red, green, blue and depth.
    pub fn shape(places: usize, looks: usize, size: [usize; 2]) -> [usize; 5] {
        let [inner, height, margin] = backdrop_size(size);
        [places, looks, height, inner + 2 * margin, 4]
    }

    /// Every place, in order of its id.
    pub fn places(&self) -> &[NamedPlace] {
        &self.places
    }

    /// Looks of each place.
    pub fn looks(&self) -> usize {
        self.looks
    }

    /// Bytes for each size, in the order of the sizes.
    pub fn pictures(&self) -> &[Vec<u8>] {
        &self.pictures
    }

    /// The place that `prompt` names first.
    pub fn find(&self, prompt: &str) -> Option<usize> {
        self.named.matches(prompt).first().map(|&&id| id)
    }

    /// Where `prompt` names places, in characters of its [normalised](normalise) form.
    pub(super) fn mentions(&self, prompt: &str) -> Vec<Range<usize>> {
        self.named.places(prompt)
    }

    /// What stands behind a clip of `prompt`: a look of the place that it names or, where it names none, of one that
    /// suits many. `None` where there are no backdrops for this size.
    pub(super) fn choose(&self, prompt: &str, size: [usize; 2], seed: u64) -> Option<Backdrop> {
        let kind = self.sizes.iter().position(|known| *known == size)?;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(LOOK_STREAM);
        let common: Vec<usize> = (0..self.places.len())
            .filter(|&id| self.places[id].is_common)
            .collect();
        let look = rng.random_range(0..self.looks.max(1));
        let other = rng.random_range(0..common.len().max(1));
        let place = self.find(prompt).or_else(|| common.get(other).copied())?;
        let bytes: usize = Self::shape(1, 1, size).iter().product();
        let picture = self.pictures[kind]
            .chunks_exact(bytes)
            .nth(place * self.looks + look)?;
        Some(Backdrop::new(picture, size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: [usize; 2] = [64, 64];

    fn backdrops() -> Backdrops {
        let place = |name: &str, phrases: &[&str], is_common| NamedPlace {
            name: name.into(),
            phrases: phrases.iter().map(|p| p.to_string()).collect(),
            is_common,
        };
        let places = vec![
            place("sea", &["sea", "海面"], true),
            place("underwater", &["under the sea", "水下"], false),
        ];
        let looks = 2;
        let bytes: usize = Backdrops::shape(1, 1, SIZE).iter().product();
        let pictures = (0..4u8).flat_map(|i| vec![60 * i; bytes]).collect();
        Backdrops::new(places, looks, vec![SIZE], vec![pictures])
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
            let backdrop = backdrops.choose(prompt, SIZE, seed).unwrap();
            let red = backdrop.draw(SIZE, &crate::mini::layout::View::REST)[0][0];
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
        assert!(backdrops.choose("the sea", [128, 64], 0).is_none());
        assert!(Backdrops::default().choose("the sea", SIZE, 0).is_none());
    }
}
