//! Draws contact sheets: `cargo run --release -p kinora-data --example preview -- PACK OUT.png [seed] [rows] [WHAT]`.
//! WHAT is `backgrounds` (each at each time of day), `styles`, `motions`, or left out for random scenes.

use std::path::Path;
use std::time::Instant;

use kinora_data::{
    Aspect, Background, Camera, Motion, Pack, RenderOptions, Renderer, SceneSpec, Split, Style,
    TimeOfDay, Weather, contact_sheet,
};

fn main() -> kinora_data::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [pack, out, rest @ ..] = arguments.as_slice() else {
        eprintln!("give a pack and the PNG to write");
        std::process::exit(2);
    };
    let pack = Pack::open(Path::new(pack))?;
    let number = |index: usize, default: u64| {
        rest.get(index)
            .and_then(|text| text.parse().ok())
            .unwrap_or(default)
    };
    let (seed, rows) = (number(0, 1), number(1, 8));
    let what = rest.get(2).map_or("", String::as_str);
    if what == "time" {
        return measure(&pack, rows, number(3, 17) as usize);
    }
    let sample = |seed: u64| SceneSpec::sample(seed, &pack, Split::Train);
    let specs: Vec<SceneSpec> = match what {
        "backgrounds" => Background::ALL
            .iter()
            .enumerate()
            .map(|(index, background)| SceneSpec {
                background: *background,
                time: TimeOfDay::ALL[(seed as usize + index) % 4],
                weather: Weather::Clear,
                style: Style::Natural,
                aspect: Aspect::Wide,
                companion: None,
                motion: if background.has_ground() {
                    Motion::Stand
                } else {
                    Motion::Float
                },
                ..sample(seed * 1000 + index as u64)
            })
            .collect(),
        "styles" => Style::ALL
            .iter()
            .map(|style| SceneSpec {
                style: *style,
                aspect: Aspect::Wide,
                ..sample(seed + style.index() as u64 / 2)
            })
            .collect(),
        "motions" => Motion::ALL
            .iter()
            .map(|motion| SceneSpec {
                motion: *motion,
                camera: Camera::Static,
                style: Style::Natural,
                companion: None,
                background: if motion.name().starts_with("swim") {
                    Background::Underwater
                } else {
                    Background::Beach
                },
                aspect: Aspect::Wide,
                ..sample(seed)
            })
            .collect(),
        _ => (0..rows).map(|row| sample(seed * 1000 + row)).collect(),
    };
    for spec in &specs {
        println!("{} {:?}", pack.entries()[spec.subject].name_en, spec);
    }
    contact_sheet(&pack, &specs, 6, 0.4, 264, Path::new(out))
}

fn measure(pack: &Pack, clips: u64, frames_each: usize) -> kinora_data::Result<()> {
    let renderer = Renderer::new(pack);
    let (start, mut frames) = (Instant::now(), 0);
    for seed in 0..clips {
        let spec = SceneSpec {
            aspect: Aspect::Wide,
            ..SceneSpec::sample(seed, pack, Split::Train)
        };
        frames += renderer
            .render(&spec, RenderOptions::native(&spec, frames_each))?
            .frames;
    }
    println!(
        "{:.3} ms a frame",
        start.elapsed().as_secs_f64() * 1e3 / frames as f64
    );
    Ok(())
}
