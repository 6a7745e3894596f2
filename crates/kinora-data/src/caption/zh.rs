//! Chinese.

use super::{Fact, Telling};
use crate::camera::Camera;
use crate::index::{Class, Entry};
use crate::motion::Motion;
use crate::rng::Rng;
#[cfg(test)]
use crate::scene::SceneSpec;
use crate::scene::{Background, Side, Speed, Style, TimeOfDay, Weather};

/// One sentence: "日落时，一只考拉在海滩上向右走".
pub(super) fn short(telling: &Telling, rng: &mut Rng) -> String {
    let spec = telling.spec;
    let mut parts = Vec::new();
    if telling.says(Fact::Time) {
        parts.push(rng.pick(time(spec.time)).to_owned());
    }
    if telling.says(Fact::Weather) {
        parts.push(rng.pick(weather(spec.weather)).to_owned());
    }
    parts.push(core(telling, rng));
    if let (Some(other), true) = (telling.companion, telling.says(Fact::Companion)) {
        parts.push(format!("旁边有{}", counted(other)));
    }
    if telling.says(Fact::Camera) {
        parts.push(rng.pick(camera(spec.camera)).to_owned());
    }
    if telling.says(Fact::Style) {
        parts.push(rng.pick(style(spec.style)).to_owned());
    }
    parts.join("，")
}

/// A few sentences that say everything.
pub(super) fn long(telling: &Telling, rng: &mut Rng) -> String {
    let spec = telling.spec;
    let mut first = core(telling, rng);
    if telling.says(Fact::Time) {
        first = format!("{}，{first}", rng.pick(time(spec.time)));
    }
    let mut sentences = vec![first];
    if let (Some(other), Some(companion)) = (telling.companion, spec.companion) {
        let side = if companion.side == Side::Left {
            "左边"
        } else {
            "右边"
        };
        sentences.push(format!("它的{side}有{}", counted(other)));
    }
    if telling.says(Fact::Weather) {
        sentences.push(rng.pick(weather(spec.weather)).to_owned());
    }
    sentences.push(rng.pick(camera(spec.camera)).to_owned());
    if telling.says(Fact::Style) {
        sentences.push(format!("画面是{}", rng.pick(style(spec.style))));
    }
    sentences.join("。") + "。"
}

/// The words of which at least one says a fact.
#[cfg(test)]
pub(super) fn words_for(
    fact: Fact,
    spec: &SceneSpec,
    entry: &Entry,
    companion: Option<&Entry>,
) -> Vec<String> {
    let own = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    match fact {
        Fact::Subject => vec![entry.name_zh.clone()],
        Fact::Companion => companion
            .map(|other| other.name_zh.clone())
            .into_iter()
            .collect(),
        Fact::Background => own(background(spec.background)),
        Fact::Time => own(time(spec.time)),
        Fact::Motion => own(&verbs(spec.motion, entry)),
        Fact::Speed => own(adverbs(spec.speed)),
        Fact::Weather => own(weather(spec.weather)),
        Fact::Camera => own(camera(spec.camera)),
        Fact::Style => own(style(spec.style)),
    }
}

/// Who does what where.
fn core(telling: &Telling, rng: &mut Rng) -> String {
    let spec = telling.spec;
    let mut text = counted(telling.entry);
    if telling.says(Fact::Background) {
        text = format!("{text}在{}", rng.pick(background(spec.background)));
    }
    if telling.says(Fact::Speed) {
        text += rng.pick(adverbs(spec.speed));
    }
    if telling.says(Fact::Motion) {
        text += rng.pick(&verbs(spec.motion, telling.entry));
    }
    text
}

/// The name with its measure word: 一只考拉, 一辆汽车, 一张笑脸.
fn counted(entry: &Entry) -> String {
    let measure = match entry.class {
        Class::Person => "一个",
        Class::Face if entry.name_zh.ends_with('脸') => "一张",
        Class::Animal | Class::Hand => "一只",
        Class::Plant => "一株",
        Class::Vehicle => match entry.subgroup.as_str() {
            "transport-water" => "一艘",
            "transport-air" => "一架",
            _ => "一辆",
        },
        Class::Place => "一座",
        Class::Symbol if entry.name_zh.ends_with('心') => "一颗",
        Class::Face
        | Class::Food
        | Class::Sky
        | Class::Activity
        | Class::Object
        | Class::Symbol => "一个",
    };
    format!("{measure}{}{}", entry.name_zh, head(entry))
}

/// What a name lacks that says only what someone does: 游泳 becomes 游泳的人, 傲慢 becomes 傲慢表情.
fn head(entry: &Entry) -> &'static str {
    let names_one = |words: &[&str]| words.iter().any(|word| entry.name_zh.contains(word));
    match entry.class {
        Class::Person if !names_one(PEOPLE) => "的人",
        Class::Face if !names_one(FACES) => "表情",
        _ => "",
    }
}

const PEOPLE: &[&str] = &[
    "人", "男", "女", "者", "员", "师", "手", "生", "孩", "士", "家", "官", "工", "兵", "童", "婴",
    "公主", "王子", "仙", "精灵", "尸", "鬼", "怪", "天使", "英雄", "坏蛋", "反派", "警", "农",
    "侦探", "忍者", "厨", "法官", "爸", "妈", "爷", "奶", "老", "夫妇", "情侣", "魔", "巨", "宝贝",
    "妇", "白领",
];

