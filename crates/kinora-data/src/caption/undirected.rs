//! People say that something walks through a forest and leave open to which side.

use crate::rng::Rng;

/// What English captions say of a side, and may say instead.
const SIDES: &[&str] = &[
    " to the right",
    " to the left",
    " from left to right",
    " from right to left",
    " towards the right",
    " towards the left",
];
const INSTEAD: &[&str] = &["", "", "", " around", " past", " along"];
/// What may follow, and be said of a way instead.
const PLACES: &[&str] = &[" in ", " on ", " at "];
const WAYS: &[&str] = &[" through ", " across ", " over "];
/// The same in Chinese.
const CHINESE: &[(&str, &str)] = &[
    ("从左走到右", "走过"),
    ("从右走到左", "走过"),
    ("往右边走", "走"),
    ("往左边走", "走"),
    ("向右走", "走"),
    ("向左走", "走"),
    ("向右开", "开"),
    ("向左开", "开"),
    ("向右行驶", "行驶"),
    ("向左行驶", "行驶"),
    ("向右滚动", "滚动"),
    ("向左滚动", "滚动"),
    ("滚向右边", "滚动"),
    ("滚向左边", "滚动"),
    ("飞向右边", "飞过"),
    ("飞向左边", "飞过"),
    ("向右飞", "飞"),
    ("向左飞", "飞"),
    ("游向右边", "游过"),
    ("游向左边", "游过"),
    ("向右游", "游"),
    ("向左游", "游"),
    ("向右移动", "移动"),
    ("向左移动", "移动"),
];
/// From here on captions speak of the camera.
const CAMERA: &[&str] = &["camera", "shot", "镜头"];

/// The caption of a subject that goes to a side, without telling to which. Sides of the camera stay, and so does a caption that tells
/// none.
pub fn undirected(caption: &str, seed: u64) -> String {
    let mut rng = Rng::derived(seed, 0x51DE);
    let first = |words: &[&str]| words.iter().filter_map(|word| caption.find(word)).min();
    let end = first(CAMERA).unwrap_or(caption.len());
    let (told, camera) = caption.split_at(end);
    let side = SIDES
        .iter()
        .filter_map(|side| Some((told.find(side)?, side.len())))
        .min();
    if let Some((start, length)) = side {
        let (before, after) = (&told[..start], &told[start + length..]);
        let place = PLACES.iter().find(|place| after.starts_with(**place));
        return match place {
            Some(place) if rng.chance(0.5) => {
                let way = rng.pick(WAYS);
                format!("{before}{way}{}{camera}", &after[place.len()..])
            }
            _ => format!("{before}{}{after}{camera}", rng.pick(INSTEAD)),
        };
    }
    let said = CHINESE.iter().find(|(side, _)| told.contains(side));
    match said {
        Some((side, instead)) => format!("{}{camera}", told.replacen(side, instead, 1)),
        None => caption.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Pack, SceneSpec, Split, captions};

    #[test]
    fn no_side_is_told_but_the_cameras() {
        let pack = Pack::sample();
        let mut changed = 0;
        for seed in 0..2000 {
            let spec = SceneSpec::sample(seed, &pack, Split::Train);
            if spec.motion.heading() == 0.0 {
                continue;
            }
            let told = captions(&spec, &pack, seed);
            for caption in [&told.short_en, &told.long_en, &told.short_zh, &told.long_zh] {
                let text = undirected(&caption.text, seed);
                changed += usize::from(text != caption.text);
                let end = |text: &str| CAMERA.iter().filter_map(|word| text.find(word)).min();
                let (of, was) = (end(&text), end(&caption.text));
                let subject = &text[..of.unwrap_or(text.len())];
                assert!(
                    !SIDES.iter().any(|side| subject.contains(side))
                        && !CHINESE.iter().any(|(side, _)| subject.contains(side)),
                    "{text}"
                );
                assert_eq!(of.map(|at| &text[at..]), was.map(|at| &caption.text[at..]));
                assert!(!text.contains("  "), "{text}");
            }
        }
        assert!(changed > 500, "{changed}");
    }

    #[test]
    fn what_tells_no_side_stays() {
        for caption in ["a koala waves", "the camera pans to the left", "一只考拉"] {
            assert_eq!(undirected(caption, 1), caption);
        }
        let ways: Vec<String> = (0..40)
            .map(|seed| undirected("a fox walks to the left in a forest", seed))
            .collect();
        assert!(ways.contains(&"a fox walks in a forest".to_owned()));
        assert!(ways.contains(&"a fox walks through a forest".to_owned()));
        assert_eq!(undirected("一只狐狸向左走", 3), "一只狐狸走");
    }
}
