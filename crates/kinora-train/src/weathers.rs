//! What the weathers are called, and what falls or drifts in them.

use kinora_data::{Background, Weather, air_loop};
use kinora_models::mini::air::{NamedWeather, Weathers};
use kinora_models::mini::looks::Looks;

use crate::corpus::FRAMES_PER_SECOND;
use crate::places;

/// What is seen, and the part of its brightness that it has in any light, by how it is drawn.
const SEEN: [(Weather, f32); 4] = [
    (Weather::Rain, 0.62),
    (Weather::Snow, 0.47),
    (Weather::Fog, 0.42),
    (Weather::Leaves, 0.0),
];
/// Four seconds.
const FRAMES: usize = 4 * FRAMES_PER_SECOND;
/// Keeps the loops apart from the weather of training scenes.
const SEED: u64 = 0x5EA_501;

/// The weathers of a model that makes frames of `sizes`.
pub(crate) fn weathers(sizes: &[[usize; 2]]) -> Weathers {
    let sizes = places::painted(sizes);
    let side = |axis: usize| sizes.iter().map(|size| size[axis]).max().unwrap_or(1);
    let size = [side(0), side(1)];
    // As large as where frames are widest: drops are counted in sides of the smaller edge.
    let edges = sizes.iter().map(|size| size[0].min(size[1]));
    let unit = edges.min().unwrap_or(1);
    let loops = SEEN.map(|(weather, _)| {
        let frames = air_loop(
            weather,
            size,
            unit,
            (FRAMES, FRAMES_PER_SECOND as f32),
            SEED,
        );
        Weathers::planes(&frames)
    });
    let named = SEEN.map(|(weather, shine)| NamedWeather {
        name: weather.name().to_owned(),
        phrases: weather
            .words()
            .iter()
            .map(|word| (*word).to_owned())
            .collect(),
        reaches: Background::ALL
            .iter()
            .map(|&place| weather.weight(place) > 0.0)
            .collect(),
        shine,
    });
    Weathers::new(named.to_vec(), size, FRAMES, Looks::new(&loops))
        .expect("they are made for each other")
}
