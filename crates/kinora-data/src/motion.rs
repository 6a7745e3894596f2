//! What a subject does: where it is, how it is turned and how it is squeezed at any time.

use crate::index::{Class, Entry};
use crate::named::named_enum;
use crate::scene::{Background, Speed};

named_enum! {
    /// What the subject does, on top of its own animation.
    Motion {
        /// It stays where it is.
        Stand = "stand",
        /// It walks, drives or slides to the right.
        WalkRight = "walk-right",
        /// It walks, drives or slides to the left.
        WalkLeft = "walk-left",
        /// It rolls to the right.
        RollRight = "roll-right",
        /// It rolls to the left.
        RollLeft = "roll-left",
        /// It flies to the right.
        FlyRight = "fly-right",
        /// It flies to the left.
        FlyLeft = "fly-left",
        /// It swims to the right.
        SwimRight = "swim-right",
        /// It swims to the left.
        SwimLeft = "swim-left",
        /// It is dropped and bounces, each time less high, until it gets new energy.
        Bounce = "bounce",
        /// It jumps on the spot, over and over.
        Jump = "jump",
        /// It falls from above and lands.
        Fall = "fall",
        /// It turns about its centre.
        Spin = "spin",
        /// It comes nearer and grows.
        Approach = "approach",
        /// It goes away and shrinks.
        Recede = "recede",
        /// It sways from side to side.
        Sway = "sway",
        /// It hovers in the air.
        Float = "float",
    }
}

/// Height lost per bounce: the speed after the ground is this part of the speed before it.
pub const RESTITUTION: f32 = 0.78;
/// Downward acceleration, in frame sides per second squared. Smaller than on Earth, so that it can be seen.
pub const GRAVITY: f32 = 2.6;
/// Below this part of the drop height a bouncing subject gets new energy.
const RENEW_BELOW: f32 = 0.18;

/// Where and how a subject is at one time. Lengths are in sides of the smaller frame edge, `y` points down.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pose {
    /// Centre of its base, across.
    pub x: f32,
    /// The ground under it, down.
    pub ground: f32,
    /// How far its base is above the ground.
    pub lift: f32,
    /// Side of its square, as a multiple of the scene's subject size.
    pub scale: f32,
    /// Turn about its centre in radians, clockwise.
    pub rotation: f32,
    /// Width and height, as multiples; their product stays near 1.
    pub stretch: (f32, f32),
    /// It leaves on one side of the frame and comes back on the other.
    pub wraps: bool,
}

/// The room that a motion has: positions and sizes in sides of the smaller frame edge.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Course {
    pub(crate) start_x: f32,
    pub(crate) ground: f32,
    pub(crate) horizon: f32,
    pub(crate) size: f32,
    pub(crate) speed: f32,
    /// Height of the base above the ground for what flies, swims or floats.
    pub(crate) altitude: f32,
}

impl Motion {
    /// `-1.0` for motions to the left, `1.0` for motions to the right, `0.0` for all others.
    pub fn heading(self) -> f32 {
        match self {
            Self::WalkRight | Self::RollRight | Self::FlyRight | Self::SwimRight => 1.0,
            Self::WalkLeft | Self::RollLeft | Self::FlyLeft | Self::SwimLeft => -1.0,
            _ => 0.0,
        }
    }

    /// How likely this subject does this on this background; 0 when it cannot.
    pub fn weight(self, entry: &Entry, background: Background) -> f32 {
        let class = entry.class;
        let round = matches!(
            class,
            Class::Face
                | Class::Food
                | Class::Activity
                | Class::Object
                | Class::Symbol
                | Class::Plant
        );
        let walks = matches!(class, Class::Person | Class::Animal)
            || class == Class::Vehicle && entry.subgroup == "transport-ground";
        let has_ground = background.has_ground();
        let (ground, open_air) = (on(has_ground), on(background != Background::Underwater));
        let afloat = matches!(
            background,
            Background::Underwater | Background::Space | Background::Sky
        );
        match self {
            Self::Stand => 5.0 * ground,
            Self::WalkRight | Self::WalkLeft if background == Background::Sea => {
                on(entry.can_swim && class == Class::Vehicle)
            }
            Self::WalkRight | Self::WalkLeft if entry.subgroup == "transport-water" => 0.0,
            Self::WalkRight | Self::WalkLeft => {
                ground
                    * if walks {
                        2.2
                    } else if class == Class::Face {
                        0.3
                    } else {
                        0.15
                    }
            }
            Self::RollRight | Self::RollLeft if background == Background::Sea => 0.0,
            Self::RollRight | Self::RollLeft => ground * if round { 1.0 } else { 0.0 },
            Self::FlyRight | Self::FlyLeft if entry.can_fly => {
                open_air
                    * if background == Background::Sky {
                        4.0
                    } else {
                        1.8
                    }
            }
            Self::FlyRight | Self::FlyLeft => {
                if matches!(background, Background::Sky | Background::Space) {
                    1.0
                } else {
                    0.0
                }
            }
            Self::SwimRight | Self::SwimLeft => match background {
                Background::Underwater if entry.can_swim => 5.0,
                Background::Underwater => 0.8,
                Background::Sea if entry.can_swim && class != Class::Vehicle => 4.0,
                Background::Sea => 0.3 * on(matches!(class, Class::Person | Class::Animal)),
                _ => 0.0,
            },
            Self::Bounce | Self::Fall if background == Background::Sea => 0.0,
            Self::Bounce => ground * if round { 1.4 } else { 0.6 },
            Self::Jump if background == Background::Sea => on(entry.can_swim),
            Self::Jump => ground * if entry.is_alive() { 1.3 } else { 0.5 },
            Self::Fall => 0.8 * ground,
            Self::Spin => {
                if round {
                    0.8
                } else {
                    0.5
                }
            }
            Self::Approach | Self::Recede if background == Background::Room => 0.0,
            Self::Approach | Self::Recede => 0.7,
            Self::Sway => 0.8 * ground,
            Self::Float => {
                if afloat {
                    4.0
                } else if entry.can_fly {
                    1.5
                } else {
                    0.25
                }
            }
        }
    }

