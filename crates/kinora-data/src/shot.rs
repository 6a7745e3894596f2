//! One frame: layers, shadow, reflection, subjects, weather.

use crate::background;
use crate::camera::View;
use crate::index::Class;
use crate::layer::Layer;
use crate::layout::Layout;
use crate::motion::{Course, Motion, Pose};
use crate::pack::Pack;
use crate::palette::{Palette, Rgb, mix};
use crate::rng::Rng;
use crate::scene::{Background, SceneSpec, Side};
use crate::sprite::{Placement, Shadow, Sprite, Target, darken};
use crate::weather;

/// What stays the same over a clip.
pub(crate) struct Shot<'a> {
    pub(crate) pack: &'a Pack,
    pub(crate) spec: &'a SceneSpec,
    pub(crate) layout: Layout,
    pub(crate) palette: &'a Palette,
    pub(crate) layers: &'a [Layer],
    pub(crate) scratch: Vec<u8>,
}

/// Where a subject is in one frame: a square around its picture that is stretched, turned and mirrored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// The subject.
    pub subject: usize,
    /// Centre, from 0 to 1 across and down the frame; outside of it when the subject is.
    pub center: [f32; 2],
    /// Width and height before it is turned, in sides of the smaller frame edge.
    pub sides: [f32; 2],
    /// Turn in radians, clockwise.
    pub rotation: f32,
    /// Mirrored left to right, before it is turned.
    pub is_flipped: bool,
    /// Which frame of its own animation is seen.
    pub frame: usize,
}

/// A subject at one time.
struct Actor {
    sprite: Sprite,
    at: Standing,
}

/// Where a subject goes at one time, in frame pixels, and which picture of it is seen there.
struct Standing {
    subject: usize,
    /// Frame of its own animation.
    frame: usize,
    place: Placement,
    /// The point of the ground under it.
    ground: (f32, f32),
    /// Height of its base above the ground.
    lift: f32,
    zoom: f32,
}

