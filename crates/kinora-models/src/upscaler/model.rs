//! A trained upscaler, and its weight file.

use std::ops::Range;

use burn::tensor::{Device, Tensor};
use kinora_kernels::cpu::{CubicShape, Pixel, cubic_to_bytes};

use super::config::UpscalerConfig;
use super::network::{FOLDED_RING, FOLDED_SIDE, SCALE, Source, UpscalerNetwork};
use crate::network_file::{self, NetworkFile};
use crate::weights::floats;
use crate::{Error, weights};

/// The one entry of the file's metadata.
const METADATA: &str = "kinora-upscaler";
/// Pixels that go through the network at once: what it holds of them takes 50 MB.
const BAND_PIXELS: usize = 1 << 16;

/// A trained upscaler.
#[derive(Debug, Clone)]
pub struct Upscaler {
    name: String,
    hash: String,
    config: UpscalerConfig,
    network: UpscalerNetwork,
}

impl Upscaler {
    /// `name` is shown to people, `hash` identifies the weights.
    pub fn new(name: &str, hash: String, config: UpscalerConfig, network: UpscalerNetwork) -> Self {
        Self {
            name: name.to_owned(),
            hash,
            config,
            network,
        }
    }

    /// Reads a weight file from memory.
    ///
    /// # Errors
    ///
    /// A damaged file, or one of another network.
    pub fn from_bytes(bytes: &[u8], device: &Device) -> Result<Self, Error> {
        let file = NetworkFile::<UpscalerConfig>::from_bytes(METADATA, bytes)?;
        file.config.validate().map_err(Error::Format)?;
        let fresh = UpscalerNetwork::new(&file.config, device);
        let network = weights::assign(fresh, "model", &file.tensors)?;
        let hash = weights::sha256(bytes);
        Ok(Self::new(&file.name, hash, file.config, network))
    }

    /// The weight file, in bfloat16. The same network gives the same bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Format`] where it cannot be serialised.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        network_file::to_bytes(METADATA, &self.name, &self.config, &self.network)
    }

    /// Name and version, such as `kinora-upscaler-v1`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// SHA-256 of the weight file, in hexadecimal.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Enlarged frames. Large ones go through the network in bands of rows, which gives the same as whole ones and keeps memory
    /// small.
    ///
    /// # Shapes
    ///
    /// `[1, 3, frames, height, width]`, −1 to 1 → `[1, 3, frames, SCALE · height, SCALE · width]`, about −1 to 1
    pub fn upscale(&self, frames: Tensor<5>, source: Source) -> Tensor<5> {
        let [_, _, count, height, width] = frames.dims();
        let bands = self.bands(height, BAND_PIXELS / (count * width).max(1));
        let band = |Band { seen, shown }: Band| {
            let part = frames.clone().narrow(3, seen.start, seen.len());
            let from = (shown.start - seen.start) * SCALE;
            let part = self.network.forward(part, source);
            part.narrow(3, from, shown.len() * SCALE)
        };
        Tensor::cat(bands.map(band).collect(), 3)
    }

    /// As [`upscale`](Self::upscale), to bytes, which takes a third of the time: 0 is −1 and 255 is 1.
    ///
    /// # Shapes
    ///
    /// `[1, 3, 1, height, width]` → `[SCALE · height, SCALE · width, 3]`
    pub fn upscale_to_bytes(&self, frame: Tensor<5>, source: Source) -> Vec<u8> {
        let [_, _, _, height, width] = frame.dims();
        let mut bytes = Vec::with_capacity(height * width * SCALE * SCALE * 3);
        let mut row = vec![Pixel::default(); width * SCALE];
        for Band { seen, shown } in self.bands(height, BAND_PIXELS / width.max(1)) {
            let part = frame.clone().narrow(3, seen.start, seen.len());
            let folded = Folded::new(self.network.folded(part, source));
            let first = (shown.start - seen.start) * SCALE;
            for y in first..first + shown.len() * SCALE {
                folded.row(y, &mut row);
                bytes.extend(
                    row.iter()
                        .flat_map(|pixel| [pixel[0], pixel[1], pixel[2]].map(byte)),
                );
            }
        }
        bytes
    }

    /// A part of what a frame is enlarged to, at a larger size still: in one pass, where [`upscale_to_bytes`](Self::upscale_to_bytes)
    /// and a filter over its bytes take several. `None` where the frame is too large to go through the network at once, or what is
    /// asked for is smaller.
    ///
    /// # Shapes
    ///
    /// `[1, 3, 1, height, width]` → `[to[0], to[1], 3]`; the part begins at `first` and spans `span`, rows and columns in pixels of
    /// the frame.
    pub fn upscale_to_size(
        &self,
        frame: &Tensor<5>,
        source: Source,
        first: [f32; 2],
        span: [f32; 2],
        to: [usize; 2],
    ) -> Option<Vec<u8>> {
        let [_, _, _, height, width] = frame.dims();
        let enlarged = |pixels: f32| pixels * SCALE as f32;
        let grows = span
            .iter()
            .zip(to)
            .all(|(span, to)| enlarged(*span) <= to as f32);
        if height * width > BAND_PIXELS || !grows {
            return None;
        }
        let folded = Folded::new(self.network.folded(frame.clone(), source));
        let shape = CubicShape {
            from: [height * SCALE, width * SCALE],
            first: first.map(enlarged),
            span: span.map(enlarged),
            to,
        };
        let mut bytes = vec![0; to[0] * to[1] * 3];
        cubic_to_bytes(shape, |y, row| folded.row(y, row), &mut bytes);
        Some(bytes)
    }

    /// The bands of about `rows` in which frames of `height` go through the network.
    fn bands(&self, height: usize, rows: usize) -> impl Iterator<Item = Band> + use<> {
        // They begin at even rows, as folded places do.
        let rows = rows.max(1).next_multiple_of(2);
        let reach = self.network.reach().next_multiple_of(2);
        (0..height).step_by(rows).map(move |from| {
            let to = (from + rows).min(height);
            Band {
                seen: from.saturating_sub(reach)..(to + reach).min(height),
                shown: from..to,
            }
        })
    }
}

