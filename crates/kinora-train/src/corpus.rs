//! Batches of captioned clips, rendered ahead of the step that needs them.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use burn::tensor::{Device, Tensor, TensorData};
use kinora_data::{
    Aspect, Camera, Fact, Labels, Motion, Pack, RenderOptions, Renderer, SceneSpec, Split, Style,
    TimeOfDay, Weather, captions, is_held_out, undirected,
};
use kinora_models::mini::LATEST_WINDOW;
use kinora_models::mini::backdrops::Backdrops;
use kinora_models::mini::config::AutoencoderConfig;
use kinora_models::mini::lexicon::Lexicon;
use kinora_models::mini::plate::{Plate, PlateSize};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::drift::Drift;
use crate::given::{Given, Shares};
use crate::staging::{DAYLIGHT, Layouts, StageBuilder, Staging, Told, layout_start};

/// Frames per second of the training clips.
pub(crate) const FRAMES_PER_SECOND: usize = 12;
/// Share of the captions of layouts that leave open to which side a subject goes.
const UNDIRECTED: f64 = 0.3;
/// Share of the regions that are shown in daylight, whatever is around them.
const UNSAID: f64 = 0.4;
/// Added to a run's seed for scenes that training never sees.
pub(crate) const HELD_OUT_SEED: u64 = 0x5EED_0F4E_1D00;

/// What a batch holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Clips.
    pub batch: usize,
    /// Latent frames of each.
    pub latent_frames: usize,
    /// Whether clips may begin in the middle of a scene.
    pub anywhere: bool,
    /// Whether a latent frame from elsewhere in its scene lies before each clip, which then mostly begins in the middle.
    pub anchored: bool,
}

impl Shape {
    /// Anchors and frames.
    pub(crate) fn seen(self) -> usize {
        usize::from(self.anchored) + self.latent_frames
    }
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
    /// `[batch, latent_frames, height, width, patch_values]`, anchors among the latent frames.
    shape: [usize; 5],
    /// A caption of each clip.
    pub captions: Vec<String>,
    /// Facts of each clip.
    pub labels: Vec<Labels>,
    /// Index of the first latent frame in its scene.
    pub first_latent_frames: Vec<usize>,
    /// Index of the latent frame that lies before each clip, where one does.
    pub anchors: Vec<usize>,
    /// Where the subjects are, if the corpus knows what they look like.
    pub staging: Option<Staging>,
    /// For whatever else the step draws.
    pub rng: ChaCha8Rng,
}

impl ClipBatch {
    /// `[batch, latent_frames, height, width, patch_values]`
    pub(crate) fn shape(&self) -> [usize; 5] {
        self.shape
    }

