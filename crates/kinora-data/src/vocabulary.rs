//! The values that the facts of a scene can have.

use crate::index::{Class, Entry};
use crate::motion::on;
use crate::named::named_enum;

pub use kinora_style::Style;

named_enum! {
    /// Where the scene is.
    Background {
        /// Green hills and flowers.
        Meadow = "meadow",
        /// Sand before the sea, a palm tree.
        Beach = "beach",
        /// Open water that mirrors.
        Sea = "sea",
        /// Dunes and cacti.
        Desert = "desert",
        /// White hills and firs.
        Snow = "snow",
        /// Trees near and far.
        Forest = "forest",
        /// Ridges with white peaks.
        Mountains = "mountains",
        /// A street before houses.
        City = "city",
        /// A room with a window.
        Room = "room",
        /// A stage with curtains and a spotlight.
        Stage = "stage",
        /// The bottom of the sea.
        Underwater = "underwater",
        /// Stars and planets.
        Space = "space",
        /// Above the clouds.
        Sky = "sky",
    }
}

named_enum! {
    /// When the scene is.
    TimeOfDay {
        /// Broad daylight.
        Day = "day",
        /// The sun is low, the sky orange.
        Sunset = "sunset",
        /// Moon and stars.
        Night = "night",
        /// The sky is pink and pale.
        Dawn = "dawn",
    }
}

named_enum! {
    /// What falls or hangs in the air.
    Weather {
        /// Nothing.
        Clear = "clear",
        /// Rain.
        Rain = "rain",
        /// Snowflakes.
        Snow = "snow",
        /// Fog.
        Fog = "fog",
        /// Falling leaves.
        Leaves = "leaves",
    }
}

named_enum! {
    /// How fast the subject moves.
    Speed {
        /// Two thirds of the usual speed.
        Slow = "slow",
        /// The usual speed.
        Normal = "normal",
        /// One and a half times the usual speed.
        Fast = "fast",
    }
}

named_enum! {
    /// The shape of the frame.
    Aspect {
        /// 176×96.
        Wide = "wide",
        /// 128×128.
        Square = "square",
        /// 96×176.
        Tall = "tall",
        /// 144×112.
        Standard = "standard",
        /// 112×144.
        Portrait = "portrait",
        /// 224×96.
        Ultrawide = "ultrawide",
    }
}

named_enum! {
    /// On which side of the subject the companion is.
    Side {
        /// To the left.
        Left = "left",
        /// To the right.
        Right = "right",
    }
}

impl Aspect {
    /// Width and height in pixels at the native size.
    pub fn native_size(self) -> (usize, usize) {
        match self {
            Self::Wide => (176, 96),
            Self::Square => (128, 128),
            Self::Tall => (96, 176),
            Self::Standard => (144, 112),
            Self::Portrait => (112, 144),
            Self::Ultrawide => (224, 96),
        }
    }
}

impl Background {
    /// There is something to stand on (at sea: shallow water).
    pub fn has_ground(self) -> bool {
        !matches!(self, Self::Underwater | Self::Space | Self::Sky)
    }

    /// The time of day changes how it looks.
    pub fn has_time(self) -> bool {
        !matches!(self, Self::Underwater | Self::Space | Self::Stage)
    }

    /// Weather reaches it.
    pub fn has_weather(self) -> bool {
        !matches!(
            self,
            Self::Underwater | Self::Space | Self::Stage | Self::Room
        )
    }

    /// How likely this subject is here.
    pub(crate) fn weight(self, entry: &Entry) -> f32 {
        match self {
            Self::Underwater if entry.can_swim => 4.0,
            Self::Underwater => 0.3,
            Self::Sea if entry.can_swim => 3.0,
            Self::Sky if entry.can_fly => 2.0,
            Self::Sky => 0.3,
            Self::Space
                if entry.subgroup == "transport-air"
                    || entry.name_en.contains("astronaut")
                    || entry.name_en.contains("alien") =>
            {
                3.0
            }
            Self::Space => 0.6,
            Self::City if entry.class == Class::Vehicle => 2.5,
            Self::Stage if entry.class == Class::Person => 1.2,
            Self::Room | Self::Stage => 0.8,
            _ => 1.0,
        }
    }
}

impl TimeOfDay {
    /// How likely it is there; 0 where it would not be seen.
    pub fn weight(self, background: Background) -> f32 {
        match (background.has_time(), self) {
            (false, Self::Day) => 1.0,
            (false, _) => 0.0,
            (true, Self::Day) => 4.5,
            (true, Self::Dawn) => 1.0,
            (true, _) => 2.2,
        }
    }
}

impl Weather {
    /// How likely it is there; 0 where there is none.
    pub fn weight(self, background: Background) -> f32 {
        match self {
            Self::Clear => 7.0,
            _ if !background.has_weather() => 0.0,
            Self::Rain => on(!matches!(background, Background::Sky | Background::Desert)),
            Self::Snow if background == Background::Snow => 3.0,
            Self::Snow => 0.7 * on(background != Background::Sky),
            Self::Fog => 0.5 * on(background != Background::Sky),
            Self::Leaves => match background {
                Background::Forest => 2.0,
                Background::Meadow | Background::City => 0.8,
                _ => 0.0,
            },
        }
    }
}
