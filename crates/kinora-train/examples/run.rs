fn main() {
    let a: Vec<String> = std::env::args().collect();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let device = burn::tensor::Device::flex();
    let (c, f) = (std::path::Path::new(&a[2]), std::path::Path::new(&a[3]));
    let r = match a[1].as_str() {
        "autoencoder" => kinora_train::autoencoder::train(&kinora_train::config::read(c).unwrap(), f, &device, &stop),
        _ => kinora_train::transformer::train(&kinora_train::config::read(c).unwrap(), f, &device, &stop),
    };
    if let Err(e) = r { eprintln!("error: {e}"); std::process::exit(1) }
}
