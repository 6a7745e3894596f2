//! Prints captions of random scenes: `cargo run --release -p kinora-data --example captions -- PACK [count]`.

use std::path::Path;

use kinora_data::{Pack, SceneSpec, Split, captions};

fn main() -> kinora_data::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let pack = arguments
        .first()
        .map_or_else(|| Ok(Pack::sample()), |path| Pack::open(Path::new(path)))?;
    let count = arguments
        .get(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(10);
    for seed in 0..count {
        let told = captions(&SceneSpec::sample(seed, &pack, Split::Train), &pack, seed);
        println!(
            "{}\n{}\n{}\n{}\n",
            told.short_en.text, told.long_en.text, told.short_zh.text, told.long_zh.text
        );
    }
    Ok(())
}
