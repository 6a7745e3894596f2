//! A trained upscaler, and its weight file.

use burn::tensor::{Device, Tensor};

use super::config::UpscalerConfig;
use super::network::{SCALE, Source, UpscalerNetwork};
use crate::network_file::{self, NetworkFile};
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
        let [_, _, count, _, width] = frames.dims();
        let rows = BAND_PIXELS / (count * width).max(1);
        self.upscale_by(frames, source, rows.max(1))
    }

    /// As [`upscale`](Self::upscale), in bands of about `rows`.
    fn upscale_by(&self, frames: Tensor<5>, source: Source, rows: usize) -> Tensor<5> {
        let height = frames.dims()[3];
        // Bands begin at even rows, as folded places do.
        let rows = rows.next_multiple_of(2);
        if rows >= height {
            return self.network.forward(frames, source);
        }
        let reach = self.network.reach().next_multiple_of(2);
        let band = |from: usize| {
            let to = (from + rows).min(height);
            let (first, last) = (from.saturating_sub(reach), (to + reach).min(height));
            let seen = frames.clone().narrow(3, first, last - first);
            self.network.forward(seen, source).narrow(
                3,
                (from - first) * SCALE,
                (to - from) * SCALE,
            )
        };
        Tensor::cat((0..height).step_by(rows).map(band).collect(), 3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::floats;
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
                assert!((value - expected).abs() < 1e-4, "{x}: {value} {expected}");
            }
        }
        // What is flat stays so up to the borders.
        let flat = upscaler(fresh()).upscale(Tensor::full([1, 3, 2, 5, 9], 0.5, &device), CLEAN);
        assert!(floats(flat).iter().all(|value| (value - 0.5).abs() < 1e-4));
    }

    #[test]
    fn bands_are_as_the_whole() {
        let upscaler = upscaler(random());
        for (height, width) in [(40, 12), (33, 15)] {
            let frames = noise([1, 3, 2, height, width]);
            let whole = floats(upscaler.upscale_by(frames.clone(), CLEAN, height));
            for rows in [1, 7, 16, 32] {
                assert_eq!(
                    floats(upscaler.upscale_by(frames.clone(), CLEAN, rows)),
                    whole,
                    "{rows}"
                );
            }
        }
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