    /// The pose at `time_secs`.
    pub(crate) fn pose(self, course: &Course, time_secs: f32) -> Pose {
        let Course {
            start_x,
            ground,
            horizon,
            size,
            speed,
            altitude,
            ..
        } = *course;
        let time = time_secs * speed;
        let still = Pose {
            x: start_x,
            ground,
            lift: 0.0,
            scale: 1.0,
            rotation: 0.0,
            stretch: (1.0, 1.0),
            wraps: false,
        };
        let travelled = self.heading() * time * 0.24;
        match self {
            Self::Stand => still,
            Self::WalkRight | Self::WalkLeft => {
                let stride = time * 7.0;
                Pose {
                    x: start_x + travelled,
                    lift: stride.sin().abs() * 0.03 * size,
                    rotation: stride.sin() * 0.06,
                    wraps: true,
                    ..still
                }
            }
            Self::RollRight | Self::RollLeft => Pose {
                x: start_x + travelled,
                rotation: travelled / (size * 0.48),
                wraps: true,
                ..still
            },
            Self::FlyRight | Self::FlyLeft => {
                let lift = altitude + (time * 2.2).sin() * 0.035;
                Pose {
                    x: start_x + travelled * 1.15,
                    lift,
                    rotation: (time * 2.2).cos() * 0.06,
                    wraps: true,
                    ..still
                }
            }
            Self::SwimRight | Self::SwimLeft => {
                let lift = altitude + (time * 1.7).sin() * 0.02;
                Pose {
                    x: start_x + travelled * 0.8,
                    lift,
                    rotation: (time * 3.4).sin() * 0.07,
                    wraps: true,
                    ..still
                }
            }
            Self::Bounce => {
                let (lift, impact) = bounce(0.42, time);
                Pose {
                    lift,
                    stretch: squash(impact),
                    ..still
                }
            }
            Self::Jump => {
                let (lift, impact) = jump(0.26, time);
                Pose {
                    lift,
                    stretch: squash(impact),
                    ..still
                }
            }
            Self::Fall => {
                let (lift, impact) = fall(ground - 0.12 * size, time);
                Pose {
                    lift,
                    stretch: squash(impact),
                    ..still
                }
            }
            Self::Spin => Pose {
                lift: altitude.max(0.12 * size),
                rotation: time * 2.4,
                ..still
            },
            Self::Approach => in_depth(still, horizon, 0.42 + 0.85 * (1.0 - (-time / 2.6).exp())),
            Self::Recede => in_depth(still, horizon, 0.36 + 0.85 * (-time / 2.6).exp()),
            Self::Sway => {
                let swing = (time * 3.0).sin();
                Pose {
                    x: start_x + swing * 0.10 * size,
                    rotation: swing * 0.24,
                    lift: 0.02 * size * swing.abs(),
                    ..still
                }
            }
            Self::Float => Pose {
                lift: altitude + (time * 1.9).sin() * 0.06,
                x: start_x + (time * 0.9).sin() * 0.03,
                rotation: (time * 1.3).sin() * 0.09,
                ..still
            },
        }
    }
}

/// 1 where a condition holds, else 0.
pub(crate) fn on(condition: bool) -> f32 {
    f32::from(u8::from(condition))
}

/// Nearer or farther along the ground: base and size shrink together towards the horizon.
fn in_depth(pose: Pose, horizon: f32, scale: f32) -> Pose {
    let ground = horizon + (pose.ground - horizon) * (0.25 + 0.75 * scale);
    Pose {
        ground,
        scale,
        ..pose
    }
}

/// Wider and flatter by `impact` in `0.0..=1.0`, taller when it is negative.
fn squash(impact: f32) -> (f32, f32) {
    let height = 1.0 - 0.24 * impact;
    (1.0 / height, height)
}

/// How strongly the ground still presses, `since_secs` after the touch or before the leap.
fn press(since_secs: f32) -> f32 {
    (1.0 - since_secs / 0.10).max(0.0)
}

