//! Frames with frames between them.

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use kinora_data::{Aspect, Pack, RenderOptions, Renderer, SceneSpec, Split};
use kinora_media::Frame;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::Error;
use crate::corpus::HELD_OUT_SEED;
use crate::shelf::Shelf;
use crate::upscaler::cut;

/// Rates of the frames that are known, and how often; the model's own most.
const RATES: [f32; 8] = [12.0, 12.0, 12.0, 12.0, 12.0, 8.0, 15.0, 24.0];
/// Parts of the time between two of them at which there are frames.
const PARTS: [usize; 3] = [2, 4, 5];
/// Second of a scene at which the latest window begins.
const LATEST_SECS: f32 = 4.0;

/// A known frame, those after it, and the next known one.
pub(crate) struct Window {
    pub(crate) frames: Vec<Frame>,
}

impl Window {
    /// Parts of the time between the first and the last frame.
    pub(crate) fn parts(&self) -> usize {
        self.frames.len() - 1
    }
}

/// Renders windows.
pub(crate) struct Footage {
    pub(crate) pack: Arc<Pack>,
    pub(crate) seed: u64,
}

impl Footage {
    /// Window `number` of those that training sees.
    ///
    /// # Errors
    ///
    /// What no scene of a pack leads to.
    pub(crate) fn window(&self, number: u32) -> Result<Window, Error> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(u64::from(number));
        let rate = RATES[rng.random_range(0..RATES.len())];
        let parts = PARTS[rng.random_range(0..PARTS.len())];
        self.render(rng, Split::Train, rate, parts)
    }

    /// A window of `parts` parts that training never sees, at the model's rate.
    ///
    /// # Errors
    ///
    /// As [`window`](Self::window).
    pub(crate) fn held_out(&self, number: u32, parts: usize) -> Result<Window, Error> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed ^ HELD_OUT_SEED);
        rng.set_stream(u64::from(number));
        self.render(rng, Split::HeldOut, RATES[0], parts)
    }

    fn render(
        &self,
        mut rng: ChaCha8Rng,
        split: Split,
        rate: f32,
        parts: usize,
    ) -> Result<Window, Error> {
        let mut spec = SceneSpec::sample(rng.random(), &self.pack, split);
        spec.aspect = Aspect::ALL[[0, 0, 1, 2][rng.random_range(0..4)]];
        let (width, height) = spec.aspect.native_size();
        let options = RenderOptions {
            width,
            height,
            fps: rate * parts as f32,
            start_frame: (rng.random_range(0.0..LATEST_SECS) * rate) as usize * parts,
            frames: parts + 1,
        };
        let clip = Renderer::new(&self.pack).render(&spec, options)?;
        let frame = |index: usize| {
            let pixels = clip.frame(index).to_vec();
            Frame::new(width as u32, height as u32, pixels)
        };
        Ok(Window {
            frames: (0..clip.frames).map(frame).collect::<Result<_, _>>()?,
        })
    }
}

/// Two known frames and one between them, for each of a step's crops.
pub(crate) struct Triples {
    /// First, second and between: `[batch, 1, crop, crop, 3]`.
    frames: [Vec<f32>; 3],
    times: Vec<f32>,
    crop: usize,
}

/// Crops of a step on a device.
pub(crate) struct TripleTensors {
    /// `[batch, 1, crop, crop, 3]`
    pub(crate) first: Tensor<5>,
    pub(crate) second: Tensor<5>,
    pub(crate) between: Tensor<5>,
    /// `[batch, 1, 1, 1, 1]`
    pub(crate) times: Tensor<5>,
}

impl Triples {
    /// Draws the crops of a step.
    pub(crate) fn draw(
        footage: &Footage,
        shelf: &mut Shelf<Window>,
        step: u32,
        [batch, crop]: [usize; 2],
    ) -> Self {
        let rendered = "scenes of a pack can be rendered at native sizes";
        let windows = shelf.at(step, |number| footage.window(number).expect(rendered));
        let mut rng = ChaCha8Rng::seed_from_u64(!footage.seed);
        rng.set_stream(u64::from(step));
        let mut triples = Self {
            frames: Default::default(),
            times: Vec::with_capacity(batch),
            crop,
        };
        for _ in 0..batch {
            let window = &windows[rng.random_range(0..windows.len())];
            let parts = window.parts();
            let part = rng.random_range(1..parts);
            let (mut shown, mut time) = ([0, parts, part], part as f32 / parts as f32);
            // A clip that runs backwards moves as well.
            if rng.random_bool(0.5) {
                shown.swap(0, 1);
                time = 1.0 - time;
            }
            let (width, height) = window.frames[0].size();
            let mut place = |side: u32| rng.random_range(0..=side as usize - crop);
            let corner = [place(width), place(height)];
            let mirrored = rng.random_bool(0.5);
            for (index, out) in shown.into_iter().zip(&mut triples.frames) {
                cut(&window.frames[index], corner, crop, mirrored, out);
            }
            triples.times.push(time);
        }
        triples
    }

    pub(crate) fn tensors(self, device: &Device) -> TripleTensors {
        let batch = self.times.len();
        let [first, second, between] = self.frames.map(|values| {
            let shape = [batch, 1, self.crop, self.crop, 3];
            Tensor::from_data(TensorData::new(values, shape), device)
        });
        TripleTensors {
            first,
            second,
            between,
            times: Tensor::from_data(TensorData::new(self.times, [batch, 1, 1, 1, 1]), device),
        }
    }
}
