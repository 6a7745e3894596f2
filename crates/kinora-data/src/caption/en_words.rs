//! English words for every value of a scene.

use crate::camera::Camera;
use crate::index::Class;
use crate::motion::Motion;
use crate::scene::{Background, Speed, Style, TimeOfDay, Weather};

/// Names that take no article.
pub(super) const PROPER: &[&str] = &[
    "Santa Claus",
    "Mrs. Claus",
    "Mx Claus",
    "Statue of Liberty",
    "Tokyo tower",
];

/// More everyday words for some names.
pub(super) const EVERYDAY: &[(&str, &str)] = &[
    ("automobile", "car"),
    ("oncoming automobile", "car from the front"),
    ("sport utility vehicle", "SUV"),
    ("honeybee", "bee"),
    ("lady beetle", "ladybug"),
    ("sauropod", "long-necked dinosaur"),
    ("T-Rex", "tyrannosaurus"),
    ("two-hump camel", "camel with two humps"),
    ("chipmunk", "squirrel"),
    ("spouting whale", "whale spouting water"),
    ("blowfish", "pufferfish"),
    ("delivery truck", "truck"),
    ("articulated lorry", "big truck"),
    ("motorcycle", "motorbike"),
    ("bicycle", "bike"),
    ("flying saucer", "UFO"),
    ("hatching chick", "chick in its egg"),
    ("front-facing baby chick", "little chick"),
    ("hot beverage", "cup of coffee"),
    ("beer mug", "glass of beer"),
    ("tropical drink", "cocktail with an umbrella"),
    ("bottle with popping cork", "bottle of champagne"),
    ("person running", "runner"),
    ("person biking", "cyclist"),
    ("woman dancing", "dancing woman"),
    ("man dancing", "dancing man"),
    ("person swimming", "swimmer"),
    ("person surfing", "surfer"),
    ("robot", "robot face"),
    ("face with tears of joy", "face laughing with tears"),
    ("loudly crying face", "crying emoji"),
    ("grinning face", "smiley"),
    ("police car", "police car with lights"),
    ("locomotive", "steam train"),
    ("firefighter", "fireman"),
    ("mage", "wizard"),
    ("baby angel", "little angel"),
    ("fire", "flame"),
    ("pile of poo", "poop"),
];

/// A verb and what comes after it.
pub(super) struct Verb {
    pub(super) base: &'static str,
    pub(super) ing: &'static str,
    pub(super) after: &'static [&'static str],
}

const fn verb(base: &'static str, ing: &'static str, after: &'static [&'static str]) -> Verb {
    Verb { base, ing, after }
}

const RIGHT: &[&str] = &["to the right", "from left to right", "towards the right"];
const LEFT: &[&str] = &["to the left", "from right to left", "towards the left"];
const UP_AND_DOWN: &[&str] = &["", "up and down", "again and again"];

