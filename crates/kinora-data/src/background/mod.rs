//! Backgrounds: each paints a few layers from far to near, once per clip.

mod city;
mod indoors;
mod land;
mod plants;
mod sky;
mod space;
mod water;

pub(crate) use indoors::room_light;
pub(crate) use water::bubbles;

use crate::camera::View;
use crate::canvas::{Area, Canvas, noise_2d};
use crate::layer::{Depth, Layer, LayerPlan};
use crate::layout::Layout;
use crate::palette::{Palette, Rgb, mix, scale};
use crate::rng::Rng;
use crate::scene::{Background, SceneSpec};

/// Where the parts of a background go, and what can be seen of them. Lengths are in sides of the smaller frame edge.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Site<'a> {
    pub(crate) width: f32,
    pub(crate) height: f32,
    /// Height of the horizon, or of the far edge of the floor.
    pub(crate) horizon: f32,
    /// Height of the subject's feet.
    pub(crate) foot: f32,
    /// Pixels per unit.
    pub(crate) scale: f32,
    pub(crate) palette: &'a Palette,
    pub(crate) seed: u64,
    /// Where the subject starts.
    pub(crate) subject_x: f32,
    /// The views of the clip with their times in seconds: layers are painted as far as these see.
    pub(crate) views: &'a [(View, f32)],
}

/// Paints the layers of a background.
pub(crate) fn paint(background: Background, site: &Site) -> Vec<Layer> {
    let mut layers = Vec::new();
    match background {
        Background::Meadow => land::meadow(site, &mut layers),
        Background::Beach => water::beach(site, &mut layers),
        Background::Sea => water::sea(site, &mut layers),
        Background::Desert => land::desert(site, &mut layers),
        Background::Snow => land::snow(site, &mut layers),
        Background::Forest => land::forest(site, &mut layers),
        Background::Mountains => land::mountains(site, &mut layers),
        Background::City => city::street(site, &mut layers),
        Background::Room => indoors::room(site, &mut layers),
        Background::Stage => indoors::stage(site, &mut layers),
        Background::Underwater => water::underwater(site, &mut layers),
        Background::Space => space::stars(site, &mut layers),
        Background::Sky => sky::above_clouds(site, &mut layers),
    }
    layers
}

impl<'a> Site<'a> {
    /// The place of a scene, laid out for a frame.
    pub(crate) fn new(
        spec: &SceneSpec,
        layout: &Layout,
        palette: &'a Palette,
        views: &'a [(View, f32)],
    ) -> Self {
        Self {
            width: layout.width,
            height: layout.height,
            horizon: layout.horizon,
            foot: layout.foot,
            scale: layout.scale,
            palette,
            seed: spec.look_seed,
            subject_x: spec.x * layout.width,
            views,
        }
    }

    /// Paints one layer between two heights of the world, as wide as the views see.
    fn layer(
        &self,
        layers: &mut Vec<Layer>,
        plan: LayerPlan,
        heights: (f32, f32),
        draw: impl FnOnce(&mut Canvas),
    ) {
        let mut canvas = Canvas::new(self.seen(plan, heights), self.scale);
        draw(&mut canvas);
        layers.push(Layer::new(&canvas, plan));
    }

    /// The part of a layer that any view sees.
    fn seen(&self, plan: LayerPlan, heights: (f32, f32)) -> Area {
        let swing = plan.ripple.map_or(0.0, |ripple| 2.5 * ripple.amount);
        let mut area = Area {
            x0: f32::INFINITY,
            y0: f32::INFINITY,
            x1: f32::NEG_INFINITY,
            y1: f32::NEG_INFINITY,
        };
        for (view, time) in self.views {
            for depth in plan.depth.extremes() {
                let zoom = view.zoom_at(depth);
                let shift = view.shift_at(depth) - plan.drift * time;
                let at = |edge: f32, focus: f32| (edge - focus) / zoom + focus;
                area.x0 = area.x0.min(at(0.0, view.focus.0) + shift - swing);
                area.x1 = area.x1.max(at(self.width, view.focus.0) + shift + swing);
                area.y0 = area.y0.min(at(0.0, view.focus.1) + view.y * depth);
                area.y1 = area.y1.max(at(self.height, view.focus.1) + view.y * depth);
            }
        }
        Area {
            y0: area.y0.max(heights.0),
            y1: area.y1.min(heights.1).max(heights.0.max(area.y0)),
            ..area
        }
    }

