//! What is to be made, verb by verb.

use std::path::PathBuf;

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::given::{Given, sha256};
use super::recipe::decimal;
use super::script::{Shot, Transition};
use super::values::Keyframe;

/// How long a new clip is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Length {
    /// A single frame.
    Picture,
    /// As many frames as fit.
    Seconds(f64),
    /// As long as the model's clips are.
    Default,
}

/// When a given picture is seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Moment {
    First,
    At(f64),
    Last,
}

/// What is to be made.
#[derive(Debug, Clone)]
pub(crate) enum Task {
    Generate {
        length: Length,
        pictures: Vec<(Moment, Given)>,
    },
    Extend {
        clip: Given,
        secs: f64,
        before: bool,
    },
    FillTime {
        clip: Given,
        from: f64,
        to: f64,
    },
    FillRegion {
        clip: Given,
        mask: PathBuf,
    },
    Remix {
        clip: Given,
        strength: f32,
    },
    Loop {
        clip: Given,
        secs: f64,
    },
    Blend {
        first: Given,
        second: Given,
        secs: f64,
    },
    Storyboard(Vec<Shot>),
}

impl Task {
    /// Pictures of `generate`, in order.
    ///
    /// # Errors
    ///
    /// Pictures that cannot be read or stand outside of the clip.
    pub(crate) fn pictures(
        image: Option<PathBuf>,
        keyframes: Vec<Keyframe>,
        last_image: Option<PathBuf>,
        length: Length,
    ) -> Result<Vec<(Moment, Given)>> {
        let mut pictures = Vec::new();
        let secs = match length {
            Length::Seconds(secs) => secs,
            // What is too late for the model's clips is refused when they are laid out.
            Length::Default => f64::INFINITY,
            Length::Picture if image.is_none() && keyframes.is_empty() && last_image.is_none() => {
                0.0
            }
            Length::Picture => bail!(
                "a single picture cannot pass through pictures: leave them out, or write a video; \
                 `kinora remix` changes a picture"
            ),
        };
        if let Some(path) = image {
            pictures.push((Moment::First, Given::open(path)?));
        }
        for Keyframe { secs: at, picture } in keyframes {
            if at >= secs {
                bail!(
                    "the keyframe {at}={} stands outside of the clip, which has {secs} seconds: choose an earlier \
                     time, or more --seconds",
                    picture.display()
                );
            }
            pictures.push((Moment::At(at), Given::open(picture)?));
        }
        if let Some(path) = last_image {
            pictures.push((Moment::Last, Given::open(path)?));
        }
        Ok(pictures)
    }

    /// The part of a clip that is to be filled.
    ///
    /// # Errors
    ///
    /// A part that the clip does not have, or that leaves nothing of it.
    pub(crate) fn fill_time(clip: Given, from: f64, to: f64) -> Result<Self> {
        let (name, secs) = (clip.path.display(), clip.info.duration_secs);
        if from >= to {
            bail!(
                "--from {from} is not before --to {to}: give the part from its beginning to its end"
            );
        }
        // What was rounded by a player may be a frame too far.
        let frame_secs = secs / clip.info.frames.max(1) as f64;
        if to > secs + frame_secs {
            bail!("{name} has {secs:.2} seconds, and --to {to} is behind its end");
        }
        if from <= 0.0 && to >= secs {
            bail!(
                "nothing of {name} would be left: fill a part of it, or make a new clip with `kinora generate`"
            );
        }
        Ok(Self::FillTime { clip, from, to })
    }

    /// The verb.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Generate {
                length: Length::Picture,
                ..
            } => "image",
            Self::Generate { .. } => "generate",
            Self::Extend { .. } => "extend",
            Self::FillTime { .. } | Self::FillRegion { .. } => "fill",
            Self::Remix { .. } => "remix",
            Self::Loop { .. } => "loop",
            Self::Blend { .. } => "blend",
            Self::Storyboard(_) => "storyboard",
        }
    }

    /// How long a new clip is, where that is asked for.
    pub(crate) fn length(&self) -> Option<Length> {
        match self {
            Self::Generate { length, .. } => Some(*length),
            _ => None,
        }
    }

    /// Whether nothing but a prompt says what is made.
    pub(crate) fn is_text_alone(&self) -> bool {
        matches!(self, Self::Generate { pictures, .. } if pictures.is_empty())
    }

    /// Whether a single frame is made.
    pub(crate) fn is_picture(&self) -> bool {
        match self {
            Self::Generate { length, .. } => *length == Length::Picture,
            Self::Remix { clip, .. } => clip.is_picture(),
            _ => false,
        }
    }

    /// The clip whose size and rate the file has.
    pub(crate) fn main_clip(&self) -> Option<&Given> {
        match self {
            Self::Generate { .. } | Self::Storyboard(_) => None,
            Self::Extend { clip, .. }
            | Self::FillTime { clip, .. }
            | Self::FillRegion { clip, .. }
            | Self::Remix { clip, .. }
            | Self::Loop { clip, .. }
            | Self::Blend { first: clip, .. } => Some(clip),
        }
    }

    /// All that is given, in order.
    pub(crate) fn inputs(&self) -> Vec<&PathBuf> {
        match self {
            Self::Generate { pictures, .. } => {
                pictures.iter().map(|(_, given)| &given.path).collect()
            }
            Self::FillRegion { clip, mask } => vec![&clip.path, mask],
            Self::Blend { first, second, .. } => vec![&first.path, &second.path],
            Self::Storyboard(_) => Vec::new(),
            other => other
                .main_clip()
                .map(|clip| &clip.path)
                .into_iter()
                .collect(),
        }
    }

    /// What the recipe says of the task, beside prompt and settings.
    ///
    /// # Errors
    ///
    /// What cannot be read.
    pub(crate) fn recipe(&self) -> Result<Value> {
        let inputs = inputs_recipe(self.inputs())?;
        let settings = match self {
            Self::Generate { pictures, .. } => {
                let moments = pictures.iter().map(|(moment, _)| match moment {
                    Moment::First => json!("first"),
                    Moment::At(secs) => json!(secs),
                    Moment::Last => json!("last"),
                });
                json!({"at": moments.collect::<Vec<_>>()})
            }
            Self::Extend { secs, before, .. } => json!({"seconds": secs, "before": before}),
            Self::FillTime { from, to, .. } => json!({"from": from, "to": to}),
            Self::FillRegion { .. } => json!({}),
            Self::Remix { strength, .. } => json!({"strength": decimal(*strength)}),
            Self::Loop { secs, .. } | Self::Blend { secs, .. } => json!({"seconds": secs}),
            Self::Storyboard(shots) => {
                let shots = shots.iter().map(|shot| {
                    let transition = match shot.transition {
                        Transition::Cut => "cut",
                        Transition::Morph => "morph",
                    };
                    json!({"prompt": shot.prompt, "seconds": shot.secs, "seed": shot.seed, "transition": transition})
                });
                json!({"shots": shots.collect::<Vec<_>>()})
            }
        };
        Ok(json!({"verb": self.name(), "inputs": inputs, "settings": settings}))
    }
}

/// Names and hashes of files.
///
/// # Errors
///
/// What cannot be read.
pub(crate) fn inputs_recipe<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> Result<Value> {
    let about = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Ok(json!({"name": name, "sha256": sha256(path)?}))
    };
    let all: Result<Vec<Value>> = paths.into_iter().map(about).collect();
    Ok(Value::Array(all?))
}
