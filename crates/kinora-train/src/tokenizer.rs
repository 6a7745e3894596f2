//! A byte-pair tokenizer trained on captions (Sennrich et al., 2016).

use kinora_data::{Pack, SceneSpec, Split};
use kinora_models::mini::config::TextConfig;
use kinora_models::mini::text::{Tokens, normalise, tokenize};
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{
    DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper, Tokenizer,
    TokenizerImpl,
};

use crate::Error;
use crate::corpus::caption;

/// Captions to learn from.
const CAPTIONS: u64 = 60_000;

/// Trains a tokenizer on the captions of random scenes and on every name in the pack. Bytes are its
/// alphabet, so any text can be tokenised.
pub(crate) fn train(pack: &Pack, vocabulary: usize) -> Result<Tokenizer, kinora_models::Error> {
    let error = |error: tokenizers::Error| kinora_models::Error::Tokenizer(error.to_string());
    let mut texts: Vec<String> = (0..CAPTIONS)
        .map(|seed| {
            let spec = SceneSpec::sample(seed, pack, Split::Train);
            normalise(&caption(&spec, pack, seed))
        })
        .collect();
    for entry in pack.entries() {
        let names = [&entry.name_en, &entry.name_zh];
        let synonyms = entry.synonyms_en.iter().chain(&entry.synonyms_zh);
        texts.extend(
            names
                .into_iter()
                .chain(synonyms)
                .map(|name| normalise(name)),
        );
    }
    let mut trainer = BpeTrainer::builder()
        .vocab_size(vocabulary)
        .show_progress(false)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build();
    let byte_level = ByteLevel::default().add_prefix_space(true);
    let mut tokenizer: TokenizerImpl<
        BPE,
        NormalizerWrapper,
        PreTokenizerWrapper,
        PostProcessorWrapper,
        DecoderWrapper,
    > = TokenizerImpl::new(BPE::default());
    tokenizer
        .with_pre_tokenizer(Some(PreTokenizerWrapper::ByteLevel(byte_level)))
        .with_decoder(Some(DecoderWrapper::ByteLevel(ByteLevel::default())));
    tokenizer.train(&mut trainer, texts.iter()).map_err(error)?;
    let json = tokenizer.to_string(false).map_err(error)?;
    Tokenizer::from_bytes(json).map_err(error)
}

/// Tokens of captions, padded to the longest; one that is too long loses its last words.
pub(crate) fn tokenize_clipped(
    tokenizer: &Tokenizer,
    config: &TextConfig,
    captions: &[&str],
) -> Result<Tokens, Error> {
    let mut all = Tokens {
        ids: Vec::new(),
        lengths: Vec::new(),
    };
    for caption in captions {
        let mut text = caption.to_string();
        let tokens = loop {
            match tokenize(tokenizer, config, &[&text]) {
                Err(kinora_models::Error::PromptLength { .. }) => {
                    let shorter = text.chars().count() * 9 / 10;
                    text = text.chars().take(shorter).collect();
                }
                other => break other?,
            }
        };
        all.ids.extend(tokens.ids);
        all.lengths.extend(tokens.lengths);
    }
    let longest = all.lengths.iter().copied().max().unwrap_or(0).max(1);
    let rows = all.ids.chunks_exact(config.max_tokens);
    all.ids = rows.flat_map(|row| &row[..longest]).copied().collect();
    Ok(all)
}
