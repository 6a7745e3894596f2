//! Frames at a model's own size beside the same frames four times as large.

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use kinora_data::{Aspect, Pack, RenderOptions, Renderer, SceneSpec, Split};
use kinora_media::{Frame, resize};
use kinora_models::mini::LATEST_WINDOW;
use kinora_models::mini::autoencoder::Autoencoder;
use kinora_models::mini::config::AutoencoderConfig;
use kinora_models::mini::plate::{Plate, PlateSize};
use kinora_models::upscaler::{SCALE, Source};
use kinora_pipeline::{frames_from_tensor, tensor_from_frames};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::Error;
use crate::corpus::{HELD_OUT_SEED, Window, caption};
use crate::flow::gaussian;
use crate::shelf::Shelf;
use crate::staging::{DAYLIGHT, StageBuilder, Told};

/// Frames that are taken of a scene, one after another.
const FRAMES: usize = 2;

/// One frame, and what a model or a filter leaves of it.
pub(crate) struct Example {
    /// As it should become.
    pub(crate) large: Frame,
    /// Made smaller.
    pub(crate) clean: Frame,
    /// Rendered small, and decoded from latents with noise.
    pub(crate) degraded: Frame,
}

/// Renders scenes twice.
pub(crate) struct Studio {
    pub(crate) pack: Arc<Pack>,
    pub(crate) autoencoder: Autoencoder,
    /// Largest deviation of the noise on latents.
    pub(crate) latent_noise: f32,
    pub(crate) autoencoder_sizes: AutoencoderConfig,
    /// Draws plates, where the decoder sees them.
    pub(crate) stage: Option<StageBuilder>,
    pub(crate) seed: u64,
    pub(crate) device: Device,
}

impl Studio {
    /// Frames of scene `number` that training sees.
    ///
    /// # Errors
    ///
    /// What no scene of a pack leads to.
    pub(crate) fn scene(&self, number: u32) -> Result<Vec<Example>, Error> {
        self.examples(self.seed, Split::Train, number, self.latent_noise)
    }

    /// Frames of scene `number` that training never sees; no noise is on their latents.
    ///
    /// # Errors
    ///
    /// As [`scene`](Self::scene).
    pub(crate) fn held_out(&self, number: u32) -> Result<Vec<Example>, Error> {
        self.examples(self.seed ^ HELD_OUT_SEED, Split::HeldOut, number, 0.0)
    }

    /// `latent_noise` is the largest deviation of the noise on a scene's latents.
    fn examples(
        &self,
        seed: u64,
        split: Split,
        number: u32,
        latent_noise: f32,
    ) -> Result<Vec<Example>, Error> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(u64::from(number));
        let mut spec = SceneSpec::sample(rng.random(), &self.pack, split);
        spec.aspect = Aspect::ALL[[0, 0, 1, 2][rng.random_range(0..4)]];
        let (width, height) = spec.aspect.native_size();
        // Two latent frames from the middle of a scene: what the second becomes depends on the first.
        let window = Window {
            first: rng.random_range(1..=LATEST_WINDOW),
            latent_frames: 2,
            width,
            height,
        };
        let (small, _) = window.options(self.autoencoder_sizes.patch_frames);
        let renderer = Renderer::new(&self.pack);
        let clip = renderer.render(&spec, small)?;
        let frame = |index: usize| {
            let pixels = clip.frame(index).to_vec();
            Frame::new(width as u32, height as u32, pixels)
        };
        let frames: Vec<Frame> = (0..clip.frames).map(frame).collect::<Result<_, _>>()?;
        let deviation = latent_noise * rng.random::<f32>();
        let plate = self.plate(&renderer, &spec, window, rng.random());
        let decoded = self.round_trip(&frames, plate, deviation, &mut rng)?;

        let shown = self.autoencoder_sizes.patch_frames
            + rng.random_range(0..=self.autoencoder_sizes.patch_frames - FRAMES);
        let large = RenderOptions {
            width: SCALE * width,
            height: SCALE * height,
            start_frame: small.start_frame + shown,
            frames: FRAMES,
            ..small
        };
        let clip = renderer.render(&spec, large)?;
        let example = |index: usize| {
            let pixels = clip.frame(index).to_vec();
            let large = Frame::new(clip.width as u32, clip.height as u32, pixels)?;
            Ok(Example {
                clean: resize(&large, width as u32, height as u32)?,
                degraded: decoded[shown + index].clone(),
                large,
            })
        };
        (0..FRAMES).map(example).collect()
    }

    /// What the decoder sees of a scene beside its latents.
    fn plate(
        &self,
        renderer: &Renderer<'_>,
        spec: &SceneSpec,
        window: Window,
        words: u64,
    ) -> Option<Plate> {
        let stage = self.stage.as_ref()?;
        let caption = caption(spec, &self.pack, words);
        let slots = stage.slots(spec, &caption);
        let told = Told {
            renderer,
            spec,
            slots: &slots,
        };
        let size = PlateSize {
            frame: [window.width, window.height],
            patch: self.autoencoder_sizes.patch,
            patch_frames: self.autoencoder_sizes.patch_frames,
        };
        let mut rng = ChaCha8Rng::seed_from_u64(words);
        let setting = stage.setting((spec, &caption), size.frame, DAYLIGHT, &mut rng);
        Some(stage.plate(told, &setting, size, window))
    }

    /// Frames as they come back from latents with noise.
    fn round_trip(
        &self,
        frames: &[Frame],
        plate: Option<Plate>,
        deviation: f32,
        rng: &mut ChaCha8Rng,
    ) -> Result<Vec<Frame>, Error> {
        let video = tensor_from_frames(frames, &self.device);
        let patches = self.autoencoder.patchify(video);
        let shape = patches.dims();
        let latents = self.autoencoder.encode_tokens(patches);
        let noise = gaussian(latents.dims(), rng, &self.device) * deviation;
        let lost = plate.map(|plate| {
            let patches = TensorData::new(plate.patches, shape);
            let patches = Tensor::from_data(patches, &self.device);
            self.autoencoder.lost(patches)
        });
        let decoded = self.autoencoder.decode_tokens(latents + noise, lost);
        Ok(frames_from_tensor(decoded)?)
    }
}

