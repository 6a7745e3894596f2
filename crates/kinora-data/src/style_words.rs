//! What styles are called, in captions and beyond them.

use crate::vocabulary::Style;

/// Words of which each means this style, in English and Chinese, also such as no caption says. The natural one needs none.
pub fn style_names(style: Style) -> &'static [&'static str] {
    match style {
        Style::Natural => &[],
        Style::Flat => &[
            "flat illustration",
            "flat design",
            "flat style",
            "flat colors",
            "flat color drawing",
            "flat colours",
            "vector art",
            "扁平插画",
            "扁平风格",
        ],
        Style::Pixel => &[
            "pixel art",
            "pixel art animation",
            "pixel style",
            "pixelated",
            "retro pixel game",
            "8-bit",
            "像素风格",
            "像素画",
        ],
        Style::Sketch => &[
            "sketch",
            "pencil sketch",
            "pencil drawing",
            "hand-drawn sketch",
            "in pencil",
            "铅笔素描",
            "素描风格",
        ],
        Style::Watercolor => &[
            "watercolor painting",
            "watercolor",
            "soft watercolor",
            "watercolour painting",
            "watercolour",
            "watercolors",
            "watercolours",
            "水彩画",
            "水彩风格",
        ],
        Style::Neon => &[
            "neon drawing",
            "neon glow picture",
            "glowing neon picture",
            "neon style",
            "neon art",
            "in neon",
            "霓虹风格",
            "霓虹灯效果",
        ],
        Style::Monochrome => &[
            "black and white film",
            "black-and-white movie",
            "black and white",
            "black-and-white",
            "monochrome film",
            "monochrome",
            "黑白电影",
            "黑白画面",
        ],
        Style::Clay => &[
            "clay animation",
            "claymation",
            "modelled in clay",
            "clay style",
            "made of clay",
            "in clay",
            "plasticine",
            "黏土动画",
            "黏土风格",
        ],
    }
}