    /// The depth of the ground.
    fn ground_depth(&self) -> Depth {
        Depth::Ground {
            far: 0.5,
            horizon: self.horizon,
            near: self.foot,
        }
    }

    /// How near a height of the ground is: 0 at the horizon, 1 at the lower frame edge.
    fn nearness(&self, y: f32) -> f32 {
        ((y - self.horizon) / (self.height - self.horizon)).clamp(0.0, 1.3)
    }

    /// A ground from the horizon down, from a far to a near colour, with soft patches.
    fn ground(
        &self,
        layers: &mut Vec<Layer>,
        far: Rgb,
        near: Rgb,
        patches: f32,
        more: impl FnOnce(&mut Canvas),
    ) {
        let seed = self.seed ^ 0x6720;
        let edge = move |x: f32| self.horizon + 0.006 * noise_2d(seed, x * 3.0, 9.0);
        self.layer(
            layers,
            LayerPlan::at(self.ground_depth()),
            (self.horizon - 0.05, f32::INFINITY),
            |canvas| {
                canvas.terrain(edge, |x, y, _| {
                    let near_by = self.nearness(y);
                    let stretch = 1.0 / (0.15 + near_by);
                    let patch = noise_2d(seed, x * 2.2 * stretch.min(4.0), near_by.sqrt() * 11.0);
                    let color = mix(far, near, near_by.sqrt());
                    scale(
                        self.palette
                            .lit(color, 0.45 * (1.0 - near_by).max(0.0).powi(2)),
                        1.0 + patches * patch,
                    )
                });
                more(canvas);
            },
        );
    }

    /// A ridge: a wavy line of hills at a depth, filled with one colour that fades into haze at its foot.
    fn hills(
        &self,
        layers: &mut Vec<Layer>,
        ridge: &Ridge,
        more: impl FnOnce(&mut Canvas, &dyn Fn(f32) -> f32),
    ) {
        let seed = self.seed ^ ridge.part;
        let line = |x: f32| {
            let wave = noise_2d(seed, x * ridge.frequency, 0.5)
                + 0.45 * noise_2d(seed, x * ridge.frequency * 2.3, 7.5);
            self.horizon - ridge.height * (0.75 + 0.5 * wave)
        };
        let plan = LayerPlan::at(Depth::Flat(ridge.depth));
        self.layer(
            layers,
            plan,
            (
                self.horizon - ridge.height * 2.2 - 0.25,
                self.horizon + 0.25,
            ),
            |canvas| {
                canvas.terrain(line, |_, _, below| {
                    self.palette.lit(
                        scale(ridge.color, 1.05 - 0.25 * (below / ridge.height).min(1.0)),
                        ridge.haze + 0.12 * (below / ridge.height).min(1.0),
                    )
                });
                more(canvas, &line);
            },
        );
    }
}

/// What a line of hills looks like.
struct Ridge {
    part: u64,
    depth: f32,
    height: f32,
    frequency: f32,
    color: Rgb,
    haze: f32,
}

/// Calls `place(rng, x)` for things that stand about `spacing` apart; the same things whatever part of the world is painted.
fn row_of(
    canvas: &mut Canvas,
    seed: u64,
    spacing: f32,
    mut place: impl FnMut(&mut Canvas, &mut Rng, f32),
) {
    let area = canvas.area();
    let (first, last) = (
        (area.x0 / spacing).floor() as i64 - 2,
        (area.x1 / spacing).ceil() as i64 + 2,
    );
    for slot in first..=last {
        let mut rng = Rng::derived(seed, slot as u64);
        let x = (slot as f32 + rng.range(0.1, 0.9)) * spacing;
        place(canvas, &mut rng, x);
    }
}
