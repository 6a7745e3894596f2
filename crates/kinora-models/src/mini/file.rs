//! The weight file of the family: networks, what they know by name, and the tokenizer.

use std::borrow::Cow;
use std::collections::HashMap;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use tokenizers::Tokenizer;

use super::air::{NamedWeather, Weathers};
use super::backdrop::backdrop_size;
use super::backdrops::{Backdrops, NamedLight, NamedPlace};
use super::config::MiniConfig;
use super::lexicon::{Entry, Lexicon, MOST_FRAMES, PICTURE_SIZE};
use super::looks::Looks;
use super::model::{Mini, MiniNetworks, MiniParts};
use super::older;
use super::pictures::{COLOURS, Kind, Pictures};
use super::styles::{NamedStyle, Styles};
use crate::weights::{self, Storage, TensorMap, Values, WeightFile};
use crate::{Error, VideoModel};

/// Of files before version 8: a still picture of each entry.
const STILLS_TENSOR: &str = "lexicon.pictures";
const PALETTES_TENSOR: &str = "lexicon.palettes";
const STREAMS_TENSOR: &str = "lexicon.streams";
const LEXICON_TENSORS: &str = "lexicon.";
/// One for each size that places are painted for, numbered: the first of those that the model makes.
const BACKDROP_TENSORS: &str = "backdrops.";
const WEATHERS_TENSOR: &str = "weathers";

/// The one entry of the file's metadata: one, because their order in a file is not settled.
const METADATA: &str = "kinora-mini";

/// What the weight file holds beside tensors.
#[derive(Serialize, Deserialize)]
struct Metadata<'a> {
    name: Cow<'a, str>,
    config: Cow<'a, MiniConfig>,
    lexicon: Cow<'a, [Entry]>,
    /// Bytes of each entry's pictures, where they are deflated.
    #[serde(default)]
    pictures: Cow<'a, [usize]>,
    places: Cow<'a, [NamedPlace]>,
    /// None in files of before version 9, which hold daylight alone.
    #[serde(default)]
    lights: Cow<'a, [NamedLight]>,
    /// Bytes of the looks for each size, where they are deflated.
    #[serde(default)]
    looks: Vec<Cow<'a, [usize]>>,
    /// None in files of before version 10.
    #[serde(default)]
    weathers: Option<WeathersMetadata<'a>>,
    /// None in files of before version 11, which were not trained beside plates in a style.
    #[serde(default)]
    styles: Cow<'a, [NamedStyle]>,
    /// As the `tokenizers` library writes it.
    tokenizer: String,
}

/// What is said of the weathers' loops.
#[derive(Serialize, Deserialize)]
struct WeathersMetadata<'a> {
    named: Cow<'a, [NamedWeather]>,
    size: [usize; 2],
    frames: usize,
    /// Bytes of each loop.
    lengths: Cow<'a, [usize]>,
}

impl Mini {
    /// Reads a weight file from memory.
    ///
    /// # Errors
    ///
    /// A damaged file, or one of another family or version.
    pub fn from_bytes(bytes: &[u8], device: &Device) -> Result<Self, Error> {
        let file = WeightFile::new(bytes)?;
        let mut tensors = file.floats();
        let metadata = file
            .metadata()
            .get(METADATA)
            .ok_or_else(|| Error::Format(format!("it has no '{METADATA}' entry")))?;
        let Metadata {
            name,
            config,
            lexicon,
            pictures,
            places,
            lights,
            looks,
            weathers,
            styles,
            tokenizer,
        } = serde_json::from_str(metadata)
            .and_then(|mut metadata| {
                older::update(&mut metadata, &mut tensors);
                serde_json::from_value(metadata)
            })
            .map_err(|error| Error::Format(format!("entry '{METADATA}': {error}")))?;
        let config = config.into_owned();
        config.validate().map_err(Error::Format)?;
        let tokenizer = Tokenizer::from_bytes(tokenizer)
            .map_err(|error| Error::Format(format!("its tokenizer: {error}")))?;
        let largest = tokenizer.get_vocab(true).into_values().max();
        if largest.is_some_and(|id| id as usize >= config.text.vocabulary) {
            let vocabulary = config.text.vocabulary;
            return Err(Error::Format(format!(
                "its tokenizer gives more than the {vocabulary} entries of its text encoder"
            )));
        }
        let lexicon = read_lexicon(&file, lexicon.into_owned(), pictures.into_owned())?;
        let backdrops = read_backdrops(
            &file,
            (places.into_owned(), lights.into_owned()),
            looks.into_iter().map(Cow::into_owned).collect(),
            &config.sizes,
        )?;
        let weathers = match weathers {
            Some(weathers) => read_weathers(&file, weathers)?,
            None => Weathers::default(),
        };
        let networks = weights::assign_from(MiniNetworks::new(&config, device), "model", |name| {
            tensors.remove(name)
        })?;
        let parts = MiniParts {
            config,
            networks,
            tokenizer,
            lexicon,
            backdrops,
            weathers,
            styles: Styles::new(styles.into_owned()),
        };
        Ok(Self::new(&name, weights::sha256(bytes), parts, device))
    }

