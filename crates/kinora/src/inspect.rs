//! `kinora inspect`: what a file holds, and what it was made from.

use std::fmt::Write;

use anyhow::Result;
use kinora_media::{Colour, MediaInfo, probe};
use serde_json::{Map, Value};

use crate::args::InspectArgs;
use crate::output;

/// Entries of a recipe in the order in which people ask for them; others follow.
const ORDER: [&str; 10] = [
    "prompt",
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
    if let Some(colour) = info.colour {
        let name = if colour == Colour::BT709 {
            "BT.709".to_owned()
        } else {
            format!("{colour:?}")
        };
        let _ = write!(text, "\n  colour {name}");
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
