//! What a prompt says already.

use std::ops::Range;

use crate::mini::backdrops::Backdrops;
use crate::mini::lexicon::Lexicon;
use crate::mini::text::normalise;

use super::Language;
use super::habits::has_weather;

const LIGHT: &[&str] = &[
    "day",
    "daylight",
    "daytime",
    "sunset",
    "sunrise",
    "dusk",
    "dawn",
    "night",
    "nighttime",
    "evening",
    "morning",
    "noon",
    "midday",
    "midnight",
    "afternoon",
    "twilight",
    "dark",
    "darkness",
    "sunny",
    "sun",
    "sunlight",
    "sunshine",
    "moon",
    "moonlight",
    "moonlit",
    "star",
    "stars",
    "starry",
    "light",
    "lights",
    "lit",
    "bright",
    "shadow",
    "shadows",
    "glowing",
];
const WEATHER: &[&str] = &[
    "rain", "rains", "rainy", "raining", "snow", "snows", "snowing", "falling", "fog", "foggy",
    "mist", "misty", "storm", "stormy", "thunder", "wind", "windy", "cloudy", "leaves", "hail",
];
/// Of these, what lies on the ground later.
const SNOW: &[&str] = &["snow", "snows", "snowing", "雪"];
const CAMERA: &[&str] = &[
    "camera", "shot", "zoom", "zooms", "zooming", "pan", "pans", "panning", "orbit", "orbits",
    "drone", "handheld", "tilt", "tilts", "tilting", "close-up", "closeup", "aerial", "view",
    "dolly",
];
const STYLE: &[&str] = &[
    "style",
    "pixel",
    "art",
    "watercolor",
    "watercolour",
    "painting",
    "painted",
    "paint",
    "oil",
    "sketch",
    "pencil",
    "drawing",
    "drawn",
    "hand-drawn",
    "illustration",
    "flat",
    "poster",
    "neon",
    "clay",
    "claymation",
    "plasticine",
    "modelled",
    "cartoon",
    "3d",
    "render",
    "animation",
    "animated",
    "film",
    "movie",
    "video",
    "black",
    "white",
    "black-and-white",
    "monochrome",
    "retro",
    "game",
    "picture",
    "photo",
    "cinematic",
    "realistic",
    "colors",
    "colours",
    "soft",
];
/// Words that tell nobody's doings.
const FUNCTION: &[&str] = &[
    "a", "an", "the", "and", "or", "in", "on", "at", "by", "of", "with", "beside", "next", "to",
    "near", "while", "during", "under", "it", "is", "are", "one", "two", "three", "four", "five",
    "some", "early", "late", "high", "low", "very", "deep",
];
/// Words that begin a phrase of where something is.
const PLACING: &[&str] = &[
    "in", "on", "at", "by", "of", "with", "beside", "near", "under", "above", "over", "behind",
    "before", "between", "inside", "outside", "below", "among", "atop", "along", "around",
    "against", "next", "to", "from", "through", "across", "upon", "within",
];
const LIGHT_ZH: &[&str] = &[
    "白天", "日落", "傍晚", "黄昏", "夜", "晚上", "黎明", "清晨", "早上", "早晨", "日出", "中午",
    "下午", "月", "星", "阳光", "太阳", "黑暗", "灯",
];
const WEATHER_ZH: &[&str] = &[
    "下着雨",
    "雨中",
    "下雨",
    "雨",
    "下着雪",
    "下雪",
    "雪花飘落",
    "雪",
    "大雾弥漫",
    "雾中",
    "雾",
    "落叶纷飞",
    "风",
];
const CAMERA_ZH: &[&str] = &["镜头", "拍摄", "航拍", "特写"];
const STYLE_ZH: &[&str] = &[
    "风格",
    "像素画",
    "像素",
    "黏土",
    "水彩画",
    "水彩",
    "素描",
    "铅笔",
    "插画",
    "扁平",
    "霓虹灯",
    "霓虹",
    "黑白",
    "电影",
    "画面",
    "动画",
    "效果",
];
const FUNCTION_ZH: &[&str] = &[
    "一", "两", "三", "几", "只", "个", "辆", "条", "头", "匹", "张", "架", "艘", "座", "朵", "在",
    "里", "上", "中", "下", "的", "时", "和", "与", "跟", "是", "有",
];

