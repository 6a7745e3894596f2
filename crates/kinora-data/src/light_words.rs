//! What times of day and weathers are called, in captions and beyond them.

use crate::vocabulary::{TimeOfDay, Weather};

impl TimeOfDay {
    /// Words of which each means this time, in English and Chinese, also such as no caption says.
    pub fn words(self) -> &'static [&'static str] {
        match self {
            Self::Day => &[
                "by day",
                "in daylight",
                "during the day",
                "in the daytime",
                "at noon",
                "midday",
                "sunny",
                "sunshine",
                "白天",
                "大白天",
                "中午",
                "阳光",
            ],
            Self::Sunset => &[
                "sunset",
                "evening",
                "dusk",
                "twilight",
                "golden hour",
                "setting sun",
                "日落",
                "傍晚",
                "黄昏",
                "夕阳",
            ],
            Self::Night => &[
                "night",
                "nighttime",
                "midnight",
                "moonlight",
                "moonlit",
                "starry",
                "in the dark",
                "夜晚",
                "夜里",
                "晚上",
                "夜空",
                "夜色",
                "深夜",
                "月光",
                "星空",
            ],
            Self::Dawn => &[
                "dawn",
                "sunrise",
                "morning",
                "daybreak",
                "rising sun",
                "黎明",
                "清晨",
                "日出",
                "早上",
                "早晨",
            ],
        }
    }
}

impl Weather {
    /// Words of which each means this weather, in English and Chinese, also such as no caption says. Snow that lies on the ground is a place and no weather.
    pub fn words(self) -> &'static [&'static str] {
        match self {
            Self::Clear => &[],
            Self::Leaves => &[
                "leaves fall",
                "leaves falling",
                "leaves are falling",
                "falling leaves",
                "leaves in the wind",
                "leaves blow",
                "autumn leaves",
                "落叶",
                "树叶飘落",
            ],
            Self::Rain => &[
                "rain",
                "rainy",
                "raining",
                "rainstorm",
                "drizzle",
                "雨中",
                "下雨",
                "下着雨",
                "雨",
            ],
            Self::Snow => &[
                "snow falls",
                "falling snow",
                "snow is falling",
                "it snows",
                "snowing",
                "snowfall",
                "snowflake",
                "snowstorm",
                "blizzard",
                "下雪",
                "下着雪",
                "雪花飘落",
            ],
            Self::Fog => &["fog", "foggy", "mist", "misty", "大雾", "雾中", "雾"],
        }
    }
}