const FACES: &[&str] = &[
    "脸", "猫", "猴", "人", "鬼", "骷髅", "便便", "怪", "头", "小丑", "表情", "魔", "妖", "大便",
    "天狗", "笑",
];

fn verbs(motion: Motion, entry: &Entry) -> Vec<&'static str> {
    let walks = matches!(entry.class, Class::Person | Class::Animal);
    let drives = entry.class == Class::Vehicle;
    match motion {
        Motion::Stand if walks => vec!["站着", "挥手", "休息", "看着镜头"],
        Motion::Stand => vec!["停着", "立着", "静静地待着"],
        Motion::WalkRight if walks => vec!["向右走", "往右边走", "从左走到右"],
        Motion::WalkLeft if walks => vec!["向左走", "往左边走", "从右走到左"],
        Motion::WalkRight if drives => vec!["向右开", "向右行驶"],
        Motion::WalkLeft if drives => vec!["向左开", "向左行驶"],
        Motion::WalkRight => vec!["向右移动", "向右走"],
        Motion::WalkLeft => vec!["向左移动", "向左走"],
        Motion::RollRight => vec!["向右滚动", "滚向右边"],
        Motion::RollLeft => vec!["向左滚动", "滚向左边"],
        Motion::FlyRight => vec!["向右飞", "飞向右边"],
        Motion::FlyLeft => vec!["向左飞", "飞向左边"],
        Motion::SwimRight => vec!["向右游", "游向右边"],
        Motion::SwimLeft => vec!["向左游", "游向左边"],
        Motion::Bounce => vec!["弹跳", "上下弹动"],
        Motion::Jump => vec!["跳跃", "跳来跳去", "跳起来"],
        Motion::Fall => vec!["从上面掉下来", "落下来", "从天而降"],
        Motion::Spin => vec!["旋转", "转圈"],
        Motion::Approach => vec!["走近镜头", "越来越近", "向镜头靠近"],
        Motion::Recede => vec!["远去", "越来越远", "离开镜头"],
        Motion::Sway => vec!["左右摇摆", "跳舞", "摇晃"],
        Motion::Float => vec!["漂浮", "悬浮", "飘着"],
    }
}

fn adverbs(speed: Speed) -> &'static [&'static str] {
    match speed {
        Speed::Slow => &["慢慢地", "缓缓地"],
        Speed::Normal => &[""],
        Speed::Fast => &["快速地", "飞快地"],
    }
}

fn background(background: Background) -> &'static [&'static str] {
    match background {
        Background::Meadow => &["草地上", "绿色的草地上", "花丛中"],
        Background::Beach => &["海滩上", "沙滩上", "海边"],
        Background::Sea => &["海面上", "大海上", "水面上"],
        Background::Desert => &["沙漠里", "沙漠中", "沙丘间"],
        Background::Snow => &["雪地里", "雪地上", "冰天雪地里"],
        Background::Forest => &["森林里", "树林里", "林中"],
        Background::Mountains => &["群山前", "山里", "雪山脚下"],
        Background::City => &["城市里", "城市的街道上", "街上"],
        Background::Room => &["房间里", "客厅里", "家里"],
        Background::Stage => &["舞台上", "聚光灯下的舞台上"],
        Background::Underwater => &["水下", "海底", "水里"],
        Background::Space => &["太空中", "宇宙中", "群星之间"],
        Background::Sky => &["天空中", "云层之上", "云端"],
    }
}

fn time(time: TimeOfDay) -> &'static [&'static str] {
    match time {
        TimeOfDay::Day => &["白天", "大白天"],
        TimeOfDay::Sunset => &["日落时", "傍晚", "黄昏"],
        TimeOfDay::Night => &["夜晚", "夜里", "晚上"],
        TimeOfDay::Dawn => &["黎明", "清晨", "日出时"],
    }
}

fn weather(weather: Weather) -> &'static [&'static str] {
    match weather {
        Weather::Clear => &[],
        Weather::Rain => &["下着雨", "雨中"],
        Weather::Snow => &["下着雪", "雪花飘落"],
        Weather::Fog => &["大雾弥漫", "雾中"],
        Weather::Leaves => &["落叶纷飞", "树叶飘落"],
    }
}

fn camera(camera: Camera) -> &'static [&'static str] {
    match camera {
        Camera::Static => &["镜头静止", "固定镜头"],
        Camera::PanLeft => &["镜头向左移动", "镜头左移"],
        Camera::PanRight => &["镜头向右移动", "镜头右移"],
        Camera::ZoomIn => &["镜头拉近", "镜头推近"],
        Camera::ZoomOut => &["镜头拉远", "镜头后退"],
        Camera::Orbit => &["镜头环绕", "镜头绕着转"],
        Camera::Handheld => &["手持镜头晃动", "镜头轻微晃动"],
    }
}

fn style(style: Style) -> &'static [&'static str] {
    match style {
        Style::Natural => &[],
        Style::Flat => &["扁平插画风格", "扁平风格"],
        Style::Pixel => &["像素风格", "像素画"],
        Style::Sketch => &["铅笔素描", "素描风格"],
        Style::Watercolor => &["水彩画", "水彩风格"],
        Style::Neon => &["霓虹风格", "霓虹灯效果"],
        Style::Monochrome => &["黑白电影", "黑白画面"],
        Style::Clay => &["黏土动画", "黏土风格"],
    }
}
