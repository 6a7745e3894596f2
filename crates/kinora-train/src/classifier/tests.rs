use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kinora_models::mini::autoencoder::Autoencoder;
use kinora_models::mini::config::AutoencoderConfig;
use kinora_models::weights::floats;

use super::held_out::held_out_shares;
use super::*;
use crate::{OptimizerConfig, RunConfig};

/// A folder of its own for each test, gone with the value.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let name = format!("kinora-train-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn tiny_autoencoder() -> AutoencoderConfig {
    AutoencoderConfig::new()
        .with_latent_channels(32)
        .with_decoder_channels([16, 16, 16])
        .with_decoder_blocks([1, 1, 1])
}

/// Burn's random numbers belong to the process: tests that draw them take turns.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tiny_run(steps: u32) -> ClassifierRun {
    ClassifierRun {
        run: RunConfig {
            pack: PathBuf::new(),
            seed: 5,
            steps,
            minutes: None,
            checkpoint_every: 0,
            samples_every: 0,
        },
        autoencoder: PathBuf::new(),
        optimizer: OptimizerConfig {
            learning_rate: 3e-3,
            warmup_steps: 10,
            ema_decay: 0.9,
            ..OptimizerConfig::default()
        },
        network: JudgesConfig {
            width: 48,
            depth: 1,
            heads: 3,
            latent_frames: 2,
        },
        from: None,
        batch: 8,
        even_share: 0.5,
    }
}

/// Judges of the sample pack on a random linear code.
pub(crate) fn tiny_judges(folder: &Folder, steps: u32, device: &Device) -> (Judges, Corpus) {
    let config = tiny_run(steps);
    let run = Run::open(&folder.0, &config.run, &config).unwrap();
    device.seed(7);
    let autoencoder = Autoencoder::new(&tiny_autoencoder(), device);
    let sight = Sight::of(&autoencoder, &tiny_autoencoder(), device).unwrap();
    let pack = Arc::new(Pack::sample());
    let corpus = Corpus::new(pack, Split::Train, config.run.seed, &tiny_autoencoder());
    let never = AtomicBool::new(false);
    let judges = fit(&config, run, &corpus, sight, device, &never).unwrap();
    (judges, corpus)
}

#[test]
fn judges_learn_and_are_the_same_after_loading() {
    let _turn = alone();
    let device = Device::flex();
    let folder = Folder::new("judges");
    let steps = 90;
    let (judges, corpus) = tiny_judges(&folder, steps, &device);

    // By chance alone 8 %; so many steps of so small a network reach about three times that.
    let shares = held_out_shares(&judges, &corpus, clips(&tiny_run(steps)), 8, &device);
    assert!(shares.background > 0.15, "{shares:?}");
    assert!(shares.subject_top_5 >= shares.subject, "{shares:?}");

    let bytes = judges.to_bytes().unwrap();
    assert_eq!(std::fs::read(folder.0.join(MODEL)).unwrap(), bytes);
    let loaded = load(&folder.0, &device).unwrap();
    assert_eq!(loaded.to_bytes().unwrap(), bytes);
    assert_eq!(loaded.latent_frames(), judges.latent_frames());
    let patches = corpus
        .held_out()
        .batch(0, clips(&tiny_run(steps)))
        .patches(&device);
    let (ours, theirs) = (judges.predict(patches.clone()), loaded.predict(patches));
    // They are stored in bfloat16.
    let (ours, theirs) = (floats(ours.features), floats(theirs.features));
    let error: f32 = ours.iter().zip(&theirs).map(|(a, b)| (a - b).powi(2)).sum();
    let size: f32 = ours.iter().map(|a| a * a).sum();
    assert!(error < 1e-3 * size, "{error} of {size}");

    let file = judges.accept(&tiny_autoencoder(), corpus.pack().len() + 1);
    assert!(matches!(file, Err(Error::OtherSubjects { .. })));
    for damaged in [&bytes[..bytes.len() / 2], b"{}"] {
        assert!(Judges::from_bytes(damaged, &device).is_err());
    }
}

#[test]
fn a_stopped_run_goes_on_where_it_was() {
    let _turn = alone();
    let device = Device::flex();
    let folder = Folder::new("stopped");
    let config = tiny_run(4);
    let pack = Arc::new(Pack::sample());
    let corpus = Corpus::new(pack, Split::Train, config.run.seed, &tiny_autoencoder());
    device.seed(7);
    let autoencoder = Autoencoder::new(&tiny_autoencoder(), &device);
    let sight = Sight::of(&autoencoder, &tiny_autoencoder(), &device).unwrap();
    let stop = AtomicBool::new(true);
    for _ in 0..3 {
        let run = Run::open(&folder.0, &config.run, &config).unwrap();
        let stopped = fit(&config, run, &corpus, sight.clone(), &device, &stop);
        assert!(matches!(stopped, Err(Error::Stopped)));
    }
    stop.store(false, Ordering::Relaxed);
    let run = Run::open(&folder.0, &config.run, &config).unwrap();
    let in_pieces = fit(&config, run, &corpus, sight.clone(), &device, &stop).unwrap();

    let whole = Folder::new("whole");
    let run = Run::open(&whole.0, &config.run, &config).unwrap();
    let at_once = fit(&config, run, &corpus, sight, &device, &stop).unwrap();
    let weights = |judges: &Judges| weights::collect(&judges.network, "model");
    assert!(
        weights(&in_pieces) == weights(&at_once),
        "pieces differ from the whole"
    );
}

#[test]
fn a_folder_without_judges_and_another_file_are_refused() {
    let _turn = alone();
    let device = Device::flex();
    let folder = Folder::new("empty");
    std::fs::create_dir_all(&folder.0).unwrap();
    let error = load(&folder.0, &device).unwrap_err().to_string();
    assert!(error.contains(MODEL), "{error}");
    let network = Autoencoder::new(&tiny_autoencoder(), &device);
    let other = weights::collect(&network, "model");
    let other = weights::to_bytes(&other, Default::default(), |_| weights::Storage::Bf16);
    std::fs::write(folder.0.join(MODEL), other.unwrap()).unwrap();
    let error = load(&folder.0, &device).unwrap_err().to_string();
    assert!(error.contains("it holds no judges"), "{error}");
}
