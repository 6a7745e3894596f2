//! The weathers that the model knows by name: what falls or drifts before a scene, as pictures to lay over it.

use serde::{Deserialize, Serialize};

use super::looks::Looks;
use super::phrases::Phrases;
use super::text::normalise;
use crate::Error;

/// Premultiplied red, green, blue and cover.
const CHANNELS: usize = 4;
/// Most frames of a loop.
const MOST_FRAMES: usize = 240;
/// Longest side of its pictures.
const LONGEST_SIDE: usize = 1024;

/// A weather that can be named.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NamedWeather {
    /// The name shown to people.
    pub name: String,
    /// Every phrase that means it, in any language.
    pub phrases: Vec<String>,
    /// Whether it reaches each place.
    pub reaches: Vec<bool>,
    /// The part of its brightness, 0 to 1, that it has in any light.
    pub shine: f32,
}

/// Weathers with a loop of each.
#[derive(Debug, Clone, Default)]
pub struct Weathers {
    named: Vec<NamedWeather>,
    size: [usize; 2],
    frames: usize,
    loops: Looks,
    phrases: Phrases<usize>,
}

/// A weather over frames of one size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Air {
    /// Premultiplied RGBA, row by row.
    frames: Vec<Vec<u8>>,
}

impl Air {
    /// Of `frames` that follow one another and begin again: premultiplied RGBA, row by row.
    ///
    /// # Panics
    ///
    /// Where there is none.
    pub fn new(frames: Vec<Vec<u8>>) -> Self {
        assert!(!frames.is_empty(), "air has to be seen");
        Self { frames }
    }

    /// Frame `moment` of a clip.
    pub(super) fn at(&self, moment: usize) -> &[u8] {
        &self.frames[moment % self.frames.len()]
    }
}

impl Weathers {
    /// `loops` holds one for each of the `named`, of `frames` pictures of `size` as [`loop_bytes`](Self::loop_bytes) counts them. Smaller
    /// frames show a part of them.
    ///
    /// # Errors
    ///
    /// [`Error::Format`] if these do not fit together.
    pub fn new(
        named: Vec<NamedWeather>,
        size: [usize; 2],
        frames: usize,
        loops: Looks,
    ) -> Result<Self, Error> {
        let wrong = |reason: &str| Err(Error::Format(format!("its weathers: {reason}")));
        if loops.len() != named.len() {
            return wrong("a loop is needed of each");
        }
        if !(1..=MOST_FRAMES).contains(&frames)
            || size.iter().any(|side| !(1..=LONGEST_SIDE).contains(side))
        {
            return wrong("too many pictures, or none");
        }
        if named
            .iter()
            .any(|weather| !(0.0..=1.0).contains(&weather.shine))
        {
            return wrong("one shines too brightly");
        }
        let mut phrases = Phrases::default();
        for (id, weather) in named.iter().enumerate() {
            for phrase in weather
                .phrases
                .iter()
                .filter(|said| !normalise(said).is_empty())
            {
                phrases.entry(phrase, id);
            }
        }
        Ok(Self {
            named,
            size,
            frames,
            loops,
            phrases,
        })
    }

    /// The planes of `frames`, one after another: all red, all green, all blue, all cover.
    pub fn planes(frames: &[Vec<u8>]) -> Vec<u8> {
        let plane = |frame: &Vec<u8>, channel: usize| -> Vec<u8> {
            frame
                .iter()
                .copied()
                .skip(channel)
                .step_by(CHANNELS)
                .collect()
        };
        let planes = frames
            .iter()
            .flat_map(|frame| (0..CHANNELS).flat_map(move |channel| plane(frame, channel)));
        planes.collect()
    }

    /// Bytes of a loop of `frames` pictures of `size`.
    pub fn loop_bytes(size: [usize; 2], frames: usize) -> usize {
        CHANNELS * size[0] * size[1] * frames
    }

    /// Every weather, in order of its id.
    pub fn named(&self) -> &[NamedWeather] {
        &self.named
    }

    /// Pixels of a loop's pictures, `[width, height]`, and how many they are.
    pub fn shape(&self) -> ([usize; 2], usize) {
        (self.size, self.frames)
    }

    /// The loops, in order of their ids.
    pub fn loops(&self) -> &Looks {
        &self.loops
    }

    /// The weather that `prompt` names first.
    pub fn find(&self, prompt: &str) -> Option<usize> {
        self.phrases.matches(prompt).first().map(|&&id| id)
    }

