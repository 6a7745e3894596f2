//! `kinora inspect`: what a file holds, and what it was made from.

use std::fmt::Write;

use anyhow::Result;
use kinora_media::{Colour, DynamicRange, MediaInfo, Orientation, PixelAspect, Reader, probe};
use serde_json::{Map, Value};

use crate::args::InspectArgs;
use crate::output;

/// Entries of a recipe in the order in which people ask for them; others follow.
const ORDER: [&str; 11] = [
    "prompt",
    "asked",
    "negative",
    "seed",
    "steps",
    "guidance",
    "shift",
    "model",
    "model_hash",
    "program",
    "version",
];

/// Tells what a file holds.
pub(crate) fn run(args: &InspectArgs) -> Result<()> {
    let info = probe(&args.file)?;
    if args.json {
        return output::print(&serde_json::to_string_pretty(&info)?);
    }
    output::print(&format!("{}\n{}", args.file.display(), describe(&info)))
}

fn describe(info: &MediaInfo) -> String {
    let mut text = format!(
        "  {}, {}, {}x{}",
        info.container,
        output::harmless(&info.codec),
        info.width,
        info.height
    );
    if let Some(fps) = info.fps {
        let _ = write!(
            text,
            ", {:.2} s: {} frames at {fps} frames/s",
            info.duration_secs, info.frames
        );
    }
    text.push_str(&describe_pictures(info));
    if let Some(audio) = &info.audio {
        let _ = write!(
            text,
            "\n  sound {}, {}, {} Hz, {:.2} s{}",
            output::harmless(&audio.codec),
            match audio.channels {
                1 => "mono".to_owned(),
                2 => "stereo".to_owned(),
                channels => format!("{channels} channels"),
            },
            audio.sample_rate,
            audio.duration_secs,
            if audio.can_be_copied {
                ""
            } else {
                "; it cannot be copied into an MP4 as it is"
            }
        );
    }
    if info.reader == Reader::Ffmpeg {
        text.push_str("\n  FFmpeg reads it: `ffmpeg` and `ffprobe` must be installed");
    }
    if !info.index_first {
        text.push_str("\n  the index stands last: it cannot play before all of it is there");
    }
    match info.recipe.as_ref().and_then(Value::as_object) {
        Some(recipe) => text.push_str(&describe_recipe(recipe)),
        None => text.push_str("\n  no recipe: Kinora did not make it, or the recipe was stripped"),
    }
    text
}

/// What is unusual about the pictures.
fn describe_pictures(info: &MediaInfo) -> String {
    let mut text = String::new();
    if let Some(colour) = info.colour.filter(|colour| *colour != Colour::UNSPECIFIED) {
        let _ = write!(text, "\n  colour {}", colour_name(colour));
    }
    match info.dynamic_range {
        DynamicRange::Standard => {}
        DynamicRange::Pq => text.push_str("\n  HDR (PQ), tone-mapped when it is read"),
        DynamicRange::Hlg => text.push_str("\n  HDR (HLG), tone-mapped when it is read"),
    }
    if info.bit_depth != 8 {
        let _ = write!(text, "\n  {} bits a sample", info.bit_depth);
    }
    if info.interlaced {
        text.push_str("\n  interlaced");
    }
    if info.orientation != Orientation::UPRIGHT {
        let mirrored = if info.orientation.mirrored {
            "mirrored and "
        } else {
            ""
        };
        let degrees = info.orientation.clockwise_degrees;
        let _ = write!(
            text,
            "\n  stored {mirrored}turned by {degrees} degrees, read upright"
        );
    }
    if info.pixel_aspect != PixelAspect::SQUARE {
        let PixelAspect { width, height } = info.pixel_aspect;
        let _ = write!(
            text,
            "\n  stored with pixels of {width}:{height}, read with square ones"
        );
    }
    text
}

/// The standard's name where there is one.
fn colour_name(colour: Colour) -> String {
    let matrix = match colour.matrix {
        1 => "BT.709",
        5 | 6 => "BT.601",
        9 | 10 => "BT.2020",
        2 => "not said",
        other => return format!("matrix {other} of H.273{}", range_name(colour)),
    };
    format!("{matrix}{}", range_name(colour))
}

fn range_name(colour: Colour) -> &'static str {
    if colour.full_range {
        ", full range"
    } else {
        ""
    }
}

fn describe_recipe(recipe: &Map<String, Value>) -> String {
    let place = |key: &str| {
        ORDER
            .iter()
            .position(|known| *known == key)
            .unwrap_or(ORDER.len())
    };
    let mut entries: Vec<(&String, &Value)> = recipe.iter().collect();
    entries.sort_by_key(|(key, _)| place(key));
    let mut text = String::from("\n  recipe");
    for (key, value) in entries {
        let value = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        if !value.is_empty() {
            let _ = write!(
                text,
                "\n    {:<12}{}",
                output::harmless(key),
                output::harmless(&value)
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_unusual_about_a_clip_is_told() {
        let told = |name: &str| {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../kinora-media/tests/data/");
            describe(&probe(format!("{folder}{name}")).unwrap())
        };
        let turned = told("rotated.mov");
        assert!(turned.contains("QuickTime, H.264 High, 48x64"), "{turned}");
        assert!(turned.contains("turned by 90 degrees"), "{turned}");
        assert!(!turned.contains("colour"), "{turned}");
        let sound = told("sound.mov");
        assert!(sound.contains("sound AAC, mono, 48000 Hz"), "{sound}");
        let hdr = told("hlg.mp4");
        for fact in ["HEVC", "HDR (HLG)", "10 bits", "FFmpeg reads it"] {
            assert!(hdr.contains(fact), "{hdr}");
        }
        assert!(told("full_601.mp4").contains("BT.601, full range"));
        assert!(told("anamorphic.mp4").contains("pixels of 4:3"));
    }

    #[test]
    fn the_prompt_comes_first_and_cannot_steer_the_terminal() {
        let recipe = json!({"frames": 48, "negative": "", "prompt": "a \u{1b}[2Jkoala", "seed": 7});
        let text = describe_recipe(recipe.as_object().unwrap());
        let lines: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                "    prompt      a \\u{1b}[2Jkoala",
                "    seed        7",
                "    frames      48"
            ]
        );
    }
}
