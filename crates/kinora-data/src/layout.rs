//! Where the parts of a scene are on a frame of a given shape.

use crate::motion::Motion;
use crate::scene::{Background, SceneSpec};

/// Positions and sizes of a scene on a frame of this shape, in sides of the smaller frame edge.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    pub(crate) width: f32,
    pub(crate) height: f32,
    pub(crate) horizon: f32,
    pub(crate) foot: f32,
    pub(crate) size: f32,
    /// Height of flight above the ground.
    pub(crate) altitude: f32,
    /// Pixels per unit.
    pub(crate) scale: f32,
}

impl Layout {
    pub(crate) fn new(spec: &SceneSpec, width: usize, height: usize) -> Self {
        let scale = width.min(height) as f32;
        let (width, height) = (width as f32 / scale, height as f32 / scale);
        let (horizon, foot) = match spec.background {
            Background::Underwater | Background::Space | Background::Sky => {
                (0.75 * height, 0.5 * height + 0.5 * spec.size)
            }
            _ => {
                let horizon = if height > 1.3 {
                    0.56 * height
                } else {
                    0.58 * height
                };
                (
                    horizon,
                    horizon + if height > 1.3 { 0.54 } else { 0.70 } * (height - horizon),
                )
            }
        };
        let room_above = foot - spec.size;
        let altitude = match spec.motion {
            Motion::FlyRight | Motion::FlyLeft if spec.background.has_ground() => {
                0.62 * room_above.max(0.1) + 0.06
            }
            Motion::Float | Motion::Spin if spec.background.has_ground() => {
                (0.45 * room_above).clamp(0.06, 0.30)
            }
            Motion::SwimRight | Motion::SwimLeft if spec.background == Background::Sea => {
                -0.34 * spec.size
            }
            _ => 0.0,
        };
        Self {
            width,
            height,
            horizon,
            foot,
            size: spec.size,
            altitude,
            scale,
        }
    }
}
