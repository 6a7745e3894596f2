//! What the denoiser is shown of a clip, window by window: what is named in its prompt, or what was given, along the paths
//! that the director settled.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;

use burn::tensor::{Device, Tensor};

use super::autoencoder::{Autoencoder, DecodeState};
use super::backdrops::Setting;
use super::layout::FrameLayout;
use super::model::plate_condition;
use super::plate::{Figure, Plate, PlateSize, Props, Scenery};
use super::region::{Around, Filling};
use super::still::{self, Still};
use crate::weights::floats;

/// How much given frames are told to cover where nothing that is named was found in them. What is covered stays as it is shown; without that
/// they fall apart within a second wherever the camera moves.
const GIVEN_COVERS: f32 = 0.5;

/// What is shown along the paths.
#[derive(Debug)]
pub(super) enum Shown {
    /// The named subjects before the named place.
    Named {
        setting: Setting,
        figures: Vec<Figure>,
    },
    /// Given frames: what is named is in them, nobody knows where.
    Given(Vec<Still>),
    /// Given frames, from which what is named goes on.
    Going(Going),
    /// Given frames of which a region is made anew, drawn when they are seen, by their latent frame.
    Regions {
        filling: Filling,
        drawn: BTreeMap<usize, Plate>,
    },
}

/// Given frames in which what is named was found.
#[derive(Debug)]
pub(super) struct Going {
    pub(super) stills: Vec<Still>,
    /// The same without the subjects.
    pub(super) cleared: Vec<Still>,
    /// Latent frames that are shown as they were given.
    pub(super) given: Vec<usize>,
    pub(super) figures: Vec<Figure>,
    /// What the colours of the figures are multiplied by.
    pub(super) light: [f32; 3],
}

impl Going {
    /// Plates along a path that begins with this latent frame.
    fn plate(&self, size: PlateSize, first: usize, path: &[FrameLayout]) -> Plate {
        let figures: Vec<&Figure> = self.figures.iter().collect();
        let props = Props {
            backdrop: None,
            figures: &figures,
            light: self.light,
            air: None,
            finish: None,
        };
        let draw = |(i, layout): (usize, &FrameLayout)| {
            let at = first * size.patch_frames + i;
            let stills = match self.given.contains(&(at / size.patch_frames)) {
                true => &self.stills,
                false => &self.cleared,
            };
            let seen = still::show(stills, at, &layout.view);
            let everywhere = vec![true; seen.len()];
            (seen, everywhere, *layout)
        };
        Plate::of_regions(size, props, path.iter().enumerate().map(draw).collect())
    }
}

/// The plates of a clip.
#[derive(Debug)]
pub(super) struct Stage {
    shown: Shown,
    /// Each frame of each latent frame.
    path: Vec<FrameLayout>,
    size: PlateSize,
    /// The condition that was last asked for: every step of a window asks for the same.
    last: Mutex<Option<Asked>>,
}

#[derive(Debug)]
struct Asked {
    anchor: Option<usize>,
    window: Range<usize>,
    condition: Tensor<5>,
}

impl Stage {
    pub(super) fn new(shown: Shown, path: Vec<FrameLayout>, size: PlateSize) -> Self {
        Self {
            shown,
            path,
            size,
            last: Mutex::default(),
        }
    }

    /// What the denoiser is given beside a window's latent frames and, before them, beside its anchor, as [`plate_condition`]
    /// says; `None` behind the end of the paths.
    pub(super) fn condition(
        &self,
        autoencoder: &Autoencoder,
        (anchor, window): (Option<usize>, Range<usize>),
        [rows, columns]: [usize; 2],
        device: &Device,
    ) -> Option<Tensor<5>> {
        let mut last = self
            .last
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(last) = &*last
            && last.window == window
            && last.anchor == anchor
        {
            return Some(last.condition.clone());
        }
        let beside = |first: usize, frames: usize| {
            let plate = self.plate_of(first..first + frames)?;
            let grid = [frames, rows, columns];
            Some(plate_condition(autoencoder, &[plate], grid, device))
        };
        let seen = match anchor {
            Some(anchor) => Some(beside(anchor, 1)?),
            None => None,
        };
        let parts = seen
            .into_iter()
            .chain([beside(window.start, window.len())?]);
        let condition = Tensor::cat(parts.collect(), 2);
        *last = Some(Asked {
            anchor,
            window,
            condition: condition.clone(),
        });
        Some(condition)
    }

    /// Whether a planned place is seen, which shows how colours are to be.
    pub(super) fn is_placed(&self) -> bool {
        matches!(&self.shown, Shown::Named { setting, .. } if setting.backdrop.is_some())
    }

    /// The plate of some latent frames; `None` behind the end of the paths, and of regions that were not seen.
    pub(super) fn plate_of(&self, latent_frames: Range<usize>) -> Option<Plate> {
        let first = latent_frames.start;
        let path = || self.along(first, latent_frames.len());
        match &self.shown {
            Shown::Named { setting, figures } => {
                let figures: Vec<&Figure> = figures.iter().collect();
                let props = Props {
                    backdrop: setting.backdrop.as_ref(),
                    figures: &figures,
                    light: setting.light,
                    air: setting.air.as_ref(),
                    finish: setting.finish,
                };
                Some(Plate::draw(self.size, props, path()?))
            }
            Shown::Given(stills) => {
                let at = |i: usize| first * self.size.patch_frames + i;
                let frames = path()?.iter().enumerate();
                let seen = frames.map(|(i, frame)| still::show(stills, at(i), &frame.view));
                let mut plate = Plate::of_scenery(self.size, seen);
                plate.coverage.fill(GIVEN_COVERS);
                Some(plate)
            }
            Shown::Going(going) => Some(going.plate(self.size, first, path()?)),
            Shown::Regions { drawn, .. } => {
                let mut plate = Plate::default();
                for latent_frame in latent_frames {
                    plate.append(drawn.get(&latent_frame)?.clone());
                }
                Some(plate)
            }
        }
    }

    /// Draws a latent frame that is changed, if that was not planned; `animate` settles which picture of its subjects each of its
    /// frames shows. What was drawn more than `kept` latent frames before is forgotten.
    pub(super) fn see(
        &mut self,
        (latent_frame, given): (usize, Vec<Around>),
        animate: impl Fn(usize, &mut FrameLayout),
        kept: usize,
    ) {
        if let Shown::Regions { filling, drawn } = &mut self.shown {
            let plate = filling.plate(self.size, (latent_frame, given), animate);
            drawn.insert(latent_frame, plate);
            *drawn = drawn.split_off(&latent_frame.saturating_sub(kept));
        }
    }

    /// The frames of so many latent frames from `first` on; `None` behind the end of the paths.
    fn along(&self, first: usize, frames: usize) -> Option<&[FrameLayout]> {
        let per_latent = self.size.patch_frames;
        self.path
            .get(first * per_latent..(first + frames) * per_latent)
    }
}

/// The last frame of a latent frame that was given as `[1, channels, 1, height, width]`.
pub(super) fn last_frame(autoencoder: &Autoencoder, latents: Tensor<5>) -> Scenery {
    // As if nothing had moved before it.
    let twice = latents.repeat_dim(2, 2);
    let video = autoencoder.decode_step(twice, None, &mut DecodeState::default());
    let last = video.dims()[2] - 1;
    let values = floats(video.narrow(2, last, 1).permute([0, 2, 3, 4, 1]));
    let pixels = values.as_chunks().0.iter();
    pixels
        .map(|pixel: &[f32; 3]| pixel.map(|value| value.clamp(-1.0, 1.0)))
        .collect()
}
