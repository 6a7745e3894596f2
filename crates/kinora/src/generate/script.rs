//! Storyboards: a TOML file of shots.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::{values, words};

/// Seconds of a shot when nothing is said.
const DEFAULT_SECONDS: f64 = 4.0;
/// Most seconds of all shots together.
const MAX_SECONDS: f64 = 600.0;

/// How a shot begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Transition {
    /// Anew.
    #[default]
    Cut,
    /// From the shot before, while the text changes.
    Morph,
}

/// One shot.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shot {
    pub(crate) prompt: String,
    pub(crate) secs: f64,
    pub(crate) seed: Option<u64>,
    pub(crate) transition: Transition,
}

/// A shot as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    prompt: String,
    seconds: Option<f64>,
    seed: Option<u64>,
    camera: Option<String>,
    style: Option<String>,
    #[serde(default)]
    transition: Transition,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Script {
    #[serde(default)]
    shot: Vec<Written>,
}

/// Reads the script at `path`.
///
/// # Errors
///
/// What is no script, and shots that cannot be made.
pub(crate) fn read(path: &Path) -> Result<Vec<Shot>> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the script {}: check the name", path.display()))?;
    parse(&text).with_context(|| format!("the script {} cannot be used", path.display()))
}

fn parse(text: &str) -> Result<Vec<Shot>> {
    let script: Script = toml::from_str(text)?;
    if script.shot.is_empty() {
        bail!("it has no shots: write [[shot]] and a prompt for each");
    }
    let shot = |(index, written): (usize, Written)| -> Result<Shot> {
        let problem = |problem: String| anyhow::anyhow!("shot {}: {problem}", index + 1);
        let secs = written.seconds.unwrap_or(DEFAULT_SECONDS);
        if index == 0 && written.transition == Transition::Morph {
            return Err(problem(
                "the first shot has none before it to morph from".into(),
            ));
        }
        let prompt = values::prompt(&written.prompt).map_err(problem)?;
        let look = |text: Option<String>, read: fn(&str) -> Result<String, String>| {
            text.map(|text| read(&text)).transpose().map_err(problem)
        };
        let (camera, style) = (
            look(written.camera, words::camera)?,
            look(written.style, words::style)?,
        );
        Ok(Shot {
            prompt: words::complete(&prompt, camera.as_deref(), style.as_deref()),
            secs: values::seconds(&secs.to_string()).map_err(problem)?,
            seed: written.seed,
            transition: written.transition,
        })
    };
    let shots: Vec<Shot> = script
        .shot
        .into_iter()
        .enumerate()
        .map(shot)
        .collect::<Result<_>>()?;
    let secs: f64 = shots.iter().map(|shot| shot.secs).sum();
    if secs > MAX_SECONDS {
        bail!("its shots last {secs} seconds, and {MAX_SECONDS} are the most: shorten them");
    }
    Ok(shots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shots_are_read() {
        let shots = parse(
            "[[shot]]\nprompt = \"a fox\"\n[[shot]]\nprompt = \"an owl\"\nseconds = 2\nseed = 3\ntransition = \"morph\"\nstyle = \"pixel\"",
        );
        let shots = shots.unwrap();
        assert_eq!((shots[0].secs, shots[0].transition), (4.0, Transition::Cut));
        assert_eq!((shots[1].secs, shots[1].seed), (2.0, Some(3)));
        assert_eq!(shots[1].transition, Transition::Morph);
        assert_eq!(shots[1].prompt, "an owl, pixel art");
    }

    #[test]
    fn bad_scripts_say_what_is_wrong() {
        for (text, reason) in [
            ("", "no shots"),
            ("[[shot]]\nseconds = 2", "prompt"),
            ("[[shot]]\nprompt = \" \"", "shot 1: the prompt is empty"),
            ("[[shot]]\nprompt = \"a\"\nseconds = -1", "shot 1"),
            ("[[shot]]\nprompt = \"a\"\nlength = 1", "length"),
            ("[[shot]]\nprompt = \"a\"\ncamera = \"up\"", "pan-left"),
            ("[[shot]]\nprompt = \"a\"\ntransition = \"fade\"", "fade"),
            (
                "[[shot]]\nprompt = \"a\"\ntransition = \"morph\"",
                "none before it",
            ),
            (
                "[[shot]]\nprompt = \"a\"\nseconds = 600\n[[shot]]\nprompt = \"b\"",
                "604 seconds",
            ),
        ] {
            let error = format!("{:#}", parse(text).unwrap_err());
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