/// A prompt, read for what it leaves open.
#[derive(Debug)]
pub(super) struct Said {
    letters: Vec<char>,
    pub(super) language: Language,
    /// Behind the last subject that is named.
    pub(super) subject_end: usize,
    /// Where the words at the end of that clause begin that tell light or weather.
    pub(super) setting: usize,
    /// Where that clause ends.
    pub(super) clause_end: usize,
    /// Where the last sentence ends, before its full stop.
    pub(super) end: usize,
    /// The named place.
    pub(super) place: Option<String>,
    pub(super) motion: bool,
    pub(super) light: bool,
    pub(super) camera: bool,
    weather: bool,
    snow: bool,
}

/// A word and where it stands.
type Word = (String, Range<usize>);

impl Said {
    /// `None` where no subject is named.
    pub(super) fn read(prompt: &str, lexicon: &Lexicon, backdrops: &Backdrops) -> Option<Self> {
        let letters = letters(prompt);
        let subjects = lexicon.places(prompt);
        let (first, last) = (subjects.first()?.clone(), subjects.last()?.clone());
        let overlaps =
            |a: &Range<usize>| subjects.iter().any(|b| a.start < b.end && b.start < a.end);
        let mentions = backdrops
            .mentions(prompt)
            .into_iter()
            .filter(|mention| !overlaps(mention));
        let mut others = letters.clone();
        for named in mentions.chain(subjects.iter().cloned()) {
            others[named].fill(' ');
        }
        let language = match letters.iter().any(|&c| is_han(c)) {
            true => Language::Chinese,
            false => Language::English,
        };
        let ends = |c: &char| ",.;:!?，。；：！？、".contains(*c);
        let after = letters[last.end..].iter().position(ends);
        let clause_end = trimmed(
            &letters,
            after.map_or(letters.len(), |after| last.end + after),
        );
        let end = letters
            .iter()
            .rposition(|c| !ends(c) && !c.is_whitespace())
            .map_or(0, |at| at + 1);
        let place = backdrops.find(&lexicon.rest(prompt));
        let words = words(&others);
        let says = |topic: &[&str]| words.iter().any(|(word, _)| topic.contains(&word.as_str()));
        let rest: String = others.iter().collect();
        let contains = |topic: &[&str]| topic.iter().any(|phrase| rest.contains(phrase));
        let motion = match language {
            Language::Chinese => tells_doings_zh(&others[first.start..]),
            Language::English => tells_doings(&words, &others, first.start),
        };
        // "A koala sings": the second is no subject but what the first does.
        let is_verb = |pair: &[Range<usize>]| {
            let between = &letters[pair[0].end..pair[1].start];
            between.iter().all(|c| c.is_whitespace())
        };
        let motion = motion || subjects.windows(2).any(is_verb);
        let tail = words
            .iter()
            .filter(|(_, at)| last.end <= at.start && at.end <= clause_end);
        Some(Self {
            language,
            subject_end: last.end,
            setting: setting_start(tail.cloned().collect(), clause_end, &letters),
            clause_end,
            end: end.max(clause_end),
            place: place.map(|place| backdrops.places()[place].name.clone()),
            motion,
            light: says(LIGHT) || contains(LIGHT_ZH),
            camera: says(CAMERA) || contains(CAMERA_ZH),
            weather: says(WEATHER) || contains(WEATHER_ZH),
            snow: says(SNOW) || contains(SNOW),
            letters,
        })
    }

    /// The prompt.
    pub(super) fn text(&self) -> String {
        self.letters.iter().collect()
    }

    /// The prompt with more words at some places, which are in order.
    pub(super) fn with(&self, more: &[(usize, String)]) -> String {
        let mut text = String::new();
        let mut from = 0;
        for (at, words) in more {
            text.extend(&self.letters[from..*at]);
            text.push_str(words);
            from = *at;
        }
        text.extend(&self.letters[from..]);
        text
    }

