//! Camera and style in the words of the captions that the model learned from.

use kinora_data::{Camera, Style, camera_words, style_words};

use super::values;

/// Moves that no caption of a scene tells.
const TILTS: [(&str, &str); 2] = [
    ("tilt-up", "the camera tilts up"),
    ("tilt-down", "the camera tilts down"),
];
const SPEEDS: [(&str, &str); 2] = [("slow", "very slowly"), ("fast", "quickly")];

/// What `--camera` says: a move by its name, maybe with a speed behind it, or in the user's own words.
pub(crate) fn camera(text: &str) -> Result<String, String> {
    let (name, speed) = match text.split_once(':') {
        Some((name, speed)) if !text.contains(char::is_whitespace) => (name, Some(speed)),
        _ => (text, None),
    };
    let tilt = TILTS.iter().find(|(tilt, _)| *tilt == name);
    let named = match (tilt, Camera::from_name(name)) {
        (Some((_, words)), _) => Some(std::slice::from_ref(words)),
        (None, camera) => camera.map(camera_words),
    };
    let names = Camera::ALL.iter().map(|camera| camera.name());
    let words = said(name, named, names.chain(TILTS.map(|(name, _)| name)))?;
    let Some(speed) = speed else {
        return Ok(words);
    };
    let how = SPEEDS.iter().find(|(name, _)| *name == speed);
    match (how, name) {
        (_, "static") => Err("a static camera has no speed: leave it out".to_owned()),
        (Some((_, how)), _) => Ok(words.replacen("camera", &format!("camera {how}"), 1)),
        (None, _) => Err(format!(
            "'{speed}' is no speed: known are slow and fast, as in {name}:slow"
        )),
    }
}

/// What `--style` says: a style by its name, or in the user's own words.
pub(crate) fn style(text: &str) -> Result<String, String> {
    let known = match text {
        "pencil" => "sketch",
        "watercolour" => "watercolor",
        other => other,
    };
    let named = Style::from_name(known).map(style_words);
    said(text, named, Style::ALL.iter().map(|style| style.name()))
}

/// The plainest words of a name. A single word that is no name is taken for a slip and refused; several are the user's own.
fn said<'a>(
    text: &str,
    named: Option<&[&str]>,
    names: impl Iterator<Item = &'a str>,
) -> Result<String, String> {
    match named {
        Some(words) => Ok(words.first().copied().unwrap_or_default().to_owned()),
        None if text.trim().contains(char::is_whitespace) => values::prompt(text),
        None => Err(format!(
            "'{text}' is unknown: known are {}; anything else is said in several words",
            names.collect::<Vec<_>>().join(", ")
        )),
    }
}

/// `prompt` with what camera and style say.
pub(crate) fn complete(prompt: &str, camera: Option<&str>, style: Option<&str>) -> String {
    let parts = [Some(prompt), camera, style].into_iter().flatten();
    let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_the_words_of_captions() {
        assert_eq!(camera("pan-left"), Ok("the camera pans left".into()));
        assert_eq!(style("pixel"), Ok("pixel art".into()));
        assert_eq!(style("natural"), Ok(String::new()));
        assert_eq!(style("pencil"), style("sketch"));
        assert_eq!(style("watercolour"), style("watercolor"));
        assert_eq!(style("thick oil paint"), Ok("thick oil paint".into()));
        assert_eq!(
            camera("tilt-up:slow"),
            Ok("the camera very slowly tilts up".into())
        );
        assert_eq!(
            camera("pan-right:fast"),
            Ok("the camera quickly pans right".into())
        );
        assert!(
            camera("pan-left:warp")
                .unwrap_err()
                .contains("slow and fast")
        );
        assert!(camera("static:slow").is_err());
        let error = camera("pan-up").unwrap_err();
        assert!(
            error.contains("pan-left") && error.contains("several words"),
            "{error}"
        );
        let all = complete("a fox", Some("the camera pans left"), Some(""));
        assert_eq!(all, "a fox, the camera pans left");
        assert_eq!(complete("", None, Some("pixel art")), "pixel art");
    }
}