/// Rows of a frame that go through the network together.
struct Band {
    /// What it looks at.
    seen: Range<usize>,
    /// What becomes of these is shown.
    shown: Range<usize>,
}

/// An enlarged frame as it leaves the network.
struct Folded {
    /// `[rows, columns, FOLDED_SIDE, FOLDED_SIDE, 3]`
    values: Vec<f32>,
    columns: usize,
}

impl Folded {
    fn new(folded: Tensor<5>) -> Self {
        let columns = folded.dims()[3];
        Self {
            values: floats(folded),
            columns,
        }
    }

    /// Row `y` of the frame, without what goes on beyond its borders.
    fn row(&self, y: usize, row: &mut [Pixel]) {
        let y = y + FOLDED_RING;
        let begin = y / FOLDED_SIDE * self.columns;
        let within = y % FOLDED_SIDE * FOLDED_SIDE * 3;
        // The ring is a whole place wide.
        let places = self.values
            [(begin + FOLDED_RING / FOLDED_SIDE) * FOLDED_SIDE * FOLDED_SIDE * 3..]
            .chunks_exact(FOLDED_SIDE * FOLDED_SIDE * 3);
        for (pixels, place) in row.chunks_mut(FOLDED_SIDE).zip(places) {
            let values = place[within..].chunks_exact(3);
            for (pixel, value) in pixels.iter_mut().zip(values) {
                *pixel = [value[0], value[1], value[2], 0.0];
            }
        }
    }
}

