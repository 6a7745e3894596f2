//! Packs the fetched emoji: `cargo run --release -p kinora-data --example pack -- data/emoji data/emoji.pack [sample]`.

use std::path::Path;

use kinora_data::{PackOptions, pack};

/// The subjects of the small pack in the repository.
const SAMPLE: &[&str] = &[
    "1f428",
    "1f98a",
    "1f427",
    "1f697",
    "1f600",
    "1f680",
    "1f42c",
    "1f9d1-200d-1f680",
    "1f47b",
    "1f989",
];

fn main() -> kinora_data::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [source, target, rest @ ..] = arguments.as_slice() else {
        eprintln!("give the folder with the packages and the file to write");
        std::process::exit(2);
    };
    let options = if rest.is_empty() {
        PackOptions::default()
    } else {
        let only = SAMPLE.iter().map(|id| (*id).to_owned()).collect();
        PackOptions {
            sprite_size: 64,
            max_frames: 10,
            compress: true,
            only,
            ..PackOptions::default()
        }
    };
    let summary = pack(
        Path::new(source),
        Path::new(target),
        &options,
        |done, total| eprint!("\r{done}/{total}"),
    )?;
    eprintln!(
        "\r{} subjects, {} frames, {} bytes",
        summary.subjects, summary.frames, summary.bytes
    );
    Ok(())
}
