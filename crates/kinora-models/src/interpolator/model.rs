//! A trained interpolator, and its weight file.

use burn::tensor::module::{adaptive_avg_pool2d, interpolate};
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};
use burn::tensor::{Device, Tensor};

use super::config::InterpolatorConfig;
use super::network::{InterpolatorNetwork, Motion, STRIDE};
use crate::network_file::{self, NetworkFile};
use crate::{Error, weights};

/// The one entry of the file's metadata.
const METADATA: &str = "kinora-interpolator";
/// Pixels of the frames in which motion is looked for; larger ones are made smaller for it.
const MOTION_PIXELS: usize = 1 << 16;
/// Nearer to a frame than this nothing is between.
const NEAREST: f32 = 1e-3;

/// A trained interpolator.
#[derive(Debug, Clone)]
pub struct Interpolator {
    name: String,
    hash: String,
    config: InterpolatorConfig,
    network: InterpolatorNetwork,
}

impl Interpolator {
    /// `name` is shown to people, `hash` identifies the weights.
    pub fn new(
        name: &str,
        hash: String,
        config: InterpolatorConfig,
        network: InterpolatorNetwork,
    ) -> Self {
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
        let file = NetworkFile::<InterpolatorConfig>::from_bytes(METADATA, bytes)?;
        file.config.validate().map_err(Error::Format)?;
        let fresh = InterpolatorNetwork::new(&file.config, device);
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

    /// Name and version, such as `kinora-interpolator-v1`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// SHA-256 of the weight file, in hexadecimal.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The frames at `times` between two frames: 0 is the first, 1 the second.
    ///
    /// # Shapes
    ///
    /// `[1, 3, 1, height, width]`, −1 to 1, both → each `[1, 3, 1, height, width]`
    pub fn between(&self, first: Tensor<5>, second: Tensor<5>, times: &[f32]) -> Vec<Tensor<5>> {
        let [first, second] = [first, second].map(|frame| frame.permute([0, 2, 3, 4, 1]));
        let [_, _, height, width, _] = first.dims();
        let small = motion_size([height, width]);
        let described = Tensor::cat(vec![first.clone(), second.clone()], 0);
        let features = self
            .network
            .features(resized(described, small, Way::Smaller));
        let of = |frame: usize| -> Vec<Tensor<5>> {
            let parts = features.iter().map(|x| x.clone().narrow(0, frame, 1));
            parts.collect()
        };
        let (of_first, of_second) = (of(0), of(1));
        let frame = |&time: &f32| {
            let time = time.clamp(NEAREST, 1.0 - NEAREST);
            let time = Tensor::full([1; 5], time, &first.device());
            let mut motions = self.network.motion_of(&of_first, &of_second, &time);
            let finest = motions.pop().expect("there is a finest level");
            enlarged(finest, [height, width])
                .between(first.clone(), second.clone(), &time)
                .permute([0, 4, 1, 2, 3])
        };
        times.iter().map(frame).collect()
    }
}

/// The size at which motion is looked for, `[height, width]`: as it is, if the network takes it.
fn motion_size(size: [usize; 2]) -> [usize; 2] {
    let scale = (MOTION_PIXELS as f64 / (size[0] * size[1]) as f64).sqrt();
    size.map(|side| {
        let wanted = side as f64 * scale.min(1.0);
        ((wanted / STRIDE as f64).round() as usize).max(1) * STRIDE
    })
}

#[derive(Clone, Copy)]
enum Way {
    Smaller,
    Larger,
}

/// Channels-last frames at another size, `[height, width]`.
fn resized(x: Tensor<5>, size: [usize; 2], way: Way) -> Tensor<5> {
    let [batch, frames, height, width, channels] = x.dims();
    if [height, width] == size {
        return x;
    }
    let x = x
        .reshape([batch * frames, height, width, channels])
        .permute([0, 3, 1, 2]);
    let x = match way {
        Way::Smaller => adaptive_avg_pool2d(x, size),
        Way::Larger => {
            let linear = InterpolateOptions::new(InterpolateMode::Bilinear)
                .with_align_corners(false)
                .with_output_size(size);
            interpolate(x, linear)
        }
    };
    x.permute([0, 2, 3, 1])
        .reshape([batch, frames, size[0], size[1], channels])
}

/// Motion found in smaller frames, for frames of `size`.
fn enlarged(motion: Motion, size: [usize; 2]) -> Motion {
    let [_, _, height, width, _] = motion.flow.dims();
    if [height, width] == size {
        return motion;
    }
    let device = motion.flow.device();
    let (down, right) = (
        size[0] as f32 / height as f32,
        size[1] as f32 / width as f32,
    );
    let scale = Tensor::<1>::from_floats([right, down, right, down], &device);
    Motion {
        flow: resized(motion.flow, size, Way::Larger) * scale.reshape([1, 1, 1, 1, 4]),
        preference: resized(motion.preference, size, Way::Larger),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::floats;
    use burn::tensor::Distribution;

    fn fresh() -> Interpolator {
        let config = InterpolatorConfig::new();
        let network = InterpolatorNetwork::new(&config, &Device::flex());
        Interpolator::new("test", String::new(), config, network)
    }

    fn noise(shape: [usize; 5]) -> Tensor<5> {
        Tensor::random(shape, Distribution::Uniform(-1.0, 1.0), &Device::flex())
    }

    #[test]
    fn a_fresh_network_blends() {
        for (height, width) in [(32, 48), (30, 50)] {
            let (first, second) = (
                noise([1, 3, 1, height, width]),
                noise([1, 3, 1, height, width]),
            );
            let times = [0.25, 0.5];
            let frames = fresh().between(first.clone(), second.clone(), &times);
            for (frame, time) in frames.into_iter().zip(times) {
                assert_eq!(frame.dims(), [1, 3, 1, height, width]);
                let blend = first.clone() * (1.0 - time) + second.clone() * time;
                let worst = floats((frame - blend).abs().max());
                assert!(worst[0] < 1e-4, "{worst:?}");
            }
        }
    }

    /// Known motion: a picture that moves by 4 pixels, seen after a quarter of the time.
    #[test]
    fn motion_leads_to_where_pixels_are() {
        let device = Device::flex();
        let picture = noise([1, 1, 16, 24, 3]);
        // The second frame shows the picture 4 pixels further to the left.
        let second = kinora_kernels::warp(
            picture.clone(),
            Tensor::<1>::from_floats([4.0, 0.0], &device)
                .reshape([1, 1, 1, 1, 2])
                .expand([1, 1, 16, 24, 2]),
        );
        // What is at x after a quarter was at x + 1, and will be at x − 3.
        let motion = Motion {
            flow: Tensor::<1>::from_floats([4.0, 0.0, -4.0, 0.0], &device)
                .reshape([1, 1, 1, 1, 4])
                .expand([1, 1, 16, 24, 4]),
            preference: Tensor::zeros([1, 1, 16, 24, 1], &device),
        };
        let time = Tensor::full([1; 5], 0.25, &device);
        let between = floats(motion.between(picture.clone(), second, &time));
        let picture = floats(picture);
        for row in 0..16 {
            for column in 4..20 {
                let (at, from) = (3 * (row * 24 + column), 3 * (row * 24 + column + 1));
                assert!((between[at] - picture[from]).abs() < 1e-4);
            }
        }
    }

    #[test]
    fn motion_is_looked_for_in_small_frames() {
        assert_eq!(motion_size([96, 176]), [96, 176]);
        assert_eq!(motion_size([5, 9]), [16, 16]);
        let [height, width] = motion_size([1080, 1920]);
        assert!(height * width <= 70_000 && height % STRIDE == 0 && width % STRIDE == 0);
    }

    #[test]
    fn the_file_holds_the_network() {
        let bytes = fresh().to_bytes().unwrap();
        let read = Interpolator::from_bytes(&bytes, &Device::flex()).unwrap();
        assert_eq!(read.to_bytes().unwrap(), bytes);
        let other = crate::upscaler::Upscaler::from_bytes(&bytes, &Device::flex()).unwrap_err();
        assert!(other.to_string().contains("kinora-upscaler"), "{other}");
    }
}