    /// Lets a clip's latent frames drift, those that are asked for: nothing where the corpus has no staging.
    pub(crate) fn drift(&mut self, clip: usize, drift: &Drift, which: impl Fn(usize) -> bool) {
        let [_, frames, height, width, values] = self.shape;
        let size = height * width * values;
        let Some(staging) = &self.staging else {
            return;
        };
        for frame in (0..frames).filter(|&frame| which(frame)) {
            let plate = &staging.plates[clip].patches[frame * size..][..size];
            let pixels = &mut self.patches[(clip * frames + frame) * size..][..size];
            drift.apply(pixels, plate, height);
        }
    }

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
    even_share: f32,
    stage: Option<Arc<StageBuilder>>,
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
            even_share: 0.0,
            stage: None,
        }
    }

    /// The same with this share of [even scenes](even_scene), of which is told what they show: most others stand still in clear
    /// daylight, and their captions leave out much, so few of them teach what words mean.
    pub(crate) fn with_even_share(self, even_share: f32) -> Self {
        Self { even_share, ..self }
    }

    /// The same scenes with their [`Staging`].
    pub(crate) fn with_staging(
        self,
        lexicon: Lexicon,
        backdrops: Backdrops,
        shares: Shares,
    ) -> Self {
        Self {
            stage: Some(Arc::new(StageBuilder::new(lexicon, backdrops, shares))),
            ..self
        }
    }

    /// The subjects.
    pub fn pack(&self) -> &Arc<Pack> {
        &self.pack
    }

    /// Scenes that training never sees, in their natural mix.
    pub fn held_out(&self) -> Self {
        Self {
            split: Split::HeldOut,
            seed: self.seed ^ HELD_OUT_SEED,
            even_share: 0.0,
            ..self.clone()
        }
    }

    /// What a step draws from, and the shape of its frames: a function of seed and step alone, so that a resumed run
    /// sees what it would have seen.
    fn draw(&self, step: u32) -> (ChaCha8Rng, Aspect) {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(u64::from(step));
        let aspect = Aspect::ALL[[0, 0, 0, 1, 2, 3, 4, 5][rng.random_range(0..8)]];
        (rng, aspect)
    }

    /// The batch of a step.
    pub fn batch(&self, step: u32, shape: Shape) -> ClipBatch {
        let (mut rng, aspect) = self.draw(step);
        let (width, height) = aspect.native_size();
        let renderer = Renderer::new(&self.pack);
        let mut batch = self.empty([width, height], shape, rng.clone());
        batch.staging = self.stage.as_ref().map(|_| Staging::default());
        for _ in 0..shape.batch {
            let (mut spec, mut caption) = self.told_scene(&mut rng);
            spec.aspect = aspect;
            let first = if shape.anchored {
                // A clip that is made backwards begins beside an anchor that lies behind.
                rng.random_range(0..=LATEST_WINDOW)
            } else if shape.anywhere && rng.random_bool(0.6) {
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
            let anchor = shape.anchored.then(|| Window {
                first: draw_anchor(&mut rng, window),
                latent_frames: 1,
                ..window
            });
            let parts = || anchor.into_iter().chain([window]);
            for part in parts() {
                self.render(&renderer, &spec, part, &mut batch.patches);
            }
            batch.anchors.extend(anchor.map(|anchor| anchor.first));
            if let (Some(stage), Some(staging)) = (&self.stage, &mut batch.staging) {
                let slots = stage.slots(&spec, &caption);
                let told = Told {
                    renderer: &renderer,
                    spec: &spec,
                    slots: &slots,
                };
                let size = PlateSize {
                    frame: [width, height],
                    patch: self.patch,
                    patch_frames: self.patch_frames,
                };
                // What is changed has no anchor.
                let shares = match shape.anchored {
                    true => Shares {
                        given: stage.shares.given,
                        ..Shares::default()
                    },
                    false => stage.shares,
                };
                let given = Given::draw(&mut rng, shares, (told, size), window);
                if let Some(given) = &given
                    && let Some(other) = given.caption(told, &caption, &mut rng)
                {
                    caption = other;
                }
                let mut plate = Plate::default();
                match &given {
                    Some(given) => {
                        // Not all that is seen around a region is said.
                        let setting = |rng: &mut ChaCha8Rng| {
                            stage.setting((&spec, &caption), size.frame, UNSAID, rng)
                        };
                        for part in parts() {
                            plate.append(given.plate(told, setting, &mut rng, size, part));
                        }
                    }
                    None => {
                        let told_of = (&spec, caption.as_str());
                        let setting = stage.setting(told_of, size.frame, DAYLIGHT, &mut rng);
                        for part in parts() {
                            plate.append(stage.plate(told, &setting, size, part));
                        }
                    }
                }
                staging.plates.push(plate);
                let known = given.map(|given| given.known(window.latent_frames));
                staging.known.push(known);
            }
            batch.captions.push(caption);
            batch.labels.push(spec.labels());
            batch.first_latent_frames.push(first);
        }
        batch.rng = rng;
        batch
    }

    /// A scene of the mix and its caption.
    fn told_scene(&self, rng: &mut ChaCha8Rng) -> (SceneSpec, String) {
        let is_even = rng.random::<f32>() < self.even_share;
        let (seed, words) = (rng.random(), rng.random());
        if is_even {
            let spec = even_scene(seed, &self.pack, self.split);
            let caption = telling_caption(&spec, &self.pack, words);
            (spec, caption)
        } else {
            let spec = SceneSpec::sample(seed, &self.pack, self.split);
            let caption = caption(&spec, &self.pack, words);
            (spec, caption)
        }
    }

    /// One given scene from its beginning, as a batch of its own.
    pub fn scene(&self, spec: &SceneSpec, latent_frames: usize) -> ClipBatch {
        let (width, height) = spec.aspect.native_size();
        let window = Window {
            first: 0,
            latent_frames,
            width,
            height,
        };
        let shape = Shape {
            batch: 1,
            latent_frames,
            anywhere: false,
            anchored: false,
        };
        let mut batch = self.empty([width, height], shape, ChaCha8Rng::seed_from_u64(0));
        self.render(&Renderer::new(&self.pack), spec, window, &mut batch.patches);
        batch
            .captions
            .push(captions(spec, &self.pack, 0).short_en.text);
        batch.labels.push(spec.labels());
        batch.first_latent_frames.push(0);
        batch
    }

    fn empty(&self, [width, height]: [usize; 2], shape: Shape, rng: ChaCha8Rng) -> ClipBatch {
        ClipBatch {
            patches: Vec::new(),
            shape: [
                shape.batch,
                shape.seen(),
                height / self.patch,
                width / self.patch,
                self.patch_frames * self.patch * self.patch * 3,
            ],
            captions: Vec::new(),
            labels: Vec::new(),
            first_latent_frames: Vec::new(),
            anchors: Vec::new(),
            staging: None,
            rng,
        }
    }

    fn render(&self, renderer: &Renderer, spec: &SceneSpec, window: Window, out: &mut Vec<f32>) {
        let (options, padding) = window.options(self.patch_frames);
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

    /// The layouts of a step, without their pixels.
    ///
    /// # Panics
    ///
    /// If the corpus has no staging.
    pub(crate) fn layouts(&self, step: u32, count: usize) -> LayoutBatch {
        let stage = self.stage.as_ref().expect("made with staging");
        let (mut rng, aspect) = self.draw(step);
        let (width, height) = aspect.native_size();
        let renderer = Renderer::new(&self.pack);
        let mut layouts = Layouts::new([width, height]);
        let mut captions = Vec::with_capacity(count);
        for _ in 0..count {
            let (mut spec, caption) = self.told_scene(&mut rng);
            spec.aspect = aspect;
            let caption = match rng.random_bool(UNDIRECTED) {
                true => undirected(&caption, rng.random()),
                false => caption,
            };
            let slots = stage.slots(&spec, &caption);
            let first = layout_start(&mut rng);
            let told = Told {
                renderer: &renderer,
                spec: &spec,
                slots: &slots,
            };
            layouts.push(told, first, self.patch_frames);
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
        let corpus = self.clone();
        ahead(steps, move |step| draw(&corpus, step))
    }
}

/// Draws the batches of `steps` on a thread of its own, a few ahead.
pub(crate) fn ahead<B: Send + 'static>(
    steps: std::ops::Range<u32>,
    mut draw: impl FnMut(u32) -> B + Send + 'static,
) -> Receiver<B> {
    let (sender, receiver) = sync_channel(3);
    thread::spawn(move || {
        for step in steps {
            if sender.send(draw(step)).is_err() {
                break;
            }
        }
    });
    receiver
}

/// A latent frame for a window to be held to: mostly the scene's first, else another before the window, sometimes one behind it, as
/// for windows that begin their scene.
fn draw_anchor(rng: &mut ChaCha8Rng, window: Window) -> usize {
    let chance: f32 = rng.random();
    if window.first > 0 && chance < 0.6 {
        0
    } else if window.first > 0 && chance < 0.85 {
        rng.random_range(0..window.first)
    } else {
        window.first + window.latent_frames + rng.random_range(0..LATEST_WINDOW)
    }
}

/// One of a scene's captions, in the mix of lengths and languages that training sees.
pub(crate) fn caption(spec: &SceneSpec, pack: &Pack, seed: u64) -> String {
    let mut rng = kinora_data::Rng::new(seed);
    captions(spec, pack, seed).sample(&mut rng).text.clone()
}

/// A caption that says all that is special in a scene, in the same mix.
fn telling_caption(spec: &SceneSpec, pack: &Pack, seed: u64) -> String {
    let mut rng = kinora_data::Rng::new(seed);
    let kind = rng.next_u64();
    loop {
        let told = captions(spec, pack, rng.next_u64());
        let caption = told.sample(&mut kinora_data::Rng::new(kind));
        let tells = |fact| caption.facts.contains(&fact);
        if tells(Fact::Motion)
            && (tells(Fact::Camera) || spec.camera == Camera::Static)
            && (tells(Fact::Time) || spec.time == TimeOfDay::Day)
            && (tells(Fact::Weather) || spec.weather == Weather::Clear)
            && (tells(Fact::Style) || spec.style == Style::Natural)
        {
            return caption.text.clone();
        }
    }
}

/// A scene in which the subject does with equal chances what it can do there, the camera what cameras do, and time, weather and
/// style are any that can be there.
pub(crate) fn even_scene(seed: u64, pack: &Pack, split: Split) -> SceneSpec {
    fn any<T: Copy>(
        rng: &mut kinora_data::Rng,
        all: &[T],
        is_possible: impl Fn(T) -> bool,
    ) -> Option<T> {
        let possible: Vec<T> = all
            .iter()
            .copied()
            .filter(|&one| is_possible(one))
            .collect();
        (!possible.is_empty()).then(|| possible[rng.below(possible.len())])
    }
    let mut rng = kinora_data::Rng::new(seed);
    loop {
        let drawn = SceneSpec::sample(rng.next_u64(), pack, split);
        let (entry, place) = (&pack.entries()[drawn.subject], drawn.background);
        let belongs = |motion| is_held_out(entry, place, motion) == (split == Split::HeldOut);
        let motion = any(&mut rng, Motion::ALL, |motion| {
            motion.weight(entry, place) > 0.0 && belongs(motion)
        });
        let camera = any(&mut rng, Camera::ALL, |_| true);
        let time = any(&mut rng, TimeOfDay::ALL, |time| time.weight(place) > 0.0);
        let weather = any(&mut rng, Weather::ALL, |weather| {
            weather.weight(place) > 0.0
        });
        let style = any(&mut rng, Style::ALL, |_| true);
        let (Some(motion), Some(camera), Some(time), Some(weather), Some(style)) =
            (motion, camera, time, weather, style)
        else {
            continue;
        };
        let made = SceneSpec::for_facts(rng.next_u64(), pack, drawn.subject, place, motion, camera);
        if let Ok(spec) = made {
            return SceneSpec {
                time,
                weather,
                style,
                ..spec
            };
        }
    }
}

/// A part of a scene.
#[derive(Clone, Copy)]
pub(crate) struct Window {
    /// Its first latent frame.
    pub(crate) first: usize,
    pub(crate) latent_frames: usize,
    /// Pixels.
    pub(crate) width: usize,
    pub(crate) height: usize,
}

impl Window {
    /// Which frames it holds, and how often its first frame is repeated before them: latent frame 0 holds frame 0
    /// alone, repeated; latent frame k holds 4k − 3 ..= 4k.
    pub(crate) fn options(self, patch_frames: usize) -> (RenderOptions, usize) {
        let padding = if self.first == 0 { patch_frames - 1 } else { 0 };
        let options = RenderOptions {
            width: self.width,
            height: self.height,
            fps: FRAMES_PER_SECOND as f32,
            start_frame: (self.first * patch_frames).saturating_sub(patch_frames - 1),
            frames: self.latent_frames * patch_frames - padding,
        };
        (options, padding)
    }
}
