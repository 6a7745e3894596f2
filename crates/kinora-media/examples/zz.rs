use kinora_media::*;
fn cpu() -> f64 { let s = std::fs::read_to_string("/proc/self/stat").unwrap(); let v: Vec<&str> = s.rsplit(") ").next().unwrap().split(' ').collect(); v[11].parse::<f64>().unwrap() / 100.0 }
fn main() {
  for (w, h, n) in [(256u32,144u32,96u32),(704,384,48),(1920, 1080, 24)] {
    let fs: Vec<Frame> = (0..n).map(|t| { let time = t as f64 / 24.0; let (fw, fh) = (w as f64, h as f64);
      let c = (fw * (0.5 + 0.3 * time.cos()), fh * (0.6 - 0.3 * (2.0 * time).sin().abs()));
      Frame::from_fn(w, h, |x, y| { let (x, y) = (x as f64, y as f64); if (x-c.0).hypot(y-c.1) < fh*0.15 { return [240,80,40]; }
        let wave = (x / fw * 20.0 + time * 2.0).sin() * (y / fh * 14.0 - time).cos(); let grain = ((x * 0.9 + time * 30.0).sin() * (y * 1.1).sin()) * 6.0;
        let tone = |b: f64, s: f64| (b + s * wave + grain).clamp(0.0, 255.0) as u8; [tone(90.0,50.0), tone(130.0,40.0), tone(180.0,60.0)] }).unwrap() }).collect();
    let p = "/tmp/demo/zz.mp4"; let o = SinkOptions { overwrite: true, ..SinkOptions::new(w, h, FrameRate::whole(24).unwrap()) };
    let a = cpu(); let mut s = open_sink(p, &o).unwrap(); for f in &fs { s.push(f).unwrap(); } let r = s.finish().unwrap(); let e = cpu() - a;
    let a = cpu(); let back: Vec<_> = open_source(p).unwrap().map(|f| f.unwrap().frame).collect(); let d = cpu() - a;
    let mut se = 0.0; let mut c = 0.0; for (x, y) in fs.iter().zip(&back) { for (p, q) in x.pixels().iter().zip(y.pixels()) { se += (p.abs_diff(*q) as f64).powi(2); c += 1.0; } }
    println!("{w}x{h}: encode {:.1} f/cpu-s, decode {:.1} f/cpu-s, {} bytes, {:.2} dB", n as f64 / e, n as f64 / d, r.bytes, 10.0 * (65025.0 / (se / c)).log10());
  } }
