//! Judges paths: what the subject and the camera do, by the rendered paths that are most alike.
//!
//! A path is what a clip follows, so a prompt that is not heard there is heard nowhere; and a path costs no pixels, so hundreds are
//! judged in seconds. Nearest neighbours suffice, since a path is a few hundred smooth numbers.

use kinora_data::{Aspect, Camera, Fact, Motion, Pack, Renderer, Rng, SceneSpec, Split, captions};
use kinora_models::ClipShape;
use kinora_models::mini::layout::{FRAME_VALUES, FrameLayout, PLACE_VALUES, VIEW_VALUES};
use kinora_models::mini::{DIRECTOR_FRAMES, Mini};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::corpus::{HELD_OUT_SEED, Window, even_scene};
use crate::evaluate::Accuracy;
use crate::staging::{Told, frames};

/// Neighbours that vote.
const NEIGHBOURS: usize = 5;
/// What of a place counts beside how it changes: a swimmer is at another height than a walker, but all start anywhere.
const START_WEIGHT: f32 = 0.3;
/// A hand shakes little; its size against that of other movements would hide it.
const SHAKE_WEIGHT: f32 = 4.0;
/// Scenes that the judge knows.
const EXAMPLES: usize = 6000;

/// How often paths do what their prompts say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathAccuracies {
    /// What the subject does.
    pub motion: Accuracy,
    /// What the camera does.
    pub camera: Accuracy,
    /// The same of the rendered paths of the prompts' scenes: the most that can be reached.
    pub rendered_motion: Accuracy,
    /// See [`rendered_motion`](Self::rendered_motion).
    pub rendered_camera: Accuracy,
}

/// A path in the eyes of the judge.
struct Features {
    motion: Vec<f32>,
    camera: Vec<f32>,
}

struct Example {
    features: Features,
    motion: Motion,
    camera: Camera,
}

/// Knows rendered paths.
struct PathJudge {
    examples: Vec<Example>,
    frames_per_latent: usize,
}

/// Asks `model` for the paths of `count` prompts of held-out combinations, short and long by turns, and judges what each prompt says.
///
/// # Errors
///
/// Paths that are not numbers.
pub(crate) fn measure(
    model: &Mini,
    pack: &Pack,
    count: usize,
    seed: u64,
) -> Result<PathAccuracies, Error> {
    let frames_per_latent = model.config().autoencoder.patch_frames;
    let judge = PathJudge::new(pack, EXAMPLES, seed, frames_per_latent);
    let renderer = Renderer::new(pack);
    let mut found = PathAccuracies::default();
    for index in 0..count as u64 {
        let seed = (seed ^ HELD_OUT_SEED).wrapping_add(index);
        let spec = lone_scene(seed, pack, Split::HeldOut);
        let told = captions(&spec, pack, seed);
        let (short, long) = (told.short_en, told.long_en);
        let (width, height) = spec.aspect.native_size();
        let clip = ClipShape {
            size: [width, height],
            latent_frames: DIRECTOR_FRAMES,
            seed,
        };
        let wanted = if index.is_multiple_of(2) {
            &short
        } else {
            &long
        };
        let (caption, path) = match model.direct(&wanted.text, clip) {
            // A tokenizer of few words takes many tokens to say everything.
            Err(kinora_models::Error::PromptLength { .. }) => {
                (&short, model.direct(&short.text, clip)?)
            }
            path => (wanted, path?),
        };
        let made = judge.judge(&path);
        let real = judge.judge(&rendered(&renderer, &spec, frames_per_latent));
        if caption.facts.contains(&Fact::Motion) {
            found.motion.count(made.0 == spec.motion);
            found.rendered_motion.count(real.0 == spec.motion);
        }
        if caption.facts.contains(&Fact::Camera) {
            found.camera.count(made.1 == spec.camera);
            found.rendered_camera.count(real.1 == spec.camera);
        }
    }
    Ok(found)
}

/// An [even scene](even_scene) of one subject.
fn lone_scene(seed: u64, pack: &Pack, split: Split) -> SceneSpec {
    let mut rng = Rng::new(seed);
    loop {
        let spec = even_scene(rng.next_u64(), pack, split);
        if spec.companion.is_none() {
            return SceneSpec {
                aspect: Aspect::Wide,
                ..spec
            };
        }
    }
}