    /// The weight file: networks in bfloat16, pictures in bytes. The same model gives the same bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Format`] where the parts cannot be serialised.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        let MiniParts {
            config,
            networks,
            tokenizer,
            lexicon,
            backdrops,
            weathers,
            styles,
        } = &self.parts;
        let mut tensors: TensorMap = weights::collect(networks, "model");
        let bytes = |shape: &[usize], bytes: &[u8]| Values {
            shape: shape.to_vec(),
            data: bytes.iter().copied().map(f32::from).collect(),
        };
        let entries = lexicon.entries();
        let lengths: &[usize] = match &lexicon.pictures().0 {
            Kind::Plain(pictures) => {
                let shape = [entries.len(), PICTURE_SIZE, PICTURE_SIZE, 4];
                tensors.insert(STILLS_TENSOR.into(), bytes(&shape, pictures));
                &[]
            }
            Kind::Indexed {
                palettes,
                streams,
                lengths,
            } => {
                let shape = [entries.len(), COLOURS, 4];
                tensors.insert(PALETTES_TENSOR.into(), bytes(&shape, palettes));
                tensors.insert(STREAMS_TENSOR.into(), bytes(&[streams.len()], streams));
                lengths
            }
        };
        for (number, looks) in backdrops.looks().iter().enumerate() {
            let name = format!("{BACKDROP_TENSORS}{number}");
            tensors.insert(name, bytes(&[looks.streams.len()], &looks.streams));
        }
        let air = weathers.loops();
        if !weathers.named().is_empty() {
            let streams = bytes(&[air.streams.len()], &air.streams);
            tensors.insert(WEATHERS_TENSOR.into(), streams);
        }
        let metadata = Metadata {
            name: Cow::Borrowed(&self.description().name),
            config: Cow::Borrowed(config),
            lexicon: Cow::Borrowed(entries),
            pictures: Cow::Borrowed(lengths),
            places: Cow::Borrowed(backdrops.places()),
            lights: Cow::Borrowed(backdrops.lights()),
            looks: (backdrops.looks().iter())
                .map(|looks| Cow::Borrowed(looks.lengths.as_slice()))
                .collect(),
            weathers: (!weathers.named().is_empty()).then(|| WeathersMetadata {
                named: Cow::Borrowed(weathers.named()),
                size: weathers.shape().0,
                frames: weathers.shape().1,
                lengths: Cow::Borrowed(&air.lengths),
            }),
            styles: Cow::Borrowed(styles.named()),
            tokenizer: tokenizer
                .to_string(false)
                .map_err(|error| Error::Tokenizer(error.to_string()))?,
        };
        let metadata =
            serde_json::to_string(&metadata).map_err(|error| Error::Format(error.to_string()))?;
        let storage = |name: &str| {
            if [LEXICON_TENSORS, BACKDROP_TENSORS, WEATHERS_TENSOR]
                .iter()
                .any(|pictures| name.starts_with(pictures))
            {
                Storage::U8
            } else {
                Storage::Bf16
            }
        };
        weights::to_bytes(
            &tensors,
            HashMap::from([(METADATA.to_owned(), metadata)]),
            storage,
        )
    }
}

fn read_lexicon(
    file: &WeightFile<'_>,
    entries: Vec<Entry>,
    lengths: Vec<usize>,
) -> Result<Lexicon, Error> {
    let animations = || entries.iter().map(|entry| entry.animation);
    if let Some(wrong) = animations()
        .find(|it| !(1..=MOST_FRAMES).contains(&it.frames) || !(0.0..=240.0).contains(&it.fps))
    {
        let reason = format!("an animation of {} frames at {}", wrong.frames, wrong.fps);
        return Err(Error::Format(reason));
    }
    if file.bytes(PALETTES_TENSOR).is_none() {
        if animations().any(|animation| animation.frames != 1) {
            let reason = "its lexicon has animations and no pictures of them";
            return Err(Error::Format(reason.into()));
        }
        let required = vec![entries.len(), PICTURE_SIZE, PICTURE_SIZE, 4];
        let pictures = Pictures::plain(read_bytes(file, STILLS_TENSOR, required)?);
        return Ok(Lexicon::new(entries, pictures));
    }
    let missing = Error::Format("it does not hold pictures of each entry".into());
    let total = total(&lengths).filter(|_| lengths.len() == entries.len());
    let Some(total) = total else {
        return Err(missing);
    };
    let palettes = read_bytes(file, PALETTES_TENSOR, vec![entries.len(), COLOURS, 4])?;
    let streams = read_bytes(file, STREAMS_TENSOR, vec![total])?;
    let pictures = Pictures(Kind::Indexed {
        palettes,
        streams,
        lengths,
    });
    Ok(Lexicon::new(entries, pictures))
}

