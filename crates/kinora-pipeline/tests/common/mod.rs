//! A model whose flow is known: every latent frame flows straight to a value that depends on its place alone.

// Each test file uses a part of it.
#![allow(dead_code)]

use std::cell::RefCell;

use burn::tensor::Tensor;
use kinora_models::upscaler::Source;
use kinora_models::{
    ClipShape, Defaults, Description, Error as ModelError, Known, KnownFrames, Sizes, VideoModel,
    Window,
};
use kinora_sampling::Sampler;

/// A window that the model was asked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    pub(crate) first_latent_frame: usize,
    pub(crate) timesteps: Vec<f32>,
    pub(crate) anchor: Option<usize>,
}

/// Latents flow to `target(place)`; a frame is the latent, four pixels for one, and a little lighter.
pub(crate) struct Straight {
    pub(crate) description: Description,
    pub(crate) broken: Option<f32>,
    /// What decoding adds.
    pub(crate) lighter: f32,
    pub(crate) seen: RefCell<Vec<Seen>>,
    /// Clips that were planned, and which of their latent frames were given.
    pub(crate) planned: RefCell<Vec<(ClipShape, Vec<usize>)>>,
}

impl Straight {
    pub(crate) fn new() -> Self {
        Self {
            description: Description {
                name: "straight".into(),
                hash: String::new(),
                latent_channels: 3,
                spatial_stride: 4,
                temporal_stride: 4,
                window: 5,
                overlap: 1,
                frames_per_second: 12,
                sizes: Sizes::Listed(vec![[32, 16]]),
                max_frames: None,
                known_frames: KnownFrames::Any,
                tells_steps: false,
                anchored: false,
                decodes_with_text: false,
                frames: Source::Clean,
                defaults: Defaults {
                    sampler: Sampler::Euler,
                    steps: 6,
                    guidance: 1.0,
                    guidance_below: None,
                    guidance_above: 0.0,
                    shift: 2.0,
                    negative: String::new(),
                    size: [32, 16],
                    frames: 48,
                    frames_per_second: 12,
                },
            },
            broken: None,
            lighter: 0.0,
            seen: RefCell::default(),
            planned: RefCell::default(),
        }
    }
}

pub(crate) fn target(place: usize) -> f32 {
    (place as f32 * 0.7).sin() * 0.8
}

impl VideoModel for Straight {
    type Text = ();
    type DecodeState = usize;

    fn description(&self) -> &Description {
        &self.description
    }

    fn encode_text(&self, _prompt: &str) -> Result<(), ModelError> {
        Ok(())
    }

    fn plan(
        &self,
        _prompt: &str,
        (): (),
        clip: ClipShape,
        known: Known<'_>,
    ) -> Result<(), ModelError> {
        let given = known.beside.iter().map(|(index, _)| *index).collect();
        self.planned.borrow_mut().push((clip, given));
        Ok(())
    }

    fn velocity(&self, window: Window<'_>, (): &()) -> Result<Tensor<5>, ModelError> {
        self.seen.borrow_mut().push(Seen {
            first_latent_frame: window.first_latent_frame,
            timesteps: window.timesteps.to_vec(),
            anchor: window.anchor.map(|anchor| anchor.latent_frame),
        });
        if let Some(anchor) = window.anchor {
            let left = anchor.latents.clone().slice([0..1, 0..3, 0..1, 0..1, 0..1]);
            let off = (left - target(anchor.latent_frame)).abs().max();
            assert!(off.into_scalar::<f32>() < 0.01, "it is the frame it says");
        }
        if let Some(broken) = self.broken {
            return Ok(window.latents.zeros_like() + broken);
        }
        // x = (1 − σ)·target + σ·noise, so noise − target = (x − target) / σ.
        let frames = window.timesteps.iter().enumerate().map(|(i, &sigma)| {
            let x = window.latents.clone().narrow(2, i, 1);
            let [_, _, _, _, width] = x.dims();
            let columns: Vec<f32> = (0..width).map(|column| column as f32 * 0.01).collect();
            let columns = Tensor::<1>::from_floats(columns.as_slice(), &x.device());
            let goal = columns.reshape([1, 1, 1, 1, width]) + target(window.first_latent_frame + i);
            (x - goal) / sigma.max(1e-3)
        });
        Ok(Tensor::cat(frames.collect(), 2))
    }

    fn encode_frames(&self, video: Tensor<5>) -> Result<Tensor<5>, ModelError> {
        let [_, channels, frames, height, width] = video.dims();
        let (rows, columns) = (height / 4, width / 4);
        let latents = (frames - 1) / 4;
        let padding = video.clone().narrow(2, 0, 1).repeat_dim(2, 3);
        let latents = Tensor::cat(vec![padding, video], 2)
            .reshape([channels * (latents + 1), 4, rows, 4, columns * 4])
            .mean_dim(3)
            .mean_dim(1)
            .reshape([channels * (latents + 1) * rows, columns, 4])
            .mean_dim(2)
            .reshape([1, channels, latents + 1, rows, columns]);
        Ok(latents)
    }

    fn decode_step(
        &self,
        latents: Tensor<5>,
        decoded: &mut usize,
    ) -> Result<Tensor<5>, ModelError> {
        let frames = if *decoded == 0 { 1 } else { 4 };
        *decoded += 1;
        let [_, channels, _, rows, columns] = latents.dims();
        let frames = latents
            .reshape([channels, rows, 1, columns, 1])
            .expand([channels, rows, 4, columns, 4])
            .reshape([1, channels, 1, 4 * rows, 4 * columns])
            .repeat_dim(2, frames)
            .add_scalar(self.lighter);
        Ok(frames)
    }

    /// Lighter by the place, so that frames tell which they were decoded for.
    fn decode_step_of(
        &self,
        latents: Tensor<5>,
        (first, ()): (usize, &()),
        decoded: &mut usize,
    ) -> Result<Tensor<5>, ModelError> {
        let frames = self.decode_step(latents, decoded)?;
        Ok(match self.description.decodes_with_text {
            true => frames + first as f32 * 0.01,
            false => frames,
        })
    }
}