/// The rendered path of a scene from its beginning.
fn rendered(
    renderer: &Renderer<'_>,
    spec: &SceneSpec,
    frames_per_latent: usize,
) -> Vec<FrameLayout> {
    let (width, height) = spec.aspect.native_size();
    let window = Window {
        first: 0,
        latent_frames: DIRECTOR_FRAMES,
        width,
        height,
    };
    let told = Told {
        renderer,
        spec,
        slots: &[spec.subject],
    };
    frames(told, window, frames_per_latent)
}

impl PathJudge {
    /// A judge who has seen `count` scenes of `pack`.
    fn new(pack: &Pack, count: usize, seed: u64, frames_per_latent: usize) -> Self {
        let renderer = Renderer::new(pack);
        let example = |index: usize| {
            let spec = lone_scene(seed.wrapping_add(index as u64), pack, Split::Train);
            Example {
                features: features(
                    &rendered(&renderer, &spec, frames_per_latent),
                    frames_per_latent,
                ),
                motion: spec.motion,
                camera: spec.camera,
            }
        };
        Self {
            examples: (0..count).map(example).collect(),
            frames_per_latent,
        }
    }

    /// What the subject and the camera do on a path of [`DIRECTOR_FRAMES`] latent frames.
    fn judge(&self, path: &[FrameLayout]) -> (Motion, Camera) {
        let seen = features(path, self.frames_per_latent);
        let motion = self.vote(|example| distance(&example.features.motion, &seen.motion));
        let camera = self.vote(|example| distance(&example.features.camera, &seen.camera));
        (
            most(motion.iter().map(|example| example.motion)),
            most(camera.iter().map(|example| example.camera)),
        )
    }

    /// The nearest examples, from the nearest on.
    fn vote(&self, distance: impl Fn(&Example) -> f32) -> Vec<&Example> {
        let mut near: Vec<(f32, &Example)> = self
            .examples
            .iter()
            .map(|example| (distance(example), example))
            .collect();
        near.sort_by(|a, b| a.0.total_cmp(&b.0));
        near.into_iter()
            .take(NEIGHBOURS)
            .map(|(_, example)| example)
            .collect()
    }
}

/// What is there most often; of equals, what is nearest.
fn most<T: PartialEq + Copy>(votes: impl Iterator<Item = T>) -> T {
    let votes: Vec<T> = votes.collect();
    let count = |vote: &T| votes.iter().filter(|other| *other == vote).count();
    let highest = votes.iter().map(count).max().unwrap_or(0);
    let first = votes.iter().find(|vote| count(vote) == highest);
    *first.expect("a judge knows examples")
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
}

fn features(path: &[FrameLayout], frames_per_latent: usize) -> Features {
    let values: Vec<Vec<f32>> = path
        .iter()
        .skip(frames_per_latent - 1)
        .step_by(frames_per_latent)
        .map(|frame| {
            let mut values = Vec::with_capacity(FRAME_VALUES);
            frame.push_values(&mut values);
            values
        })
        .collect();
    let view = |frame: &[f32]| frame[FRAME_VALUES - VIEW_VALUES..].to_vec();
    let first = &values[0];
    let mut motion: Vec<f32> = first[..PLACE_VALUES]
        .iter()
        .map(|value| value * START_WEIGHT * (DIRECTOR_FRAMES as f32).sqrt())
        .collect();
    let mut camera = Vec::new();
    for frame in &values {
        let changes = frame.iter().zip(first).map(|(now, then)| now - then);
        let changes: Vec<f32> = changes.collect();
        motion.extend(&changes[..PLACE_VALUES]);
        // A subject that grows because the camera comes nearer does not come nearer.
        motion.extend(view(&changes));
        camera.extend(view(frame));
    }
    for pair in values.windows(2) {
        let steps = view(&pair[1]).into_iter().zip(view(&pair[0]));
        camera.extend(steps.map(|(now, then)| (now - then) * SHAKE_WEIGHT));
    }
    Features { motion, camera }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rendered_paths_are_told_apart() {
        let pack = Pack::sample();
        let renderer = Renderer::new(&pack);
        let judge = PathJudge::new(&pack, 1500, 3, 4);
        let (mut motions, mut cameras) = (0, 0);
        for seed in 0..100 {
            let spec = lone_scene(1 << 40 | seed, &pack, Split::Train);
            let (motion, camera) = judge.judge(&rendered(&renderer, &spec, 4));
            motions += usize::from(motion == spec.motion);
            cameras += usize::from(camera == spec.camera);
        }
        assert!(motions >= 75, "{motions} of 100 motions");
        assert!(cameras >= 90, "{cameras} of 100 cameras");
    }
}