fn read_backdrops(
    file: &WeightFile<'_>,
    (places, lights): (Vec<NamedPlace>, Vec<NamedLight>),
    lengths: Vec<Vec<usize>>,
    sizes: &[[usize; 2]],
) -> Result<Backdrops, Error> {
    if places.is_empty() {
        return Ok(Backdrops::default());
    }
    let name = |number: usize| format!("{BACKDROP_TENSORS}{number}");
    if lights.is_empty() {
        let looks = sizes.iter().enumerate();
        let looks = looks.map(|(number, &size)| daylight(file, &name(number), places.len(), size));
        let looks = looks.collect::<Result<_, _>>()?;
        let day = NamedLight::plain(places.len());
        return Backdrops::new(places, vec![day], sizes.to_vec(), looks);
    }
    let mut looks = Vec::with_capacity(sizes.len());
    for (number, lengths) in lengths.into_iter().enumerate() {
        let total = total(&lengths)
            .ok_or_else(|| Error::Format("its backdrops are longer than any file".into()))?;
        looks.push(Looks {
            streams: read_bytes(file, &name(number), vec![total])?,
            lengths,
        });
    }
    // Those of the first sizes also show the others.
    let painted = sizes.get(..looks.len()).unwrap_or(sizes).to_vec();
    Backdrops::new(places, lights, painted, looks)
}

fn read_weathers(file: &WeightFile<'_>, metadata: WeathersMetadata<'_>) -> Result<Weathers, Error> {
    let lengths = metadata.lengths.into_owned();
    let total = total(&lengths)
        .ok_or_else(|| Error::Format("its weathers are longer than any file".into()))?;
    let loops = Looks {
        streams: read_bytes(file, WEATHERS_TENSOR, vec![total])?,
        lengths,
    };
    let named = metadata.named.into_owned();
    Weathers::new(named, metadata.size, metadata.frames, loops)
}

/// The looks of a file of before version 9: places, looks, rows, columns, and red, green, blue and depth.
fn daylight(
    file: &WeightFile<'_>,
    name: &str,
    places: usize,
    size: [usize; 2],
) -> Result<Looks, Error> {
    let got = file
        .bytes(name)
        .and_then(|(shape, _)| shape.get(1).copied());
    let [inner, height, margin] = backdrop_size(size);
    let width = inner + 2 * margin;
    let required = vec![places, got.unwrap_or(0), height, width, 4];
    let rgbd = read_bytes(file, name, required)?;
    let planes = |look: &[u8]| {
        let pixels = || look.chunks_exact(4);
        let depths = pixels().map(|pixel| pixel[3]);
        let colours = pixels().flat_map(|pixel| &pixel[..3]).copied();
        depths.chain(colours).collect()
    };
    let looks: Vec<Vec<u8>> = rgbd.chunks_exact(height * width * 4).map(planes).collect();
    Ok(Looks::stored(&looks))
}

/// The sum, if there is one.
fn total(lengths: &[usize]) -> Option<usize> {
    lengths
        .iter()
        .try_fold(0_usize, |sum, length| sum.checked_add(*length))
}

fn read_bytes(file: &WeightFile<'_>, name: &str, required: Vec<usize>) -> Result<Vec<u8>, Error> {
    let missing = || Error::MissingTensor(name.into());
    let (got, values) = file.bytes(name).ok_or_else(missing)?;
    if got != required {
        return Err(Error::TensorShape {
            name: name.into(),
            got,
            required,
        });
    }
    Ok(values.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red, green, blue and depth of each pixel, places and looks after another.
    #[test]
    fn old_files_have_looks_in_daylight() {
        let size = [64, 64];
        let [inner, height, margin] = backdrop_size(size);
        let shape = vec![1, 2, height, inner + 2 * margin, 4];
        let pixels = height * (inner + 2 * margin);
        let data = [[10.0, 20.0, 30.0, 40.0], [50.0, 60.0, 70.0, 80.0]];
        let data = data.iter().flat_map(|pixel| pixel.repeat(pixels)).collect();
        let tensors = TensorMap::from([("backdrops.0".to_owned(), Values { shape, data })]);
        let bytes = weights::to_bytes(&tensors, HashMap::new(), |_| Storage::U8).unwrap();
        let file = WeightFile::new(&bytes).unwrap();
        let place = NamedPlace {
            name: "sea".into(),
            phrases: vec!["sea".into()],
            is_common: true,
        };
        let read = |places: usize| {
            let places = vec![place.clone(); places];
            read_backdrops(&file, (places, Vec::new()), Vec::new(), &[size])
        };
        let backdrops = read(1).unwrap();
        assert_eq!(backdrops.lights().len(), 1);
        let [looks] = backdrops.looks() else {
            panic!("of one size")
        };
        assert_eq!(looks.len(), 2);
        let second = looks.of(1, Backdrops::look_bytes(size, 1)).unwrap();
        assert_eq!(second[..pixels], vec![80; pixels]);
        assert_eq!(second[pixels..][..6], [50, 60, 70, 50, 60, 70]);
        assert!(read(2).is_err(), "of too few places");
    }
}