    /// Nothing that is said rules this place out.
    pub(super) fn allows(&self, place: &str) -> bool {
        let snows_elsewhere = self.snow && matches!(place, "beach" | "sea" | "desert" | "meadow");
        (!self.weather || has_weather(place)) && !snows_elsewhere
    }
}

/// The user's own letters where each stands for one of the normalised form, in which phrases are found.
fn letters(prompt: &str) -> Vec<char> {
    let own: Vec<char> = prompt.chars().collect();
    let normal: Vec<char> = normalise(prompt).chars().collect();
    let is_same = |(own, normal): (&char, &char)| {
        own == normal || normalise(&own.to_string()).chars().eq([*normal])
    };
    match own.len() == normal.len() && own.iter().zip(&normal).all(is_same) {
        true => own,
        false => normal,
    }
}

fn is_han(c: char) -> bool {
    ('\u{3400}'..='\u{9fff}').contains(&c)
}

fn trimmed(letters: &[char], end: usize) -> usize {
    let spaces = letters[..end]
        .iter()
        .rev()
        .take_while(|c| c.is_whitespace());
    end - spaces.count()
}

fn is_setting(word: &str) -> bool {
    [FUNCTION, LIGHT, WEATHER]
        .iter()
        .any(|topic| topic.contains(&word))
}

fn words(letters: &[char]) -> Vec<Word> {
    let is_inside = |c: char| c.is_alphanumeric() && !is_han(c) || "-'’".contains(c);
    let mut words: Vec<Word> = Vec::new();
    for (at, &c) in letters.iter().enumerate().filter(|(_, c)| is_inside(**c)) {
        match words.last_mut() {
            Some((word, place)) if place.end == at => {
                word.extend(c.to_lowercase());
                place.end = at + 1;
            }
            _ => words.push((c.to_lowercase().collect(), at..at + 1)),
        }
    }
    words
}

/// Whether any of the words is a doing, of those that name neither subjects nor places. Behind the subject each is, but for what a phrase such as
/// "on a grassy hill" says of where it is; a verb may end that, and a place that was named does.
fn tells_doings(words: &[Word], others: &[char], subject: usize) -> bool {
    // Where a phrase of place begins that is not over, and how many words it has had.
    let mut phrase: Option<usize> = None;
    let mut before = subject;
    for (word, at) in words {
        let is_known =
            is_setting(word) || CAMERA.contains(&word.as_str()) || STYLE.contains(&word.as_str());
        let is_verb = word.len() > 3 && (word.ends_with("ing") || word.ends_with('s'));
        if at.start < subject {
            if word.len() > 4 && word.ends_with("ing") {
                return true;
            }
            continue;
        }
        let between = &others[before..at.start];
        let is_over = between.iter().any(|c| ",.;:!?".contains(*c)) || between.len() > 2;
        before = at.end;
        if is_over
            || matches!(
                word.as_str(),
                "and" | "or" | "while" | "as" | "it" | "is" | "are"
            )
        {
            phrase = None;
        }
        if PLACING.contains(&word.as_str()) {
            phrase = Some(0);
        } else if !is_known {
            match &mut phrase {
                None => return true,
                Some(said) if *said > 0 && is_verb => return true,
                Some(said) => *said += 1,
            }
        }
    }
    false
}

/// Where a run of words begins that ends the clause and tells light or weather alone, such as "at night".
fn setting_start(mut tail: Vec<Word>, clause_end: usize, letters: &[char]) -> usize {
    let mut start = clause_end;
    let mut tells = false;
    while let Some((word, at)) = tail.pop().filter(|(word, _)| is_setting(word)) {
        tells |= !FUNCTION.contains(&word.as_str());
        start = at.start;
    }
    if tells {
        trimmed(letters, start)
    } else {
        clause_end
    }
}

/// Whether anything is left when all that tells no doings is taken away.
fn tells_doings_zh(others: &[char]) -> bool {
    let mut rest: String = others.iter().collect();
    for topic in [STYLE_ZH, LIGHT_ZH, WEATHER_ZH, CAMERA_ZH, FUNCTION_ZH] {
        for phrase in topic {
            rest = rest.replace(phrase, "");
        }
    }
    rest.chars().any(is_han)
}
