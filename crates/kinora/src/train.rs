//! `kinora train`: runs of the trainer.

use anyhow::Result;
use kinora_train::{
    Error, autoencoder, classifier, config, director, interpolator, transformer, upscaler,
};

use crate::args::{TrainArgs, TrainTarget};
use crate::interrupt;

/// Trains until the run is done or the user stops it.
pub(crate) fn run(args: &TrainArgs) -> Result<()> {
    let device = args.device.open()?;
    interrupt::install()?;
    // Each step asks for what the last one freed.
    kinora_kernels::keep_freed_memory(None);
    let (file, folder, stop) = (&args.config, &args.run, interrupt::flag());
    let result = match args.target {
        TrainTarget::Autoencoder => autoencoder::train(&config::read(file)?, folder, &device, stop),
        TrainTarget::Transformer => transformer::train(&config::read(file)?, folder, &device, stop),
        TrainTarget::Director => director::train(&config::read(file)?, folder, &device, stop),
        TrainTarget::Upscaler => upscaler::train(&config::read(file)?, folder, &device, stop),
        TrainTarget::Interpolator => {
            interpolator::train(&config::read(file)?, folder, &device, stop)
        }
        TrainTarget::Classifier => classifier::train(&config::read(file)?, folder, &device, stop),
    };
    match result {
        Err(error @ Error::Stopped) => {
            eprintln!("{error}");
            std::process::exit(crate::error::INTERRUPTED.into());
        }
        other => Ok(other?),
    }
}
