//! Settles what is shown of a clip that is changed: as a whole along its own paths, or frame by frame as it is seen.

use std::collections::BTreeMap;

use super::layout::FrameLayout;
use super::model::Mini;
use super::region::{Around, Filling, Ground, Standing};
use super::stage::{Shown, Stage};
use crate::weights::floats;
use crate::{Changed, ClipShape, Error, Origin};

impl Mini {
    /// What the denoiser is shown of a changed clip of the model's own: camera and subjects go where they went, as what the prompt names, in
    /// the place and the light that it names; what it leaves open stays.
    pub(super) fn settle_change(
        &self,
        prompt: &str,
        clip: ClipShape,
        origin: &Origin,
    ) -> Result<Stage, Error> {
        let before = self.cast(&origin.prompt);
        let cast = match self.lexicon().find(prompt).is_empty() {
            true => before.clone(),
            false => self.cast(prompt),
        };
        let of = |subjects| self.path_from(origin, &origin.prompt, clip, (&[], subjects));
        let mut path = of(before.len())?;
        if cast.len() > before.len() {
            // For more than there were the same sentence settles more places.
            for (layout, more) in path.iter_mut().zip(of(cast.len())?) {
                layout.places[before.len()..].copy_from_slice(&more.places[before.len()..]);
            }
        }
        for layout in &mut path {
            layout.places[cast.len()..].fill(None);
        }
        self.animate(&mut path, &cast, origin.first_frame);
        let conditions = self.conditions(prompt).or(self.conditions(&origin.prompt));
        let (said, seed) = match self.stays_at(origin, prompt) {
            true => (&*origin.prompt, origin.seed),
            false => (prompt, clip.seed),
        };
        let (setting, figures) = self.named((said, &cast), conditions, clip.size, seed)?;
        let shown = Shown::Named { setting, figures };
        Ok(Stage::new(shown, path, self.plate_size(clip.size)))
    }

    /// What the denoiser is shown of a clip of which regions are made anew, once they are [seen](Self::see_change). In a clip of the model's
    /// own its place goes on in them, without its subjects.
    ///
    /// # Errors
    ///
    /// As [`settle`](Self::settle).
    pub(super) fn settle_seen(&self, changed: &Changed<'_>) -> Result<Stage, Error> {
        let Changed { prompt, clip, .. } = *changed;
        let cast = self.cast_of_region(prompt);
        let is_whole = changed.frames.iter().all(|frame| frame.made.is_none());
        let origin = changed.origin.filter(|_| !is_whole);
        let mut said = self.conditions(prompt);
        if let (Some(origin), true) = (changed.origin, is_whole) {
            // What is seen already is not laid over it again.
            said = said.but(self.conditions(&origin.prompt));
        }
        // The clip that it is cut from goes on in its own place, if no other is named.
        let stays = origin.filter(|origin| self.stays_at(origin, prompt));
        let (setting, figures) = match stays {
            Some(origin) => {
                let said = said.or(self.conditions(&origin.prompt));
                self.named((&origin.prompt, &cast), said, clip.size, origin.seed)?
            }
            None => self.named((prompt, &cast), said, clip.size, clip.seed)?,
        };
        let is_placed = stays.is_some() || self.names_place(prompt);
        let mut filling = Filling {
            path: vec![FrameLayout::at_rest(figures.len())],
            standing: Standing::InRegion,
            ground: Ground::Around,
            figures,
            light: setting.light,
            air: setting.air,
            finish: setting.finish,
        };
        match setting.backdrop.filter(|_| is_placed) {
            Some(backdrop) => filling.ground = Ground::Place(backdrop),
            // Wherever it is, it is no place that was drawn by a seed.
            None => {
                filling.light = self.backdrops().light_outdoors(said.light);
                filling.air = match said.weather {
                    Some(weather) => {
                        let weathers = self.weathers();
                        weathers.over(weather, None, clip.size, filling.light)?
                    }
                    None => None,
                };
            }
        }
        if let Some(origin) = origin {
            let subjects = self.cast(&origin.prompt).len();
            let path = self.path_from(origin, &origin.prompt, clip, (&[], subjects))?;
            let view = |layout: FrameLayout| FrameLayout {
                view: layout.view,
                ..filling.path[0]
            };
            filling.path = path.into_iter().map(view).collect();
        }
        let drawn = BTreeMap::new();
        let shown = Shown::Regions { filling, drawn };
        Ok(Stage::new(shown, Vec::new(), self.plate_size(clip.size)))
    }

    fn names_place(&self, prompt: &str) -> bool {
        let rest = self.lexicon().rest(prompt);
        self.backdrops().find(&rest).is_some()
    }

    /// Entries of the lexicon that stand in a region. Who names a place alone wants nothing before it.
    fn cast_of_region(&self, prompt: &str) -> Vec<usize> {
        match self.lexicon().find(prompt).is_empty() && self.names_place(prompt) {
            true => Vec::new(),
            false => self.cast(prompt),
        }
    }

    /// Draws what the denoiser is shown of a latent frame.
    pub(super) fn see_change(&self, stage: &mut Stage, changed: &Changed<'_>) {
        let Some(last) = changed.frames.len().checked_sub(1) else {
            return;
        };
        let stride = self.config().autoencoder.patch_frames;
        let cast = self.cast_of_region(changed.prompt);
        let first = changed.origin.map_or(0, |origin| origin.first_frame);
        let number = |i: usize| (changed.latent_frame * stride + i + 1).saturating_sub(stride);
        let around = |i: usize| {
            // A single frame is all of the first latent frame.
            let frame = &changed.frames[i.min(last)];
            let pixels = floats(frame.picture.clone().permute([0, 2, 3, 4, 1]));
            let pixels: Vec<[f32; 3]> = pixels.as_chunks().0.to_vec();
            let made = frame.made.clone().map(floats);
            Around {
                made: made.map(|made| made.iter().map(|&made| made > 0.5).collect()),
                pixels,
            }
        };
        let given = (0..stride).map(around).collect();
        let animate = |i: usize, layout: &mut FrameLayout| {
            self.animate_frame(layout, &cast, first + number(i));
        };
        stage.see(
            (changed.latent_frame, given),
            animate,
            2 * self.config().window,
        );
    }
}
