//! What the places are called, and how they look.

use kinora_data::{Aspect, BackdropSize, Background, Pack, SceneSpec, Split, backdrop};
use kinora_models::mini::backdrop::backdrop_size;
use kinora_models::mini::backdrops::{Backdrops, NamedPlace};

/// Looks of each place that a model carries. Training sees each scene's own.
const LOOKS: usize = 4;
/// Keeps the looks apart from those of training scenes.
const LOOK_SEED: u64 = 0xBAC_D80B;

/// The places of a model that makes frames of `sizes`.
pub(crate) fn backdrops(pack: &Pack, sizes: &[[usize; 2]]) -> Backdrops {
    let places = Background::ALL.iter().map(|&place| named(place)).collect();
    let pictures = sizes.iter().map(|&size| {
        let looks = |&place: &Background| {
            let specs = (0..LOOKS as u64).map(move |look| scene(pack, place, size, look));
            specs.flat_map(move |spec| picture(&spec, size))
        };
        Background::ALL.iter().flat_map(looks).collect()
    });
    let pictures = pictures.collect();
    Backdrops::new(places, LOOKS, sizes.to_vec(), pictures)
}

/// The place of a scene for frames of `frame` pixels, as a [`kinora_models::mini::backdrop::Backdrop`] takes it.
pub(crate) fn picture(spec: &SceneSpec, frame: [usize; 2]) -> Vec<u8> {
    let [width, height, margin] = backdrop_size(frame);
    let size = BackdropSize {
        width,
        height,
        margin,
    };
    backdrop(spec, size).expect("backdrops are far smaller than what can be painted")
}

fn named(place: Background) -> NamedPlace {
    NamedPlace {
        name: place.name().to_owned(),
        phrases: place
            .words()
            .iter()
            .map(|word| (*word).to_owned())
            .collect(),
        is_common: matches!(
            place,
            Background::Meadow
                | Background::Beach
                | Background::Forest
                | Background::Mountains
                | Background::City
                | Background::Room
        ),
    }
}

fn scene(pack: &Pack, place: Background, size: [usize; 2], look: u64) -> SceneSpec {
    let seed = LOOK_SEED + look * Background::ALL.len() as u64 + place.index() as u64;
    let spec = SceneSpec::sample(seed, pack, Split::Train);
    let aspect = Aspect::ALL.iter().copied();
    let mut same = aspect.filter(|aspect| aspect.native_size() == (size[0], size[1]));
    SceneSpec {
        background: place,
        aspect: same.next().unwrap_or(spec.aspect),
        ..spec
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kinora_data::{Fact, captions};

    #[test]
    fn captions_that_say_a_place_name_it_and_others_name_none() {
        let pack = Pack::sample();
        let backdrops = backdrops(&pack, &[[32, 32]]);
        let lexicon = crate::lexicon::lexicon(&pack);
        let (mut said, mut found, mut wrong) = (0, 0, 0);
        for seed in 0..400 {
            let spec = SceneSpec::sample(seed, &pack, Split::Train);
            let told = captions(&spec, &pack, seed);
            for caption in [told.short_en, told.long_en, told.short_zh, told.long_zh] {
                let place = backdrops.find(&lexicon.rest(&caption.text));
                if caption.facts.contains(&Fact::Background) {
                    said += 1;
                    found += usize::from(place == Some(spec.background.index()));
                } else {
                    wrong += usize::from(place.is_some());
                }
            }
        }
        assert!(found * 100 >= said * 97, "{found} of {said}");
        assert!(wrong * 50 <= said, "{wrong} places that nobody named");
    }

    #[test]
    fn words_name_one_place() {
        let backdrops = backdrops(&Pack::sample(), &[[32, 32]]);
        for place in Background::ALL {
            for word in place.words() {
                let text = format!("a koala, {word}");
                assert_eq!(backdrops.find(&text), Some(place.index()), "{word}");
            }
        }
    }
}
