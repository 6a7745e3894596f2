//! Sizes of the mini family, as data that travels with the weights.

use burn::config::Config;

/// Autoencoder sizes.
#[derive(Config, Debug, PartialEq)]
pub struct AutoencoderConfig {
    /// Channels of a latent token.
    #[config(default = 96)]
    pub latent_channels: usize,
    /// Pixels of a patch in each direction.
    #[config(default = 16)]
    pub patch: usize,
    /// Frames of a patch.
    #[config(default = 4)]
    pub patch_frames: usize,
    /// Decoder channels at one token, a quarter and a sixteenth of a token.
    #[config(default = "[256, 128, 96]")]
    pub decoder_channels: [usize; 3],
    /// Residual blocks at each of these.
    #[config(default = "[1, 1, 1]")]
    pub decoder_blocks: [usize; 3],
    /// Channels of the gates by which the decoder adds what the code loses of the [plate](super::plate); without them it does not look at
    /// plates.
    #[config(default = "None")]
    pub gate_channels: Option<usize>,
}

impl AutoencoderConfig {
    /// Values in a patch: `patch_frames · patch² · 3`.
    pub fn patch_values(&self) -> usize {
        self.patch_frames * self.patch * self.patch * 3
    }
}

/// Text encoder sizes.
#[derive(Config, Debug, PartialEq)]
pub struct TextConfig {
    /// Entries of the tokenizer.
    #[config(default = 4096)]
    pub vocabulary: usize,
    /// Tokens of a prompt, shorter ones are padded and longer ones refused.
    #[config(default = 40)]
    pub max_tokens: usize,
    /// Channels.
    #[config(default = 256)]
    pub width: usize,
    /// Transformer blocks.
    #[config(default = 2)]
    pub depth: usize,
    /// Attention heads.
    #[config(default = 4)]
    pub heads: usize,
}

/// Diffusion transformer sizes.
#[derive(Config, Debug, PartialEq)]
pub struct TransformerConfig {
    /// Channels.
    #[config(default = 256)]
    pub width: usize,
    /// Blocks.
    #[config(default = 6)]
    pub depth: usize,
    /// Attention heads.
    #[config(default = 4)]
    pub heads: usize,
    /// Hidden channels of a perceptron, as a multiple of `width`.
    #[config(default = 4)]
    pub mlp_ratio: usize,
}

/// Director sizes.
#[derive(Config, Debug, PartialEq)]
pub struct DirectorConfig {
    /// What it reads the prompt with; vocabulary and length are those of the model's other text encoder.
    pub text: TextConfig,
    /// What denoises paths.
    pub paths: TransformerConfig,
}

/// Everything that makes a model of this family.
#[derive(Config, Debug, PartialEq)]
pub struct MiniConfig {
    /// The video autoencoder.
    pub autoencoder: AutoencoderConfig,
    /// The text encoder.
    pub text: TextConfig,
    /// The denoiser of latents.
    pub transformer: TransformerConfig,
    /// What settles paths.
    pub director: DirectorConfig,
    /// Latent frames that are sampled together.
    #[config(default = 5)]
    pub window: usize,
    /// Whether windows were trained beside [anchors](crate::Anchor).
    #[config(default = "false")]
    pub anchored: bool,
    /// Frames per second that the model was trained on.
    #[config(default = 12)]
    pub frames_per_second: usize,
    /// Sizes that the model was trained on, `[width, height]` in pixels; places are painted for the first of them.
    #[config(
        default = "vec![[176, 96], [128, 128], [96, 176], [144, 112], [112, 144], [224, 96]]"
    )]
    pub sizes: Vec<[usize; 2]>,
}

impl MiniConfig {
    /// # Errors
    ///
    /// Names a size that no network of this family can have, such as one from a strange file.
    pub fn validate(&self) -> Result<(), String> {
        let autoencoder = &self.autoencoder;
        let mut sizes = vec![
            ("latent_channels", autoencoder.latent_channels, 4096),
            ("patch", autoencoder.patch, 64),
            ("patch_frames", autoencoder.patch_frames, 16),
            (
                "gate_channels",
                autoencoder.gate_channels.unwrap_or(1),
                4096,
            ),
            ("vocabulary", self.text.vocabulary, 1 << 18),
            ("max_tokens", self.text.max_tokens, 4096),
            ("window", self.window, 1024),
            ("frames_per_second", self.frames_per_second, 240),
            ("number of sizes", self.sizes.len(), 1024),
        ];
        for (channels, blocks) in autoencoder
            .decoder_channels
            .into_iter()
            .zip(autoencoder.decoder_blocks)
        {
            sizes.push(("decoder_channels", channels, 4096));
            sizes.push(("decoder_blocks", blocks, 64));
        }
        let texts = [&self.text, &self.director.text];
        for text in texts {
            sizes.push(("text width", text.width, 4096));
            sizes.push(("text depth", text.depth, 64));
        }
        for denoiser in [&self.transformer, &self.director.paths] {
            sizes.push(("width", denoiser.width, 4096));
            sizes.push(("depth", denoiser.depth, 64));
            sizes.push(("mlp_ratio", denoiser.mlp_ratio, 16));
        }
        for side in self.sizes.iter().flatten() {
            sizes.push(("side of a size", *side, 8192));
        }
        for (name, value, most) in sizes {
            if !(1..=most).contains(&value) {
                return Err(format!("{name} is {value}, expected 1 to {most}"));
            }
        }
        if !autoencoder.patch.is_multiple_of(4) {
            return Err(format!("patch is {}, no multiple of 4", autoencoder.patch));
        }
        if self.window < 2 {
            return Err(format!("window is {}, expected 2 or more", self.window));
        }
        let reads = |text: &TextConfig| (text.vocabulary, text.max_tokens);
        if reads(&self.director.text) != reads(&self.text) {
            return Err("the director reads other tokens than the denoiser".into());
        }
        let denoisers = [&self.transformer, &self.director.paths].map(|t| (t.width, t.heads));
        let texts = texts.map(|text| (text.width, text.heads));
        for (width, heads) in denoisers.into_iter().chain(texts) {
            if heads == 0 || width == 0 || !width.is_multiple_of(2 * heads) {
                return Err(format!("{heads} heads do not share a width of {width}"));
            }
        }
        let fits = |[width, height]: &[usize; 2]| {
            [width, height]
                .iter()
                .all(|&&side| side > 0 && side.is_multiple_of(autoencoder.patch))
        };
        match self.sizes.iter().find(|size| !fits(size)) {
            Some(size) => Err(format!(
                "size {size:?} is no multiple of {}",
                autoencoder.patch
            )),
            None => Ok(()),
        }
    }
}