    /// A weather over frames of `size` at a place, in the light there. `None` where it does not reach that place. Frames that are larger
    /// than its pictures see them again as in a mirror.
    ///
    /// # Errors
    ///
    /// [`Error::Format`] where the pictures are damaged.
    pub(super) fn over(
        &self,
        id: usize,
        place: Option<usize>,
        size: [usize; 2],
        light: [f32; 3],
    ) -> Result<Option<Air>, Error> {
        let weather = &self.named[id];
        let reaches = place.is_none_or(|place| weather.reaches.get(place).copied().unwrap_or(true));
        if !reaches {
            return Ok(None);
        }
        let bytes = Self::loop_bytes(self.size, self.frames);
        let planes = self.loops.of(id, bytes).ok_or_else(|| {
            Error::Format(format!("its pictures of '{}' are damaged", weather.name))
        })?;
        let lit = light.map(|light| weather.shine + (1.0 - weather.shine) * light);
        let plane = self.size[0] * self.size[1];
        let frame = |planes: &[u8]| -> Vec<u8> {
            let places = (0..size[1]).flat_map(|y| (0..size[0]).map(move |x| (x, y)));
            let pixel = |(x, y): (usize, usize)| {
                let (x, y) = (mirrored(x, self.size[0]), mirrored(y, self.size[1]));
                let at = |channel: usize| planes[channel * plane + y * self.size[0] + x];
                let cover = at(3);
                let colour = |c: usize| ((f32::from(at(c)) * lit[c]).round() as u8).min(cover);
                [colour(0), colour(1), colour(2), cover]
            };
            places.flat_map(pixel).collect()
        };
        let frames = planes.chunks_exact(CHANNELS * plane).map(frame).collect();
        Ok(Some(Air::new(frames)))
    }
}

/// Larger frames see the loop again, as in a mirror.
fn mirrored(at: usize, side: usize) -> usize {
    let there = at % (2 * side);
    there.min(2 * side - 1 - there)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weathers() -> Weathers {
        let weather = |name: &str, reaches: &[bool]| NamedWeather {
            name: name.into(),
            phrases: vec![format!("{name} falls"), name.into()],
            reaches: reaches.to_vec(),
            shine: 0.5,
        };
        // Pictures of 4 × 3 pixels, whose red tells frame, column and row.
        let frame = |offset: u8| -> Vec<u8> {
            let pixels = (0..12).map(|i| [offset + i, 0, 200, 200]);
            pixels.flatten().collect()
        };
        let loops = [0, 100].map(|start| Weathers::planes(&[frame(start), frame(start + 20)]));
        let named = vec![
            weather("rain", &[true, false]),
            weather("snow", &[true, true]),
        ];
        Weathers::new(named, [4, 3], 2, Looks::new(&loops)).unwrap()
    }

    #[test]
    fn weathers_are_named_and_seen_where_they_reach() {
        let weathers = weathers();
        let over = |prompt: &str, place, light| {
            let id = weathers.find(prompt).unwrap();
            weathers.over(id, place, [2, 3], [light; 3]).unwrap()
        };
        assert_eq!(weathers.find("a fox"), None);
        assert_eq!(over("a fox as rain falls", Some(1), 1.0), None);
        let rain = over("a fox as rain falls", Some(0), 1.0).unwrap();
        assert_eq!(rain.at(0)[..8], [0, 0, 200, 200, 1, 0, 200, 200]);
        assert_eq!(rain.at(1)[8..12], [24, 0, 200, 200]);
        assert_eq!(rain.at(2), rain.at(0));
        let snow = over("snow, then rain", None, 0.0).unwrap();
        assert_eq!(snow.at(0)[4..8], [51, 0, 100, 200]);
        // What is wider than the loop sees it as in a mirror.
        let larger = weathers.over(0, None, [6, 3], [1.0; 3]).unwrap();
        let larger = larger.unwrap();
        let reds: Vec<u8> = larger.at(0)[..24].chunks(4).map(|pixel| pixel[0]).collect();
        assert_eq!(reds, [0, 1, 2, 3, 3, 2]);
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let Weathers { named, loops, .. } = weathers();
        let bright = vec![
            NamedWeather {
                shine: f32::NAN,
                ..named[0].clone()
            };
            2
        ];
        for (named, size, frames) in [
            (named[..1].to_vec(), [4, 3], 2),
            (named.clone(), [4, 3], 0),
            (named.clone(), [4, 3], MOST_FRAMES + 1),
            (named.clone(), [0, 3], 2),
            (named.clone(), [4, LONGEST_SIDE + 1], 2),
            (bright, [4, 3], 2),
        ] {
            assert!(Weathers::new(named, size, frames, loops.clone()).is_err());
        }
        // Loops of another length are found out when they are asked for.
        let other = Weathers::new(named, [4, 4], 2, loops).unwrap();
        assert!(other.over(0, None, [4, 3], [1.0; 3]).is_err());
    }
}
