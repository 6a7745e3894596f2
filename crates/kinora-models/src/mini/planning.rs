//! Settles a clip before its first window is sampled: where its camera and subjects go, and what is shown there.

use burn::tensor::Tensor;
use kinora_style::Style;

use super::backdrops::Setting;
use super::camera::Camera;
use super::director::{Direction, direct};
use super::layout::{FrameLayout, View};
use super::model::Mini;
use super::plate::Figure;
use super::stage::{Shown, Stage};
use super::styles::Finish;
use super::text::tokenize;
use crate::{ClipShape, Error, Known, Origin};

/// Where a path has come from.
#[derive(Default, Clone, Copy)]
pub(super) struct Past<'a> {
    /// Whole latent frames, directly before the path.
    pub(super) frames: &'a [FrameLayout],
    /// Latent frames of the scene before them.
    pub(super) since: usize,
}

/// What a prompt says of light, weather and style.
#[derive(Clone, Copy)]
pub(super) struct Conditions {
    pub(super) light: Option<usize>,
    pub(super) weather: Option<usize>,
    style: Option<Style>,
}

impl Conditions {
    /// What is said here or, where nothing is, there.
    pub(super) fn or(self, there: Self) -> Self {
        Self {
            light: self.light.or(there.light),
            weather: self.weather.or(there.weather),
            style: self.style.or(there.style),
        }
    }

    /// What is said here and not there.
    pub(super) fn but(self, there: Self) -> Self {
        fn other<T: PartialEq>(here: Option<T>, there: Option<T>) -> Option<T> {
            here.filter(|here| there.as_ref() != Some(here))
        }
        Self {
            light: other(self.light, there.light),
            weather: other(self.weather, there.weather),
            style: other(self.style, there.style),
        }
    }
}

impl Mini {
    /// Where the camera and the subjects that the prompt names are in a clip of its own: each frame of each latent frame.
    ///
    /// # Errors
    ///
    /// A prompt that is too long, and [`Error::NotANumber`].
    pub fn direct(&self, prompt: &str, clip: ClipShape) -> Result<Vec<FrameLayout>, Error> {
        self.path(prompt, clip, self.cast(prompt).len(), Past::default())
    }

    /// What the denoiser is shown of a clip. What goes on from a clip of the model's own goes on along its paths, with its
    /// subjects and its place; beside other known frames these are shown.
    ///
    /// # Errors
    ///
    /// A prompt that is too long, and [`Error::NotANumber`].
    pub(super) fn settle(
        &self,
        prompt: &str,
        clip: ClipShape,
        known: Known<'_>,
    ) -> Result<Stage, Error> {
        let size = self.plate_size(clip.size);
        if let (Some(origin), true) = (known.origin, known.changes) {
            return self.settle_change(prompt, clip, origin);
        }
        if let Some(origin) = known.origin
            && self.stays(origin, prompt)
        {
            let cast = self.cast(&origin.prompt);
            let mut path = self.path_from(origin, prompt, clip, (known.beside, cast.len()))?;
            self.animate(&mut path, &cast, origin.first_frame);
            let conditions = self.conditions(prompt).or(self.conditions(&origin.prompt));
            let (setting, figures) =
                self.named((&origin.prompt, &cast), conditions, clip.size, origin.seed)?;
            return Ok(Stage::new(Shown::Named { setting, figures }, path, size));
        }
        if !known.beside.is_empty() {
            return self.settle_given(prompt, clip, known);
        }
        let cast = self.cast(prompt);
        let mut path = self.path(prompt, clip, cast.len(), Past::default())?;
        self.animate(&mut path, &cast, 0);
        let conditions = self.conditions(prompt);
        let (setting, figures) = self.named((prompt, &cast), conditions, clip.size, clip.seed)?;
        Ok(Stage::new(Shown::Named { setting, figures }, path, size))
    }

    pub(super) fn path(
        &self,
        prompt: &str,
        clip: ClipShape,
        subjects: usize,
        past: Past<'_>,
    ) -> Result<Vec<FrameLayout>, Error> {
        let director = &self.networks().director;
        // The director knows no tilt.
        let before = past.frames.last().map(|frame| frame.view);
        let mut known = past.frames.to_vec();
        for frame in &mut known {
            let view = View {
                tilt: 0.0,
                ..frame.view
            };
            frame.see_with(view, clip.size);
        }
        let tokens = tokenize(
            self.tokenizer(),
            &self.config().director.text,
            &[prompt, ""],
        )?;
        let contexts = director.text.forward(&tokens, self.device());
        let contexts = director.paths.prepare(&contexts);
        let direction = Direction {
            subjects,
            clip,
            frames_per_latent: self.config().autoencoder.patch_frames,
            frames_per_second: self.config().frames_per_second,
            before: &known,
            since: past.since,
        };
        let mut path = direct(&director.paths, &contexts, &direction, self.device())?;
        let secs = 1.0 / self.config().frames_per_second as f32;
        Camera::said(prompt).follow(&mut path, before, clip.size, secs);
        Ok(path)
    }

