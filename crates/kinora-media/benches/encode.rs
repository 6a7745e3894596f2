//! How fast each format is written and read: `cargo bench -p kinora-media`.

use std::time::Instant;

use kinora_media::{Frame, FrameRate, SinkOptions, open_sink, open_source, probe};

fn main() -> kinora_media::Result<()> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    println!("file\tsize\tframes\twrite frames/s\tread frames/s\tkbit/s");
    for (name, width, height, count) in [
        ("a.mp4", 256, 144, 240),
        ("b.mp4", 704, 384, 120),
        ("c.mp4", 1920, 1080, 48),
        ("d.gif", 256, 144, 48),
        ("e.webp", 256, 144, 48),
    ] {
        let frames: Vec<Frame> = (0..count)
            .map(|t| moving(width, height, t))
            .collect::<Result<_, _>>()?;
        let path = folder.path().join(name);
        let start = Instant::now();
        let mut sink = open_sink(
            &path,
            &SinkOptions::new(width, height, FrameRate::whole(24)?),
        )?;
        for frame in &frames {
            sink.push(frame)?;
        }
        let written = sink.finish()?;
        let write = f64::from(count) / start.elapsed().as_secs_f64();
        let start = Instant::now();
        let read = open_source(&path)?.collect::<Result<Vec<_>, _>>()?.len();
        let read = read as f64 / start.elapsed().as_secs_f64();
        let kilobits = written.bytes as f64 * 8e-3 / probe(&path)?.duration_secs;
        println!("{name}\t{width}x{height}\t{count}\t{write:.1}\t{read:.1}\t{kilobits:.0}");
    }
    Ok(())
}

/// Waves with some texture that move, and a disc that bounces.
fn moving(width: u32, height: u32, t: u32) -> kinora_media::Result<Frame> {
    let time = f64::from(t) / 24.0;
    let (w, h) = (f64::from(width), f64::from(height));
    let centre = (
        w * (0.5 + 0.3 * time.cos()),
        h * (0.6 - 0.3 * (2.0 * time).sin().abs()),
    );
    Frame::from_fn(width, height, |x, y| {
        let (x, y) = (f64::from(x), f64::from(y));
        if (x - centre.0).hypot(y - centre.1) < h * 0.15 {
            return [240, 80, 40];
        }
        let wave = (x / w * 20.0 + time * 2.0).sin() * (y / h * 14.0 - time).cos();
        let grain = ((x * 0.9 + time * 30.0).sin() * (y * 1.1).sin()) * 6.0;
        let tone = |base: f64, swing: f64| (base + swing * wave + grain).clamp(0.0, 255.0) as u8;
        [tone(90.0, 50.0), tone(130.0, 40.0), tone(180.0, 60.0)]
    })
}
