//! What the places are called, in which lights they are seen, and how they look.

use kinora_data::{
    Aspect, BackdropSize, Background, Pack, SceneSpec, Split, TimeOfDay, Weather, backdrop,
    subject_light,
};
use kinora_models::mini::backdrop::backdrop_size;
use kinora_models::mini::backdrops::{Backdrops, NamedLight, NamedPlace};
use kinora_models::mini::looks::Looks;

/// Looks of each place that a model carries. Training sees each scene's own.
const LOOKS: usize = 4;
/// Keeps the looks apart from those of training scenes.
const LOOK_SEED: u64 = 0xBAC_D80B;
/// The lights that plates are drawn in. Of several that a prompt names the last is meant: what falls by night is hardly seen in its light.
const LIGHTS: [(TimeOfDay, Weather); 7] = [
    DAYLIGHT,
    (TimeOfDay::Day, Weather::Rain),
    (TimeOfDay::Day, Weather::Snow),
    (TimeOfDay::Day, Weather::Fog),
    (TimeOfDay::Dawn, Weather::Clear),
    (TimeOfDay::Sunset, Weather::Clear),
    (TimeOfDay::Night, Weather::Clear),
];
const DAYLIGHT: (TimeOfDay, Weather) = (TimeOfDay::Day, Weather::Clear);

/// Shapes that are shown by the pictures of others.
const NOT_PAINTED: [Aspect; 3] = [Aspect::Standard, Aspect::Portrait, Aspect::Ultrawide];

/// Those of the sizes for which pictures are made.
pub(crate) fn painted(sizes: &[[usize; 2]]) -> Vec<[usize; 2]> {
    let others = NOT_PAINTED.map(|aspect| <[usize; 2]>::from(aspect.native_size()));
    let painted = |size: &&[usize; 2]| !others.contains(size);
    sizes.iter().filter(painted).copied().collect()
}

/// The places of a model that makes frames of `sizes`, those that are painted first.
pub(crate) fn backdrops(pack: &Pack, sizes: &[[usize; 2]]) -> Backdrops {
    let sizes = painted(sizes);
    let places: Vec<NamedPlace> = Background::ALL.iter().map(|&place| named(place)).collect();
    let looks = sizes.iter().map(|&size| {
        let looks = |&place: &Background| {
            let specs = (0..LOOKS as u64).map(move |look| scene(pack, place, size, look));
            specs.map(move |spec| look(&spec, size))
        };
        let looks: Vec<Vec<u8>> = Background::ALL.iter().flat_map(looks).collect();
        Looks::new(&looks)
    });
    let looks = looks.collect();
    let lights = LIGHTS.map(|light| named_light(light, pack)).to_vec();
    Backdrops::new(places, lights, sizes, looks).expect("they are made for each other")
}

/// A scene in the light that its plate shows: that of its time of day and, by day, of its weather.
pub(crate) fn lit(spec: &SceneSpec) -> SceneSpec {
    let own = match spec.time {
        TimeOfDay::Day => (spec.time, spec.weather),
        _ => (spec.time, Weather::Clear),
    };
    let known = LIGHTS.into_iter().find(|light| *light == own);
    in_light(spec, known.unwrap_or(DAYLIGHT))
}

/// The same by day.
pub(crate) fn in_daylight(spec: &SceneSpec) -> SceneSpec {
    in_light(spec, DAYLIGHT)
}

/// Places where a time or a weather is not seen have daylight, and clear air.
fn in_light(spec: &SceneSpec, (time, weather): (TimeOfDay, Weather)) -> SceneSpec {
    let mut spec = spec.clone();
    (spec.time, spec.weather) = DAYLIGHT;
    if time.weight(spec.background) > 0.0 {
        spec.time = time;
    }
    if weather.weight(spec.background) > 0.0 {
        spec.weather = weather;
    }
    spec
}

/// The place of a scene in its light, for frames of `frame` pixels, as a [`kinora_models::mini::backdrop::Backdrop`] takes it.
pub(crate) fn picture(spec: &SceneSpec, frame: [usize; 2]) -> Vec<u8> {
    let [width, height, margin] = backdrop_size(frame);
    let size = BackdropSize {
        width,
        height,
        margin,
    };
    backdrop(spec, size).expect("backdrops are far smaller than what can be painted")
}

/// The place of a scene in each light, as [`Looks`] take it.
fn look(spec: &SceneSpec, frame: [usize; 2]) -> Vec<u8> {
    let pictures = LIGHTS.map(|light| picture(&in_light(spec, light), frame));
    let depths = pictures[0].chunks_exact(4).map(|pixel| pixel[3]);
    let colours = pictures.iter().flat_map(|picture| picture.chunks_exact(4));
    let colours = colours.flat_map(|pixel| &pixel[..3]).copied();
    depths.chain(colours).collect()
}

fn named_light(light: (TimeOfDay, Weather), pack: &Pack) -> NamedLight {
    let (time, weather) = light;
    let said = match weather {
        Weather::Clear => (time.name(), time.words()),
        _ => (weather.name(), weather.words()),
    };
    // A subject's light is the same in all of a place's looks.
    let falls = |&place: &Background| {
        let spec = scene(pack, place, Aspect::Wide.native_size().into(), 0);
        subject_light(&in_light(&spec, light))
    };
    NamedLight {
        name: said.0.to_owned(),
        phrases: said.1.iter().map(|word| (*word).to_owned()).collect(),
        on_subjects: Background::ALL.iter().map(falls).collect(),
    }
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
    fn captions_that_say_a_light_name_it_and_others_name_none() {
        let pack = Pack::sample();
        let backdrops = backdrops(&pack, &[[32, 32]]);
        let lexicon = crate::lexicon::lexicon(&pack);
        let (mut said, mut found, mut wrong, mut other) = (0, 0, 0, 0);
        for seed in 0..600 {
            let spec = crate::corpus::even_scene(seed, &pack, Split::Train);
            let shown = lit(&spec);
            let own = LIGHTS
                .iter()
                .position(|it| *it == (shown.time, shown.weather));
            let told = captions(&spec, &pack, seed);
            for caption in [told.short_en, told.long_en, told.short_zh, told.long_zh] {
                let light = backdrops.find_light(&lexicon.rest(&caption.text));
                let tells = |fact| caption.facts.contains(&fact);
                let is_told = (tells(Fact::Time) || spec.time == TimeOfDay::Day)
                    && (tells(Fact::Weather)
                        || matches!(spec.weather, Weather::Clear | Weather::Leaves));
                if is_told {
                    said += 1;
                    found += usize::from(light.or(Some(0)) == own);
                } else if !tells(Fact::Time) && !tells(Fact::Weather) {
                    other += 1;
                    wrong += usize::from(light.is_some());
                }
            }
        }
        assert!(found * 100 >= said * 97, "{found} of {said}");
        assert!(
            wrong * 50 <= other,
            "{wrong} lights that nobody named of {other}"
        );
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