/// Height and squash of a ball that is dropped from `drop` at time 0: parabolas whose take-off speed is [`RESTITUTION`]
/// times the landing speed, and the first speed again when little is left.
pub(crate) fn bounce(drop: f32, time: f32) -> (f32, f32) {
    let first_fall = (2.0 * drop / GRAVITY).sqrt();
    if time < first_fall {
        return (drop - 0.5 * GRAVITY * time * time, 0.0);
    }
    let full_speed = GRAVITY * first_fall;
    let mut speeds = vec![];
    let mut speed = full_speed * RESTITUTION;
    while speed * speed / (2.0 * GRAVITY) > RENEW_BELOW * drop {
        speeds.push(speed);
        speed *= RESTITUTION;
    }
    speeds.push(full_speed);
    let cycle: f32 = speeds.iter().map(|speed| 2.0 * speed / GRAVITY).sum();
    let mut since = (time - first_fall).rem_euclid(cycle);
    for speed in speeds {
        let flight = 2.0 * speed / GRAVITY;
        if since <= flight {
            return (
                speed * since - 0.5 * GRAVITY * since * since,
                press(since).max(press(flight - since)) * speed / full_speed,
            );
        }
        since -= flight;
    }
    (0.0, 1.0)
}

/// Jumps of `height` with a crouch between them.
fn jump(height: f32, time: f32) -> (f32, f32) {
    let speed = (2.0 * GRAVITY * height).sqrt();
    let (flight, crouch) = (2.0 * speed / GRAVITY, 0.28);
    let since = (time + crouch * 0.5).rem_euclid(flight + crouch);
    if since < crouch {
        return (0.0, (since / crouch * std::f32::consts::PI).sin() * 0.8);
    }
    let since = since - crouch;
    (
        speed * since - 0.5 * GRAVITY * since * since,
        -0.4 * press(since),
    )
}

/// A fall from `height` with small bounces and rest; after a while it leaps up again and the next fall begins.
fn fall(height: f32, time: f32) -> (f32, f32) {
    let fall_secs = (2.0 * height / GRAVITY).sqrt();
    let rest_secs = 3.2;
    let since = time.rem_euclid(2.0 * fall_secs + rest_secs);
    if since < fall_secs {
        return (height - 0.5 * GRAVITY * since * since, 0.0);
    }
    let landed = since - fall_secs;
    if landed > rest_secs {
        let speed = GRAVITY * fall_secs;
        let up = landed - rest_secs;
        return (speed * up - 0.5 * GRAVITY * up * up, 0.0);
    }
    let mut speed = GRAVITY * fall_secs * 0.36;
    let mut left = landed;
    for _ in 0..3 {
        let flight = 2.0 * speed / GRAVITY;
        if left < flight {
            return (
                speed * left - 0.5 * GRAVITY * left * left,
                press(left) * 0.9,
            );
        }
        left -= flight;
        speed *= 0.36;
    }
    (0.0, 0.3 * press(left))
}

impl Speed {
    /// The factor on time.
    pub(crate) fn factor(self) -> f32 {
        match self {
            Self::Slow => 0.65,
            Self::Normal => 1.0,
            Self::Fast => 1.55,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bounce_obeys_restitution() {
        let apex_of = |from: f32, to: f32| {
            (0..2000)
                .map(|i| bounce(0.42, from + (to - from) * i as f32 / 2000.0).0)
                .fold(0.0, f32::max)
        };
        let first_fall = (2.0 * 0.42 / GRAVITY).sqrt();
        let second_flight = 2.0 * first_fall * RESTITUTION;
        let third_flight = second_flight * RESTITUTION;
        let second = apex_of(first_fall, first_fall + second_flight);
        let third = apex_of(
            first_fall + second_flight,
            first_fall + second_flight + third_flight,
        );
        assert!(
            (second / 0.42 - RESTITUTION * RESTITUTION).abs() < 1e-3,
            "{second}"
        );
        assert!(
            (third / second - RESTITUTION * RESTITUTION).abs() < 1e-3,
            "{third}"
        );
    }

    #[test]
    fn nothing_sinks_into_the_ground_or_jumps_from_place_to_place() {
        let course = Course {
            start_x: 0.5,
            ground: 0.85,
            horizon: 0.6,
            size: 0.5,
            speed: 1.0,
            altitude: 0.2,
        };
        for motion in Motion::ALL {
            let mut before = motion.pose(&course, 0.0);
            for step in 1..1600 {
                let pose = motion.pose(&course, step as f32 * 0.005);
                assert!(pose.lift > -1e-4, "{motion:?} at {step}: {}", pose.lift);
                assert!(
                    (pose.lift - before.lift).abs() < 0.03 && (pose.x - before.x).abs() < 0.02,
                    "{motion:?} at step {step}"
                );
                before = pose;
            }
        }
    }

    #[test]
    fn rolling_does_not_slip() {
        let course = Course {
            start_x: 0.5,
            ground: 0.85,
            horizon: 0.6,
            size: 0.5,
            speed: 1.0,
            altitude: 0.2,
        };
        let pose = Motion::RollRight.pose(&course, 1.0);
        assert!((pose.rotation * 0.48 * course.size - (pose.x - course.start_x)).abs() < 1e-5);
    }
}