/// Crops of one step.
pub(crate) struct Crops {
    /// `[batch, 3, 1, crop, crop]`
    small: Vec<f32>,
    /// `[batch, 3, 1, SCALE · crop, SCALE · crop]`
    large: Vec<f32>,
    batch: usize,
    crop: usize,
    /// Of all of them: each source has a head of its own.
    pub(crate) source: Source,
}

impl Crops {
    /// Draws the crops of a step.
    pub(crate) fn draw(
        studio: &Studio,
        shelf: &mut Shelf<Vec<Example>>,
        step: u32,
        [batch, crop]: [usize; 2],
        degraded_share: f64,
    ) -> Self {
        let rendered = "scenes of a pack can be rendered at native sizes and four times those";
        let scenes = shelf.at(step, |number| studio.scene(number).expect(rendered));
        let mut rng = ChaCha8Rng::seed_from_u64(!studio.seed);
        rng.set_stream(u64::from(step));
        let source = match rng.random_bool(degraded_share) {
            true => Source::Decoded,
            false => Source::Clean,
        };
        let (mut small, mut large) = (Vec::new(), Vec::new());
        for _ in 0..batch {
            let example = &scenes[rng.random_range(0..scenes.len())][rng.random_range(0..FRAMES)];
            let from = match source {
                Source::Decoded => &example.degraded,
                Source::Clean => &example.clean,
            };
            // Folded places begin at even pixels.
            let (width, height) = (from.width() as usize, from.height() as usize);
            let mut place = |side: usize| 2 * rng.random_range(0..=(side - crop) / 2);
            let corner = [place(width), place(height)];
            let mirrored = rng.random_bool(0.5);
            cut(from, corner, crop, mirrored, &mut small);
            let corner = corner.map(|at| at * SCALE);
            cut(&example.large, corner, crop * SCALE, mirrored, &mut large);
        }
        Self {
            small,
            large,
            batch,
            crop,
            source,
        }
    }

    /// `[batch, 3, 1, crop, crop]` and `[batch, 3, 1, SCALE · crop, SCALE · crop]`, −1 to 1.
    pub(crate) fn tensors(self, device: &Device) -> (Tensor<5>, Tensor<5>) {
        let tensor = |values: Vec<f32>, side: usize| {
            let shape = [self.batch, 1, side, side, 3];
            Tensor::<5>::from_data(TensorData::new(values, shape), device).permute([0, 4, 1, 2, 3])
        };
        (
            tensor(self.small, self.crop),
            tensor(self.large, self.crop * SCALE),
        )
    }
}

/// Appends a square of a frame, channels last, −1 to 1.
pub(crate) fn cut(
    frame: &Frame,
    [left, top]: [usize; 2],
    side: usize,
    mirrored: bool,
    out: &mut Vec<f32>,
) {
    let width = frame.width() as usize;
    for y in top..top + side {
        let row = &frame.pixels()[3 * (y * width + left)..][..3 * side];
        let value = |&byte: &u8| f32::from(byte) / 127.5 - 1.0;
        if mirrored {
            out.extend(row.rchunks(3).flatten().map(value));
        } else {
            out.extend(row.iter().map(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_are_cut_where_they_are_wanted() {
        let frame = Frame::from_fn(6, 4, |x, y| [x as u8, y as u8, 0]).unwrap();
        let level = |value: f32| ((value + 1.0) * 127.5).round() as u8;
        let pixels = |mirrored: bool| -> Vec<u8> {
            let mut out = Vec::new();
            cut(&frame, [2, 1], 2, mirrored, &mut out);
            out.into_iter().map(level).collect()
        };
        assert_eq!(pixels(false), [2, 1, 0, 3, 1, 0, 2, 2, 0, 3, 2, 0]);
        assert_eq!(pixels(true), [3, 1, 0, 2, 1, 0, 3, 2, 0, 2, 2, 0]);
    }
}
