//! Batches of captioned clips, rendered ahead of the step that needs them.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use burn::tensor::{Device, Tensor, TensorData};
use kinora_data::{Aspect, Labels, Pack, RenderOptions, Renderer, SceneSpec, Split, captions};
use kinora_models::mini::config::AutoencoderConfig;
use kinora_models::mini::layout::{Place, Places, SLOTS, push_values};
use kinora_models::mini::lexicon::Lexicon;
use kinora_models::mini::plate::{Picture, Plate, PlateSize};
use kinora_models::mini::{DIRECTOR_FRAMES, DIRECTOR_LATEST, LATEST_WINDOW};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Frames per second of the training clips.
pub(crate) const FRAMES_PER_SECOND: usize = 12;
const HELD_OUT_SEED: u64 = 0x5EED_0F4E_1D00;

/// What a batch holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Clips.
    pub batch: usize,
    /// Latent frames of each.
    pub latent_frames: usize,
    /// Whether clips may begin in the middle of a scene.
    pub anywhere: bool,
}

/// Paths of subjects through scenes, for the director.
#[derive(Debug, Clone)]
pub struct Layouts {
    /// Slots that each scene fills: the subjects that its caption names.
    pub subjects: Vec<usize>,
    /// [`DIRECTOR_FRAMES`] latent frames of each, `[batch, DIRECTOR_FRAMES, patch_frames · FRAME_VALUES]`.
    pub values: Vec<f32>,
    /// Index of each first latent frame in its scene.
    pub first_latent_frames: Vec<usize>,
    /// Pixels of a frame, `[width, height]`.
    pub size: [usize; 2],
}

impl Layouts {
    fn new(size: [usize; 2]) -> Self {
        Self {
            subjects: Vec::new(),
            values: Vec::new(),
            first_latent_frames: Vec::new(),
            size,
        }
    }
}

/// What the denoisers are told of a batch's subjects.
#[derive(Debug, Clone)]
pub struct Staging {
    /// Of each clip.
    pub plates: Vec<Plate>,
    /// Of each clip, from a time of its own on.
    pub layouts: Layouts,
}

/// Layouts with their captions.
#[derive(Debug, Clone)]
pub(crate) struct LayoutBatch {
    pub(crate) layouts: Layouts,
    pub(crate) captions: Vec<String>,
    /// For whatever else the step draws.
    pub(crate) rng: ChaCha8Rng,
}

/// Clips of the same size with their captions and facts.
#[derive(Debug, Clone)]
pub struct ClipBatch {
    /// Pixels in −1 to 1 grouped by patch.
    patches: Vec<f32>,
    /// `[batch, latent_frames, height, width, patch_values]`
    shape: [usize; 5],
    /// A caption of each clip.
    pub captions: Vec<String>,
    /// Subjects of each clip, the main one first.
    pub subjects: Vec<Vec<usize>>,
    /// Facts of each clip.
    pub labels: Vec<Labels>,
    /// Index of the first latent frame in its scene.
    pub first_latent_frames: Vec<usize>,
    /// Where the subjects are, if the corpus knows what they look like.
    pub staging: Option<Staging>,
    /// For whatever else the step draws.
    pub rng: ChaCha8Rng,
}

impl ClipBatch {
    /// `[batch, latent_frames, height, width, patch_values]`
    pub fn patches(&self, device: &Device) -> Tensor<5> {
        Tensor::from_data(TensorData::new(self.patches.clone(), self.shape), device)
    }
}

/// The endless stream of rendered scenes.
#[derive(Clone)]
pub struct Corpus {
    pack: Arc<Pack>,
    split: Split,
    seed: u64,
    patch: usize,
    patch_frames: usize,
    stage: Option<Arc<StageBuilder>>,
}

/// Names and pictures, ready to draw.
struct StageBuilder {
    lexicon: Lexicon,
    pictures: Vec<Picture>,
}

impl Corpus {
    /// Scenes of `pack`; the same seed gives the same batches.
    pub fn new(pack: Arc<Pack>, split: Split, seed: u64, config: &AutoencoderConfig) -> Self {
        Self {
            pack,
            split,
            seed,
            patch: config.patch,
            patch_frames: config.patch_frames,
            stage: None,
        }
    }

    /// The same scenes with their [`Staging`].
    pub fn with_staging(self, lexicon: Lexicon) -> Self {
        let pictures = (0..lexicon.entries().len())
            .map(|entry| Picture::new(lexicon.picture(entry)))
            .collect();
        Self {
            stage: Some(Arc::new(StageBuilder { lexicon, pictures })),
            ..self
        }
    }

    /// The subjects.
    pub fn pack(&self) -> &Arc<Pack> {
        &self.pack
    }

    /// Scenes that training never sees.
    pub fn held_out(&self) -> Self {
        Self {
            split: Split::HeldOut,
            seed: self.seed ^ HELD_OUT_SEED,
            ..self.clone()
        }
    }

