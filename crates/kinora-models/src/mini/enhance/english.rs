//! English: "a rocket floating in space, static camera".

use super::Additions;
use super::said::Said;

pub(super) fn write(said: &Said, additions: &Additions) -> String {
    let spaced = |words: Option<&str>| words.map(|words| format!(" {words}"));
    let place_at = match said.motion {
        true => said.setting,
        false => said.subject_end,
    };
    let more = [
        (said.subject_end, spaced(additions.motion)),
        (place_at, spaced(additions.place)),
        (said.clause_end, spaced(additions.light)),
        (said.end, additions.camera.map(|words| format!(", {words}"))),
    ];
    let more: Vec<(usize, String)> = more
        .into_iter()
        .filter_map(|(at, words)| Some((at, words?)))
        .collect();
    said.with(&more)
}
