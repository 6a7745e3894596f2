//! Where the parts of a model lie: said one by one, or found around the transformer.
//!
//! | given | where the other parts are looked for |
//! | --- | --- |
//! | a folder | in it and in those inside it: Wan's own layout, ComfyUI's `models`, a folder of one's own |
//! | a file of the transformer | in it, in its folder, and in the usual folders beside and above it (ComfyUI's `text_encoders`, `clip`, `vae`) |
//!
//! A file is taken for what its tensors say, and only if its sizes fit the transformer.

use std::path::{Path, PathBuf};

use super::config::TransformerConfig;
use super::folder::denoiser_in;
use super::prompt::PromptTokenizer;
use super::search::{Search, same};
use super::weights::{Checkpoint, Network};
use crate::Error;
use crate::error::PartProblems;

/// Folders in a folder that is given.
const DEPTH: usize = 3;
/// Folders in a usual folder: people sort their files.
const USUAL_DEPTH: usize = 2;
/// Folders above a file in which the usual folders may stand.
const ABOVE: usize = 3;
/// Where ComfyUI and diffusers keep text encoders, autoencoders and tokenizers.
const USUAL: [&str; 8] = [
    "clip_vision",
    "image_encoder",
    "text_encoders",
    "clip",
    "text_encoder",
    "vae",
    "tokenizer",
    "google",
];
/// The two experts in Wan's own folders.
const EXPERTS: [&str; 2] = ["high_noise_model", "low_noise_model"];
const TRANSFORMERS: [Network; 2] = [Network::Transformer, Network::Vace];

/// Where the parts of a model lie; each is a file or a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The only transformer, or the one for high noise levels.
    pub transformer: PathBuf,
    /// The one for low noise levels.
    pub low_noise: Option<PathBuf>,
    /// umT5.
    pub text_encoder: PathBuf,
    /// `tokenizer.json` of umT5.
    pub tokenizer: PathBuf,
    /// The autoencoder.
    pub vae: PathBuf,
    /// CLIP's image encoder, where the transformer sees pictures through one.
    pub image_encoder: Option<PathBuf>,
}

/// Parts that were named; the others are looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamedParts {
    /// The transformer for low noise levels.
    pub low_noise: Option<PathBuf>,
    /// The text encoder.
    pub text_encoder: Option<PathBuf>,
    /// The tokenizer.
    pub tokenizer: Option<PathBuf>,
    /// The autoencoder.
    pub vae: Option<PathBuf>,
    /// The image encoder.
    pub image_encoder: Option<PathBuf>,
}

impl Files {
    /// A folder in the layout of diffusers.
    pub(super) fn of_diffusers(root: &Path, has_second: bool, has_image_encoder: bool) -> Self {
        Self {
            transformer: root.join("transformer"),
            low_noise: has_second.then(|| root.join("transformer_2")),
            text_encoder: root.join("text_encoder"),
            tokenizer: root.join("tokenizer"),
            vae: root.join("vae"),
            image_encoder: has_image_encoder.then(|| root.join("image_encoder")),
        }
    }