    /// The batch of a step: a function of seed and step alone, so that a resumed run sees what it
    /// would have seen.
    pub fn batch(&self, step: u32, shape: Shape) -> ClipBatch {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(u64::from(step));
        let aspect = Aspect::ALL[[0, 0, 1, 2][rng.random_range(0..4)]];
        self.batch_of(rng, aspect, shape)
    }

    fn batch_of(&self, mut rng: ChaCha8Rng, aspect: Aspect, shape: Shape) -> ClipBatch {
        let (width, height) = aspect.native_size();
        let renderer = Renderer::new(&self.pack);
        let mut batch = ClipBatch {
            patches: Vec::new(),
            shape: [
                shape.batch,
                shape.latent_frames,
                height / self.patch,
                width / self.patch,
                self.patch_frames * self.patch * self.patch * 3,
            ],
            captions: Vec::new(),
            subjects: Vec::new(),
            labels: Vec::new(),
            first_latent_frames: Vec::new(),
            staging: self.stage.as_ref().map(|_| Staging {
                plates: Vec::new(),
                layouts: Layouts::new([width, height]),
            }),
            rng: rng.clone(),
        };
        for _ in 0..shape.batch {
            let mut spec = SceneSpec::sample(rng.random(), &self.pack, self.split);
            spec.aspect = aspect;
            let first = if shape.anywhere && rng.random_bool(0.6) {
                rng.random_range(1..=LATEST_WINDOW)
            } else {
                0
            };
            let window = Window {
                first,
                latent_frames: shape.latent_frames,
                width,
                height,
            };
            self.render(&renderer, &spec, window, &mut batch.patches);
            let caption = caption(&spec, &self.pack, rng.random());
            if let (Some(stage), Some(staging)) = (&self.stage, &mut batch.staging) {
                let slots = stage.slots(&spec, &caption);
                let plate = self.plate(stage, &renderer, &spec, &slots, window);
                staging.plates.push(plate);
                let from = layout_start(&mut rng);
                self.push_layout(&renderer, &spec, &slots, from, &mut staging.layouts);
            }
            batch.captions.push(caption);
            batch.subjects.push(
                std::iter::once(spec.subject)
                    .chain(spec.companion.map(|companion| companion.subject))
                    .collect(),
            );
            batch.labels.push(spec.labels());
            batch.first_latent_frames.push(first);
        }
        batch.rng = rng;
        batch
    }

    /// One given scene from its beginning, as a batch of its own.
    pub fn scene(&self, spec: &SceneSpec, latent_frames: usize) -> ClipBatch {
        let (width, height) = spec.aspect.native_size();
        let mut patches = Vec::new();
        let window = Window {
            first: 0,
            latent_frames,
            width,
            height,
        };
        self.render(&Renderer::new(&self.pack), spec, window, &mut patches);
        let values = self.patch_frames * self.patch * self.patch * 3;
        ClipBatch {
            patches,
            shape: [
                1,
                latent_frames,
                height / self.patch,
                width / self.patch,
                values,
            ],
            captions: vec![captions(spec, &self.pack, 0).short_en.text],
            subjects: vec![vec![spec.subject]],
            labels: vec![spec.labels()],
            first_latent_frames: vec![0],
            staging: None,
            rng: ChaCha8Rng::seed_from_u64(0),
        }
    }

    fn render(&self, renderer: &Renderer, spec: &SceneSpec, window: Window, out: &mut Vec<f32>) {
        let (options, padding) = self.options(window);
        let clip = renderer.render(spec, options);
        let clip = clip.expect("native sizes and frame counts can be rendered");
        let frame_of = |t: usize| t.saturating_sub(padding);
        let (p, row) = (self.patch, window.width * 3);
        for latent_frame in 0..window.latent_frames {
            for y in 0..window.height / p {
                for x in 0..window.width / p {
                    for t in 0..self.patch_frames {
                        let frame = frame_of(latent_frame * self.patch_frames + t);
                        for line in 0..p {
                            let start = (frame * window.height + y * p + line) * row + x * p * 3;
                            let pixels = &clip.rgb[start..start + p * 3];
                            out.extend(pixels.iter().map(|&byte| f32::from(byte) / 127.5 - 1.0));
                        }
                    }
                }
            }
        }
    }

    /// Which frames a window holds, and how often its first frame is repeated before them: latent
    /// frame 0 holds frame 0 alone, repeated; latent frame k holds 4k − 3 ..= 4k.
    fn options(&self, window: Window) -> (RenderOptions, usize) {
        let padding = if window.first == 0 {
            self.patch_frames - 1
        } else {
            0
        };
        let options = RenderOptions {
            width: window.width,
            height: window.height,
            fps: FRAMES_PER_SECOND as f32,
            start_frame: (window.first * self.patch_frames).saturating_sub(self.patch_frames - 1),
            frames: window.latent_frames * self.patch_frames - padding,
        };
        (options, padding)
    }