pub(super) fn verbs(motion: Motion, class: Class, speed: Speed) -> Vec<Verb> {
    let side = if motion.heading() > 0.0 { RIGHT } else { LEFT };
    match (motion, class) {
        (Motion::Stand, Class::Person) => vec![
            verb("stand", "standing", &["", "still"]),
            verb("wave", "waving", &[]),
            verb("pose", "posing", &[]),
            verb("wait", "waiting", &[]),
            verb("look", "looking", &["around", "at the camera"]),
        ],
        (Motion::Stand, Class::Animal) => vec![
            verb("stand", "standing", &["", "still"]),
            verb("sit", "sitting", &[]),
            verb("rest", "resting", &[]),
            verb("wave", "waving", &[]),
            verb("look", "looking", &["around", "at the camera"]),
        ],
        (Motion::Stand, Class::Face) => vec![
            verb("look", "looking", &["around", "at the camera"]),
            verb("sit", "sitting", &[]),
            verb("stand", "standing", &["", "still"]),
        ],
        (Motion::Stand, Class::Vehicle) => vec![
            verb("stand", "standing", &["", "still"]),
            verb("wait", "waiting", &[]),
            verb("park", "parking", &[]),
        ],
        (Motion::Stand, _) => vec![
            verb("stand", "standing", &["", "still"]),
            verb("sit", "sitting", &[]),
            verb("rest", "resting", &[]),
        ],
        (Motion::WalkRight | Motion::WalkLeft, Class::Person | Class::Animal)
            if speed == Speed::Fast =>
        {
            vec![
                verb("run", "running", side),
                verb("walk", "walking", side),
                verb("hurry", "hurrying", side),
            ]
        }
        (Motion::WalkRight | Motion::WalkLeft, Class::Person) => vec![
            verb("walk", "walking", side),
            verb("stroll", "strolling", side),
            verb("go", "going", side),
        ],
        (Motion::WalkRight | Motion::WalkLeft, Class::Animal) => vec![
            verb("walk", "walking", side),
            verb("trot", "trotting", side),
            verb("wander", "wandering", side),
        ],
        (Motion::WalkRight | Motion::WalkLeft, Class::Vehicle) => vec![
            verb("drive", "driving", side),
            verb("ride", "riding", side),
            verb("move", "moving", side),
        ],
        (Motion::WalkRight | Motion::WalkLeft, _) => vec![
            verb("walk", "walking", side),
            verb("move", "moving", side),
            verb("slide", "sliding", side),
        ],
        (Motion::RollRight | Motion::RollLeft, _) => vec![
            verb("roll", "rolling", side),
            verb("tumble", "tumbling", side),
        ],
        (Motion::FlyRight | Motion::FlyLeft, _) => vec![
            verb("fly", "flying", side),
            verb("soar", "soaring", side),
            verb("fly", "flying", side),
        ],
        (Motion::SwimRight | Motion::SwimLeft, Class::Vehicle) => vec![
            verb("move", "moving", side),
            verb("glide", "gliding", side),
            verb("swim", "swimming", side),
        ],
        (Motion::SwimRight | Motion::SwimLeft, _) => vec![
            verb("swim", "swimming", side),
            verb("paddle", "paddling", side),
            verb("swim", "swimming", side),
        ],
        (Motion::Bounce, _) => vec![
            verb("bounce", "bouncing", UP_AND_DOWN),
            verb("bounce", "bouncing", &["", "like a ball"]),
        ],
        (Motion::Jump, _) => vec![
            verb("jump", "jumping", UP_AND_DOWN),
            verb("leap", "leaping", &["", "into the air"]),
            verb("hop", "hopping", &["", "on the spot"]),
        ],
        (Motion::Fall, _) => vec![
            verb(
                "fall",
                "falling",
                &["down", "from above", "from the sky", "to the ground"],
            ),
            verb("drop", "dropping", &["from above", "to the ground"]),
        ],
        (Motion::Spin, _) => vec![
            verb("spin", "spinning", &["", "around", "in circles"]),
            verb("rotate", "rotating", &[]),
            verb("turn", "turning", &["around and around"]),
        ],
        (Motion::Approach, _) => vec![
            verb(
                "come",
                "coming",
                &["closer", "nearer", "towards the camera"],
            ),
            verb("approach", "approaching", &["", "the camera"]),
        ],
        (Motion::Recede, _) => vec![
            verb(
                "move",
                "moving",
                &["away", "away from the camera", "into the distance"],
            ),
            verb("go", "going", &["away", "into the distance"]),
        ],
        (Motion::Sway, _) => vec![
            verb("sway", "swaying", &["", "from side to side"]),
            verb("dance", "dancing", &[]),
            verb("swing", "swinging", &["", "from side to side"]),
        ],
        (Motion::Float, _) => vec![
            verb("float", "floating", &[]),
            verb("hover", "hovering", &[]),
            verb("drift", "drifting", &[]),
        ],
    }
}

pub(super) fn adverbs(speed: Speed) -> &'static [&'static str] {
    match speed {
        Speed::Slow => &["slowly", "gently"],
        Speed::Normal => &[""],
        Speed::Fast => &["quickly", "fast", "rapidly"],
    }
}