    /// Finds what was not named. `model` is a file of a transformer, or a folder that holds one.
    ///
    /// # Errors
    ///
    /// [`Error::Parts`], which lists all parts that are missing or could be several files, and where they were looked for;
    /// [`Error::OtherNetwork`] where `model` is no transformer, [`Error::Config`] where it is one that is not run yet; what
    /// its file is damaged by.
    pub fn find(model: &Path, named: &NamedParts) -> Result<Self, Error> {
        let mut search = Search::default();
        let mut problems = PartProblems::default();
        let (transformer, low_noise) = match model.is_dir() {
            true => {
                search.look(model, DEPTH)?;
                transformers(model, named, &search)?
            }
            false => {
                look_around(model, &mut search)?;
                (model.to_owned(), named.low_noise.clone())
            }
        };
        check_transformer(&transformer)?;
        check_expert(&transformer, low_noise.as_deref(), &mut problems);
        let denoiser = denoiser_in(&transformer)?;
        let config = denoiser.transformer();
        // Before anybody fetches parts for it.
        denoiser.shown().map_err(|reason| Error::Config {
            path: transformer.clone(),
            reason,
        })?;

        let of = |network| search.of(&[network]);
        let text_encoder = choose(
            named.text_encoder.as_deref(),
            of(Network::TextEncoder),
            |path| text_fits(path, config),
        );
        let text_encoder = problems.note("text encoder (umT5)", text_encoder);
        let vae = choose(named.vae.as_deref(), of(Network::Autoencoder), |path| {
            autoencoder_fits(path, config)
        });
        let vae = problems.note("autoencoder", vae);
        let image_encoder = match (&named.image_encoder, config.image_dim) {
            // One that nobody looks through is told when the parts are put together.
            (None, None) => None,
            (Some(named), None) => Some(named.clone()),
            (named, Some(channels)) => {
                let found = of(Network::ImageEncoder);
                let fits = |path: &Path| image_fits(path, channels);
                problems.note(
                    "image encoder (CLIP ViT-H)",
                    choose(named.as_deref(), found, fits),
                )
            }
        };
        let vocabulary = text_encoder.as_deref().and_then(vocabulary);
        let tokenizers = search.tokenizers.iter().map(PathBuf::as_path).collect();
        let tokenizer = choose(named.tokenizer.as_deref(), tokenizers, |path| {
            // Of an unknown text encoder nothing is known that its tokenizer could contradict.
            vocabulary.is_none_or(|vocabulary| PromptTokenizer::fits(path, vocabulary))
        });
        let tokenizer = problems.note("tokenizer (tokenizer.json of umT5)", tokenizer);
        match (text_encoder, tokenizer, vae) {
            (Some(text_encoder), Some(tokenizer), Some(vae)) if problems.lines.is_empty() => {
                Ok(Self {
                    transformer,
                    low_noise,
                    text_encoder,
                    tokenizer,
                    vae,
                    image_encoder,
                })
            }
            _ => {
                problems.places = search.places;
                problems.unread = search.unread;
                Err(Error::Parts {
                    model: model.to_owned(),
                    problems: Box::new(problems),
                })
            }
        }
    }
}

/// The transformers of a folder.
fn transformers(
    folder: &Path,
    named: &NamedParts,
    search: &Search,
) -> Result<(PathBuf, Option<PathBuf>), Error> {
    let is_named = |path: &&Path| {
        let low = named.low_noise.as_deref();
        low.is_some_and(|low| same(low, path))
    };
    let found: Vec<&Path> = search
        .of(&TRANSFORMERS)
        .into_iter()
        .filter(|path| !is_named(path))
        .collect();
    let refuse = |reason: String| Error::Config {
        path: folder.to_owned(),
        reason,
    };
    match &found[..] {
        [only] => Ok((only.to_path_buf(), named.low_noise.clone())),
        [high, low]
            if named.low_noise.is_none()
                && [*high, *low] == EXPERTS.map(|name| folder.join(name)) =>
        {
            Ok((high.to_path_buf(), Some(low.to_path_buf())))
        }
        [] => Err(refuse(
            "holds no transformer of Wan, and no model_index.json: give a folder in the layout of diffusers, of Wan or of \
             ComfyUI, or a .safetensors or .gguf file of the transformer"
                .into(),
        )),
        several => Err(refuse(format!(
            "holds several transformers: give the one that is meant instead of the folder: {}",
            listed(several)
        ))),
    }
}

/// Looks into a file and around it.
fn look_around(file: &Path, search: &mut Search) -> Result<(), Error> {
    search.add(file);
    let whole = std::path::absolute(file).map_err(|source| Error::Read {
        path: file.to_owned(),
        source,
    })?;
    for (level, folder) in whole.ancestors().skip(1).take(1 + ABOVE).enumerate() {
        if level == 0 {
            search.look(folder, 0)?;
        }
        for usual in USUAL {
            search.look(&folder.join(usual), USUAL_DEPTH)?;
        }
    }
    Ok(())
}

