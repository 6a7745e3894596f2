//! Training and evaluation of the models that Kinora ships, on any device that Burn runs on.
//!
//! [`autoencoder::train`] fits the linear code and trains the decoder; [`transformer::train`] trains
//! text encoder and denoiser on its latents; [`classifier::train`] trains the judges that
//! [`evaluate`] applies to generated clips. Every run lives in a folder of its own, writes its
//! metrics as JSON lines and goes on from its last checkpoint, to the bit.

pub mod autoencoder;
pub mod classifier;
pub mod config;
mod corpus;
mod descent;
mod error;
pub mod evaluate;
mod lexicon;
mod optimizer;
mod run;
mod tokenizer;
pub mod transformer;

pub use config::{AutoencoderRun, ClassifierRun, RunConfig, TransformerRun};
pub use corpus::{ClipBatch, Corpus, Shape};
pub use error::Error;
pub use evaluate::{EvaluateOptions, EvaluateReport};
pub use optimizer::{Optimizer, OptimizerConfig};
pub use run::Run;