impl Shot<'_> {
    /// Draws the frame at a time.
    pub(crate) fn draw(&mut self, target: &mut Target, view: &View, time: f32) {
        for layer in self.layers.iter().filter(|layer| !layer.plan.is_in_front) {
            layer.draw(target.pixels, target.width, view, time, &mut self.scratch);
        }
        let actors: Vec<Actor> = self
            .companion(view, time)
            .into_iter()
            .chain([self.subject(view, time)])
            .map(|at| self.actor(at))
            .collect();
        for actor in &actors {
            if self.spec.background == Background::Sea {
                self.reflection(target, actor, time);
            } else if self.spec.background.has_ground() {
                self.shadow(target, actor, view);
            }
        }
        let light = self.light();
        let waterline = self.waterline();
        for actor in &actors {
            let limit = if waterline > 0.0 {
                actor.at.ground.1
            } else {
                f32::INFINITY
            };
            actor
                .sprite
                .draw(target, &actor.at.place, light, |_, y| limit - y + 0.5);
            if waterline > 0.0
                && actor.at.place.center.1 + 0.5 * actor.at.place.sides.1 > actor.at.ground.1 - 1.0
            {
                self.foam(target, actor, time);
            }
        }
        for layer in self.layers.iter().filter(|layer| layer.plan.is_in_front) {
            layer.draw(target.pixels, target.width, view, time, &mut self.scratch);
        }
        if self.spec.background == Background::Underwater {
            self.bubbles(target, time);
        }
        weather::draw(
            self.spec.weather,
            target,
            self.layout.scale,
            self.spec.look_seed,
            time,
            self.palette.light,
        );
    }

    /// The subject and then its companion at a time, as a plain description.
    pub(crate) fn places(&self, view: &View, time: f32) -> Vec<Place> {
        let layout = &self.layout;
        let describe = |standing: Standing| {
            let place = standing.place;
            Place {
                subject: standing.subject,
                center: [
                    place.center.0 / (layout.width * layout.scale),
                    place.center.1 / (layout.height * layout.scale),
                ],
                sides: [place.sides.0 / layout.scale, place.sides.1 / layout.scale],
                rotation: place.rotation,
                is_flipped: place.is_flipped,
                frame: standing.frame % self.pack.entries()[standing.subject].frames,
            }
        };
        std::iter::once(self.subject(view, time))
            .chain(self.companion(view, time))
            .map(describe)
            .collect()
    }

    fn subject(&self, view: &View, time: f32) -> Standing {
        let Layout {
            width,
            height,
            horizon,
            foot,
            size,
            altitude,
            ..
        } = self.layout;
        let speed = self.spec.speed.factor();
        let course = Course {
            start_x: self.spec.x * width,
            ground: foot,
            horizon,
            size,
            speed,
            altitude,
        };
        let mut pose = self.spec.motion.pose(&course, time);
        if matches!(self.spec.motion, Motion::Approach | Motion::Recede)
            && !self.spec.background.has_ground()
        {
            pose.ground = 0.5 * height + 0.5 * size * pose.scale;
        }
        self.standing(
            self.spec.subject,
            size * pose.scale,
            self.spec.phase,
            pose,
            view,
            time,
        )
    }

    fn companion(&self, view: &View, time: f32) -> Option<Standing> {
        let companion = self.spec.companion?;
        let Layout {
            width,
            horizon,
            foot,
            size,
            ..
        } = self.layout;
        let side = if companion.side == Side::Left {
            -1.0
        } else {
            1.0
        };
        let own_size = size * companion.scale;
        let x = self.spec.x * width + side * (0.44 * (size + own_size)).min(0.46 * width);
        let ground = foot - 0.10 * (foot - horizon);
        let pose = Pose {
            x,
            ground,
            lift: 0.0,
            scale: 1.0,
            rotation: 0.0,
            stretch: (1.0, 1.0),
            wraps: false,
        };
        Some(self.standing(
            companion.subject,
            own_size,
            self.spec.phase + 0.37,
            pose,
            view,
            time,
        ))
    }

    fn actor(&self, at: Standing) -> Actor {
        let sprite = Sprite::new(
            self.pack.frame(at.subject, at.frame),
            self.pack.sprite_size(),
        );
        Actor { sprite, at }
    }

    fn standing(
        &self,
        subject: usize,
        size: f32,
        phase: f32,
        pose: Pose,
        view: &View,
        time: f32,
    ) -> Standing {
        let entry = &self.pack.entries()[subject];
        let loop_at = time * entry.fps + phase * entry.frames as f32;
        let scale = self.layout.scale;
        let x = if pose.wraps {
            self.wrapped(pose.x, size, view)
        } else {
            pose.x
        };
        let (gx, gy) = view.project(x, pose.ground - self.sunk(size));
        let zoom = view.zoom * scale;
        let sides = (size * pose.stretch.0 * zoom, size * pose.stretch.1 * zoom);
        let base = gy * scale - pose.lift * zoom;
        let (ground_y, base) = (gy * scale + 0.0, base + self.sunk(size) * zoom);
        Standing {
            subject,
            frame: loop_at as usize,
            place: Placement {
                center: (gx * scale, base - 0.5 * sides.1),
                sides,
                rotation: pose.rotation,
                is_flipped: self.spec.motion.heading() > 0.0
                    && subject == self.spec.subject
                    && faces_left(entry.class),
            },
            ground: (gx * scale, ground_y),
            lift: pose.lift * zoom,
            zoom,
        }
    }

    /// How deep a subject stands in water.
    fn sunk(&self, size: f32) -> f32 {
        self.waterline() * size
    }

    fn waterline(&self) -> f32 {
        if self.spec.background == Background::Sea {
            0.10
        } else {
            0.0
        }
    }

    /// Brings a crossing subject back on the other side, as the camera sees it.
    fn wrapped(&self, x: f32, size: f32, view: &View) -> f32 {
        let span = self.layout.width + size * 1.05;
        (x - view.x + 0.525 * size).rem_euclid(span) - 0.525 * size + view.x
    }

    fn light(&self) -> Rgb {
        light_on(self.spec.background, self.palette)
    }

    /// A soft contact shadow and, under sun or moon, the outline thrown along the ground.
    fn shadow(&self, target: &mut Target, actor: &Actor, view: &View) {
        let height = actor.at.lift / actor.at.zoom;
        let near = (-2.2 * height).exp();
        let width = actor.at.place.sides.0;
        let foot = actor.at.ground;
        ellipse_shadow(
            target,
            foot,
            (0.36 * width * (0.75 + 0.25 * near), 0.065 * width),
            0.50 * near,
        );
        let is_inside = matches!(self.spec.background, Background::Room | Background::Stage);
        let strength =
            self.palette.shadow * if is_inside { 0.5 } else { 1.0 } * (-1.3 * height).exp();
        let length = if is_inside {
            0.28
        } else {
            self.palette.shadow_length
        };
        let sun_x = self
            .palette
            .disc
            .filter(|_| !is_inside)
            .map_or(0.35, |disc| disc.x)
            * self.layout.width;
        let slant = ((foot.0 / self.layout.scale - sun_x) * 0.75).clamp(-0.8, 0.8);
        let tall = actor.at.place.sides.1;
        let along = (slant * tall * (0.55 + length.abs()), -length * tall);
        let start = (
            foot.0 + slant * actor.at.lift * 0.6,
            foot.1 - length * 0.5 * actor.at.lift.min(0.3 * tall) - along.1.signum() * 0.03 * tall,
        );
        let top = view.project(0.0, self.layout.horizon).1 * self.layout.scale + 1.0;
        let shadow = Shadow {
            foot: start,
            along,
            width,
            is_flipped: actor.at.place.is_flipped,
            strength,
            top,
        };
        actor.sprite.cast(target, &shadow);
    }

    /// The mirror image in water, swinging with the waves and fading away.
    fn reflection(&self, target: &mut Target, actor: &Actor, time: f32) {
        let line = actor.at.ground.1;
        let place = Placement {
            center: (
                actor.at.place.center.0,
                2.0 * line - actor.at.place.center.1,
            ),
            sides: (actor.at.place.sides.0, -actor.at.place.sides.1),
            rotation: -actor.at.place.rotation,
            ..actor.at.place
        };
        let reach = actor.at.place.sides.1 * 0.95;
        let swing = 0.020 * actor.at.zoom;
        let tint = self.light().map(|value| value * 0.82);
        let shift = move |y: f32| {
            let below = (y - line).max(0.0) / reach;
            swing * (0.25 + below) * (below * 21.0 - time * 4.0).sin()
        };
        actor
            .sprite
            .draw_swinging(target, &place, tint, shift, |_, y| {
                if y < line {
                    0.0
                } else {
                    0.52 * (1.0 - (y - line) / reach)
                }
            });
    }

    /// A bright broken line where the subject meets the water.
    fn foam(&self, target: &mut Target, actor: &Actor, time: f32) {
        let color = self.palette.light.map(|value| 90.0 + 160.0 * value);
        let half = actor.at.place.sides.0 * 0.40;
        for part in 0..5 {
            let at = (part as f32 - 2.0) / 2.0;
            let x = actor.at.ground.0
                + at * half
                + (time * 2.0 + part as f32 * 2.1).sin() * 0.02 * half;
            let long = half * (0.20 + 0.08 * (time * 3.1 + part as f32 * 1.7).sin());
            let y = actor.at.ground.1 + (1.0 - at * at) * 0.07 * half;
            weather::line(
                target,
                (x - long, y),
                (x + long, y),
                (0.012 * actor.at.zoom).max(1.0),
                color,
                0.55,
            );
        }
    }

    fn bubbles(&self, target: &mut Target, time: f32) {
        let scale = self.layout.scale;
        let mut rng = Rng::derived(self.spec.look_seed, 77);
        let bright = rng.range(0.28, 0.42);
        for (x, y, radius) in background::bubbles(
            self.spec.look_seed,
            self.layout.width,
            self.layout.height,
            time,
        ) {
            weather::disc(
                target,
                (x * scale, y * scale),
                radius * scale,
                [190.0, 235.0, 250.0],
                bright,
            );
            let shine = ((x - 0.3 * radius) * scale, (y - 0.35 * radius) * scale);
            weather::disc(target, shine, 0.4 * radius * scale, [255.0; 3], 0.75);
        }
    }
}