/// −1 to 1 as 0 to 255, rounded, and clipped by the cast.
fn byte(value: f32) -> u8 {
    (value * 127.5 + 128.0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::module::{Module, ModuleMapper, Param};
    use burn::tensor::Distribution;

    const CLEAN: Source = Source::Clean;

    fn fresh() -> UpscalerNetwork {
        UpscalerNetwork::new(&UpscalerConfig::new(), &Device::flex())
    }

    fn upscaler(network: UpscalerNetwork) -> Upscaler {
        Upscaler::new("test", String::new(), UpscalerConfig::new(), network)
    }

    /// A network that has learned something, if nothing useful.
    fn random() -> UpscalerNetwork {
        struct Random;
        impl ModuleMapper for Random {
            fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                param.map(|value| value.random_like(Distribution::Normal(0.0, 0.05)))
            }
        }
        Device::flex().seed(3);
        fresh().map(&mut Random)
    }

    fn noise(shape: [usize; 5]) -> Tensor<5> {
        Tensor::random(shape, Distribution::Uniform(-1.0, 1.0), &Device::flex())
    }

    #[test]
    fn a_fresh_network_enlarges_bicubically() {
        let device = Device::flex();
        // A slope in x: cubic convolution continues it exactly, away from the borders.
        let values: Vec<f32> = (0..12 * 7).map(|i| (i % 12) as f32 / 16.0).collect();
        let slope = Tensor::<1>::from_floats(values.as_slice(), &device).reshape([1, 1, 1, 7, 12]);
        let large = upscaler(fresh()).upscale(slope.repeat_dim(1, 3), CLEAN);
        assert_eq!(large.dims(), [1, 3, 1, 28, 48]);
        let values = floats(large);
        for (i, value) in values.iter().enumerate() {
            let x = i % 48;
            if (8..40).contains(&x) {
                let expected = ((x as f32 + 0.5) / 4.0 - 0.5) / 16.0;
                assert!((value - expected).abs() < 4e-3, "{x}: {value} {expected}");
            }
        }
        // What is flat stays so up to the borders.
        let flat = upscaler(fresh()).upscale(Tensor::full([1, 3, 2, 5, 9], 0.5, &device), CLEAN);
        assert!(floats(flat).iter().all(|value| (value - 0.5).abs() < 4e-3));
    }

    #[test]
    fn bands_are_as_the_whole() {
        let upscaler = upscaler(random());
        for height in [40, 33, 2, 1] {
            for rows in [0, 1, 7, 16, 32, 64] {
                let bands: Vec<Band> = upscaler.bands(height, rows).collect();
                assert!(bands.iter().all(|band| band.seen.start % 2 == 0));
                let shown: Vec<usize> = bands.into_iter().flat_map(|band| band.shown).collect();
                assert_eq!(shown, (0..height).collect::<Vec<_>>());
            }
        }
        // Two bands, and what is seen of each alone.
        let (width, height) = (700, 120);
        let frame = noise([1, 3, 1, height, width]);
        let whole = floats(upscaler.network.forward(frame.clone(), CLEAN));
        assert!(upscaler.bands(height, BAND_PIXELS / width).count() > 1);
        assert_eq!(floats(upscaler.upscale(frame, CLEAN)), whole);
    }

    #[test]
    fn bytes_are_those_of_the_values() {
        let upscaler = upscaler(random());
        for (height, width) in [(12, 10), (7, 9), (1, 1), (120, 700)] {
            let frame = noise([1, 3, 1, height, width]);
            let values = upscaler.upscale(frame.clone(), CLEAN);
            let expected: Vec<u8> = floats(values.permute([0, 2, 3, 4, 1]))
                .iter()
                .map(|value| byte(*value))
                .collect();
            assert_eq!(upscaler.upscale_to_bytes(frame, CLEAN), expected);
        }
        assert_eq!([-1.1, -1.0, 0.0, 1.0, 9.0].map(byte), [0, 0, 128, 255, 255]);
    }

    #[test]
    fn a_size_is_reached_in_one_pass() {
        let upscaler = upscaler(random());
        let frame = noise([1, 3, 1, 12, 10]);
        let whole = |to| upscaler.upscale_to_size(&frame, CLEAN, [0.0; 2], [12.0, 10.0], to);
        let same = whole([12 * SCALE, 10 * SCALE]).unwrap();
        assert_eq!(same, upscaler.upscale_to_bytes(frame.clone(), CLEAN));
        assert_eq!(whole([100, 90]).unwrap().len(), 100 * 90 * 3);
        assert_eq!(whole([40, 90]), None);
        // A part of whole pixels at its own size is cut out.
        let part = upscaler.upscale_to_size(&frame, CLEAN, [2.0, 3.0], [6.0, 5.0], [24, 20]);
        let rows = same.chunks_exact(10 * SCALE * 3).skip(2 * SCALE).take(24);
        let cut: Vec<u8> = rows
            .flat_map(|row| row[3 * SCALE * 3..][..20 * 3].to_vec())
            .collect();
        assert_eq!(part.unwrap(), cut);
    }

    #[test]
    fn frames_do_not_see_each_other() {
        let upscaler = upscaler(random());
        let frames = noise([1, 3, 3, 10, 8]);
        let whole = upscaler.upscale(frames.clone(), CLEAN);
        for i in 0..3 {
            let alone = upscaler.upscale(frames.clone().narrow(2, i, 1), CLEAN);
            assert_eq!(floats(alone), floats(whole.clone().narrow(2, i, 1)));
        }
    }

    #[test]
    fn each_source_has_a_head() {
        let (upscaler, frames) = (upscaler(random()), noise([1, 3, 1, 6, 6]));
        let clean = floats(upscaler.upscale(frames.clone(), CLEAN));
        assert_ne!(floats(upscaler.upscale(frames, Source::Decoded)), clean);
    }

    #[test]
    fn the_file_holds_the_network() {
        let written = upscaler(random());
        let bytes = written.to_bytes().unwrap();
        assert_eq!(bytes, written.to_bytes().unwrap());
        let read = Upscaler::from_bytes(&bytes, &Device::flex()).unwrap();
        assert_eq!((read.name(), read.hash().len()), ("test", 64));
        assert_eq!(read.to_bytes().unwrap(), bytes);
        let error = Upscaler::from_bytes(&bytes[..bytes.len() - 1], &Device::flex()).unwrap_err();
        assert!(error.to_string().contains("damaged"), "{error}");
    }
}
