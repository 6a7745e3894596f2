//! What can go wrong between a file, a prompt and a network.

use std::fmt;
use std::path::PathBuf;

/// Errors of this crate; each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is not there or cannot be read.
    #[error("cannot read weights {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write weights {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is damaged.
    #[error("the weights are damaged: {0}; fetch or build the file again")]
    Format(String),
    /// The contents do not match their hash.
    #[error(
        "the weights have hash {got} but should have {expected}; fetch or build the file again"
    )]
    Hash {
        /// Hash that the file should have.
        expected: String,
        /// Hash that it has.
        got: String,
    },
    /// A tensor that the network needs is not in the file.
    #[error("the weights lack tensor '{0}'; is this file of the same model family and version?")]
    MissingTensor(String),
    /// A tensor has another shape.
    #[error("tensor '{name}' has shape {got:?}, but the network needs {required:?}")]
    TensorShape {
        /// Its name.
        name: String,
        /// Shape in the file.
        got: Vec<usize>,
        /// Shape that the network needs.
        required: Vec<usize>,
    },
    /// A folder holds no weight file that this program knows.
    #[error("no weights in {folder}: looked for {looked_for}")]
    NoWeights {
        /// The folder.
        folder: PathBuf,
        /// Names of files.
        looked_for: String,
    },
    /// A file of PyTorch before 1.6, in which numbers stand among the pickles.
    #[error(
        "{path} is in the format that PyTorch had before 1.6; save it again (torch.save(torch.load(FILE), NEW)), or take the \
         same weights as safetensors: the '-Diffusers' folder of the model, or ComfyUI's repackaged file"
    )]
    OldPyTorch {
        /// The file.
        path: PathBuf,
    },
    /// Weights of another network.
    #[error("the weights in {path} are of {found}, expected {required}")]
    OtherNetwork {
        /// The file or folder.
        path: PathBuf,
        /// What they are of.
        found: String,
        /// What was asked for.
        required: String,
    },
    /// Parts of a model are missing, or could be several files.
    #[error("parts of the model {model} are missing:{problems}")]
    Parts {
        /// What was given.
        model: PathBuf,
        /// All of them, and where they were looked for.
        problems: Box<PartProblems>,
    },
    /// A configuration is none of the model family.
    #[error("{path}: {reason}")]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong, and with which entry.
        reason: String,
    },
    /// Tensors of a checkpoint are not those of the network.
    #[error("the weights in {path} do not fit the network:{problems}")]
    Tensors {
        /// The file or folder.
        path: PathBuf,
        /// All of them.
        problems: TensorProblems,
    },
    /// An adapter is of another network.
    #[error("the adapter {path} does not fit the network:{problems}")]
    Adapter {
        /// The file.
        path: PathBuf,
        /// All of them.
        problems: Box<TensorProblems>,
    },
    /// A network was given a tensor that it cannot take.
    #[error("'{name}' has shape {got:?}, but the network takes {required}")]
    Input {
        /// What the tensor is.
        name: &'static str,
        /// Its shape.
        got: Vec<usize>,
        /// What the shape may be.
        required: String,
    },
    /// A network lacks an input, or was given one that it has no use for.
    #[error("{0}")]
    Inputs(&'static str),
    /// The prompt has more tokens than the text encoder takes.
    #[error("the prompt has {got} tokens, but this model takes {limit}; shorten it")]
    PromptLength {
        /// Tokens of the prompt.
        got: usize,
        /// Tokens that the model takes.
        limit: usize,
    },
    /// A network gave something that is not a number.
    #[error(
        "the {0} gave values that are not numbers; the weights are damaged or the device failed"
    )]
    NotANumber(&'static str),
    /// The tokenizer failed.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
}

/// Why the parts of a model are not complete.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartProblems {
    /// Each part with what is wrong.
    pub lines: Vec<String>,
    /// Folders that were looked into.
    pub places: Vec<PathBuf>,
    /// Weight files there that cannot be read, and why.
    pub unread: Vec<(PathBuf, String)>,
}

impl fmt::Display for PartProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            write!(f, "\n  {line}")?;
        }
        for place in &self.places {
            write!(f, "\n  looked into {}", place.display())?;
        }
        for (_, reason) in &self.unread {
            write!(f, "\n  not read: {reason}")?;
        }
        Ok(())
    }
}

/// How the tensors of a checkpoint differ from those that a network needs, each with its name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TensorProblems {
    /// Not in the files.
    pub missing: Vec<String>,
    /// Another shape: what it is and what it should be.
    pub shapes: Vec<String>,
    /// Numbers of a type that this program does not read.
    pub types: Vec<String>,
    /// In the files, but in no layer.
    pub unmatched: Vec<String>,
}

impl TensorProblems {
    /// Whether all is well.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty()
            && self.shapes.is_empty()
            && self.types.is_empty()
            && self.unmatched.is_empty()
    }
}

impl fmt::Display for TensorProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// As many as fit a screen.
        const SHOWN: usize = 12;
        for (what, names) in [
            ("missing", &self.missing),
            ("of another shape", &self.shapes),
            ("of an unknown type", &self.types),
            ("that no layer takes", &self.unmatched),
        ] {
            if names.is_empty() {
                continue;
            }
            let shown = &names[..names.len().min(SHOWN)];
            write!(f, "\n  {} {what}: {}", names.len(), shown.join(", "))?;
            if names.len() > SHOWN {
                write!(f, ", …")?;
            }
        }
        Ok(())
    }
}