/// What the colours of a scene's subjects are multiplied by, red, green and blue.
pub fn subject_light(spec: &SceneSpec) -> [f32; 3] {
    let palette = Palette::new(spec.time, spec.weather, spec.look_seed);
    light_on(spec.background, &palette)
}

/// The light on a subject: a part of the scene's, so that it stays recognisable.
fn light_on(background: Background, palette: &Palette) -> Rgb {
    match background {
        Background::Underwater => [0.78, 0.94, 1.0],
        Background::Space => [0.95, 0.95, 1.0],
        Background::Stage => [1.06, 1.03, 0.96],
        Background::Room => mix(background::room_light(palette.is_dark), [1.0; 3], 0.3),
        _ => {
            let own = if palette.is_dark { 0.42 } else { 0.25 };
            mix(palette.light, [1.0; 3], own)
        }
    }
}

/// Emoji that are seen from the side look to the left.
fn faces_left(class: Class) -> bool {
    matches!(class, Class::Animal | Class::Person | Class::Vehicle)
}

fn ellipse_shadow(target: &mut Target, center: (f32, f32), radii: (f32, f32), strength: f32) {
    let clip = |at: f32, end: usize| (at.max(0.0) as usize).min(end);
    let (x0, x1) = (
        clip(center.0 - radii.0, target.width),
        clip(center.0 + radii.0 + 1.0, target.width),
    );
    let (y0, y1) = (
        clip(center.1 - radii.1, target.height),
        clip(center.1 + radii.1 + 1.0, target.height),
    );
    for y in y0..y1 {
        for x in x0..x1 {
            let (dx, dy) = (
                (x as f32 + 0.5 - center.0) / radii.0,
                (y as f32 + 0.5 - center.1) / radii.1.max(1.0),
            );
            let inside = (1.0 - dx * dx - dy * dy).max(0.0);
            darken(
                &mut target.pixels[(y * target.width + x) * 4..][..3],
                strength * inside.sqrt().min(1.0) * inside.min(0.5) * 2.0,
            );
        }
    }
}
