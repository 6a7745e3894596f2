//! Chinese: "白天，一只猫在草地上向右走，镜头静止".

use super::Additions;
use super::said::Said;

pub(super) fn write(said: &Said, additions: &Additions) -> String {
    let more = [
        (0, additions.light.map(|words| format!("{words}，"))),
        (
            said.subject_end,
            additions.place.map(|words| format!("在{words}")),
        ),
        (said.clause_end, additions.motion.map(str::to_owned)),
        (said.end, additions.camera.map(|words| format!("，{words}"))),
    ];
    let more: Vec<(usize, String)> = more
        .into_iter()
        .filter_map(|(at, words)| Some((at, words?)))
        .collect();
    said.with(&more)
}