    /// The named subjects before the named place, in a light, a weather and a style.
    pub(super) fn named(
        &self,
        (prompt, cast): (&str, &[usize]),
        Conditions {
            light,
            weather,
            style,
        }: Conditions,
        size: [usize; 2],
        seed: u64,
    ) -> Result<(Setting, Vec<Figure>), Error> {
        let figures: Result<Vec<Figure>, Error> = cast
            .iter()
            .map(|&entry| self.lexicon().figure(entry))
            .collect();
        let elsewhere = self.lexicon().rest(prompt);
        let mut setting = self.backdrops().choose(&elsewhere, light, size, seed)?;
        if let Some(weather) = weather {
            let Setting { place, light, .. } = setting;
            setting.air = self.weathers().over(weather, place, size, light)?;
        }
        setting.finish = style.map(|style| Finish { style, seed });
        Ok((setting, figures?))
    }

    /// The light, the weather and the style that a prompt names.
    pub(super) fn conditions(&self, prompt: &str) -> Conditions {
        let elsewhere = self.lexicon().rest(prompt);
        Conditions {
            light: self.backdrops().find_light(&elsewhere),
            weather: self.weathers().find(&elsewhere),
            style: self.styles().find(&elsewhere),
        }
    }

    /// Lets subjects and air move as their pictures do, on a path that begins with this frame of a clip.
    pub(super) fn animate(&self, path: &mut [FrameLayout], cast: &[usize], first_frame: usize) {
        let stride = self.config().autoencoder.patch_frames;
        for (i, layout) in path.iter_mut().enumerate() {
            // The first latent frame shows one frame alone.
            let frame = first_frame + (i + 1).saturating_sub(stride);
            self.animate_frame(layout, cast, frame);
        }
    }

    pub(super) fn animate_frame(&self, layout: &mut FrameLayout, cast: &[usize], frame: usize) {
        let secs = frame as f32 / self.config().frames_per_second as f32;
        layout.moment = frame;
        for (place, &entry) in layout.places.iter_mut().zip(cast) {
            if let Some(place) = place {
                place.frame = self.lexicon().entries()[entry].animation.frame_at(secs);
            }
        }
    }

    /// Whether a prompt names neither other subjects nor another place than the clip that it goes on from.
    fn stays(&self, origin: &Origin, prompt: &str) -> bool {
        let subjects = self.lexicon().find(prompt);
        let same_subjects = subjects.is_empty() || subjects == self.lexicon().find(&origin.prompt);
        same_subjects && self.stays_at(origin, prompt)
    }

    /// Whether a prompt names no other place.
    pub(super) fn stays_at(&self, origin: &Origin, prompt: &str) -> bool {
        let place = |text: &str| self.backdrops().find(&self.lexicon().rest(text));
        place(prompt).is_none_or(|named| place(&origin.prompt) == Some(named))
    }

    /// The paths of the clip that it goes on from, cut where this clip begins. Behind the last known frame another prompt
    /// settles how they go on.
    pub(super) fn path_from(
        &self,
        origin: &Origin,
        prompt: &str,
        clip: ClipShape,
        (beside, subjects): (&[(usize, Tensor<5>)], usize),
    ) -> Result<Vec<FrameLayout>, Error> {
        let stride = self.config().autoencoder.patch_frames;
        let last_frame = origin.first_frame + (clip.latent_frames - 1) * stride;
        let whole = ClipShape {
            latent_frames: 1 + last_frame.div_ceil(stride),
            seed: origin.seed,
            ..clip
        };
        let scene = self.path(&origin.prompt, whole, subjects, Past::default())?;
        let mut path = cut(&scene, origin.first_frame, clip.latent_frames, stride);
        if let [(last, _)] = beside
            && prompt != origin.prompt
            && *last + 1 < clip.latent_frames
            && *last > 0
        {
            // The scene up to the last known frame, in whole latent frames that end with it.
            let seen = stride + origin.first_frame + last * stride;
            let past = Past {
                frames: &scene[seen % stride..seen],
                since: 0,
            };
            let rest = ClipShape {
                latent_frames: clip.latent_frames - last - 1,
                ..clip
            };
            path.truncate((last + 1) * stride);
            path.extend(self.path(prompt, rest, subjects, past)?);
        }
        Ok(path)
    }
}

/// `latent_frames` of a scene's path from frame `first` on: as in every clip, the first of them shows one frame alone.
fn cut(
    scene: &[FrameLayout],
    first: usize,
    latent_frames: usize,
    stride: usize,
) -> Vec<FrameLayout> {
    // The scene's first latent frame also shows its frame 0 alone.
    let place = |frame: usize| stride - 1 + first + frame;
    (0..latent_frames * stride)
        .map(|i| scene[place((i + 1).saturating_sub(stride))])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_path_shows_the_frames_that_the_clip_shows() {
        let numbered = |i: usize| FrameLayout {
            places: [None, None],
            view: View {
                // The frame that it is of: four times 0, then on.
                orbit: i.saturating_sub(3) as f32,
                ..View::REST
            },
            moment: 0,
        };
        let scene: Vec<FrameLayout> = (0..40).map(numbered).collect();
        let seen = |first: usize| -> Vec<f32> {
            let path = cut(&scene, first, 3, 4);
            path.iter().map(|frame| frame.view.orbit).collect()
        };
        let from = |first: f32| {
            let later = (1..=8).map(|frame| first + frame as f32);
            [first; 4].into_iter().chain(later).collect::<Vec<f32>>()
        };
        assert_eq!(seen(0), from(0.0));
        assert_eq!(seen(6), from(6.0));
    }
}