pub(super) fn background(background: Background) -> &'static [&'static str] {
    match background {
        Background::Meadow => &[
            "in a meadow",
            "on a green meadow",
            "in a field of flowers",
            "on the grass",
        ],
        Background::Beach => &[
            "on a beach",
            "on a sandy beach",
            "on the sand by the sea",
            "at the beach",
        ],
        Background::Sea => &["on the sea", "on the water", "on the ocean", "at sea"],
        Background::Desert => &["in a desert", "in the desert", "among sand dunes"],
        Background::Snow => &[
            "in the snow",
            "in a snowy field",
            "in a winter landscape",
            "on the snow",
        ],
        Background::Forest => &["in a forest", "in the woods", "in the forest"],
        Background::Mountains => &[
            "in the mountains",
            "in front of mountains",
            "before snowy peaks",
        ],
        Background::City => &["in a city", "on a city street", "on the street", "in town"],
        Background::Room => &["in a room", "in a living room", "at home", "indoors"],
        Background::Stage => &[
            "on a stage",
            "on stage",
            "in the spotlight on a stage",
            "in a theater",
        ],
        Background::Underwater => &[
            "under water",
            "underwater",
            "at the bottom of the sea",
            "under the sea",
        ],
        Background::Space => &["in space", "in outer space", "among the stars"],
        Background::Sky => &["in the sky", "above the clouds", "high in the sky"],
    }
}

pub(super) fn time(time: TimeOfDay) -> &'static [&'static str] {
    match time {
        TimeOfDay::Day => &["by day", "in daylight", "during the day", "in the daytime"],
        TimeOfDay::Sunset => &["at sunset", "at sunset", "in the evening", "at dusk"],
        TimeOfDay::Night => &["at night", "at night", "by night", "in the dark of night"],
        TimeOfDay::Dawn => &["at dawn", "at sunrise", "early in the morning"],
    }
}

pub(super) fn weather(weather: Weather) -> &'static [&'static str] {
    match weather {
        Weather::Clear => &[],
        Weather::Rain => &["in the rain", "while it rains", "on a rainy day"],
        Weather::Snow => &["while snow falls", "in falling snow", "while it snows"],
        Weather::Fog => &["in fog", "in thick fog", "in the mist"],
        Weather::Leaves => &[
            "while leaves fall",
            "among falling leaves",
            "with leaves in the wind",
        ],
    }
}

pub(super) fn weather_sentence(weather: Weather) -> &'static [&'static str] {
    match weather {
        Weather::Clear => &[],
        Weather::Rain => &["it is raining", "rain is falling"],
        Weather::Snow => &["it is snowing", "snow is falling"],
        Weather::Fog => &["it is foggy", "fog hangs in the air"],
        Weather::Leaves => &["leaves are falling", "leaves blow in the wind"],
    }
}

pub(super) fn camera(camera: Camera) -> &'static [&'static str] {
    match camera {
        Camera::Static => &[
            "static camera",
            "the camera stands still",
            "a fixed shot",
            "the camera does not move",
        ],
        Camera::PanLeft => &[
            "the camera pans left",
            "the camera pans to the left",
            "the camera moves to the left",
        ],
        Camera::PanRight => &[
            "the camera pans right",
            "the camera pans to the right",
            "the camera moves to the right",
        ],
        Camera::ZoomIn => &[
            "the camera zooms in",
            "the camera moves closer",
            "the camera slowly zooms in",
        ],
        Camera::ZoomOut => &[
            "the camera zooms out",
            "the camera pulls back",
            "the camera slowly zooms out",
        ],
        Camera::Orbit => &[
            "the camera orbits",
            "the camera orbits around the scene",
            "the camera circles around",
        ],
        Camera::Handheld => &[
            "the handheld camera shakes",
            "the camera shakes",
            "a handheld camera follows",
        ],
    }
}

pub(super) fn style(style: Style) -> &'static [&'static str] {
    match style {
        Style::Natural => &[],
        Style::Flat => &[
            "flat illustration",
            "poster with flat colors",
            "flat color drawing",
        ],
        Style::Pixel => &["pixel art", "pixel art animation", "retro pixel game"],
        Style::Sketch => &["pencil sketch", "pencil drawing", "hand-drawn sketch"],
        Style::Watercolor => &["watercolor painting", "watercolor", "soft watercolor"],
        Style::Neon => &["neon drawing", "neon glow picture", "glowing neon picture"],
        Style::Monochrome => &[
            "black and white film",
            "black-and-white movie",
            "monochrome film",
        ],
        Style::Clay => &["clay animation", "claymation", "modelled in clay"],
    }
}