    /// Places in each frame of each latent frame of a window, for the subjects in `slots`.
    fn places(
        &self,
        renderer: &Renderer,
        spec: &SceneSpec,
        slots: &[usize],
        window: Window,
    ) -> Vec<Places> {
        let (options, padding) = self.options(window);
        let told = renderer.places(spec, options);
        let told = told.expect("native sizes and frame counts can be rendered");
        let places = |frame: &Vec<kinora_data::Place>| -> Places {
            std::array::from_fn(|slot| {
                let subject = slots.get(slot)?;
                let place = frame.iter().find(|place| place.subject == *subject)?;
                Some(Place {
                    center: place.center,
                    sides: place.sides,
                    rotation: place.rotation,
                    is_flipped: place.is_flipped,
                })
            })
        };
        let frames = window.latent_frames * self.patch_frames;
        (0..frames)
            .map(|frame| places(&told[frame.saturating_sub(padding)]))
            .collect()
    }

    /// The plate of a window.
    fn plate(
        &self,
        stage: &StageBuilder,
        renderer: &Renderer,
        spec: &SceneSpec,
        slots: &[usize],
        window: Window,
    ) -> Plate {
        let size = PlateSize {
            frame: [window.width, window.height],
            patch: self.patch,
            patch_frames: self.patch_frames,
        };
        let pictures: Vec<&Picture> = slots.iter().map(|&id| &stage.pictures[id]).collect();
        let places = self.places(renderer, spec, slots, window);
        Plate::draw(size, &pictures, &places)
    }

    /// Appends the paths of a scene from latent frame `first` on.
    fn push_layout(
        &self,
        renderer: &Renderer,
        spec: &SceneSpec,
        slots: &[usize],
        first: usize,
        layouts: &mut Layouts,
    ) {
        let [width, height] = layouts.size;
        let window = Window {
            first,
            latent_frames: DIRECTOR_FRAMES,
            width,
            height,
        };
        for places in self.places(renderer, spec, slots, window) {
            push_values(&places, &mut layouts.values);
        }
        layouts.subjects.push(slots.len());
        layouts.first_latent_frames.push(first);
    }

    /// The layouts of a step, without their pixels.
    ///
    /// # Panics
    ///
    /// If the corpus has no staging.
    pub(crate) fn layouts(&self, step: u32, count: usize) -> LayoutBatch {
        let stage = self.stage.as_ref().expect("made with staging");
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(u64::from(step));
        let aspect = Aspect::ALL[[0, 0, 1, 2][rng.random_range(0..4)]];
        let (width, height) = aspect.native_size();
        let renderer = Renderer::new(&self.pack);
        let mut layouts = Layouts::new([width, height]);
        let mut captions = Vec::with_capacity(count);
        for _ in 0..count {
            let mut spec = SceneSpec::sample(rng.random(), &self.pack, self.split);
            spec.aspect = aspect;
            let caption = caption(&spec, &self.pack, rng.random());
            let slots = stage.slots(&spec, &caption);
            let first = layout_start(&mut rng);
            self.push_layout(&renderer, &spec, &slots, first, &mut layouts);
            captions.push(caption);
        }
        LayoutBatch {
            layouts,
            captions,
            rng,
        }
    }

    /// Draws the batches of `steps` on a thread of its own, a few ahead.
    pub fn stream<B: Send + 'static>(
        &self,
        steps: std::ops::Range<u32>,
        draw: impl Fn(&Self, u32) -> B + Send + 'static,
    ) -> Receiver<B> {
        let (sender, receiver) = sync_channel(3);
        let corpus = self.clone();
        thread::spawn(move || {
            for step in steps {
                if sender.send(draw(&corpus, step)).is_err() {
                    break;
                }
            }
        });
        receiver
    }
}

impl StageBuilder {
    /// Slots as they will be in use: the subjects that the caption names, in its order.
    fn slots(&self, spec: &SceneSpec, caption: &str) -> Vec<usize> {
        let companion = spec.companion.map(|companion| companion.subject);
        let mut slots = self.lexicon.find(caption);
        slots.truncate(SLOTS);
        slots.retain(|&id| id == spec.subject || Some(id) == companion);
        slots
    }
}

/// Where a layout begins: with its scene, or later and then going on from known frames.
fn layout_start(rng: &mut ChaCha8Rng) -> usize {
    if rng.random_bool(0.5) {
        rng.random_range(1..=DIRECTOR_LATEST)
    } else {
        0
    }
}

/// One of a scene's captions, in the mix of lengths and languages that training sees.
pub(crate) fn caption(spec: &SceneSpec, pack: &Pack, seed: u64) -> String {
    let mut rng = kinora_data::Rng::new(seed);
    captions(spec, pack, seed).sample(&mut rng).text.clone()
}

#[derive(Clone, Copy)]
struct Window {
    first: usize,
    latent_frames: usize,
    width: usize,
    height: usize,
}
