//! Training and evaluation of the models that Kinora ships, on any device that Burn runs on.
//!
//! [`autoencoder::train`] fits the linear code and trains the decoder; [`transformer::train`] trains
//! text encoder and denoisers on its latents, [`director::train`] one of them further; [`upscaler::train`] and
//! [`interpolator::train`] train what makes frames larger and more; [`classifier::train`] trains the judges that
//! [`evaluate`] applies to generated clips. Every run lives in a folder of its own, writes its
//! metrics as JSON lines and goes on from its last checkpoint, to the bit.

pub mod autoencoder;
pub mod classifier;
pub mod config;
mod corpus;
mod descent;
pub mod director;
mod drift;
mod error;
pub mod evaluate;
mod flow;
mod given;
mod growth;
pub mod interpolator;
mod lexicon;
mod optimizer;
mod path_judge;
mod places;
mod quality;
mod readings;
mod regions;
mod run;
mod shelf;
mod staging;
mod styles;
mod tokenizer;
pub mod transformer;
pub mod upscaler;
mod weathers;

pub use config::{
    AutoencoderRun, ClassifierRun, DirectorRun, InterpolatorRun, RunConfig, TransformerRun,
    UpscalerRun,
};
pub use corpus::{ClipBatch, Corpus, Shape};
pub use error::Error;
pub use evaluate::{EvaluateOptions, EvaluateReport};
pub use optimizer::{Optimizer, OptimizerConfig};
pub use path_judge::PathAccuracies;
pub use run::Run;
pub use staging::{Layouts, Staging};