/// # Errors
///
/// [`Error::OtherNetwork`] where a file holds no transformer.
fn check_transformer(path: &Path) -> Result<(), Error> {
    let networks = Checkpoint::networks_in(path)?;
    if networks
        .iter()
        .any(|network| TRANSFORMERS.contains(network))
    {
        return Ok(());
    }
    let names: Vec<String> = networks.iter().map(ToString::to_string).collect();
    Err(Error::OtherNetwork {
        path: path.to_owned(),
        found: match names.is_empty() {
            true => "no network of Wan".into(),
            false => names.join(" and "),
        },
        required: "a transformer of Wan".into(),
    })
}

/// The experts of A14B have the shapes of Wan 2.1 14B, and one alone makes nothing but noise or blur: a name is then the
/// only hint that there is.
fn check_expert(transformer: &Path, low_noise: Option<&Path>, problems: &mut PartProblems) {
    let name = transformer.file_name().unwrap_or_default();
    let name = name
        .to_string_lossy()
        .to_lowercase()
        .replace(['-', ' ', '.'], "_");
    let says = |level: &str| {
        name.contains(&format!("{level}_noise")) || name.contains(&format!("{level}noise"))
    };
    if says("low") && low_noise.is_none() {
        problems.lines.push(
            "transformer for high noise: by its name this is the one for low noise; give the other as the model, and this \
             one as its second"
                .into(),
        );
    } else if says("high") && low_noise.is_none() {
        problems.lines.push(
            "transformer for low noise: by its name this is the one for high noise alone".into(),
        );
    }
}

/// What is wrong with a part.
enum Unchosen {
    Missing,
    Several(String),
}

impl PartProblems {
    /// The part, if there is one.
    fn note(&mut self, part: &str, chosen: Result<PathBuf, Unchosen>) -> Option<PathBuf> {
        match chosen {
            Ok(path) => return Some(path),
            Err(Unchosen::Missing) => self.lines.push(format!("{part}: none that fits")),
            Err(Unchosen::Several(found)) => {
                self.lines
                    .push(format!("{part}: several fit, say which: {found}"));
            }
        }
        None
    }
}

fn choose(
    named: Option<&Path>,
    found: Vec<&Path>,
    fits: impl Fn(&Path) -> bool,
) -> Result<PathBuf, Unchosen> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    let fitting: Vec<&Path> = found.into_iter().filter(|path| fits(path)).collect();
    match &fitting[..] {
        [] => Err(Unchosen::Missing),
        [only] => Ok(only.to_path_buf()),
        several => Err(Unchosen::Several(listed(several))),
    }
}

fn listed(paths: &[&Path]) -> String {
    let names: Vec<String> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    names.join(", ")
}

fn text_fits(path: &Path, transformer: &TransformerConfig) -> bool {
    let config = Checkpoint::open_as(path, Network::TextEncoder).and_then(|c| c.text_config());
    config.is_ok_and(|config| config.d_model == transformer.text_dim)
}

fn vocabulary(text_encoder: &Path) -> Option<usize> {
    let checkpoint = Checkpoint::open_as(text_encoder, Network::TextEncoder).ok()?;
    Some(checkpoint.text_config().ok()?.vocab_size)
}

fn image_fits(path: &Path, channels: usize) -> bool {
    let config = Checkpoint::open_as(path, Network::ImageEncoder).and_then(|c| c.image_config());
    config.is_ok_and(|config| config.hidden_size == channels)
}

fn autoencoder_fits(path: &Path, transformer: &TransformerConfig) -> bool {
    let checkpoint = Checkpoint::open_as(path, Network::Autoencoder);
    let config = checkpoint.and_then(|checkpoint| checkpoint.autoencoder_config());
    config.is_ok_and(|config| config.z_dim == transformer.channels_out())
}
